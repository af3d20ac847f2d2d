package compiler

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// XMPP over HTTP: who may come, and the paths that are served.

// webListener is where the web clients of a statement arrive, and where the
// server takes them.
type webListener struct {
	point           *ir.Point // where TLS ends; nil when the server ends it
	server          *ir.Server
	listen, backend ir.PortSpan
	flow            *ir.Flow
	terms           *ir.WebTerms
}

// web makes the flow of BOSH and WebSocket clients (XEP-0124, RFC 7395), and
// behind a proxy that ends TLS the leg to the server.
func (s *state) web(d *lang.WebDecl) {
	srv := s.server(d.Server)
	if !s.firstFor("web", d.Server) || srv == nil {
		return
	}
	o := origin(until(d, d.Server), "web of "+srv.Name)
	seen := once{}
	var from []*lang.Word
	var tls *lang.WebTLS
	var stated *lang.Word
	t := &ir.WebTerms{Server: srv, At: seen, Origin: o}
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	routes := false
	for _, i := range d.Body.Items {
		switch {
		case i.From != nil:
			seen.note("from", i)
			from = append(from, i.From...)
		case i.TLS != nil:
			if !seen.seen(s, "tls", i) {
				tls = i.TLS
			}
		case i.Port != nil:
			if !seen.seen(s, "port", i) {
				stated = i.Port
			}
		case i.Host != nil:
			seen.note("host", i)
			t.Hosts = s.hostNames(t.Hosts, i.Host)
		case i.Route != nil:
			routes = true
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	bounds := s.limits(o, "web", ls)
	terms := s.terms(o, meta)
	end, ok := anyEnd, true
	if from != nil {
		end, ok = s.endpoint(from, "from_web-"+srv.Name, true, o)
	}
	mode := "required"
	if tls != nil {
		if mode = s.oneOf(tls.Mode, "tls of web", "terminate", "required", "none"); mode == "" {
			ok = false
		}
		if tls.At != nil && mode != "terminate" && mode != "" {
			s.addRemedy("value-invalid", tls.Span(), fmt.Sprintf("tls %s is not at a point", mode), "Write tls terminate at POINT, or tls "+mode+".")
			ok = false
		}
		if mode == "terminate" && tls.At == nil {
			s.addRemedy("value-missing", tls.Span(), "tls terminate does not say where", "Write tls terminate at POINT.")
			ok = false
		}
	}
	var port uint16
	if stated != nil {
		var good bool
		port, good = s.port(stated)
		ok = ok && good
	}
	if !ok {
		if tls != nil && tls.At != nil {
			s.lookup(tls.At, "point")
		}
		return
	}
	t.TLS = mode
	if mode != "terminate" {
		service, registered := "https", uint16(443)
		if mode == "none" {
			service, registered = "http", 80
		}
		if port != 0 {
			s.listen(srv, service, tcpPort(port))
		}
		f := &ir.Flow{Kind: ir.Web, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, service, registered), Server: srv, TLS: mode, Terms: terms, Origin: o}
		f.ID = s.id("web", srv.Name)
		s.bound(s.flow(f), bounds)
		s.webs[d] = &webListener{server: srv, listen: f.Ports[0], backend: f.Ports[0], flow: f, terms: t}
		t.Flows, t.Limits = []*ir.Flow{f}, s.stated(bounds)
		s.p.Webs = append(s.p.Webs, t)
		return
	}
	n := s.lookup(tls.At, "point")
	if n == nil || n.point == nil {
		return
	}
	pt := n.point
	if len(pt.Set.Prefixes) == 0 {
		s.addRemedy("value-missing", tls.At.Span(), fmt.Sprintf("point %s states no address that web clients could reach", pt.Name), "State the address of the point.", diag.Label{Span: pt.Origin.Span, Text: "stated here"})
		return
	}
	if !routes {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("web of %s ends TLS at point %s and names no path", srv.Name, pt.Name), `Add the paths that the proxy serves, such as bosh "/http-bind".`)
	}
	w := &webListener{terms: t, point: pt, server: srv, listen: tcpPort(cmp.Or(port, 443)), backend: s.portsFor(srv, "http", 80)[0]}
	pointEnd := ir.Endpoint{Label: "point " + pt.Name, Set: pt.Set}
	f := &ir.Flow{Kind: ir.Web, From: end, To: pointEnd, Ports: []ir.PortSpan{w.listen}, Server: srv, TLS: "required", Terms: terms, Origin: o}
	f.ID = s.id("web", srv.Name)
	s.bound(s.flow(f), bounds)
	leg := &ir.Flow{Kind: ir.Web, Leg: true, From: pointEnd, To: serverEnd(srv), Ports: []ir.PortSpan{w.backend}, Server: srv, TLS: "none", Terms: terms,
		Origin: origin(o.Span, fmt.Sprintf("web of %s, from point %s", srv.Name, pt.Name))}
	leg.ID = s.id("web", srv.Name, "leg")
	s.flow(leg)
	w.flow = leg
	s.carried[f] = true
	s.webs[d] = w
	t.Point, t.Flows, t.Limits = pt, []*ir.Flow{f, leg}, s.stated(bounds)
	s.p.Webs = append(s.p.Webs, t)
}

