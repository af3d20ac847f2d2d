package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// place decides what every point with a packet filter has to judge, and writes
// it into p.Guards: for a host the input and output hooks, for a gateway also
// forward. A flow that no point holds becomes a ledger-none finding, because a
// rule that looks configured and has no effect is what users complain of most.
func place(p *ir.Policy) []diag.Finding {
	held := map[*ir.Flow]bool{}
	for _, pt := range p.Points {
		if pt.Engine("nftables") == nil {
			continue
		}
		pl := &placing{p: p, pt: pt, held: held, called: map[*ir.Server][]*ir.Flow{}}
		pl.bogons = pl.bogonSet()
		p.Guards = append(p.Guards, pl.guards()...)
	}
	for _, g := range p.Guards {
		for _, s := range g.Services {
			for _, e := range s.Entries {
				if e.Flow != nil && e.Flow.Terms != nil && e.Flow.Terms.During != nil {
					e.Match.During, e.Early = e.Flow.Terms.During, false
				}
			}
		}
	}
	var fs []diag.Finding
	serverless := false // its flows are one statement, and have one reason
	for _, f := range p.Flows {
		if held[f] || staysWithin(p, f) {
			continue
		}
		if f.Kind == ir.Serverless {
			if !serverless {
				serverless = true
				fs = append(fs, unspoken(p, f))
			}
			continue
		}
		fd := diag.New("ledger-none", f.Origin.Span,
			fmt.Sprintf("%s is enforced nowhere: no point with nftables stands on its path", f.Origin.Label))
		fs = append(fs, fd)
	}
	return fs
}

// unspoken says why no point holds the serverless flow.
func unspoken(p *ir.Policy, f *ir.Flow) diag.Finding {
	fd := diag.New("ledger-none", f.Origin.Span, f.Origin.Label+" is enforced nowhere: no point with nftables is a host without a server, which alone speaks it")
	fd.Remedy = "Add a point with role host and nftables for a machine on the link, or remove the statement."
	for _, pt := range p.Points {
		if pt.Engine("nftables") == nil || !pt.Passes(f) {
			continue
		}
		what := "is the host of a server: it speaks through that server"
		if pt.Role == ir.Gateway {
			what = "is a gateway: what stays on the link does not cross it"
		}
		fd.Labels = append(fd.Labels, diag.Label{Span: pt.Origin.Span, Text: pt.Name + " " + what})
	}
	return fd
}

// staysWithin reports whether both ends of the flow are addresses of one point
// with a packet filter: it then uses the loopback interface, which is left
// alone and which nobody else reaches.
func staysWithin(p *ir.Policy, f *ir.Flow) bool {
	return slices.ContainsFunc(p.Points, func(pt *ir.Point) bool { return pt.Engine("nftables") != nil && pt.Keeps(f) })
}

// placing is the work on one point.
type placing struct {
	p      *ir.Policy
	pt     *ir.Point
	bogons *ir.AddrSet // sources refused on internet-facing interfaces; nil when there is none
	held   map[*ir.Flow]bool
	called map[*ir.Server][]*ir.Flow // what a server may open
	names  map[string]bool           // service names in use in the guard at hand
}

// machine is a place that conversations end at: a server, or a host without one.
type machine struct {
	set      *ir.AddrSet
	server   *ir.Server
	point    *ir.Point // the point that is this machine; nil when none is declared
	label    string
	hostwide bool // the machine is the point at hand: any of its addresses
}

