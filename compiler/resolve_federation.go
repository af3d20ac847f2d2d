package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Federation: which servers may talk to a server, and how they prove who they are.

// terms are what a federation statement or a peer says about TLS and proof.
type terms struct {
	tls, auth     string
	tlsAt, authAt lang.Node
	block         ir.Origin // the federation
	about         *ir.Terms
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
	t := &ir.FederationTerms{Server: srv, Default: ir.Deny, At: seen, Origin: o}
	var ls []*lang.Limit
	var items []*lang.PeerItem
	var rules []*lang.DomainRule
	var meta []*lang.MetaItem
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
		case i.Rule != nil:
			rules = append(rules, i.Rule)
		case i.Domain != nil:
			seen.note("domain", i)
			t.Domains = s.ownDomains(srv, t.Domains, i.Domain)
		case i.Bidi != nil:
			if !seen.seen(s, "bidi", i) {
				t.Bidi = s.oneOf(i.Bidi, "bidi", "on", "off")
			}
		case i.Identity != nil:
			seen.note("identity", i)
			t.Identity = s.identities(t.Identity, i.Identity)
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
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
	var hidden []ir.LimitKey
	if open == "allow" {
		hidden = []ir.LimitKey{ir.PerPeer} // strangers are no peer that could be counted
	}
	bounds := s.limits(o, "federation", ls, hidden...)
	wide.tls, wide.block = cmp.Or(wide.tls, "required"), o
	s.agree(wide)
	wide.about = s.terms(o, meta)
	t.TLS, t.Auth, t.Limits = wide.tls, wide.auth, s.stated(bounds)
	s.p.Federations = append(s.p.Federations, t)

	peers := &peerList{byDomain: map[string]*peerAddrs{}}
	for _, i := range items {
		if peer := s.peer(t, i, wide, bounds, peers); peer != nil {
			t.Peers = append(t.Peers, peer)
		}
	}
	s.distinct(peers)
	s.domainRules(t, rules)
	if open != "allow" {
		if !slices.ContainsFunc(t.Peers, func(p *ir.PeerTerms) bool { return p.Direction != "in" }) {
			for _, lw := range towards(true, bounds) {
				s.addRemedy("value-conflict", lw.at, fmt.Sprintf("%s calls no peer, so nothing outgoing is counted", srv.Name), "Remove the limit, or let a peer be called.")
			}
		}
		return
	}
	t.Default = ir.Allow
	in := &ir.Flow{Kind: ir.Federation, From: anyEnd, To: serverEnd(srv), Server: srv, TLS: wide.tls, Auth: wide.auth, Terms: wide.about, Origin: o}
	in.ID = s.id("federation", srv.Name)
	s.federationPorts(in, srv)
	s.bound(s.flow(in), towards(false, bounds))
	t.Flows = append(t.Flows, in)
	out := &ir.Flow{Kind: ir.Federation, From: serverEnd(srv), To: anyEnd, Ports: []ir.PortSpan{tcpPort(lock.FallbackPort)}, Server: srv, Outbound: true, TLS: wide.tls, Auth: wide.auth, Terms: wide.about, Origin: o}
	out.ID = s.id("federation", srv.Name, "out")
	s.bound(s.flow(out), towards(true, bounds))
	t.Flows = append(t.Flows, out)
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
// section 1.2), so unless the policy states a direction both are made. It gives
// nil for a peer that could not be understood.
func (s *state) peer(fed *ir.FederationTerms, item *lang.PeerItem, t terms, wide []*limitWord, peers *peerList) *ir.PeerTerms {
	srv := fed.Server
	// A peer whose domain is wrong is left out, and its lines are read all the
	// same: each may be wrong as well.
	domain, known := s.domain(item.Domain)
	at := item.Domain.Span()
	p := &peerAddrs{domain: domain, at: at}
	known = known && s.peerDomain(srv, p, domain, at, peers)

	o := origin(until(item, item.Domain), fmt.Sprintf("peer %s of %s", domain, srv.Name))
	seen := once{}
	var addresses []*lang.Word
	var port uint16
	direction := "both"
	peer := &ir.PeerTerms{Domain: domain, Bidi: fed.Bidi, Identity: fed.Identity, At: seen, Origin: o}
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	if item.Body != nil {
		for _, i := range item.Body.Items {
			switch {
			case i.Address != nil:
				seen.note("address", i)
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
			case i.Domain != nil:
				seen.note("domain", i)
				for _, w := range i.Domain {
					if more, good := s.domain(w); good && s.peerDomain(srv, p, more, w.Span(), peers) {
						peer.More = append(peer.More, more)
					}
				}
			case i.Bidi != nil:
				if !seen.seen(s, "bidi", i) {
					peer.Bidi = s.oneOf(i.Bidi, "bidi", "on", "off")
				}
			case i.Identity != nil:
				if !seen.seen(s, "identity", i) {
					peer.Identity = s.identities(nil, i.Identity)
				}
			case i.Certificate != nil:
				if !seen.seen(s, "certificate", i) {
					peer.Certificate = s.oneOf(i.Certificate, "the certificate of a peer", "valid", "self-signed")
				}
			case i.Limit != nil:
				ls = append(ls, i.Limit)
			case i.Meta != nil:
				meta = append(meta, i.Meta)
			}
		}
	}
	if _, tls := seen["tls"]; tls {
		s.agree(t)
	} else if _, auth := seen["auth"]; auth {
		s.agree(t)
	}
	bounds := s.limits(o, "peer", ls)
	if about := s.terms(o, meta); about != nil {
		t.about = about
	}
	if !known && len(addresses) == 0 {
		return nil
	}
	if !s.reachPeer(p, item, addresses, port, o) || direction == "" || !known {
		return nil
	}
	peers.located = append(peers.located, p)
	base := ir.Flow{Kind: ir.Federation, Server: srv, TLS: t.tls, Auth: t.auth, Peer: domain, DNSSEC: p.dnssec, Terms: t.about, Origin: o, Block: t.block}
	id := []string{"federation", srv.Name, "peer", domain}
	peer.TLS, peer.Auth, peer.Direction, peer.Stated = t.tls, t.auth, direction, addresses != nil
	if direction != "out" {
		f := base
		f.ID = s.id(id...)
		f.From, f.To = ir.Endpoint{Label: "peer " + domain, Set: p.set}, serverEnd(srv)
		s.federationPorts(&f, srv)
		s.bound(s.flow(&f), towards(false, bounds), towards(false, wide))
		peer.Flows, peer.Limits = append(peer.Flows, &f), slices.Concat(f.Limits, f.Bounds)
	}
	if direction == "in" {
		for _, lw := range towards(true, bounds) {
			s.addRemedy("value-conflict", lw.at, fmt.Sprintf("peer %s is never called, so nothing outgoing is counted", domain), "Remove the limit, or the direction.", diag.Label{Span: seen["direction"], Text: "stated here"})
		}
		return peer
	}
	var first *ir.Flow
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
		if first == nil {
			first = &f
			s.bound(&f, towards(true, bounds), towards(true, wide))
			if direction == "out" {
				s.bound(&f, bounds)
			}
			peer.Limits = slices.Concat(peer.Limits, f.Limits, f.Bounds)
		}
		f.Limits, f.Bounds = first.Limits, first.Bounds // one count, whatever the port
		peer.Flows = append(peer.Flows, &f)
	}
	return peer
}