// resolveRoutes reads the paths of web statements.
func (s *state) resolveRoutes() {
	type place struct {
		point  *ir.Point
		server *ir.Server
		listen ir.PortSpan
		path   string
	}
	first := map[place]diag.Span{}
	each(s, func(d *lang.Decl) *lang.WebDecl { return d.Web }, func(d *lang.WebDecl) {
		w := s.webs[d]
		for _, i := range d.Body.Items {
			if i.Route == nil {
				continue
			}
			o := origin(until(i.Route, i.Route.Path), fmt.Sprintf("%s %s of %s", i.Route.Kind, i.Route.Path.Value(), d.Server.Text))
			r := &ir.HTTPRoute{Kind: i.Route.Kind, Path: i.Route.Path.Value(), Origin: o}
			ok := s.path(i.Route.Path)
			if i.Route.Body != nil {
				ok = s.routeLines(r, i.Route.Body.Items) && ok
			}
			if !ok || w == nil {
				continue
			}
			if r.Hosts == nil {
				r.Hosts = w.terms.Hosts
			}
			at := place{w.point, w.server, w.listen, r.Path}
			if w.point != nil {
				at.server = nil // two servers behind one proxy share its paths
			}
			if old, taken := first[at]; taken {
				s.addRemedy("name-duplicate", i.Route.Path.Span(), fmt.Sprintf("path %s is served twice", quoted(r.Path)), "Give one of them another path.", diag.Label{Span: old, Text: "first stated here"})
				continue
			}
			first[at] = i.Route.Path.Span()
			r.Point, r.Server, r.Listen, r.Backend = w.point, w.server, w.listen, w.backend
			if n, _, known := usually(r.Server, "bosh-wait"); known && n <= endless && r.Kind == "bosh" {
				r.UsualWait = n
			}
			s.p.Routes = append(s.p.Routes, r)
			w.terms.Routes = append(w.terms.Routes, r)
		}
	})
}

// routeWords says which lines a path can have besides timeout, origin, host and
// limits: what it means is different for each kind.
var routeWords = map[string][]string{
	"bosh":      {"methods", "body", "wait", "idle", "requests", "polling", "route", "buffering", "credentials"},
	"websocket": {"frame", "idle"},
	"upload":    {"methods", "body", "size", "slot", "buffering", "credentials"},
	"host-meta": {"methods", "advertise", "credentials"},
	"polling":   {"methods", "body", "buffering", "credentials"},
}

// routeLines reads the block of a path.
func (s *state) routeLines(r *ir.HTTPRoute, lines []*lang.RouteLine) bool {
	seen := once{}
	r.At = seen
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	before := len(s.found)
	fits := func(what string, at lang.Node) bool {
		if slices.Contains(routeWords[r.Kind], what) {
			return true
		}
		var here []string
		for kind, words := range routeWords {
			if slices.Contains(words, what) {
				here = append(here, kind)
			}
		}
		slices.Sort(here)
		s.addRemedy("value-invalid", at.Span(), fmt.Sprintf("%s says nothing about a %s path", what, r.Kind), "It can stand in a path of "+strings.Join(here, " or ")+".")
		return false
	}
	for _, l := range lines {
		switch {
		case l.Methods != nil:
			seen.note("methods", l)
			if fits("methods", l) {
				r.Methods = s.methods(r.Methods, l.Methods)
			}
		case l.Origin != nil:
			seen.note("origin", l)
			r.Origins = s.origins(r.Origins, l.Origin)
		case l.Host != nil:
			seen.note("host", l)
			r.Hosts = s.hostNames(r.Hosts, l.Host)
		case l.Advertise != nil:
			seen.note("advertise", l)
			if fits("advertise", l) {
				r.Advertise = s.urls(r.Advertise, l.Advertise)
			}
		case l.Setting != nil:
			if !seen.seen(s, l.Setting.Name, l) && (l.Setting.Name == "timeout" || fits(l.Setting.Name, l)) {
				s.routeSetting(r, l.Setting)
			}
		case l.Limit != nil:
			ls = append(ls, l.Limit)
		case l.Meta != nil:
			meta = append(meta, l.Meta)
		}
	}
	r.Limits = s.stated(s.limits(r.Origin, "path", ls))
	s.terms(r.Origin, meta)
	return !diag.HasErrors(s.found[before:])
}

