package compiler

import (
	"fmt"
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var serverlessChecks = []Check{
	{
		Code:      "sl-beyond-link",
		Severity:  diag.Error,
		Title:     "serverless messaging is allowed with a network that no host is on",
		Why:       "Nobody authenticates there, and service discovery over multicast believes whoever answers. Both were made for neighbours on one link: a network on which none of the hosts has an address is reached through a router.",
		Reference: "XEP-0174 §11.4, §13.2, RFC 6762 §11",
		Remedy:    "State the network that the host itself is on; people on other links belong on an XMPP server.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan    = 192.168.10.0/24, 2001:db8:10::/64
network branch = 192.168.20.0/24, 2001:db8:20::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, branch, internet  nftables }
serverless {
  on    lan, branch
  scope link
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
}
`,
		Run: func(p *Pass) {
			var hosts []*ir.Point
			for _, pt := range p.Policy.Points {
				if !speaksServerless(pt) {
					continue
				}
				if len(pt.Addresses) == 0 {
					return // this one may be on any link
				}
				hosts = append(hosts, pt)
			}
			if len(hosts) == 0 {
				return
			}
			for _, d := range p.serverless() {
				for _, i := range d.Body.Items {
					for _, w := range i.On {
						set := p.addresses(w)
						if set == nil || slices.ContainsFunc(hosts, func(pt *ir.Point) bool { return overlaps(set, pt.Set) || !sameFamily(set, pt.Set) }) {
							continue
						}
						var labels []diag.Label
						for _, pt := range hosts {
							labels = append(labels, label(pt.Origin.Span, "the address of %s is in another network", pt.Name))
						}
						p.Report(w.Span(), fmt.Sprintf("no host that speaks serverless has an address in %s", w.Text), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "sl-port-5298-only",
		Severity:  diag.Warning,
		Title:     "serverless messaging is bound to port 5298",
		Why:       "The port of a stream is dynamic: a client takes a free one and announces it in its SRV record. 5298 is a registered name and a habit of old clients, and other clients are cut off by such a rule.",
		Reference: "XEP-0174 §11.3",
		Remedy:    "Leave out `ports`: the packet filter bounds who may connect, not on which port.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
  ports 5298
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
}
`,
		Run: func(p *Pass) {
			for _, d := range p.serverless() {
				for _, i := range d.Body.Items {
					if i.Ports == nil {
						continue
					}
					for _, f := range p.flows(d) {
						if !f.Multicast && len(f.Ports) == 1 && f.Ports[0] == (ir.PortSpan{Proto: ir.TCP, From: 5298, To: 5298}) {
							p.Report(i.Span(), "streams are admitted on port 5298 only, and clients choose their ports")
						}
					}
				}
			}
		},
	},
	{
		Code:      "sl-mdns-open-wan",
		Severity:  diag.Error,
		Title:     "serverless messaging is allowed where only the internet is",
		Why:       "Port 5353 and the streams would be open to whoever the provider puts on that link. Answers to multicast DNS from there rename the neighbours at will.",
		Reference: "RFC 6762 §11, XEP-0174 §13.3",
		Remedy:    "State in `on` a network that an interface faces, and say so with `interface … faces`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces internet  nftables }
serverless {
  on    lan
  scope link
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
}
`,
		Run: func(p *Pass) {
			for _, d := range p.serverless() {
				var links []*ir.AddrSet
				for _, i := range d.Body.Items {
					for _, w := range i.On {
						links = append(links, p.addresses(w))
					}
				}
				for _, i := range d.Body.Items {
					for _, w := range i.On {
						set := p.addresses(w)
						if set == nil {
							continue
						}
						if pfx, wide := widePrefix(set); wide {
							p.Report(w.Span(), fmt.Sprintf("%s holds %s, which is no link", w.Text, pfx), label(set.Origin.Span, "stated here"))
							continue
						}
						for _, pt := range p.Policy.Points {
							if !speaksServerless(pt) || len(pt.Interfaces) == 0 || slices.ContainsFunc(links, func(l *ir.AddrSet) bool { return faces(pt, l) }) {
								continue
							}
							if at := slices.IndexFunc(pt.Interfaces, func(i ir.Interface) bool { return i.Internet }); at >= 0 {
								p.Report(w.Span(), fmt.Sprintf("no interface of %s faces %s, and %s faces the internet", pt.Name, w.Text, pt.Interfaces[at].Name),
									label(pt.Interfaces[at].Origin.Span, "this interface"))
							}
						}
					}
				}
			}
			for _, o := range p.openings(ir.Access) {
				if worldwide(o.flow.From) && opensMDNS(o.flow) {
					p.Report(o.at, fmt.Sprintf("%s, which is everybody, reaches multicast DNS of %s", o.flow.From.Label, o.flow.To.Label))
				}
			}
		},
	},
	{
		Code:      "sl-mdns-routed",
		Severity:  diag.Error,
		Title:     "multicast DNS is let through from another link",
		Why:       "Answers are believed because only neighbours can send them. What a router or a reflector passes on renames hosts, and tells one network who is on the other.",
		Reference: "RFC 6762 §11",
		Remedy:    "Remove the statement: `serverless` opens multicast DNS on the link itself, and people on other links belong on an XMPP server.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan    = 192.168.10.0/24, 2001:db8:10::/64
network branch = 192.168.20.0/24, 2001:db8:20::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, branch, internet  nftables }
allow network branch to udp/5353 of laptop
`,
		Good: `policy "p" { profile baseline }
network lan    = 192.168.10.0/24, 2001:db8:10::/64
network branch = 192.168.20.0/24, 2001:db8:20::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, branch, internet  nftables }
allow network lan to udp/5353 of laptop
`,
		Run: func(p *Pass) {
			for _, o := range p.openings(ir.Access) {
				if worldwide(o.flow.From) || !opensMDNS(o.flow) {
					continue
				}
				for _, pt := range p.Policy.Points {
					if !overlaps(o.flow.To.Set, pt.Set) {
						continue
					}
					if pfx, ok := p.offLink(o.flow.From.Set, pt); ok {
						p.Report(o.at, fmt.Sprintf("%s reaches multicast DNS of %s from %s, which is another link", o.flow.From.Label, pt.Name, spell(pfx)),
							label(pt.Origin.Span, "point %s", pt.Name), source(o.flow.From))
					}
				}
			}
		},
	},
	{
		Code:      "sl-no-ipv6",
		Severity:  diag.Warning,
		Title:     "serverless messaging is allowed over IPv4 only",
		Why:       "Clients announce themselves on both multicast groups, and connect to whichever address they hear first. A network without its IPv6 prefix loses those neighbours now and then, which is hard to find.",
		Reference: "XEP-0174 §1.2, RFC 6762 §3",
		Remedy:    "Add the IPv6 prefix of the link to the network.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.168.10.0/24
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
}
`,
		Run: func(p *Pass) {
			for _, d := range p.serverless() {
				for _, i := range d.Body.Items {
					if len(i.On) == 0 {
						continue
					}
					for _, f := range p.flows(d) {
						if v4, v6 := families(f.From.Set); v4 && !v6 {
							p.Report(i.Span(), fmt.Sprintf("%s has no IPv6 prefix", f.From.Label), source(f.From))
						}
					}
				}
			}
		},
	},
	{
		Code:      "sl-cleartext",
		Severity:  diag.Warning,
		Title:     "serverless messages are clear text, and nothing watches them",
		Why:       "Streams between neighbours are rarely encrypted and never authenticated. What no client can be made to protect, an intrusion detection system on the link can at least see. Where the policy says nothing of TLS, the strict profile alone asks for that.",
		Reference: "XEP-0174 §13.1",
		Remedy:    "State `tls required` where the clients can be told to demand it; otherwise add a content rule with `on serverless` and a point with suricata.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless {
  on    lan
  scope link
  tls   none
}
`,
		Good: `policy "p" { profile strict }
network lan = 192.168.10.0/24, 2001:db8:10::/64
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables  suricata passive wlan0 }
serverless {
  on    lan
  scope link
}
content wire-fraud {
  match text "wire transfer"
  on    serverless
  then  alert
}
`,
		Run: func(p *Pass) {
			watched := false
			for _, c := range p.Policy.Content {
				watched = watched || slices.ContainsFunc(c.On, func(f *ir.Flow) bool { return f.Kind == ir.Serverless })
			}
			for _, d := range p.serverless() {
				protected := slices.ContainsFunc(d.Body.Items, func(i *lang.ServerlessItem) bool { return i.TLS != nil && i.TLS.Text == "required" })
				if watched || protected {
					continue
				}
				at := slices.IndexFunc(d.Body.Items, func(i *lang.ServerlessItem) bool { return i.TLS != nil && i.TLS.Text == "none" })
				switch {
				case at >= 0:
					p.Report(d.Body.Items[at].Span(), "serverless messages are to be clear text, and no content rule watches them")
				case p.Policy.Profile == "strict":
					p.Report(keyword(d, d.Keyword), "serverless messages are clear text, and no content rule watches them")
				}
			}
		},
	},
	{
		Code:      "sl-bridge",
		Severity:  diag.Error,
		Title:     "a machine that speaks serverless is a component of a server",
		Why:       "Serverless stanzas name senders that nobody has authenticated, and must not be passed on into an XMPP network. A component may send as any user of its domain, so this machine could do just that.",
		Reference: "XEP-0174 §13.2",
		Remedy:    "Run the component on another machine, or take this one out of the serverless network.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
server chat { software prosody 0.12  domain example.org  address 192.168.20.10 }
point box    { role host of chat  interface eth0 faces internet  nftables }
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless { on lan  scope link }
component bridge of chat {
  port   5347
  from   192.168.10.77
  tunnel "WireGuard"
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.168.10.0/24, 2001:db8:10::/64
server chat { software prosody 0.12  domain example.org  address 192.168.20.10 }
point box    { role host of chat  interface eth0 faces internet  nftables }
point laptop { role host  address 192.168.10.77  interface wlan0 faces lan, internet  nftables }
serverless { on lan  scope link }
component bridge of chat {
  port 5347
  from 127.0.0.1
}
`,
		Run: func(p *Pass) {
			if len(p.serverless()) == 0 {
				return
			}
			for _, d := range p.components() {
				for _, f := range p.flows(d) {
					for _, pt := range p.Policy.Points {
						if !speaksServerless(pt) || !overlaps(remote(f).Set, pt.Set) || !p.onServerless(pt) {
							continue
						}
						labels := []diag.Label{label(pt.Origin.Span, "point %s", pt.Name)}
						for _, s := range p.serverless() {
							labels = append(labels, label(keyword(s, s.Keyword), "serverless is allowed here"))
						}
						p.Report(componentPlace(d), fmt.Sprintf("component %s of %s runs on %s, which speaks serverless", d.Name.Text, d.Server.Text, pt.Name), labels...)
					}
				}
			}
		},
	},
}

// speaksServerless reports whether a serverless statement holds for the point:
// it does for plain hosts, never for a gateway or the host of a server.
func speaksServerless(pt *ir.Point) bool { return pt.Role == ir.Host && pt.Server == nil }

// onServerless reports whether the point has an address in a network on which
// serverless is allowed.
func (p *Pass) onServerless(pt *ir.Point) bool {
	for _, f := range p.Policy.Flows {
		if f.Kind == ir.Serverless && overlaps(f.From.Set, pt.Set) {
			return true
		}
	}
	return false
}

// opensMDNS reports whether a flow names the port of multicast DNS. A wide range
// that happens to hold it is meant for something else.
func opensMDNS(f *ir.Flow) bool {
	const narrow = 100
	return slices.ContainsFunc(f.Ports, func(s ir.PortSpan) bool {
		return s.Proto == ir.UDP && s.From <= 5353 && 5353 <= s.To && s.To-s.From < narrow
	})
}

// offLink finds a part of the set that is certainly not on a link of the point:
// no network of the policy holds both, and it is a network without an address
// of the point, or in one.
func (p *Pass) offLink(set *ir.AddrSet, pt *ir.Point) (netip.Prefix, bool) {
	if set == nil || len(pt.Set.Prefixes) == 0 {
		return netip.Prefix{}, false
	}
	for _, pfx := range set.Prefixes {
		if pfx.Addr().IsLinkLocalUnicast() || loopback(pfx) || !sameFamily(&ir.AddrSet{Prefixes: []netip.Prefix{pfx}}, pt.Set) {
			continue
		}
		known, onLink := !pfx.IsSingleIP(), false
		for _, own := range pt.Set.Prefixes {
			onLink = onLink || pfx.Overlaps(own)
		}
		for _, n := range p.Policy.Networks {
			for _, link := range n.Set.Prefixes {
				if link.Bits() > pfx.Bits() || !link.Contains(pfx.Addr()) {
					continue
				}
				known = true
				for _, own := range pt.Set.Prefixes {
					onLink = onLink || link.Overlaps(own)
				}
			}
		}
		if known && !onLink {
			return pfx, true
		}
	}
	return netip.Prefix{}, false
}

// sameFamily reports whether the sets have an address family in common.
func sameFamily(a, b *ir.AddrSet) bool {
	a4, a6 := families(a)
	b4, b6 := families(b)
	return a4 && b4 || a6 && b6
}

// faces reports whether an interface of the point faces a network that shares
// addresses with the set.
func faces(pt *ir.Point, set *ir.AddrSet) bool {
	for _, i := range pt.Interfaces {
		for _, n := range i.Networks {
			if overlaps(n.Set, set) {
				return true
			}
		}
	}
	return false
}

// addresses are what a word of an address list stands for: a network, server or
// point, or the address or prefix itself. nil is a word that stands for none.
func (p *Pass) addresses(w *lang.Word) *ir.AddrSet {
	for _, n := range p.Policy.Networks {
		if n.Name == w.Text {
			return n.Set
		}
	}
	if s := p.server(w); s != nil {
		return s.Set
	}
	if pt := p.point(w.Text); pt != nil {
		return pt.Set
	}
	if pfx, wrong := parsePrefix(w.Text); wrong == "" {
		return &ir.AddrSet{Prefixes: []netip.Prefix{pfx}, Origin: ir.Origin{Span: w.Span()}}
	}
	return nil
}

// keyword is the place of the first word of a statement.
func keyword(n lang.Node, word string) diag.Span {
	span := n.Span()
	span.End = span.Start
	span.End.Column += len(word)
	span.End.Offset += len(word)
	return span
}
