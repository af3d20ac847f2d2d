package compiler

import (
	"math"
	"slices"
	"strconv"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// What checks ask of settings and limits: who states them, where the value
// stands, and what a server does where nothing is stated.

// bounded is a statement that has limits, with what it means.
type bounded struct {
	name   string // "clients of chat"
	kind   ir.FlowKind
	server *ir.Server
	limits []*ir.Limit
	flows  []*ir.Flow
	at     diag.Span // its header
}

// anonymousKind stands for a statement that has no flows of its own.
const anonymousKind ir.FlowKind = "anonymous"

// bounds lists the statements that XMPP streams and sessions come from, each
// limit with the one statement that states it.
func (p *Pass) bounds() []bounded {
	var out []bounded
	seen := map[diag.Span]bool{}
	add := func(o ir.Origin, kind ir.FlowKind, s *ir.Server, limits []*ir.Limit, flows []*ir.Flow) {
		b := bounded{name: o.Label, kind: kind, server: s, flows: flows, at: o.Span}
		for _, l := range limits {
			// A peer has the limits of its federation as well.
			if !seen[l.Origin.Span] {
				seen[l.Origin.Span] = true
				b.limits = append(b.limits, l)
			}
		}
		out = append(out, b)
	}
	for _, t := range p.Policy.Clients {
		add(t.Origin, ir.Clients, t.Server, t.Limits, t.Flows)
	}
	for _, t := range p.Policy.Anonymous {
		add(t.Origin, anonymousKind, t.Server, t.Limits, nil)
	}
	for _, t := range p.Policy.Federations {
		add(t.Origin, ir.Federation, t.Server, t.Limits, t.Flows)
		for _, peer := range t.Peers {
			add(peer.Origin, ir.Federation, t.Server, peer.Limits, peer.Flows)
		}
	}
	for _, t := range p.Policy.Components {
		add(t.Origin, ir.Component, t.Server, t.Limits, t.Flows)
	}
	for _, t := range p.Policy.Webs {
		add(t.Origin, ir.Web, t.Server, t.Limits, t.Flows)
		for _, r := range t.Routes {
			add(r.Origin, ir.Web, t.Server, r.Limits, t.Flows)
		}
	}
	return out
}

// texts are the parts of the syntax tree that limits and paths come from, by
// where they start.
type texts struct {
	limits map[diag.Pos]*lang.Limit
	routes map[diag.Pos]*lang.WebRoute
}

func readTexts(files []*lang.File) texts {
	t := texts{limits: map[diag.Pos]*lang.Limit{}, routes: map[diag.Pos]*lang.WebRoute{}}
	for _, f := range files {
		if f == nil {
			continue
		}
		lang.Walk(f, func(n lang.Node) bool {
			start := n.Span().Start
			switch n := n.(type) {
			case *lang.Limit:
				t.limits[start] = n
			case *lang.WebRoute:
				t.routes[start] = n
			case *lang.NetworkDecl, *lang.DomainsDecl, *lang.WordsDecl:
				return false // they may be long, and hold nothing of this
			}
			return true
		})
	}
	return t
}

// amount is where the amount of a limit stands.
func (p *Pass) amount(l *ir.Limit) diag.Span {
	if text := p.texts.limits[l.Origin.Span.Start]; text != nil {
		return text.Amount.Span()
	}
	return l.Origin.Span
}

// routeText is how the policy writes a path; nil where it is not known.
func (p *Pass) routeText(r *ir.HTTPRoute) *lang.WebRoute {
	return p.texts.routes[r.Origin.Span.Start]
}

// routeLines are the lines in the block of a path.
func (p *Pass) routeLines(r *ir.HTTPRoute) []*lang.RouteLine {
	text := p.routeText(r)
	if text == nil || text.Body == nil {
		return nil
	}
	return text.Body.Items
}

// setting is where the value of a setting of a path stands or, where it is not
// stated, the path.
func (p *Pass) setting(r *ir.HTTPRoute, name string) diag.Span {
	for _, l := range p.routeLines(r) {
		if l.Setting != nil && l.Setting.Name == name {
			return l.Setting.Value.Span()
		}
	}
	return r.Origin.Span
}

// origins are the quoted origins of a path.
func (p *Pass) origins(r *ir.HTTPRoute) []*lang.Str {
	var out []*lang.Str
	for _, l := range p.routeLines(r) {
		out = append(out, l.Origin...)
	}
	return out
}

// webOf finds the statement that a path stands in.
func (p *Pass) webOf(r *ir.HTTPRoute) *ir.WebTerms {
	for _, t := range p.Policy.Webs {
		if slices.Contains(t.Routes, r) {
			return t
		}
	}
	return nil
}

// routesOf lists the paths of these kinds, in policy order.
func (p *Pass) routesOf(kinds ...string) []*ir.HTTPRoute {
	var out []*ir.HTTPRoute
	for _, r := range p.Policy.Routes {
		if slices.Contains(kinds, r.Kind) {
			out = append(out, r)
		}
	}
	return out
}

// filters reports whether the policy names the server's own engine at the
// machine it runs on: the one place where stanzas can be seen and counted.
func (p *Pass) filters(s *ir.Server) bool {
	for _, pt := range p.Policy.Points {
		if pt.Server == s && pt.Engine(s.Software) != nil {
			return true
		}
	}
	return false
}

// hidden reports whether TLS hides what is inside every one of the flows, from
// its start or soon after.
func (p *Pass) hidden(flows []*ir.Flow) bool {
	if p.clear == nil {
		p.clear = map[*ir.Flow]bool{}
		for _, leg := range p.Policy.Legs {
			if leg.Visibility == ir.Clear {
				p.clear[leg.Flow] = true
			}
		}
	}
	return !slices.ContainsFunc(flows, func(f *ir.Flow) bool { return p.clear[f] })
}

// absent finds a setting that bounds nothing by default, neither with the
// project's own example configuration nor with that of the distribution, as far
// as they are known.
func absent(s *ir.Server, key string) (Setting, bool) {
	d, ok := SettingOf(s.Software, s.Version, key)
	values := []string{d.Upstream()}
	if d.Package != "" {
		values = append(values, d.Distribution())
	}
	for _, v := range values {
		ok = ok && (v == "none" || v == "unlimited")
	}
	return d, ok
}

// usually gives what a setting is by default with the project's own example
// configuration, as a number; a bound that there is not is the largest one.
func usually(s *ir.Server, key string) (uint64, Setting, bool) {
	d, ok := SettingOf(s.Software, s.Version, key)
	if d.Upstream() == "unlimited" {
		return math.MaxUint64, d, ok
	}
	n, err := strconv.ParseUint(d.Upstream(), 10, 64)
	return n, d, ok && err == nil
}

// byDefault is a label at a server, about what it does without being told.
func byDefault(s *ir.Server, d Setting) diag.Label {
	return label(s.Origin.Span, "%s %s, by default: %s", s.Software, s.Version, d.Source)
}

// perAddress reports whether a limit counts by where a packet comes from.
func perAddress(l *ir.Limit) bool { return l.Key == ir.PerSource || l.Key == ir.PerPrefix }
