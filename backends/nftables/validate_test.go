package nftables

import (
	"net/netip"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	if err := everything().Validate(); err != nil {
		t.Fatalf("a good ruleset: %v", err)
	}
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	set := func(s Set) func(*Ruleset) { return func(r *Ruleset) { r.Sets = append(r.Sets, &s) } }
	rule := func(s ...Stmt) func(*Ruleset) {
		return func(r *Ruleset) {
			r.Chains = append(r.Chains, &Chain{Name: "extra", Rules: []*Rule{{Stmts: s, Comment: "policy.xfw:7"}}})
		}
	}
	el := func(vs ...KeyValue) []Element { return []Element{{Keys: vs}} }
	ip4 := []KeyType{IPv4Addr}
	for _, c := range []struct {
		name   string
		change func(*Ruleset)
		words  string
	}{
		{"no name", set(Set{Key: ip4}), "a name is needed"},
		{"long name", set(Set{Name: strings.Repeat("x", 256), Key: ip4}), "longer than 255"},
		{"odd name", set(Set{Name: "a b", Key: ip4}), "letters, digits"},
		{"digit first", set(Set{Name: "4x", Key: ip4}), "starts with a letter"},
		{"word of nft", set(Set{Name: "ip6", Key: ip4}), "a word of nft's language"},
		{"two sets", set(Set{Name: "hosts4", Key: ip4}), "two of this name"},
		{"two counters", func(r *Ruleset) { r.Counters = append(r.Counters, &Counter{Name: "denied"}) }, "two of this name"},
		{"two chains", func(r *Ruleset) { r.Chains = append(r.Chains, &Chain{Name: "input"}) }, "two of this name"},
		{"the chain of digests", func(r *Ruleset) { r.Chains = append(r.Chains, &Chain{Name: digestChain}) }, "two of this name"},
		{"no key", set(Set{Name: "s"}), "needs a key type"},
		{"unknown key", set(Set{Name: "s", Key: []KeyType{77}}), "unknown key type 77"},
		{"dynamic without size", set(Set{Name: "s", Key: ip4, Dynamic: true}), "needs a size"},
		{"dynamic with ranges", set(Set{Name: "s", Key: ip4, Dynamic: true, Size: 9, Interval: true}), "cannot hold ranges"},
		{"dynamic with elements", set(Set{Name: "s", Key: ip4, Dynamic: true, Size: 9, Elements: el(pfx("10.0.0.1"))}), "filled by rules"},
		{"too many elements", set(Set{Name: "s", Key: ip4, Size: 1, Elements: append(el(pfx("10.0.0.1")), el(pfx("10.0.0.2"))...)}), "do not fit its size of 1"},
		{"two values", set(Set{Name: "s", Key: ip4, Elements: el(pfx("10.0.0.1"), pfx("10.0.0.1"))}), "2 values for a key of 1"},
		{"other family", set(Set{Name: "s", Key: ip4, Elements: el(pfx("2001:db8::1"))}), "no IPv4 address"},
		{"mapped", set(Set{Name: "s", Key: []KeyType{IPv6Addr}, Elements: el(pfx("10.0.0.1"))}), "no IPv6 address"},
		{"zone", set(Set{Name: "s", Key: []KeyType{IPv6Addr}, Elements: el(KeyValue{Addr: netip.MustParseAddr("fe80::1%lo")})}), "no IPv6 address"},
		{"ranges in a hash", set(Set{Name: "s", Key: ip4, Elements: el(pfx("10.0.0.0/8"))}), "not declared to hold ranges"},
		{"backwards", set(Set{Name: "s", Key: ip4, Interval: true, Elements: el(pfx("10.0.0.9-10.0.0.1"))}), "is empty"},
		{"overlap", set(Set{Name: "s", Key: ip4, Interval: true, Elements: append(el(pfx("10.0.0.0/8")), el(pfx("10.1.0.0/16"))...)}), "10.1.0.0/16 is out of order or overlaps"},
		{"twice", set(Set{Name: "s", Key: ip4, Elements: append(el(pfx("10.0.0.1")), el(pfx("10.0.0.1"))...)}), "10.0.0.1 is out of order"},
		{"protocol number", set(Set{Name: "s", Key: []KeyType{InetProto}, Elements: el(KeyValue{Num: 300})}), "300 is no protocol number"},
		{"interface name", set(Set{Name: "s", Key: []KeyType{Ifname}, Elements: el(KeyValue{Name: "a b"})}), "cannot be in an interface name"},
		{"verdict in a set", set(Set{Name: "s", Key: ip4, Elements: []Element{{Keys: []KeyValue{pfx("10.0.0.1")}, Do: Drop}}}), "no verdict map has a verdict"},
		{"no verdict in a map", set(Set{Name: "s", Key: ip4, Verdict: true, Elements: el(pfx("10.0.0.1"))}), "unknown verdict"},
		{"map to nowhere", set(Set{Name: "s", Key: ip4, Verdict: true, Elements: []Element{{Keys: []KeyValue{pfx("10.0.0.1")}, Do: Goto, Chain: "none"}}}), `goto to chain "none", which is not there`},
		{"long name of a large set", func(r *Ruleset) {
			s := hosts(digestAbove+1, false).Sets[0]
			s.Name = strings.Repeat("x", 100)
			r.Sets = append(r.Sets, s)
		}, "too long for a set of 4097 elements"},
		{"unknown hook", func(r *Ruleset) { r.Chains = append(r.Chains, &Chain{Name: "c", Hook: "ingress"}) }, "unknown hook"},
		{"priority of a plain chain", func(r *Ruleset) { r.Chains = append(r.Chains, &Chain{Name: "c", Priority: 1}) }, "only a base chain"},
		{"empty rule", rule(), "needs a statement"},
		{"nil statement", rule(nil), "unknown statement"},
		{"after the verdict", rule(Verdict{Kind: Drop}, CountPacket{"denied"}), "nothing can follow a verdict"},
		{"jump to a base chain", rule(Verdict{Jump, "input"}), "base chain"},
		{"accept to a chain", rule(Verdict{Accept, "denied"}), "has no chain"},
		{"circle", rule(Verdict{Jump, "extra"}), "come back to it without end"},
		{"circle through a map", func(r *Ruleset) {
			set(Set{Name: "m", Key: []KeyType{InetProto, InetService}, Verdict: true, Elements: []Element{{Keys: []KeyValue{{Num: 6}, {Num: 1}}, Do: Goto, Chain: "extra"}}})(r)
			rule(VmapProtoPort{"m"})(r)
		}, "come back to it without end"},
		{"both families", rule(MatchFamily{V4}, MatchAddr{V6, Source, a6, false}), "asks for IPv6 after IPv4"},
		{"both protocols", rule(MatchPorts{"udp", Dest, []PortRange{{1, 1}}}, MatchSYN{}), "asks for tcp after udp"},
		{"no family", rule(MatchFamily{}), "unknown address family"},
		{"address of the other family", rule(MatchAddr{V4, Source, a6, false}), "no IPv4 address"},
		{"no side", rule(MatchAddr{V4, "", a4, false}), "unknown side"},
		{"no set", rule(MatchAddrSet{V4, Source, "none", false}), `set "none" is not there`},
		{"set of another key", rule(MatchAddrSet{V6, Source, "hosts4", false}), "another key"},
		{"map as a set", rule(VmapProtoPort{"ports"}), "another key"},
		{"meter without a dynamic set", rule(MeterConnections{V4, 0, "hosts4", 1}), "must be dynamic"},
		{"ct count with timeout", rule(MeterConnections{V4, 0, "rate4", 1}), "must have no timeout"},
		{"no counter", rule(CountPacket{"none"}), `counter "none" is not there`},
		{"no interface", rule(MatchInterface{}), "needs a name"},
		{"pattern among names", rule(MatchInterface{Names: []string{"eth0", "wg*"}}), "cannot be in an interface name"},
		{"long interface", rule(MatchInterface{Names: []string{"abcdefghijklmnop"}}), "1 to 15 characters"},
		{"no ports", rule(MatchPorts{Proto: "tcp", Side: Dest}), "needs a port"},
		{"ports backwards", rule(MatchPorts{"tcp", Dest, []PortRange{{9, 1}}}), "9-1 is empty"},
		{"ports of icmp", rule(MatchPorts{"icmp", Dest, []PortRange{{9, 9}}}), "only tcp and udp"},
		{"unknown protocol", rule(MatchL4Proto{"gopher"}), "unknown protocol"},
		{"no unit", rule(LimitRate{Rate: Rate{1, "fortnight", 1}}), "unknown unit"},
		{"no burst", rule(LimitRate{Rate: Rate{1, "second", 0}}), "burst of at least 1"},
		{"huge rate", rule(LimitRate{Rate: Rate{1 << 40, "second", 1}}), "more than the kernel counts"},
		{"huge burst", rule(LimitRate{Rate: Rate{1, "day", 4_000_000_000}}), "more than the kernel counts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := everything()
			c.change(r)
			err := r.Validate()
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %v, want %q", err, c.words)
			}
			// Neither reader panics on it.
			if len(r.Text()) == 0 {
				t.Error("no text")
			}
			Full(r)
		})
	}
}

