package compiler

import (
	"fmt"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Behind one address there may be a household, an office or a carrier's NAT:
// fewer sessions than this from one source turn away people who did nothing.
const fewSessions = 10

// A client that uses BOSH holds one request open and sends on a second one
// (XEP-0124 section 4).
const boshConnections = 2

// After a restart clients come back within a minute (RFC 6120 section 3.3).
const reconnectWindow = 60 // seconds

// smallestStanza is the smallest maximum that a server may have, in bytes
// (RFC 6120 section 13.12).
const smallestStanza = 10000

// xmppServices are the services that have a statement with limits of their own.
var xmppServices = []string{"clients", "clients-tls", "federation", "federation-tls", "http", "https"}

var dosChecks = []Check{
	{
		Code:      "dos-no-conn-cap",
		Severity:  diag.Warning,
		Title:     "a public service has no limit on connections of one source",
		Why:       "One machine can hold all the connections that the server can bear. No layer above the packet filter can refuse a connection before it costs something.",
		Reference: "XEP-0205 §4.1, RFC 6120 §13.12",
		Remedy:    "Add `limit connections N per source`, with room for people behind one NAT.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
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
			for _, st := range p.opened() {
				for _, f := range public(st.flows) {
					if limitOf(f, ir.Connections, ir.PerSource, ir.PerPrefix) == nil {
						p.Report(st.header, fmt.Sprintf("%s has no limit on connections per source", st.name))
						break // the parts of a statement share its limits
					}
				}
			}
		},
	},
	{
		Code:      "dos-no-attempt-cap",
		Severity:  diag.Warning,
		Title:     "a public service has no limit on connection attempts of one source",
		Why:       "Opening and closing connections costs the server a TLS handshake each time and stays below any limit on connections. It is also how passwords are guessed.",
		Reference: "XEP-0205 §4.2, RFC 6120 §13.12",
		Remedy:    "Add `limit attempts N/minute burst M per source`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
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
			for _, st := range p.opened() {
				for _, f := range public(st.flows) {
					if limitOf(f, ir.Attempts, ir.PerSource, ir.PerPrefix) == nil {
						p.Report(st.header, fmt.Sprintf("%s has no limit on connection attempts per source", st.name))
						break // the parts of a statement share its limits
					}
				}
			}
		},
	},
	{
		Code:      "dos-cgnat-tight",
		Severity:  diag.Warning,
		Title:     "the limit of one source is too tight for people behind one NAT",
		Why:       "Mobile carriers and offices put many people behind one IPv4 address. A very low limit turns away those who come last and does little against an attacker, who has many addresses.",
		Reference: "XEP-0205 §4.1",
		Remedy:    "Allow at least 10 sessions per source (20 connections with BOSH), or admit only networks that you know.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 3 per source
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
			for _, st := range p.statements() {
				each := uint32(1)
				if st.web != nil && len(boshRoutes(st.web)) > 0 {
					each = boshConnections
				}
				for _, f := range public(st.flows) {
					for _, l := range f.Limits {
						if l.Kind == ir.Connections && perAddress(l) && l.Count/each < fewSessions {
							p.Report(l.Origin.Span, fmt.Sprintf("%s admits %s %s, of all the people behind one NAT", st.name, plural(int(l.Count/each), "session"), l.KeyWords()))
						}
					}
				}
			}
		},
	},
	{
		Code:      "dos-bosh-cap",
		Severity:  diag.Error,
		Title:     "the connection limit does not leave two connections for each BOSH session",
		Why:       "A BOSH session normally keeps two connections. A limit that was reckoned in sessions cuts the second one and makes clients hang.",
		Reference: "XEP-0124 §7.2",
		Remedy:    "Set the connection limit of the web statement to at least twice the sessions that one source may have.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, d := range p.webs() {
				routes := boshRoutes(d)
				if len(routes) == 0 {
					continue
				}
				// How many sessions one source may have is stated for clients; where
				// it is not, there is at least the one session.
				sessions := uint32(1)
				var from diag.Label
				for _, c := range p.clients() {
					if c.Server.Text != d.Server.Text {
						continue
					}
					for _, f := range p.flows(c) {
						if l := limitOf(f, ir.Connections, ir.PerSource); l != nil {
							sessions = l.Count
							from = label(l.Origin.Span, "%s per source are admitted here", plural(int(l.Count), "session"))
						}
					}
				}
				for _, f := range p.flows(d) {
					l := limitOf(f, ir.Connections, ir.PerSource)
					if l == nil || uint64(l.Count) >= uint64(sessions)*boshConnections {
						continue
					}
					p.Report(l.Origin.Span, fmt.Sprintf("%s per source make %s of BOSH, where %d should fit", plural(int(l.Count), "connection"), plural(int(l.Count/boshConnections), "session"), sessions),
						from, label(routes[0].Span(), "the BOSH path"))
				}
			}
		},
	},
	{
		Code:      "dos-access-unlimited",
		Severity:  diag.Warning,
		Title:     "an allow statement opens an XMPP service to everybody, without limits",
		Why:       "An allow statement has no limits. Beside a clients, federation or web statement it lets everybody past the limits that are stated there, or has no effect, depending on which comes first.",
		Reference: "XEP-0205 §4.1, §4.2, §5",
		Remedy:    "Use a clients, federation or web statement with limits; keep allow for the networks that you exempt from them.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow any to clients of chat
`,
		Good: `policy "p" { profile baseline }
network office = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network office to clients of chat  # exempt from the limits
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
			for _, d := range p.accesses("allow") {
				for _, f := range public(p.flows(d)) {
					past := slices.IndexFunc(p.Policy.Flows, func(o *ir.Flow) bool {
						return o.Kind != ir.Access && o.Verdict == ir.Allow && !o.Outbound && len(o.Limits) > 0 &&
							intersects(o.Ports, f.Ports) && overlaps(o.To.Set, f.To.Set)
					})
					if past >= 0 {
						o := p.Policy.Flows[past].Origin
						p.Report(d.Span(), fmt.Sprintf("%s: everybody may pass by the limits of %s", f.Origin.Label, o.Label), label(o.Span, "the limits are stated here"))
						continue
					}
					for _, s := range p.machines(f) {
						for _, l := range s.Listeners {
							if slices.Contains(xmppServices, l.Service) && intersects(f.Ports, []ir.PortSpan{l.Port}) && overlaps(f.To.Set, s.Set) {
								p.Report(d.Span(), fmt.Sprintf("everybody may use port %d (%s) of %s without limits", l.Port.From, l.Service, s.Name))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "dos-reconnect-storm",
		Severity:  diag.Warning,
		Title:     "the global limit on attempts does not let everybody come back after a restart",
		Why:       "When the server restarts, all its clients connect again within a minute. A lower global rate keeps them out for longer, and they try again.",
		Reference: "RFC 6120 §3.3",
		Remedy:    "Set the global limit on attempts to at least a sixtieth of the global limit on connections, each second.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 6000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 20/second burst 50 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 6000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, st := range p.statements() {
				for _, f := range st.flows {
					rate := limitOf(f, ir.Attempts, ir.Global)
					back, at := comingBack(f, st)
					if rate == nil || back == 0 {
						continue
					}
					// What may come at once counts as well, where the policy says it.
					within := uint64(rate.Count)*reconnectWindow/seconds(rate.Unit) + uint64(rate.Burst)
					if within >= back {
						continue
					}
					p.Report(rate.Origin.Span, fmt.Sprintf("%s: %s need longer than a minute to come back at %d/%s", st.name, plural(int(back), at.noun), rate.Count, rate.Unit),
						label(at.span, "so many may be connected"))
				}
			}
		},
	},
	{
		Code:      "dos-no-global-cap",
		Severity:  diag.Warning,
		Title:     "a limit per source has no global limit beside it",
		Why:       "Sources are counted in a set of bounded size. When an attacker with many addresses has filled it, further sources are not counted at all, and the limit lets them pass.",
		Reference: "nft(8) SETS, Linux net/netfilter/nft_dynset.c",
		Remedy:    "Add the same limit with `global`: what the whole service can bear.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit attempts 30/minute burst 10 per source
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
			for _, f := range public(p.Policy.Flows) {
				for _, l := range f.Limits {
					if perAddress(l) && (l.Kind == ir.Connections || l.Kind == ir.Attempts) && limitOf(f, l.Kind, ir.Global) == nil {
						p.Report(l.Origin.Span, fmt.Sprintf("%s %s are limited, but not of all sources together", l.Kind, l.KeyWords()))
					}
				}
			}
		},
	},
	{
		Code:      "dos-source-above-global",
		Severity:  diag.Warning,
		Title:     "one source may take all that everybody together may have",
		Why:       "The limit per source is not below the global one, so the first attacker uses up what is there for all and everybody else is refused.",
		Reference: "XEP-0205 §4.1, §4.2",
		Remedy:    "Lower the limit per source, or raise the global one.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 200 per source
  limit connections 200 global
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
  limit connections 200 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, f := range public(p.Policy.Flows) {
				for _, l := range f.Limits {
					if !perAddress(l) || l.Kind != ir.Connections && l.Kind != ir.Attempts {
						continue
					}
					g := limitOf(f, l.Kind, ir.Global)
					if g == nil || l.Kind == ir.Connections && l.Count < g.Count || l.Kind == ir.Attempts && slower(l, g) {
						continue
					}
					p.Report(l.Origin.Span, fmt.Sprintf("one source may use up all %s of the global limit", l.Kind), label(g.Origin.Span, "the global limit"))
				}
			}
		},
	},
	{
		Code:      "dos-stanza-below-10000",
		Severity:  diag.Error,
		Title:     "the size limit is smaller than a stanza may be",
		Why:       "A deployment must accept stanzas of at least 10000 bytes, and in BOSH the stanza comes wrapped. Smaller limits break rosters, avatars and group chats.",
		Reference: "RFC 6120 §13.12, XEP-0205 §4.5",
		Remedy:    "State at least 10000 bytes; 64KiB to 256KiB is usual. Before authentication less may do.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 8KiB }
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh", "websocket") {
				if r.BodyMax > 0 && r.BodyMax < smallestStanza {
					p.Report(p.bodySpan(r), fmt.Sprintf("%s admits bodies of %d bytes, and stanzas may have %d", r.Path, r.BodyMax, smallestStanza))
				}
				if r.Frame > 0 && r.Frame < smallestStanza {
					p.Report(p.setting(r, "frame"), fmt.Sprintf("%s admits messages of %d bytes, and stanzas may have %d", r.Path, r.Frame, smallestStanza))
				}
			}
			for _, b := range p.bounds() {
				for _, l := range b.limits {
					if l.Kind == ir.StanzaSize && !l.Before && l.Bytes < smallestStanza {
						p.Report(p.amount(l), fmt.Sprintf("%s: stanzas of %d bytes are admitted, and they may have %d", b.name, l.Bytes, smallestStanza))
					}
				}
			}
		},
	},
	{
		Code:      "dos-stanza-unlimited",
		Severity:  diag.Warning,
		Title:     "a BOSH path has no limit on the size of a request",
		Why:       "Requests come before anybody has logged in. Without a limit the proxy passes on whatever a stranger sends, as long as he likes.",
		Reference: "XEP-0205 §4.5, RFC 6120 §13.12",
		Remedy:    "Add `{ body 64KiB }` to the path, or more where clients send more.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, r := range p.Policy.Routes {
				if r.Kind == "bosh" && r.Point != nil && r.BodyMax == 0 {
					p.Report(p.bodySpan(r), fmt.Sprintf("requests to %s may have any size", r.Path))
				}
			}
		},
	},
}

