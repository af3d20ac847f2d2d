package compiler

import (
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"xfwc/compiler/ir"
)

// What a server may call besides federation and components.

// everyPort is what an egress statement with default deny speaks of.
var everyPort = []ir.PortSpan{{Proto: ir.TCP, From: 1, To: 65535}, {Proto: ir.UDP, From: 1, To: 65535}}

// egressOf is the server's egress statement, or nil.
func (pl *placing) egressOf(srv *ir.Server) *ir.EgressTerms {
	for _, t := range pl.p.Egress {
		if t.Server == srv {
			return t
		}
	}
	return nil
}

// spokenOf are the ports that an egress statement judges: all of them, or those
// that it opens for somebody and so closes for everybody else.
func spokenOf(t *ir.EgressTerms) []ir.PortSpan {
	if t.Default == ir.Deny {
		return everyPort
	}
	var ports []ir.PortSpan
	for _, f := range t.Flows {
		if f.Verdict == ir.Allow {
			ports = append(ports, f.Ports...)
		}
	}
	return ports
}

// calls are the flows that the server may open: those of its own statements, and
// those of allow statements, components and legs that begin at its addresses.
func (pl *placing) calls(srv *ir.Server) []*ir.Flow {
	if out, done := pl.called[srv]; done {
		return out
	}
	var out []*ir.Flow
	for _, f := range pl.p.Flows {
		if f.Verdict != ir.Allow {
			continue
		}
		named := f.Kind == ir.Access || f.Kind == ir.Component || f.Leg
		if f.Outbound && f.Server == srv || named && !f.Outbound && !f.To.Any && f.From.Set != nil && overlaps(f.From.Set, srv.Set) {
			out = append(out, f)
		}
	}
	pl.called[srv] = out
	return out
}

// common are the ports that both lists hold.
func common(a, b []ir.PortSpan) []ir.PortSpan { return without(a, without(a, b)) }

// egress makes the services for what the machine's server calls, as its egress
// statement says; the ports that are judged elsewhere are left to that. They are
// found by the server's addresses, so that what the machine does by another
// address of its own is left alone.
func (pl *placing) egress(m machine, judged []ir.PortSpan) []*ir.ServiceGuard {
	t := pl.egressOf(m.server)
	if m.server == nil || t == nil {
		return nil
	}
	spoken := without(spokenOf(t), judged)
	var claims []claim
	for _, f := range pl.calls(m.server) {
		if ports := common(f.Ports, spoken); len(ports) > 0 {
			claims = append(claims, claim{f, ports})
		}
	}
	for _, f := range t.Flows {
		if ports := without(f.Ports, judged); f.Verdict == ir.Deny && len(ports) > 0 {
			claims = append(claims, claim{f, ports})
		}
	}
	var services []*ir.ServiceGuard
	denied := pl.deniedOut()
	for _, cl := range classes(spoken, claims, nil) {
		s := &ir.ServiceGuard{Ports: cl.ports, Addrs: m.server.Set, BySource: true}
		allows, denies := partVerdicts(cl.flows)
		switch {
		case len(allows) > 0:
			s.Name = pl.serviceName(className(allows))
		case len(denies) > 0:
			s.Name = pl.serviceName(denies[0].ID)
		default:
			s.Name = pl.serviceName("egress_" + m.server.Name)
		}
		for _, f := range denies {
			pl.held[f] = true
			s.Entries = append(s.Entries, &ir.Entry{ID: f.ID, Match: ir.Match{Dst: f.To.Set}, Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin})
		}
		if len(allows) > 0 {
			s.Entries = append(s.Entries, denied...)
		}
		s.Entries = append(s.Entries, pl.callEntries(m, allows)...)
		s.Rest = rest(s.Name, t.Origin)
		if !covers(spoken, cl.ports) {
			s.Rest.Verdict, s.Rest.Log = ir.Untouched, false // only deny rules speak of these ports
		}
		services = append(services, s)
	}
	return services
}

// partVerdicts parts flows that allow from those that deny.
func partVerdicts(flows []*ir.Flow) (allows, denies []*ir.Flow) {
	for _, f := range flows {
		if f.Verdict == ir.Deny {
			denies = append(denies, f)
		} else {
			allows = append(allows, f)
		}
	}
	return allows, denies
}

// deniedOut are the deny statements about everything, seen from who calls.
func (pl *placing) deniedOut() []*ir.Entry {
	var es []*ir.Entry
	for _, f := range pl.p.Flows {
		if f.Verdict == ir.Deny && len(f.Ports) == 0 && f.From.Set != nil {
			es = append(es, &ir.Entry{
				ID: f.ID + "-out", Match: ir.Match{Dst: f.From.Set}, Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin,
			})
		}
	}
	return es
}

// callEntries allow the flows that the machine opens.
func (pl *placing) callEntries(m machine, flows []*ir.Flow) []*ir.Entry {
	var es []*ir.Entry
	for _, f := range flows {
		pl.held[f] = true
		e := &ir.Entry{ID: f.ID, Verdict: ir.Allow, Limits: f.Limits, Flow: f, Origin: f.Origin}
		e.Match.Dst = f.To.Set
		if !f.Outbound {
			// Somebody else's service, which counts whom it lets in where it is.
			e.ID, e.Match.Src, e.Limits = f.ID+"-out", f.From.Set, nil
		} else if m.hostwide && f.Kind == ir.Egress {
			e.Match.Src = f.From.Set
		}
		if !m.hostwide {
			e.Match.Iif = pl.facing(m.set)
		}
		es = append(es, e)
	}
	return es
}