// Every problem is reported, with the policy line of its rule.
func TestValidateReportsAll(t *testing.T) {
	r := &Ruleset{
		Counters: []*Counter{{Name: "tcp"}},
		Chains: []*Chain{{Name: "c", Rules: []*Rule{
			{Stmts: []Stmt{CountPacket{"x"}}, Comment: "policy.xfw:1"},
			{Stmts: []Stmt{MatchAddrSet{V4, Source, "y", false}}, Comment: "policy.xfw:2"}}}},
	}
	err := r.Validate()
	for _, w := range []string{`counter "tcp"`, `rule 1 (policy.xfw:1): counter "x"`, `rule 2 (policy.xfw:2): set "y"`} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
}

func TestSafeText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{`say "x" \ $y`, `say 'x' ? ?y`},
		{"a\nb\tc\x00d", "a b c?d"},
		{"grün", "gr?n"},
		{"\xff", "?"},
		{"12345678901", "1234567..."},
		{"1234567890", "1234567890"},
	} {
		if got := safeText(c.in, 10); got != c.want && len(c.want) <= 10 {
			t.Errorf("safeText(%q) = %q, want %q", c.in, got, c.want)
		}
		if got := safeText(c.in, maxComment); len(c.want) > 10 && got != c.want {
			t.Errorf("safeText(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
