package try

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/compiler/ir"
)

// officeBed lays out testdata/layout/office.txtar.
func officeBed(t *testing.T) *Bed {
	t.Helper()
	needPrivilege(t)
	ar, err := txtar.ParseFile("testdata/layout/office.txtar")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string][]byte{}
	for _, f := range ar.Files {
		given[f.Name] = f.Data
	}
	p, _ := policy(t, given, "policy.xfw")
	b, err := NewBed(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// nft loads a ruleset into the namespace of one of the bed's points.
func nft(t *testing.T, b *Bed, point, ruleset string) {
	t.Helper()
	program, err := exec.LookPath("nft")
	if err != nil {
		missing(t, "the program nft is not installed")
	}
	at := slices.IndexFunc(b.layout.nodes, func(n *node) bool { return n.name == point })
	err = b.spaces[at].do(func() error {
		cmd := exec.Command(program, "-f", "-")
		cmd.Stdin = strings.NewReader(ruleset)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// packet reads "tcp 203.0.113.9 -> 198.51.100.10:5222", and after it
// "ttl=255" and "behind=edge.eth0".
func packet(t *testing.T, s string) Packet {
	t.Helper()
	f := strings.Fields(s)
	p := Packet{Proto: ir.Proto(f[0]), Src: netip.MustParseAddr(f[1])}
	to := netip.MustParseAddrPort(f[3])
	p.Dst, p.Port = to.Addr(), to.Port()
	for _, more := range f[4:] {
		if v, ok := strings.CutPrefix(more, "ttl="); ok {
			fmt.Sscan(v, &p.HopLimit)
		} else if v, ok := strings.CutPrefix(more, "behind="); ok {
			p.Behind = v
		} else {
			t.Fatalf("packet %q: %s?", s, more)
		}
	}
	return p
}

// TestProbe loads rulesets by hand and compares what arrives with what they say.
func TestProbe(t *testing.T) {
	b := officeBed(t)
	type want struct{ packet, outcome string }
	check := func(t *testing.T, wants []want) {
		t.Helper()
		var ps []Packet
		for _, w := range wants {
			ps = append(ps, packet(t, w.packet))
		}
		for i, o := range b.ProbeAll(ps) {
			got := "lost"
			switch {
			case o.Err != nil:
				got = "error"
			case o.Arrived && !o.Reached:
				got = "arrived without reaching"
			case o.Arrived && o.Heard != nil:
				got = "heard by " + strings.Join(o.Heard, ", ")
			case o.Arrived:
				got = "arrived"
			case o.Reached:
				got = "reached"
			}
			if got != wants[i].outcome {
				t.Errorf("%s: %s (%s, %v), want %s", wants[i].packet, got, o.How, o.Err, wants[i].outcome)
			}
		}
	}
	t.Run("without a policy", func(t *testing.T) {
		check(t, []want{
			{"tcp 203.0.113.9 -> 198.51.100.10:5222", "arrived"},
			{"tcp 2001:db8:ffff::1 -> [2001:db8:0:d::10]:5222", "arrived"},
			{"tcp 192.168.10.0 -> 198.51.100.10:5222", "arrived"},
			{"tcp 192.168.10.255 -> 198.51.100.10:5222", "arrived"},
			{"tcp 198.51.100.9 -> 198.51.100.10:5222", "arrived"},
			{"tcp 10.9.0.1 -> 198.51.100.1:22", "arrived"},
			{"tcp 198.51.100.1 -> 198.51.100.10:22", "arrived"},
			{"tcp 198.51.100.10 -> 203.0.113.7:5269", "arrived"},
			{"tcp 203.0.113.7 -> 192.168.10.4:80", "arrived"},
			{"udp 203.0.113.9 -> 198.51.100.10:53", "heard by chat1"},
			{"udp 2001:db8:ffff::1 -> [2001:db8:0:d::10]:53", "heard by chat1"},
			{"udp 198.51.100.9 -> 224.0.0.251:5353 ttl=255", "heard by edge, chat1"},
			{"udp 2001:db8:0:d::9 -> [ff02::fb]:5353 ttl=255", "heard by edge, chat1"},
			{"tcp 192.168.10.3 -> 198.51.100.10:5222 behind=edge.eth0", "reached"},
			{"tcp 192.168.10.3 -> 198.51.100.10:5222 behind=edge.nosuch0", "error"},
			{"tcp 192.168.10.3 -> [2001:db8:0:d::10]:5222", "error"},
			{"tcp 192.168.10.3 -> 198.51.100.10:0", "error"},
			{"tcp 192.168.10.3 -> 224.0.0.251:5353", "error"},
			{"icmp 192.168.10.3 -> 198.51.100.10:1", "error"},
		})
	})
	nft(t, b, "edge", `
		table inet x {
			chain forward {
				type filter hook forward priority 0;
				iifname eth0 ip saddr 192.168.10.0/24 drop
				iifname lan0 tcp dport 5223 drop
				tcp dport 5224 reject with tcp reset
				udp dport 53 ip6 hoplimit 62 drop
			}
		}`)
	nft(t, b, "chat1", `
		table inet x {
			chain input {
				type filter hook input priority 0;
				ip saddr 203.0.113.9 tcp dport 5222 drop
				iifname eth0 udp dport 53 meta nfproto ipv4 drop
				udp dport 5353 ip ttl != 255 drop
				udp dport 5353 ip6 hoplimit != 255 drop
			}
			chain output {
				type filter hook output priority 0;
				tcp dport 5269 drop
				udp dport 54 drop
				tcp sport 5347 drop
			}
		}`)
	t.Run("with rulesets", func(t *testing.T) {
		check(t, []want{
			{"tcp 203.0.113.9 -> 198.51.100.10:5222", "lost"},
			{"tcp 203.0.113.8 -> 198.51.100.10:5222", "arrived"},
			{"tcp 192.168.10.3 -> 198.51.100.10:5222", "arrived"},
			{"tcp 192.168.10.3 -> 198.51.100.10:5222 behind=edge.eth0", "lost"},
			{"tcp 192.168.10.3 -> 198.51.100.10:5223", "lost"},
			{"tcp 203.0.113.9 -> 198.51.100.10:5223", "arrived"},
			{"tcp 203.0.113.9 -> 198.51.100.10:5224", "lost"},
			{"tcp 198.51.100.9 -> 198.51.100.10:5224", "arrived"},
			{"tcp 203.0.113.9 -> 198.51.100.10:5347", "reached"},
			{"tcp 198.51.100.10 -> 203.0.113.7:5269", "lost"},
			{"udp 203.0.113.9 -> 198.51.100.10:53", "lost"},
			{"udp 198.51.100.10 -> 203.0.113.7:54", "lost"},
			{"udp 2001:db8:ffff::1 -> [2001:db8:0:d::10]:53", "heard by chat1"},
			// The gateway takes a hop before its forward hook.
			{"udp 2001:db8:ffff::1 -> [2001:db8:0:d::10]:53 ttl=63", "lost"},
			{"udp 198.51.100.9 -> 224.0.0.251:5353 ttl=255", "heard by edge, chat1"},
			{"udp 198.51.100.9 -> 224.0.0.251:5353 ttl=1", "heard by edge"},
			{"udp 2001:db8:0:d::9 -> [ff02::fb]:5353 ttl=254", "heard by edge"},
		})
	})
}

// TestForgetNeighbours loads a ruleset that breaks IPv6 neighbour discovery. It
// shows only once the neighbours are forgotten.
func TestForgetNeighbours(t *testing.T) {
	b := officeBed(t)
	four, six := packet(t, "tcp 203.0.113.9 -> 198.51.100.10:5222"), packet(t, "tcp 2001:db8:ffff::1 -> [2001:db8:0:d::10]:5222")
	both := func() string {
		out := b.ProbeAll([]Packet{four, six})
		return fmt.Sprint(out[0].Arrived, out[1].Arrived)
	}
	if got := both(); got != "true true" {
		t.Fatalf("without a policy: %s", got)
	}
	nft(t, b, "chat1", `
		table inet x {
			chain input {
				type filter hook input priority 0;
				icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop
			}
		}`)
	if got := both(); got != "true true" {
		t.Errorf("with neighbours known: %s", got)
	}
	if err := b.ForgetNeighbours(); err != nil {
		t.Fatal(err)
	}
	if got := both(); got != "true false" {
		t.Errorf("with neighbours forgotten: %s", got)
	}
}

// TestProbeManyDoors opens more listeners than are kept.
func TestProbeManyDoors(t *testing.T) {
	b := officeBed(t)
	var ps []Packet
	for port := 1; port <= openDoors+crowd; port++ {
		ps = append(ps, Packet{Proto: ir.TCP, Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("198.51.100.10"), Port: uint16(port)})
	}
	for i, o := range b.ProbeAll(ps) {
		if !o.Arrived {
			t.Fatalf("%s: %s, %v", ps[i], o.How, o.Err)
		}
	}
	if len(b.listeners) > openDoors || len(b.recent) > openDoors {
		t.Errorf("%d listeners are open, want at most %d", len(b.listeners), openDoors)
	}
}

// TestDoRecovers holds the bed's threads alive through a panic.
func TestDoRecovers(t *testing.T) {
	b := officeBed(t)
	pt := b.layout.nodes[0].point
	if err := b.Do(pt, func() error { panic("boom") }); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("a panic gives %v, want it as an error", err)
	}
	if err := b.Do(pt, func() error { return nil }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
	if err := b.Do(&ir.Point{Name: "elsewhere"}, func() error { return nil }); err == nil {
		t.Error("a point of another policy is accepted")
	}
}
