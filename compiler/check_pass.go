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

// What checks ask of a policy, in one place: statements as they are written,
// joined with the flows that they mean.

// decls lists the statements of one kind, in the order of the files.
func decls[T any](p *Pass, pick func(*lang.Decl) *T) []*T {
	var out []*T
	for _, f := range p.Files {
		if f == nil {
			continue
		}
		for _, d := range f.Decls {
			if d == nil {
				continue
			}
			if t := pick(d); t != nil {
				out = append(out, t)
			}
		}
	}
	return out
}

func (p *Pass) clients() []*lang.ClientsDecl {
	return decls(p, func(d *lang.Decl) *lang.ClientsDecl { return d.Clients })
}

func (p *Pass) components() []*lang.ComponentDecl {
	return decls(p, func(d *lang.Decl) *lang.ComponentDecl { return d.Component })
}

func (p *Pass) webs() []*lang.WebDecl {
	return decls(p, func(d *lang.Decl) *lang.WebDecl { return d.Web })
}

func (p *Pass) serverless() []*lang.ServerlessDecl {
	return decls(p, func(d *lang.Decl) *lang.ServerlessDecl { return d.Serverless })
}

// accesses lists the allow or the deny statements.
func (p *Pass) accesses(verdict string) []*lang.AccessDecl {
	ds := decls(p, func(d *lang.Decl) *lang.AccessDecl { return d.Access })
	return slices.DeleteFunc(ds, func(d *lang.AccessDecl) bool { return d.Verdict != verdict })
}

// flows lists the flows that come from the text of n, in policy order.
func (p *Pass) flows(n lang.Node) []*ir.Flow {
	span := n.Span()
	if !span.IsValid() {
		return nil
	}
	if p.stated == nil {
		p.stated = flowPlaces(p.Policy.Flows)
	}
	file := p.stated[span.Start.Filename]
	from, _ := slices.BinarySearchFunc(file, span.Start.Offset, flowPlace.compare)
	to, _ := slices.BinarySearchFunc(file, span.End.Offset, flowPlace.compare)
	if from >= to {
		return nil
	}
	here := slices.Clone(file[from:to])
	slices.SortFunc(here, func(a, b flowPlace) int { return cmp.Compare(a.order, b.order) })
	out := make([]*ir.Flow, len(here))
	for i, at := range here {
		out[i] = at.flow
	}
	return out
}

// inside reports whether inner starts in outer.
func inside(outer, inner diag.Span) bool {
	return outer.IsValid() && inner.IsValid() && outer.Holds(inner.Start)
}

// flowPlace is where a flow is stated.
type flowPlace struct {
	offset int // of its origin, in its file
	order  int // in the policy
	flow   *ir.Flow
}

func (a flowPlace) compare(offset int) int { return cmp.Compare(a.offset, offset) }

// flowPlaces lists the flows by file and by their place in it, so that those of
// a statement are found without a walk over all: the checks ask for them once
// for each statement.
func flowPlaces(flows []*ir.Flow) map[string][]flowPlace {
	out := map[string][]flowPlace{}
	for i, f := range flows {
		if start := f.Origin.Span.Start; f.Origin.Span.IsValid() {
			out[start.Filename] = append(out[start.Filename], flowPlace{start.Offset, i, f})
		}
	}
	for _, file := range out {
		slices.SortStableFunc(file, func(a, b flowPlace) int { return cmp.Compare(a.offset, b.offset) })
	}
	return out
}

// federation is a federation statement with what it means.
type federation struct {
	decl   *lang.FederationDecl
	terms  *ir.FederationTerms
	server *ir.Server
	open   []*ir.Flow // with everybody, under `default allow`
	peers  []peer
}

// peer is a peer line with what it means. It has at least one flow.
type peer struct {
	item    *lang.PeerItem
	terms   *ir.PeerTerms
	in, out []*ir.Flow
}

// any is one of the peer's flows; TLS and Auth are the same on all of them.
func (r peer) any() *ir.Flow {
	if len(r.in) > 0 {
		return r.in[0]
	}
	return r.out[0]
}

