package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// site is what the picture shows: who talks, the gateways between, the machines
// that are talked to, and the lines that the policy allows.
type site struct {
	sources []*place
	gates   []*place
	homes   []*place
	lines   []*line
}

// kinds of places.
const (
	internet  = "internet"
	peer      = "peer"
	network   = "network"
	component = "component"
	address   = "address"
	gateway   = "gateway"
	server    = "server"
	machine   = "machine" // a host without a server
)

// place is a box of the picture.
type place struct {
	kind   string
	name   string
	host   string   // of a server: the point that it runs on
	notes  []string // what else is written in the box
	behind string   // sources: on which side of the site they are
	denied bool     // nothing from there passes
	rows   []*row   // what it serves

	addrs []netip.Addr // one of each family that stands for it
	x, y  float64
	w, h  float64
}

// row is a service of a place, at which lines end.
type row struct {
	label string
	kind  int // by which rows are sorted
	port  uint16
	y     float64
}

// end is one end of a line.
type end struct {
	place *place
	row   *row // nil where the place has none
}

// line is a way that the policy allows, in one visibility.
type line struct {
	from, to    end
	there, back bool // who opens conversations: from, to
	sees        ir.Visibility
	gates       []*place // that forward it
	says        []string
}

// rowKinds is the order of rows.
var rowKinds = []ir.FlowKind{
	ir.Clients, ir.Web, ir.Media, ir.Federation, ir.Component, ir.Admin, ir.Cluster, ir.Access, ir.Serverless, ir.Egress,
}

// newSite gathers what the picture shows of a policy.
func newSite(p *ir.Policy) *site {
	b := builder{p: p, site: &site{}, places: map[string]*place{}, lines: map[string]*line{}}
	for _, pt := range p.Points {
		if pt.Server == nil {
			b.point(pt)
		}
	}
	for _, s := range p.Servers {
		b.server(s)
	}
	for _, f := range p.Flows {
		if f.Verdict == ir.Deny && f.To.Any && !f.From.Any {
			for _, ref := range strings.Split(f.From.Label, ", ") {
				b.place(ref, f.From.Set).denied = true
			}
		}
	}
	for _, l := range p.Legs {
		b.leg(l)
	}
	for _, s := range b.site.sources {
		if s.behind == "" {
			s.behind = b.side(s)
		}
	}
	b.site.gather()
	return b.site
}

type builder struct {
	p      *ir.Policy
	site   *site
	places map[string]*place // by what flows call them
	lines  map[string]*line
}

func (b *builder) point(pt *ir.Point) {
	pl := &place{kind: machine, name: pt.Name, notes: append([]string{"host"}, engines(pt)), addrs: firstOfEach(pt.Set)}
	if pt.Role == ir.Gateway {
		pl.kind, pl.notes[0] = gateway, "gateway"
		b.site.gates = append(b.site.gates, pl)
	} else {
		b.site.homes = append(b.site.homes, pl)
	}
	if pt.Observe != "" {
		pl.notes = append(pl.notes, "only observes until "+pt.Observe)
	}
	b.places["point "+pt.Name] = pl
}

func (b *builder) server(s *ir.Server) {
	pl := &place{kind: server, name: s.Name, addrs: firstOfEach(s.Set)}
	pl.notes = []string{strings.TrimSpace(s.Software + " " + s.Version), some(s.Domains, 2)}
	for _, pt := range b.p.Points {
		if pt.Server == s {
			pl.host = pt.Name
			pl.notes = append(pl.notes, "on "+pt.Name+": "+engines(pt))
			if pt.Observe != "" {
				pl.notes = append(pl.notes, "only observes until "+pt.Observe)
			}
			b.places["point "+pt.Name] = pl
		}
	}
	b.places["server "+s.Name] = pl
	b.site.homes = append(b.site.homes, pl)
}

func engines(pt *ir.Point) string {
	var names []string
	for _, e := range pt.Engines {
		names = append(names, e.Kind)
	}
	return strings.Join(names, ", ")
}

