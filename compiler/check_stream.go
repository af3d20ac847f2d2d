package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Denial of service from inside streams: how long they may stay without a login,
// how large stanzas may be, and what only a server can count.

const (
	// A stream that is not authenticated by then never will be; the longest
	// default of the servers is as long (XEP-0205 section 4.3).
	longestNegotiation = 300 // seconds
	// Liveness is not checked more often than this (RFC 6120 section 4.6.4), so
	// whoever forgets a silent stream earlier cuts people off.
	shortestIdle = 300 // seconds
	// XEP-0205 section 4.7 calls 1 to 2 kB/s low.
	slowestClient = 1000 // bytes a second
	// A subscriber has a /64 at least (RFC 6177), so longer prefixes can be
	// changed at will.
	longestIPv6 = 64
	// Prefixes as wide as these are more than one organisation.
	widestExemptIPv4 = 16
	widestExemptIPv6 = 32
)

// The beginnings and ends that the examples below share.
const (
	onHost = `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
`
	onHostStrict = `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
`
	atEdge = `policy "p" { profile baseline }
network dmz = 198.51.100.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
`
	clientCaps = `  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
`
	webCaps = `  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
`
)

var streamChecks = []Check{
	{
		Code:      "dos-no-preauth-timeout",
		Severity:  diag.Warning,
		Title:     "a stream may stay without a login for longer than five minutes",
		Why:       "Whoever opens streams and never logs in keeps each of them for that long, with a socket and a TLS session of the server. People who log in need seconds.",
		Reference: "XEP-0205 §4.3, RFC 6120 §13.12",
		Remedy:    "State `limit negotiation 60s`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit negotiation 10m
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit negotiation 60s
}
`,
		Run: func(p *Pass) {
			for _, b := range p.bounds() {
				stated := false
				for _, l := range b.limits {
					if l.Kind != ir.Negotiation {
						continue
					}
					stated = true
					if l.Seconds > longestNegotiation {
						p.Report(p.amount(l), fmt.Sprintf("%s: a stream may stay without a login for %s", b.name, ir.DurationWords(l.Seconds)))
					}
				}
				if stated || b.kind != ir.Clients || len(public(b.flows)) == 0 {
					continue
				}
				if d, ever := absent(b.server, "negotiation"); ever {
					p.Report(b.at, fmt.Sprintf("%s: a stream may stay without a login for ever", b.name), byDefault(b.server, d))
				}
			}
		},
	},
	{
		Code:      "dos-no-preauth-size",
		Severity:  diag.Warning,
		Title:     "the size of stanzas is limited after authentication only",
		Why:       "Before authentication only the small elements of STARTTLS and SASL are sent. Without a limit of its own for that time a stranger makes the server buffer what he likes.",
		Reference: "RFC 6120 §13.12, ejabberd documentation: Listen Options, pre_auth_max_stanza_size",
		Remedy:    "Add `limit stanza 16KiB before auth`; Kerberos tickets of SASL GSSAPI may need 64KiB.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 256KiB after auth
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
}
`,
		Run: func(p *Pass) {
			for _, b := range p.bounds() {
				after := stanzaSize(b.limits, true)
				if after == nil || stanzaSize(b.limits, false) != nil || len(public(b.flows)) == 0 {
					continue
				}
				if n, _, known := usually(b.server, "preauth-size"); known && n < after.Bytes {
					continue // the server has one of its own
				}
				p.Report(p.amount(after), fmt.Sprintf("%s: stanzas have no size limit before authentication", b.name))
			}
		},
	},
	{
		Code:      "dos-stanza-exactly-10000",
		Severity:  diag.Info,
		Title:     "the size limit is the smallest that a server may have",
		Why:       "10000 bytes is what every deployment must accept, not what is enough: avatars, large rosters and results of queries are often larger, and a server may end the stream over one that is.",
		Reference: "RFC 6120 §13.12, XEP-0205 §4.5",
		Remedy:    "State what the site needs; 256KiB is usual for clients and 512KiB for servers.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 10kB before auth
  limit stanza 10kB after auth
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 10kB before auth
  limit stanza 256KiB after auth
}
`,
		Run: func(p *Pass) {
			for _, b := range p.bounds() {
				for _, l := range b.limits {
					if l.Kind == ir.StanzaSize && !l.Before && l.Bytes == smallestStanza {
						p.Report(p.amount(l), fmt.Sprintf("%s: stanzas may have exactly %d bytes, the least that is allowed", b.name, smallestStanza))
					}
				}
			}
			for _, r := range p.routesOf("websocket") {
				if r.Frame == smallestStanza {
					p.Report(p.setting(r, "frame"), fmt.Sprintf("%s: messages may have exactly %d bytes, the least that is allowed", r.Path, smallestStanza))
				}
			}
		},
	},
	{
		Code:      "dos-s2s-stanza-lt-c2s",
		Severity:  diag.Warning,
		Title:     "other servers may send smaller stanzas than the own clients",
		Why:       "On its way between servers a stanza grows: it gets addresses, delays and ids, and archives and group chats send many in one. What a client may send has to fit, or it may end the stream that all users of the two servers share.",
		Reference: "RFC 6120 §13.12, ejabberd documentation: Listen Options, max_stanza_size",
		Remedy:    "Raise the limit of the federation well above that of clients; twice as much is usual.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
}
federation of chat {
  default deny
  tls     required
  auth    external
  limit stanza 128KiB after auth
  peer partner.example { address 203.0.113.20 }
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
}
federation of chat {
  default deny
  tls     required
  auth    external
  limit stanza 512KiB after auth
  peer partner.example { address 203.0.113.20 }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.Policy.Federations {
				for _, c := range p.Policy.Clients {
					if c.Server == fed.Server {
						p.smallerBetweenServers(fed, c)
					}
				}
			}
		},
	},
	{
		Code:      "dos-stanza-limit-at-pf",
		Severity:  diag.Error,
		Title:     "the size of stanzas is limited where no engine can see a stanza",
		Why:       "TLS hides stanzas from packet filters and intrusion detection, and a TCP segment is no stanza. The limit would look configured and hold nothing.",
		Reference: "RFC 6120 §13.12, RFC 7590 §3.1",
		Remedy:    "Name the server's own engine at the point it runs on, such as `prosody` in a point with `role host of`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
}
`,
		Run: func(p *Pass) {
			for _, b := range p.bounds() {
				p.unseen(b, ir.StanzaSize, p.hidden(b.flows), "the size of stanzas")
			}
		},
	},
	{
		Code:      "dos-distinct-recipients-layer",
		Severity:  diag.Error,
		Title:     "recipients are limited where no engine can count them",
		Why:       "To how many different people an account writes is known to the server alone, even where a proxy reads the stanzas: only the server knows whose stream it is and where they go.",
		Reference: "XEP-0205 §4.6, RFC 6120 §13.12",
		Remedy:    "Name the server's own engine at the point it runs on, such as `prosody` in a point with `role host of`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit recipients 30/minute per account
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit recipients 30/minute per account
}
`,
		Run: func(p *Pass) {
			for _, b := range p.bounds() {
				p.unseen(b, ir.Recipients, true, "recipients")
			}
		},
	},
	{
		Code:      "dos-limit-not-advertised",
		Severity:  diag.Info,
		Title:     "clients are not told how large a stanza may be",
		Why:       "A client that does not know the limit runs into it: its stream ends, it connects again and sends the same stanza again. This version of the server has no way to tell it.",
		Reference: "XEP-0478 §3",
		Remedy:    "Keep the limit generous, and plan for a version that advertises limits: Prosody from 13.0, Openfire from 4.8.",
		Since:     "0.2",
		Profile:   "strict",
		Bad: onHostStrict + `clients of chat {
  from       any
  starttls   required
  direct-tls port 5223
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
  limit bandwidth 10kB/second burst 100kB per stream
}
`,
		Good: `policy "p" { profile strict }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables  openfire }
