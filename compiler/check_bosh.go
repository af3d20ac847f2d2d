package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// manyRequests is more requests at the same time than any BOSH client has: one
// more than it holds, and it holds one (XEP-0124 section 7.2).
const manyRequests = 10

// endless is longer than anybody waits; Openfire says 68 years.
const endless = 24 * 60 * 60 // seconds

// boshMethods are those that a BOSH path has a use for: POST is the protocol,
// OPTIONS is what browsers ask first, and GET shows people that it is there.
var boshMethods = []string{"POST", "OPTIONS", "GET", "HEAD"}

var boshChecks = []Check{
	{
		Code:      "bosh-wait-vs-proxy",
		Severity:  diag.Error,
		Title:     "the proxy gives up on a BOSH request before the server answers it",
		Why:       "The server holds a request until it has something to say, for as long as `wait`. A proxy that waits no longer than that answers with an error first, and the client takes the session for broken.",
		Reference: "XEP-0124 §7.1, §10",
		Remedy:    "State the server's longest `wait`, and a `timeout` that is at least 10 s longer.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  wait 60s  timeout 60s }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  wait 60s  timeout 75s }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh") {
				if r.Point == nil || r.Timeout == 0 {
					continue
				}
				wait, from := r.Wait, label(p.setting(r, "wait"), "the server may hold the request so long")
				if wait == 0 {
					n, d, known := usually(r.Server, "bosh-wait")
					if !known {
						continue
					}
					wait, from = n, byDefault(r.Server, d)
				}
				if wait >= r.Timeout {
					may := ir.DurationWords(wait)
					if wait > endless {
						may = "any time"
					}
					p.Report(p.setting(r, "timeout"), fmt.Sprintf("%s waits %s for an answer that may take %s", r.Point.Name, ir.DurationWords(r.Timeout), may), from)
				}
			}
		},
	},
	{
		Code:      "bosh-polling",
		Severity:  diag.Warning,
		Title:     "BOSH sessions may poll",
		Why:       "A client that polls asks again and again whether there is something for it: ten to a hundred times the load of one whose request is held, for later messages.",
		Reference: "XEP-0124 §12",
		Remedy:    "State `polling off`; every client can hold a request.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  polling on }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  polling off }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh") {
				if r.Polling == "on" {
					p.Report(p.setting(r, "polling"), fmt.Sprintf("sessions on %s may poll", r.Path))
				}
			}
		},
	},
	{
		Code:      "bosh-no-overactivity",
		Severity:  diag.Warning,
		Title:     "nothing ends a BOSH session that sends too much",
		Why:       "A session is overactive when it has more requests open than `requests` says. A number that no client reaches means that every rate has to be borne, and limits on connections do not see requests on one that is open.",
		Reference: "XEP-0124 §11, §12",
		Remedy:    "State `requests 2`, one more than a client holds, or a `limit requests` on the path.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  requests 100 }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  requests 2 }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh") {
				limits := r.Limits
				if t := p.webOf(r); t != nil {
					limits = slices.Concat(limits, t.Limits)
				}
				bound := slices.ContainsFunc(limits, func(l *ir.Limit) bool { return l.Kind == ir.Requests && l.Key != ir.Global })
				if r.Requests > manyRequests && !bound {
					p.Report(p.setting(r, "requests"), fmt.Sprintf("a session on %s may have %d requests open", r.Path, r.Requests))
				}
			}
		},
	},
	{
		Code:      "bosh-route-open",
		Severity:  diag.Error,
		Title:     "BOSH clients may choose the server that is called for them",
		Why:       "With `route` a stranger names a host and a port, and the connection manager calls it from inside the site: an open proxy to whatever it reaches.",
		Reference: "XEP-0124 §7.1",
		Remedy:    "State `route off`: clients reach the server's own domains without it.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  route on }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  route off }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh") {
				if r.Route == "on" {
					p.Report(p.setting(r, "route"), fmt.Sprintf("clients of %s choose which server is called", r.Path))
				}
			}
		},
	},
	{
		Code:      "bosh-method",
		Severity:  diag.Warning,
		Title:     "a BOSH path takes HTTP methods that BOSH has no use for",
		Why:       "Every request of BOSH is a POST. What else a path takes reaches whatever the server has there, and nobody has thought of what it does.",
		Reference: "XEP-0124 §5",
		Remedy:    "State `methods POST, OPTIONS`, with GET if people may look at the path.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  methods POST, OPTIONS, PUT }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  methods POST, OPTIONS, GET }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh") {
				for _, l := range p.routeLines(r) {
					for _, m := range l.Methods {
						if !slices.Contains(boshMethods, strings.ToUpper(m.Text)) {
							p.Report(m.Span(), fmt.Sprintf("%s takes %s, and BOSH has no use for it", r.Path, strings.ToUpper(m.Text)))
						}
					}
				}
			}
		},
	},
	{
		Code:      "bosh-buffering",
		Severity:  diag.Warning,
		Title:     "the proxy collects BOSH answers before it passes them on",
		Why:       "A held request is answered the moment there is a message. A proxy that buffers keeps it back, and one that passes it on in chunks breaks clients that do not expect them.",
		Reference: "XEP-0124 §5",
		Remedy:    "State `buffering off`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  buffering on }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  buffering off }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh") {
				if r.Buffering == "on" {
					p.Report(p.setting(r, "buffering"), fmt.Sprintf("answers on %s are buffered", r.Path))
				}
			}
		},
	},
	{
		Code:      "bosh-cors-star-credentials",
		Severity:  diag.Warning,
		Title:     "every web site may use the path with the visitor's own credentials",
		Why:       "`origin \"*\"` with credentials means that any page a user visits may act with what his browser is logged in with. Browsers refuse the pair, so servers that want it echo the origin, which is the same without the refusal.",
		Reference: "WHATWG Fetch: CORS protocol and credentials",
		Remedy:    "List the origins that use the path, or state `credentials off`: XMPP logs in within the session and needs none.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  origin "*"  credentials on }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB  origin "https://chat.example.org"  credentials on }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("bosh", "upload", "host-meta") {
				if r.Credentials != "on" {
					continue
				}
				for _, o := range p.origins(r) {
					if o.Value() == "*" {
						p.Report(o.Span(), fmt.Sprintf("every web site may use %s with the credentials of its visitors", r.Path), label(p.setting(r, "credentials"), "with credentials"))
					}
				}
			}
		},
	},
	{
		Code:      "bosh-assume-secure",
		Severity:  diag.Error,
		Title:     "the clear port behind the proxy is open to others as well",
		Why:       "The server takes what arrives on that port for secured by the proxy: with consider_bosh_secure or consider_websocket_secure in Prosody, and ejabberd and Openfire do not even ask. Whoever reaches it without the proxy logs in in clear text.",
		Reference: "XEP-0124 §19.2, Prosody documentation: mod_bosh, consider_bosh_secure",
		Remedy:    "Remove the statement, so that the proxy alone reaches the port.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `network branch = 203.0.113.0/24
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
allow network branch to http of chat
`,
		Good: atEdge + `network branch = 203.0.113.0/24
web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
allow network branch to web of chat
`,
		Run: func(p *Pass) {
			for _, t := range p.Policy.Webs {
				if t.Point == nil || !slices.ContainsFunc(t.Routes, func(r *ir.HTTPRoute) bool { return r.Kind == "bosh" || r.Kind == "websocket" }) {
					continue
				}
				for _, d := range p.accesses("allow") {
					p.besideProxy(d, t)
				}
			}
		},
	},
	{
		Code:      "http-poll-0025",
		Severity:  diag.Error,
		Title:     "HTTP polling is offered",
		Why:       "XEP-0025 is obsolete and nobody mends it any more. Every client asks all the time whether there is something for it, where one of BOSH is told.",
		Reference: "XEP-0025 §1, XEP-0124 §2",
		Remedy:    "Remove the path, and offer `bosh` or `websocket`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: atEdge + `web of chat {
  from any
  tls  terminate at edge
  polling "/http-poll"
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			for _, r := range p.routesOf("polling") {
				p.Report(r.Origin.Span, fmt.Sprintf("%s of %s is HTTP polling, which BOSH has replaced", r.Path, r.Server.Name))
			}
		},
	},
}

