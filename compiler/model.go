package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"xfwc/compiler/ir"
)

// model judges many packets of one policy. It gives the verdicts of [Explain]:
// what it saves is to go through all entries of a guard for each of them. The
// entries of a service fall into runs that ask the same and decide the same
// apart from their sources, and one look into the union of those tells whether
// a run decides. Services that share entries share their runs.
type model struct {
	p      *ir.Policy
	ports  map[portOf]*portModel
	runs   map[runOf]*run
	starts map[ir.Proto][]int       // what portStarts finds
	shared map[[2]*ir.AddrSet][]int // what touches finds for a huge set and another
	// regions holds what regionsOf finds, by the sets, of which same and alike
	// know those that hold the same.
	regions map[string][]region
	same    map[*ir.AddrSet]*ir.AddrSet
	alike   map[likeness][]*ir.AddrSet
}

// portOf is a port that packets are for.
type portOf struct {
	proto ir.Proto
	port  uint16
}

// portModel is what speaks of one port.
type portModel struct {
	guards map[*ir.Guard]*guardModel
	// sets are all that the judgement of a source can depend on, besides those
	// of the points and servers themselves.
	sets  []*ir.AddrSet
	timed bool // it depends on the hour
}

// guardModel is what of a guard speaks of one port.
type guardModel struct {
	confine  []*ir.Entry
	services []serviceModel
}

// serviceModel is a service with its entries as runs.
type serviceModel struct {
	*ir.ServiceGuard
	runs []*run
}

// runOf names a run: entries are shared from the first on.
type runOf struct {
	first *ir.Entry
	n     int
}

// run is entries in a row that differ in their sources alone.
type run struct {
	entry *ir.Entry // the first of them
	match ir.Match  // what they ask of a packet besides its source
	src   *ir.AddrSet
}

func newModel(p *ir.Policy) *model {
	return &model{
		p: p, ports: map[portOf]*portModel{}, runs: map[runOf]*run{}, starts: map[ir.Proto][]int{},
		shared: map[[2]*ir.AddrSet][]int{}, regions: map[string][]region{},
		same: map[*ir.AddrSet]*ir.AddrSet{}, alike: map[likeness][]*ir.AddrSet{},
	}
}

// at is what speaks of a port.
func (m *model) at(proto ir.Proto, port uint16) *portModel {
	key := portOf{proto, port}
	if pm := m.ports[key]; pm != nil {
		return pm
	}
	pm := &portModel{guards: map[*ir.Guard]*guardModel{}}
	m.ports[key] = pm
	depends := func(match ir.Match) {
		if match.Src != nil {
			pm.sets = append(pm.sets, match.Src)
		}
		pm.timed = pm.timed || match.During != nil
	}
	for _, g := range m.p.Guards {
		gm := &guardModel{}
		for _, e := range g.Confine {
			// The first packet of a conversation comes from no port of a service.
			if e.Match.SrcPorts == nil && (e.Match.DstPorts == nil || portIn(e.Match.DstPorts, proto, port)) {
				gm.confine = append(gm.confine, e)
				depends(e.Match)
			}
		}
		for _, s := range g.Services {
			if !portIn(s.Ports, proto, port) {
				continue
			}
			sm := serviceModel{s, m.runsOf(s.Entries)}
			gm.services = append(gm.services, sm)
			if s.BySource {
				depends(ir.Match{Src: s.Addrs})
			}
			for _, r := range sm.runs {
				depends(r.match)
				depends(ir.Match{Src: r.src})
			}
		}
		pm.guards[g] = gm
	}
	pm.sets = m.distinct(pm.sets)
	return pm
}

// runsOf cuts entries into runs.
func (m *model) runsOf(entries []*ir.Entry) []*run {
	var runs []*run
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && sameButSource(entries[0], entries[n]) {
			n++
		}
		key := runOf{entries[0], n}
		r := m.runs[key]
		if r == nil {
			r = newRun(entries[:n])
			m.runs[key] = r
		}
		runs, entries = append(runs, r), entries[n:]
	}
	return runs
}

func newRun(entries []*ir.Entry) *run {
	r := &run{entry: entries[0], match: entries[0].Match}
	if r.match.SrcNot {
		return r
	}
	r.src, r.match.Src = r.match.Src, nil
	if len(entries) > 1 {
		var parts [][]netip.Prefix
		for _, e := range entries {
			parts = append(parts, e.Match.Src.Prefixes)
		}
		r.src = union("run", r.entry.Origin, parts...)
	}
	return r
}

