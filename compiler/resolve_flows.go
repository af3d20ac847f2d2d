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
	each(s, func(d *lang.Decl) *lang.ClientsDecl { return d.Clients }, s.clients)
	each(s, func(d *lang.Decl) *lang.FederationDecl { return d.Federation }, s.federation)
	each(s, func(d *lang.Decl) *lang.ComponentDecl { return d.Component }, s.component)
	each(s, func(d *lang.Decl) *lang.WebDecl { return d.Web }, s.web)
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

// clients makes the flow to the STARTTLS port, and the one to the direct TLS
// port (XEP-0368).
func (s *state) clients(d *lang.ClientsDecl) {
	srv := s.server(d.Server)
	if !s.firstFor("clients", d.Server) || srv == nil {
		return
	}
	o := origin(until(d, d.Server), "clients of "+srv.Name)
	seen := once{}
	var from []*lang.Word
	var starttls *lang.TransItem
	var direct *lang.DirectTLS
	var ls []*lang.Limit
	for _, i := range d.Body.Items {
		switch {
		case i.From != nil:
			seen.note("from", i)
			from = append(from, i.From...)
		case i.StartTLS != nil:
			if !seen.seen(s, "starttls", i) {
				starttls = i.StartTLS
			}
		case i.DirectTLS != nil:
			if !seen.seen(s, "direct-tls", i) {
				direct = i.DirectTLS
			}
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		}
	}
	bounds := s.limits(o, "clients", ls)
	id := "clients-" + srv.Name
	end, ok := anyEnd, true
	if from != nil {
		end, ok = s.endpoint(from, "from_"+id, true, o)
	}
	mode := "required"
	if starttls != nil {
		if mode = s.oneOf(starttls.Mode, "starttls", "required", "optional", "off"); mode == "" {
			ok = false
		}
		if starttls.Port != nil {
			if p, good := s.port(starttls.Port); good {
				s.listen(srv, "clients", tcpPort(p))
			}
		}
	}
	if mode == "off" && direct == nil {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("clients of %s have no way in: starttls is off and there is no direct-tls", srv.Name), "Add direct-tls, or remove starttls off.")
	}
	if direct != nil && !s.directTLS(srv, direct) {
		direct = nil
	}
	if !ok {
		return
	}
	t := &ir.ClientTerms{Server: srv, StartTLS: mode, At: seen, Origin: o}
	s.p.Clients = append(s.p.Clients, t)
	if mode != "off" {
		f := &ir.Flow{Kind: ir.Clients, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, "clients", 5222), Server: srv, TLS: mode, Origin: o}
		f.ID = s.id(id)
		s.bound(s.flow(f), bounds)
		t.Flows = append(t.Flows, f)
	}
	if direct != nil {
		f := &ir.Flow{Kind: ir.Clients, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, "clients-tls", 5223), Server: srv, TLS: "direct", Origin: o}
		f.ID = s.id(id, "tls")
		s.direct[f] = f.Ports
		s.bound(s.flow(f), bounds)
		t.Flows = append(t.Flows, f)
		t.Direct, t.DirectPort = true, f.Ports[0].From
	}
	t.Limits = s.stated(bounds)
}

// directTLS finds the port of direct TLS; false when there is none to allow.
func (s *state) directTLS(srv *ir.Server, d *lang.DirectTLS) bool {
	ok := true
	if d.Offload != nil {
		s.addRemedy("value-invalid", d.Offload.Span(), "direct TLS cannot be offloaded at a proxy by this version",
			fmt.Sprintf("Let server %s end direct TLS itself, or give its web clients a proxy: web of %s with tls terminate at POINT.", srv.Name, srv.Name))
		ok = false
	}
	if d.Port != nil {
		p, good := s.port(d.Port)
		if good {
			s.listen(srv, "clients-tls", tcpPort(p))
		}
		return good && ok
	}
	if srv.Software != "" && len(servicePorts(srv, "clients-tls")) == 0 {
		s.addRemedy("value-missing", d.Span(), fmt.Sprintf("direct-tls does not state its port, and %s has no default for it", srv.Software),
			"Write direct-tls port 5223, and let the server listen there.")
		return false
	}
	return ok
}

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
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		}
	}
	bounds := s.limits(o, "serverless", ls)
	if len(on) == 0 {
		s.addRemedy("value-missing", o.Span, "serverless does not state its network", "Add on and the networks whose hosts may talk without a server.")
		return
	}
	end, ok := s.endpoint(on, "from_serverless", false, o)
	if !ok {
		return
	}
	mdns := &ir.Flow{Kind: ir.Serverless, From: end, To: anyEnd, Ports: []ir.PortSpan{{Proto: ir.UDP, From: 5353, To: 5353}}, OnLink: true, Multicast: true, TLS: "none", Origin: o}
	mdns.ID = s.id("serverless-mdns")
	s.flow(mdns)
	stream := &ir.Flow{Kind: ir.Serverless, From: end, To: anyEnd, Ports: []ir.PortSpan{streams}, OnLink: true, TLS: "none", Origin: o}
	stream.ID = s.id("serverless-stream")
	s.bound(s.flow(stream), bounds)
}
