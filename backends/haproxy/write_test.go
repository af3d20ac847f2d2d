package haproxy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// nasty are strings that mean something to HAProxy's parser, to its formats and
// expressions or to a shell, or that have broken generators before.
func nasty() []string {
	list := []string{
		`'`, `"`, `\`, `#`, `$`, `%`, `%%`, `%[src]`, `%{+Q}o`, `$HOME`, `${HOME}`, `"${HOME}"`, "`id`", `$(id)`, `~`, `*`, `?`, `!`, `&`, `|`, `;`, `,`, `(`, `)`, `{`, `}`, `[`, `]`, `<`, `>`, `=`, `+`, `^`, `:`, `@`,
		`''`, `'''`, `a'b`, `'a`, `a'`, `\'`, `'\''`, `\\`, `a\`, `\n`, `\x41`, `\ `, `a\ b`, ` `, `  `, ` a`, `a `, `a  b`, `a #b`, `#b`, `a'#b`, `' #`, `' ; acl x path /`, `' unless TRUE`,
		`-i`, `-f /etc/passwd`, `--`, `-m reg`, `or`, `unless`, `if`, `{ always_true }`, `}`, `frontend evil`, `global`, `a,b`, `a(b)`, `str(a),lower`,
		"é", "ü\u0308", "日本語", "\U0001f600", "\u202e", "\ufeff", "\u00a0",
		strings.Repeat("a", 255), strings.Repeat("a", 1024), strings.Repeat("'", 300), strings.Repeat(`\`, 301), strings.Repeat("# ", 300),
	}
	for c := byte(' '); c < 0x7f; c++ { // every printable byte, alone, in the middle and doubled
		list = append(list, string(c), "ab"+string(c)+"cd", "/"+string(c)+string(c)+"x")
	}
	return list
}

// refusable are strings that no HAProxy argument can hold.
var refusable = []string{"", "a\nb", "a\r", "\x00", "a\x00b", "\t", "\x1b[31m", "\x7f", "\xff", "\xc3\x28", "\u0085", "\u2028", "\u2029"}

// unquote reads one argument as HAProxy does within and between strong quotes;
// anything else is no argument that quoted writes.
func unquote(t *testing.T, w string) string {
	t.Helper()
	var b strings.Builder
	for w != "" {
		if rest, ok := strings.CutPrefix(w, `\'`); ok {
			b.WriteByte('\'')
			w = rest
			continue
		}
		inner, rest, ok := strings.Cut(strings.TrimPrefix(w, "'"), "'")
		if w[0] != '\'' || !ok {
			t.Fatalf("text outside quotes: %q", w)
		}
		b.WriteString(inner)
		w = rest
	}
	return b.String()
}

func TestQuotedRefuses(t *testing.T) {
	for _, s := range refusable {
		if w, err := quoted(s); err == nil {
			t.Errorf("quoted(%q) = %s, want an error", s, w)
		}
	}
}

// FuzzQuoted: a quoted value is one argument with exactly the bytes given.
func FuzzQuoted(f *testing.F) {
	for _, s := range append(nasty(), refusable...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := quoted(s)
		if err != nil {
			return
		}
		if got := unquote(t, string(w)); got != s || s == "" {
			t.Fatalf("quoted(%q) = %s, which reads as %q", s, w, got)
		}
		if strings.ContainsAny(string(w), "\n\r\x00") || !utf8.ValidString(string(w)) {
			t.Fatalf("quoted(%q) = %q", s, w)
		}
	})
}

// FuzzPath: a path is an absolute one that a request line can hold, unchanged.
func FuzzPath(f *testing.F) {
	for _, s := range append(nasty(), refusable...) {
		f.Add(s)
		f.Add("/" + s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := path(s)
		if err != nil {
			return
		}
		if got := unquote(t, string(w)); got != s || s[0] != '/' || strings.ContainsAny(s, " ?#\"\\<>^`{|}") {
			t.Fatalf("path(%q) = %s", s, w)
		}
	})
}

// FuzzOrigin: a host and an origin are one argument, and nothing that no browser
// sends.
func FuzzOrigin(f *testing.F) {
	for _, s := range append(nasty(), refusable...) {
		f.Add(s)
		f.Add("https://" + s)
		f.Add("https://a.example:" + s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if w, err := host(s); err == nil && (unquote(t, string(w)) != s || s != strings.ToLower(s) || strings.ContainsAny(s, " ,:/*")) {
			t.Fatalf("host(%q) = %s", s, w)
		}
		if w, err := origin(s); err == nil {
			if got := unquote(t, string(w)); !strings.HasPrefix(s, got) || got != strings.ToLower(got) || strings.ContainsAny(got, " ,*") || strings.HasSuffix(got, ":443") && !strings.HasPrefix(got, "http:") {
				t.Fatalf("origin(%q) = %s", s, w)
			}
		}
		if w, err := method(s); err == nil && string(w) != s {
			t.Fatalf("method(%q) = %s", s, w)
		}
	})
}

// FuzzName: a name needs no quotes, and a comment stays a comment.
func FuzzName(f *testing.F) {
	for _, s := range append(nasty(), refusable...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if w, err := name(s); err == nil && (string(w) != s || s == "" || strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
		})) {
			t.Fatalf("name(%q) = %s", s, w)
		}
		if c := printable(s); strings.ContainsFunc(c, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' }) {
			t.Fatalf("printable(%q) = %q", s, c)
		}
	})
}

