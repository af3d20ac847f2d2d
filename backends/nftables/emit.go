package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Priorities of the base chains. Early stands before connection tracking
// (-200) and before others' raw chains (-300); the rest stands after the usual
// filter priority (0), so that fail2ban and friends see packets first. What
// they drop stays dropped, and what they accept is still judged here: an accept
// ends only its own base chain.
const (
	earlyPriority  = -310
	filterPriority = 10
)

// Sizes of dynamic sets. A full one fails open: a source that finds no room is
// not limited. That is why they are large, and why the checks ask for a global
// limit beside every limit per source.
const (
	sourcesSize = 65536
	globalSize  = 16
)

// logRate bounds what one rule may write to the log.
var logRate = Rate{Count: 5, Unit: "minute", Burst: 5}

// Backend writes the table inet xfwc.
type Backend struct{}

// Kind is "nftables".
func (Backend) Kind() string { return "nftables" }

// Emit writes xfwc.nft for the point.
func (Backend) Emit(p *ir.Policy, pt *ir.Point) ir.Emission {
	r, ledger := Build(p, pt)
	if err := r.Validate(); err != nil {
		// No artefact is better than one that the kernel may read otherwise.
		return ir.Emission{Ledger: ledger, Findings: []diag.Finding{diag.New("internal-error", pt.Origin.Span,
			"the ruleset of point "+pt.Name+" is not sound: "+err.Error())}}
	}
	return ir.Emission{
		Artefacts: []ir.Artefact{{Point: pt.Name, Engine: "nftables", Path: "xfwc.nft", Bytes: r.Text()}},
		Ledger:    ledger,
	}
}

// Build turns the guards of a point into its ruleset, and says in the ledger
// how exactly the ruleset holds each intent.
func Build(p *ir.Policy, pt *ir.Point) (*Ruleset, []ir.LedgerEntry) {
	b := &builder{
		r:       &Ruleset{Comment: "policy " + p.Name + ", point " + pt.Name},
		observe: pt.Observe != "",
		sets:    map[string]any{}, counters: map[string]bool{}, chains: map[string]*Chain{},
	}
	var bases []*Chain
	// Who only observes would say twice what the early chain denies.
	if !b.observe {
		if early := b.early(p, pt); early != nil {
			bases = append(bases, early)
		}
	}
	for _, g := range p.Guards {
		if g.Point == pt {
			if c := b.guard(g); c != nil {
				bases = append(bases, c)
			}
		}
	}
	// Named chains stand before the base chains that reach them; each kind is
	// in order of first use, which is the order of the policy.
	b.r.Chains = append(b.r.Chains, bases...)
	return b.r, ledger(p, pt)
}

type builder struct {
	r        *Ruleset
	observe  bool                   // the point only says what it would deny
	sets     map[string]any         // what a set was made for, by name
	addrs    map[addrSetOf][]string // names of the sets that are made
	counters map[string]bool
	chains   map[string]*Chain
}

func comment(o ir.Origin) string { return clip(o.Line()+" "+o.Label, 128) }

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func ident(id string) string { return strings.ReplaceAll(id, "-", "_") }

func (b *builder) counter(id string) CountPacket {
	name := ident(id)
	if !b.counters[name] {
		b.counters[name] = true
		b.r.Counters = append(b.r.Counters, &Counter{Name: name})
	}
	return CountPacket{Counter: name}
}

// Only rules, base chains and address sets carry comments: the name of a
// counter or chain says which rule of the policy it is for, and a policy line
// once more beside every object would bury the rules.

// addChain registers a chain that rules go to; it reports false when it exists.
func (b *builder) addChain(name string) (*Chain, bool) {
	if c := b.chains[name]; c != nil {
		return c, false
	}
	c := &Chain{Name: name}
	b.chains[name] = c
	b.r.Chains = append(b.r.Chains, c)
	return c, true
}

func (c *Chain) add(o ir.Origin, stmts ...[]Stmt) {
	c.Rules = append(c.Rules, &Rule{Stmts: slices.Concat(stmts...), Comment: comment(o)})
}

func (c *Chain) addFixed(note string, stmts ...Stmt) {
	c.Rules = append(c.Rules, &Rule{Stmts: stmts, Comment: note})
}