func (s *state) routeSetting(r *ir.HTTPRoute, i *lang.RouteSetting) {
	v := i.Value
	switch i.Name {
	case "body":
		r.BodyMax, _ = s.size(v)
	case "size":
		r.Size, _ = s.size(v)
	case "frame":
		r.Frame, _ = s.size(v)
	case "wait":
		r.Wait, _ = s.duration(v)
	case "idle":
		r.Idle, _ = s.duration(v)
	case "timeout":
		r.Timeout, _ = s.duration(v)
	case "slot":
		r.Slot, _ = s.duration(v)
	case "requests":
		n, wrong := count(v.Text)
		if wrong != "" {
			s.addRemedy("value-invalid", v.Span(), wrong, "Write how many requests a session may have open at the same time, such as 2.")
		}
		r.Requests = n
	case "polling":
		r.Polling = s.oneOf(v, "polling", "on", "off")
	case "route":
		r.Route = s.oneOf(v, "route", "on", "off")
	case "buffering":
		r.Buffering = s.oneOf(v, "buffering", "on", "off")
	case "credentials":
		r.Credentials = s.oneOf(v, "credentials", "on", "off")
	}
}

// hostNames reads the host names that web clients ask for.
func (s *state) hostNames(have []string, ws []*lang.Word) []string {
	for _, w := range ws {
		d, ok := s.domain(w)
		if ok && slices.Contains(have, d) {
			s.add("value-conflict", w.Span(), fmt.Sprintf("host %s is stated twice", d))
		} else if ok {
			have = append(have, d)
		}
	}
	return have
}

// httpMethods are those of RFC 9110 section 9.3 and RFC 5789.
var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"}

func (s *state) methods(have []string, ws []*lang.Word) []string {
	for _, w := range ws {
		m := strings.ToUpper(w.Text)
		switch {
		case !slices.Contains(httpMethods, m):
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no HTTP method", quoted(w.Text)), "Write methods such as POST, OPTIONS.")
		case slices.Contains(have, m):
			s.add("value-conflict", w.Span(), fmt.Sprintf("method %s is stated twice", m))
		default:
			have = append(have, m)
		}
	}
	return have
}

// origins reads the web origins whose scripts may use a path (RFC 6454).
func (s *state) origins(have []string, ts []*lang.Str) []string {
	for _, t := range ts {
		v := strings.ToLower(t.Value())
		u, err := url.Parse(v)
		switch {
		case v != "*" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || wrongDomain(u.Hostname()) != "" || v != u.Scheme+"://"+u.Host || len(v) > 200):
			s.addRemedy("value-invalid", t.Span(), fmt.Sprintf("%s is no web origin", quoted(t.Value())), `Write scheme and host, as in "https://chat.example.org", or "*" for every site.`)
		case slices.Contains(have, v):
			s.add("value-conflict", t.Span(), fmt.Sprintf("origin %s is stated twice", v))
		case len(have) > 0 && (v == "*" || have[0] == "*"):
			s.addRemedy("value-conflict", t.Span(), `"*" holds every other origin of this list`, `Keep "*", or the others.`)
		default:
			have = append(have, v)
		}
	}
	return have
}

// urls reads the URLs that host-meta lists (XEP-0156).
func (s *state) urls(have []string, ts []*lang.Str) []string {
	for _, t := range ts {
		v := t.Value()
		u, err := url.Parse(v)
		switch {
		case err != nil || !slices.Contains([]string{"https", "wss", "http", "ws"}, u.Scheme) || u.Host == "" || len(v) > 300:
			s.addRemedy("value-invalid", t.Span(), fmt.Sprintf("%s is no URL of a web connection", quoted(v)), `Write it as "wss://chat.example.org/xmpp-websocket".`)
		case slices.Contains(have, v):
			s.add("value-conflict", t.Span(), fmt.Sprintf("%s is listed twice", v))
		default:
			have = append(have, v)
		}
	}
	return have
}

// path checks an HTTP path: absolute, and of the letters that RFC 3986 section
// 3.3 allows in one without escapes.
func (s *state) path(p *lang.Str) bool {
	v := p.Value()
	const most = 200
	bad := ""
	switch {
	case !strings.HasPrefix(v, "/"):
		bad = "does not start with /"
	case len(v) > most:
		bad = fmt.Sprintf("is longer than %d characters", most)
	case strings.Contains(v, "//") || slices.Contains(strings.Split(v, "/"), "..") || slices.Contains(strings.Split(v, "/"), "."):
		bad = "is not in its shortest form"
	}
	for i := range len(v) {
		if c := v[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/-._~!$&'()*+,;=:@", c) >= 0) {
			bad = fmt.Sprintf("holds %q", c)
			break
		}
	}
	if bad == "" {
		return true
	}
	s.addRemedy("value-invalid", p.Span(), fmt.Sprintf("the path %s %s", quoted(v), bad), `Write a path such as "/http-bind".`)
	return false
}