clients of im {
  from     any
  starttls required
  direct-tls
  registration closed
  compression  off
` + clientCaps + `  limit stanza 16KiB before auth
  limit stanza 256KiB after auth
  limit bandwidth 10kB/second burst 100kB per stream
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Clients {
				l := stanzaSize(c.Limits, true)
				if l == nil || !silentOnLimits(c.Server) {
					continue
				}
				p.Report(p.amount(l), fmt.Sprintf("%s %s does not tell clients of this limit", c.Server.Software, c.Server.Version),
					label(c.Server.Origin.Span, "the server"))
			}
		},
	},
	{
		Code:      "dos-bandwidth-too-low",
		Severity:  diag.Warning,
		Title:     "clients have less than one kilobyte a second",
		Why:       "Logging in, the roster and the presence of contacts are tens of kilobytes. So slow a stream takes minutes for them, clients give up and begin anew, and the load rises instead of falling.",
		Reference: "XEP-0205 §4.7",
		Remedy:    "Allow at least 1kB/second; 10kB/second is usual.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit bandwidth 500B/second per stream
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit bandwidth 10kB/second burst 100kB per stream
}
`,
		Run: func(p *Pass) {
			for _, b := range p.bounds() {
				if b.kind != ir.Clients && b.kind != ir.Web && b.kind != anonymousKind {
					continue
				}
				for _, l := range b.limits {
					// Before authentication little has to be sent.
					if l.Kind == ir.Bandwidth && !l.Before && l.Bytes < slowestClient*seconds(l.Unit) {
						p.Report(p.amount(l), fmt.Sprintf("%s: %s a %s is too little to log in with", b.name, ir.SizeWords(l.Bytes), l.Unit))
					}
				}
			}
		},
	},
	{
		Code:      "dos-no-bandwidth",
		Severity:  diag.Warning,
		Title:     "nothing bounds the bandwidth of one client",
		Why:       "One client that sends as fast as its line allows keeps the server busy parsing, storing and passing on, for everybody it writes to. This server slows nobody down unless it is told to.",
		Reference: "XEP-0205 §4.7, RFC 6120 §13.12",
		Remedy:    "State `limit bandwidth 10kB/second burst 100kB per stream`, or less.",
		Since:     "0.2",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables  openfire }
clients of im {
  from     any
  starttls required
  direct-tls
  registration closed
  compression  off
` + clientCaps + `}
`,
		Good: `policy "p" { profile strict }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables  openfire }
clients of im {
  from     any
  starttls required
  direct-tls
  registration closed
  compression  off
` + clientCaps + `  limit bandwidth 10kB/second burst 100kB per stream
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Clients {
				d, none := absent(c.Server, "shaper-c2s")
				// One count for everybody slows down everybody.
				bound := slices.ContainsFunc(c.Limits, func(l *ir.Limit) bool { return l.Kind == ir.Bandwidth && l.Key != ir.Global && !l.Before })
				if none && !bound && len(public(c.Flows)) > 0 {
					p.Report(c.Origin.Span, fmt.Sprintf("one client of %s may use all the bandwidth that there is", c.Server.Name), byDefault(c.Server, d))
				}
			}
		},
	},
	{
		Code:      "dos-no-resource-cap",
		Severity:  diag.Info,
		Title:     "an account may have any number of sessions",
		Why:       "Every message and every presence goes to each session of an account, so an account that opens hundreds of them makes others do the work. People have a handful of devices.",
		Reference: "XEP-0205 §4.4, RFC 6120 §13.12",
		Remedy:    "State `limit resources 10 per account`.",
		Since:     "0.2",
		Profile:   "strict",
		Bad: onHostStrict + `clients of chat {
  from       any
  starttls   required
  direct-tls port 5223
` + clientCaps + `}
`,
		Good: onHostStrict + `clients of chat {
  from       any
  starttls   required
  direct-tls port 5223
` + clientCaps + `  limit resources 10 per account
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Clients {
				d, none := absent(c.Server, "resources")
				if none && !slices.ContainsFunc(c.Limits, func(l *ir.Limit) bool { return l.Kind == ir.Resources }) {
					p.Report(c.Origin.Span, fmt.Sprintf("an account of %s may have any number of sessions", c.Server.Name), byDefault(c.Server, d))
				}
			}
		},
	},
	{
		Code:      "dos-global-meter-per-ip-ban",
		Severity:  diag.Error,
		Title:     "a count over everybody blocks whoever comes next",
		Why:       "A global limit is exceeded by all together. Blocking the source of the packet that did it blocks people at random while an attack runs, and hardly ever the attacker.",
		Reference: "XEP-0205 §4.1, §4.2",
		Remedy:    "Let the global limit drop, and put `then block source` on a limit per source.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global then block source 10m
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source then block source 10m
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, l := range p.allLimits() {
				if l.Key != ir.Global || !slices.ContainsFunc(l.Actions, func(a ir.Action) bool { return a.Name == "block" }) {
					continue
				}
				at := l.Origin.Span
				if text := p.texts.limits[at.Start]; text != nil {
					for _, a := range text.Then {
						if a.Name.Text == "block" {
							at = a.Span()
						}
					}
				}
				p.Report(at, fmt.Sprintf("the limit on %s counts everybody and blocks single sources", l.Kind), label(l.Origin.Span, "it counts everybody together"))
			}
		},
	},
	{
		Code:      "dos-ipv6-per-128",
		Severity:  diag.Warning,
		Title:     "IPv6 sources are counted by less than a /64",
		Why:       "A subscriber has a /64 at least and takes another address out of it for every connection, so a count by address is never exceeded and fills the table of sources.",
		Reference: "RFC 6177 §2, XEP-0205 §4.1",
		Remedy:    "Count by /64 or wider: `per source`, or `per prefix 32/64`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
  limit connections 20 per prefix 32/128
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
  limit connections 20 per prefix 32/56
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			open := map[*ir.Limit]bool{}
			for _, f := range public(p.Policy.Flows) {
				for _, l := range slices.Concat(f.Limits, f.Bounds) {
					open[l] = true
				}
			}
			for _, l := range p.allLimits() {
				if l.Key != ir.PerPrefix || l.Prefix6 <= longestIPv6 || !open[l] {
					continue // within a known network hosts are told apart by address
				}
				at := l.Origin.Span
				if text := p.texts.limits[at.Start]; text != nil && text.Prefix != nil {
					at = text.Prefix.Span()
				}
				p.Report(at, fmt.Sprintf("%s are counted by /%d, and every subscriber has many of those", l.Kind, l.Prefix6))
			}
		},
	},
	{
		Code:      "dos-idle-too-short",
		Severity:  diag.Warning,
		Title:     "silent streams are forgotten before anybody checks that they are alive",
		Why:       "Nobody has to say anything for five minutes, and phones save power by not doing so. A firewall or proxy that forgets such a stream cuts people off, who all connect again.",
		Reference: "RFC 6120 §4.6.3, §4.6.4",
		Remedy:    "State at least `idle 10m`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `clients of chat {
  from     any
  starttls required
  idle     60s
` + clientCaps + `}
`,
		Good: onHost + `clients of chat {
  from     any
  starttls required
  idle     15m
` + clientCaps + `}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Clients {
				if c.Idle > 0 && c.Idle < shortestIdle {
					p.Report(c.At["idle"], fmt.Sprintf("clients of %s are forgotten after %s of silence", c.Server.Name, ir.DurationWords(c.Idle)))
				}
			}
			for _, r := range p.routesOf("websocket") {
				if r.Idle > 0 && r.Idle < shortestIdle {
					p.Report(p.setting(r, "idle"), fmt.Sprintf("%s of %s is cut after %s of silence", r.Path, r.Server.Name, ir.DurationWords(r.Idle)))
				}
			}
		},
	},
	{
		Code:      "dos-behind-proxy-ip",
		Severity:  diag.Error,
		Title:     "the server counts sources that a proxy hides from it",
		Why:       "Everybody who comes through the proxy has its address. One who guesses passwords uses up the count of all, and a server that then bans the source bans the proxy.",
		Reference: "ejabberd documentation: mod_fail2ban, use_proxy_protocol, trusted_proxies; Prosody documentation: trusted_proxies",
		Remedy:    "Let the proxy pass the address on (PROXY protocol, X-Forwarded-For), and state `trust POINT` in the server block.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit logins 10/minute per source
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
`,
		Good: strings.Replace(atEdge, "{ software prosody 0.12  domain example.org  address 198.51.100.10 }", "{ software prosody 0.12  domain example.org  address 198.51.100.10  trust edge }", 1) + `clients of chat {
  from     any
  starttls required
` + clientCaps + `  limit logins 10/minute per source
}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, s := range p.Policy.Servers {
				counts := p.countsSources(s)
				if len(counts) == 0 {
					continue
				}
				for _, via := range p.proxies(s) {
					if overlaps(s.Trust, via.point.Set) || via.point.Server == s && trustsLoopback(s) {
						continue
					}
					trust := label(s.Origin.Span, "the server trusts nobody")
					if s.Trust != nil {
						trust = label(s.At["trust"], "%s is not among these", via.point.Name)
					}
					labels := []diag.Label{label(via.at, "everybody who comes this way has the address of %s", via.point.Name), trust}
					for _, at := range counts[1:] {
						labels = append(labels, label(at, "this counts sources as well"))
					}
					p.Report(counts[0], fmt.Sprintf("server %s counts by source, and sees %s as the source of all who come through it", s.Name, via.point.Name), labels...)
				}
			}
		},
	},
	{
		Code:      "dos-priority-exempt",
		Severity:  diag.Info,
		Title:     "the exemption from limits is too wide, or is missing for named peers",
		Why:       "Exemptions are for sources that are known: a prefix of many organisations is not. Named peers that share a global limit with strangers are shut out when strangers use it up, which is when they are needed.",
		Reference: "XEP-0205 §5",
		Remedy:    "Exempt the networks of single organisations, and give named peers a global limit of their own.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `network carrier = 203.0.0.0/12
allow network carrier to clients of chat
clients of chat {
  from     any
  starttls required
` + clientCaps + `}
`,
		Good: onHost + `network office = 203.0.113.0/24
allow network office to clients of chat
clients of chat {
  from     any
  starttls required
` + clientCaps + `}
`,
		Run: func(p *Pass) {
			limited := public(p.Policy.Flows)
			limited = slices.DeleteFunc(limited, func(f *ir.Flow) bool { return f.Kind == ir.Access || len(f.Limits) == 0 })
			for _, d := range p.accesses("allow") {
				for _, f := range p.flows(d) {
					pfx, wide := exemptTooWide(f.From.Set)
					if !wide || worldwide(f.From) {
						continue // dos-access-unlimited speaks of everybody
					}
					i := slices.IndexFunc(limited, func(o *ir.Flow) bool {
						return intersects(o.Ports, f.Ports) && overlaps(o.To.Set, f.To.Set)
					})
					if i < 0 {
						continue
					}
					at := d.Span()
					for _, w := range d.Who {
						if strings.HasSuffix(f.From.Label, w.Text) {
							at = w.Span()
						}
					}
					o := limited[i].Origin
					p.Report(at, fmt.Sprintf("%s, which holds %s, is exempt from the limits of %s", f.From.Label, spell(pfx), o.Label), label(o.Span, "the limits are stated here"))
				}
			}
			for _, t := range p.Policy.Federations {
				p.sharedWithStrangers(t)
			}
		},
	},
}

// stanzaSize finds the limit on the size of stanzas after or before
// authentication.
func stanzaSize(limits []*ir.Limit, after bool) *ir.Limit {
	for _, l := range limits {
		if l.Kind == ir.StanzaSize && l.Before != after {
			return l
		}
	}
	return nil
}

// smallerBetweenServers reports that a server takes smaller stanzas from other
// servers than from its clients. One of the two limits may be the default.
func (p *Pass) smallerBetweenServers(fed *ir.FederationTerms, c *ir.ClientTerms) {
	s := fed.Server
	servers, clients := stanzaSize(fed.Limits, true), stanzaSize(c.Limits, true)
	if servers == nil && clients == nil {
		return
	}
	var theirs, ours uint64
	known := true
	var labels []diag.Label
	at := c.Origin.Span
	if clients != nil {
		ours, at = clients.Bytes, p.amount(clients)
	} else {
		var d Setting
		ours, d, known = usually(s, "stanza-size-c2s")
		labels = append(labels, byDefault(s, d))
	}
	if servers != nil {
		if clients != nil {
			labels = append(labels, label(at, "the limit of clients"))
		}
		theirs, at = servers.Bytes, p.amount(servers)
	} else {
		var d Setting
		theirs, d, known = usually(s, "stanza-size-s2s")
		labels = append(labels, byDefault(s, d))
	}
	if known && theirs < ours {
		p.Report(at, fmt.Sprintf("servers may send %s stanzas of %s, and its clients may send %s", s.Name, ir.SizeWords(theirs), ir.SizeWords(ours)), labels...)
	}
}

// unseen reports limits of one kind that no engine of the policy can hold:
// those of a statement that is hidden from all but the server, where the policy
// does not name the server's own engine.
func (p *Pass) unseen(b bounded, kind ir.LimitKind, hidden bool, what string) {
	if b.server == nil || !hidden || p.filters(b.server) {
		return
	}
	var at []diag.Span
	for _, l := range b.limits {
		if l.Kind == kind {
			at = append(at, l.Origin.Span)
		}
	}
	if len(at) == 0 {
		return
	}
	labels := []diag.Label{label(b.server.Origin.Span, "only %s itself could", b.server.Software)}
	for _, also := range at[1:] {
		labels = append(labels, label(also, "this one as well"))
	}
	p.Report(at[0], fmt.Sprintf("no engine of the policy can limit %s for %s", what, b.name), labels...)
}

// allLimits lists every limit once, in policy order.
func (p *Pass) allLimits() []*ir.Limit {
	var out []*ir.Limit
	seen := map[diag.Span]bool{}
	add := func(limits []*ir.Limit) {
		for _, l := range limits {
			if !seen[l.Origin.Span] {
				seen[l.Origin.Span] = true
				out = append(out, l)
			}
		}
	}
	for _, f := range p.Policy.Flows {
		add(f.Limits)
		add(f.Bounds)
	}
	for _, b := range p.bounds() {
		add(b.limits)
	}
	return out
}

// advertising are the versions that tell clients of their limits (XEP-0478): from
// the one stated on; "" for none that is known. Products that are not listed may
// or may not.
var advertising = map[string]string{
	"ejabberd": "", // processone/ejabberd#4264
	"openfire": "4.8",
	"prosody":  "13.0",
}

// silentOnLimits reports whether the server is known not to advertise limits.
func silentOnLimits(s *ir.Server) bool {
	since, known := advertising[s.Software]
	v, ok := parseVersion(s.Version)
	return known && ok && (since == "" || v.less(mustVersion(since)))
}

// proxy is a point that stands between clients and a server.
type proxy struct {
	point *ir.Point
	at    diag.Span
}

// proxies lists the points through which clients of the server come with the
// address of the point.
func (p *Pass) proxies(s *ir.Server) []proxy {
	var out []proxy
	add := func(pt *ir.Point, at diag.Span) {
		if pt != nil && !slices.ContainsFunc(out, func(v proxy) bool { return v.point == pt }) {
			out = append(out, proxy{pt, at})
		}
	}
	for _, t := range p.Policy.Webs {
		if t.Server == s {
			add(t.Point, t.At["tls"])
		}
	}
	for _, t := range p.Policy.Clients {
		if t.Server == s {
			add(t.Offload, t.At["direct-tls"])
			add(t.ALPN, t.At["direct-tls"])
		}
	}
	return out
}

// countsSources lists where the policy wants the server itself to count by
// source: what packets do not show.
func (p *Pass) countsSources(s *ir.Server) []diag.Span {
	var out []diag.Span
	for _, b := range p.bounds() {
		for _, l := range b.limits {
			if b.server == s && perAddress(l) && slices.Contains([]ir.LimitKind{ir.Logins, ir.Registrations, ir.Stanzas, ir.Recipients}, l.Kind) {
				out = append(out, l.Origin.Span)
			}
		}
	}
	for _, t := range p.Policy.Clients {
		if t.Server == s && t.Lockout == "source" {
			out = append(out, t.At["lockout"])
		}
	}
	return out
}

// trustsLoopback reports whether the software takes the word of a proxy on its
// own machine without being told to.
func trustsLoopback(s *ir.Server) bool {
	d, ok := SettingOf(s.Software, s.Version, "real-ip")
	return ok && d.Upstream() == "loopback"
}

// exemptTooWide finds a public prefix that is wider than an organisation.
func exemptTooWide(s *ir.AddrSet) (netip.Prefix, bool) {
	if s == nil {
		return netip.Prefix{}, false
	}
	for _, pfx := range s.Prefixes {
		most := widestExemptIPv4
		if pfx.Addr().Is6() {
			most = widestExemptIPv6
		}
		if pfx.Bits() < most && !localPrefix(pfx) {
			return pfx, true
		}
	}
	return netip.Prefix{}, false
}

// sharedWithStrangers reports a federation with everybody whose global limits
// count its named peers as well.
func (p *Pass) sharedWithStrangers(t *ir.FederationTerms) {
	strangers := public(t.Flows)
	if len(strangers) == 0 {
		return
	}
	var limits []*ir.Limit
	var labels []diag.Label
	for _, peer := range t.Peers {
		shares := false
		for _, f := range peer.Flows {
			for _, l := range f.Limits {
				if l.Key != ir.Global || f.Outbound || !slices.Contains(strangers[0].Limits, l) {
					continue
				}
				shares = true
				if !slices.Contains(limits, l) {
					limits = append(limits, l)
				}
			}
		}
		if shares {
			labels = append(labels, label(peer.Origin.Span, "this peer is counted with strangers"))
		}
	}
	if len(limits) == 0 {
		return
	}
	for _, l := range limits[1:] {
		labels = append(labels, label(l.Origin.Span, "this limit is shared as well"))
	}
	p.Report(limits[0].Origin.Span, fmt.Sprintf("strangers can use up what %s of %s may have", plural(len(labels)-len(limits)+1, "named peer"), t.Server.Name), labels...)
}
