package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Clients: how they come in, and what the server has to be set to.

// clientWords is what a clients statement says, before it is understood.
type clientWords struct {
	from     []*lang.Word
	starttls *lang.TransItem
	direct   *lang.DirectTLS
	quic     *lang.Word
	limits   []*lang.Limit
	meta     []*lang.MetaItem
}

// clients makes the flows to the STARTTLS port, to the one with direct TLS
// (XEP-0368) and to QUIC (XEP-0467).
func (s *state) clients(d *lang.ClientsDecl) {
	srv := s.server(d.Server)
	if !s.firstFor("clients", d.Server) || srv == nil {
		return
	}
	o := origin(until(d, d.Server), "clients of "+srv.Name)
	t := &ir.ClientTerms{Server: srv, StartTLS: "required", Origin: o}
	w := s.clientWords(d, t)
	bounds := s.limits(o, "clients", w.limits)
	terms := s.terms(o, w.meta)
	id := "clients-" + srv.Name
	end, ok := anyEnd, true
	if w.from != nil {
		end, ok = s.endpoint(w.from, "from_"+id, true, o)
		if ok && itself(srv, end) {
			s.addRemedy("value-invalid", w.from[0].Span(), fmt.Sprintf("clients of %s come only from the server itself", srv.Name), "Name the networks of its users; what stays within the machine needs no statement.",
				diag.Label{Span: srv.Origin.Span, Text: "the server is stated here"}).Severity = diag.Info
		}
	}
	if w.starttls != nil {
		if t.StartTLS = s.oneOf(w.starttls.Mode, "starttls", "required", "optional", "off"); t.StartTLS == "" {
			ok = false
		}
		if w.starttls.Port != nil {
			if p, good := s.port(w.starttls.Port); good {
				s.listen(srv, "clients", tcpPort(p))
			}
		}
	}
	if t.StartTLS == "off" && w.direct == nil {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("clients of %s have no way in: starttls is off and there is no direct-tls", srv.Name), "Add direct-tls, or remove starttls off.")
	}
	var way *directWay
	if w.direct != nil {
		way = s.directTLS(t, w.direct)
	}
	if w.quic != nil {
		if p, good := s.port(w.quic); good {
			t.QUIC = p
			s.listen(srv, "clients-quic", ir.PortSpan{Proto: ir.UDP, From: p, To: p})
		}
	}
	if !ok {
		return
	}
	add := func(f *ir.Flow, name ...string) *ir.Flow {
		f.Kind, f.Server, f.Terms = ir.Clients, srv, terms
		if f.Origin.Label == "" {
			f.Origin = o
		}
		f.ID = s.id(append([]string{id}, name...)...)
		t.Flows = append(t.Flows, s.flow(f))
		return f
	}
	s.p.Clients = append(s.p.Clients, t)
	if t.StartTLS != "off" {
		s.bound(add(&ir.Flow{From: end, To: serverEnd(srv), Ports: s.portsFor(srv, "clients", 5222), TLS: t.StartTLS}), bounds)
	}
	if way != nil {
		f := add(&ir.Flow{From: end, To: way.to, Ports: way.ports, TLS: "direct"}, "tls")
		s.direct[f] = f.Ports
		s.bound(f, bounds)
		if way.leg != nil {
			leg := add(way.leg, "leg")
			s.carried[f] = true
			if leg.TLS == "direct" {
				s.direct[leg] = leg.Ports
			}
		}
	}
	if t.QUIC != 0 {
		f := add(&ir.Flow{From: end, To: serverEnd(srv), Ports: servicePorts(srv, "clients-quic"), TLS: "direct"}, "quic")
		s.direct[f] = f.Ports
		s.bound(f, bounds)
	}
	t.Limits = s.stated(bounds)
}

