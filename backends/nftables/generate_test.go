package nftables

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
	"pgregory.net/rapid"
)

// ruleset draws a random ruleset that Validate takes. Objects have names from a
// small pool, so that two draws share some of them with other contents and
// definitions. With fixed, what the kernel cannot change in place is the same
// in all draws: the kind of a set.
func ruleset(fixed bool) *rapid.Generator[*Ruleset] {
	return rapid.Custom(func(t *rapid.T) *Ruleset {
		g := &generator{t: t, fixed: fixed, r: &Ruleset{Comment: rapid.SampledFrom([]string{"", "policy a", "policy b"}).Draw(t, "table comment")}}
		g.counters()
		g.leaves()
		g.sets()
		g.chains()
		return g.r
	})
}

type generator struct {
	t      *rapid.T
	r      *Ruleset
	fixed  bool
	leaf   []string // chains that maps may lead to
	byType map[string][]*Set
}

func (g *generator) bool(label string) bool { return rapid.Bool().Draw(g.t, label) }

func (g *generator) n(label string, from, to int) int {
	return rapid.IntRange(from, to).Draw(g.t, label)
}

func pick[T any](g *generator, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

func (g *generator) comment() string {
	if g.bool("plain comment") {
		return pick(g, "comment", "", "policy.xfw:1", "policy.xfw:2 allow")
	}
	return rapid.String().Draw(g.t, "odd comment")
}

func (g *generator) counters() {
	for _, name := range []string{"c_one", "c-two", "_c.three"} {
		if g.bool("counter") {
			g.r.Counters = append(g.r.Counters, &Counter{Name: name, Comment: g.comment()})
		}
	}
}

func (g *generator) verdict() (VerdictKind, string) {
	k := pick(g, "verdict", Accept, Drop, Return, Jump, Goto)
	if (k == Jump || k == Goto) && len(g.leaf) > 0 {
		return k, rapid.SampledFrom(g.leaf).Draw(g.t, "leaf")
	}
	return pick(g, "plain verdict", Accept, Drop, Return), ""
}

// leaves are chains that lead nowhere.
func (g *generator) leaves() {
	for _, name := range []string{"leaf_a", "leaf_b", "leaf_c"} {
		if !g.bool("leaf") {
			continue
		}
		c := &Chain{Name: name, Comment: g.comment()}
		for range g.n("leaf rules", 0, 3) {
			c.Rules = append(c.Rules, &Rule{Stmts: []Stmt{pick[Stmt](g, "leaf statement", MatchNew{}, MatchL4Proto{"tcp"},
				LogPacket{Prefix: g.comment()}, Verdict{Kind: Drop}, LimitRate{Rate: g.rate()})}, Comment: g.comment()})
		}
		g.leaf = append(g.leaf, name)
		g.r.Chains = append(g.r.Chains, c)
	}
}

func (g *generator) rate() Rate {
	return Rate{Count: uint64(g.n("rate", 1, 9999)), Unit: pick(g, "unit", "second", "minute", "hour", "day"), Burst: uint32(g.n("burst", 1, 1000))}
}

// addrs draws disjoint, sorted addresses, prefixes and ranges.
func (g *generator) addrs(f Family, ranges bool) []KeyValue {
	var out []KeyValue
	for i := range 12 {
		if !g.bool("address") {
			continue
		}
		// Each number owns a block: 16 bits of it in IPv4, a /48 in IPv6. The
		// first and the last block touch the ends of the address space.
		block := []byte{0, 0, 10, 0, 10, 1, 10, 2, 172, 16, 192, 0, 198, 51, 203, 0, 224, 0, 240, 1, 254, 255, 255, 255}[2*i : 2*i+2]
		var p netip.Prefix
		if f == V4 {
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte{block[0], block[1]}), 16)
		} else {
			var b [16]byte
			copy(b[:], block)
			p = netip.PrefixFrom(netip.AddrFrom16(b), 16)
			if i == 0 || i == 11 {
				p, _ = p.Addr().Prefix(16)
			}
		}
		first, last := p.Addr(), netipx.PrefixLastIP(p)
		switch {
		case !ranges:
			out = append(out, KeyValue{Addr: pick(g, "end", first, last, first.Next(), last.Prev())})
		default:
			out = append(out, pick(g, "range",
				KeyValue{Addr: first}, KeyValue{Addr: last}, KeyValue{Addr: first, AddrTo: last},
				KeyValue{Addr: first.Next(), AddrTo: last.Prev()}, KeyValue{Addr: first, AddrTo: first.Next()},
				KeyValue{Addr: first.Next().Next(), AddrTo: last}))
		}
	}
	return out
}

