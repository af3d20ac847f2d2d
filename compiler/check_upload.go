package compiler

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// XEP-0363 section 8 recommends 300 seconds for a slot; twice that leaves room
// for slow lines.
const longestSlot = 600

var uploadChecks = []Check{
	{
		Code:      "alt-hostmeta-http",
		Severity:  diag.Error,
		Title:     "host-meta can be forged on the way, or leads to a clear-text way in",
		Why:       "Clients believe what host-meta says about where to connect. Fetched over http, whoever is on the path writes it; and an http: or ws: address in it makes every client log in in clear text.",
		Reference: "XEP-0156 §2.2, §4",
		Remedy:    "Serve host-meta over TLS, and list https: and wss: addresses only.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  host-meta "/.well-known/host-meta" {
    advertise "https://chat.example.org/http-bind", "ws://chat.example.org/ws"
  }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  host-meta "/.well-known/host-meta" {
    advertise "https://chat.example.org/http-bind"
  }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("host-meta") {
				if t := p.webOf(r); t != nil {
					if far, ok := p.clearTo(t); ok {
						p.Report(r.Origin.Span, fmt.Sprintf("%s is served without TLS (%s)", r.Path, far), label(t.At["tls"], "stated here"))
						continue // whatever it lists can be replaced on the way
					}
				}
				for _, s := range p.advertised(r) {
					if scheme := schemeOf(s); scheme == "http" || scheme == "ws" {
						p.Report(s.Span(), fmt.Sprintf("%s leads clients to %s:, without TLS", r.Path, scheme))
					}
				}
			}
		},
	},
	{
		Code:      "alt-weaker",
		Severity:  diag.Error,
		Title:     "host-meta offers a way in that is weaker than the one over TCP",
		Why:       "An attacker who can break the better way makes clients use the other one. Over HTTP there is no channel binding and no certificate of the client where a proxy or a browser ends TLS, so what is demanded over TCP cannot be had there.",
		Reference: "XEP-0156 §4, RFC 6120 §13.8.3",
		Remedy:    "Do not advertise the web paths, or allow a mechanism over TCP that they can offer, such as scram-sha-256.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `clients of chat {
  from     any
  starttls required
  sasl     scram-sha-256-plus, external
` + clientCaps + `}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  host-meta "/.well-known/host-meta" {
    advertise "https://chat.example.org/http-bind"
  }
` + webCaps + `}
`,
		Good: atEdge + `clients of chat {
  from     any
  starttls required
  sasl     scram-sha-256-plus, scram-sha-256
` + clientCaps + `}
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
  host-meta "/.well-known/host-meta" {
    advertise "https://chat.example.org/http-bind"
  }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("host-meta") {
				for _, c := range p.Policy.Clients {
					if c.Server != r.Server || !boundToTLS(c.SASL) {
						continue
					}
					for _, s := range p.advertised(r) {
						if scheme := schemeOf(s); scheme == "https" || scheme == "wss" {
							p.Report(s.Span(), fmt.Sprintf("%s advertises a way in without what clients of %s must show over TCP", r.Path, c.Server.Name),
								label(c.At["sasl"], "every mechanism here is tied to the client's own TLS"))
							break // the first leads to the statement, which is what is wrong
						}
					}
				}
			}
		},
	},
	{
		Code:      "alt-txt",
		Severity:  diag.Warning,
		Title:     "DNS still has the _xmppconnect records",
		Why:       "They said where BOSH and WebSocket are, and were removed from the standard: whoever forges an answer sends clients that still look there to a server of his own, over TLS that is in order.",
		Reference: "XEP-0156 §4",
		Remedy:    "Remove the TXT records, serve host-meta over https, and run `xfwc lock --refresh`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat {
  software prosody 0.12
  domain   example.org, txt.example  # txt.example has the record
  address  198.51.100.10
}
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
` + clientCaps + `}
`,
		Good: `policy "p" { profile baseline }
