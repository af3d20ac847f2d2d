package suricata

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"xfwc/compiler/ir"
)

// The tests here run the real Suricata.

// program gives the path of Suricata, or skips; in CI nothing may be missing.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("suricata")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("suricata is missing; run scripts/install-tools.sh")
		}
		t.Skip("skipped: suricata is missing; run scripts/install-tools.sh")
	}
	return path
}

// install lays an emission's files into a folder of its own.
func install(t *testing.T, rules, config []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"xfwc.rules": rules, "xfwc.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// accept runs suricata -T on the folder's files and fails unless it loads all
// want rules without a warning: Suricata exits with 0 for an empty file too.
func accept(t *testing.T, dir string, want int) {
	t.Helper()
	cmd := exec.Command(program(t), "-T", "-v", "-c", dir+"/xfwc.yaml", "-S", dir+"/xfwc.rules", "-l", dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("suricata -T: %v\n%s", err, out)
	}
	loaded := fmt.Sprintf("%d rules successfully loaded, 0 rules failed", want)
	if want > 0 && !strings.Contains(string(out), loaded) {
		t.Errorf("suricata -T does not say %q:\n%s", loaded, out)
	}
	for line := range strings.Lines(string(out)) {
		empty := want == 0 && strings.Contains(line, "no rules were loaded")
		if (strings.HasPrefix(line, "Warning:") || strings.HasPrefix(line, "Error:")) && !empty {
			t.Errorf("suricata -T: %s", line)
		}
	}
}

// alert is one line of the event log.
type alert struct {
	Packet int `json:"pcap_cnt"`
	Alert  struct {
		SID      uint32              `json:"signature_id"`
		Message  string              `json:"signature"`
		Metadata map[string][]string `json:"metadata"`
	} `json:"alert"`
	Payload string `json:"payload"`
}

// replay runs a capture through the folder's rules and returns the alerts.
func replay(t *testing.T, dir string, c *conversation) []alert {
	t.Helper()
	logs := t.TempDir()
	c.save(t, logs+"/capture.pcap")
	cmd := exec.Command(program(t), "-r", logs+"/capture.pcap", "-c", dir+"/xfwc.yaml", "-S", dir+"/xfwc.rules",
		"-l", logs, "--init-errors-fatal", "--runmode", "single")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("suricata -r: %v\n%s", err, out)
	}
	return alerts(t, logs)
}

func alerts(t *testing.T, logs string) []alert {
	t.Helper()
	text, err := os.ReadFile(logs + "/eve.json")
	if err != nil {
		t.Fatal(err)
	}
	var as []alert
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		var kind struct {
			Type string `json:"event_type"`
		}
		var a alert
		if err := json.Unmarshal(line, &kind); err != nil {
			t.Fatalf("eve.json: %v: %s", err, line)
		}
		if kind.Type != "alert" {
			continue
		}
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("eve.json: %v: %s", err, line)
		}
		as = append(as, a)
	}
	return as
}

const (
	streamOpen = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.example.org'>"
	handshake  = "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>"
)

func message(body string) string {
	return "<message from='juliet@irc.example.org' to='romeo@example.org'><body>" + body + "</body></message>"
}