// crowd is what comes back after a restart, and where that is stated.
type crowd struct {
	noun string
	span diag.Span
}

// comingBack is how many connections a flow has to take after a restart: as many
// as it may have, or as the server has sessions if those are fewer. The sessions
// of a server need not all come by the web.
func comingBack(f *ir.Flow, st statement) (uint64, crowd) {
	n, at := uint64(0), crowd{}
	if all := limitOf(f, ir.Connections, ir.Global); all != nil {
		n, at = uint64(all.Count), crowd{"connection", all.Origin.Span}
	}
	if f.Server == nil || f.Server.Sessions == 0 || st.web != nil && n == 0 {
		return n, at
	}
	most := uint64(f.Server.Sessions)
	if st.web != nil && len(boshRoutes(st.web)) > 0 {
		most *= boshConnections
	}
	if n == 0 || most < n {
		n, at = most, crowd{"session", f.Server.At["sessions"]}
	}
	return n, at
}

// statement is a clients or a web statement with its flows: what people use.
type statement struct {
	name   string
	header diag.Span
	flows  []*ir.Flow
	web    *lang.WebDecl // nil for clients
}

func (p *Pass) statements() []statement {
	var out []statement
	for _, d := range p.clients() {
		out = append(out, statement{"clients of " + d.Server.Text, header(d, d.Server), p.flows(d), nil})
	}
	for _, d := range p.webs() {
		out = append(out, statement{"web of " + d.Server.Text, header(d, d.Server), p.flows(d), d})
	}
	return out
}