func (g *generator) ports(ranges bool) []KeyValue {
	var out []KeyValue
	for _, p := range []uint16{0, 22, 53, 443, 5222, 5269, 65000} {
		if !g.bool("port") {
			continue
		}
		v := KeyValue{Num: p}
		if ranges && g.bool("range") {
			v.NumTo = p + pick[uint16](g, "length", 1, 8, 30)
			if p == 0 {
				v.NumTo = 8
			}
			if p == 65000 {
				v.NumTo = 65535
			}
		}
		out = append(out, v)
	}
	return out
}

func (g *generator) sets() {
	g.byType = map[string][]*Set{}
	for _, f := range []Family{V4, V6} {
		for _, ranges := range []bool{false, true} {
			for _, base := range []string{"x", "y"} {
				name := fmt.Sprintf("%s%d", base, f)
				if g.fixed {
					name = fmt.Sprintf("%s_%v", name, ranges)
				} else if g.byName(name) != nil {
					continue
				}
				if !g.bool("address set") {
					continue
				}
				s := &Set{Name: name, Key: []KeyType{addrType(f)}, Interval: ranges, Comment: pick(g, "set comment", "", "feed 1", "feed 2")}
				if g.fixed {
					s.Comment = ""
				}
				for _, v := range g.addrs(f, ranges) {
					s.Elements = append(s.Elements, Element{Keys: []KeyValue{v}})
				}
				if !ranges {
					s.Size = pick[uint32](g, "size", 12, 16, 64)
					if g.fixed {
						s.Size = 64
					}
				}
				g.add("addr", s)
			}
			g.maps(f, ranges)
		}
	}
	for _, k := range []struct {
		name string
		key  KeyType
		vs   []KeyValue
	}{
		{"ifs", Ifname, []KeyValue{{Name: "eth0"}, {Name: "wg-0"}, {Name: "br0.5"}}},
		{"protos", InetProto, []KeyValue{{Num: 1}, {Num: 6}, {Num: 17}, {Num: 58}, {Num: 99}}},
		{"fams", NFProto, []KeyValue{{Num: 2}, {Num: 10}}},
	} {
		if g.bool(k.name) {
			s := &Set{Name: k.name, Key: []KeyType{k.key}}
			for _, v := range k.vs {
				if g.bool("element") {
					s.Elements = append(s.Elements, Element{Keys: []KeyValue{v}})
				}
			}
			g.add("other", s)
		}
	}
	if g.bool("service set") {
		s := &Set{Name: "services", Key: []KeyType{InetService}, Interval: true}
		for _, v := range g.ports(true) {
			s.Elements = append(s.Elements, Element{Keys: []KeyValue{v}})
		}
		g.add("other", s)
	}
	for _, f := range []Family{0, V4, V6} {
		key := InetProto
		if f != 0 {
			key = addrType(f)
		}
		if g.bool("connections") {
			g.add("conns", &Set{Name: fmt.Sprintf("conns%d", f), Key: []KeyType{key}, Dynamic: true, Size: g.size(), Comment: g.comment()})
		}
		if g.bool("rates") {
			timeout := uint32(90)
			if !g.fixed {
				timeout = pick[uint32](g, "timeout", 60, 90, 7200)
			}
			g.add("rates", &Set{Name: fmt.Sprintf("rates%d", f), Key: []KeyType{key}, Dynamic: true, Size: g.size(), Timeout: timeout})
		}
	}
}

func (g *generator) size() uint32 {
	if g.fixed {
		return 64
	}
	return pick[uint32](g, "dynamic size", 16, 64)
}