// besideProxy reports an allow statement by which others than the proxy reach
// the server's clear port. Administration shares that port in ejabberd, and is
// another question.
func (p *Pass) besideProxy(d *lang.AccessDecl, t *ir.WebTerms) {
	backend := []ir.PortSpan{t.Routes[0].Backend}
	for _, f := range p.flows(d) {
		if !overlaps(f.To.Set, t.Server.Set) || !intersects(f.Ports, backend) {
			continue
		}
		far := "any"
		if f.From.Set != nil {
			i := slices.IndexFunc(f.From.Set.Prefixes, func(pfx netip.Prefix) bool {
				return !loopback(pfx) && !holds(t.Server.Set, pfx) && !holds(t.Point.Set, pfx)
			})
			if i < 0 {
				continue
			}
			far = spell(f.From.Set.Prefixes[i])
		}
		for _, target := range d.To {
			if target.Service.Text != "admin" && strings.HasSuffix(f.Origin.Label, " to "+target.Service.Text+" of "+target.Of.Text) {
				p.Report(target.Span(), fmt.Sprintf("%s reaches port %d of %s, which is clear and meant for %s alone", far, backend[0].From, t.Server.Name, t.Point.Name),
					label(t.At["tls"], "TLS ends at %s", t.Point.Name))
			}
		}
	}
}
