package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"xfwc/compiler/ir"
)

// The text of proc(5), from a machine with the little-endian words that the
// format has there; big-endian machines print other digits, so the test writes
// its own.
func procLine(n int, local, remote, state string) string {
	return fmt.Sprintf("%4d: %s %s %s 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0\n", n, procAddr(local), procAddr(remote), state)
}

func procAddr(s string) string {
	ap := netip.MustParseAddrPort(s)
	b := ap.Addr().AsSlice()
	out := ""
	for i := 0; i < len(b); i += 4 {
		w := b[i : i+4]
		if littleEndian() {
			out += fmt.Sprintf("%02X%02X%02X%02X", w[3], w[2], w[1], w[0])
		} else {
			out += fmt.Sprintf("%X", w)
		}
	}
	return fmt.Sprintf("%s:%04X", out, ap.Port())
}

func littleEndian() bool {
	a, err := parseProcAddr("0100007F:0016")
	return err == nil && a.Addr() == netip.MustParseAddr("127.0.0.1")
}

func TestParseProcTCP(t *testing.T) {
	text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		procLine(0, "0.0.0.0:22", "0.0.0.0:0", tcpListen) +
		procLine(1, "192.0.2.10:22", "203.0.113.9:50022", tcpEstablished) +
		procLine(2, "192.0.2.10:40000", "203.0.113.9:5269", "06") +
		procLine(3, "[::ffff:192.0.2.10]:5222", "[::ffff:203.0.113.9]:50023", tcpEstablished) +
		procLine(4, "[2001:db8::10]:5222", "[2001:db8::99]:50024", tcpEstablished) +
		procLine(5, "[::]:5222", "[::]:0", tcpListen)
	open, listening, err := parseProcTCP(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range open {
		got = append(got, s.Local.String()+" "+s.Remote.String())
	}
	want := "192.0.2.10:22 203.0.113.9:50022, 192.0.2.10:5222 203.0.113.9:50023, [2001:db8::10]:5222 [2001:db8::99]:50024"
	if strings.Join(got, ", ") != want || fmt.Sprint(listening) != "[22 5222]" {
		t.Errorf("sessions %v, listening %v", got, listening)
	}
	for _, bad := range []string{"x\n1 2\n", "x\n" + strings.Replace(procLine(0, "1.2.3.4:1", "1.2.3.4:2", "01"), ":0001", "0001", 1), "x\n0: 7F:0016 0100007F:0016 01\n", "x\n0: 0100007F:FFFFF 0100007F:0016 0A\n"} {
		if _, _, err := parseProcTCP(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseProcTCP(f *testing.F) {
	f.Add("sl\n" + procLine(1, "192.0.2.10:22", "203.0.113.9:50022", tcpEstablished))
	f.Add("sl\n 0: 0100007F:0016 00000000:0000 0A\n")
	f.Fuzz(func(t *testing.T, s string) {
		open, _, err := parseProcTCP(strings.NewReader(s))
		for _, o := range open {
			if err == nil && (!o.Local.Addr().IsValid() || !o.Remote.Addr().IsValid()) {
				t.Errorf("a session without addresses from %q", s)
			}
		}
	})
}

func TestParseCut(t *testing.T) {
	session := Session{Local: netip.MustParseAddrPort("192.0.2.10:22"), Remote: netip.MustParseAddrPort("203.0.113.9:50022"), Inbound: true, SSH: true}
	for word, want := range map[string]string{
		"ssh": "covers", "203.0.113.9": "covers", "203.0.113.0/24": "covers", "203.0.113.9:22": "covers", "203.0.113.9:50022": "covers",
		"203.0.113.9:23": "no", "203.0.113.10": "no", "2001:db8::/32": "no", "[2001:db8::1]:22": "no", "::ffff:203.0.113.9": "covers",
		"": "error", "everything": "error", "203.0.113.9:": "error", "203.0.113.9:0": "error", "203.0.113.0/24:22": "error",
	} {
		specs, err := parseCuts([]string{word})
		got := "no"
		switch {
		case err != nil:
			got = "error"
		case specs[0].covers(session):
			got = "covers"
		}
		if got != want {
			t.Errorf("%q: %s, want %s (%v)", word, got, want, err)
		}
	}
}

func FuzzParseCut(f *testing.F) {
	for _, s := range []string{"ssh", "192.0.2.1:22", "[::1]:5", "10.0.0.0/8", "fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCut(s)
		if err == nil && !c.ssh && !c.prefix.IsValid() {
			t.Errorf("%q gives nothing", s)
		}
	})
}

// Sessions against policies: what is cut, by which line, and what is not told
// again.
func TestCuts(t *testing.T) {
	session := func(text string) Session {
		f := strings.Fields(text)
		s := Session{Remote: netip.MustParseAddrPort(f[0]), Local: netip.MustParseAddrPort(f[2]), Inbound: f[1] == "->", Interface: "eth0"}
		return s
	}
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	sessions := []Session{
		session("192.0.2.50:40000 -> 192.0.2.10:5222"),  // a client
		session("203.0.113.9:40000 -> 192.0.2.10:5222"), // a client from the denied network
		session("192.0.2.99:40000 -> 192.0.2.10:5269"),  // a peer
		session("192.0.2.98:5269 <- 192.0.2.10:40001"),  // the other peer, opened here
		session("192.0.2.50:40000 -> 192.0.2.10:22"),    // ssh: nothing speaks of it
	}
	text := func(cs []Cut) string {
		var out []string
		for _, c := range cs {
			out = append(out, c.String())
		}
		return strings.Join(out, "\n")
	}
	got := text(cuts(sessions, a, nil, nil, ir.Moment{}))
	want := `to 192.0.2.98:5269 from 192.0.2.10:40001: no statement allows it (policy.xfw:18 federation of chat)
from 203.0.113.9:40000 to 192.0.2.10:5222: denied by the policy (policy.xfw:23 deny network drop)`
	if got != want {
		t.Errorf("policy A:\n%s\nwant\n%s", got, want)
	}
	// B takes the clients' port away. What A denied is not told again.
	built, err := a.build()
	if err != nil {
		t.Fatal(err)
	}
	applied := built.record(&writer{}, ThisMachine().Now().Wall)
	got = text(cuts(sessions, b, applied, nil, ir.Moment{}))
	want = `from 192.0.2.50:40000 to 192.0.2.10:5222: no statement allows it (policy.xfw:4 server chat)`
	if got != want {
		t.Errorf("from A to B:\n%s\nwant\n%s", got, want)
	}
	allow, err := parseCuts([]string{"192.0.2.50"})
	if err != nil {
		t.Fatal(err)
	}
	if cs := cuts(sessions, b, applied, allow, ir.Moment{}); len(cs) != 1 || !cs[0].Allowed {
		t.Errorf("with the loss accepted: %+v", cs)
	}
}

// A real session over a real link: an apply that would cut it is refused, and
// made when the loss is accepted; other sessions do not matter.
func TestApplyRefusesToCut(t *testing.T) {
	newNamespace(t)
	far := newPeer(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	mustApply(t, o, a, ApplyOptions{})
	ln, err := net.Listen("tcp", "192.0.2.10:5222")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn := far.dial(t, "192.0.2.10:5222")
	defer conn.Close()
	served, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	t.Setenv("SSH_CONNECTION", strings.NewReplacer(":", " ").Replace(conn.LocalAddr().String()+" 192.0.2.10:5222"))
	before := live(t)
	_, err = Apply(context.Background(), o, b, ApplyOptions{})
	var cut *CutError
	if !errors.As(err, &cut) || len(cut.Sessions) != 1 {
		t.Fatalf("apply: %v", err)
	}
	s := cut.Sessions[0]
	if !s.Session.SSH || !s.Session.Inbound || s.Session.Interface != "near" || s.Hook != ir.Input || !strings.Contains(err.Error(), "(your ssh session)") {
		t.Errorf("the session: %+v", s)
	}
	if live(t) != before {
		t.Error("the refused apply changed the table")
	}
	if p, err := MakePlan(o, b); err != nil || len(p.Cuts) != 1 {
		t.Errorf("plan: %+v, %v", p, err)
	}
	if out := mustApply(t, o, b, ApplyOptions{AllowCut: []string{"ssh"}}); len(out.Plan.Cuts) != 1 || !out.Plan.Cuts[0].Allowed {
		t.Errorf("apply --allow-cut ssh: %+v", out.Plan.Cuts)
	}
}