// callDenies are the deny rules of the server's egress statement about some
// ports, towards a place or, without one, anywhere.
func (pl *placing) callDenies(srv *ir.Server, ports []ir.PortSpan, to *ir.AddrSet) []*ir.Entry {
	t := pl.egressOf(srv)
	if srv == nil || t == nil {
		return nil
	}
	var es []*ir.Entry
	for _, f := range t.Flows {
		both := common(ports, f.Ports)
		if f.Verdict != ir.Deny || len(both) == 0 || to != nil && !f.To.Any && !overlaps(f.To.Set, to) {
			continue
		}
		e := &ir.Entry{ID: f.ID, Match: ir.Match{Src: f.From.Set, Dst: f.To.Set}, Verdict: ir.Deny, Log: true, Flow: f, Origin: f.Origin}
		if !slices.Equal(both, ports) {
			e.Match.DstPorts = both
		}
		pl.held[f] = true
		es = append(es, e)
	}
	return es
}

// callers are the servers whose calls to the machine the gateway passes on, and
// which have an egress statement.
func (pl *placing) callers(m machine) []*ir.Server {
	if pl.pt.Role != ir.Gateway || len(pl.p.Egress) == 0 {
		return nil
	}
	var out []*ir.Server
	for _, other := range pl.behind() {
		if other.server != nil && other.server != m.server && pl.egressOf(other.server) != nil {
			out = append(out, other.server)
		}
	}
	return out
}

// uncalled keeps the servers behind a gateway from a service of the machine that
// their egress statements do not name: a service is found by its destination
// first, and it may be open to anybody.
func (pl *placing) uncalled(m machine, ports []ir.PortSpan) []*ir.Entry {
	var es []*ir.Entry
	for _, srv := range pl.callers(m) {
		es = append(es, pl.callDenies(srv, ports, m.set)...)
		t := pl.egressOf(srv)
		var claims []claim
		spoken := common(ports, spokenOf(t))
		for _, f := range pl.calls(srv) {
			if both := common(f.Ports, spoken); len(both) > 0 && (f.To.Any || overlaps(f.To.Set, m.set)) {
				claims = append(claims, claim{f, both})
			}
		}
		for _, cl := range classes(spoken, claims, nil) {
			e := ir.Entry{ID: "egress-" + srv.Name, Match: ir.Match{Src: srv.Set}, Verdict: ir.Deny, Log: true, Origin: t.Origin}
			if !slices.Equal(cl.ports, ports) {
				e.Match.DstPorts = cl.ports
			}
			es = append(es, notCalled(e, m, cl.flows)...)
		}
	}
	return es
}

// notCalled makes the entries that deny what no flow calls: never what one calls
// at all hours, and at the other hours what one calls at some.
func notCalled(deny ir.Entry, m machine, flows []*ir.Flow) []*ir.Entry {
	name := strings.ReplaceAll("called_by_"+deny.ID, "-", "_")
	var always, some [][]netip.Prefix
	var timed []*ir.Flow
	anyAtTimes := false
	for _, f := range flows {
		switch during := f.Terms != nil && f.Terms.During != nil; {
		case during:
			timed = append(timed, f)
			anyAtTimes = anyAtTimes || f.To.Any
			if !f.To.Any {
				some = append(some, f.To.Set.Prefixes)
			}
		case f.To.Any:
			return nil
		default:
			always = append(always, f.To.Set.Prefixes)
		}
	}
	var es []*ir.Entry
	// except denies what is not in the places; nothing where that is all there is.
	except := func(places [][]netip.Prefix, during *ir.Window) {
		e := deny
		e.Match.During = during
		if len(places) > 0 {
			e.Match.Dst, e.Match.DstNot = union(name, deny.Origin, places...), true
			if m.set.Within(e.Match.Dst) {
				return
			}
		}
		es = append(es, &e)
	}
	if !anyAtTimes {
		except(slices.Concat(always, some), nil)
	}
	for _, f := range timed {
		other := f.Terms.During.Else()
		if f.To.Any {
			except(always, other)
			continue
		}
		var b netipx.IPSetBuilder
		for _, p := range f.To.Set.Prefixes {
			b.AddPrefix(p)
		}
		for _, p := range slices.Concat(always...) {
			b.RemovePrefix(p)
		}
		if set, err := b.IPSet(); err == nil && len(set.Prefixes()) > 0 {
			e := deny
			e.Match.Dst, e.Match.During = newSet(name, deny.Origin, set.Prefixes()), other
			es = append(es, &e)
		}
	}
	return es
}

// callable are the ports of another server's service that this point may call:
// where its own server has an egress statement, only what that one names.
func (pl *placing) callable(f *ir.Flow) []ir.PortSpan {
	t := pl.egressOf(pl.pt.Server)
	if pl.pt.Server == nil || t == nil || slices.Contains(pl.calls(pl.pt.Server), f) {
		return f.Ports
	}
	return without(f.Ports, spokenOf(t))
}

// calledHere are the egress rules that open the ports of the claims at another
// server, too.
func (pl *placing) calledHere(there machine, claims []claim) []claim {
	t := pl.egressOf(pl.pt.Server)
	if pl.pt.Server == nil || t == nil {
		return nil
	}
	var ports []ir.PortSpan
	for _, c := range claims {
		ports = append(ports, c.ports...)
	}
	var out []claim
	for _, f := range t.Flows {
		if both := common(f.Ports, ports); f.Verdict == ir.Allow && len(both) > 0 && (f.To.Any || overlaps(f.To.Set, there.set)) {
			out = append(out, claim{f, both})
		}
	}
	return out
}