// opened are the statements that open services to users: those of people, and
// those of their files and calls.
func (p *Pass) opened() []statement {
	out := p.statements()
	for _, t := range p.Policy.Media {
		out = append(out, statement{t.Origin.Label, t.Origin.Span, t.Flows, nil})
	}
	return out
}

// boshRoutes lists the BOSH paths of a web statement.
func boshRoutes(d *lang.WebDecl) []*lang.WebRoute { return routes(d, "bosh") }

func routes(d *lang.WebDecl, kind string) []*lang.WebRoute {
	var out []*lang.WebRoute
	for _, i := range d.Body.Items {
		if i.Route != nil && i.Route.Kind == kind {
			out = append(out, i.Route)
		}
	}
	return out
}

// bodySpan is where the size limit of a path is stated or, where it is not, the
// path.
func (p *Pass) bodySpan(r *ir.HTTPRoute) diag.Span {
	for _, d := range p.webs() {
		for _, i := range d.Body.Items {
			if i.Route == nil || i.Route.Kind != r.Kind || !inside(i.Route.Span(), r.Origin.Span) {
				continue
			}
			if i.Route.Body != nil {
				for _, l := range i.Route.Body.Items {
					if l.Setting != nil && l.Setting.Name == "body" {
						return l.Span()
					}
				}
			}
			return i.Route.Span()
		}
	}
	return r.Origin.Span
}

// slower reports whether the rate of a is below that of b, whatever their units.
func slower(a, b *ir.Limit) bool {
	return uint64(a.Count)*seconds(b.Unit) < uint64(b.Count)*seconds(a.Unit)
}

func seconds(unit string) uint64 {
	switch unit {
	case "second":
		return 1
	case "hour":
		return 60 * 60
	case "day":
		return 24 * 60 * 60
	}
	return 60
}