func (pl *placing) guards() []*ir.Guard {
	in := &ir.Guard{Point: pl.pt, Hook: ir.Input, Exclusive: pl.pt.Exclusive}
	out := &ir.Guard{Point: pl.pt, Hook: ir.Output}
	self := machine{set: pl.pt.Set, server: pl.pt.Server, point: pl.pt, label: pl.pt.Name, hostwide: true}

	pl.names = map[string]bool{}
	in.Services = pl.inbound(self)
	if pl.pt.Role == ir.Gateway {
		for _, m := range pl.behind() {
			in.Services = append(in.Services, pl.egress(m, nil)...)
		}
	}
	in.Confine = pl.confineIn(self, false)

	pl.names = map[string]bool{}
	out.Services = pl.outbound(self)
	out.Confine = pl.confineOut(self)
	gs := []*ir.Guard{in, out}

	if pl.pt.Role == ir.Gateway {
		fwd := &ir.Guard{Point: pl.pt, Hook: ir.Forward, Exclusive: pl.pt.Exclusive}
		pl.names = map[string]bool{}
		for _, m := range pl.behind() {
			fwd.Services = append(fwd.Services, pl.inbound(m)...)
			fwd.Confine = append(fwd.Confine, pl.confineIn(m, true)...)
		}
		for _, m := range pl.behind() {
			fwd.Services = append(fwd.Services, pl.outbound(m)...)
		}
		if s := pl.mdnsForward(); s != nil {
			fwd.Services = append(fwd.Services, s)
		}
		slices.SortStableFunc(fwd.Services, func(a, b *ir.ServiceGuard) int {
			return cmp.Compare(boolRank(a.BySource), boolRank(b.BySource))
		})
		gs = append(gs, fwd)
	}
	return gs
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// behind lists the machines whose traffic the gateway forwards: those in the
// networks that its interfaces face, other than the internet. A gateway that
// states no interfaces forwards for every machine of the policy.
func (pl *placing) behind() []machine {
	var ms []machine
	for _, m := range pl.machines() {
		if m.point == pl.pt || m.set == nil || len(m.set.Prefixes) == 0 {
			continue
		}
		if len(pl.pt.Interfaces) > 0 && len(pl.facing(m.set)) == 0 {
			continue
		}
		ms = append(ms, m)
	}
	return ms
}

func (pl *placing) machines() []machine {
	var ms []machine
	for _, s := range pl.p.Servers {
		m := machine{set: s.Set, server: s, label: s.Name}
		for _, pt := range pl.p.Points {
			if pt.Server == s {
				m.point, m.set = pt, pt.Set // the server's addresses and the host's own
			}
		}
		ms = append(ms, m)
	}
	for _, pt := range pl.p.Points {
		if pt.Server == nil {
			ms = append(ms, machine{set: pt.Set, point: pt, label: pt.Name})
		}
	}
	return ms
}

// facing lists the interfaces, other than internet-only ones, behind which a
// part of the set lies.
func (pl *placing) facing(s *ir.AddrSet) []string {
	var names []string
	for _, i := range pl.pt.Interfaces {
		for _, n := range i.Networks {
			if overlaps(n.Set, s) {
				names = append(names, i.Name)
				break
			}
		}
	}
	return names
}

// entryIfaces gives the interfaces that packets from the set come in by, or nil
// when they may come in by any. It binds address zones to interface zones: an
// address alone is easily forged, the interface it arrives on is not.
func (pl *placing) entryIfaces(ep ir.Endpoint) []string {
	const manyPrefixes = 4096 // feeds are not worth the walk: they come from everywhere
	if ep.Any || ep.Set == nil || len(pl.pt.Interfaces) == 0 || len(ep.Set.Prefixes) > manyPrefixes {
		return nil
	}
	var internet []string
	for _, i := range pl.pt.Interfaces {
		if i.Internet {
			internet = append(internet, i.Name)
		}
	}
	use := map[string]bool{}
	for _, pfx := range ep.Set.Prefixes {
		var faced []netip.Prefix // parts of the prefix, behind whichever interface
		for _, i := range pl.pt.Interfaces {
			for _, n := range i.Networks {
				for _, np := range n.Set.Prefixes {
					if np.Overlaps(pfx) {
						use[i.Name] = true
						faced = append(faced, np)
					}
				}
			}
		}
		// Networks behind two interfaces may be the halves of one prefix.
		whole := slices.ContainsFunc(ir.MergePrefixes(faced), func(p netip.Prefix) bool { return p.Bits() <= pfx.Bits() })
		if !whole {
			if len(internet) == 0 {
				return nil
			}
			for _, n := range internet {
				use[n] = true
			}
		}
	}
	if len(use) == len(pl.pt.Interfaces) {
		return nil
	}
	var names []string
	for _, i := range pl.pt.Interfaces {
		if use[i.Name] && !slices.Contains(names, i.Name) {
			names = append(names, i.Name)
		}
	}
	return names
}

func (pl *placing) internetIfaces() []string {
	var names []string
	for _, i := range pl.pt.Interfaces {
		if i.Internet {
			names = append(names, i.Name)
		}
	}
	return names
}

// reaches reports whether the flow ends at the machine.
func reaches(f *ir.Flow, m machine) bool {
	if f.To.Any || f.To.Set == nil {
		return true
	}
	return overlaps(f.To.Set, m.set)
}

// claim is a flow's wish for ports.
type claim struct {
	flow  *ir.Flow
	ports []ir.PortSpan
}

// inbound makes the services for conversations that the machine accepts.
func (pl *placing) inbound(m machine) []*ir.ServiceGuard {
	var guarded []ir.PortSpan
	if m.server != nil {
		for _, l := range m.server.Listeners {
			guarded = append(guarded, l.Port)
		}
	}
	var allows []claim
	var denies []*ir.Flow
	for _, f := range pl.p.Flows {
		switch {
		case f.Kind == ir.Egress:
			// What a server calls is judged where it calls.
		case f.Verdict == ir.Deny:
			if reaches(f, m) {
				denies = append(denies, f)
			}
		case f.Kind == ir.Serverless:
			// Only plain hosts speak serverless; a server's host does not, and what
			// crosses a gateway is by definition not on the link.
			if m.hostwide && m.server == nil && pl.pt.Role == ir.Host {
				allows = append(allows, claim{f, f.Ports})
			}
		case f.To.Any || !reaches(f, m):
		case f.Outbound && f.Kind != ir.Component:
			// Whom a server accepts federation from is for its own statement to say.
		case f.From.Set != nil && pl.pt.Set != nil && f.From.Set.Within(pl.pt.Set):
			// The point itself opens it: that is judged on output. Anything that
			// comes in with the point's own source address is forged.
		default:
			allows = append(allows, claim{f, f.Ports})
		}
	}
	// An allow statement names a network that the limits of a service are not
	// meant for (XEP-0205 section 5), so it is judged before the service
	// wherever it stands in the file.
	slices.SortStableFunc(allows, func(a, b claim) int {
		return cmp.Compare(boolRank(a.flow.Kind != ir.Access), boolRank(b.flow.Kind != ir.Access))
	})
	var services []*ir.ServiceGuard
	var same []*ir.Flow // what the entries of the class before deny
	var refused []*ir.Entry
	for _, cl := range classes(guarded, allows, denies) {
		s := &ir.ServiceGuard{Ports: cl.ports}
		if !m.hostwide {
			s.Addrs = m.set
		}
		for _, f := range cl.denies {
			pl.held[f] = true
		}
		// Nearly all services refuse the same sources: they share the entries.
		if !slices.Equal(same, cl.denies) {
			same, refused = cl.denies, denyEntries(cl.denies)
		}
		switch {
		case len(cl.flows) > 0:
			s.Name = pl.serviceName(className(cl.flows))
			s.Entries = append(s.Entries, refused...)
			if pl.bogons != nil && admitsAny(cl.flows) {
				s.Entries = append(s.Entries, pl.bogonEntry())
			}
			s.Entries = append(s.Entries, pl.uncalled(m, cl.ports)...)
			for _, f := range cl.flows {
				pl.held[f] = true
				s.Entries = append(s.Entries, pl.allowEntries(f)...)
			}
			s.Rest = rest(s.Name, leading(cl.flows).Block)
		case cl.guarded:
			// Ports of the software that no statement opens: closed, so that a
			// listener somebody forgot is not reachable by accident.
			s.Name = pl.serviceName("closed_" + m.label)
			s.Rest = rest(s.Name, m.origin())
		default:
			// Only deny statements speak of the port: all others may still use it.
			named := slices.DeleteFunc(slices.Clone(cl.denies), func(f *ir.Flow) bool { return len(f.Ports) == 0 })
			s.Name = pl.serviceName(named[0].ID)
			s.Entries = denyEntries(named)
			s.Rest = rest(s.Name, named[0].Origin)
			s.Rest.Verdict, s.Rest.Log = ir.Untouched, false
		}
		services = append(services, s)
	}
	return services
}

func (m machine) origin() ir.Origin {
	if m.server != nil {
		return m.server.Origin
	}
	return m.point.Origin
}

func rest(service string, o ir.Origin) *ir.Entry {
	return &ir.Entry{ID: "rest-" + strings.ReplaceAll(service, "_", "-"), Verdict: ir.Deny, Log: true, Origin: o}
}

// className names a service after its flow, or after what its flows have in
// common: all peers of a federation are one service.
func className(flows []*ir.Flow) string {
	f := leading(flows)
	kin := slices.DeleteFunc(slices.Clone(flows), func(g *ir.Flow) bool { return g.Kind == ir.Access })
	same := !slices.ContainsFunc(kin, func(g *ir.Flow) bool { return g.Kind != f.Kind || g.Server != f.Server })
	if len(kin) < 2 || !same || f.Server == nil {
		return f.ID
	}
	name := string(f.Kind) + "-" + f.Server.Name
	if f.Outbound {
		name += "-out"
	}
	return name
}

// leading is the flow that a service is known by: the first of a service block,
// or the first of all when only allow statements speak of the port.
func leading(flows []*ir.Flow) *ir.Flow {
	for _, f := range flows {
		if f.Kind != ir.Access {
			return f
		}
	}
	return flows[0]
}

// serviceName makes the name unique in the guard and short enough.
func (pl *placing) serviceName(base string) string {
	base = strings.ReplaceAll(base, "-", "_")
	if len(base) > 56 {
		base = strings.TrimRight(base[:56], "_")
	}
	name := base
	for i := 2; pl.names[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	pl.names[name] = true
	return name
}

func admitsAny(flows []*ir.Flow) bool {
	return slices.ContainsFunc(flows, func(f *ir.Flow) bool { return f.From.Any })
}

// denyEntries are the deny statements that speak of a class of ports. They come
// before every allow: the order of statements in the file never changes a
// verdict.
func denyEntries(denies []*ir.Flow) []*ir.Entry {
	var es []*ir.Entry
	for _, f := range denies {
		es = append(es, &ir.Entry{
			ID: f.ID, Match: ir.Match{Src: f.From.Set}, Verdict: ir.Deny, Log: true,
			Early: len(f.Ports) == 0 && !f.From.Any, Flow: f, Origin: f.Origin,
		})
	}
	return es
}

// bogonsID names the entries that refuse sources which cannot come from the
// internet.
const bogonsID = "bogons"

func (pl *placing) bogonEntry() *ir.Entry {
	return &ir.Entry{
		ID:      bogonsID,
		Match:   ir.Match{Iif: pl.internetIfaces(), Src: pl.bogons},
		Verdict: ir.Deny, Log: true, Origin: pl.bogons.Origin,
	}
}

func (pl *placing) allowEntries(f *ir.Flow) []*ir.Entry {
	e := &ir.Entry{ID: f.ID, Verdict: ir.Allow, Limits: f.Limits, Flow: f, Origin: f.Origin}
	if f.Kind != ir.Serverless {
		e.Match.Src = f.From.Set
		e.Match.Iif = pl.entryIfaces(f.From)
		return []*ir.Entry{e}
	}
	e.Match.Src = onLink(f.From.Set)
	e.Match.Iif = pl.facing(f.From.Set)
	if !f.Multicast {
		return []*ir.Entry{e}
	}
	e.Match.HopLimit255 = true
	e.Match.Groups = mdnsGroups()
	// Answers may come by unicast to the same port, from the link only as well
	// (RFC 6762 sections 5.5 and 11).
	u := *e
	u.Match.Groups = nil
	if len(pl.pt.Set.Prefixes) > 0 {
		u.Match.Dst = onLink(pl.pt.Set) // its link-local address is its own, too
	}
	return []*ir.Entry{e, &u}
}

// mdnsGroups are the multicast DNS groups, RFC 6762 section 3.
func mdnsGroups() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("224.0.0.251"), netip.MustParseAddr("ff02::fb")}
}

