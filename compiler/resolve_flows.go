package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
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
	bounds := s.limits(o, ls, ir.PerSource, ir.Global)
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
	if mode != "off" {
		f := &ir.Flow{Kind: ir.Clients, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, "clients", 5222), Server: srv, TLS: mode, Origin: o}
		f.ID = s.id(id)
		s.bound(s.flow(f), bounds)
	}
	if direct != nil {
		f := &ir.Flow{Kind: ir.Clients, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, "clients-tls", 5223), Server: srv, TLS: "direct", Origin: o}
		f.ID = s.id(id, "tls")
		s.direct[f] = f.Ports
		s.bound(s.flow(f), bounds)
	}
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

// terms are what a federation statement or a peer says about TLS and proof.
type terms struct {
	tls, auth     string
	tlsAt, authAt lang.Node
	block         ir.Origin // the federation
}

// federation makes the flows of peers, then those with everybody.
func (s *state) federation(d *lang.FederationDecl) {
	srv := s.server(d.Server)
	if !s.firstFor("federation", d.Server) || srv == nil {
		return
	}
	o := origin(until(d, d.Server), "federation of "+srv.Name)
	seen := once{}
	open := ""
	var wide terms
	var ls []*lang.Limit
	var items []*lang.PeerItem
	for _, i := range d.Body.Items {
		switch {
		case i.Default != nil:
			if !seen.seen(s, "default", i) {
				open = s.oneOf(i.Default, "the default of a federation", "allow", "deny")
			}
		case i.TLS != nil:
			if !seen.seen(s, "tls", i) {
				wide.tls, wide.tlsAt = s.oneOf(i.TLS, "tls of a federation", "required", "optional", "none"), i.TLS
			}
		case i.Auth != nil:
			if !seen.seen(s, "auth", i) {
				wide.auth, wide.authAt = s.auth(i.Auth), i.Auth
			}
		case i.Peer != nil:
			items = append(items, i.Peer)
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		}
	}
	if _, stated := seen["default"]; !stated {
		// What is not allowed is denied. A federation that also names no peer
		// would be no federation at all, and hardly what was meant.
		open = "deny"
		if len(items) == 0 {
			s.addRemedy("value-missing", o.Span, fmt.Sprintf("federation of %s names no peer and does not say what others may do", srv.Name), "Add default allow, or the peers.")
		}
	}
	keys := []ir.LimitKey{ir.PerSource, ir.PerPeer, ir.Global}
	if open == "allow" {
		keys = []ir.LimitKey{ir.PerSource, ir.Global} // strangers are no peer that could be counted
	}
	bounds := s.limits(o, ls, keys...)
	wide.tls, wide.block = cmp.Or(wide.tls, "required"), o
	s.agree(wide)

	peers := &peerList{byDomain: map[string]*peerAddrs{}}
	for _, i := range items {
		s.peer(srv, i, wide, bounds, peers)
	}
	s.distinct(peers)
	if open != "allow" {
		return
	}
	in := &ir.Flow{Kind: ir.Federation, From: anyEnd, To: serverEnd(srv), Server: srv, TLS: wide.tls, Auth: wide.auth, Origin: o}
	in.ID = s.id("federation", srv.Name)
	s.federationPorts(in, srv)
	s.bound(s.flow(in), bounds)
	out := &ir.Flow{Kind: ir.Federation, From: serverEnd(srv), To: anyEnd, Ports: []ir.PortSpan{tcpPort(lock.FallbackPort)}, Server: srv, Outbound: true, TLS: wide.tls, Auth: wide.auth, Origin: o}
	out.ID = s.id("federation", srv.Name, "out")
	s.flow(out)
}

// federationPorts are the ports that the server takes federation on: also the
// one for direct TLS if it has one, unless TLS is not to be used.
func (s *state) federationPorts(f *ir.Flow, srv *ir.Server) {
	f.Ports = slices.Clone(s.portsFor(srv, "federation", lock.FallbackPort))
	if f.TLS != "none" {
		s.direct[f] = servicePorts(srv, "federation-tls")
		f.Ports = append(f.Ports, s.direct[f]...)
	}
	f.Ports = sortPorts(f.Ports)
}