// setName gives the name under which owner has its set, and whether the set has
// to be made. Names are made from the policy's names, and two of those can come
// together in one spelling: the second gets a number, because a set that two
// things shared by accident would let the one's sources into the other.
func (b *builder) setName(base, suffix string, owner any) (name string, fresh bool) {
	for i := 1; ; i++ {
		name = base + suffix
		if i > 1 {
			name = fmt.Sprintf("%s_%d%s", base, i, suffix)
		}
		made := b.sets[name]
		if made == nil {
			b.sets[name] = owner
			return name, true
		}
		if made == owner || sameAddrs(made, owner) {
			return name, false
		}
	}
}

// sameAddrs reports whether both are address sets with the same members.
func sameAddrs(a, b any) bool {
	x, ok := a.(*ir.AddrSet)
	y, ok2 := b.(*ir.AddrSet)
	return ok && ok2 && slices.Equal(x.Prefixes, y.Prefixes)
}

// drops writes the end of a denial: a log line at a limited rate, then the
// counter and the drop. Two rules, because a limit that is used up must stop
// the log line and not the drop. A point that only observes logs every denial,
// and lets the packet go on.
func (b *builder) drops(c *Chain, id string, log bool, o ir.Origin) {
	said, do := "xfwc "+id, Drop
	if b.observe {
		said, do, log = "xfwc would deny "+id, Accept, true
	}
	if log {
		c.add(o, []Stmt{LimitRate{Rate: logRate}, LogPacket{Prefix: clip(said, 110) + ": "}})
	}
	c.add(o, []Stmt{b.counter(id), Verdict{Kind: do}})
}

// denial is the chain that denies for one rule of the policy, wherever the
// rule is judged.
func (b *builder) denial(id string, log bool, o ir.Origin) Stmt {
	c, fresh := b.addChain("no_" + ident(id))
	if fresh {
		b.drops(c, id, log, o)
	}
	return Verdict{Kind: Goto, Chain: c.Name}
}

func (b *builder) guard(g *ir.Guard) *Chain {
	if len(g.Services) == 0 && len(g.Confine) == 0 && !g.Exclusive {
		return nil
	}
	hook := string(g.Hook)
	base := &Chain{Name: hook, Hook: hook, Priority: filterPriority}
	base.Comment = "accept here ends this chain only: other tables still decide"
	if g.Hook != ir.Forward {
		base.addFixed("loopback is left alone", MatchInterface{Out: g.Hook == ir.Output, Names: []string{"lo"}}, Verdict{Kind: Accept})
		base.addFixed("neighbour discovery, RFC 4861", MatchHopLimit255{Family: V6}, MatchNeighbourDiscovery{}, Verdict{Kind: Accept})
	}
	for _, e := range g.Confine {
		for _, v := range b.variants(e.Match) {
			base.add(e.Origin, v, []Stmt{b.denial(e.ID, e.Log, e.Origin)})
		}
	}
	base.addFixed("established conversations", MatchEstablished{}, Verdict{Kind: Accept})
	b.dispatch(base, g)
	if g.Exclusive {
		// The policy speaks of TCP and UDP. Without ICMP neither IPv6 nor path MTU
		// discovery works (RFC 4890 section 4.3, 4.4), so it is left alone.
		base.addFixed("ICMP is left alone", MatchL4Proto{Proto: "icmp"}, Verdict{Kind: Accept})
		base.addFixed("ICMPv6 is left alone, RFC 4890", MatchL4Proto{Proto: "ipv6-icmp"}, Verdict{Kind: Accept})
		o := g.Point.Origin
		b.drops(base, "exclusive-"+hook, true, o)
	}
	return base
}