// onLink adds the link-local prefixes to a network: a neighbour may well speak
// from 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 section 2.5.6).
func onLink(s *ir.AddrSet) *ir.AddrSet {
	if s == nil {
		return nil
	}
	return union("link_"+s.Name, s.Origin, s.Prefixes, []netip.Prefix{
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
	})
}

// outbound makes the services for conversations that the machine opens: the
// server's federation and component ports, and the legs that start here. All
// other ports are left alone.
func (pl *placing) outbound(m machine) []*ir.ServiceGuard {
	var guarded []ir.PortSpan
	if m.server != nil {
		for _, l := range m.server.Listeners {
			switch l.Service {
			case "federation", "federation-tls", "component", "component-tls":
				guarded = append(guarded, l.Port)
			}
		}
		guarded = append(guarded, ir.PortSpan{Proto: ir.TCP, From: 5269, To: 5269}) // RFC 6120 section 14.7
	}
	var allows []claim
	for _, f := range pl.p.Flows {
		if f.Verdict == ir.Allow && f.Outbound && f.Kind != ir.Egress && m.server != nil && f.Server == m.server {
			// A peer may have moved to 80 or 443 by SRV. Judging those ports would
			// cut the machine's ordinary web traffic, so they are left untouched.
			pl.held[f] = true
			if ports := without(f.Ports, webPorts); len(ports) > 0 {
				allows = append(allows, claim{f, ports})
			}
		}
	}
	guarded = without(guarded, webPorts)
	for _, c := range allows {
		guarded = append(guarded, c.ports...)
	}
	for _, f := range pl.p.Flows {
		// An allow statement may name the machine as a source of another's service:
		// it opens that also among the ports that are judged here.
		named := f.Kind == ir.Access && f.Verdict == ir.Allow && !f.To.Any && f.From.Set != nil
		called := f.Kind == ir.Egress && f.Verdict == ir.Allow && m.server != nil && f.Server == m.server
		if named && overlaps(f.From.Set, m.set) && !overlaps(f.To.Set, m.set) || called {
			if ports := without(f.Ports, without(f.Ports, guarded)); len(ports) > 0 {
				allows = append(allows, claim{f, ports})
			}
		}
	}
	var services []*ir.ServiceGuard
	denied := pl.deniedOut()
	for _, cl := range classes(guarded, allows, nil) {
		s := &ir.ServiceGuard{Ports: cl.ports}
		if !m.hostwide {
			s.Addrs, s.BySource = m.set, true
		}
		origin := m.origin()
		if len(cl.flows) > 0 {
			s.Name = pl.serviceName(className(cl.flows))
			origin = leading(cl.flows).Block
			s.Entries = append(s.Entries, pl.callDenies(m.server, cl.ports, nil)...)
			s.Entries = append(s.Entries, denied...)
			s.Entries = append(s.Entries, pl.callEntries(m, cl.flows)...)
		} else {
			s.Name = pl.serviceName("closed_" + m.label + "_out")
		}
		s.Rest = rest(s.Name, origin)
		if !strings.HasSuffix(s.Rest.ID, "-out") {
			s.Rest.ID += "-out"
		}
		services = append(services, s)
	}
	services = append(services, pl.egress(m, guarded)...)
	if m.hostwide {
		services = append(services, pl.legsOut(guarded)...)
		if s := pl.mdnsOut(); s != nil {
			services = append(services, s)
		}
	}
	return services
}