func (g *generator) byName(name string) *Set {
	for _, s := range g.r.Sets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (g *generator) add(kind string, s *Set) {
	g.r.Sets = append(g.r.Sets, s)
	g.byType[kind] = append(g.byType[kind], s)
}

// maps draws the verdict maps of a family; ranges makes them maps of ranges.
func (g *generator) maps(f Family, ranges bool) {
	name := func(base string) string {
		if g.fixed {
			return fmt.Sprintf("%s_%v", base, ranges)
		}
		return base
	}
	if n := name(fmt.Sprintf("to%d", f)); g.byName(n) == nil && g.bool("address map") {
		s := &Set{Name: n, Key: []KeyType{addrType(f), InetProto, InetService}, Verdict: true, Interval: ranges}
		for _, a := range g.addrs(f, ranges) {
			for _, p := range g.ports(ranges) {
				do, chain := g.verdict()
				s.Elements = append(s.Elements, Element{Keys: []KeyValue{a, {Num: pick[uint16](g, "protocol", 6, 17)}, p}, Do: do, Chain: chain})
			}
		}
		g.add("addrmap", s)
	}
	if f == V6 {
		return
	}
	if n := name("ports"); g.byName(n) == nil && g.bool("port map") {
		s := &Set{Name: n, Key: []KeyType{InetProto, InetService}, Verdict: true, Interval: ranges}
		for _, p := range g.ports(ranges) {
			do, chain := g.verdict()
			s.Elements = append(s.Elements, Element{Keys: []KeyValue{{Num: pick[uint16](g, "protocol", 6, 17)}, p}, Do: do, Chain: chain})
		}
		// nft and netlink must agree whatever the order.
		if g.bool("reverse") {
			slices.Reverse(s.Elements)
		}
		g.add("portmap", s)
	}
	if n := name("active"); !ranges && g.byName(n) == nil && g.bool("family map") {
		s := &Set{Name: n, Key: []KeyType{NFProto}, Verdict: true, Expires: true}
		for _, num := range []uint16{2, 10} {
			if g.bool("family") {
				do, chain := g.verdict()
				s.Elements = append(s.Elements, Element{Keys: []KeyValue{{Num: num}}, Do: do, Chain: chain, Timeout: pick[uint32](g, "element timeout", 0, 300, 600)})
			}
		}
		g.add("familymap", s)
	}
}

func (g *generator) chains() {
	var inner []string
	for _, name := range []string{"inner_a", "inner_b"} {
		if g.bool("inner chain") {
			c := &Chain{Name: name, Comment: g.comment()}
			g.rules(c, g.leaf)
			g.r.Chains = append(g.r.Chains, c)
			inner = append(inner, name)
		}
	}
	targets := slices.Concat(g.leaf, inner)
	for _, base := range []struct{ name, hook string }{{"early", "prerouting"}, {"in", "input"}, {"through", "forward"}, {"outward", "output"}} {
		if !g.bool("base chain") {
			continue
		}
		c := &Chain{Name: base.name, Hook: base.hook, Priority: 10, Comment: g.comment()}
		if !g.fixed {
			c.Priority = pick(g, "priority", -310, 0, 10)
		}
		g.rules(c, targets)
		g.r.Chains = append(g.r.Chains, c)
	}
}

func (g *generator) rules(c *Chain, targets []string) {
	for range g.n("rules", 0, 5) {
		c.Rules = append(c.Rules, g.rule(targets))
	}
}

// rule draws a rule: it offers statements and keeps those that do not
// contradict the ones before.
func (g *generator) rule(targets []string) *Rule {
	r := &Rule{Comment: g.comment()}
	in := ruleContext{}
	v := &validator{sets: map[string]*Set{}, chains: map[string]*Chain{}, counters: map[string]bool{}}
	for _, s := range g.r.Sets {
		v.sets[s.Name] = s
	}
	for _, s := range g.r.Counters {
		v.counters[s.Name] = true
	}
	for range g.n("statements", 1, 5) {
		s := g.stmt()
		if s == nil {
			continue
		}
		before := in
		if v.stmt(&in, s) != nil {
			in = before
			continue
		}
		r.Stmts = append(r.Stmts, s)
	}
	if len(r.Stmts) == 0 || g.bool("ends") {
		k := pick(g, "end", Accept, Drop, Return, Jump, Goto)
		end := Verdict{Kind: k}
		if k == Jump || k == Goto {
			end = Verdict{Kind: Drop}
			if len(targets) > 0 {
				end = Verdict{Kind: k, Chain: rapid.SampledFrom(targets).Draw(g.t, "target")}
			}
		}
		r.Stmts = append(r.Stmts, end)
	}
	return r
}

func (g *generator) set(kind string) *Set {
	if len(g.byType[kind]) == 0 {
		return nil
	}
	return rapid.SampledFrom(g.byType[kind]).Draw(g.t, kind)
}

func (g *generator) stmt() Stmt {
	f := pick(g, "family", V4, V6)
	side := pick(g, "side", Source, Dest)
	not := g.bool("not")
	addr := map[Family]netip.Addr{V4: netip.MustParseAddr("192.0.2.1"), V6: netip.MustParseAddr("2001:db8::1")}[f]
	switch g.n("statement", 0, 21) {
	case 0:
		names := pick(g, "interfaces", []string{"lo"}, []string{"eth*"}, []string{"eth0", "eth1"}, []string{"b", "a", "b"}, []string{"wg-0.5@x"})
		return MatchInterface{Out: g.bool("out"), Names: names, Not: not}
	case 1:
		if s := g.set("addr"); s != nil {
			f := V4
			if s.Key[0] == IPv6Addr {
				f = V6
			}
			return MatchAddrSet{Family: f, Side: side, Set: s.Name, Not: not}
		}
	case 2:
		return MatchAddr{Family: f, Side: side, Addr: addr, Not: not}
	case 3:
		return MatchFamily{f}
	case 4:
		return MatchL4Proto{pick(g, "l4", "tcp", "udp", "icmp", "ipv6-icmp")}
	case 5, 6:
		var ports []PortRange
		for range g.n("ports", 1, 4) {
			from := pick[uint16](g, "from", 0, 1, 22, 53, 65534)
			ports = append(ports, PortRange{from, from + pick[uint16](g, "length", 0, 0, 1)})
		}
		return MatchPorts{Proto: pick(g, "proto", "tcp", "udp"), Side: side, Ports: ports}
	case 7:
		return MatchEstablished{}
	case 8:
		return MatchInvalid{}
	case 9:
		return MatchNew{}
	case 10:
		return MatchSYN{}
	case 11:
		return MatchHopLimit255{f}
	case 12:
		return pick[Stmt](g, "other", MatchNeighbourDiscovery{}, MatchDays{1, 5}, MatchDays{0, 0}, MatchHours{0, 3599}, MatchHours{28800, 64799}, MatchHours{3600, 86399})
	case 13:
		if s := g.set("portmap"); s != nil {
			return VmapProtoPort{s.Name}
		}
	case 14:
		if s := g.set("addrmap"); s != nil {
			f := V4
			if s.Key[0] == IPv6Addr {
				f = V6
			}
			return VmapAddrProtoPort{Family: f, Side: side, Map: s.Name}
		}
	case 15:
		if s := g.set("familymap"); s != nil {
			return VmapFamily{s.Name}
		}
	case 16:
		if s := g.set("conns"); s != nil {
			return MeterConnections{Family: meterFamily(s), Bits: g.bits(s), Set: s.Name, Over: uint32(g.n("over", 1, 100))}
		}
	case 17:
		if s := g.set("rates"); s != nil {
			return MeterRate{Family: meterFamily(s), Bits: g.bits(s), Set: s.Name, Rate: g.rate()}
		}
	case 18:
		return CountConnections{uint32(g.n("over", 1, 1000))}
	case 19:
		return LimitRate{Over: not, Rate: g.rate()}
	case 20:
		if len(g.r.Counters) > 0 {
			return CountPacket{rapid.SampledFrom(g.r.Counters).Draw(g.t, "counter").Name}
		}
	case 21:
		return LogPacket{g.comment()}
	}
	return nil
}

// bits is the length of the prefix that a meter counts by.
func (g *generator) bits(s *Set) uint8 {
	if meterFamily(s) == 0 {
		return 0
	}
	return pick[uint8](g, "bits", 0, 8, 22, 32)
}

func meterFamily(s *Set) Family {
	switch s.Key[0] {
	case IPv4Addr:
		return V4
	case IPv6Addr:
		return V6
	}
	return 0
}
