package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// External components.

// componentPort is where a component is, for targets and content rules.
type componentPort struct {
	server *ir.Server
	flow   *ir.Flow
	at     diag.Span
}

// component makes the flow of an external component: it dials the server
// (accept, the usual way), or the server dials it (connect), XEP-0114 section 2.
func (s *state) component(d *lang.ComponentDecl) {
	name := d.Name.Text
	good := s.validName(d.Name, "component")
	srv := s.server(d.Server)
	for _, c := range s.comps[name] {
		if c.server == srv && srv != nil {
			s.add("name-duplicate", d.Name.Span(), fmt.Sprintf("component %s of %s is stated twice", name, srv.Name), diag.Label{Span: c.at, Text: "first stated here"})
			return
		}
	}
	here := &componentPort{server: srv, at: d.Name.Span()}
	s.comps[name] = append(s.comps[name], here)
	if srv == nil {
		return
	}
	o := origin(until(d, d.Server), fmt.Sprintf("component %s of %s", name, srv.Name))
	seen := once{}
	var port uint16
	var from []*lang.Word
	mode, tunnel := "accept", ""
	var domains []string
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	for _, i := range d.Body.Items {
		switch {
		case i.Port != nil:
			if !seen.seen(s, "port", i) {
				var ok bool
				port, ok = s.port(i.Port)
				good = good && ok
			}
		case i.From != nil:
			seen.note("from", i)
			from = append(from, i.From...)
		case i.Mode != nil:
			if !seen.seen(s, "mode", i) {
				mode = s.oneOf(i.Mode, "the mode of a component", "accept", "connect")
			}
		case i.Tunnel != nil:
			if seen.seen(s, "tunnel", i) {
				continue
			}
			if tunnel = strings.TrimSpace(i.Tunnel.Value()); tunnel == "" {
				s.addRemedy("value-invalid", i.Tunnel.Span(), "the tunnel is not described", "Write what protects the component's traffic.")
			}
		case i.Domain != nil:
			seen.note("domain", i)
			domains = s.componentDomains(srv, domains, i.Domain)
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	bounds := s.limits(o, "component", ls)
	terms := s.terms(o, meta)
	if mode == "connect" && port == 0 && good {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("component %s does not state its port", name), "Add port: the server dials the component there.")
		good = false
	}
	if mode == "accept" && port == 0 && good {
		switch defaults := servicePorts(srv, "component"); {
		case len(defaults) > 0:
			port = defaults[0].From
		case srv.Software != "":
			s.addRemedy("value-missing", o.Span, fmt.Sprintf("component %s does not state its port, and %s has no default for it", name, srv.Software), "Add port and the port that the server's configuration gives its components.")
			good = false
		default:
			good = false
		}
	}
	if len(from) == 0 {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("component %s does not state where it runs", name), "Add from and the component's address: whoever reaches this port may try its secret.")
		return
	}
	end, ok := s.endpoint(from, "comp_"+name, true, o)
	ok = s.componentAddresses(from) && ok
	if !ok || !good || mode == "" {
		return
	}
	f := &ir.Flow{Kind: ir.Component, Ports: []ir.PortSpan{tcpPort(port)}, Server: srv, TLS: "none", Component: name, Terms: terms, Origin: o}
	f.ID = s.id("component", name, srv.Name)
	if !end.Any {
		end = ir.Endpoint{Label: "component " + name, Set: s.addrSet("comp_"+name, o, end.Set.Prefixes, end.Set)}
	}
	if mode == "connect" {
		if end.Any {
			s.addRemedy("value-invalid", from[0].Span(), "the server cannot dial any", "Write the component's address.")
			return
		}
		f.From, f.To, f.Outbound = serverEnd(srv), end, true
	} else {
		f.From, f.To = end, serverEnd(srv)
		for _, l := range srv.Listeners {
			if l.Service == "component-tls" && l.Port == f.Ports[0] {
				f.TLS = "direct"
			}
		}
		if f.TLS == "none" && !slices.Contains(servicePorts(srv, "component"), f.Ports[0]) {
			// The default port stays listed: as nothing allows it, it is closed.
			srv.Listeners = append(srv.Listeners, ir.Listener{
				Service: "component", Port: f.Ports[0], Stated: true, Transport: "clear", Bind: "any", Source: "the policy",
			})
			sortListeners(srv.Listeners)
		}
	}
	if f.TLS == "direct" {
		s.direct[f] = f.Ports
	}
	here.flow = s.flow(f)
	s.bound(f, bounds)
	s.p.Components = append(s.p.Components, &ir.ComponentTerms{
		Name: name, Server: srv, Domains: domains, Mode: mode, Tunnel: tunnel, Limits: s.stated(bounds), Flows: []*ir.Flow{f}, At: seen, Origin: o,
	})
}

// componentDomains reads the domains that a component speaks for. A server may
// list them among its own; no other server and no other component can have them.
func (s *state) componentDomains(srv *ir.Server, have []string, ws []*lang.Word) []string {
	for _, w := range ws {
		d, ok := s.domain(w)
		if !ok {
			continue
		}
		if slices.Contains(have, d) {
			s.add("value-conflict", w.Span(), fmt.Sprintf("domain %s is stated twice", d))
			continue
		}
		if at := slices.IndexFunc(srv.Domains, func(o string) bool { return strings.HasSuffix(o, "."+d) }); slices.Contains(srv.Domains, d) && (at >= 0 || len(srv.Domains) == 1) {
			s.addRemedy("value-conflict", w.Span(), fmt.Sprintf("domain %s is where server %s has its own users", d, srv.Name),
				"Give the component a domain of its own, such as irc."+d+".", diag.Label{Span: srv.Origin.Span, Text: "the server"})
			continue
		}
		for _, other := range s.p.Servers {
			if other != srv && slices.Contains(other.Domains, d) {
				s.add("value-conflict", w.Span(), fmt.Sprintf("domain %s is that of server %s", d, other.Name), diag.Label{Span: other.Origin.Span, Text: "the server"})
			}
		}
		for _, other := range s.p.Components {
			if slices.Contains(other.Domains, d) {
				s.addRemedy("value-conflict", w.Span(), fmt.Sprintf("component %s speaks for %s, too", other.Name, d), "Give each component its own domain.", diag.Label{Span: other.Origin.Span, Text: "the other component"})
			}
		}
		have = append(have, d)
	}
	return have
}