var webPorts = []ir.PortSpan{{Proto: ir.TCP, From: 80, To: 80}, {Proto: ir.TCP, From: 443, To: 443}}

// without takes ports out of a list.
func without(ps, out []ir.PortSpan) []ir.PortSpan {
	for _, o := range out {
		var left []ir.PortSpan
		for _, p := range ps {
			if p.Proto != o.Proto || p.To < o.From || o.To < p.From {
				left = append(left, p)
				continue
			}
			if p.From < o.From {
				left = append(left, ir.PortSpan{Proto: p.Proto, From: p.From, To: o.From - 1})
			}
			if p.To > o.To {
				left = append(left, ir.PortSpan{Proto: p.Proto, From: o.To + 1, To: p.To})
			}
		}
		ps = left
	}
	return ps
}

// legsOut pins the clear legs that start at this point: towards the servers it
// proxies for, it may open the leg's port and what anybody may, and no other
// port of theirs. A point that hosts a server itself may have other business
// with another server: there only the legs are judged, and the ports in own,
// which its own server's statements judge, are left to them.
func (pl *placing) legsOut(own []ir.PortSpan) []*ir.ServiceGuard {
	var services []*ir.ServiceGuard
	for _, srv := range pl.p.Servers {
		if pl.pt.Server == srv || len(pl.pt.Set.Prefixes) == 0 {
			continue
		}
		there := machine{set: srv.Set, server: srv}
		var allows []claim
		var denies []*ir.Flow
		starts := false
		for _, f := range pl.p.Flows {
			mine := f.From.Set != nil && overlaps(pl.pt.Set, f.From.Set)
			switch {
			case f.Outbound || !reaches(f, there) || !mine && !f.From.Any:
			case f.Verdict == ir.Deny:
				denies = append(denies, f)
			case !f.To.Any:
				allows = append(allows, claim{f, without(pl.callable(f), own)})
				starts = starts || mine
			}
		}
		if !starts {
			continue
		}
		allows = append(allows, pl.calledHere(there, allows)...)
		var guarded []ir.PortSpan
		for _, l := range srv.Listeners {
			guarded = append(guarded, l.Port)
		}
		if pl.pt.Server != nil {
			guarded = nil
		}
		for _, cl := range classes(without(guarded, own), allows, denies) {
			if len(cl.flows) == 0 && !cl.guarded {
				continue // what is only denied is denied where it arrives
			}
			s := &ir.ServiceGuard{Ports: cl.ports, Addrs: srv.Set}
			origin := srv.Origin
			if len(cl.flows) > 0 {
				s.Name = pl.serviceName(cl.flows[0].ID + "_out")
				origin = cl.flows[0].Origin
			} else {
				s.Name = pl.serviceName("closed_" + srv.Name + "_out")
			}
			s.Entries = append(s.Entries, pl.callDenies(pl.pt.Server, cl.ports, srv.Set)...)
			for _, f := range cl.denies {
				pl.held[f] = true
				s.Entries = append(s.Entries, &ir.Entry{ID: f.ID + "-out", Match: ir.Match{Src: f.From.Set},
					Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin})
			}
			for _, f := range cl.flows {
				pl.held[f] = true
				e := &ir.Entry{ID: f.ID + "-out", Match: ir.Match{Src: f.From.Set}, Verdict: ir.Allow, Flow: f, Origin: f.Origin}
				if f.Kind == ir.Egress {
					e.Match.Dst = f.To.Set // which may be wider than the server, or narrower
				}
				s.Entries = append(s.Entries, e)
			}
			s.Rest = rest(s.Name, origin)
			services = append(services, s)
		}
	}
	return services
}