// sameButSource reports whether two entries decide the same, and ask the same of a packet
// apart from where it comes from. A feed is looked at by itself: joining it with
// others costs more than it saves.
func sameButSource(a, b *ir.Entry) bool {
	x, y := a.Match, b.Match
	return a.Verdict == b.Verdict && (a.ID == bogonsID) == (b.ID == bogonsID) && joinable(x) && joinable(y) &&
		x.Dst == y.Dst && x.DstNot == y.DstNot && x.HopLimit255 == y.HopLimit255 && x.During == y.During &&
		slices.Equal(x.Iif, y.Iif) && slices.Equal(x.Oif, y.Oif) && slices.Equal(x.Groups, y.Groups) &&
		slices.Equal(x.SrcPorts, y.SrcPorts) && slices.Equal(x.DstPorts, y.DstPorts)
}

func joinable(m ir.Match) bool {
	return m.Src != nil && !m.SrcNot && len(m.Src.Prefixes) <= hugeSet
}

func (r *run) holds(pkt Packet) bool {
	return matches(r.match, pkt) && (r.src == nil || r.src.Contains(pkt.Src))
}

// confine finds the entry of a guard that confines a packet. Without a model all
// entries are asked; so below.
func (m *model) confine(g *ir.Guard, pkt Packet) *ir.Entry {
	entries := g.Confine
	if m != nil {
		entries = m.at(pkt.Proto, pkt.DstPort).guards[g].confine
	}
	for _, e := range entries {
		if matches(e.Match, pkt) {
			return e
		}
	}
	return nil
}

// services finds the services whose keys hold the packet, at most one of each
// kind of key: by destination address first, then by port alone, then by source
// address.
func (m *model) services(g *ir.Guard, pkt Packet) []serviceModel {
	var byKind [3]serviceModel
	add := func(s serviceModel) {
		kind := 1
		switch {
		case s.Addrs != nil && s.BySource:
			kind = 2
		case s.Addrs != nil:
			kind = 0
		}
		if byKind[kind].ServiceGuard == nil && (kind == 1 || kind == 0 && s.Addrs.Contains(pkt.Dst) || kind == 2 && s.Addrs.Contains(pkt.Src)) {
			byKind[kind] = s
		}
	}
	if m != nil {
		for _, s := range m.at(pkt.Proto, pkt.DstPort).guards[g].services {
			add(s)
		}
	} else {
		for _, s := range g.Services {
			if portIn(s.Ports, pkt.Proto, pkt.DstPort) {
				add(serviceModel{ServiceGuard: s})
			}
		}
	}
	return slices.DeleteFunc(byKind[:], func(s serviceModel) bool { return s.ServiceGuard == nil })
}

// entry finds the entry of the service that decides about a packet; of a run it
// is the first.
func (s serviceModel) entry(pkt Packet) *ir.Entry {
	if s.runs == nil {
		for _, e := range s.Entries {
			if matches(e.Match, pkt) {
				return e
			}
		}
		return nil
	}
	for _, r := range s.runs {
		if r.holds(pkt) {
			return r.entry
		}
	}
	return nil
}

// Sets of addresses by how many prefixes they have: a short one may be looked at
// whole for every test, and a huge one, a feed, for none.
const (
	shortSet = 16
	hugeSet  = 65536
)