func (r peer) domain() string { return r.item.Domain.Text }

// readFederations joins the federation statements that name a known server
// with their flows.
func readFederations(p *Pass) []federation {
	var out []federation
	for _, d := range decls(p, func(d *lang.Decl) *lang.FederationDecl { return d.Federation }) {
		fed := federation{decl: d, server: p.server(d.Server)}
		at := slices.IndexFunc(p.Policy.Federations, func(t *ir.FederationTerms) bool { return t.Server == fed.server })
		if fed.server == nil || at < 0 {
			continue
		}
		fed.terms = p.Policy.Federations[at]
		byPeer, terms := map[string]*peer{}, map[string]*ir.PeerTerms{}
		for _, t := range fed.terms.Peers {
			terms[t.Domain] = t
		}
		for _, f := range p.flows(d) {
			switch {
			case f.Kind != ir.Federation || f.Verdict != ir.Allow:
				continue
			case f.Peer == "":
				fed.open = append(fed.open, f)
				continue
			case byPeer[f.Peer] == nil:
				byPeer[f.Peer] = &peer{}
			}
			if r := byPeer[f.Peer]; f.Outbound {
				r.out = append(r.out, f)
			} else {
				r.in = append(r.in, f)
			}
		}
		for _, i := range d.Body.Items {
			if i.Peer == nil {
				continue
			}
			domain := strings.ToLower(i.Peer.Domain.Text)
			if r := byPeer[domain]; r != nil && terms[domain] != nil {
				r.item, r.terms = i.Peer, terms[domain]
				fed.peers = append(fed.peers, *r)
			}
		}
		out = append(out, fed)
	}
	return out
}

// tls finds the line that states TLS for everybody; nil when none does.
func (d federation) tls() *lang.Word {
	for _, i := range d.decl.Body.Items {
		if i.TLS != nil {
			return i.TLS
		}
	}
	return nil
}

// auth finds the line that states authentication for everybody.
func (d federation) auth() *lang.AuthItem {
	for _, i := range d.decl.Body.Items {
		if i.Auth != nil {
			return i.Auth
		}
	}
	return nil
}

// lines are the lines of the peer's block; none when it has no block.
func (r peer) lines() []*lang.PeerLine {
	if r.item.Body == nil {
		return nil
	}
	return r.item.Body.Items
}

// tlsPlace gives the peer's own word on TLS or, where it inherits, its name
// and a label at the line that it inherits.
func (r peer) tlsPlace(fed federation) (diag.Span, []diag.Label) {
	for _, l := range r.lines() {
		if l.TLS != nil {
			return l.TLS.Span(), nil
		}
	}
	if w := fed.tls(); w != nil {
		return r.item.Domain.Span(), []diag.Label{{Span: w.Span(), Text: "stated here for every peer"}}
	}
	return r.item.Domain.Span(), nil
}

// authPlace is tlsPlace for authentication.
func (r peer) authPlace(fed federation) (diag.Span, []diag.Label) {
	for _, l := range r.lines() {
		if l.Auth != nil {
			return l.Auth.Span(), nil
		}
	}
	if a := fed.auth(); a != nil {
		return r.item.Domain.Span(), []diag.Label{{Span: a.Span(), Text: "stated here for every peer"}}
	}
	return r.item.Domain.Span(), nil
}

// addressPlace is where the peer's addresses are stated.
func (r peer) addressPlace() diag.Span {
	for _, l := range r.lines() {
		if len(l.Address) > 0 {
			return l.Span()
		}
	}
	return r.item.Domain.Span()
}

// elsewhere finds an address that DNS gives a peer whose addresses are stated,
// and that is not among them. Where only the peer connects, DNS does not say
// from where: its records are about where it is called.
func (r peer) elsewhere(l *lock.File) (*lock.Peer, netip.Addr, bool) {
	known := l.Peer(r.terms.Domain)
	if known == nil || !r.terms.Stated || len(r.out) == 0 {
		return nil, netip.Addr{}, false
	}
	for _, e := range known.Endpoints() {
		if _, ok := r.addresses().Covering(e.Addr); !ok {
			return known, e.Addr, true
		}
	}
	return known, netip.Addr{}, false
}