// mdnsOut keeps the machine's own multicast DNS on the link.
func (pl *placing) mdnsOut() *ir.ServiceGuard {
	f := pl.mdnsFlow()
	if f == nil || pl.pt.Role != ir.Host || pl.pt.Server != nil {
		return nil
	}
	s := &ir.ServiceGuard{Name: pl.serviceName("serverless_mdns_out"), Ports: f.Ports}
	s.Entries = []*ir.Entry{
		{ID: f.ID + "-out", Match: ir.Match{Groups: mdnsGroups()}, Verdict: ir.Allow, Flow: f, Origin: f.Origin},
		{ID: f.ID + "-out", Match: ir.Match{Dst: onLink(f.From.Set)}, Verdict: ir.Allow, Flow: f, Origin: f.Origin},
	}
	s.Rest = rest(s.Name, f.Origin)
	return s
}

// mdnsForward refuses to route multicast DNS: it is on-link by definition
// (RFC 6762 section 11).
func (pl *placing) mdnsForward() *ir.ServiceGuard {
	f := pl.mdnsFlow()
	if f == nil {
		return nil
	}
	pl.held[f] = true
	s := &ir.ServiceGuard{Name: pl.serviceName("serverless_mdns_routed"), Ports: f.Ports}
	s.Rest = rest(s.Name, f.Origin)
	return s
}