func TestAlertsOnComponentStream(t *testing.T) {
	long := strings.Repeat("a rather long text, ", 51)
	em := Backend{}.Emit(site(
		&ir.ContentRule{ID: "wire-fraud", Text: "wire transfer", Actions: []ir.Action{{Name: "alert"}}},
		&ir.ContentRule{ID: "quotes", Text: `Tom & "Jerry" < 'Spike'`, Actions: []ir.Action{{Name: "alert"}}},
		&ir.ContentRule{ID: "long", Text: long, Actions: []ir.Action{{Name: "alert"}}},
	))
	dir := install(t, artefact(t, em, "xfwc.rules"), artefact(t, em, "xfwc.yaml"))
	accept(t, dir, 1+4+1)

	const (
		component, server   = "10.0.5.4:40000", "198.51.100.10:5347"
		component6, server6 = "[2001:db8:5::4]:40000", "[2001:db8:0:d::10]:5347"
	)
	tests := []struct {
		name           string
		client, server string
		who            int
		text           string
		segment        int
		want           string // the content rule that alerts; "" is none
	}{
		{"in one segment", component, server, fromClient, message("please do a wire transfer now"), 1400, "wire-fraud"},
		{"over IPv6", component6, server6, fromClient, message("please do a wire transfer now"), 1400, "wire-fraud"},
		{"to the component", component, server, fromServer, message("a wire transfer"), 1400, "wire-fraud"},
		{"in capitals", component, server, fromClient, message("WIRE Transfer"), 1400, "wire-fraud"},
		{"split over segments", component, server, fromClient, message("a wire transfer now"), 7, "wire-fraud"},
		{"in segments of one byte", component, server, fromClient, message("a wire transfer now"), 1, "wire-fraud"},
		{"a thousand bytes in small segments", component, server, fromClient, message(long), 50, "long"},
		{"escaped quotes", component, server, fromClient, message("tom &amp; &quot;jerry&quot; &lt; &apos;spike&apos;"), 1400, "quotes"},
		{"raw quotes", component, server, fromClient, message(`tom &amp; "jerry" &lt; 'spike'`), 1400, "quotes"},
		{"another text", component, server, fromClient, message("please do a bank transfer by wire"), 1400, ""},
		{"another port", component, "198.51.100.10:5348", fromClient, message("wire transfer"), 1400, ""},
		{"another address", "10.0.5.5:40000", server, fromClient, message("wire transfer"), 1400, ""},
		{"another family's mix", "[2001:db8:5::5]:40000", server6, fromClient, message("wire transfer"), 1400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := converse(tt.client, tt.server)
			c.say(fromClient, streamOpen, 1400)
			c.say(fromServer, streamOpen, 1400)
			c.say(fromClient, handshake, 1400)
			complete := c.say(tt.who, tt.text, tt.segment)
			// The stream goes on and stays open: a late alert has a later packet.
			for range 20 {
				c.say(fromClient, message("and so on"), 1400)
			}
			got := replay(t, dir, c)
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("alerts although nothing was to be found: %+v", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d alerts, want one: %+v", len(got), got)
			}
			a := got[0]
			if rules := a.Alert.Metadata["xfwc_rule"]; len(rules) != 1 || rules[0] != tt.want {
				t.Errorf("alert of rule %v, want %s", rules, tt.want)
			}
			if policy := a.Alert.Metadata["xfwc_policy"]; len(policy) != 1 || policy[0] != "example.org" {
				t.Errorf("alert names policy %v", policy)
			}
			// The text is complete some bytes before the stanza is; in no case may
			// the alert wait for more than the stanza.
			if a.Packet == 0 || a.Packet > complete { // 0: at the end of the capture
				t.Errorf("alert at packet %d, but the stanza was complete at %d", a.Packet, complete)
			}
			if a.Payload != "" {
				t.Errorf("the event log holds what was written: %s", a.Payload)
			}
		})
	}
}

// A component beside its server reaches it at a loopback address, whatever
// address the policy states for the server.
func TestAlertsOnLoopback(t *testing.T) {
	p, box := site(&ir.ContentRule{ID: "wire-fraud", Text: "wire transfer", Actions: []ir.Action{{Name: "alert"}}})
	box.Role, box.Server, box.Set = ir.Host, p.Servers[0], p.Servers[0].Set
	box.Engines[0].Device = "lo"
	p.Legs[0].FromSet = &ir.AddrSet{Prefixes: loopback}
	em := Backend{}.Emit(p, box)
	dir := install(t, artefact(t, em, "xfwc.rules"), artefact(t, em, "xfwc.yaml"))
	for client, server := range map[string]string{
		"127.0.0.1:40000": "127.0.0.1:5347", "[::1]:40000": "[::1]:5347", "127.0.0.1:40001": "198.51.100.10:5347",
	} {
		c := converse(client, server)
		c.say(fromClient, streamOpen, 1400)
		c.say(fromClient, message("wire transfer"), 1400)
		if got := replay(t, dir, c); len(got) != 1 {
			t.Errorf("%s to %s: %d alerts, want one", client, server, len(got))
		}
	}
}

