package compiler

import (
	"fmt"
	"slices"
	"strings"

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
  websocket "/xmpp-websocket" { origin "https://chat.example.org" }
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
  websocket "/xmpp-websocket" { origin "https://chat.example.org" }
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
		Code:      "ws-starttls",
		Severity:  diag.Error,
		Title:     "WebSocket is clear text, and STARTTLS cannot mend that",
		Why:       "STARTTLS is required of clients, and inside WebSocket it is forbidden: there TLS comes first, as wss://, or never. So this way in stays clear text whatever the other one demands.",
		Reference: "RFC 7395 §3.9",
		Remedy:    "State `tls terminate at POINT`, or `tls required` where the server ends TLS itself.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.168.10.0/24
server chat { software prosody 0.12  domain example.org  address 192.168.10.5 }
point box { role host of chat  interface eth0 faces lan  nftables }
clients of chat {
  from     lan
  starttls required
}
web of chat {
  from lan
  tls  none
  websocket "/xmpp-websocket" { origin "https://chat.example.org" }
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.168.10.0/24
server chat { software prosody 0.12  domain example.org  address 192.168.10.5 }
point box { role host of chat  interface eth0 faces lan  nftables }
clients of chat {
  from     lan
  starttls required
}
web of chat {
  from lan
  tls  required
  websocket "/xmpp-websocket" { origin "https://chat.example.org" }
}
`,
		Run: func(p *Pass) {
			for _, t := range p.Policy.Webs {
				if t.TLS != "none" || p.fromOutside(t) {
					continue // ws-cleartext says so
				}
				far, ok := p.clearTo(t)
				for _, c := range p.Policy.Clients {
					if !ok || c.Server != t.Server || c.StartTLS != "required" {
						continue
					}
					for _, r := range t.Routes {
						if r.Kind == "websocket" {
							p.Report(r.Origin.Span, fmt.Sprintf("%s of %s stays clear text for %s, whatever STARTTLS does elsewhere", r.Path, t.Server.Name, far),
								label(t.At["tls"], "no TLS here"), label(c.At["starttls"], "STARTTLS is required of clients"))
						}
					}
				}
			}
		},
	},
	{
		Code:      "ws-origin",
		Severity:  diag.Warning,
		Title:     "pages of every web site may open WebSocket streams",
		Why:       "Browsers let any page open a WebSocket to anywhere; the Origin header is all that tells the site's own client from a page that uses its visitors to guess passwords. Servers ignore it by default.",
		Reference: "RFC 6455 §10.2, ejabberd documentation: websocket_origin",
		Remedy:    "State `origin` with the web clients that the site knows. Programs that are no browser send none and are not affected.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `web of chat {
  from any
  tls  required
  websocket "/xmpp-websocket"
` + webCaps + `}
`,
		Good: onHost + `web of chat {
  from any
  tls  required
  websocket "/xmpp-websocket" { origin "https://chat.example.org" }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("websocket") {
				for _, o := range p.origins(r) {
					if o.Value() == "*" {
						p.Report(o.Span(), fmt.Sprintf("pages of every web site may use %s", r.Path))
					}
				}
				d, ok := SettingOf(r.Server.Software, r.Server.Version, "ws-origin")
				if t := p.webOf(r); ok && d.Upstream() == "any" && t != nil && len(r.Origins) == 0 && len(public(t.Flows)) > 0 {
					p.Report(r.Origin.Span, fmt.Sprintf("nobody checks which web site's pages use %s", r.Path), byDefault(r.Server, d))
				}
			}
		},
	},
	{
		Code:      "ws-frame-limit",
		Severity:  diag.Warning,
		Title:     "a WebSocket message may have any size",
		Why:       "A WebSocket message is one stanza and may come in many frames, so the server buffers it until it ends. Strangers send before they have logged in, and this server bounds nothing by default.",
		Reference: "RFC 6455 §10.4, XEP-0205 §4.5",
		Remedy:    "State `frame 256KiB` in the path.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server im { software mongooseim 6.3  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
web of im {
  from any
  tls  required
  websocket "/ws-xmpp" { origin "https://chat.example.org" }
` + webCaps + `}
`,
		Good: `policy "p" { profile baseline }
server im { software mongooseim 6.3  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
web of im {
  from any
  tls  required
  websocket "/ws-xmpp" { origin "https://chat.example.org"  frame 256KiB }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("websocket") {
				t := p.webOf(r)
				if t == nil || r.Frame > 0 || stanzaSize(t.Limits, true) != nil || len(public(t.Flows)) == 0 {
					continue
				}
				if d, none := absent(r.Server, "ws-frame"); none {
					p.Report(r.Origin.Span, fmt.Sprintf("messages on %s of %s may have any size", r.Path, r.Server.Name), byDefault(r.Server, d))
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
			clear := func(at diag.Span, pt *ir.Point, s *ir.Server) {
				if pt != nil && !privateLeg(pt, s) {
					p.Report(at, fmt.Sprintf("clear text from %s to %s crosses a network that is not known to be private", pt.Name, s.Name),
						label(pt.Origin.Span, "TLS ends here"), label(s.Origin.Span, "and clear text goes here"))
				}
			}
			for _, t := range p.Policy.Webs {
				clear(t.At["tls"], t.Point, t.Server)
			}
			for _, t := range p.Policy.Clients {
				clear(t.At["direct-tls"], t.Offload, t.Server)
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
  websocket "/ws" { origin "https://chat.example.org" }
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
  websocket "/ws" { origin "https://chat.example.org" }
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
	{
		Code:      "web-no-path",
		Severity:  diag.Info,
		Title:     "a port is opened for the web, and no path is named",
		Why:       "The port is open to whatever the server has there. Which paths that are nobody has written down, so no check speaks of them.",
		Reference: "XEP-0124 §7.1, RFC 7395 §3.1",
		Remedy:    "Add the paths that clients use, such as `bosh \"/http-bind\"`, or remove the statement.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `web of chat {
  from any
  tls  required
` + webCaps + `}
`,
		Good: onHost + `web of chat {
  from any
  tls  required
  bosh "/http-bind"
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, d := range p.webs() {
				if slices.ContainsFunc(d.Body.Items, func(i *lang.WebItem) bool { return i.Route != nil }) {
					continue
				}
				for _, t := range p.Policy.Webs {
					if t.Server.Name == d.Server.Text && t.Point == nil {
						p.Report(t.Origin.Span, fmt.Sprintf("%s opens port %d and names no path", t.Origin.Label, t.Flows[0].Ports[0].From))
					}
				}
			}
		},
	},
	{
		Code:      "web-timeout-unserved",
		Severity:  diag.Info,
		Title:     "a timeout is stated for a path that no proxy serves",
		Why:       "`timeout` is how long a proxy waits for the server. Where the server ends TLS itself there is no proxy, and the line has no effect.",
		Reference: "",
		Remedy:    "Remove the line, or state `tls terminate at POINT`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `web of chat {
  from any
  tls  required
  bosh "/http-bind" { wait 60s  timeout 75s }
` + webCaps + `}
`,
		Good: onHost + `web of chat {
  from any
  tls  required
  bosh "/http-bind" { wait 60s }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.Policy.Routes {
				if r.Point == nil && r.Timeout > 0 {
					p.Report(p.setting(r, "timeout"), fmt.Sprintf("no proxy serves %s of %s, so nothing waits %s for it", r.Path, r.Server.Name, ir.DurationWords(r.Timeout)))
				}
			}
		},
	},
}

// fromOutside reports whether sources beyond the site may use a web statement.
func (p *Pass) fromOutside(t *ir.WebTerms) bool {
	return slices.ContainsFunc(t.Flows, func(f *ir.Flow) bool {
		_, out := p.outside(f.From)
		return out && f.Verdict == ir.Allow && !f.Outbound
	})
}

// clearTo finds sources that a web statement serves without TLS. The server's own
// machine is none, and neither is a single address of the site: that is how a
// proxy of which the policy says nothing looks.
func (p *Pass) clearTo(t *ir.WebTerms) (string, bool) {
	if t.TLS != "none" {
		return "", false
	}
	for _, f := range t.Flows {
		if far, ok := p.outside(f.From); ok {
			return far, true
		}
		for _, pfx := range f.From.Set.Prefixes {
			if !loopback(pfx) && !pfx.IsSingleIP() {
				return spell(pfx), true
			}
		}
	}
	return "", false
}

// clearWeb reports routes of the kind that sources beyond the site reach
// without TLS.
func (p *Pass) clearWeb(kind, name string) {
	for _, d := range p.webs() {
		if webTLS(d) != "none" {
			p.besideTLS(d, kind, name)
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

// besideTLS reports allow statements by which sources beyond the site reach
// routes of the kind on the server's clear port, where the server ends TLS on
// another. A proxy's clear port is a check of its own.
func (p *Pass) besideTLS(d *lang.WebDecl, kind, name string) {
	paths := routes(d, kind)
	at := slices.IndexFunc(p.Policy.Webs, func(t *ir.WebTerms) bool { return t.Server.Name == d.Server.Text })
	if len(paths) == 0 || at < 0 || p.Policy.Webs[at].TLS != "required" {
		return
	}
	t := p.Policy.Webs[at]
	var clear []ir.PortSpan
	for _, l := range t.Server.Listeners {
		if l.Service == "http" && l.Transport != "tls" && !intersects(flowPorts(t.Flows), []ir.PortSpan{l.Port}) {
			clear = append(clear, l.Port)
		}
	}
	for _, a := range p.accesses("allow") {
		for _, f := range p.flows(a) {
			held := common(clear, f.Ports)
			far, ok := p.outside(f.From)
			if len(held) == 0 || !ok || !overlaps(f.To.Set, t.Server.Set) {
				continue
			}
			for _, target := range a.To {
				if target.Service.Text != "admin" && strings.HasSuffix(f.Origin.Label, " to "+target.Service.Text+" of "+target.Of.Text) {
					p.Report(target.Span(), fmt.Sprintf("%s of %s is reachable without TLS on port %d (%s)", name, t.Server.Name, held[0].From, far), label(paths[0].Span(), "the path"))
				}
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