func (pl *placing) mdnsFlow() *ir.Flow {
	for _, f := range pl.p.Flows {
		if f.Kind == ir.Serverless && f.Multicast {
			return f
		}
	}
	return nil
}

// confined is a component port with everybody who may use it.
type confined struct {
	ports  []ir.PortSpan
	flows  []*ir.Flow
	people *ir.AddrSet
}

// confinements lists the machine's component ports. XEP-0114 links are clear
// text and let the component speak for every user of its domain, so a stranger
// is kept out even from a conversation that was established before the policy.
// A port that anybody may use cannot be confined. Where the server dials the
// component there is nothing to confine: which conversations it may open is
// judged when it opens them.
func (pl *placing) confinements(m machine) []confined {
	if m.server == nil {
		return nil
	}
	var claims []claim
	var all []ir.PortSpan
	var users []*ir.Flow // that may use a port of the machine
	for _, f := range pl.p.Flows {
		if f.Verdict != ir.Allow || f.Outbound {
			continue
		}
		if f.Kind == ir.Component && f.Server == m.server {
			claims = append(claims, claim{f, f.Ports})
			all = append(all, f.Ports...)
		}
		if !f.To.Any && reaches(f, m) {
			users = append(users, f)
		}
	}
	var cs []confined
	byPort := newPortIndex(users)
	for _, cl := range classes(all, claims, nil) {
		c := confined{ports: cl.ports, flows: cl.flows}
		var parts [][]netip.Prefix
		open := false
		for _, f := range byPort.meeting(cl.ports) {
			if f.From.Any || f.From.Set == nil {
				open = true
				break
			}
			parts = append(parts, f.From.Set.Prefixes)
		}
		if open {
			continue
		}
		name := fmt.Sprintf("confine_%s_%s", strings.ReplaceAll(m.label, "-", "_"), portName(cl.ports))
		c.people = union(name, cl.flows[0].Origin, parts...)
		cs = append(cs, c)
	}
	return cs
}

// portIndex finds flows by their ports.
type portIndex []indexedSpan

// indexedSpan is ports of a flow. furthest is where the spans up to this one end.
type indexedSpan struct {
	span     ir.PortSpan
	furthest uint16
	flow     *ir.Flow
}

func newPortIndex(flows []*ir.Flow) portIndex {
	var x portIndex
	for _, f := range flows {
		for _, s := range f.Ports {
			x = append(x, indexedSpan{span: s, flow: f})
		}
	}
	slices.SortStableFunc(x, func(a, b indexedSpan) int {
		return cmp.Or(cmp.Compare(a.span.Proto, b.span.Proto), cmp.Compare(a.span.From, b.span.From))
	})
	for i := range x {
		x[i].furthest = x[i].span.To
		if i > 0 && x[i-1].span.Proto == x[i].span.Proto {
			x[i].furthest = max(x[i].furthest, x[i-1].furthest)
		}
	}
	return x
}

// meeting lists the flows that share a port with ps.
func (x portIndex) meeting(ps []ir.PortSpan) []*ir.Flow {
	var found []*ir.Flow
	for _, p := range ps {
		// From the last span that begins in time, back to where none reaches p.
		i, _ := slices.BinarySearchFunc(x, p, func(s indexedSpan, p ir.PortSpan) int {
			return cmp.Or(cmp.Compare(s.span.Proto, p.Proto), cmp.Compare(int(s.span.From), int(p.To)+1))
		})
		for i--; i >= 0 && x[i].span.Proto == p.Proto && x[i].furthest >= p.From; i-- {
			if x[i].span.To >= p.From && !slices.Contains(found, x[i].flow) {
				found = append(found, x[i].flow)
			}
		}
	}
	return found
}

func portName(ps []ir.PortSpan) string {
	var parts []string
	for _, p := range ps {
		if p.From == p.To {
			parts = append(parts, fmt.Sprint(p.From))
		} else {
			parts = append(parts, fmt.Sprintf("%d_%d", p.From, p.To))
		}
	}
	return strings.Join(parts, "_")
}

// confineIn keeps strangers from component ports, in every state. On a gateway
// it holds both directions of the forwarded conversation.
func (pl *placing) confineIn(m machine, forward bool) []*ir.Entry {
	var es []*ir.Entry
	for _, c := range pl.confinements(m) {
		f := c.flows[0]
		e := &ir.Entry{ID: "confine-" + f.ID, Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin}
		e.Match = ir.Match{Src: c.people, SrcNot: true, DstPorts: c.ports}
		if forward {
			e.Match.Dst = m.set
			back := &ir.Entry{ID: "confine-" + f.ID, Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin}
			back.Match = ir.Match{Src: m.set, Dst: c.people, DstNot: true, SrcPorts: c.ports}
			es = append(es, e, back)
			continue
		}
		es = append(es, e)
	}
	return es
}

