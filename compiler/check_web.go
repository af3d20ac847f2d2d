package compiler

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var webChecks = []Check{
	{
		Code:      "bosh-http-public",
		Severity:  diag.Error,
		Title:     "BOSH is reachable over plain HTTP",
		Why:       "A BOSH session is its identifiers: who reads them on the way takes the session over, and the password is in the first requests.",
		Reference: "XEP-0124 §19.1",
		Remedy:    "State `tls terminate at POINT`, or `tls required` where the server ends TLS itself.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
web of chat {
  from any
  tls  none
  bosh "/http-bind"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
web of chat {
  from any
  tls  required
  bosh "/http-bind"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) { p.clearWeb("bosh", "BOSH") },
	},
	{
		Code:      "ws-cleartext",
		Severity:  diag.Error,
		Title:     "WebSocket is reachable without TLS",
		Why:       "STARTTLS is forbidden inside WebSocket, so ws:// never becomes encrypted: passwords and messages cross the network readable.",
		Reference: "RFC 7395 §3.9, §6",
		Remedy:    "State `tls terminate at POINT`, or `tls required` where the server ends TLS itself, and publish wss:// only.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
web of chat {
  from any
  tls  none
  websocket "/xmpp-websocket"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
web of chat {
  from any
  tls  required
  websocket "/xmpp-websocket"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) { p.clearWeb("websocket", "WebSocket") },
	},
	{
		Code:      "ws-not-served",
		Severity:  diag.Warning,
		Title:     "the proxy answers a WebSocket path with 404",
		Why:       "This version writes BOSH paths for HAProxy, and no WebSocket ones. The policy says that clients have the path, and no client gets through.",
		Reference: "RFC 7395 §3.1",
		Remedy:    "State `tls required` and let the server end TLS, or state a `bosh` path and remove the websocket one.",
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
  bosh      "/http-bind" { body 64KiB }
  websocket "/xmpp-websocket"
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
  tls  required
  websocket "/xmpp-websocket"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, d := range p.webs() {
				for _, i := range d.Body.Items {
					if i.TLS == nil || i.TLS.Mode.Text != "terminate" || i.TLS.At == nil {
						continue
					}
					pt := p.point(i.TLS.At.Text)
					if pt == nil || pt.Engine("haproxy") == nil {
						continue // nothing is served there at all
					}
					for _, r := range routes(d, "websocket") {
						p.Report(r.Span(), fmt.Sprintf("HAProxy of %s answers %q with 404: this version writes no WebSocket for it", pt.Name, r.Path.Value()),
							label(i.TLS.Span(), "TLS ends here"))
					}
				}
			}
		},
	},
	{
		Code:      "bosh-backend-clear",
		Severity:  diag.Warning,
		Title:     "clear text from the proxy to the server crosses a network that is not known to be private",
		Why:       "Behind the point where TLS ends, sessions and passwords are clear text. The leg to the server should be encrypted unless it stays on one machine, or on a network that only this site uses.",
		Reference: "XEP-0124 §19.2",
		Remedy:    "End TLS on the server's own host, or state the private interface between the two with `interface … faces`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box  { role host of chat  interface eth0 faces internet  nftables }
point edge { role gateway  address 203.0.113.1  interface eth0 faces internet  nftables  haproxy }
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
				s := p.server(d.Server)
				for _, i := range d.Body.Items {
					if s == nil || i.TLS == nil || i.TLS.At == nil {
						continue
					}
					if pt := p.point(i.TLS.At.Text); pt != nil && !privateLeg(pt, s) {
						p.Report(i.TLS.Span(), fmt.Sprintf("clear text from %s to %s crosses a network that is not known to be private", pt.Name, s.Name),
							label(pt.Origin.Span, "TLS ends here"), label(s.Origin.Span, "and clear text goes here"))
					}
				}
			}
		},
	},
	{
		Code:      "web-admin-shared",
		Severity:  diag.Warning,
		Title:     "web access opens the port that also serves administration",
		Why:       "ejabberd answers for BOSH, WebSocket and /admin on the same listener by default. A packet filter cannot tell paths apart, so whoever may use the one may try the other.",
		Reference: "ejabberd documentation, Administrator Guide: Security",
		Remedy:    "End TLS at a proxy, which passes the stated paths only; or give administration a listener of its own and state it with `port admin N` in the server block.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
web of chat {
  from any
  tls  required
  websocket "/ws"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat {
  software ejabberd 24.12
  domain   example.org
  address  198.51.100.10
  port     admin 5281
}
point box { role host of chat  interface eth0 faces internet  nftables }
web of chat {
  from any
  tls  required
  websocket "/ws"
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, d := range p.webs() {
				for _, f := range public(p.flows(d)) {
					if f.Server == nil || !overlaps(f.To.Set, f.Server.Set) {
						continue // it ends at a proxy, which tells paths apart
					}
					for _, l := range f.Server.Listeners {
						if l.Service == "admin" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
							p.Report(header(d, d.Server), fmt.Sprintf("everybody who may use web of %s may try its administration on port %d", f.Server.Name, l.Port.From),
								label(f.Server.Origin.Span, "port %d: %s", l.Port.From, l.Source))
						}
					}
				}
			}
		},
	},
}

// clearWeb reports routes of the kind that sources beyond the site reach
// without TLS.
func (p *Pass) clearWeb(kind, name string) {
	for _, d := range p.webs() {
		if webTLS(d) != "none" {
			continue
		}
		for _, f := range p.flows(d) {
			if f.Kind != ir.Web || f.Verdict != ir.Allow || f.Outbound {
				continue
			}
			far, ok := p.outside(f.From)
			if !ok {
				continue
			}
			for _, r := range routes(d, kind) {
				p.Report(r.Span(), fmt.Sprintf("%s of %s is reachable without TLS (%s)", name, d.Server.Text, far), label(tlsLine(d), "stated here"))
			}
		}
	}
}

func webTLS(d *lang.WebDecl) string {
	for _, i := range d.Body.Items {
		if i.TLS != nil {
			return i.TLS.Mode.Text
		}
	}
	return ""
}

func tlsLine(d *lang.WebDecl) diag.Span {
	for _, i := range d.Body.Items {
		if i.TLS != nil {
			return i.TLS.Span()
		}
	}
	return diag.Span{}
}
