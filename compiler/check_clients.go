package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var clientChecks = []Check{
	{
		Code:      "c2s-plaintext",
		Severity:  diag.Error,
		Title:     "clients may log in without TLS",
		Why:       "Passwords and messages cross the network readable. Optional STARTTLS is no help: whoever sits on the path removes the offer.",
		Reference: "RFC 9325 §3.2, RFC 7590 §3.4",
		Remedy:    "State `starttls required`, and add `direct-tls`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls optional
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
			for _, d := range p.clients() {
				for _, f := range p.flows(d) {
					if f.Kind != ir.Clients || f.Leg || f.TLS != "optional" && f.TLS != "none" {
						continue
					}
					at := header(d, d.Server)
					for _, i := range d.Body.Items {
						if i.StartTLS != nil {
							at = i.StartTLS.Span()
						}
					}
					how := "optional"
					if f.TLS == "none" {
						how = "off"
					}
					p.Report(at, fmt.Sprintf("TLS is %s for clients of %s", how, d.Server.Text))
				}
			}
		},
	},
	{
		Code:      "c2s-direct-tls-absent",
		Severity:  diag.Warning,
		Title:     "clients have STARTTLS only",
		Why:       "A port that speaks TLS from the first byte has nothing that could be stripped, and where a protocol has both forms administrators have to prefer it.",
		Reference: "RFC 9325 §3.2, XEP-0368 §3",
		Remedy:    "Add `direct-tls` to the clients statement and publish its port as _xmpps-client.",
		Since:     "0.1",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
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
		Good: `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 5223
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, d := range p.clients() {
				direct := false
				for _, i := range d.Body.Items {
					direct = direct || i.DirectTLS != nil
				}
				if !direct && p.server(d.Server) != nil {
					p.Report(header(d, d.Server), fmt.Sprintf("clients of %s have no port with direct TLS", d.Server.Text))
				}
			}
		},
	},
	{
		Code:      "c2s-plain-no-tls",
		Severity:  diag.Error,
		Title:     "passwords may be sent in clear text",
		Why:       "SASL PLAIN is the password itself. Where STARTTLS is optional, a client that was not offered TLS, or an attacker who removed the offer, sends it readable.",
		Reference: "RFC 6120 §13.8.3",
		Remedy:    "State `starttls required`, or take PLAIN from the mechanisms.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls optional
  sasl     PLAIN, SCRAM-SHA-256
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
  sasl     PLAIN, SCRAM-SHA-256
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				if w := c.mechanism(func(m string) bool { return m == "PLAIN" }); w != nil && c.terms.StartTLS == "optional" {
					p.Report(w.Span(), fmt.Sprintf("clients of %s may log in with PLAIN on a stream without TLS", c.terms.Server.Name),
						label(c.starttlsPlace(), "TLS is optional here"))
				}
			}
		},
	},
	{
		Code:      "c2s-tls-old",
		Severity:  diag.Error,
		Title:     "clients may use a version of TLS that is given up",
		Why:       "TLS 1.0 and 1.1 have known weaknesses and no modern ciphers. No client that is still maintained needs them.",
		Reference: "RFC 9325 §3.1.1, RFC 8996 §1",
		Remedy:    "State `tls 1.2` or `tls 1.3`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  tls      1.0
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
  tls      1.2
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				if v := c.terms.TLS; v == "1.0" || v == "1.1" {
					p.Report(c.setting("tls"), fmt.Sprintf("clients of %s may use TLS %s", c.terms.Server.Name, v))
				}
			}
		},
	},
	{
		Code:      "c2s-443-alpn-only",
		Severity:  diag.Warning,
		Title:     "a port that is shared with the web is the only way in",
		Why:       "A client or a network that does not pass on ALPN ends up at the web server. Without a port that XMPP has to itself such users cannot log in at all.",
		Reference: "XEP-0368 §5",
		Remedy:    "Add `starttls required`, or a second port for direct TLS, and publish it with a lower priority.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
network dmz = 198.51.100.0/28
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
point box { role host of chat  nftables }
clients of chat {
  from       any
  starttls   off
  direct-tls port 443 alpn at edge default web
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
network dmz = 198.51.100.0/28
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
point box { role host of chat  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 443 alpn at edge default web
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				if c.terms.ALPN == nil {
					continue
				}
				if c.terms.StartTLS == "off" {
					p.Report(c.direct().Span(), fmt.Sprintf("clients of %s have no port but %d of %s, which they share by ALPN", c.terms.Server.Name, c.terms.DirectPort, c.terms.ALPN.Name),
						label(c.starttlsPlace(), "STARTTLS is off"))
					continue
				}
				for _, own := range p.ownRecords(c.terms.Server) {
					direct, plain := present(own.Records(lock.ClientTLS)), present(own.Records(lock.Client))
					shared := func(r lock.SRV) bool { return r.Port == c.terms.DirectPort && leadsTo(own, r, c.terms.ALPN.Set) }
					if len(direct) > 0 && len(plain) == 0 && !slices.ContainsFunc(direct, func(r lock.SRV) bool { return !shared(r) }) {
						p.Report(c.direct().Span(), fmt.Sprintf("DNS of %s sends clients to port %d of %s alone, which they share by ALPN", own.Domain, c.terms.DirectPort, c.terms.ALPN.Name),
							label(own.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "c2s-alpn-unknown-default",
		Severity:  diag.Warning,
		Title:     "it is not said, or not well, where a connection without ALPN goes",
		Why:       "Old browsers, monitors and many XMPP clients state no protocol. What shares a port has to send them somewhere; where the web is served on the same port, they are more likely to be after that.",
		Reference: "RFC 9325 §3.8, XEP-0368 §5",
		Remedy:    "Add `default web` where the point serves the web on that port; `default clients` or `default close` where it does not.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
network dmz = 198.51.100.0/28
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
point box { role host of chat  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 443 alpn at edge
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
network dmz = 198.51.100.0/28
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
point box { role host of chat  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 443 alpn at edge default web
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				d := c.direct()
				if c.terms.ALPN == nil || d == nil {
					continue
				}
				at := slices.IndexFunc(p.Policy.Webs, func(w *ir.WebTerms) bool { return w.Point == c.terms.ALPN })
				switch {
				case c.terms.Unknown == "":
					p.Report(d.ALPN.Span(), fmt.Sprintf("%s shares port %d by ALPN, and nothing says where a connection without it goes", c.terms.ALPN.Name, c.terms.DirectPort))
				case c.terms.Unknown != "web" && at >= 0 && d.Unknown != nil:
					p.Report(d.Unknown.Span(), fmt.Sprintf("browsers that state no protocol do not reach the web at %s", c.terms.ALPN.Name),
						label(p.Policy.Webs[at].Origin.Span, "the web is served there"))
				}
			}
		},
	},
	{
		Code:      "c2s-compression",
		Severity:  diag.Error,
		Title:     "streams are compressed",
		Why:       "Whoever can have a text sent beside a secret learns the secret from the length of what is compressed. The extension is obsolete for that reason, and TLS has no compression since 1.3. Under `profile strict` a policy has to say so where the server compresses by default.",
		Reference: "XEP-0138 §7, RFC 9325 §3.3",
		Remedy:    "State `compression off`, and switch it off in the server.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from        any
  starttls    required
  compression on
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
  from        any
  starttls    required
  compression off
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				d, offered := always(c.terms.Server, "compression", "on")
				switch {
				case c.terms.Compression == "on":
					p.Report(c.setting("compression"), fmt.Sprintf("streams of clients of %s may be compressed", c.terms.Server.Name))
				case p.Policy.Profile == "strict" && c.terms.Compression == "" && offered:
					p.Report(c.setting("compression"), fmt.Sprintf("%s offers clients compression unless it is told not to, and the policy does not say", c.terms.Server.Software),
						byDefault(c.terms.Server, d))
				}
			}
		},
	},
	{
		Code:      "c2s-open-registration",
		Severity:  diag.Warning,
		Title:     "everybody may make an account",
		Why:       "Accounts that cost nothing are where spam comes from: other servers then block the whole domain. Some servers let everybody make one unless they are told not to.",
		Reference: "XEP-0205 §4.8",
		Remedy:    "State `registration invite` or `registration closed`, and set the server so; or waive this where accounts are meant for everybody.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from         any
  starttls     required
  registration open
  limit registrations 3/hour per source
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
  from         any
  starttls     required
  registration invite
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				d, open := always(c.terms.Server, "registration", "on")
				switch {
				case !c.public():
				case c.terms.Registration == "open":
					p.Report(c.setting("registration"), fmt.Sprintf("everybody may make an account at %s", c.terms.Server.Name))
				case c.terms.Registration == "" && open:
					p.Report(c.setting("registration"), fmt.Sprintf("%s lets everybody make an account unless it is told not to, and the policy does not say", c.terms.Server.Software),
						byDefault(c.terms.Server, d))
				}
			}
		},
	},
	{
		Code:      "c2s-ibr-no-throttle",
		Severity:  diag.Error,
		Title:     "accounts can be made without end from one address",
		Why:       "A script makes thousands of accounts in a minute. They fill the database, and what they send gets the domain blocked elsewhere.",
		Reference: "XEP-0205 §4.8",
		Remedy:    "Add `limit registrations N/hour per source`, and set the server so.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from         any
  starttls     required
  registration open
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
  from         any
  starttls     required
  registration closed
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				throttled := slices.ContainsFunc(c.terms.Limits, func(l *ir.Limit) bool {
					return l.Kind == ir.Registrations && perAddress(l)
				})
				if c.terms.Registration == "open" && c.public() && !throttled {
					p.Report(c.setting("registration"), fmt.Sprintf("nothing bounds how many accounts one address makes at %s", c.terms.Server.Name))
				}
			}
		},
	},
	{
		Code:      "c2s-sasl-retries",
		Severity:  diag.Warning,
		Title:     "a client may try its password too rarely or too often",
		Why:       "With no second try a mistyped password ends the stream; with many, one stream is enough to guess. A server allows between two and five.",
		Reference: "RFC 6120 §6.4.5",
		Remedy:    "State `limit logins 3/minute per stream`, or another number from 2 to 5, and set the server so.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit logins 20/minute per stream
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
  limit logins 3/minute per stream
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				for _, l := range c.terms.Limits {
					if l.Kind != ir.Logins {
						continue
					}
					// What is counted over several streams has no upper bound here: a
					// whole office may be behind one address.
					switch {
					case l.Count < 2:
						p.Report(p.amount(l), fmt.Sprintf("the first failed login at %s is the last", c.terms.Server.Name))
					case l.Key == ir.PerStream && l.Count > 5:
						p.Report(p.amount(l), fmt.Sprintf("%d failed logins are allowed on one stream of %s", l.Count, c.terms.Server.Name))
					}
				}
			}
		},
	},
	{
		Code:      "c2s-account-lockout",
		Severity:  diag.Warning,
		Title:     "failed logins lock the account",
		Why:       "Whoever knows an address can then keep its owner out, by failing on purpose. Failures say something about the address they come from, not about the account they are aimed at.",
		Reference: "XEP-0205 §3, RFC 6120 §6.4.5",
		Remedy:    "State `lockout source`, and bound failed logins with `limit logins N/minute per source`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  lockout  account
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
  lockout  source
  limit logins 20/minute per source then block source 10m
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				if c.terms.Lockout == "account" {
					p.Report(c.setting("lockout"), fmt.Sprintf("failed logins lock accounts of %s", c.terms.Server.Name))
					continue
				}
				for _, l := range c.terms.Limits {
					if l.Kind == ir.Logins && l.Key == ir.PerAccount {
						p.Report(l.Origin.Span, fmt.Sprintf("failed logins are counted per account of %s, so strangers can lock it", c.terms.Server.Name))
					}
				}
			}
		},
	},
	{
		Code:      "c2s-quic-bypass",
		Severity:  diag.Warning,
		Title:     "QUIC goes past what guards the TCP ports",
		Why:       "XMPP over QUIC is UDP: what ends TLS, inspects or shares a TCP port never sees it. And a UDP port that is open for it, while nothing says so, is open to whatever listens there.",
		Reference: "XEP-0467 §2",
		Remedy:    "Remove `quic` where a point ends TLS for clients; and open a UDP port of the server by `quic PORT` in its clients statement, so that its limits hold there too.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
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
allow any to udp/443 of box
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  quic     443
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				if c.terms.QUIC != 0 && c.terms.Offload != nil {
					p.Report(c.setting("quic"), fmt.Sprintf("QUIC reaches %s itself, past %s, where TLS of its clients ends", c.terms.Server.Name, c.terms.Offload.Name),
						label(c.direct().Offload.Span(), "TLS ends there"))
				}
				// A machine that serves the web may speak HTTP/3 on that port.
				web := slices.ContainsFunc(p.Policy.Webs, func(w *ir.WebTerms) bool { return w.Server == c.terms.Server })
				if c.terms.QUIC != 0 || web {
					continue
				}
				for _, d := range p.accesses("allow") {
					for _, f := range p.flows(d) {
						if worldwide(f.From) && overlaps(f.To.Set, c.terms.Server.Set) && intersects(f.Ports, []ir.PortSpan{{Proto: ir.UDP, From: 443, To: 443}}) {
							p.Report(d.Span(), fmt.Sprintf("%s reaches the QUIC port of %s, whose clients statement says nothing of QUIC", f.From.Label, c.terms.Server.Name),
								label(header(c.decl, c.decl.Server), "the clients"))
						}
					}
				}
			}
		},
	},
	{
		Code:      "c2s-mitm-breaks-plus",
		Severity:  diag.Error,
		Title:     "clients can log in only by mechanisms that are bound to TLS, and TLS ends before the server",
		Why:       "Channel binding and EXTERNAL prove something about the TLS of the client. Where a proxy ends it, the server sees other TLS or none, so nobody who comes that way can log in.",
		Reference: "RFC 6120 §13.8.3, §13.9.4",
		Remedy:    "Let the server end TLS (`alpn at` passes it on), or add a mechanism without -PLUS to `sasl`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
network dmz = 198.51.100.0/28
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
point box { role host of chat  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 5223 offload at edge
  sasl       SCRAM-SHA-256-PLUS, EXTERNAL
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
network dmz = 198.51.100.0/28
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
}
point box { role host of chat  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 5223 offload at edge
  sasl       SCRAM-SHA-256-PLUS, SCRAM-SHA-256
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				free := c.mechanism(func(m string) bool { return m != "EXTERNAL" && !strings.HasSuffix(m, "-PLUS") })
				bound := c.mechanism(func(string) bool { return true })
				if bound == nil || free != nil {
					continue
				}
				var points []string
				var labels []diag.Label
				ends := func(pt *ir.Point, at diag.Span, what string) {
					if !slices.Contains(points, pt.Name) {
						points = append(points, pt.Name)
					}
					labels = append(labels, label(at, "%s", what))
				}
				if c.terms.Offload != nil {
					ends(c.terms.Offload, c.direct().Offload.Span(), "TLS ends there")
				}
				for _, t := range p.Policy.Webs {
					session := func(r *ir.HTTPRoute) bool { return r.Kind == "bosh" || r.Kind == "websocket" }
					if t.Server == c.terms.Server && t.Point != nil && slices.ContainsFunc(t.Routes, session) {
						ends(t.Point, t.At["tls"], "TLS of the web ends there")
					}
				}
				if points != nil {
					p.Report(bound.Span(), fmt.Sprintf("every mechanism of %s needs the TLS of the client, which ends at %s", c.terms.Server.Name, strings.Join(points, " and ")), labels...)
				}
			}
		},
	},
}

// clientStatement is a clients statement with what it means.
type clientStatement struct {
	decl  *lang.ClientsDecl
	terms *ir.ClientTerms
}

// clientStatements joins the clients statements with their terms.
func (p *Pass) clientStatements() []clientStatement {
	var out []clientStatement
	for _, d := range p.clients() {
		at := slices.IndexFunc(p.Policy.Clients, func(t *ir.ClientTerms) bool { return t.Server.Name == d.Server.Text })
		if at >= 0 {
			out = append(out, clientStatement{d, p.Policy.Clients[at]})
		}
	}
	return out
}

// always finds a setting that has the value by default, with the project's own
// example configuration and, as far as it is known, with that of the distribution.
func always(s *ir.Server, key, value string) (Setting, bool) {
	d, ok := SettingOf(s.Software, s.Version, key)
	return d, ok && d.Code == value && d.Upstream() == value && (d.Package == "" || d.Distribution() == value)
}

// public reports whether strangers may be clients.
func (c clientStatement) public() bool { return len(public(c.terms.Flows)) > 0 }

// setting is where the value of a setting is stated.
func (c clientStatement) setting(name string) diag.Span {
	for _, i := range c.decl.Body.Items {
		if i.Setting != nil && i.Setting.Name == name {
			return i.Setting.Value.Span()
		}
	}
	return header(c.decl, c.decl.Server)
}

// starttlsPlace is where STARTTLS is stated; invalid where it is not.
func (c clientStatement) starttlsPlace() diag.Span {
	for _, i := range c.decl.Body.Items {
		if i.StartTLS != nil {
			return i.StartTLS.Span()
		}
	}
	return diag.Span{}
}

// direct is the line about direct TLS, or nil.
func (c clientStatement) direct() *lang.DirectTLS {
	for _, i := range c.decl.Body.Items {
		if i.DirectTLS != nil {
			return i.DirectTLS
		}
	}
	return nil
}

// mechanism finds a SASL mechanism among those that are stated, or nil.
func (c clientStatement) mechanism(is func(string) bool) *lang.Word {
	for _, i := range c.decl.Body.Items {
		for _, w := range i.SASL {
			if is(strings.ToUpper(w.Text)) {
				return w
			}
		}
	}
	return nil
}

// point finds a point by name, or nil.
func (p *Pass) point(name string) *ir.Point {
	for _, pt := range p.Policy.Points {
		if pt.Name == name {
			return pt
		}
	}
	return nil
}

// privateLeg reports whether traffic from the point to the server stays on one
// machine, or on a named network that an interface of the point faces and that
// is not the internet.
func privateLeg(pt *ir.Point, s *ir.Server) bool {
	if pt.Server == s {
		return true
	}
	if s.Set == nil || len(s.Set.Prefixes) == 0 {
		return false
	}
	var private []*ir.AddrSet
	for _, i := range pt.Interfaces {
		if i.Internet {
			continue
		}
		for _, n := range i.Networks {
			if n.Set != nil {
				private = append(private, n.Set)
			}
		}
	}
	for _, pfx := range s.Set.Prefixes {
		if loopback(pfx) {
			continue
		}
		behind := false
		for _, n := range private {
			behind = behind || holds(n, pfx)
		}
		if !behind {
			return false
		}
	}
	return true
}