// place finds or makes the box that a flow's words mean.
func (b *builder) place(ref string, set *ir.AddrSet) *place {
	if pl := b.places[ref]; pl != nil {
		return pl
	}
	kind, name, _ := strings.Cut(ref, " ")
	pl := &place{kind: kind, name: name}
	switch kind {
	case "any":
		pl.kind, pl.name, pl.notes, pl.behind = internet, "anyone", []string{"every address"}, "Internet"
		pl.addrs = b.strangers()
	case "network", "zone":
		pl.kind = network
		set = b.named(kind, name)
	case peer, component:
	default:
		pl.kind, pl.name = address, ref
		if a, err := netip.ParsePrefix(ref); err == nil {
			set = &ir.AddrSet{Prefixes: []netip.Prefix{a}}
		} else if a, err := netip.ParseAddr(ref); err == nil {
			set = &ir.AddrSet{Prefixes: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}}
		}
	}
	if set != nil && pl.kind != internet {
		pl.addrs = firstOfEach(set)
		pl.notes = addressNotes(pl, set)
	}
	b.places[ref] = pl
	b.site.sources = append(b.site.sources, pl)
	return pl
}

// addressNotes shows which addresses a place has.
func addressNotes(pl *place, set *ir.AddrSet) []string {
	if set.Feed != "" {
		return []string{fmt.Sprintf("feed of %d prefixes", len(set.Prefixes))}
	}
	if pl.kind == address {
		return nil // its name is its address
	}
	var words []string
	for _, p := range set.Prefixes {
		if words = append(words, spell(p)); len(words) > 2 {
			break
		}
	}
	if more := len(set.Prefixes) - 2; more > 0 {
		words = append(words[:2], fmt.Sprintf("and %d more", more))
	}
	return words
}

// named is the set of a network or zone.
func (b *builder) named(kind, name string) *ir.AddrSet {
	for _, n := range b.p.Networks {
		if kind == "network" && n.Name == name {
			return n.Set
		}
	}
	for _, z := range b.p.Zones {
		if kind == "zone" && z.Name == name {
			return z.Set
		}
	}
	return nil
}

// strangers are addresses that the policy says nothing of, one each family.
func (b *builder) strangers() []netip.Addr {
	known := func(a netip.Addr) bool {
		for _, n := range b.p.Networks {
			if n.Set.Contains(a) {
				return true
			}
		}
		return slices.ContainsFunc(b.p.Flows, func(f *ir.Flow) bool { return f.From.Set.Contains(a) || f.To.Set.Contains(a) })
	}
	var out []netip.Addr
	for _, text := range []string{"198.18.0.1", "2001:db8:ffff:ffff::1"} {
		a := netip.MustParseAddr(text)
		for range 1000 {
			if !known(a) {
				out = append(out, a)
				break
			}
			a = a.Next()
		}
	}
	return out
}

// firstOfEach is an address of each family of a set.
func firstOfEach(set *ir.AddrSet) []netip.Addr {
	var v4, v6 []netip.Addr
	if set == nil {
		return nil
	}
	for _, p := range set.Prefixes {
		a := p.Addr()
		if !p.IsSingleIP() {
			a = a.Next() // the first one of a network is the network's own
		}
		if a.Is4() && v4 == nil {
			v4 = []netip.Addr{a}
		}
		if a.Is6() && v6 == nil {
			v6 = []netip.Addr{a}
		}
	}
	return append(v4, v6...)
}

// leg draws what one leg allows.
func (b *builder) leg(l *ir.Leg) {
	f := l.Flow
	for _, from := range strings.Split(l.From, ", ") {
		source := b.place(from, l.FromSet)
		for _, to := range b.targets(l, source) {
			b.connect(l, f, source, to)
		}
	}
}

// targets are the boxes that a leg ends at. Serverless messaging goes to every
// machine of the link that the policy speaks of.
func (b *builder) targets(l *ir.Leg, source *place) []*place {
	if l.Flow.Kind == ir.Serverless {
		var out []*place
		for _, pl := range b.site.homes {
			if pl.kind == machine {
				out = append(out, pl)
			}
		}
		return out
	}
	var out []*place
	for _, to := range strings.Split(l.To, ", ") {
		if pl := b.place(to, l.ToSet); pl != source {
			out = append(out, pl)
		}
	}
	return out
}

