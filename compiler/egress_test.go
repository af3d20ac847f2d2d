package compiler

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// calling is an egress rule of a random policy.
type calling struct {
	allow bool
	ports []ir.PortSpan
	to    string // what the policy says
	set   []netip.Prefix
}

func (c calling) matches(proto ir.Proto, dst netip.Addr, port uint16) bool {
	return portIn(c.ports, proto, port) && slices.ContainsFunc(c.set, func(p netip.Prefix) bool { return p.Contains(dst) })
}

// TestEgressMeansWhatItSays holds the placement of random egress statements to
// their meaning, said once more in few words: what a deny rule names is denied;
// what an allow rule or the server's own statements name is allowed; everything
// else is denied by default deny, and by default allow where an allow rule speaks
// of the port.
func TestEgressMeansWhatItSays(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	places := map[string][]netip.Prefix{
		"any": {netip.MustParsePrefix("0.0.0.0/0")}, "lan": {netip.MustParsePrefix("10.0.0.0/8")},
		"10.0.0.53": {netip.MustParsePrefix("10.0.0.53/32")}, "203.0.113.0/25": {netip.MustParsePrefix("203.0.113.0/25")},
		"other": {netip.MustParsePrefix("192.0.2.20/32")},
	}
	names := []string{"any", "lan", "10.0.0.53", "203.0.113.0/25", "other"}
	services := map[string][]ir.PortSpan{
		"dns": callServices["dns"], "https": callServices["https"], "smtp": callServices["smtp"],
		"tcp/5222": {tcpPort(5222)}, "tcp/5260-5270": {{Proto: ir.TCP, From: 5260, To: 5270}}, "udp/1-60000": {{Proto: ir.UDP, From: 1, To: 60000}},
	}
	words := []string{"dns", "https", "smtp", "tcp/5222", "tcp/5260-5270", "udp/1-60000"}
	own := []calling{ // federation and a component that the server calls
		{ports: []ir.PortSpan{tcpPort(5269)}, set: []netip.Prefix{netip.MustParsePrefix("203.0.113.20/32")}},
		{ports: []ir.PortSpan{tcpPort(443)}, set: []netip.Prefix{netip.MustParsePrefix("203.0.113.21/32")}},
		{ports: []ir.PortSpan{tcpPort(5555)}, set: []netip.Prefix{netip.MustParsePrefix("10.1.0.4/32")}},
	}
	guarded := []ir.PortSpan{tcpPort(5269), tcpPort(5347), tcpPort(5555)} // of Prosody and the component, without any egress rule
	for range 150 {
		var rules []calling
		var text strings.Builder
		byDefault := []string{"allow", "deny"}[r.IntN(2)]
		used := map[string]bool{}
		for range r.IntN(6) {
			service, to := words[r.IntN(len(words))], names[r.IntN(len(names))]
			if used[service+to] {
				continue // a contradiction, which the resolver reports
			}
			used[service+to] = true
			c := calling{allow: r.IntN(2) == 0, ports: services[service], to: to, set: places[to]}
			rules = append(rules, c)
			fmt.Fprintf(&text, "%s %s to %s\n", map[bool]string{true: "allow", false: "deny"}[c.allow], service, to)
		}
		policy := `policy "p" { }
network lan = 10.0.0.0/8
network dmz = 198.51.100.0/24
network srv = 192.0.2.0/24
server chat { software prosody 13.0 domain chat.example address 198.51.100.10 }
server other { software ejabberd 24.12 domain other.example address 192.0.2.20 }
point box { role host of chat address 10.0.0.10 interface eth0 faces internet, dmz interface eth1 faces lan nftables }
point edge { role gateway interface eth0 faces internet interface dmz0 faces dmz interface srv0 faces srv nftables }
clients of other { from any }
federation of chat {
  default deny
  peer one.example { address 203.0.113.20 }
  peer two.example { address 203.0.113.21 port 443 }
}
component irc of chat { from 10.1.0.4 mode connect port 5555 }
egress of chat {
default ` + byDefault + "\n" + text.String() + "}\n"
		out := compileArchive(&txtar.Archive{Files: []txtar.File{{Name: "policy.xfw", Data: []byte(policy)}}})
		for _, f := range out.Findings {
			if f.Code == "internal-error" || f.Severity == diag.Error && !isCheck(f.Code) {
				t.Fatalf("%s: %s\n%s", f.Code, f.Summary, policy)
			}
		}
		spoken := slices.Clone(guarded)
		for _, c := range rules {
			if c.allow {
				spoken = append(spoken, c.ports...)
			}
		}
		if byDefault == "deny" {
			spoken = everyPort
		}
		for range 200 {
			proto := []ir.Proto{ir.TCP, ir.UDP}[r.IntN(2)]
			dst := []string{"10.0.0.53", "10.0.0.54", "10.1.0.4", "203.0.113.20", "203.0.113.21", "203.0.113.5", "203.0.113.200", "192.0.2.20", "192.0.2.21"}[r.IntN(9)]
			port := []uint16{25, 53, 80, 123, 443, 853, 5222, 5259, 5260, 5269, 5270, 5271, 5347, 5555, 60000, 60001, 65535}[r.IntN(17)]
			pkt := Packet{Proto: proto, Src: netip.MustParseAddr("198.51.100.10"), Dst: netip.MustParseAddr(dst), DstPort: port}
			matches := func(allow bool) bool {
				return slices.ContainsFunc(rules, func(c calling) bool { return c.allow == allow && c.matches(proto, pkt.Dst, port) })
			}
			named := slices.ContainsFunc(own, func(c calling) bool { return c.matches(proto, pkt.Dst, port) })
			want := ir.Untouched
			switch {
			case matches(false):
				want = ir.Deny
			case matches(true), named && portIn(spoken, proto, port):
				want = ir.Allow
			case portIn(spoken, proto, port):
				want = ir.Deny
			}
			ex := Explain(out.Policy, pkt)
			if got := ex.Hops[0].Decision.Verdict; got != want {
				t.Fatalf("%s %s:%d is %s at the machine, and should be %s\n%s", proto, dst, port, got, want, policy)
			}
			// The gateway agrees, but for what it does not let in anyway: other has
			// its own statements.
			if last := ex.Hops[len(ex.Hops)-1]; last.Hook == ir.Forward {
				closed := dst == "192.0.2.20" && proto == ir.TCP && port != 5222 && slices.ContainsFunc(out.Policy.Servers[1].Listeners, func(l ir.Listener) bool { return l.Port == tcpPort(port) })
				switch got := last.Decision.Verdict; {
				case want == ir.Deny && got != ir.Deny, want != ir.Deny && got == ir.Deny && !closed:
					t.Fatalf("%s %s:%d is %s at the gateway, and %s at the machine\n%s", proto, dst, port, got, want, policy)
				}
			}
		}
	}
}
