package suricata

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"xfwc/compiler/ir"
)

// readPattern reads a content option back: text, and hex between bars.
func readPattern(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for i, part := range strings.Split(s, "|") {
		if i%2 == 0 {
			b.WriteString(part)
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatalf("hex in %q: %v", s, err)
		}
		b.Write(raw)
	}
	return b.String()
}

func TestPattern(t *testing.T) {
	tests := []struct{ text, want string }{
		{"wire transfer", "wire transfer"},
		{"a;b", "a|3B|b"},
		{`";`, "|22 3B|"},
		{"!x", "|21|x"},
		{"x|41|", "x|7C|41|7C|"},
		{"Ü", "|C3 9C|"},
		{"example.org/a_b-c", "example.org/a_b-c"},
	}
	for _, tt := range tests {
		if got := pattern([]byte(tt.text)); got != tt.want {
			t.Errorf("pattern(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestRuleLine(t *testing.T) {
	good := rule{
		msg:  "xfwc a on component b",
		from: []netip.Prefix{netip.MustParsePrefix("10.0.5.4/32"), netip.MustParsePrefix("2001:db8:5::/64")},
		to:   nil, ports: []ir.PortSpan{{Proto: ir.TCP, From: 5347, To: 5347}, {Proto: ir.UDP, From: 1, To: 2}, {Proto: ir.TCP, From: 6000, To: 6010}},
		content: []byte("x"), metadata: []meta{{"xfwc_rule", "a"}}, sid: 1000007,
	}
	line, err := good.line()
	const want = `alert tcp [10.0.5.4,2001:db8:5::/64] any <> any [5347,6000:6010] (msg:"xfwc a on component b"; flow:established; content:"x"; nocase; fast_pattern; threshold:type limit, track by_src, count 1, seconds 60; metadata:xfwc_rule a; sid:1000007; rev:1;)`
	if err != nil || line != want {
		t.Errorf("line = %q, %v", line, err)
	}

	var many []netip.Prefix
	for i := range 1000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32))
	}
	refused := []struct {
		name   string
		change func(*rule)
		want   error
	}{
		{"no text", func(r *rule) { r.content = nil }, errContent},
		{"text longer than the window holds", func(r *rule) { r.content = make([]byte, maxContent+1) }, errContent},
		{"no address", func(r *rule) { r.from = []netip.Prefix{} }, errAddress},
		{"zero address", func(r *rule) { r.to = []netip.Prefix{{}} }, errAddress},
		{"no port", func(r *rule) { r.ports = nil }, errPorts},
		{"UDP only", func(r *rule) { r.ports = []ir.PortSpan{{Proto: ir.UDP, From: 5, To: 5}} }, errPorts},
		{"port 0", func(r *rule) { r.ports = []ir.PortSpan{{Proto: ir.TCP, From: 0, To: 5}} }, errPorts},
		{"ports backwards", func(r *rule) { r.ports = []ir.PortSpan{{Proto: ir.TCP, From: 9, To: 5}} }, errPorts},
		{"a number of others' rules", func(r *rule) { r.sid = 2000001 }, errSID},
		{"a thousand addresses", func(r *rule) { r.from = many }, errLong},
		{"metadata key", func(r *rule) { r.metadata = []meta{{"a b", "c"}} }, errKeyword},
		{"no message", func(r *rule) { r.msg = "" }, errEmptyMsg},
	}
	for _, tt := range refused {
		r := good
		tt.change(&r)
		if line, err := r.line(); !errors.Is(err, tt.want) || line != "" {
			t.Errorf("%s: line = %.80q, %v; want error %q", tt.name, line, err, tt.want)
		}
	}
}

func TestDevice(t *testing.T) {
	for _, name := range []string{"", "a b", "eth0\"", "eth0\n", "eth0/1", "interface-with-a-long-name", "ü"} {
		if got, err := device(name); err == nil {
			t.Errorf("device(%q) = %s, want an error", name, got)
		}
	}
	for _, name := range []string{"eth0", "br-lan.7", "wg0", "eth0:1", "veth1@if2"} {
		if _, err := device(name); err != nil {
			t.Errorf("device(%q): %v", name, err)
		}
	}
}

// shape is every line that the writer may make, with what strings may become.
var shape = regexp.MustCompile(`^alert tcp 192\.0\.2\.0/24 any <> any 5347 \(msg:"[A-Za-z0-9 ._/,()-]+"; flow:established; ` +
	`content:"((?:[A-Za-z0-9 ._/-]|\|[0-9A-F]{2}(?: [0-9A-F]{2})*\|)+)"; nocase; fast_pattern; threshold:type limit, track by_src, count 1, seconds 60; ` +
	`metadata:k [A-Za-z0-9._-]+; sid:1000000; rev:1;\)$`)

// FuzzRule: whatever the strings are, the line has the shape that it was meant
// to have and looks for exactly the bytes that were given.
func FuzzRule(f *testing.F) {
	for _, s := range nasty() {
		f.Add(s, "text", "value")
		f.Add("message", s, "value")
		f.Add("message", "text", s)
	}
	f.Fuzz(func(t *testing.T, msg, text, value string) {
		r := rule{
			msg: msg, from: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, ports: []ir.PortSpan{{Proto: ir.TCP, From: 5347, To: 5347}},
			content: []byte(text), metadata: []meta{{"k", value}}, sid: minSID,
		}
		line, err := r.line()
		if err != nil {
			if line != "" {
				t.Fatalf("both a line and the error %v", err)
			}
			if msg != "" && text != "" && len(text) <= maxContent && len(msg)+3*len(text)+len(value) < maxLine-400 {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		m := shape.FindStringSubmatch(line)
		if m == nil || len(line) > maxLine {
			t.Fatalf("line of %d bytes out of shape: %q", len(line), line)
		}
		if got := readPattern(t, m[1]); got != text {
			t.Fatalf("looks for %q, meant was %q", got, text)
		}
	})
}

// FuzzComment: a comment stays one line and continues on no other.
func FuzzComment(f *testing.F) {
	for _, s := range nasty() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := comment(s); strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' }) {
			t.Fatalf("comment(%q) = %q", s, got)
		}
	})
}
