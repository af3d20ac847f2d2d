package compiler

import (
	"fmt"
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

var hygieneChecks = []Check{
	{
		Code:      "gen-ipv6-twin",
		Severity:  diag.Error,
		Title:     "a statement or a listener knows IPv4 only, and the server has IPv6 as well",
		Why:       "Clients and peers try all addresses of a server, IPv6 among them. A deny list without IPv6 is walked around, and people whose IPv6 was forgotten are refused now and then.",
		Reference: "RFC 6120 §3.2.1",
		Remedy:    "Add the IPv6 prefixes to the network, bind the listener to IPv6 as well and state it with `port`, or take the IPv6 address off the server.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network drop = 203.0.113.128/25
server chat { software prosody 0.12  domain example.org  address 198.51.100.10, 2001:db8::10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
`,
		Good: `policy "p" { profile baseline }
network drop = 203.0.113.128/25, 2001:db8:bad::/48
server chat { software prosody 0.12  domain example.org  address 198.51.100.10, 2001:db8::10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
`,
		Run: func(p *Pass) {
			dual := func(s *ir.Server) bool {
				v4, v6 := families(s.Set)
				return v4 && v6
			}
			v4only := func(e ir.Endpoint) bool {
				if e.Any || e.Set == nil || e.Set.Feed != "" {
					return false // a feed is another's account of who misbehaves; it may well lack IPv6
				}
				v4, v6 := families(e.Set)
				// A single host is one that somebody knows; a network has neighbours.
				return v4 && !v6 && slices.ContainsFunc(e.Set.Prefixes, func(pfx netip.Prefix) bool { return !pfx.IsSingleIP() })
			}
			// What users come by has to have both families. An allow exempts whom it
			// names, and the machine of a component and the desk of an administrator
			// are places that somebody knows: one family may well be all of them.
			for _, st := range p.opened() {
				for _, f := range st.flows {
					if f.Verdict == ir.Allow && !f.Outbound && f.Server != nil && dual(f.Server) && v4only(f.From) && !p.fromPoint(f) {
						p.Report(st.header, fmt.Sprintf("%s are admitted from %s, which has no IPv6, and %s has", st.name, f.From.Label, f.Server.Name),
							source(f.From), label(f.Server.Origin.Span, "server %s", f.Server.Name))
					}
				}
			}
			for _, f := range p.denyFlows() {
				if !v4only(f.From) {
					continue
				}
				at := slices.IndexFunc(p.Policy.Servers, func(s *ir.Server) bool {
					return dual(s) && (f.To.Any || overlaps(f.To.Set, s.Set))
				})
				if at >= 0 {
					s := p.Policy.Servers[at]
					p.Report(f.Origin.Span, fmt.Sprintf("%s has no IPv6, and server %s has", f.From.Label, s.Name),
						source(f.From), label(s.Origin.Span, "server %s", s.Name))
				}
			}
			for _, s := range p.Policy.Servers {
				if !dual(s) {
					continue
				}
				var ports []ir.PortSpan
				source := ""
				for _, l := range s.Listeners {
					if l.Bind == "v4" && !l.Off && !l.Stated && p.served(s, l) {
						ports, source = append(ports, l.Port), l.Source
					}
				}
				if ports != nil {
					p.Report(s.Origin.Span, fmt.Sprintf("%s %s listens on IPv4 alone unless its configuration says otherwise, and server %s has an IPv6 address: %s (%s)",
						s.Software, s.Version, s.Name, ir.Ports(ports), source))
				}
			}
		},
	},
	{
		Code:      "gen-no-internet-interface",
		Severity:  diag.Warning,
		Title:     "strangers are admitted, and no interface is said to face the internet",
		Why:       "Sources that cannot come from the internet (private, loopback, link-local) are refused on the interface that faces it. Where none is stated, forged ones pass for neighbours.",
		Reference: "RFC 2827, RFC 6890 §2.2",
		Remedy:    "Add `interface NAME faces internet` to the point.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, pt := range p.Policy.Points {
				if f, ok := p.unfaced(pt); ok {
					p.Report(pt.Origin.Span, fmt.Sprintf("no interface of %s faces the internet, and %s are admitted from everywhere", pt.Name, f.Origin.Label),
						label(f.Origin.Span, "admitted here"))
				}
			}
		},
	},
	{
		Code:      "gen-private-from-internet",
		Severity:  diag.Warning,
		Title:     "private addresses are admitted where only the internet is",
		Why:       "The addresses cannot come from the internet, and no interface is said to face their network. To admit them, the interface that faces the internet has to accept a source that anybody there can forge.",
		Reference: "RFC 2827, RFC 6890 §2.2",
		Remedy:    "State the interface that faces the network, also where it is the same one: `interface eth0 faces internet, NETWORK`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network ops = 10.9.0.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to ssh of box
`,
		Good: `policy "p" { profile baseline }
network ops = 10.9.0.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  interface wg0 faces ops  nftables }
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, f := range p.Policy.Flows {
				if f.Verdict != ir.Allow || f.Outbound || f.OnLink || f.From.Set == nil || f.From.Set.Feed != "" || p.fromPoint(f) {
					continue
				}
				at := slices.IndexFunc(f.From.Set.Prefixes, func(pfx netip.Prefix) bool {
					return localPrefix(pfx) && !loopback(pfx) && !pfx.Addr().IsLinkLocalUnicast() // no router passes those on
				})
				if at < 0 {
					continue
				}
				pfx := f.From.Set.Prefixes[at]
				for _, pt := range p.Policy.Points {
					if pt.Engine("nftables") == nil || !overlaps(f.To.Set, pt.Set) || len(pt.Interfaces) == 0 || p.faced(pfx, pt) {
						continue
					}
					if face := slices.IndexFunc(pt.Interfaces, func(i ir.Interface) bool { return i.Internet }); face >= 0 {
						p.Report(f.Origin.Span, fmt.Sprintf("%s (%s) is admitted to %s, where only the internet is said to be", f.From.Label, spell(pfx), pt.Name),
							label(pt.Interfaces[face].Origin.Span, "this interface faces the internet"))
					}
				}
			}
		},
	},
	{
		Code:      "gen-shadowed-allow",
		Severity:  diag.Warning,
		Title:     "a deny statement takes away all that another statement allows",
		Why:       "Deny comes before allow, wherever the two stand in the file. The statement looks as if it let somebody in, and lets in nobody.",
		Reference: "",
		Remedy:    "Remove the statement, or take its addresses out of the denied network.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network branch = 203.0.113.0/28
network drop   = 203.0.113.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     branch
  starttls required
}
deny network drop
`,
		Good: `policy "p" { profile baseline }
network branch = 203.0.113.0/28
network drop   = 203.0.113.128/25
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     branch
  starttls required
}
deny network drop
`,
		Run: func(p *Pass) {
			denials := newStatementIndex(p.denyFlows())
			for _, f := range p.Policy.Flows {
				if f.Verdict != ir.Allow || f.Outbound || f.From.Set == nil || len(f.From.Set.Prefixes) == 0 || f.Peer != "" || p.management(f) {
					continue // a denied peer or administrator has a check of its own
				}
				denials.deciding(f, func(d *ir.Flow) bool {
					if !swallows(d, f) {
						return false
					}
					p.Report(f.Origin.Span, fmt.Sprintf("%s admits %s, all of which %s denies", f.Origin.Label, f.From.Label, d.From.Label),
						label(d.Origin.Span, "denied here"))
					return true
				})
			}
			for _, e := range p.Policy.Egress {
				allowed, denied := byVerdict(e.Flows)
				index := newStatementIndex(denied)
				for _, f := range allowed {
					index.deciding(f, func(d *ir.Flow) bool {
						if !swallows(d, f) {
							return false
						}
						p.Report(f.Origin.Span, fmt.Sprintf("%s is denied as well: nothing gets out by it", f.Origin.Label), label(d.Origin.Span, "denied here"))
						return true
					})
				}
			}
		},
	},
	{
		Code:      "gen-redundant",
		Severity:  diag.Info,
		Title:     "a statement says nothing that another one does not say as well",
		Why:       "Taking one of the two away, or changing it, changes nothing: whoever does so believes that it did.",
		Reference: "",
		Remedy:    "Remove the statement, or the addresses that the other one has.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network drop = 203.0.113.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
deny 203.0.113.128/25
`,
		Good: `policy "p" { profile baseline }
network drop = 203.0.113.0/25
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
deny 203.0.113.128/25
`,
		Run: func(p *Pass) {
			var allowed []*ir.Flow
			order := map[*ir.Flow]int{}
			for i, f := range p.Policy.Flows {
				if order[f] = i; f.Kind == ir.Access && f.Verdict == ir.Allow {
					allowed = append(allowed, f)
				}
			}
			for _, flows := range [][]*ir.Flow{allowed, p.denyFlows()} {
				index := newStatementIndex(flows)
				for _, f := range flows {
					if f.From.Set == nil || len(f.From.Set.Prefixes) == 0 || f.From.Set.HasFeed {
						continue // what a feed holds is not for this policy to tidy
					}
					index.deciding(f, func(g *ir.Flow) bool {
						if f == g || g.From.Set != nil && g.From.Set.HasFeed || !swallows(g, f) || swallows(f, g) && order[f] < order[g] {
							return false // of two that say the same the later one is too many
						}
						p.Report(f.Origin.Span, fmt.Sprintf("%s is said by %s as well", f.Origin.Label, g.Origin.Label), label(g.Origin.Span, "stated here"))
						return true
					})
				}
			}
		},
	},
	{
		Code:      "gen-deny-too-broad",
		Severity:  diag.Warning,
		Title:     "a deny statement covers a part of the internet that is nobody's network",
		Why:       "No provider holds a prefix that wide. A slip of the length, or a poisoned feed, cuts off whole continents, and it shows only in what does not arrive.",
		Reference: "XEP-0205 §2",
		Remedy:    "Correct the prefix; IPv4 prefixes of /8 and IPv6 prefixes of /16 or longer are taken as meant.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network drop = 192.0.0.0/4
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
`,
		Good: `policy "p" { profile baseline }
network drop = 203.0.113.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
`,
		Run: func(p *Pass) {
			for _, f := range p.denyFlows() {
				if pfx, wide := widePrefix(f.From.Set); wide {
					p.Report(f.Origin.Span, fmt.Sprintf("%s holds %s", f.From.Label, pfx), source(f.From))
				}
			}
		},
	},
}

// swallows reports whether the statement of d decides about every conversation
// of f, whenever it may happen.
func swallows(d, f *ir.Flow) bool {
	return (len(d.Ports) == 0 || len(f.Ports) > 0 && covers(d.Ports, f.Ports)) && during(d, f) && within(f.To, d.To) && within(f.From, d.From)
}

// during reports whether the hours of d are at least those of f, and d does not
// end before f does.
func during(d, f *ir.Flow) bool {
	if d.Terms == nil {
		return true
	}
	terms := ir.Terms{}
	if f.Terms != nil {
		terms = *f.Terms
	}
	return (d.Terms.During == nil || d.Terms.During == terms.During) &&
		(d.Terms.Expires == "" || terms.Expires != "" && terms.Expires <= d.Terms.Expires)
}

func byVerdict(flows []*ir.Flow) (allowed, denied []*ir.Flow) {
	for _, f := range flows {
		if f.Verdict == ir.Allow {
			allowed = append(allowed, f)
		} else {
			denied = append(denied, f)
		}
	}
	return allowed, denied
}

// served reports whether somebody beyond the machine is admitted to a listener
// of the server, from IPv6 among others.
func (p *Pass) served(s *ir.Server, l ir.Listener) bool {
	return slices.ContainsFunc(p.Policy.Flows, func(f *ir.Flow) bool {
		if f.Verdict != ir.Allow || f.Outbound || f.Server != s || !intersects(f.Ports, []ir.PortSpan{l.Port}) {
			return false
		}
		_, v6 := families(f.From.Set)
		return f.From.Any || v6
	})
}

// fromPoint reports whether a point of the policy opens the flow: the leg
// behind a proxy.
func (p *Pass) fromPoint(f *ir.Flow) bool {
	return slices.ContainsFunc(p.Policy.Points, func(pt *ir.Point) bool {
		return f.From.Set != nil && pt.Set != nil && len(pt.Set.Prefixes) > 0 && f.From.Set.Within(pt.Set)
	})
}

// unfaced finds a flow by which strangers come in to a point of which no
// interface is said to face the internet.
func (p *Pass) unfaced(pt *ir.Point) (*ir.Flow, bool) {
	// A gateway that states its interfaces may well stand inside; the host of a
	// public server has strangers on one of its own.
	if pt.Engine("nftables") == nil || pt.Role == ir.Gateway && len(pt.Interfaces) > 0 ||
		slices.ContainsFunc(pt.Interfaces, func(i ir.Interface) bool { return i.Internet }) {
		return nil, false
	}
	for _, f := range public(p.Policy.Flows) {
		if f.Server != nil && (pt.Role != ir.Host || pt.Server == f.Server) && !p.behindGateway(pt, f) {
			return f, true
		}
	}
	return nil, false
}

// behindGateway reports whether strangers reach the point only through a
// gateway of the policy that faces the internet: it refuses forged sources.
func (p *Pass) behindGateway(pt *ir.Point, f *ir.Flow) bool {
	return slices.ContainsFunc(p.Policy.Points, func(g *ir.Point) bool {
		return g != pt && g.Role == ir.Gateway && g.Engine("nftables") != nil && privateLeg(g, f.Server) &&
			slices.ContainsFunc(g.Interfaces, func(i ir.Interface) bool { return i.Internet })
	})
}

// faced reports whether an interface of the point is said to face the prefix,
// or an interface of a gateway of the policy, which then refuses it from
// elsewhere.
func (p *Pass) faced(pfx netip.Prefix, pt *ir.Point) bool {
	for _, g := range p.Policy.Points {
		if g != pt && (g.Role != ir.Gateway || g.Engine("nftables") == nil) {
			continue
		}
		for _, i := range g.Interfaces {
			for _, n := range i.Networks {
				if (g == pt || !i.Internet) && n.Set != nil && setOverlapsPrefix(n.Set, pfx) {
					return true
				}
			}
		}
	}
	return false
}