// confineOut keeps what leaves a component port to the components of the policy.
func (pl *placing) confineOut(m machine) []*ir.Entry {
	var es []*ir.Entry
	for _, c := range pl.confinements(m) {
		f := c.flows[0]
		es = append(es, &ir.Entry{ID: "confine-" + f.ID + "-out", Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin,
			Match: ir.Match{Dst: c.people, DstNot: true, SrcPorts: c.ports}})
	}
	return es
}

// bogonPrefixes are the sources that have no business on the internet: the
// special-purpose registries of RFC 6890 where "globally reachable" is false,
// and multicast, which is never a source. The documentation prefixes (RFC 5737,
// RFC 3849) are left out on purpose: they are never routed, and policies and
// their tests use them to stand for the internet.
var bogonPrefixes = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
	"172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "2001:2::/48",
	"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
}

// Bogon reports whether no packet from the address has any business on the
// internet.
func Bogon(a netip.Addr) bool {
	return slices.ContainsFunc(bogonPrefixes, func(s string) bool { return netip.MustParsePrefix(s).Contains(a) })
}

// bogonSet is what the point's internet-facing interfaces refuse as a source:
// bogons, and the networks behind its other interfaces (BCP 38, BCP 84). Named
// networks that no other interface faces are taken out: the policy knows them,
// so they must be able to come from somewhere.
func (pl *placing) bogonSet() *ir.AddrSet {
	if len(pl.internetIfaces()) == 0 {
		return nil
	}
	var b netipx.IPSetBuilder
	for _, s := range bogonPrefixes {
		b.AddPrefix(netip.MustParsePrefix(s))
	}
	remove := func(s *ir.AddrSet) {
		if s == nil || s.HasFeed {
			return
		}
		for _, pfx := range s.Prefixes {
			b.RemovePrefix(pfx)
		}
	}
	var denied []*ir.AddrSet
	var parts [][]netip.Prefix
	for _, f := range pl.p.Flows {
		if f.Verdict == ir.Deny && f.Kind != ir.Egress && f.From.Set != nil {
			denied = append(denied, f.From.Set)
			parts = append(parts, f.From.Set.Prefixes)
		}
	}
	allDenied := union("denied", pl.pt.Origin, parts...)
	for _, n := range pl.p.Networks {
		// A network that is only ever refused need not come from anywhere.
		refused := n.Set.Within(allDenied) && slices.ContainsFunc(denied, n.Set.Within)
		if !refused {
			remove(n.Set)
		}
	}
	for _, s := range pl.p.Servers {
		remove(s.Set)
	}
	for _, pt := range pl.p.Points {
		remove(pt.Set)
	}
	for _, f := range pl.p.Flows {
		if f.Verdict == ir.Allow && f.Kind != ir.Serverless && f.Kind != ir.Egress {
			remove(f.From.Set)
			remove(f.To.Set)
		}
	}
	for _, i := range pl.pt.Interfaces {
		if i.Internet {
			continue
		}
		for _, n := range i.Networks {
			for _, pfx := range n.Set.Prefixes {
				b.AddPrefix(pfx)
			}
		}
	}
	for _, i := range pl.pt.Interfaces {
		if i.Internet {
			for _, n := range i.Networks {
				for _, pfx := range n.Set.Prefixes {
					b.RemovePrefix(pfx)
				}
			}
		}
	}
	set, err := b.IPSet()
	if err != nil || len(set.Prefixes()) == 0 {
		return nil
	}
	o := pl.pt.Origin
	for _, i := range pl.pt.Interfaces {
		if i.Internet {
			o = i.Origin
			break
		}
	}
	return newSet("bogons", o, set.Prefixes())
}

// class is a set of ports that the same statements speak of.
type class struct {
	ports   []ir.PortSpan
	flows   []*ir.Flow // that allow, in policy order
	denies  []*ir.Flow // that deny: these ports, or all
	guarded bool       // closed unless a flow opens it
}