// auth reads how peers prove who they are.
func (s *state) auth(a *lang.AuthItem) string {
	method := s.oneOf(a.Method, "auth", "external", "dialback")
	if a.Over == nil || method == "" {
		return method
	}
	if a.Over.Text != "tls" || method != "dialback" {
		s.addRemedy("value-invalid", a.Span(), fmt.Sprintf("auth cannot be %s over %s", method, quoted(a.Over.Text)), "Write auth external, auth dialback, or auth dialback over tls.")
		return ""
	}
	return "dialback-tls"
}

// agree reports terms that contradict each other: SASL EXTERNAL rests on the
// certificate that TLS brings (XEP-0178 section 3).
func (s *state) agree(t terms) {
	if t.tls != "none" || t.auth == "" || t.auth == "dialback" || t.tlsAt == nil || t.authAt == nil {
		return
	}
	what := "auth external"
	if t.auth == "dialback-tls" {
		what = "auth dialback over tls"
	}
	s.addRemedy("value-conflict", t.authAt.Span(), what+" needs TLS, and tls none turns it off", "Write tls required, or auth dialback.",
		diag.Label{Span: t.tlsAt.Span(), Text: "tls none is stated here"})
}

// peerAddrs is what is known of the peers of one federation so far.
type peerAddrs struct {
	domain string
	at     diag.Span
	set    *ir.AddrSet
	reach  []reach
	dnssec string // of the answers in xfwc.lock; "" when the policy states the addresses
	order  int    // in the federation
}

// peerList is the peers of one federation.
type peerList struct {
	byDomain map[string]*peerAddrs
	located  []*peerAddrs // those with addresses, in policy order
}

// distinct reports peers that share addresses. Where many share one, each is
// reported with the one before it.
func (s *state) distinct(peers *peerList) {
	type part struct {
		prefix netip.Prefix
		peer   *peerAddrs
	}
	var parts []part
	for i, p := range peers.located {
		p.order = i
		for _, prefix := range p.set.Prefixes {
			parts = append(parts, part{prefix, p})
		}
	}
	// In this order a prefix comes after all that hold it: those, from the widest
	// to the narrowest, are in around.
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.peer.order, b.peer.order))
	})
	type pair struct{ first, second *peerAddrs }
	reported := map[pair]bool{}
	var around []part
	for _, here := range parts {
		for len(around) > 0 && !around[len(around)-1].prefix.Overlaps(here.prefix) {
			around = around[:len(around)-1]
		}
		if len(around) > 0 {
			first, second := around[len(around)-1].peer, here.peer
			if first.order > second.order {
				first, second = second, first
			}
			if !reported[pair{first, second}] {
				reported[pair{first, second}] = true
				s.addRemedy("value-conflict", second.at, fmt.Sprintf("peers %s and %s share %s: a packet filter cannot tell them apart", second.domain, first.domain, spell(here.prefix)),
					"Give each peer its own addresses. If one host serves both domains, state it for one peer, and hold the other by the server's own list of domains.",
					diag.Label{Span: first.at, Text: "the other peer"})
			}
		}
		around = append(around, here)
	}
}

