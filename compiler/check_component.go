package compiler

import (
	"fmt"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var componentChecks = []Check{
	{
		Code:      "comp-nonloopback",
		Severity:  diag.Error,
		Title:     "a component's clear text leaves the machine without a tunnel",
		Why:       "XEP-0114 has no TLS: everything that the component's users say is readable, and so is the handshake, from which a weak secret is guessed offline. Whoever has the secret speaks for every user of the component.",
		Reference: "XEP-0114 §3, §4",
		Remedy:    "Run the component on the server's machine, or through WireGuard or stunnel and name that with `tunnel \"…\"`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
component irc of chat {
  port 5347
  from 198.51.100.77
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends, from 198.51.100.77"
}
`,
		Run: func(p *Pass) {
			for _, d := range p.components() {
				if tunnel(d) != nil {
					continue
				}
				for _, f := range p.flows(d) {
					if f.Kind != ir.Component || f.Verdict != ir.Allow || f.TLS != "none" || !f.Outbound && worldwide(f.From) {
						continue // what everybody reaches is comp-public
					}
					if far, ok := p.crosses(remote(f), f.Server); ok {
						p.Report(componentPlace(d), fmt.Sprintf("component %s talks to %s in clear text beyond this machine (%s)", d.Name.Text, d.Server.Text, far))
					}
				}
			}
			for _, d := range p.accesses("allow") {
				for _, f := range p.flows(d) {
					for _, s := range p.machines(f) {
						if !p.opensComponent(f, s) {
							continue
						}
						if far, ok := p.crosses(f.From, s); ok && !worldwide(f.From) {
							p.Report(d.Span(), fmt.Sprintf("%s reaches the component port of %s in clear text (%s)", f.From.Label, s.Name, far))
						}
					}
				}
			}
		},
	},
	{
		Code:      "comp-public",
		Severity:  diag.Error,
		Title:     "everybody reaches a component port",
		Why:       "The shared secret is all that stands between a stranger and sending as any user of the component, and it can be guessed as fast as the server answers.",
		Reference: "XEP-0114 §3, §4",
		Remedy:    "State the component's own addresses in `from`, and a tunnel if they are not on this machine.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
component irc of chat {
  port 5347
  from any
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
component irc of chat {
  port 5347
  from 127.0.0.1, ::1
}
`,
		Run: func(p *Pass) {
			for _, d := range p.components() {
				for _, f := range p.flows(d) {
					if f.Kind == ir.Component && f.Verdict == ir.Allow && !f.Outbound && worldwide(f.From) {
						p.Report(componentPlace(d), fmt.Sprintf("everybody may connect to %s as component %s", d.Server.Text, d.Name.Text))
					}
				}
			}
			for _, d := range p.accesses("allow") {
				for _, f := range public(p.flows(d)) {
					for _, s := range p.machines(f) {
						if p.opensComponent(f, s) {
							p.Report(d.Span(), fmt.Sprintf("%s, which is everybody, reaches the component port of %s", f.From.Label, s.Name))
						}
					}
				}
			}
		},
	},
	{
		Code:      "comp-port-collision",
		Severity:  diag.Warning,
		Title:     "a component has a port that is another service of the same server",
		Why:       "The same number means other things in other products: 5270 is direct TLS between servers in one and components in another. A port that two statements claim is opened for the callers of both.",
		Reference: "XEP-0114 §3",
		Remedy:    "State the port on which this product accepts components, or move the other service with a `port` line of the server.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
component irc of im {
  port 5270
  from 127.0.0.1
}
`,
		Good: `policy "p" { profile baseline }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
component irc of im {
  port 5275
  from 127.0.0.1
}
`,
		Run: func(p *Pass) {
			for _, d := range p.components() {
				for _, f := range p.flows(d) {
					if f.Kind != ir.Component || f.Outbound || f.Server == nil {
						continue
					}
					for _, l := range f.Server.Listeners {
						if strings.HasPrefix(l.Service, "component") || !intersects(f.Ports, []ir.PortSpan{l.Port}) {
							continue
						}
						at := header(d, d.Name)
						for _, i := range d.Body.Items {
							if i.Port != nil {
								at = i.Port.Span()
							}
						}
						p.Report(at, fmt.Sprintf("port %d of component %s is the %s port of %s", l.Port.From, d.Name.Text, l.Service, f.Server.Name),
							label(f.Server.Origin.Span, "%s %s", f.Server.Software, f.Server.Version))
					}
				}
			}
		},
	},
	{
		Code:      "comp-global-routes",
		Severity:  diag.Warning,
		Title:     "several components share a port on which each of them gets the domains of all",
		Why:       "On one listener of ejabberd, global_routes is on unless it is switched off: whichever component connects first is given the traffic of every domain of that listener, also of those that are not its own.",
		Reference: "ejabberd documentation: Listen Options, global_routes",
		Remedy:    "Give each component a port of its own, or set global_routes to false and waive this.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
component irc of chat {
  port 8888
  from 127.0.0.1
}
component sms of chat {
  port 8888
  from 127.0.0.1
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
component irc of chat {
  port 8888
  from 127.0.0.1
}
component sms of chat {
  port 8889
  from 127.0.0.1
}
`,
		Run: func(p *Pass) {
			for i, t := range p.Policy.Components {
				if d, ok := SettingOf(t.Server.Software, t.Server.Version, "component-routes"); !ok || d.Upstream() != "on" || t.Mode != "accept" {
					continue
				}
				var labels []diag.Label
				first := true
				for j, o := range p.Policy.Components {
					if i == j || o.Server != t.Server || o.Mode != "accept" || !intersects(flowPorts(o.Flows), flowPorts(t.Flows)) {
						continue
					}
					first = first && j > i
					labels = append(labels, label(portLine(o), "component %s uses it as well", o.Name))
				}
				if first && len(labels) > 0 {
					p.Report(portLine(t), fmt.Sprintf("component %s may be given what is for %s on the same port of %s", t.Name, plural(len(labels), "other component"), t.Server.Name), labels...)
				}
			}
		},
	},
	{
		Code:      "comp-connect-mode-egress",
		Severity:  diag.Warning,
		Title:     "the server dials a component that it is kept from",
		Why:       "In this mode the server opens the connection. A deny of the component's address, or of its port in egress, keeps the server from it, and the component stays offline without a word.",
		Reference: "XEP-0114 §2",
		Remedy:    "Take the component's address out of what is denied, or let the component dial the server with `mode accept`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software tigase 8.4  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
network drop = 203.0.113.0/24
component irc of chat {
  port   5270
  from   203.0.113.77
  mode   connect
  tunnel "stunnel on both ends"
}
deny network drop
`,
		Good: `policy "p" { profile baseline }
server chat { software tigase 8.4  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
network drop = 203.0.113.0/24
component irc of chat {
  port   5270
  from   198.51.100.77
  mode   connect
  tunnel "stunnel on both ends"
}
deny network drop
`,
		Run: func(p *Pass) {
			for _, t := range p.Policy.Components {
				for _, f := range t.Flows {
					if !f.Outbound {
						continue
					}
					for _, deny := range p.Policy.Flows {
						if deny.Verdict != ir.Deny {
							continue
						}
						far, ok := shared(deny.From.Set, f.To.Set) // a deny for everything holds in both directions
						if deny.Kind == ir.Egress {
							far, ok = shared(deny.To.Set, f.To.Set)
							ok = (ok || deny.To.Any) && deny.Server == t.Server && intersects(deny.Ports, f.Ports)
						} else if len(deny.Ports) > 0 {
							ok = false
						}
						if !ok {
							continue
						}
						where := f.To.Label
						if far.IsValid() {
							where = spell(far)
						}
						p.Report(t.At["mode"], fmt.Sprintf("%s dials component %s at %s, which is denied", t.Server.Name, t.Name, where), label(deny.Origin.Span, "denied here"))
						break
					}
				}
			}
		},
	},
	{
		Code:      "comp-srv-published",
		Severity:  diag.Warning,
		Title:     "DNS tells other servers where a component is that does not federate",
		Why:       "The record invites every server to connect for the component's domain. It is refused at best, and tells strangers of a service that is meant for the site's own users.",
		Reference: "RFC 6120 §3.2.4",
		Remedy:    "Remove the SRV records of the component's domain, or let the domain federate.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  domain  example.org
  tls     required
  auth    external
  peer branch.example
}
component irc of chat {
  domain irc.published.example  # has an SRV record
  from   127.0.0.1
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  domain  example.org
  tls     required
  auth    external
  peer branch.example
}
component irc of chat {
  domain irc.internal.example
  from   127.0.0.1
}
`,
		Run: func(p *Pass) {
			for _, t := range p.Policy.Components {
				for _, domain := range t.Domains {
					own := p.Lock.OwnDomain(domain)
					if own == nil || len(present(own.Records(lock.Server), own.Records(lock.ServerTLS))) == 0 {
						continue
					}
					federates := false
					var labels []diag.Label
					for _, fed := range p.federations {
						if fed.server == t.Server {
							federates = federates || fed.speaksFor(domain)
							labels = append(labels, label(header(fed.decl, fed.decl.Server), "it is not among those that federate here"))
						}
					}
					if federates {
						continue
					}
					labels = append(labels, label(own.Span, "recorded here"))
					p.Report(p.componentDomain(t, domain), fmt.Sprintf("DNS names a server for %s, which does not federate", domain), labels...)
				}
			}
		},
	},
}

// componentDomain is where a component states one of its domains.
func (p *Pass) componentDomain(t *ir.ComponentTerms, domain string) diag.Span {
	for _, d := range p.components() {
		for _, i := range d.Body.Items {
			for _, w := range i.Domain {
				if inside(d.Span(), t.Origin.Span) && strings.EqualFold(w.Text, domain) {
					return w.Span()
				}
			}
		}
	}
	return t.Origin.Span
}

// portLine is where the port of a component is stated or, where it is not,
// the component.
func portLine(t *ir.ComponentTerms) diag.Span {
	if at, ok := t.At["port"]; ok {
		return at
	}
	return t.Origin.Span
}

func flowPorts(flows []*ir.Flow) []ir.PortSpan {
	var out []ir.PortSpan
	for _, f := range flows {
		out = append(out, f.Ports...)
	}
	return out
}

// tunnel finds the line that names what protects the component's traffic.
func tunnel(d *lang.ComponentDecl) *lang.Str {
	for _, i := range d.Body.Items {
		if i.Tunnel != nil {
			return i.Tunnel
		}
	}
	return nil
}

// componentPlace is where the component's addresses are stated.
func componentPlace(d *lang.ComponentDecl) diag.Span {
	for _, i := range d.Body.Items {
		if len(i.From) > 0 {
			return i.Span()
		}
	}
	return header(d, d.Server)
}

// remote is the side of a flow that is not the server.
func remote(f *ir.Flow) ir.Endpoint {
	if f.Outbound {
		return f.To
	}
	return f.From
}

// opensComponent reports whether an access flow reaches a port on which the
// server accepts components: those of its software, and those of the policy.
func (p *Pass) opensComponent(f *ir.Flow, s *ir.Server) bool {
	for _, l := range s.Listeners {
		if l.Service == "component" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
			return true
		}
	}
	for _, t := range p.Policy.Components {
		for _, c := range t.Flows {
			if !c.Outbound && t.Server == s && intersects(f.Ports, c.Ports) {
				return true
			}
		}
	}
	return false
}