// dispatch writes one verdict map lookup for each kind of key, and the chains
// that the maps go to.
func (b *builder) dispatch(base *Chain, g *ir.Guard) {
	type vmap struct {
		set  *Set
		stmt Stmt
	}
	prefix := map[ir.Hook]string{ir.Input: "in_", ir.Output: "out_", ir.Forward: "fwd_"}[g.Hook]
	byKey := map[string]*vmap{}
	mapName := func(kind string, f Family) string {
		if f == 0 {
			return string(g.Hook) + "_" + kind
		}
		return fmt.Sprintf("%s_%s_v%d", g.Hook, kind, f)
	}
	target := func(kind string, f Family) *vmap {
		name := mapName(kind, f)
		if m := byKey[name]; m != nil {
			return m
		}
		m := &vmap{set: &Set{Name: name, Verdict: true, Comment: "new conversations, by " + map[string]string{
			"to": "destination", "ports": "port", "from": "source"}[kind]}}
		switch {
		case f == 0:
			m.set.Key = []KeyType{InetProto, InetService}
			m.stmt = VmapProtoPort{Map: name}
		default:
			m.set.Key = []KeyType{addrKey(f), InetProto, InetService}
			side := Dest
			if kind == "from" {
				side = Source
			}
			m.stmt = VmapAddrProtoPort{Family: f, Side: side, Map: name}
		}
		byKey[name] = m
		return m
	}
	shared, jump := b.sharedDenials(prefix, g)
	for _, s := range g.Services {
		c := b.service(prefix, s, shared, jump)
		do := Goto
		if s.Rest.Verdict == ir.Untouched {
			do = Jump // what no entry decides comes back and is judged further
		}
		if s.Addrs == nil {
			m := target("ports", 0)
			for _, ps := range s.Ports {
				m.set.addVerdict(do, c.Name, ps)
			}
			continue
		}
		kind := "to"
		if s.BySource {
			kind = "from"
		}
		for _, f := range []Family{V4, V6} {
			for _, pfx := range s.Addrs.Prefixes {
				if family(pfx) != f {
					continue
				}
				m := target(kind, f)
				for _, ps := range s.Ports {
					m.set.addVerdict(do, c.Name, ps, addrValue(pfx))
				}
			}
		}
	}
	for _, kind := range []string{"to", "ports", "from"} {
		for _, f := range []Family{0, V4, V6} {
			if m := byKey[mapName(kind, f)]; m != nil {
				b.r.Sets = append(b.r.Sets, m.set)
				base.addFixed(m.set.Comment, m.stmt)
			}
		}
	}
}

func addrKey(f Family) KeyType {
	if f == V4 {
		return IPv4Addr
	}
	return IPv6Addr
}

func family(p netip.Prefix) Family {
	if p.Addr().Is4() {
		return V4
	}
	return V6
}

// addrValue is a prefix as a set key: one address, or the range it covers.
func addrValue(p netip.Prefix) KeyValue {
	if p.IsSingleIP() {
		return KeyValue{Addr: p.Addr()}
	}
	return KeyValue{Addr: p.Addr(), AddrTo: netipx.PrefixLastIP(p)}
}

// Protocol numbers, RFC 9293 and RFC 768.
var protoNumber = map[ir.Proto]uint16{ir.TCP: 6, ir.UDP: 17}

func (s *Set) addVerdict(do VerdictKind, chain string, ps ir.PortSpan, addr ...KeyValue) {
	port := KeyValue{Num: ps.From}
	if ps.To != ps.From {
		port.NumTo = ps.To
		s.Interval = true
	}
	for _, a := range addr {
		if a.AddrTo.IsValid() {
			s.Interval = true
		}
	}
	keys := append(slices.Clone(addr), KeyValue{Num: protoNumber[ps.Proto]}, port)
	s.Elements = append(s.Elements, Element{Keys: keys, Do: do, Chain: chain})
}

// manyDenials is from how many on the denials that services share get a chain of
// their own: fewer are easier to read where they hold.
const manyDenials = 8

// sharedDenials finds the denials that most services begin with, if they are
// many, and makes their chain. Otherwise there are none.
func (b *builder) sharedDenials(prefix string, g *ir.Guard) (shared []*ir.Entry, jump Stmt) {
	type beginning struct {
		entries  []*ir.Entry
		services int
	}
	begins := map[*ir.Entry]*beginning{} // by their first entry
	saved := 0
	for _, s := range g.Services {
		own := s.Entries
		if i := slices.IndexFunc(own, func(e *ir.Entry) bool { return e.Verdict != ir.Deny }); i >= 0 {
			own = own[:i]
		}
		if len(own) < manyDenials {
			continue
		}
		same := begins[own[0]]
		if same == nil {
			same = &beginning{entries: own}
			begins[own[0]] = same
		}
		same.services++
		n := 0
		for n < len(own) && n < len(same.entries) && own[n] == same.entries[n] {
			n++
		}
		same.entries = same.entries[:n]
	}
	for _, s := range g.Services { // in the order of the policy
		if len(s.Entries) == 0 || begins[s.Entries[0]] == nil {
			continue
		}
		same := begins[s.Entries[0]]
		if gain := (same.services - 1) * len(same.entries); len(same.entries) >= manyDenials && gain > saved {
			shared, saved = same.entries, gain
		}
	}
	if saved == 0 {
		return nil, nil
	}
	c := b.newChain(prefix + "denied")
	b.denials(c, shared)
	return shared, Verdict{Kind: Jump, Chain: c.Name}
}

// newChain registers a chain whose name may be taken: then it gets a number.
func (b *builder) newChain(name string) *Chain {
	c, fresh := b.addChain(name)
	for i := 2; !fresh; i++ {
		c, fresh = b.addChain(fmt.Sprintf("%s_%d", name, i))
	}
	return c
}

