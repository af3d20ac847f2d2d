package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Anonymous users, media, administration, the nodes of a cluster, and what a
// server may call.

// oneServer begins a statement about a server; nil when there is nothing to go
// on with, which has been reported.
func (s *state) oneServer(what string, d lang.Node, w *lang.Word) (*ir.Server, ir.Origin) {
	srv := s.server(w)
	if !s.firstFor(what, w) || srv == nil {
		return nil, ir.Origin{}
	}
	return srv, origin(until(d, w), what+" of "+srv.Name)
}

// anonymous reads who may use the server without an account (XEP-0175). It makes
// no flow: such users come in by the ports of clients and web.
func (s *state) anonymous(d *lang.AnonymousDecl) {
	srv, o := s.oneServer("anonymous", d, d.Server)
	if srv == nil {
		return
	}
	seen := once{}
	t := &ir.AnonymousTerms{Server: srv, From: anyEnd, Federation: ir.Deny, At: seen, Origin: o}
	var from []*lang.Word
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	for _, i := range d.Body.Items {
		switch {
		case i.Domain != nil:
			seen.note("domain", i)
			t.Domains = s.ownDomains(srv, t.Domains, i.Domain)
		case i.From != nil:
			seen.note("from", i)
			from = append(from, i.From...)
		case i.Setting != nil:
			if seen.seen(s, i.Setting.Name, i) {
				continue
			}
			switch i.Setting.Name {
			case "federation":
				if s.oneOf(i.Setting.Value, "federation of anonymous users", "allow", "deny") == "allow" {
					t.Federation = ir.Allow
				}
			case "storage":
				t.Storage = s.oneOf(i.Setting.Value, "storage", "cleared", "kept")
			}
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	s.terms(o, meta)
	t.Limits = s.stated(s.limits(o, "anonymous", ls))
	if _, stated := seen["domain"]; !stated {
		if t.Domains = srv.Domains; len(srv.Domains) > 1 {
			s.addRemedy("value-missing", o.Span, fmt.Sprintf("anonymous of %s does not say at which of its %d domains", srv.Name, len(srv.Domains)),
				"Add domain, and the domain that takes users without an account.", diag.Label{Span: srv.Origin.Span, Text: "the server"})
		}
	}
	_, clients := s.served[servedBy{"clients", srv.Name}]
	_, web := s.served[servedBy{"web", srv.Name}]
	if !clients && !web {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("anonymous users of %s have no way in: it has neither clients nor web", srv.Name),
			fmt.Sprintf("Add clients of %s or web of %s: anonymous users come in by their ports.", srv.Name, srv.Name))
	}
	if from != nil {
		end, ok := s.endpoint(from, "from_anonymous-"+srv.Name, true, o)
		if !ok {
			return
		}
		t.From = end
	}
	s.p.Anonymous = append(s.p.Anonymous, t)
}

// Ports that are registered for what media needs: STUN and TURN (RFC 8489
// section 18.6).
const stunPort = 3478

// media makes the flows of file transfer (XEP-0065) and of calls (XEP-0215).
func (s *state) media(d *lang.MediaDecl) {
	srv, o := s.oneServer("media", d, d.Server)
	if srv == nil {
		return
	}
	seen := once{}
	t := &ir.MediaTerms{Server: srv, From: anyEnd, At: seen, Origin: o}
	var from []*lang.Word
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	ok := true
	for _, i := range d.Body.Items {
		switch {
		case i.From != nil:
			seen.note("from", i)
			from = append(from, i.From...)
		case i.Service != nil:
			if seen.seen(s, i.Service.Kind, i) {
				continue
			}
			port, good := s.mediaPort(srv, i.Service)
			ok = ok && good
			if i.Service.Kind == "proxy65" {
				t.Proxy65, t.Proxy65Port = true, port
			} else {
				t.STUN, t.STUNPort = true, port
			}
		case i.Setting != nil:
			if seen.seen(s, i.Setting.Name, i) {
				continue
			}
			v := i.Setting.Value
			switch i.Setting.Name {
			case "relay":
				var good bool
				if t.RelayFrom, t.RelayTo, good = parsePorts(v.Text); !good {
					s.addRemedy("value-invalid", v.Span(), fmt.Sprintf("%s is no range of ports", quoted(v.Text)), "Write the range that the relay is configured for, such as relay 49152-65535 (RFC 8656 section 7.2).")
					ok = false
				}
			case "auth":
				t.Auth = s.oneOf(v, "auth of media", "required", "none")
			case "private-peers":
				t.PrivatePeers = s.oneOf(v, "private-peers", "allow", "deny")
			}
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	terms := s.terms(o, meta)
	bounds := s.limits(o, "media", ls)
	if _, relay := seen["relay"]; !relay && !t.Proxy65 && !t.STUN {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("media of %s names no service", srv.Name), "Add proxy65 for file transfer, or stun and relay for calls.")
		return
	}
	if from != nil {
		end, good := s.endpoint(from, "from_media-"+srv.Name, true, o)
		t.From, ok = end, ok && good
	}
	if !ok {
		return
	}
	add := func(name string, ports ...ir.PortSpan) {
		f := &ir.Flow{Kind: ir.Media, From: t.From, To: serverEnd(srv), Ports: sortPorts(ports), Server: srv, Terms: terms, Origin: o}
		f.ID = s.id("media", srv.Name, name)
		s.bound(s.flow(f), bounds)
		t.Flows = append(t.Flows, f)
	}
	if t.Proxy65 {
		add("proxy65", tcpPort(t.Proxy65Port))
	}
	if t.STUN {
		add("stun", tcpPort(t.STUNPort), udpPort(t.STUNPort))
	}
	if t.RelayFrom != 0 {
		add("relay", ir.PortSpan{Proto: ir.UDP, From: t.RelayFrom, To: t.RelayTo})
	}
	t.Limits = s.stated(bounds)
	s.p.Media = append(s.p.Media, t)
}

// mediaPort finds the port of a media service: the stated one, or that of the
// software.
func (s *state) mediaPort(srv *ir.Server, i *lang.MediaService) (uint16, bool) {
	if i.Port != nil {
		p, ok := s.port(i.Port)
		if ok && i.Kind == "stun" {
			s.listen(srv, "stun", tcpPort(p), udpPort(p))
		} else if ok {
			s.listen(srv, i.Kind, tcpPort(p))
		}
		return p, ok
	}
	if ps := servicePorts(srv, i.Kind); len(ps) > 0 {
		return ps[0].From, true
	}
	registered := map[string]string{"proxy65": "7777", "stun": "3478"}[i.Kind]
	if srv.Software != "" {
		s.addRemedy("value-missing", i.Span(), fmt.Sprintf("%s does not state its port, and %s has no default for it", i.Kind, srv.Software),
			fmt.Sprintf("Write %s port %s, and let the server listen there.", i.Kind, registered))
	}
	return stunPort, false
}

// admin makes the flow of those who administer the server over the network.
func (s *state) admin(d *lang.AdminDecl) {
	srv, o := s.oneServer("admin", d, d.Server)
	if srv == nil {
		return
	}
	seen := once{}
	t := &ir.AdminTerms{Server: srv, At: seen, Origin: o}
	var from, ports []*lang.Word
	var ls []*lang.Limit
	var meta []*lang.MetaItem
	for _, i := range d.Body.Items {
		switch {
		case i.From != nil:
			seen.note("from", i)
			from = append(from, i.From...)
		case i.Port != nil:
			seen.note("port", i)
			ports = append(ports, i.Port...)
		case i.TLS != nil:
			if !seen.seen(s, "tls", i) {
				t.TLS = s.oneOf(i.TLS, "tls of admin", "required", "none")
			}
		case i.Limit != nil:
			ls = append(ls, i.Limit)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	terms := s.terms(o, meta)
	bounds := s.limits(o, "admin", ls)
	if from == nil {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("admin of %s does not state who administers it", srv.Name), "Add from and the networks of the administrators: whoever reaches these ports may try their passwords.")
		return
	}
	end, ok := s.endpoint(from, "from_admin-"+srv.Name, true, o)
	spans, good := s.adminPorts(t, ports)
	if !ok || !good {
		return
	}
	t.From = end
	f := &ir.Flow{Kind: ir.Admin, From: end, To: serverEnd(srv), Ports: spans, Server: srv, TLS: t.TLS, Terms: terms, Origin: o}
	f.ID = s.id("admin", srv.Name)
	s.bound(s.flow(f), bounds)
	if t.TLS == "required" {
		s.direct[f] = f.Ports
	}
	t.Flows, t.Limits = []*ir.Flow{f}, s.stated(bounds)
	s.p.Admins = append(s.p.Admins, t)
}

// adminPorts are those that are stated, or those where the software is
// administered; with tls required only the ones that have TLS. Its other ports
// stay listed: as nothing allows them, they are closed.
func (s *state) adminPorts(t *ir.AdminTerms, stated []*lang.Word) ([]ir.PortSpan, bool) {
	srv := t.Server
	var out []ir.PortSpan
	ok := true
	for _, w := range stated {
		p, good := s.port(w)
		if !good {
			ok = false
			continue
		}
		span := tcpPort(p)
		if slices.Contains(out, span) {
			s.add("value-conflict", w.Span(), fmt.Sprintf("port %d is stated twice", p))
			continue
		}
		out = append(out, span)
		if !slices.Contains(servicePorts(srv, "admin"), span) {
			transport := "clear"
			if t.TLS == "required" {
				transport = "tls"
			}
			srv.Listeners = append(srv.Listeners, ir.Listener{Service: "admin", Port: span, Stated: true, Transport: transport, Bind: "any", Source: "the policy"})
			sortListeners(srv.Listeners)
		}
	}
	if stated != nil {
		return sortPorts(out), ok
	}
	all := 0
	for _, l := range srv.Listeners {
		if l.Service != "admin" {
			continue
		}
		all++
		if t.TLS != "required" || l.Transport == "tls" {
			out = append(out, l.Port)
		}
	}
	switch {
	case len(out) > 0:
		return sortPorts(out), true
	case srv.Software == "":
	case all > 0:
		s.addRemedy("value-missing", t.At["tls"], fmt.Sprintf("%s %s offers its administration without TLS only", srv.Software, srv.Version), "State the port where the server or a proxy on its machine offers TLS, such as port 8443.")
	default:
		s.addRemedy("value-missing", t.Origin.Span, fmt.Sprintf("admin of %s does not state its port, and %s has no default for it", srv.Name, srv.Software), "Add port and the port where it is administered.")
	}
	return nil, false
}

// cluster makes the flows between the nodes of one server: each of them calls
// the others.
func (s *state) cluster(d *lang.ClusterDecl) {
	srv, o := s.oneServer("cluster", d, d.Server)
	if srv == nil {
		return
	}
	seen := once{}
	t := &ir.ClusterTerms{Server: srv, At: seen, Origin: o}
	var with, ports []*lang.Word
	var meta []*lang.MetaItem
	for _, i := range d.Body.Items {
		switch {
		case i.With != nil:
			seen.note("with", i)
			with = append(with, i.With...)
		case i.Port != nil:
			seen.note("port", i)
			ports = append(ports, i.Port...)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	terms := s.terms(o, meta)
	ok := true
	if with == nil {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("cluster of %s does not state its other nodes", srv.Name), "Add with and their addresses: whoever reaches these ports may join, and then is the server.")
		ok = false
	} else {
		var good bool
		t.With, good = s.endpoint(with, "cluster_"+srv.Name, false, o)
		ok = ok && good
		if good && itself(srv, t.With) {
			s.addRemedy("value-invalid", with[0].Span(), fmt.Sprintf("cluster of %s names only the server itself", srv.Name), "Name the addresses of its other nodes, or remove the statement.",
				diag.Label{Span: srv.Origin.Span, Text: "the server is stated here"})
			ok = false
		}
	}
	var spans []ir.PortSpan
	for _, w := range ports {
		from, to, good := parsePorts(w.Text)
		if !good {
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no port or range of ports", quoted(w.Text)), "Write ports such as 4369 or 9100-9109.")
			ok = false
			continue
		}
		spans = append(spans, ir.PortSpan{Proto: ir.TCP, From: from, To: to})
	}
	if ports == nil {
		spans = slices.Clone(servicePorts(srv, "cluster"))
		if len(spans) == 0 {
			if srv.Software != "" {
				s.addRemedy("value-missing", o.Span, fmt.Sprintf("cluster of %s does not state its ports, and %s has no default for them", srv.Name, srv.Software), "Add port and the ports that the nodes call each other on.")
			}
			ok = false
		}
	}
	if !ok {
		return
	}
	spans = mergePorts(spans)
	in := &ir.Flow{Kind: ir.Cluster, From: t.With, To: serverEnd(srv), Ports: spans, Server: srv, Terms: terms, Origin: o}
	in.ID = s.id("cluster", srv.Name)
	out := &ir.Flow{Kind: ir.Cluster, From: serverEnd(srv), To: t.With, Ports: spans, Server: srv, Outbound: true, Terms: terms, Origin: o}
	out.ID = s.id("cluster", srv.Name, "out")
	t.Flows = []*ir.Flow{s.flow(in), s.flow(out)}
	s.p.Clusters = append(s.p.Clusters, t)
}

// itself reports whether the end is nobody but the server's own machine: its
// addresses, or the loopback ones (RFC 1122 section 3.2.1.3, RFC 4291 section
// 2.5.3).
func itself(srv *ir.Server, end ir.Endpoint) bool {
	if end.Any || end.Set == nil {
		return false
	}
	for _, p := range end.Set.Prefixes {
		if q, own := srv.Set.Covering(p.Addr()); !p.Addr().IsLoopback() && (!own || q.Bits() > p.Bits()) {
			return false
		}
	}
	return len(end.Set.Prefixes) > 0
}

// callServices are what an egress rule can name besides protocol and port.
var callServices = map[string][]ir.PortSpan{
	"dns":   {tcpPort(53), tcpPort(853), udpPort(53)}, // RFC 1035 section 4.2, RFC 7858 section 3.1
	"https": {tcpPort(443)},
	"http":  {tcpPort(80)},
	"smtp":  {tcpPort(25), tcpPort(465), tcpPort(587)}, // RFC 8314 section 7.3
	"ldap":  {tcpPort(389), tcpPort(636)},
	"ntp":   {udpPort(123)},
}

// egress makes the flows of what a server may call besides federation.
func (s *state) egress(d *lang.EgressDecl) {
	srv, o := s.oneServer("egress", d, d.Server)
	if srv == nil {
		return
	}
	seen := once{}
	t := &ir.EgressTerms{Server: srv, At: seen, Origin: o}
	var meta []*lang.MetaItem
	var rules []*lang.EgressRule
	for _, i := range d.Body.Items {
		switch {
		case i.Default != nil:
			if !seen.seen(s, "default", i) {
				t.Default = map[string]ir.Verdict{"allow": ir.Allow, "deny": ir.Deny}[s.oneOf(i.Default, "the default of egress", "allow", "deny")]
			}
		case i.Rule != nil:
			rules = append(rules, i.Rule)
		case i.Meta != nil:
			meta = append(meta, i.Meta)
		}
	}
	terms := s.terms(o, meta)
	if _, stated := seen["default"]; !stated {
		s.addRemedy("value-missing", o.Span, fmt.Sprintf("egress of %s does not say what becomes of all other calls", srv.Name), "Add default deny, or default allow.")
	}
	type said struct {
		verdict string
		during  *ir.Window
		at      diag.Span
	}
	before := map[string][]said{}
	for _, r := range rules {
		at := until(r, r.To[len(r.To)-1])
		words := fmt.Sprintf("%s %s to %s", r.Verdict, joinWords(r.Services), joinWords(r.To))
		f := &ir.Flow{Kind: ir.Egress, From: serverEnd(srv), Server: srv, Outbound: true, Block: o, Origin: origin(at, fmt.Sprintf("egress of %s, %s", srv.Name, words))}
		f.Verdict = map[string]ir.Verdict{"allow": ir.Allow, "deny": ir.Deny}[r.Verdict]
		if f.Terms = s.timedTerms(f.Origin, behind(r.Body)); f.Terms == nil {
			f.Terms = terms
		}
		now := said{verdict: r.Verdict, at: at}
		if f.Terms != nil {
			now.during = f.Terms.During
		}
		ok := true
		for _, w := range r.Services {
			ports, good := s.callPorts(w)
			ok = ok && good
			f.Ports = append(f.Ports, ports...)
			for _, to := range r.To {
				key := w.Text + " to " + to.Text
				if i := slices.IndexFunc(before[key], func(o said) bool { return o.during.Meets(now.during) }); i >= 0 {
					summary := fmt.Sprintf("%s %s is stated twice", r.Verdict, key)
					if before[key][i].verdict != r.Verdict {
						summary = fmt.Sprintf("%s is denied and allowed", key)
					}
					s.add("value-conflict", at, summary, diag.Label{Span: before[key][i].at, Text: "stated here"})
				}
				before[key] = append(before[key], now)
			}
		}
		to, good := s.endpoint(r.To, "egress_"+srv.Name+"_"+joinWords(r.To), true, f.Origin)
		if !ok || !good {
			continue
		}
		f.To, f.Ports = to, mergePorts(f.Ports)
		f.ID = s.id("egress", srv.Name, r.Verdict, joinWords(r.Services), joinWords(r.To))
		t.Flows = append(t.Flows, s.flow(f))
	}
	s.p.Egress = append(s.p.Egress, t)
}

// callPorts reads a service that a server calls.
func (s *state) callPorts(w *lang.Word) ([]ir.PortSpan, bool) {
	if ps := callServices[w.Text]; ps != nil {
		return ps, true
	}
	proto, ports, ok := strings.Cut(w.Text, "/")
	if from, to, good := parsePorts(ports); ok && good && (proto == "tcp" || proto == "udp") {
		return []ir.PortSpan{{Proto: ir.Proto(proto), From: from, To: to}}, true
	}
	names := slices.Sorted(maps.Keys(callServices))
	s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no service that a server calls", quoted(w.Text)),
		suggest(w.Text, names)+"Write one of "+strings.Join(names, ", ")+", or a protocol and port such as tcp/5432.").Fix = respell(w, diag.Meant(w.Text, names))
	return nil, false
}

// mergePorts sorts ports and joins those that overlap or touch.
func mergePorts(ps []ir.PortSpan) []ir.PortSpan {
	var out []ir.PortSpan
	for _, p := range sortPorts(slices.Clone(ps)) {
		if n := len(out); n > 0 && out[n-1].Proto == p.Proto && int(p.From) <= int(out[n-1].To)+1 {
			out[n-1].To = max(out[n-1].To, p.To)
			continue
		}
		out = append(out, p)
	}
	return out
}

func udpPort(port uint16) ir.PortSpan { return ir.PortSpan{Proto: ir.UDP, From: port, To: port} }