// connect adds a line, or adds to the one that is there.
func (b *builder) connect(l *ir.Leg, f *ir.Flow, from, to *place) {
	a, z := end{from, b.outlet(f, from, l)}, end{to, b.inlet(f, to, l)}
	key := func(x, y end) string {
		return fmt.Sprintf("%p %p %p %p %s", x.place, x.row, y.place, y.row, l.Visibility)
	}
	ln := b.lines[key(a, z)]
	switch {
	case ln != nil:
		ln.there = true
	case b.lines[key(z, a)] != nil:
		ln = b.lines[key(z, a)]
		ln.back = true
	default:
		ln = &line{from: a, to: z, there: true, sees: l.Visibility}
		b.lines[key(a, z)] = ln
		b.site.lines = append(b.site.lines, ln)
	}
	if says := f.Origin.Label + " (" + ports(l.Ports) + ")"; !slices.Contains(ln.says, says) {
		ln.says = append(ln.says, says)
	}
	for _, h := range b.path(from, to, l) {
		gate := b.places["point "+h.Point.Name]
		if h.Hook == ir.Forward && !slices.Contains(ln.gates, gate) {
			ln.gates = append(ln.gates, gate)
		}
	}
}

// path is the way of a packet that stands for a leg.
func (b *builder) path(from, to *place, l *ir.Leg) []compiler.Hop {
	for _, src := range from.addrs {
		for _, dst := range to.addrs {
			if src.Is4() == dst.Is4() {
				return compiler.Explain(b.p, compiler.Packet{Proto: l.Ports[0].Proto, Src: src, Dst: dst, DstPort: l.Ports[0].From}).Hops
			}
		}
	}
	return nil
}

// side says on which side of the site a source is, by the interface that it comes
// in at.
func (b *builder) side(s *place) string {
	for _, pt := range b.p.Points {
		for _, a := range s.addrs {
			for _, i := range pt.Interfaces {
				for _, n := range i.Networks {
					if n.Set.Contains(a) {
						return "behind " + i.Name + " of " + pt.Name
					}
				}
			}
		}
	}
	faces := slices.ContainsFunc(b.p.Points, func(pt *ir.Point) bool {
		return slices.ContainsFunc(pt.Interfaces, func(i ir.Interface) bool { return i.Internet })
	})
	if faces || s.kind == peer {
		return "Internet"
	}
	return "Elsewhere"
}

// inlet is the row of a place that a leg ends at.
func (b *builder) inlet(f *ir.Flow, pl *place, l *ir.Leg) *row {
	if pl.kind != server && pl.kind != gateway && pl.kind != machine {
		return nil
	}
	return pl.row(f, l.Ports, ports(l.Ports)+" "+service(f, l.Ports))
}

// outlet is the row of a place that a leg starts from: the service that it
// belongs to, if the place offers one.
func (b *builder) outlet(f *ir.Flow, pl *place, l *ir.Leg) *row {
	if pl.kind != server && pl.kind != gateway && pl.kind != machine {
		return nil
	}
	if f.Kind == ir.Egress {
		return pl.row(f, l.Ports, "calls "+ports(l.Ports))
	}
	for _, r := range pl.rows {
		if rowKinds[r.kind] == f.Kind {
			return r
		}
	}
	return pl.row(f, l.Ports, "calls "+ports(l.Ports)+" "+service(f, l.Ports))
}

func (pl *place) row(f *ir.Flow, ps []ir.PortSpan, label string) *row {
	label = strings.TrimSpace(label)
	for _, r := range pl.rows {
		if r.label == label {
			return r
		}
	}
	r := &row{label: label, kind: max(0, slices.Index(rowKinds, f.Kind)), port: ps[0].From}
	pl.rows = append(pl.rows, r)
	slices.SortStableFunc(pl.rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.port, b.port), cmp.Compare(a.label, b.label))
	})
	return r
}

// service names what is reached.
func service(f *ir.Flow, ps []ir.PortSpan) string {
	if f.Kind != ir.Access {
		return string(f.Kind)
	}
	if len(ps) == 1 && ps[0].From == 22 && ps[0].To == 22 {
		return "ssh"
	}
	if f.Server != nil {
		for _, l := range f.Server.Listeners {
			if slices.Contains(ps, l.Port) {
				return strings.TrimSuffix(l.Service, "-tls") // the line says that it is
			}
		}
	}
	return ""
}

// ports writes ports in short: "5222", "udp 3478", "5280, 5443".
func ports(ps []ir.PortSpan) string {
	var words []string
	for _, p := range ps {
		w := fmt.Sprint(p.From)
		if p.From != p.To {
			w += fmt.Sprintf("-%d", p.To)
		}
		if p.Proto == ir.UDP {
			w = "udp " + w
		}
		words = append(words, w)
	}
	return some(words, 3)
}

// some writes the first n words of a list, and how many more there are.
func some(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:n], ", "), len(words)-n)
}

func spell(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