// denials writes entries that deny.
func (b *builder) denials(c *Chain, entries []*ir.Entry) {
	for _, e := range entries {
		for _, v := range b.variants(e.Match) {
			c.add(e.Origin, v, []Stmt{b.denial(e.ID, e.Log, e.Origin)})
		}
	}
}

// service writes the chain of one service: its entries, then its rest. Where it
// begins with the shared denials, it jumps to their chain.
func (b *builder) service(prefix string, s *ir.ServiceGuard, shared []*ir.Entry, jump Stmt) *Chain {
	c, _ := b.addChain(prefix + s.Name) // service names are unique in a guard
	entries := s.Entries
	if n := len(shared); n > 0 && n <= len(entries) && slices.Equal(entries[:n], shared) {
		c.addFixed("denied sources", jump)
		entries = entries[n:]
	}
	for _, e := range entries {
		if e.Verdict == ir.Allow && e.Match.Anything() {
			b.allow(c, prefix, e)
			return c // nothing is left over for later entries or the rest
		}
		switch e.Verdict {
		case ir.Deny:
			b.denials(c, []*ir.Entry{e})
		case ir.Allow:
			b.allow(c, prefix, e)
		}
	}
	if s.Rest.Verdict == ir.Deny {
		b.drops(c, s.Rest.ID, s.Rest.Log, s.Rest.Origin)
	}
	return c
}

func (b *builder) allow(c *Chain, prefix string, e *ir.Entry) {
	variants := b.variants(e.Match)
	if len(e.Limits) == 0 {
		for _, v := range variants {
			c.add(e.Origin, v, []Stmt{b.counter(e.ID), Verdict{Kind: Accept}})
		}
		return
	}
	to, fresh := b.addChain(prefix + ident(e.ID) + "_limits")
	if fresh {
		for _, l := range ordered(e.Limits) {
			b.limit(to, l)
		}
		to.add(e.Origin, []Stmt{b.counter(e.ID), Verdict{Kind: Accept}})
	}
	for _, v := range variants {
		c.add(e.Origin, v, []Stmt{Verdict{Kind: Goto, Chain: to.Name}})
	}
}

// ordered puts limits per source before those of wider keys, and global ones
// last: what one loud source sends too much must not use up what all others
// share.
func ordered(ls []*ir.Limit) []*ir.Limit {
	rank := map[ir.LimitKey]int{ir.PerSource: 0, ir.PerPrefix: 1, ir.PerPeer: 2, ir.Global: 3}
	ls = slices.Clone(ls)
	slices.SortStableFunc(ls, func(a, b *ir.Limit) int { return rank[a.Key] - rank[b.Key] })
	return ls
}

func (b *builder) limit(c *Chain, l *ir.Limit) {
	type meter struct {
		f    Family
		bits uint8
		key  KeyType
		size uint32
	}
	meters := []meter{{0, 0, InetProto, globalSize}}
	switch l.Key {
	case ir.PerSource:
		meters = []meter{{V4, 0, IPv4Addr, sourcesSize}, {V6, 0, IPv6Addr, sourcesSize}}
	case ir.PerPrefix:
		meters = []meter{{V4, l.Prefix4, IPv4Addr, sourcesSize}, {V6, l.Prefix6, IPv6Addr, sourcesSize}}
	}
	for _, m := range meters {
		suffix := ""
		if m.f != 0 {
			suffix = fmt.Sprintf("_v%d", m.f)
		}
		name, fresh := b.setName(ident(l.ID), suffix, l)
		set := &Set{Name: name, Key: []KeyType{m.key}, Dynamic: true, Size: m.size}
		var stmt Stmt = MeterConnections{Family: m.f, Bits: m.bits, Set: name, Over: l.Count}
		if l.Kind.New() {
			rate := Rate{Count: uint64(l.Count), Unit: l.Unit, Burst: l.Burst}
			if rate.Burst == 0 {
				rate.Burst = 5
			}
			set.Timeout = refill(rate)
			stmt = MeterRate{Family: m.f, Bits: m.bits, Set: name, Rate: rate}
		}
		if fresh {
			b.r.Sets = append(b.r.Sets, set)
		}
		c.add(l.Origin, []Stmt{stmt, b.denial(l.ID, true, l.Origin)})
	}
}