// clientWords reads the lines of a clients statement; what needs nothing else is
// understood at once.
func (s *state) clientWords(d *lang.ClientsDecl, t *ir.ClientTerms) clientWords {
	var w clientWords
	seen := once{}
	t.At = seen
	for _, i := range d.Body.Items {
		switch {
		case i.From != nil:
			seen.note("from", i)
			w.from = append(w.from, i.From...)
		case i.StartTLS != nil:
			if !seen.seen(s, "starttls", i) {
				w.starttls = i.StartTLS
			}
		case i.DirectTLS != nil:
			if !seen.seen(s, "direct-tls", i) {
				w.direct = i.DirectTLS
			}
		case i.SASL != nil:
			seen.note("sasl", i)
			t.SASL = s.mechanisms(t.SASL, i.SASL)
		case i.Setting != nil:
			if seen.seen(s, i.Setting.Name, i) {
				continue
			}
			v := i.Setting.Value
			switch i.Setting.Name {
			case "tls":
				t.TLS = s.tlsVersion(v)
			case "compression":
				t.Compression = s.oneOf(v, "compression", "on", "off")
			case "registration":
				t.Registration = s.oneOf(v, "registration", "closed", "invite", "open")
			case "lockout":
				t.Lockout = s.oneOf(v, "lockout", "source", "account", "none")
			case "idle":
				t.Idle, _ = s.duration(v)
			case "quic":
				w.quic = v
			}
		case i.Limit != nil:
			w.limits = append(w.limits, i.Limit)
		case i.Meta != nil:
			w.meta = append(w.meta, i.Meta)
		}
	}
	return w
}

// tlsVersion reads the oldest version of TLS that is allowed.
func (s *state) tlsVersion(w *lang.Word) string {
	versions := []string{"1.0", "1.1", "1.2", "1.3"}
	if slices.Contains(versions, w.Text) {
		return w.Text
	}
	s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no version of TLS", quoted(w.Text)),
		"Write the oldest version that is allowed: "+strings.Join(versions, ", ")+". That TLS is needed is starttls required.")
	return ""
}

// saslNames are the mechanisms of the registry that XMPP servers know (RFC 6120
// section 13.8), besides those that are a family: HT- (XEP-0484).
var saslNames = []string{
	"PLAIN", "EXTERNAL", "ANONYMOUS", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
	"SCRAM-SHA-512", "SCRAM-SHA-512-PLUS", "OAUTHBEARER", "X-OAUTH2", "DIGEST-MD5", "CRAM-MD5", "GSSAPI",
}

// mechanisms reads the names of SASL mechanisms, in any case.
func (s *state) mechanisms(have []string, ws []*lang.Word) []string {
	for _, w := range ws {
		name := strings.ToUpper(w.Text)
		switch {
		case slices.Contains(have, name):
			s.add("value-conflict", w.Span(), fmt.Sprintf("mechanism %s is stated twice", name))
		case slices.Contains(saslNames, name) || saslFamily(name):
			have = append(have, name)
		default:
			near := ""
			if n := nearestWord(name, lowered(saslNames)); n != "" {
				near = "Did you mean " + strings.ToUpper(n) + "? "
			}
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no SASL mechanism that an XMPP server offers", quoted(w.Text)), near+"Known are "+strings.Join(saslNames, ", ")+" and HT-….")
		}
	}
	return have
}

func saslFamily(name string) bool {
	rest, ok := strings.CutPrefix(name, "HT-")
	return ok && rest != "" && !strings.ContainsFunc(rest, func(r rune) bool { return !('A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-') })
}

func lowered(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}

// directWay is where clients arrive with direct TLS, and what follows from there
// where that is not the server.
type directWay struct {
	to    ir.Endpoint
	ports []ir.PortSpan
	leg   *ir.Flow
}