// peerDomain enters a domain of a peer; false where it cannot be one, which is
// reported.
func (s *state) peerDomain(srv *ir.Server, p *peerAddrs, domain string, at diag.Span, peers *peerList) bool {
	if slices.Contains(srv.Domains, domain) {
		s.addRemedy("value-conflict", at, fmt.Sprintf("%s is a domain of server %s itself", domain, srv.Name), "Remove the peer.", diag.Label{Span: srv.Origin.Span, Text: "its server"})
		return false
	}
	if other := peers.byDomain[domain]; other != nil {
		what, remedy := "peer "+domain, "Put both into one statement."
		if other == p || domain != other.domain {
			what, remedy = "domain "+domain, "State it for one peer, once."
		}
		s.addRemedy("value-conflict", at, what+" is stated twice", remedy, diag.Label{Span: other.at, Text: "first stated here"})
		return false
	}
	peers.byDomain[domain] = p
	return true
}

// ownDomains reads which of the server's domains federate.
func (s *state) ownDomains(srv *ir.Server, have []string, ws []*lang.Word) []string {
	for _, w := range ws {
		d, ok := s.domain(w)
		switch {
		case !ok:
		case slices.Contains(have, d):
			s.add("value-conflict", w.Span(), fmt.Sprintf("domain %s is stated twice", d))
		case !slices.Contains(srv.Domains, d):
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no domain of server %s", d, srv.Name),
				suggest(d, srv.Domains)+"Name a domain of the server, or add it to the server's block.", diag.Label{Span: srv.Origin.Span, Text: "the server"}).Fix = respell(w, diag.MeantName(d, srv.Domains))
		default:
			have = append(have, d)
		}
	}
	return have
}

// identities reads the proofs that are accepted (RFC 7712).
func (s *state) identities(have []string, ws []*lang.Word) []string {
	for _, w := range ws {
		id := s.oneOf(w, "identity", "pkix", "dane", "posh")
		if id != "" && slices.Contains(have, id) {
			s.add("value-conflict", w.Span(), fmt.Sprintf("identity %s is stated twice", id))
		} else if id != "" {
			have = append(have, id)
		}
	}
	return have
}

// domainRules reads which domains may federate and which may not.
func (s *state) domainRules(t *ir.FederationTerms, rules []*lang.DomainRule) {
	type said struct {
		verdict string
		at      diag.Span
	}
	before := map[*ir.DomainList]said{}
	for _, d := range rules {
		r := &ir.DomainRule{Federation: t, Verdict: map[string]ir.Verdict{"allow": ir.Allow, "deny": ir.Deny}[d.Verdict]}
		label := fmt.Sprintf("%s domains %s of %s", d.Verdict, joinWords(d.Names), t.Server.Name)
		r.Origin = origin(until(d, d.Names[len(d.Names)-1]), label)
		s.terms(r.Origin, behind(d.Body))
		for _, w := range d.Names {
			n := s.lookup(w, "domains")
			if n == nil || n.domains == nil {
				continue
			}
			if old, ok := before[n.domains]; ok {
				summary := fmt.Sprintf("%s domains %s is stated twice", d.Verdict, w.Text)
				if old.verdict != d.Verdict {
					summary = fmt.Sprintf("domains %s are denied and allowed", w.Text)
				}
				s.add("value-conflict", w.Span(), summary, diag.Label{Span: old.at, Text: "stated here"})
				continue
			}
			before[n.domains] = said{d.Verdict, w.Span()}
			r.Lists = append(r.Lists, n.domains)
		}
		if len(r.Lists) == 0 {
			continue
		}
		r.ID = s.id("federation", t.Server.Name, d.Verdict, joinWords(d.Names))
		t.Rules = append(t.Rules, r)
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