// refill is how long, in seconds, a source's bucket takes to be full again:
// from then on forgetting the source changes nothing.
func refill(r Rate) uint32 {
	unit := map[string]uint64{"second": 1, "minute": 60, "hour": 3600, "day": 86400}[r.Unit]
	s := (uint64(r.Burst)*unit + r.Count - 1) / r.Count
	return uint32(min(max(s+unit, 60), 7*86400))
}

// variants writes a match as the statement lists that hold it together: one for
// each family, for each part of a split set and for each protocol, as needed.
func (b *builder) variants(m ir.Match) [][]Stmt {
	var head []Stmt
	if len(m.Iif) > 0 {
		head = append(head, MatchInterface{Names: m.Iif})
	}
	if len(m.Oif) > 0 {
		head = append(head, MatchInterface{Out: true, Names: m.Oif})
	}
	var out [][]Stmt
	if m.During != nil {
		always := m
		always.During = nil
		for _, hours := range windowStmts(m.During) {
			for _, v := range b.variants(always) {
				out = append(out, slices.Concat(hours, v))
			}
		}
		return out
	}
	for _, ports := range portStmts(m) {
		if m.Src == nil && m.Dst == nil && len(m.Groups) == 0 && !m.HopLimit255 {
			out = append(out, slices.Concat(head, ports))
			continue
		}
		for _, f := range []Family{V4, V6} {
			srcs, ok := b.addrStmts(f, Source, m.Src, m.SrcNot)
			if !ok {
				continue
			}
			dsts, ok := b.addrStmts(f, Dest, m.Dst, m.DstNot)
			if !ok {
				continue
			}
			groups, ok := groupStmts(f, m.Groups)
			if !ok {
				continue
			}
			for _, src := range srcs {
				for _, dst := range dsts {
					addrs := slices.Concat(src, dst, groups)
					if m.HopLimit255 {
						addrs = append(addrs, MatchHopLimit255{Family: f})
					}
					if len(addrs) == 0 {
						// "Not in an empty set" holds for the whole family.
						addrs = []Stmt{MatchFamily{Family: f}}
					}
					out = append(out, slices.Concat(head, addrs, ports))
				}
			}
		}
	}
	return out
}

// windowStmts writes a window as alternatives: one for each run of days, with
// the hours of those days.
func windowStmts(w *ir.Window) [][]Stmt {
	var out [][]Stmt
	for _, s := range w.Spans {
		var hours []Stmt
		if s.From > 0 || s.To < 1440 {
			hours = []Stmt{MatchHours{From: uint32(s.From) * 60, To: uint32(s.To)*60 - 1}}
		}
		// The kernel's week begins on Sunday.
		var days [8]bool
		every := true
		for d, on := range s.Days {
			days[(d+1)%7] = on
			every = every && on
		}
		if every {
			out = append(out, hours)
			continue
		}
		for from := 0; from < 7; from++ {
			if !days[from] {
				continue
			}
			to := from
			for days[to+1] {
				to++
			}
			out = append(out, slices.Concat([]Stmt{MatchDays{From: uint8(from), To: uint8(to)}}, hours))
			from = to
		}
	}
	return out
}

// addrStmts gives the alternatives that look an address up in the parts of a
// set; ok is false when no address of the family can match.
func (b *builder) addrStmts(f Family, side Side, s *ir.AddrSet, not bool) (alts [][]Stmt, ok bool) {
	if s == nil {
		return [][]Stmt{nil}, true
	}
	parts := b.addrSets(s, f)
	if not {
		var all []Stmt
		for _, name := range parts {
			all = append(all, MatchAddrSet{Family: f, Side: side, Set: name, Not: true})
		}
		return [][]Stmt{all}, true
	}
	for _, name := range parts {
		alts = append(alts, []Stmt{MatchAddrSet{Family: f, Side: side, Set: name}})
	}
	return alts, len(alts) > 0
}

func groupStmts(f Family, groups []netip.Addr) ([]Stmt, bool) {
	if len(groups) == 0 {
		return nil, true
	}
	for _, g := range groups {
		if g.Is4() == (f == V4) {
			return []Stmt{MatchAddr{Family: f, Side: Dest, Addr: g}}, true
		}
	}
	return nil, false
}