func TestPath(t *testing.T) {
	tests := []struct {
		path string
		ok   bool
	}{
		{"/", true}, {"/http-bind", true}, {"/http-bind/", true}, {"/a%20b", true}, {"/it's", true}, {"/~a;b=c,(d)", true},
		{"", false}, {"http-bind", false}, {"/a b", false}, {"/a?b", false}, {"/a#b", false}, {"/a%2", false}, {"/a%zz", false},
		{"/é", false}, {"/" + strings.Repeat("a", 1024), false}, {`/a"b`, false}, {`/a\b`, false}, {"/a\n", false},
	}
	for _, tt := range tests {
		if w, err := path(tt.path); (err == nil) != tt.ok {
			t.Errorf("path(%q) = %s, %v", tt.path, w, err)
		}
	}
}

func TestOrigin(t *testing.T) {
	tests := []struct{ in, want string }{
		{"https://chat.example.org", "'https://chat.example.org'"},
		{"https://chat.example.org:443", "'https://chat.example.org'"},
		{"http://chat.example.org:80", "'http://chat.example.org'"},
		{"http://chat.example.org:443", "'http://chat.example.org:443'"},
		{"https://chat.example.org:8443", "'https://chat.example.org:8443'"},
		{"*", ""}, {"null", ""}, {"https://", ""}, {"https://a/", ""}, {"https://a:", ""}, {"https://a:0443", ""}, {"https://a:70000", ""},
		{"ftp://a", ""}, {"https://A", ""}, {"https://a,https://b", ""}, {"https://[::1]", ""},
	}
	for _, tt := range tests {
		if w, err := origin(tt.in); string(w) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("origin(%q) = %s, %v; want %s", tt.in, w, err, tt.want)
		}
	}
	for _, in := range []string{"", "post", "POST,GET", "P T", strings.Repeat("A", 17)} {
		if w, err := method(in); err == nil {
			t.Errorf("method(%q) = %s", in, w)
		}
	}
}

func TestSocketAndPrefix(t *testing.T) {
	for in, want := range map[string]word{"198.51.100.1": "198.51.100.1:443", "2001:db8::1": "[2001:db8::1]:443"} {
		if w, err := socket(netip.MustParseAddr(in), 443); err != nil || w != want {
			t.Errorf("socket(%s) = %s, %v; want %s", in, w, err, want)
		}
	}
	for _, in := range []string{"0.0.0.0", "::", "fe80::1%eth0", "::ffff:198.51.100.1"} {
		if w, err := socket(netip.MustParseAddr(in), 443); !errors.Is(err, errAddress) {
			t.Errorf("socket(%s) = %s, %v; want an error", in, w, err)
		}
	}
	if w, err := socket(netip.MustParseAddr("198.51.100.1"), 0); !errors.Is(err, errPort) {
		t.Errorf("socket with port 0 = %s, %v", w, err)
	}
	if w, err := socket(netip.Addr{}, 443); !errors.Is(err, errAddress) {
		t.Errorf("socket without an address = %s, %v", w, err)
	}
	if w, err := prefix(netip.MustParsePrefix("192.0.2.77/24")); err != nil || w != "192.0.2.0/24" {
		t.Errorf("prefix = %s, %v", w, err)
	}
	if w, err := prefix(netip.Prefix{}); !errors.Is(err, errAddress) {
		t.Errorf("prefix of nothing = %s, %v", w, err)
	}
}

// An error in any line makes the file invalid, so that no half of it is used.
func TestFileKeepsFirstError(t *testing.T) {
	spoil := map[string]func(*config){
		"empty word":     func(c *config) { c.line("acl", "") },
		"bad name":       func(c *config) { c.section("backend", c.name("a b")) },
		"bad value":      func(c *config) { c.line("acl", "x", "path", c.quoted("a\nb")) },
		"too many words": func(c *config) { c.line(make([]word, maxWords+1)...) },
	}
	for name, f := range spoil {
		var c config
		f(&c)
		c.line("mode", "http")
		if text, err := c.file("head", func(word) {}); err == nil {
			t.Errorf("%s: no error, file %q", name, text)
		}
	}
}

func TestRate(t *testing.T) {
	tests := []struct {
		count, burst uint32
		unit         string
		window       uint64
		most         uint32
		ok           bool
	}{
		{60, 30, "minute", 30000, 30, true},
		{200, 400, "second", 2000, 400, true},
		{30, 0, "minute", 10000, 5, true},
		{7, 1, "second", 143, 1, true},
		{100000, 1, "second", minWindow, 1, true},
		{1, 1000, "day", 0, 0, false},
		{0, 5, "second", 0, 0, false},
		{5, 5, "week", 0, 0, false},
	}
	for _, tt := range tests {
		got, err := rate(attempts(tt.count, tt.unit, tt.burst))
		if got.time != tt.window || got.most != tt.most || (err == nil) != tt.ok {
			t.Errorf("rate(%d/%s burst %d) = %d ms, %d, %v; want %d ms, %d", tt.count, tt.unit, tt.burst, got.time, got.most, err, tt.window, tt.most)
		}
	}
}
