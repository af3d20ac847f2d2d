package try

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"xfwc/compiler/ir"
)

// witness is a packet that stands for many of a test's.
type witness struct {
	Packet
	source string // who sends it, in the policy's words
}

// How many packets stand for an expectation. Real packets take time, and each
// one allowed counts against the policy's limits; the model judges all regions.
const (
	mostPrefixes = 8  // of a set, in each family
	mostTargets  = 4  // addresses, in each family
	mostPorts    = 4  // of an expectation
	mostPackets  = 96 // of an expectation, in each family
)

// source is an address with what it is called.
type source struct {
	addr netip.Addr
	name string
}

// witnesses chooses the packets that stand for an expectation: for a set of
// sources the first, a middle and the last address of its prefixes; for `any` an
// address that no statement names, and one of every network, peer, component,
// server and point; and these besides the sources that alone are expected. Both families, to each address of the destination.
func witnesses(p *ir.Policy, l *layout, t *ir.Test) []witness {
	var ws []witness
	ports := portsOf(t)
	for _, six := range []bool{false, true} {
		n := 0
		for _, dst := range targetsOf(p, t, six) {
			for _, src := range sourcesOf(p, t, six) {
				if sameMachine(l, src.addr, dst) {
					continue // a machine reaches itself over the loopback interface
				}
				for _, port := range ports {
					if n++; n > mostPackets {
						continue
					}
					ws = append(ws, witness{Packet{Proto: t.Proto, Src: src.addr, Dst: dst, Port: port}, src.name})
				}
			}
		}
	}
	return ws
}

// sameMachine reports whether both addresses belong to one point or server.
func sameMachine(l *layout, a, b netip.Addr) bool {
	if a == b {
		return true
	}
	x, okx := l.owner[a]
	y, oky := l.owner[b]
	return okx && oky && x == y && l.nodes[x].point != nil
}

func portsOf(t *ir.Test) []uint16 {
	var ps []uint16
	for _, s := range t.Ports {
		for _, p := range []uint16{s.From, s.From + (s.To-s.From)/2, s.To} {
			if p != 0 && !slices.Contains(ps, p) && len(ps) < mostPorts {
				ps = append(ps, p)
			}
		}
	}
	return ps
}

func targetsOf(p *ir.Policy, t *ir.Test, six bool) []netip.Addr {
	var as []netip.Addr
	add := func(a netip.Addr) {
		if a.Is6() == six && len(as) < mostTargets && !slices.Contains(as, a) && (usable(a) || a.IsMulticast()) {
			as = append(as, a)
		}
	}
	switch {
	case t.ToSrv != nil:
		for _, a := range t.ToSrv.Addresses {
			add(a)
		}
	case t.ToPt != nil:
		for _, a := range pointAddresses(t.ToPt) {
			add(a)
		}
	case t.To.Set != nil:
		for _, s := range members(t.To.Set, six) {
			add(s)
		}
	case t.To.Any:
		if a, ok := unnamed(p, t, six, 1); ok {
			add(a)
		}
	}
	return as
}

func sourcesOf(p *ir.Policy, t *ir.Test, six bool) []source {
	var out []source
	add := func(a netip.Addr, name string) bool {
		if a.Is6() != six || !usable(a) || t.Except.Contains(a) {
			return false
		}
		if !slices.ContainsFunc(out, func(s source) bool { return s.addr == a }) {
			out = append(out, source{a, name})
		}
		return true
	}
	one := func(s *ir.AddrSet, name string) {
		for _, a := range members(s, six) {
			if add(a, name) {
				return
			}
		}
	}
	if !t.From.Any {
		for _, a := range members(t.From.Set, six) {
			add(a, t.From.Label)
		}
	}
	if !t.Everybody() {
		return out
	}
	if a, ok := unnamed(p, t, six, 0); ok {
		add(a, "an address that no statement names")
	}
	for _, n := range p.Networks {
		one(n.Set, "network "+n.Name)
	}
	for _, f := range p.Flows {
		for _, ep := range []ir.Endpoint{f.From, f.To} {
			if !ep.Any && ep.Set != nil {
				one(ep.Set, ep.Label)
			}
		}
	}
	for _, s := range p.Servers {
		for _, a := range s.Addresses {
			add(a, "server "+s.Name)
		}
	}
	for _, pt := range p.Points {
		for _, a := range pointAddresses(pt) {
			add(a, "point "+pt.Name)
		}
	}
	return out
}