// peer makes the flows from and to one peer. Dialback calls back (XEP-0220
// section 1.2), so unless the policy states a direction both are made.
func (s *state) peer(srv *ir.Server, item *lang.PeerItem, t terms, wide []*limitWord, peers *peerList) {
	domain, ok := s.domain(item.Domain)
	if !ok {
		return
	}
	at := item.Domain.Span()
	if slices.Contains(srv.Domains, domain) {
		s.addRemedy("value-conflict", at, fmt.Sprintf("%s is a domain of server %s itself", domain, srv.Name), "Remove the peer.", diag.Label{Span: srv.Origin.Span, Text: "its server"})
		return
	}
	if other := peers.byDomain[domain]; other != nil {
		s.addRemedy("value-conflict", at, fmt.Sprintf("peer %s is stated twice", domain), "Put both into one statement.", diag.Label{Span: other.at, Text: "first stated here"})
		return
	}
	p := &peerAddrs{domain: domain, at: at}
	peers.byDomain[domain] = p

	o := origin(until(item, item.Domain), fmt.Sprintf("peer %s of %s", domain, srv.Name))
	seen := once{}
	var addresses []*lang.Word
	var port uint16
	direction := "both"
	var ls []*lang.Limit
	if item.Body != nil {
		for _, i := range item.Body.Items {
			switch {
			case i.Address != nil:
				addresses = append(addresses, i.Address...)
			case i.Port != nil:
				if !seen.seen(s, "port", i) {
					port, _ = s.port(i.Port)
				}
			case i.TLS != nil:
				if !seen.seen(s, "tls", i) {
					if tls := s.oneOf(i.TLS, "tls of a peer", "required", "optional", "none"); tls != "" {
						t.tls, t.tlsAt = tls, i.TLS
					}
				}
			case i.Auth != nil:
				if !seen.seen(s, "auth", i) {
					t.auth, t.authAt = s.auth(i.Auth), i.Auth
				}
			case i.Direction != nil:
				if !seen.seen(s, "direction", i) {
					direction = s.oneOf(i.Direction, "the direction of a peer", "in", "out", "both")
				}
			case i.Limit != nil:
				ls = append(ls, i.Limit)
			}
		}
	}
	if _, tls := seen["tls"]; tls {
		s.agree(t)
	} else if _, auth := seen["auth"]; auth {
		s.agree(t)
	}
	bounds := s.limits(o, ls, ir.PerSource, ir.PerPeer, ir.Global)
	if !s.reachPeer(p, item, addresses, port, o) || direction == "" {
		return
	}
	peers.located = append(peers.located, p)
	base := ir.Flow{Kind: ir.Federation, Server: srv, TLS: t.tls, Auth: t.auth, Peer: domain, DNSSEC: p.dnssec, Origin: o, Block: t.block}
	id := []string{"federation", srv.Name, "peer", domain}
	if direction != "out" {
		f := base
		f.ID = s.id(id...)
		f.From, f.To = ir.Endpoint{Label: "peer " + domain, Set: p.set}, serverEnd(srv)
		s.federationPorts(&f, srv)
		s.bound(s.flow(&f), bounds, wide)
	}
	if direction == "in" {
		return
	}
	for i, g := range portGroups(p.reach) {
		f := base
		f.Outbound, f.Ports = true, g.ports
		end, set := "out", p.set
		if len(g.prefixes) < len(p.reachable()) {
			set = s.addrSet(fmt.Sprintf("peer_%s_p%d", domain, g.ports[0].From), o, g.prefixes, p.set)
		}
		if i > 0 {
			end = fmt.Sprintf("out-p%d", g.ports[0].From)
		}
		f.ID = s.id(append(id, end)...)
		f.From, f.To = serverEnd(srv), ir.Endpoint{Label: "peer " + domain, Set: set}
		s.flow(&f)
		s.direct[&f] = g.direct
		if direction == "out" {
			s.bound(&f, bounds)
		}
	}
}

// reach is a way to call a peer.
type reach struct {
	prefix netip.Prefix
	port   uint16
	direct bool // TLS first (XEP-0368)
}

// reachPeer finds out where a peer is called: the addresses that the policy
// states, or those of the lock.
func (s *state) reachPeer(p *peerAddrs, item *lang.PeerItem, stated []*lang.Word, port uint16, o ir.Origin) bool {
	if stated != nil {
		ok := true
		var members []*ir.AddrSet
		for _, w := range stated {
			a, good := s.peerAddress(w)
			ok = ok && good
			members = append(members, a.set)
			for _, prefix := range a.prefixes {
				p.reach = append(p.reach, reach{prefix, cmp.Or(port, lock.FallbackPort), false})
			}
		}
		p.set = s.addrSet("peer_"+p.domain, o, p.reachable(), members...)
		return ok
	}
	at := item.Domain.Span()
	locked := s.in.Lock.Peer(p.domain)
	if locked == nil {
		s.add("lock-missing", at, fmt.Sprintf("the addresses of peer %s are not in xfwc.lock, and the policy states none", p.domain))
		return false
	}
	there := diag.Label{Span: locked.Span, Text: "recorded here"}
	ends := locked.Endpoints()
	switch {
	case locked.Absent():
		s.addRemedy("lock-missing", at, fmt.Sprintf("peer %s says in DNS that it takes no federation (the SRV target is the root)", p.domain), "Remove the peer, or state its address in the policy.", there)
		return false
	case locked.DNSSEC == "bogus":
		s.addRemedy("lock-missing", at, fmt.Sprintf("the DNS answers for peer %s did not pass DNSSEC validation", p.domain), "Ask the peer what is wrong with its zone; until then state its address in the policy.", there)
		return false
	case len(ends) == 0:
		s.add("lock-missing", at, fmt.Sprintf("xfwc.lock has no address of peer %s", p.domain), there)
		return false
	}
	p.dnssec = locked.DNSSEC
	for _, e := range ends {
		p.reach = append(p.reach, reach{netip.PrefixFrom(e.Addr, e.Addr.BitLen()), cmp.Or(port, e.Port), e.DirectTLS && port == 0})
	}
	p.set = s.addrSet("peer_"+p.domain, o, p.reachable())
	return true
}