func portStmts(m ir.Match) [][]Stmt {
	if m.SrcPorts == nil && m.DstPorts == nil {
		return [][]Stmt{nil}
	}
	var out [][]Stmt
	for _, proto := range []ir.Proto{ir.TCP, ir.UDP} {
		var stmts []Stmt
		missing := false
		for _, side := range []struct {
			side  Side
			spans []ir.PortSpan
		}{{Source, m.SrcPorts}, {Dest, m.DstPorts}} {
			if side.spans == nil {
				continue
			}
			rs := portRanges(side.spans, proto)
			if len(rs) == 0 {
				missing = true
				continue
			}
			stmts = append(stmts, MatchPorts{Proto: string(proto), Side: side.side, Ports: rs})
		}
		if !missing {
			out = append(out, stmts)
		}
	}
	return out
}

func portRanges(ps []ir.PortSpan, proto ir.Proto) []PortRange {
	var rs []PortRange
	for _, p := range ps {
		if p.Proto == proto {
			rs = append(rs, PortRange{p.From, p.To})
		}
	}
	return rs
}

// splitAbove is the number of hosts from which a mixed set is split into a hash
// set for hosts and an interval set for prefixes: the hash is several times
// faster to load and to look up, but a small set is easier to read whole.
const splitAbove = 256

// addrSets makes the named sets that hold one family of an address set, and
// returns their names: none when the family has no member.
func (b *builder) addrSets(s *ir.AddrSet, f Family) []string {
	of := addrSetOf{s, f}
	names, made := b.addrs[of]
	if !made {
		names = b.newAddrSets(s, f)
		if b.addrs == nil {
			b.addrs = map[addrSetOf][]string{}
		}
		b.addrs[of] = names
	}
	return names
}

// addrSetOf is one family of an address set.
type addrSetOf struct {
	set *ir.AddrSet
	f   Family
}

func (b *builder) newAddrSets(s *ir.AddrSet, f Family) []string {
	hosts, nets := split(s.Prefixes, f)
	note := s.Origin.Label
	if s.Feed != "" {
		// Not the digest: the kernel cannot change a comment when the feed changes.
		note = "feed " + s.Feed
	}
	suffix := fmt.Sprintf("_v%d", f)
	if len(hosts) > splitAbove && len(nets) > 0 {
		return []string{
			b.addrSet(s, suffix, f, hosts, nil, note),
			b.addrSet(s, suffix+"_nets", f, nil, nets, note),
		}
	}
	if len(hosts)+len(nets) == 0 {
		return nil
	}
	return []string{b.addrSet(s, suffix, f, hosts, nets, note)}
}

// split gives the single addresses of a family, and its networks.
func split(ps []netip.Prefix, f Family) (hosts, nets []netip.Prefix) {
	single := 0
	for i := range ps {
		if family(ps[i]) == f && ps[i].IsSingleIP() {
			single++
		}
	}
	if single == len(ps) {
		return ps, nil // no copy of a long feed
	}
	hosts = make([]netip.Prefix, 0, single)
	for _, p := range ps {
		switch {
		case family(p) != f:
		case p.IsSingleIP():
			hosts = append(hosts, p)
		default:
			nets = append(nets, p)
		}
	}
	return hosts, nets
}

func (b *builder) addrSet(s *ir.AddrSet, suffix string, f Family, hosts, nets []netip.Prefix, note string) string {
	name, fresh := b.setName(s.Name, suffix, s)
	if !fresh {
		return name
	}
	set := &Set{Name: name, Key: []KeyType{addrKey(f)}, Interval: len(nets) > 0, Comment: clip(note, 120)}
	all := hosts
	if len(nets) > 0 {
		all = slices.Concat(hosts, nets)
		slices.SortFunc(all, func(x, y netip.Prefix) int { return x.Addr().Compare(y.Addr()) })
	} else {
		set.Size = hashSize(len(hosts))
	}
	set.Elements = make([]Element, len(all))
	keys := make([]KeyValue, len(all)) // one allocation: feeds are long
	for i, p := range all {
		keys[i] = addrValue(p)
		set.Elements[i] = Element{Keys: keys[i : i+1 : i+1]}
	}
	b.r.Sets = append(b.r.Sets, set)
	return name
}

// hashSize is the declared size of a hash set: room to grow by a quarter and
// more, in coarse steps, so that a small change of a feed does not change the
// declaration.
func hashSize(n int) uint32 {
	want := uint32(n) + uint32(n)/4 + 64
	step := uint32(64)
	for step*8 < want {
		step *= 2
	}
	return (want + step - 1) / step * step
}

