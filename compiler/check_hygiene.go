package compiler

import (
	"fmt"
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var hygieneChecks = []Check{
	{
		Code:      "content-opaque",
		Severity:  diag.Error,
		Title:     "a content rule is stated for traffic that no device on the network can read",
		Why:       "Once TLS has started, nothing between the two ends sees a stanza. The rule would look configured and never match.",
		Reference: "RFC 6120 §13.3, RFC 7590 §3.1",
		Remedy:    "State the rule on a flow with a clear leg: a component, serverless, or web whose TLS ends at a proxy. For the rest, use the filter of the server itself.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
content wire-fraud {
  match text "wire transfer"
  on    clients of chat
  then  alert
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match text "wire transfer"
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				for i, f := range c.On {
					if i >= len(c.OnNames) || slices.Contains(c.OnNames[:i], c.OnNames[i]) {
						continue // several flows may bear one name; the first answers for all
					}
					if p.readable(c, c.OnNames[i]) {
						continue
					}
					at, why := c.Origin.Span, ""
					for _, s := range p.subjects(c) {
						if s.String() == c.OnNames[i] {
							at = s.Span()
						}
					}
					var labels []diag.Label
					for _, leg := range p.Policy.Legs {
						if leg.Flow == f {
							why = ": " + leg.Reason
							labels = append(labels, label(leg.Origin.Span, "%s is %s here", c.OnNames[i], leg.Visibility))
							break
						}
					}
					p.Report(at, fmt.Sprintf("content rule %s cannot see inside %s%s", c.ID, c.OnNames[i], why), labels...)
				}
			}
		},
	},
	{
		Code:      "content-drop-passive",
		Severity:  diag.Warning,
		Title:     "a content rule drops, and every intrusion detection system only listens",
		Why:       "A passive engine sees a copy of the traffic. It can raise an alert after the fact; the stanza has already arrived.",
		Reference: "Suricata User Guide: IPS Mode",
		Remedy:    "State `then alert`, or let suricata work inline by leaving out `passive` and the interface.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match text "wire transfer"
  on    component irc
  then  drop
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match text "wire transfer"
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			var passive []diag.Label
			for _, pt := range p.Policy.Points {
				for _, e := range pt.Engines {
					switch {
					case e.Kind != "suricata":
					case e.Mode != "passive":
						return
					default:
						passive = append(passive, label(e.Origin.Span, "%s only listens", pt.Name))
					}
				}
			}
			if len(passive) == 0 {
				return // nothing could even alert, which placement reports
			}
			for _, c := range p.Policy.Content {
				if c.Does("drop") {
					p.Report(p.thenSpan(c), fmt.Sprintf("content rule %s drops, and no engine stands in the path", c.ID), passive...)
				}
			}
		},
	},
	{
		Code:      "gen-ipv6-twin",
		Severity:  diag.Warning,
		Title:     "a statement knows IPv4 only, and the server has IPv6 as well",
		Why:       "Clients and peers try all addresses of a server, IPv6 among them. A deny list without IPv6 is walked around, and people whose IPv6 was forgotten are refused now and then.",
		Reference: "RFC 6120 §3.2.1",
		Remedy:    "Add the IPv6 prefixes to the network, or take the IPv6 address off the server.",
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
				return v4 && !v6
			}
			for _, st := range p.statements() {
				for _, f := range st.flows {
					if f.Verdict == ir.Allow && !f.Outbound && f.Server != nil && dual(f.Server) && v4only(f.From) && !p.fromPoint(f) {
						p.Report(st.header, fmt.Sprintf("%s are admitted from %s, which has no IPv6, and %s has", st.name, f.From.Label, f.Server.Name),
							source(f.From), label(f.Server.Origin.Span, "server %s", f.Server.Name))
					}
				}
			}
			for _, d := range p.denials() {
				at := slices.IndexFunc(p.Policy.Servers, func(s *ir.Server) bool {
					return dual(s) && (d.flow.To.Any || overlaps(d.flow.To.Set, s.Set))
				})
				if at >= 0 && v4only(d.flow.From) {
					s := p.Policy.Servers[at]
					p.Report(d.decl.Span(), fmt.Sprintf("%s has no IPv6, and server %s has", d.flow.From.Label, s.Name),
						source(d.flow.From), label(s.Origin.Span, "server %s", s.Name))
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
				// A gateway that states its interfaces may well stand inside; the host
				// of a public server has strangers on one of its own.
				if pt.Engine("nftables") == nil || pt.Role == ir.Gateway && len(pt.Interfaces) > 0 ||
					slices.ContainsFunc(pt.Interfaces, func(i ir.Interface) bool { return i.Internet }) {
					continue
				}
				for _, f := range public(p.Policy.Flows) {
					if f.Server == nil || pt.Role == ir.Host && pt.Server != f.Server || p.behindGateway(pt, f) {
						continue
					}
					p.Report(pt.Origin.Span, fmt.Sprintf("no interface of %s faces the internet, and %s are admitted from everywhere", pt.Name, f.Origin.Label),
						label(f.Origin.Span, "admitted here"))
					break
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
			denials := p.denials()
			for _, f := range p.Policy.Flows {
				if f.Verdict != ir.Allow || f.Outbound || f.From.Set == nil || len(f.From.Set.Prefixes) == 0 || f.Peer != "" || p.management(f) {
					continue // a denied peer or administrator has a check of its own
				}
				for _, d := range denials {
					wholly := len(d.flow.Ports) == 0 || covers(d.flow.Ports, f.Ports)
					everywhere := d.flow.To.Any || f.To.Set != nil && f.To.Set.Within(d.flow.To.Set)
					everybody := d.flow.From.Any || f.From.Set.Within(d.flow.From.Set)
					if wholly && everywhere && everybody {
						p.Report(f.Origin.Span, fmt.Sprintf("%s admits %s, all of which %s denies", f.Origin.Label, f.From.Label, d.flow.From.Label),
							label(d.decl.Span(), "denied here"))
					}
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
			for _, d := range p.denials() {
				if pfx, wide := widePrefix(d.flow.From.Set); wide {
					p.Report(d.decl.Span(), fmt.Sprintf("%s holds %s", d.flow.From.Label, pfx), source(d.flow.From))
				}
			}
		},
	},
}

// subjects lists what the content statement of the rule names after `on`.
func (p *Pass) subjects(c *ir.ContentRule) []*lang.Subject {
	var out []*lang.Subject
	for _, d := range p.contents(c) {
		for _, i := range d.Body.Items {
			out = append(out, i.On...)
		}
	}
	return out
}

func (p *Pass) contents(c *ir.ContentRule) []*lang.ContentDecl {
	ds := decls(p, func(d *lang.Decl) *lang.ContentDecl { return d.Content })
	return slices.DeleteFunc(ds, func(d *lang.ContentDecl) bool { return !inside(d.Span(), c.Origin.Span) })
}

// thenSpan is where the rule says what happens.
func (p *Pass) thenSpan(c *ir.ContentRule) diag.Span {
	for _, d := range p.contents(c) {
		for _, i := range d.Body.Items {
			if len(i.Then) > 0 {
				return i.Span()
			}
		}
	}
	return c.Origin.Span
}

// readable reports whether any of the flows that the rule means by the name has
// a leg in clear text.
func (p *Pass) readable(c *ir.ContentRule, name string) bool {
	for i, f := range c.On {
		if i >= len(c.OnNames) || c.OnNames[i] != name {
			continue
		}
		for _, leg := range p.Policy.Legs {
			if leg.Flow == f && leg.Visibility == ir.Clear {
				return true
			}
		}
	}
	return false
}

// fromPoint reports whether a point of the policy opens the flow: the leg
// behind a proxy.
func (p *Pass) fromPoint(f *ir.Flow) bool {
	return slices.ContainsFunc(p.Policy.Points, func(pt *ir.Point) bool {
		return f.From.Set != nil && pt.Set != nil && len(pt.Set.Prefixes) > 0 && f.From.Set.Within(pt.Set)
	})
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