// reachable are the addresses of a peer, each once.
func (p *peerAddrs) reachable() []netip.Prefix {
	var ps []netip.Prefix
	for _, r := range p.reach {
		if !slices.Contains(ps, r.prefix) {
			ps = append(ps, r.prefix)
		}
	}
	return ps
}

// portGroup are addresses that are called on the same ports.
type portGroup struct {
	prefixes      []netip.Prefix
	ports, direct []ir.PortSpan
}

// portGroups puts the addresses together that are called on the same ports, so
// that no address may be called on a port of another: SRV records give each
// target a port of its own (RFC 2782). The groups are in the order of their
// ports.
func portGroups(rs []reach) []portGroup {
	var out []portGroup
	p := peerAddrs{reach: rs}
	for _, prefix := range p.reachable() {
		g := portGroup{prefixes: []netip.Prefix{prefix}}
		for _, r := range rs {
			if r.prefix == prefix {
				g.ports = append(g.ports, tcpPort(r.port))
				if r.direct {
					g.direct = append(g.direct, tcpPort(r.port))
				}
			}
		}
		g.ports, g.direct = sortPorts(g.ports), sortPorts(g.direct)
		same := slices.IndexFunc(out, func(h portGroup) bool { return slices.Equal(h.ports, g.ports) && slices.Equal(h.direct, g.direct) })
		if same < 0 {
			out = append(out, g)
		} else {
			out[same].prefixes = append(out[same].prefixes, prefix)
		}
	}
	slices.SortStableFunc(out, func(a, b portGroup) int {
		return slices.CompareFunc(a.ports, b.ports, func(x, y ir.PortSpan) int { return cmp.Compare(x.From, y.From) })
	})
	return out
}

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
	mode := "accept"
	var ls []*lang.Limit
	for _, i := range d.Body.Items {
		switch {
		case i.Port != nil:
			if !seen.seen(s, "port", i) {
				var ok bool
				port, ok = s.port(i.Port)
				good = good && ok
			}
		case i.From != nil:
			from = append(from, i.From...)
		case i.Mode != nil:
			if !seen.seen(s, "mode", i) {
				mode = s.oneOf(i.Mode, "the mode of a component", "accept", "connect")
			}
		case i.Tunnel != nil:
			if !seen.seen(s, "tunnel", i) && strings.TrimSpace(i.Tunnel.Value()) == "" {
				s.addRemedy("value-invalid", i.Tunnel.Span(), "the tunnel is not described", "Write what protects the component's traffic.")
			}
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		}
	}
	bounds := s.limits(o, ls, ir.PerSource, ir.Global)
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
	f := &ir.Flow{Kind: ir.Component, Ports: []ir.PortSpan{tcpPort(port)}, Server: srv, TLS: "none", Component: name, Origin: o}
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
}

// webListener is where the web clients of a statement arrive, and where the
// server takes them.
type webListener struct {
	point           *ir.Point // where TLS ends; nil when the server ends it
	server          *ir.Server
	listen, backend ir.PortSpan
	flow            *ir.Flow
}