// early writes the chain that looks denied sources up before connection
// tracking, for the packet that opens a TCP conversation: it changes what a
// flood costs, not what is allowed. It judges only what goes to the machines
// that the policy speaks of.
func (b *builder) early(p *ir.Policy, pt *ir.Point) *Chain {
	var c *Chain
	type key struct {
		id    string
		addrs *ir.AddrSet
	}
	ports := map[key][]PortRange{}
	entries := map[key]*ir.Entry{}
	var order []key
	for _, g := range p.Guards {
		if g.Point != pt || g.Hook == ir.Output {
			continue
		}
		for _, s := range g.Services {
			addrs := s.Addrs
			if addrs == nil && g.Hook == ir.Input {
				addrs = pt.Set
			}
			if s.BySource || addrs == nil || len(addrs.Prefixes) == 0 {
				continue
			}
			rs := portRanges(s.Ports, ir.TCP)
			if len(rs) == 0 {
				continue
			}
			for _, e := range s.Entries {
				if !e.Early {
					continue
				}
				k := key{e.ID, addrs}
				if entries[k] == nil {
					entries[k] = e
					order = append(order, k)
				}
				ports[k] = append(ports[k], rs...)
			}
		}
	}
	// to starts a rule of the chain for the services of some addresses.
	to := func(o ir.Origin, f Family, addrs *ir.AddrSet, rs []PortRange, then ...Stmt) {
		dsts, ok := b.addrStmts(f, Dest, addrs, false)
		if !ok {
			return
		}
		for _, dst := range dsts {
			if c == nil {
				c = &Chain{Name: "early", Hook: "prerouting", Priority: earlyPriority,
					Comment: "denied sources, before connection tracking"}
				c.addFixed("loopback is left alone", MatchInterface{Names: []string{"lo"}}, Verdict{Kind: Accept})
			}
			c.add(o, dst, []Stmt{MatchPorts{Proto: "tcp", Side: Dest, Ports: rs}, MatchSYN{}}, then)
		}
	}
	for len(order) > 0 {
		// Statements in a row that are about the same services need their addresses
		// and ports once.
		rs, n := mergeRanges(ports[order[0]]), 1
		for n < len(order) && order[n].addrs == order[0].addrs && slices.Equal(mergeRanges(ports[order[n]]), rs) {
			n++
		}
		same := order[:n]
		order = order[n:]
		addrs := same[0].addrs
		if n >= manyDenials {
			denied := b.newChain("early_denied")
			var es []*ir.Entry
			for _, k := range same {
				es = append(es, entries[k])
			}
			b.denials(denied, es)
			for _, f := range []Family{V4, V6} {
				to(es[0].Origin, f, addrs, rs, Verdict{Kind: Jump, Chain: denied.Name})
			}
			continue
		}
		for _, k := range same {
			e := entries[k]
			for _, f := range []Family{V4, V6} {
				srcs, ok := b.addrStmts(f, Source, e.Match.Src, false)
				if !ok {
					continue
				}
				for _, src := range srcs {
					to(e.Origin, f, addrs, rs, append(src, b.denial(e.ID, e.Log, e.Origin))...)
				}
			}
		}
	}
	return c
}