// directionPlace is where the peer's direction is stated.
func (r peer) directionPlace() diag.Span {
	for _, l := range r.lines() {
		if l.Direction != nil {
			return l.Direction.Span()
		}
	}
	return r.item.Domain.Span()
}

// server finds a server by the word that names it.
func (p *Pass) server(w *lang.Word) *ir.Server {
	if w == nil {
		return nil
	}
	for _, s := range p.Policy.Servers {
		if s.Name == w.Text {
			return s
		}
	}
	return nil
}

// machines lists the servers that a flow ends at: the one it serves or, for
// access to a host, those that run on the addresses it goes to.
func (p *Pass) machines(f *ir.Flow) []*ir.Server {
	if f.Server != nil {
		return []*ir.Server{f.Server}
	}
	var out []*ir.Server
	for _, s := range p.Policy.Servers {
		if overlaps(f.To.Set, s.Set) {
			out = append(out, s)
		}
	}
	return out
}

// own lists the policy's own addresses with what they belong to.
func (p *Pass) own() []*ir.AddrSet {
	var out []*ir.AddrSet
	for _, s := range p.Policy.Servers {
		if s.Set != nil {
			out = append(out, s.Set)
		}
	}
	for _, pt := range p.Policy.Points {
		if pt.Set != nil {
			out = append(out, pt.Set)
		}
	}
	return out
}

// limitOf finds a limit of the flow, or nil.
func limitOf(f *ir.Flow, kind ir.LimitKind, keys ...ir.LimitKey) *ir.Limit {
	for _, l := range f.Limits {
		if l.Kind == kind && slices.Contains(keys, l.Key) {
			return l
		}
	}
	return nil
}

// public lists the flows that strangers open: allowed, towards us, from a
// world-wide set of sources.
func public(flows []*ir.Flow) []*ir.Flow {
	var out []*ir.Flow
	for _, f := range flows {
		if f.Verdict == ir.Allow && !f.Outbound && !f.OnLink && worldwide(f.From) {
			out = append(out, f)
		}
	}
	return out
}

// Wider prefixes than these do not name a site or a provider: they are the
// internet.
const (
	widestIPv4 = 8
	widestIPv6 = 16
)

// neverSources are IPv4 multicast and the reserved class E: no packet comes
// from there, so lists of bogons hold them whole.
var neverSources = netip.MustParsePrefix("224.0.0.0/3")