// A megabyte of stream, which is where Suricata stops looking by default, and a
// pause of hours do not blind the sensor.
func TestAlertsLateInStream(t *testing.T) {
	em := Backend{}.Emit(site(&ir.ContentRule{ID: "wire-fraud", Text: "wire transfer", Actions: []ir.Action{{Name: "alert"}}}))
	dir := install(t, artefact(t, em, "xfwc.rules"), artefact(t, em, "xfwc.yaml"))
	c := converse("10.0.5.4:40000", "198.51.100.10:5347")
	c.say(fromClient, streamOpen, 1400)
	filler := message(strings.Repeat("nothing of note ", 80))
	for n := 0; n < 1200000; n += len(filler) {
		c.say(fromClient, filler, 1400)
	}
	c.at = c.at.Add(3 * 3600e9)
	complete := c.say(fromClient, message("wire transfer"), 7) // in no packet as a whole
	got := replay(t, dir, c)
	if len(got) != 1 || got[0].Packet == 0 || got[0].Packet > complete {
		t.Errorf("want one alert up to packet %d, got %+v", complete, got)
	}
}

// A live sensor, on the loopback interface of a network namespace of its own,
// alerts while the stream is open and quiet.
func TestAlertsLive(t *testing.T) {
	suricata := program(t)
	const mark = "XFWC_TEST_APART"
	if os.Getenv(mark) == "" {
		if os.Getuid() != 0 {
			if os.Getenv("CI") != "" {
				t.Fatal("a network namespace of its own needs root")
			}
			t.Skip("skipped: a network namespace of its own needs root")
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), mark+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v\n%s", err, out)
	}
	p, box := site(&ir.ContentRule{ID: "wire-fraud", Text: "wire transfer", Actions: []ir.Action{{Name: "alert"}}})
	box.Role, box.Server, box.Set = ir.Host, p.Servers[0], p.Servers[0].Set
	box.Engines[0].Device = "lo"
	p.Legs[0].FromSet = &ir.AddrSet{Prefixes: loopback}
	em := Backend{}.Emit(p, box)
	dir := install(t, artefact(t, em, "xfwc.rules"), artefact(t, em, "xfwc.yaml"))

	cmd := exec.Command(suricata, "--af-packet", "-c", dir+"/xfwc.yaml", "-S", dir+"/xfwc.rules", "-l", dir, "--init-errors-fatal")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	started := false
	for s := bufio.NewScanner(io.TeeReader(out, &said)); !started && s.Scan(); {
		started = strings.Contains(s.Text(), "ngine started")
	}
	if !started {
		t.Fatalf("suricata does not start:\n%s", said.String())
	}
	go io.Copy(io.Discard, out)

	server, err := net.Listen("tcp", "127.0.0.1:5347")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	peer, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	for _, text := range []string{streamOpen, handshake, message("hello"), message("a wire "), message("a wire transfer")} {
		if _, err := io.WriteString(client, text); err != nil {
			t.Fatal(err)
		}
		io.ReadFull(peer, make([]byte, len(text)))
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if got := alerts(t, dir); len(got) > 0 {
			if len(got) != 1 || got[0].Alert.Message != "xfwc wire-fraud on component irc" {
				t.Errorf("alerts %+v, want one of wire-fraud", got)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no alert while the stream is open")
		}
	}
}

// nasty are strings that mean something to a rule parser, a YAML parser, or a
// shell, or that have broken generators before.
func nasty() []string {
	list := []string{
		`"`, `;`, `\`, `|`, `!`, `:`, `,`, `$`, `#`, `'`, `%`, "`", `(`, `)`, `[`, `]`, `{`, `}`, `<`, `>`, `&`, `*`, `~`, `@`, `^`, `=`, `?`, `+`,
		`";`, `"; sid:1;)`, `|41|`, `|`, `||`, `|4`, `|zz|`, `!"x"`, `!x`, `\"`, `\;`, `\\`, `\|`, `x\`, `\x41`, `\n`,
		"a\nb", "a\r\nb", "a\x00b", "\x00", "\t", "\x7f", "\x1b[31m", "\xff\xfe", "\xc3\x28", "é", "ü\u0308", "日本語", "\u2028", "\u202e", "\U0001f600", "\ufeff",
		") alert tcp any any -> any any (msg:\"x\"; sid:2;)", "x\" nocase; content:\"y", "content:\"x\";", "$HOME_NET", "${HOME}", "$(id)", "`id`",
		" ", "  ", " leading", "trailing ", "a  b", "../../etc/passwd", "%s%s%n", "%YAML", "---", "...", "- x", "x: y", "&anchor", "*alias", "!!tag", "#comment", "a #b", "{{x}}", "<!DOCTYPE x>", "]]>",
		strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat(`"`, 257), strings.Repeat("|", 500), strings.Repeat("x", maxContent),
	}
	for c := range 256 { // every byte, in the middle
		list = append(list, "ab"+string([]byte{byte(c)})+"cd")
	}
	return list
}

// One run of the real parser over everything nasty, in every place that holds a
// string: Suricata loads all the rules, and the bytes it says it looks for are
// those that were meant.
func TestEngineTakesNastyStrings(t *testing.T) {
	var file bytes.Buffer
	want := map[uint32]string{}
	for i, s := range nasty() {
		r := rule{
			msg: "m" + s, from: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ports: []ir.PortSpan{{Proto: ir.TCP, From: 5347, To: 5347}},
			content: []byte(s), metadata: []meta{{"xfwc_policy", s}, {"xfwc_rule", s}}, sid: minSID + uint32(i),
		}
		line, err := r.line()
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		fmt.Fprintf(&file, "# %s\n%s\n", comment(s), line)
		want[r.sid] = s
	}
	config, err := configuration("evil\n\"point: x\\", "eth0")
	if err != nil {
		t.Fatal(err)
	}
	dir := install(t, file.Bytes(), config)
	accept(t, dir, len(want))

	cmd := exec.Command(program(t), "--engine-analysis", "--set", "engine-analysis.rules=yes", "--set", "engine-analysis.rules-fast-pattern=yes", "-c", dir+"/xfwc.yaml", "-S", dir+"/xfwc.rules", "-l", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("suricata --engine-analysis: %v\n%s", err, out)
	}
	text, err := os.ReadFile(dir + "/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{}
	for line := range bytes.Lines(text) {
		var a struct {
			ID    uint32 `json:"id"`
			Type  string `json:"type"`
			Lists struct {
				Payload struct {
					Matches []struct {
						Content struct {
							Pattern string `json:"pattern"`
							Length  int    `json:"length"`
							Nocase  bool   `json:"nocase"`
							Negated bool   `json:"negated"`
							Fast    bool   `json:"fast_pattern"`
						} `json:"content"`
					} `json:"matches"`
				} `json:"payload"`
			} `json:"lists"`
		}
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("rules.json: %v: %.200s", err, line)
		}
		s, ok := want[a.ID]
		if !ok || len(a.Lists.Payload.Matches) != 1 {
			t.Errorf("rule %d is not one that was written, or has not one content: %.200s", a.ID, line)
			continue
		}
		seen[a.ID] = true
		m := a.Lists.Payload.Matches[0].Content
		// With nocase Suricata keeps ASCII letters in lower case.
		if m.Length != len(s) || !m.Nocase || m.Negated || !m.Fast || a.Type != "stream" {
			t.Errorf("for %.40q Suricata has type %s, content %.200q", s, a.Type, fmt.Sprint(m))
		}
		const printed = 300 // the analysis cuts long patterns
		if m.Length <= printed && readPattern(t, m.Pattern) != lower(s) {
			t.Errorf("for %.40q Suricata looks for %.200q", s, m.Pattern)
		}
	}
	for sid, s := range want {
		if !seen[sid] {
			t.Errorf("Suricata knows no rule for %q", s)
		}
	}
}

// lower maps ASCII letters to lower case and keeps every other byte.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
