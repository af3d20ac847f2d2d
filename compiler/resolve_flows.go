package compiler

import (
	"cmp"
	"fmt"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Clients, federation, components, web and serverless: the flows that a site
// wants.

func (s *state) resolveFlows() {
	s.resolveTrust()
	each(s, func(d *lang.Decl) *lang.ClientsDecl { return d.Clients }, s.clients)
	each(s, func(d *lang.Decl) *lang.FederationDecl { return d.Federation }, s.federation)
	each(s, func(d *lang.Decl) *lang.ComponentDecl { return d.Component }, s.component)
	each(s, func(d *lang.Decl) *lang.WebDecl { return d.Web }, s.web)
	each(s, func(d *lang.Decl) *lang.AnonymousDecl { return d.Anonymous }, s.anonymous) // asks for clients and web
	each(s, func(d *lang.Decl) *lang.MediaDecl { return d.Media }, s.media)
	each(s, func(d *lang.Decl) *lang.AdminDecl { return d.Admin }, s.admin)
	each(s, func(d *lang.Decl) *lang.ClusterDecl { return d.Cluster }, s.cluster)
	each(s, func(d *lang.Decl) *lang.EgressDecl { return d.Egress }, s.egress)
	first := once{}
	each(s, func(d *lang.Decl) *lang.ServerlessDecl { return d.Serverless }, func(d *lang.ServerlessDecl) {
		if !first.seen(s, "serverless", d) {
			s.serverless(d)
		}
	})
	s.policyOrder()
}

// flow adds a flow to the policy, as part of the statement at hand.
func (s *state) flow(f *ir.Flow) *ir.Flow {
	f.Verdict = cmp.Or(f.Verdict, ir.Allow)
	if !f.Block.Span.IsValid() {
		f.Block = f.Origin
	}
	s.order[f] = s.at
	s.p.Flows = append(s.p.Flows, f)
	return f
}

// policyOrder puts the flows into the order of their statements.
func (s *state) policyOrder() {
	slices.SortStableFunc(s.p.Flows, func(a, b *ir.Flow) int { return cmp.Compare(s.order[a], s.order[b]) })
}

func serverEnd(srv *ir.Server) ir.Endpoint {
	return ir.Endpoint{Label: "server " + srv.Name, Set: srv.Set}
}

var anyEnd = ir.Endpoint{Label: "any", Any: true}

// portsFor are the ports of a service. A server whose software is not
// understood, which has been reported, is taken to have the registered ones.
func (s *state) portsFor(srv *ir.Server, service string, registered uint16) []ir.PortSpan {
	if ps := servicePorts(srv, service); len(ps) > 0 {
		return ps
	}
	return []ir.PortSpan{tcpPort(registered)}
}

// serverless makes the flows of XEP-0174: multicast DNS, and streams on ports
// that only its SRV records tell (section 11.3).
func (s *state) serverless(d *lang.ServerlessDecl) {
	at := diag.Span{Start: d.Span().Start, End: d.Span().Start}
	at.End.Offset += len("serverless")
	at.End.Column += len("serverless")
	o := origin(at, "serverless")
	seen := once{}
	var on []*lang.Word
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	tls := "none"
	streams := ir.PortSpan{Proto: ir.TCP, From: 1024, To: 65535} // any unassigned port
	for _, i := range d.Body.Items {
		switch {
		case i.On != nil:
			on = append(on, i.On...)
		case i.Scope != nil:
			if !seen.seen(s, "scope", i) {
				// Serverless messaging that leaves the link is no longer what
				// RFC 6762 section 11 and XEP-0174 section 13 protect.
				s.oneOf(i.Scope, "the scope of serverless", "link")
			}
		case i.Ports != nil:
			if !seen.seen(s, "ports", i) {
				from, to, ok := parsePorts(i.Ports.Text)
				if !ok {
					s.addRemedy("value-invalid", i.Ports.Span(), fmt.Sprintf("%s is no port or range of ports", quoted(i.Ports.Text)), "Write ports such as 5298 or 1024-65535.")
					continue
				}
				streams.From, streams.To = from, to
			}
		case i.TLS != nil:
			if !seen.seen(s, "tls", i) {
				tls = s.oneOf(i.TLS, "tls of serverless", "required", "optional", "none")
			}
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	s.terms(o, meta)
	bounds := s.limits(o, "serverless", ls)
	if len(on) == 0 {
		s.addRemedy("value-missing", o.Span, "serverless does not state its network", "Add on and the networks whose hosts may talk without a server.")
		return
	}
	end, ok := s.endpoint(on, "from_serverless", false, o)
	if !ok || tls == "" {
		return
	}
	mdns := &ir.Flow{Kind: ir.Serverless, From: end, To: anyEnd, Ports: []ir.PortSpan{{Proto: ir.UDP, From: 5353, To: 5353}}, OnLink: true, Multicast: true, TLS: "none", Origin: o}
	mdns.ID = s.id("serverless-mdns")
	s.flow(mdns)
	stream := &ir.Flow{Kind: ir.Serverless, From: end, To: anyEnd, Ports: []ir.PortSpan{streams}, OnLink: true, TLS: tls, Origin: o}
	stream.ID = s.id("serverless-stream")
	s.bound(s.flow(stream), bounds)
}