// assignedIPv6 is what the registries give out from (IANA, IPv6 Global Unicast
// Address Assignments), with 6to4. Everything else is unused, and lists of
// bogons hold it in wide prefixes.
var assignedIPv6 = []netip.Prefix{
	netip.MustParsePrefix("2001::/16"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2003::/16"),
	netip.MustParsePrefix("2400::/11"),
	netip.MustParsePrefix("2600::/10"),
	netip.MustParsePrefix("2800::/12"),
	netip.MustParsePrefix("2a00::/11"),
	netip.MustParsePrefix("2c00::/12"),
}

// worldwide reports whether an endpoint is everybody, also where somebody
// spelled everybody as prefixes.
func worldwide(e ir.Endpoint) bool {
	if e.Any {
		return true
	}
	_, wide := widePrefix(e.Set)
	return wide
}

// widePrefix finds a prefix that is too wide to be anybody's network.
func widePrefix(s *ir.AddrSet) (netip.Prefix, bool) {
	if s == nil {
		return netip.Prefix{}, false
	}
	for _, pfx := range s.Prefixes {
		switch {
		case pfx.Addr().Is4():
			if pfx.Bits() < widestIPv4 && !(neverSources.Bits() <= pfx.Bits() && neverSources.Contains(pfx.Addr())) {
				return pfx, true
			}
		case pfx.Bits() < widestIPv6:
			if slices.ContainsFunc(assignedIPv6, pfx.Overlaps) {
				return pfx, true
			}
		}
	}
	return netip.Prefix{}, false
}

// shared finds addresses that two sets have in common. It looks the members of
// the smaller set up in the larger one, which may be a feed of millions.
func shared(a, b *ir.AddrSet) (netip.Prefix, bool) {
	if a == nil || b == nil {
		return netip.Prefix{}, false
	}
	few, many := a.Prefixes, b.Prefixes
	if len(few) > len(many) {
		few, many = many, few
	}
	for _, pfx := range few {
		i, _ := slices.BinarySearchFunc(many, pfx.Addr(), func(q netip.Prefix, a netip.Addr) int { return q.Addr().Compare(a) })
		for _, q := range many[max(0, i-1):min(len(many), i+1)] {
			if q.Overlaps(pfx) {
				if q.Bits() > pfx.Bits() {
					return q, true
				}
				return pfx, true
			}
		}
	}
	return netip.Prefix{}, false
}

// localOnly are the prefixes that never cross the internet: loopback, private
// use, shared address space behind carrier NAT, link-local and unique local
// (RFC 6890 section 2.2, where "globally reachable" is false).
var localOnly = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

// localPrefix reports whether all of pfx never crosses the internet.
func localPrefix(pfx netip.Prefix) bool {
	for _, l := range localOnly {
		if l.Bits() <= pfx.Bits() && l.Contains(pfx.Addr()) {
			return true
		}
	}
	return false
}

// loopback reports whether all of pfx is this machine.
func loopback(pfx netip.Prefix) bool {
	return pfx.Addr().IsLoopback() && (pfx.Addr().Is6() || pfx.Bits() >= 8)
}

// crosses finds a part of the endpoint for which traffic leaves the machine of
// the server: neither loopback nor an address of that machine.
func (p *Pass) crosses(e ir.Endpoint, s *ir.Server) (string, bool) {
	if e.Any || e.Set == nil {
		return "any", true
	}
	machine := []*ir.AddrSet{s.Set}
	for _, pt := range p.Policy.Points {
		if pt.Server == s {
			machine = append(machine, pt.Set)
		}
	}
	for _, pfx := range e.Set.Prefixes {
		if !loopback(pfx) && !slices.ContainsFunc(machine, func(m *ir.AddrSet) bool { return holds(m, pfx) }) {
			return spell(pfx), true
		}
	}
	return "", false
}

// holds reports whether all of pfx is in the set.
func holds(s *ir.AddrSet, pfx netip.Prefix) bool {
	q, ok := s.Covering(pfx.Addr())
	return ok && q.Bits() <= pfx.Bits()
}

// outside finds a part of the endpoint that is neither local to a site nor one
// of the policy's own addresses.
func (p *Pass) outside(e ir.Endpoint) (string, bool) {
	if e.Any || e.Set == nil {
		return "any", true
	}
	for _, pfx := range e.Set.Prefixes {
		if !localPrefix(pfx) && !slices.ContainsFunc(p.own(), func(s *ir.AddrSet) bool { return holds(s, pfx) }) {
			return spell(pfx), true
		}
	}
	return "", false
}

// families reports which address families the set has.
func families(s *ir.AddrSet) (v4, v6 bool) {
	if s == nil {
		return false, false
	}
	for _, pfx := range s.Prefixes {
		if pfx.Addr().Is4() {
			v4 = true
		} else {
			v6 = true
		}
	}
	return v4, v6
}

// spell writes a prefix as the policy would: single addresses without a length.
func spell(pfx netip.Prefix) string {
	if pfx.IsSingleIP() {
		return pfx.Addr().String()
	}
	return pfx.String()
}

// header is the first line of a statement: from its keyword to the name.
func header(n lang.Node, name *lang.Word) diag.Span {
	span := n.Span()
	if name != nil && name.Span().IsValid() {
		span.End = name.Span().End
	}
	return span
}

func label(span diag.Span, format string, args ...any) diag.Label {
	return diag.Label{Span: span, Text: fmt.Sprintf(format, args...)}
}

// plural writes a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