// classes cuts the port space into the smallest classes: within one class the
// same flows and the same deny statements speak of every port. A deny without
// ports speaks of whatever another statement or the software speaks of.
func classes(guarded []ir.PortSpan, claims []claim, denies []*ir.Flow) []class {
	var out []class
	for _, proto := range []ir.Proto{ir.TCP, ir.UDP} {
		var cuts []int
		add := func(ps []ir.PortSpan) {
			for _, s := range ps {
				if s.Proto == proto {
					cuts = append(cuts, int(s.From), int(s.To)+1)
				}
			}
		}
		add(guarded)
		for _, c := range claims {
			add(c.ports)
		}
		for _, f := range denies {
			add(f.Ports)
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		// Between two cuts all ports are alike. on calls f for each such part of ps.
		parts := max(0, len(cuts)-1)
		on := func(ps []ir.PortSpan, f func(part int)) {
			for _, s := range ps {
				if s.Proto == proto {
					i, _ := slices.BinarySearch(cuts, int(s.From))
					for ; cuts[i] <= int(s.To); i++ {
						f(i)
					}
				}
			}
		}
		closed := make([]bool, parts)
		on(guarded, func(i int) { closed[i] = true })
		flows, last := make([][]*ir.Flow, parts), make([]int, parts)
		for n, cl := range claims {
			on(cl.ports, func(i int) {
				if last[i] != n+1 { // not twice where two spans of a claim meet
					last[i], flows[i] = n+1, append(flows[i], cl.flow)
				}
			})
		}
		var whole []*ir.Flow // that deny every port
		named := make([][]*ir.Flow, parts)
		for _, f := range denies {
			if len(f.Ports) == 0 {
				whole = append(whole, f)
			}
			on(f.Ports, func(i int) { named[i] = append(named[i], f) })
		}
		for i := range parts {
			from, to := cuts[i], cuts[i+1]-1
			span := []ir.PortSpan{{Proto: proto, From: uint16(from), To: uint16(to)}}
			c := class{guarded: closed[i], flows: flows[i], denies: whole}
			spoken := c.guarded || len(c.flows) > 0 || len(named[i]) > 0
			if len(named[i]) > 0 {
				c.denies = slices.DeleteFunc(slices.Clone(denies), func(f *ir.Flow) bool { return len(f.Ports) > 0 && !slices.Contains(named[i], f) })
			}
			if !spoken {
				continue
			}
			c.guarded = c.guarded || len(c.flows) > 0
			at := slices.IndexFunc(out, func(o class) bool {
				return o.guarded == c.guarded && slices.Equal(o.flows, c.flows) && slices.Equal(o.denies, c.denies)
			})
			if at < 0 {
				out = append(out, c)
				at = len(out) - 1
			}
			ps := out[at].ports
			if n := len(ps); n > 0 && ps[n-1].Proto == proto && int(ps[n-1].To)+1 == from {
				ps[n-1].To = uint16(to)
			} else {
				out[at].ports = append(ps, span[0])
			}
		}
	}
	// Classes with flows first, in policy order of their first flow.
	order := map[*ir.Flow]int{}
	for i, c := range claims {
		if _, ok := order[c.flow]; !ok {
			order[c.flow] = i
		}
	}
	rank := func(c class) int {
		if len(c.flows) == 0 {
			return len(claims)
		}
		return order[c.flows[0]]
	}
	slices.SortStableFunc(out, func(a, b class) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// covers reports whether every port of want is in have.
func covers(have, want []ir.PortSpan) bool {
	for _, w := range want {
		port := int(w.From)
		for port <= int(w.To) {
			next := port
			for _, h := range have {
				if h.Proto == w.Proto && int(h.From) <= port && int(h.To) >= port {
					next = max(next, int(h.To)+1)
				}
			}
			if next == port {
				return false
			}
			port = next
		}
	}
	return true
}

func intersects(a, b []ir.PortSpan) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Proto == y.Proto && x.From <= y.To && y.From <= x.To {
				return true
			}
		}
	}
	return false
}

// newSet makes a set from prefixes in any order.
func newSet(name string, o ir.Origin, ps []netip.Prefix) *ir.AddrSet {
	return union(name, o, ps)
}

// union merges prefixes into one sorted set.
func union(name string, o ir.Origin, parts ...[]netip.Prefix) *ir.AddrSet {
	var b netipx.IPSetBuilder
	for _, ps := range parts {
		for _, p := range ps {
			b.AddPrefix(p)
		}
	}
	s := &ir.AddrSet{Name: name, Origin: o}
	if set, err := b.IPSet(); err == nil {
		s.Prefixes = set.Prefixes()
	}
	slices.SortFunc(s.Prefixes, comparePrefix)
	return s
}

// comparePrefix orders IPv4 before IPv6, then by address, then wider first.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(
		cmp.Compare(boolRank(a.Addr().Is6()), boolRank(b.Addr().Is6())),
		a.Addr().Compare(b.Addr()),
		cmp.Compare(a.Bits(), b.Bits()),
	)
}

// overlaps reports whether two sets share an address.
func overlaps(a, b *ir.AddrSet) bool {
	if a == nil || b == nil {
		return false
	}
	if len(a.Prefixes) > len(b.Prefixes) {
		a, b = b, a
	}
	for _, p := range a.Prefixes {
		if setOverlapsPrefix(b, p) {
			return true
		}
	}
	return false
}

func setOverlapsPrefix(s *ir.AddrSet, p netip.Prefix) bool {
	i := firstOverlap(s, p)
	return i < len(s.Prefixes) && s.Prefixes[i].Overlaps(p)
}

// firstOverlap is the place in the set of the first prefix that overlaps p; the
// prefix there does not overlap p if none does.
func firstOverlap(s *ir.AddrSet, p netip.Prefix) int {
	i, _ := slices.BinarySearchFunc(s.Prefixes, p.Addr(), func(q netip.Prefix, a netip.Addr) int {
		return cmp.Or(cmp.Compare(boolRank(q.Addr().Is6()), boolRank(a.Is6())), q.Addr().Compare(a))
	})
	if i > 0 && s.Prefixes[i-1].Overlaps(p) {
		return i - 1
	}
	return i
}