func mergeRanges(rs []PortRange) []PortRange {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b PortRange) int { return int(a.From) - int(b.From) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && int(r.From) <= int(out[n-1].To)+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// calls reports whether the point judges what the server calls.
func calls(p *ir.Policy, pt *ir.Point, srv *ir.Server) bool {
	return slices.ContainsFunc(p.Guards, func(g *ir.Guard) bool {
		return g.Point == pt && slices.ContainsFunc(g.Services, func(s *ir.ServiceGuard) bool { return s.BySource && s.Addrs == srv.Set })
	})
}

// leftAlone reports whether the flow calls ports that placement leaves to the
// machine's own web traffic: none of the services that speak of it judges them.
func leftAlone(f *ir.Flow, judged []ir.PortSpan) bool {
	holds := func(ps []ir.PortSpan, port uint16) bool {
		return slices.ContainsFunc(ps, func(p ir.PortSpan) bool { return p.Proto == ir.TCP && p.From <= port && port <= p.To })
	}
	return f.Outbound && f.Verdict == ir.Allow && f.Kind != ir.Egress && slices.ContainsFunc([]uint16{80, 443}, func(port uint16) bool {
		return holds(f.Ports, port) && !holds(judged, port)
	})
}

// ledger says how the packet filter holds each intent that concerns the point.
func ledger(p *ir.Policy, pt *ir.Point) []ir.LedgerEntry {
	seen := map[*ir.Flow]bool{}
	judged := map[*ir.Flow][]ir.PortSpan{} // the ports of services that speak of the flow
	var es []ir.LedgerEntry
	add := func(intent string, x ir.Exactness, reason string, o ir.Origin) {
		es = append(es, ir.LedgerEntry{Point: pt.Name, Engine: "nftables", Intent: intent, Exact: x, Reason: reason, Origin: o})
	}
	for _, g := range p.Guards {
		if g.Point != pt {
			continue
		}
		entries := slices.Clone(g.Confine)
		for _, s := range g.Services {
			entries = append(entries, s.Entries...)
			for _, e := range s.Entries {
				if e.Flow != nil {
					judged[e.Flow] = append(judged[e.Flow], s.Ports...)
				}
			}
		}
		for _, e := range entries {
			if e.Flow != nil {
				seen[e.Flow] = true
			}
		}
	}
	for _, f := range p.Flows {
		if pt.Keeps(f) {
			add("flow "+f.ID, ir.Exact, "both ends are here: it stays on the loopback interface", f.Origin)
			continue
		}
		alone := pt.Passes(f) && leftAlone(f, judged[f])
		if !seen[f] && !alone {
			reason := "the flow does not pass this point"
			if pt.Passes(f) {
				reason = "this point judges its packets by the statements about its own machines, not by this one"
			}
			add("flow "+f.ID, ir.None, reason, f.Origin)
			continue
		}
		switch {
		case alone:
			add("flow "+f.ID, ir.Over, "any address may be called on 80 and 443: judging them would cut the machine's own web traffic", f.Origin)
		case f.Verdict == ir.Deny && f.Kind == ir.Egress:
			add("flow "+f.ID, ir.Exact, "destinations are looked up before anything is allowed", f.Origin)
		case f.Verdict == ir.Deny:
			add("flow "+f.ID, ir.Exact, "sources are looked up before anything is allowed", f.Origin)
		case f.TLS == "required":
			add("flow "+f.ID, ir.Over, "addresses and ports are exact; that TLS is used is for the server to enforce, after STARTTLS a packet filter sees nothing", f.Origin)
		case f.Kind == ir.Federation && f.From.Any:
			add("flow "+f.ID, ir.Over, "addresses and ports are exact; which domain a peer speaks for is proved to the server, not to the network (RFC 6120 section 13.7)", f.Origin)
		case f.OnLink && !f.Multicast:
			add("flow "+f.ID, ir.Over, "the stream port is dynamic (XEP-0174 section 11.3), so every port of the range is open to on-link sources", f.Origin)
		default:
			add("flow "+f.ID, ir.Exact, "addresses, ports and direction", f.Origin)
		}
		for _, l := range f.Limits {
			if !seen[f] {
				add("limit "+l.ID, ir.None, "80 and 443 are left to the machine's own web traffic", l.Origin)
				continue
			}
			switch l.Key {
			case ir.PerSource:
				add("limit "+l.ID, ir.Over, fmt.Sprintf("exact for %d sources at a time, IPv6 by /64; a source beyond that is held by global limits alone", sourcesSize), l.Origin)
			case ir.PerPrefix:
				add("limit "+l.ID, ir.Over, fmt.Sprintf("exact for %d prefixes at a time of /%d and /%d; a prefix beyond that is held by global limits alone", sourcesSize, l.Prefix4, l.Prefix6), l.Origin)
			default:
				add("limit "+l.ID, ir.Exact, "one count in the kernel, kept over applies", l.Origin)
			}
			for _, a := range l.Actions {
				exact, reason := ir.None, "this version drops the excess and does nothing else with its source"
				switch a.Name {
				case "alert":
					exact, reason = ir.Exact, "the excess is logged, at a limited rate, and counted"
				case "reject":
					exact, reason = ir.Under, "the excess is dropped without an answer"
				}
				add("limit "+l.ID+" then "+a.Name, exact, reason, l.Origin)
			}
		}
	}
	for _, t := range p.Egress {
		if t.Default == ir.Deny && (pt.Role == ir.Gateway || pt.Server == t.Server) {
			exact, reason := ir.None, "what the server calls does not pass this point"
			if calls(p, pt, t.Server) {
				exact, reason = ir.Exact, "every other TCP and UDP conversation that the server's addresses open is denied"
			}
			add("egress "+t.Server.Name, exact, reason, t.Origin)
		}
	}
	es = append(es, p.Unseen(pt, "nftables")...)
	for _, c := range p.Content {
		add("content "+c.ID, ir.None, "a packet filter does not see stanzas", c.Origin)
	}
	for _, r := range p.Routes {
		if r.Point == pt {
			add("route "+r.Path, ir.None, "a packet filter does not see HTTP paths", r.Origin)
		}
	}
	return es
}
