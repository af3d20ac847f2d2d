package compiler

import (
	"cmp"
	"fmt"
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
	var ls []*lang.Limit
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
		case i.Route != nil:
			routes = true
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		}
	}
	bounds := s.limits(o, "web", ls)
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
	t := &ir.WebTerms{Server: srv, TLS: mode, At: seen, Origin: o}
	if mode != "terminate" {
		service, registered := "https", uint16(443)
		if mode == "none" {
			service, registered = "http", 80
		}
		if port != 0 {
			s.listen(srv, service, tcpPort(port))
		}
		f := &ir.Flow{Kind: ir.Web, From: end, To: serverEnd(srv), Ports: s.portsFor(srv, service, registered), Server: srv, TLS: mode, Origin: o}
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
	f := &ir.Flow{Kind: ir.Web, From: end, To: pointEnd, Ports: []ir.PortSpan{w.listen}, Server: srv, TLS: "required", Origin: o}
	f.ID = s.id("web", srv.Name)
	s.bound(s.flow(f), bounds)
	leg := &ir.Flow{Kind: ir.Web, From: pointEnd, To: serverEnd(srv), Ports: []ir.PortSpan{w.backend}, Server: srv, TLS: "none",
		Origin: origin(o.Span, fmt.Sprintf("web of %s, from point %s", srv.Name, pt.Name))}
	leg.ID = s.id("web", srv.Name, "leg")
	s.flow(leg)
	w.flow = leg
	s.webs[d] = w
	t.Point, t.Flows, t.Limits = pt, []*ir.Flow{f, leg}, s.stated(bounds)
	s.p.Webs = append(s.p.Webs, t)
}

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
			r := &ir.HTTPRoute{Kind: i.Route.Kind, Path: i.Route.Path.Value()}
			ok := s.path(i.Route.Path)
			if i.Route.Body != nil {
				seen := once{}
				for _, l := range i.Route.Body.Items {
					if l.Setting == nil || l.Setting.Name != "body" || seen.seen(s, "body", l) {
						continue
					}
					var good bool
					r.BodyMax, good = s.size(l.Setting.Value)
					ok = ok && good
				}
			}
			if !ok || w == nil {
				continue
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
			r.Origin = origin(until(i.Route, i.Route.Path), fmt.Sprintf("%s %s of %s", r.Kind, r.Path, w.server.Name))
			s.p.Routes = append(s.p.Routes, r)
			w.terms.Routes = append(w.terms.Routes, r)
		}
	})
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