// members picks addresses of one family from a set: of each prefix, or of a few
// prefixes spread over a long set, the first, a middle and the last address.
// They are ordered so that the first of every prefix comes first.
func members(s *ir.AddrSet, six bool) []netip.Addr {
	if s == nil {
		return nil
	}
	var ps []netip.Prefix
	for _, p := range s.Prefixes {
		if p.Addr().Is6() == six {
			ps = append(ps, p)
		}
	}
	if n := len(ps); n > mostPrefixes {
		few := make([]netip.Prefix, 0, mostPrefixes)
		for i := range mostPrefixes {
			few = append(few, ps[i*(n-1)/(mostPrefixes-1)])
		}
		ps = few
	}
	var as []netip.Addr
	for _, pick := range []func(netip.Prefix) netip.Addr{firstOf, netipx.PrefixLastIP, middleOf} {
		for _, p := range ps {
			if a := pick(p); !slices.Contains(as, a) {
				as = append(as, a)
			}
		}
	}
	return as
}

func firstOf(p netip.Prefix) netip.Addr { return p.Masked().Addr() }

// middleOf is the first address of a prefix's upper half, plus one where there
// is room: no network address of anything.
func middleOf(p netip.Prefix) netip.Addr {
	if p.IsSingleIP() {
		return p.Addr()
	}
	b := p.Masked().Addr().AsSlice()
	b[p.Bits()/8] |= 1 << (7 - p.Bits()%8)
	a, _ := netip.AddrFromSlice(b)
	if next := a.Next(); p.Contains(next) {
		return next
	}
	return a
}

// usable reports whether a host may send from the address across a router.
func usable(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsLinkLocalUnicast() || a.Is4In6() {
		return false
	}
	if a.Is4() {
		b := a.As4()
		return b[0] != 0 && b[0] < 240
	}
	return true
}

// unnamed finds an address that no statement of the policy names, the skip-th
// of those that are looked at. Documentation addresses come first (RFC 5737,
// RFC 3849): policies use them for the internet, and they are nobody's.
func unnamed(p *ir.Policy, t *ir.Test, six bool, skip int) (netip.Addr, bool) {
	sets := namedSets(p, t)
	candidates := []string{"203.0.113.77", "203.0.113.9", "198.51.100.77", "192.0.2.77", "203.0.113.199"}
	step := func(i int) string { return fmt.Sprintf("%d.%d.77.77", 1+i%222, i%251) }
	if six {
		candidates = []string{"2001:db8:ffff::77", "2001:db8:fff0::77", "2001:db8:77::77"}
		step = func(i int) string { return fmt.Sprintf("2a%02x:%x::77", i%256, i+1) }
	}
	for i := range 1000 {
		candidates = append(candidates, step(i))
	}
	for _, c := range candidates {
		a := netip.MustParseAddr(c)
		if !usable(a) || bogus(a) || slices.ContainsFunc(sets, func(s *ir.AddrSet) bool { return s.Contains(a) }) {
			continue
		}
		if skip == 0 {
			return a, true
		}
		skip--
	}
	return netip.Addr{}, false
}

// bogus reports whether the internet never sends from the address (RFC 6890).
func bogus(a netip.Addr) bool {
	b := a.As16()
	return a.IsPrivate() || a.Is4() && (b[12] == 100 && b[13]&0xc0 == 64 || b[12] == 198 && b[13]&0xfe == 18)
}

// namedSets lists every address set that the policy speaks of.
func namedSets(p *ir.Policy, t *ir.Test) []*ir.AddrSet {
	var sets []*ir.AddrSet
	add := func(s *ir.AddrSet) {
		if s != nil {
			sets = append(sets, s)
		}
	}
	for _, n := range p.Networks {
		add(n.Set)
	}
	for _, s := range p.Servers {
		add(s.Set)
		add(hosts(s.Addresses))
	}
	for _, pt := range p.Points {
		add(pt.Set)
		add(hosts(pt.Addresses))
	}
	for _, f := range p.Flows {
		add(f.From.Set)
		add(f.To.Set)
	}
	add(t.From.Set)
	add(t.To.Set)
	add(t.Except)
	return sets
}

// hosts makes a set of single addresses.
func hosts(as []netip.Addr) *ir.AddrSet {
	var ps []netip.Prefix
	for _, a := range as {
		ps = append(ps, netip.PrefixFrom(a, a.BitLen()))
	}
	return &ir.AddrSet{Prefixes: ir.MergePrefixes(ps)}
}