server chat {
  software prosody 0.12
  domain   example.org
  address  198.51.100.10
}
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
` + clientCaps + `}
`,
		Run: func(p *Pass) {
			for _, s := range p.Policy.Servers {
				for _, own := range p.ownRecords(s) {
					if own.Connect {
						p.Report(p.domainPlace(s, own.Domain), fmt.Sprintf("_xmppconnect.%s still says where web clients connect", own.Domain), label(own.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "upload-http",
		Severity:  diag.Error,
		Title:     "files are uploaded and fetched without TLS",
		Why:       "The address of a file is the only secret that protects it, and slots carry a token that lets whoever reads it put another file in its place. The standard knows https addresses only.",
		Reference: "XEP-0363 §4, §9",
		Remedy:    "State `tls terminate at POINT`, or `tls required` where the server ends TLS itself.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: onHost + `web of chat {
  from any
  tls  none
  upload "/upload" { size 10MiB }
` + webCaps + `}
`,
		Good: onHost + `web of chat {
  from any
  tls  required
  upload "/upload" { size 10MiB }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("upload") {
				if t := p.webOf(r); t != nil {
					if far, ok := p.clearTo(t); ok {
						p.Report(r.Origin.Span, fmt.Sprintf("%s of %s is reachable without TLS (%s)", r.Path, r.Server.Name, far), label(t.At["tls"], "stated here"))
					}
				}
			}
		},
	},
	{
		Code:      "upload-size-vs-proxy",
		Severity:  diag.Warning,
		Title:     "the proxy refuses uploads that the server has promised to take",
		Why:       "The server gives out a slot for a file of that size, and the proxy then answers 413. The user sees an upload that fails at its end, without a reason.",
		Reference: "XEP-0363 §3",
		Remedy:    "Raise `body` to the `size` of files, or lower `size`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  upload "/upload" { size 50MiB  body 10MiB }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  upload "/upload" { size 50MiB  body 50MiB }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("upload") {
				if r.BodyMax > 0 && r.BodyMax < r.Size {
					p.Report(p.setting(r, "body"), fmt.Sprintf("requests to %s may have %s, and files %s", r.Path, ir.SizeWords(r.BodyMax), ir.SizeWords(r.Size)),
						label(p.setting(r, "size"), "the size of files"))
				}
			}
		},
	},
	{
		Code:      "upload-same-origin",
		Severity:  diag.Warning,
		Title:     "uploaded files come from the same origin as the web client",
		Why:       "A file can be a page with a script in it. Opened from the web client's own origin, the script reads and writes as the user who opened it.",
		Reference: "XEP-0363 §9.1",
		Remedy:    "Give uploads a host name of their own with a `host` line, and state where the web client is with `origin` or `host`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  host chat.example.org
  bosh   "/http-bind" { body 64KiB }
  upload "/upload"    { size 10MiB }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh   "/http-bind" { body 64KiB  host chat.example.org }
  upload "/upload"    { size 10MiB  host upload.example.org }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, up := range p.routesOf("upload") {
				t := p.webOf(up)
				if t == nil {
					continue
				}
				for _, app := range t.Routes {
					if app.Kind != "bosh" && app.Kind != "websocket" {
						continue
					}
					host, ok := sharedHost(t, up, app)
					if !ok {
						continue
					}
					p.Report(up.Origin.Span, fmt.Sprintf("files of %s come from %s, where the web client is", up.Path, host), label(app.Origin.Span, "the web client uses this"))
					break // one host name mends all of them
				}
			}
		},
	},
	{
		Code:      "upload-slot-timeout",
		Severity:  diag.Info,
		Title:     "upload slots are valid for much longer than an upload takes",
		Why:       "A slot is for one upload that the client begins at once. Whoever learns of an unused one may put a file in its place for as long as it is valid.",
		Reference: "XEP-0363 §8",
		Remedy:    "State `slot 300s`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  upload "/upload" { size 10MiB  slot 1d }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  upload "/upload" { size 10MiB  slot 300s }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("upload") {
				if r.Slot > longestSlot {
					p.Report(p.setting(r, "slot"), fmt.Sprintf("slots of %s are valid for %s", r.Path, ir.DurationWords(r.Slot)))
				}
			}
		},
	},
}

// advertised are the addresses that host-meta lists.
func (p *Pass) advertised(r *ir.HTTPRoute) []*lang.Str {
	var out []*lang.Str
	for _, l := range p.routeLines(r) {
		out = append(out, l.Advertise...)
	}
	return out
}

func schemeOf(s *lang.Str) string {
	scheme, _, _ := strings.Cut(s.Value(), ":")
	return strings.ToLower(scheme)
}

// boundToTLS reports whether every mechanism needs the client's own TLS: channel
// binding, or its certificate.
func boundToTLS(mechanisms []string) bool {
	return len(mechanisms) > 0 && !slices.ContainsFunc(mechanisms, func(m string) bool {
		m = strings.ToLower(m)
		return m != "external" && !strings.HasSuffix(m, "-plus")
	})
}

// sharedHost finds a host name that files come from and the pages that use the
// second path as well. Pages come from the origins that the path names or, where
// it names none, from its own host. Without a host line, a path is served by
// every name.
func sharedHost(t *ir.WebTerms, up, app *ir.HTTPRoute) (string, bool) {
	hosts := func(r *ir.HTTPRoute) []string {
		if len(r.Hosts) > 0 {
			return r.Hosts
		}
		return t.Hosts
	}
	files := hosts(up)
	var pages []string
	for _, o := range app.Origins {
		if u, err := url.Parse(o); err == nil && u.Hostname() != "" {
			pages = append(pages, strings.ToLower(u.Hostname()))
		}
	}
	if len(pages) == 0 {
		pages = hosts(app)
		switch {
		case len(files) == 0 && len(pages) == 0:
			return "every name, so also from the one", true
		case len(files) == 0:
			return pages[0], true
		}
	}
	for _, h := range files {
		if slices.Contains(pages, h) {
			return h, true
		}
	}
	return "", false
}
