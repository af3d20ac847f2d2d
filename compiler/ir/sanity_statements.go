package ir

import (
	"slices"

	"xfwc/lang/diag"
)

// statements checks what the statements say besides their flows.
func (c *sanity) statements(p *Policy) {
	for _, t := range p.Clients {
		c.terms(p, "clients", t.Server, t.Origin, t.At, t.Flows, t.Limits)
		c.check(slices.Contains([]string{"required", "optional", "off"}, t.StartTLS), t.Origin, "clients of %s have starttls %q", t.Server.Name, t.StartTLS)
		c.check(t.Direct == (t.DirectPort != 0), t.Origin, "clients of %s have direct TLS on port %d", t.Server.Name, t.DirectPort)
		c.check(t.Direct || t.ALPN == nil && t.Offload == nil, t.Origin, "clients of %s have a point for direct TLS that they do not have", t.Server.Name)
	}
	for _, t := range p.Federations {
		c.terms(p, "federation", t.Server, t.Origin, t.At, t.Flows, t.Limits)
		c.check(t.Default == Allow || t.Default == Deny, t.Origin, "federation of %s has no default", t.Server.Name)
		for _, q := range t.Peers {
			what := "peer " + q.Domain
			c.terms(p, what, t.Server, q.Origin, q.At, q.Flows, q.Limits)
			c.check(len(q.Flows) > 0, q.Origin, "%s has no flow", what)
			c.check(slices.Contains([]string{"in", "out", "both"}, q.Direction), q.Origin, "%s has the direction %q", what, q.Direction)
		}
	}
	for _, t := range p.Components {
		c.terms(p, "component "+t.Name, t.Server, t.Origin, t.At, t.Flows, t.Limits)
		c.check(t.Mode == "accept" || t.Mode == "connect", t.Origin, "component %s has the mode %q", t.Name, t.Mode)
	}
	for _, t := range p.Webs {
		c.terms(p, "web", t.Server, t.Origin, t.At, t.Flows, t.Limits)
		c.check((t.TLS == "terminate") == (t.Point != nil), t.Origin, "web of %s has tls %q and its point is otherwise", t.Server.Name, t.TLS)
		for _, r := range t.Routes {
			c.check(slices.Contains(p.Routes, r), t.Origin, "web of %s has a path that the policy does not have", t.Server.Name)
		}
	}
}

// services checks the statements about what else a server offers and calls.
func (c *sanity) services(p *Policy) {
	for _, t := range p.Anonymous {
		c.terms(p, "anonymous", t.Server, t.Origin, t.At, nil, t.Limits)
		c.end("anonymous", t.From, t.Origin)
		c.check(len(t.Domains) > 0 && (t.Federation == Allow || t.Federation == Deny), t.Origin, "anonymous of %s is not whole", t.Server.Name)
	}
	for _, t := range p.Media {
		c.terms(p, "media", t.Server, t.Origin, t.At, t.Flows, t.Limits)
		c.end("media", t.From, t.Origin)
		c.check(t.Proxy65 == (t.Proxy65Port != 0) && t.STUN == (t.STUNPort != 0) && t.RelayFrom <= t.RelayTo, t.Origin, "media of %s has no port", t.Server.Name)
		c.check(len(t.Flows) > 0, t.Origin, "media of %s has no flow", t.Server.Name)
	}
	for _, t := range p.Admins {
		c.terms(p, "admin", t.Server, t.Origin, t.At, t.Flows, t.Limits)
		c.end("admin", t.From, t.Origin)
		c.check(len(t.Flows) > 0, t.Origin, "admin of %s has no flow", t.Server.Name)
	}
	for _, t := range p.Clusters {
		c.terms(p, "cluster", t.Server, t.Origin, t.At, t.Flows, nil)
		c.end("cluster", t.With, t.Origin)
		c.check(len(t.Flows) == 2, t.Origin, "cluster of %s has %d flows", t.Server.Name, len(t.Flows))
	}
	for _, t := range p.Egress {
		c.terms(p, "egress", t.Server, t.Origin, t.At, t.Flows, nil)
		c.check(t.Default == Allow || t.Default == Deny, t.Origin, "egress of %s has no default", t.Server.Name)
		for _, f := range t.Flows {
			c.check(f.Outbound && f.Kind == Egress, t.Origin, "egress of %s has flow %s", t.Server.Name, f.ID)
		}
	}
}

// terms checks what every statement has.
func (c *sanity) terms(p *Policy, what string, srv *Server, o Origin, at map[string]diag.Span, flows []*Flow, limits []*Limit) {
	c.origin(what, o)
	c.check(slices.Contains(p.Servers, srv), o, "%s is of a server that the policy does not have", what)
	for word, span := range at {
		c.check(span.IsValid(), o, "%s states %s nowhere", what, word)
	}
	for _, f := range flows {
		c.check(c.flows[f], o, "%s has a flow that the policy does not have", what)
	}
	for _, l := range limits {
		c.limit(l)
	}
}