// cuts lists addresses such that every source is judged as one of them is that
// lies before it, and is judged as the first of its kind: where a short set
// begins, and just behind where it ends; between two of those, the first source
// that is in other long sets than the ones before it.
//
// The members of a huge set that touch no other set are alike: each is in this
// set and in no other. So the first of each family stands for all of them.
//
// Nothing is looked for behind a cut that is not wanted.
func (m *model) cuts(sets []*ir.AddrSet, wanted func(netip.Addr) bool) []netip.Addr {
	var long []*ir.AddrSet
	cuts := slices.Clone(specialCuts)
	for _, s := range sets {
		switch n := len(s.Prefixes); {
		case n > hugeSet:
			cuts = m.hugeCuts(cuts, s, sets)
		case n > shortSet:
			long = append(long, s)
		default:
			for _, p := range s.Prefixes {
				cuts = appendCuts(cuts, p)
			}
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	regions := m.regionsOf(long)
	if len(regions) == 0 {
		return cuts
	}
	var all []netip.Addr
	var seen []int // the kinds of regions since the last cut
	for i, cut := range cuts {
		all = append(all, cut)
		if !wanted(cut) {
			continue
		}
		next, found := slices.BinarySearchFunc(regions, cut, func(r region, a netip.Addr) int { return r.start.Compare(a) })
		if found {
			next++
		}
		seen = append(seen[:0], 0)
		if next > 0 {
			seen[0] = regions[next-1].kind
		}
		for ; next < len(regions) && (i+1 == len(cuts) || regions[next].start.Less(cuts[i+1])); next++ {
			if kind := regions[next].kind; !slices.Contains(seen, kind) {
				all, seen = append(all, regions[next].start), append(seen, kind)
			}
		}
	}
	return all
}

// region is addresses that are in the same sets, up to the next region.
type region struct {
	start netip.Addr
	kind  int // of the sets; 0 is none of them
}

// distinct leaves out sets that hold the same as one before: guards have their
// own sets for what they say alike.
func (m *model) distinct(sets []*ir.AddrSet) []*ir.AddrSet {
	var out []*ir.AddrSet
	for _, s := range sets {
		if s == nil || len(s.Prefixes) == 0 {
			continue
		}
		one := m.same[s]
		if one == nil {
			key := likeness{len(s.Prefixes), s.Prefixes[0], s.Prefixes[len(s.Prefixes)-1]}
			for _, other := range m.alike[key] {
				if slices.Equal(other.Prefixes, s.Prefixes) {
					one = other
				}
			}
			if one == nil {
				one = s
				m.alike[key] = append(m.alike[key], s)
			}
			m.same[s] = one
		}
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// likeness is what equal sets share at least.
type likeness struct {
	n           int
	first, last netip.Prefix
}

// regionsOf cuts the addresses by the sets that they are in, in order.
func (m *model) regionsOf(sets []*ir.AddrSet) []region {
	var key strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&key, "%p ", s)
	}
	if known, ok := m.regions[key.String()]; ok {
		return known
	}
	type edge struct {
		at  netip.Addr
		set int
	}
	var edges []edge // where sets begin or end; a member that touches the next one does both
	for i, s := range sets {
		for _, p := range s.Prefixes {
			edges = append(edges, edge{p.Addr(), i})
			switch next := netipx.PrefixLastIP(p).Next(); {
			case next.IsValid():
				edges = append(edges, edge{next, i})
			case p.Addr().Is4(): // IPv6 comes behind the last of IPv4
				edges = append(edges, edge{netip.IPv6Unspecified(), i})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	var regions []region
	in := make([]byte, len(sets))
	kinds := map[string]int{string(in): 0}
	for i, e := range edges {
		in[e.set] ^= 1
		if i+1 < len(edges) && edges[i+1].at == e.at {
			continue
		}
		kind, ok := kinds[string(in)]
		if !ok {
			kind = len(kinds)
			kinds[string(in)] = kind
		}
		if len(regions) == 0 || regions[len(regions)-1].kind != kind {
			regions = append(regions, region{e.at, kind})
		}
	}
	m.regions[key.String()] = regions
	return regions
}

// hugeCuts adds the cuts of a huge set.
func (m *model) hugeCuts(cuts []netip.Addr, s *ir.AddrSet, sets []*ir.AddrSet) []netip.Addr {
	touched := map[int]bool{}
	for _, o := range sets {
		if o == s {
			continue
		}
		pair := [2]*ir.AddrSet{s, o}
		known, ok := m.shared[pair]
		if !ok {
			known = touches(s, o)
			m.shared[pair] = known
		}
		for _, i := range known {
			touched[i] = true
		}
	}
	for i := range touched {
		cuts = appendCuts(cuts, s.Prefixes[i])
	}
	// What is behind the last of a family is in none of them.
	v6, _ := slices.BinarySearchFunc(s.Prefixes, 1, func(p netip.Prefix, family int) int { return cmp.Compare(boolRank(p.Addr().Is6()), family) })
	for _, family := range [][2]int{{0, v6}, {v6, len(s.Prefixes)}} {
		from, to := family[0], family[1]
		if from < to {
			cuts = appendCuts(cuts, s.Prefixes[to-1])
		}
		for from < to && touched[from] {
			from++
		}
		if from < to {
			cuts = appendCuts(cuts, s.Prefixes[from])
		}
	}
	return cuts
}

// touches lists the prefixes of a set that overlap one of another, up to a bound.
func touches(s, o *ir.AddrSet) []int {
	const most = 4096
	var all []int
	for _, p := range o.Prefixes {
		for i := firstOverlap(s, p); i < len(s.Prefixes) && s.Prefixes[i].Overlaps(p); i++ {
			if len(all) == most {
				return all
			}
			all = append(all, i)
		}
	}
	return all
}

// specialCuts are where the families begin, and those of addresses that are
// treated in a way of their own.
var specialCuts = func() []netip.Addr {
	cuts := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, p := range []string{"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::1/128", "fe80::/10", "ff00::/8"} {
		cuts = appendCuts(cuts, netip.MustParsePrefix(p))
	}
	return cuts
}()

func appendCuts(cuts []netip.Addr, p netip.Prefix) []netip.Addr {
	cuts = append(cuts, p.Addr())
	if next := netipx.PrefixLastIP(p).Next(); next.IsValid() {
		cuts = append(cuts, next)
	}
	return cuts
}