// directTLS finds out where direct TLS arrives and where it ends; nil when there
// is none to allow, which has been reported.
func (s *state) directTLS(t *ir.ClientTerms, d *lang.DirectTLS) *directWay {
	srv := t.Server
	pt, ok := s.directPoint(t, d)
	var port uint16
	if d.Port != nil {
		var good bool
		port, good = s.port(d.Port)
		ok = ok && good
	}
	if d.Unknown != nil {
		t.Unknown = s.oneOf(d.Unknown, "the default of alpn", "web", "clients", "close")
		ok = ok && t.Unknown != ""
	}
	if !ok {
		return nil
	}
	if t.Offload == nil {
		// The server ends TLS, so it has to have a port for it.
		if port != 0 && t.ALPN == nil {
			s.listen(srv, "clients-tls", tcpPort(port))
		}
		if len(servicePorts(srv, "clients-tls")) == 0 {
			if srv.Software == "" {
				return nil // its ports are not known, and that has been reported
			}
			missing := fmt.Sprintf("direct-tls does not state its port, and %s has no default for it", srv.Software)
			remedy := "Write direct-tls port 5223, and let the server listen there."
			if t.ALPN != nil {
				missing = fmt.Sprintf("server %s does not state its own clients-tls port behind %s, and %s has no default for it", srv.Name, d.ALPN.Text, srv.Software)
				remedy = fmt.Sprintf("Write port clients-tls 5223 in the block of server %s, and let it listen there.", srv.Name)
			}
			s.addRemedy("value-missing", d.Span(), missing, remedy)
			return nil
		}
	}
	t.Direct = true
	if pt == nil {
		ports := s.portsFor(srv, "clients-tls", 5223)
		t.DirectPort = ports[0].From
		return &directWay{to: serverEnd(srv), ports: ports}
	}
	t.DirectPort = port
	switch {
	case port != 0:
	case t.ALPN != nil:
		t.DirectPort = 443 // where the web is: that is what they share
	default:
		t.DirectPort = 5223
	}
	end := ir.Endpoint{Label: "point " + pt.Name, Set: pt.Set}
	way := &directWay{to: end, ports: []ir.PortSpan{tcpPort(t.DirectPort)}}
	way.leg = &ir.Flow{From: end, To: serverEnd(srv), Leg: true, TLS: "none", Ports: s.portsFor(srv, "clients", 5222),
		Origin: origin(t.Origin.Span, fmt.Sprintf("clients of %s, from point %s", srv.Name, pt.Name))}
	if t.Offload == nil {
		way.leg.TLS, way.leg.Ports = "direct", s.portsFor(srv, "clients-tls", 5223)
	}
	return way
}

// directPoint finds the point that clients reach with direct TLS; nil when that
// is the server.
func (s *state) directPoint(t *ir.ClientTerms, d *lang.DirectTLS) (*ir.Point, bool) {
	ok := true
	find := func(w *lang.Word) *ir.Point {
		if w == nil {
			return nil
		}
		n := s.lookup(w, "point")
		if n == nil || n.point == nil {
			ok = false
			return nil
		}
		if len(n.point.Set.Prefixes) == 0 {
			s.addRemedy("value-missing", w.Span(), fmt.Sprintf("point %s states no address that clients could reach", n.point.Name), "State the address of the point.",
				diag.Label{Span: n.point.Origin.Span, Text: "stated here"})
			ok = false
		}
		return n.point
	}
	t.ALPN, t.Offload = find(d.ALPN), find(d.Offload)
	if !ok {
		return nil, false
	}
	if t.ALPN != nil && t.Offload != nil && t.ALPN != t.Offload {
		s.addRemedy("value-conflict", d.Offload.Span(), fmt.Sprintf("clients arrive at point %s, which chooses by ALPN, and TLS ends at point %s", t.ALPN.Name, t.Offload.Name),
			"Write the same point behind alpn at and offload at, or leave one of them out.", diag.Label{Span: d.ALPN.Span(), Text: "the other point"})
		return nil, false
	}
	pt := t.ALPN
	if pt == nil {
		pt = t.Offload
	}
	return pt, true
}