// web makes the flow of BOSH and WebSocket clients (XEP-0124, RFC 7395), and
// behind a proxy that ends TLS the leg to the server.
func (s *state) web(d *lang.WebDecl) {
	srv := s.server(d.Server)
	if !s.firstFor("web", d.Server) || srv == nil {
		return
	}
	o := origin(until(d, d.Server), "web of "+srv.Name)
	seen := once{}
	var from []*lang.Word
	var tls *lang.WebTLS
	var stated *lang.Word
	var ls []*lang.Limit
	routes := false
	for _, i := range d.Body.Items {
		switch {
		case i.From != nil:
			from = append(from, i.From...)
		case i.TLS != nil:
			if !seen.seen(s, "tls", i) {
				tls = i.TLS
			}
		case i.Port != nil:
			if !seen.seen(s, "port", i) {
				stated = i.Port
			}
		case i.Route != nil:
			routes = true
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		}
	}
	bounds := s.limits(o, ls, ir.PerSource, ir.Global)
	end, ok := anyEnd, true
	if from != nil {
		end, ok = s.endpoint(from, "from_web-"+srv.Name, true, o)
	}
	mode := "required"
	if tls != nil {
		if mode = s.oneOf(tls.Mode, "tls of web", "terminate", "required", "none"); mode == "" {
			ok = false
		}
		if tls.At != nil && mode != "terminate" && mode != "" {
			s.addRemedy("value-invalid", tls.Span(), fmt.Sprintf("tls %s is not at a point", mode), "Write tls terminate at POINT, or tls "+mode+".")
			ok = false
		}
		if mode == "terminate" && tls.At == nil {
			s.addRemedy("value-missing", tls.Span(), "tls terminate does not say where", "Write tls terminate at POINT.")
			ok = false
		}
	}
	var port uint16
	if stated != nil {
		var good bool
		port, good = s.port(stated)
		ok = ok && good
	}
	if !ok {
		if tls != nil && tls.At != nil {
			s.lookup(tls.At, "point")
		}
		return
	}
	if mode != "terminate" {
		service, registered := "https", uint16(443)
		if mode == "none" {
			service, registered = "http", 80
		}
		if port != 0 {
			s.listen(srv, service, tcpPort(port))
		}
		f := &ir.Flow{Kind: ir.Web, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, service, registered), Server: srv, TLS: mode, Origin: o}
		f.ID = s.id("web", srv.Name)
		s.bound(s.flow(f), bounds)
		s.webs[d] = &webListener{server: srv, listen: f.Ports[0], backend: f.Ports[0], flow: f}
		return
	}
	n := s.lookup(tls.At, "point")
	if n == nil || n.point == nil {
		return
	}
	pt := n.point
	if len(pt.Set.Prefixes) == 0 {
		s.addRemedy("value-missing", tls.At.Span(), fmt.Sprintf("point %s states no address that web clients could reach", pt.Name), "State the address of the point.", diag.Label{Span: pt.Origin.Span, Text: "stated here"})
		return
	}
	if !routes {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("web of %s ends TLS at point %s and names no path", srv.Name, pt.Name), `Add the paths that the proxy serves, such as bosh "/http-bind".`)
	}
	w := &webListener{point: pt, server: srv, listen: tcpPort(cmp.Or(port, 443)), backend: s.portsFor(srv, "http", 80)[0]}
	pointEnd := ir.Endpoint{Label: "point " + pt.Name, Set: pt.Set}
	f := &ir.Flow{Kind: ir.Web, From: end, To: pointEnd, Ports: []ir.PortSpan{w.listen}, Server: srv, TLS: "required", Origin: o}
	f.ID = s.id("web", srv.Name)
	s.bound(s.flow(f), bounds)
	leg := &ir.Flow{Kind: ir.Web, From: pointEnd, To: serverEnd(srv), Ports: []ir.PortSpan{w.backend}, Server: srv, TLS: "none",
		Origin: origin(o.Span, fmt.Sprintf("web of %s, from point %s", srv.Name, pt.Name))}
	leg.ID = s.id("web", srv.Name, "leg")
	s.flow(leg)
	w.flow = leg
	s.webs[d] = w
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
	bounds := s.limits(o, ls, ir.PerSource, ir.Global)
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
