package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Allow and deny statements, and what every flow shows on the wire.

// target is a service that access is given to.
type target struct {
	words     string // admin of chat
	id        string // admin-chat
	end       ir.Endpoint
	ports     []ir.PortSpan
	server    *ir.Server
	component string
}

func (s *state) resolveAccess() {
	type said struct {
		verdict string
		window  *ir.Window
		at      diag.Span
	}
	before := map[string][]said{}
	each(s, func(d *lang.Decl) *lang.AccessDecl { return d.Access }, func(d *lang.AccessDecl) {
		verdict := map[string]ir.Verdict{"allow": ir.Allow, "deny": ir.Deny}[d.Verdict]
		at := until(d, d.Who[len(d.Who)-1]) // without its block
		if d.To != nil {
			at = until(d, d.To[len(d.To)-1])
		}
		label := d.Verdict + " " + joinWords(d.Who)
		if d.To != nil {
			label += " to " + joinTargets(d.To)
		}
		terms := s.timedTerms(origin(at, label), behind(d.Body))
		var targets []*target
		for _, t := range d.To {
			if found := s.target(t); found != nil {
				targets = append(targets, found)
			}
		}
		if d.To == nil {
			if verdict == ir.Allow {
				s.addRemedy("value-missing", at, "allow does not state what it gives access to", "Add to and the services, such as to ssh of edge.")
				return
			}
			// Everything that the policy guards: no ports and any destination.
			targets = []*target{{end: anyEnd}}
		}
		for _, w := range d.Who {
			o := origin(at, d.Verdict+" "+w.Text)
			end, ok := s.endpoint([]*lang.Word{w}, "from_"+d.Verdict+"_"+w.Text, true, o)
			if !ok {
				continue
			}
			if d.Network && !end.Any && !strings.HasPrefix(end.Label, "network ") && !strings.HasPrefix(end.Label, "zone ") {
				s.addRemedy("name-unknown", w.Span(), fmt.Sprintf("no network is named %s", quoted(w.Text)), "Remove the word network, or define the network.")
				continue
			}
			if end.Any && d.To == nil {
				s.addRemedy("value-invalid", w.Span(), "deny any would close every service of the policy", "Name the networks to deny, or the services behind to.")
				continue
			}
			for _, t := range targets {
				key := w.Text + " " + t.words
				now := said{verdict: d.Verdict, at: at}
				if terms != nil {
					now.window = terms.During
				}
				same := func(old said) bool { return old.window.Meets(now.window) }
				if i := slices.IndexFunc(before[key], same); i >= 0 {
					old := before[key][i]
					summary := fmt.Sprintf("%s %s is stated twice", d.Verdict, strings.TrimSpace(key))
					if old.verdict != d.Verdict {
						summary = fmt.Sprintf("%s is denied and allowed", strings.TrimSpace(strings.Replace(key, " ", " to ", 1)))
					}
					s.add("value-conflict", at, summary, diag.Label{Span: old.at, Text: "stated here"})
					continue
				}
				before[key] = append(before[key], now)
				f := &ir.Flow{Kind: ir.Access, Verdict: verdict, From: end, To: t.end, Ports: t.ports, Server: t.server, Component: t.component, Terms: terms}
				label := d.Verdict + " " + end.Label
				if t.words != "" {
					label += " to " + t.words
				}
				f.Origin = origin(at, label)
				parts := []string{d.Verdict, w.Text}
				if t.id != "" {
					parts = append(parts, t.id)
				}
				f.ID = s.id(parts...)
				s.flow(f)
			}
		}
	})
	s.policyOrder()
}

// joinTargets gives the words of targets.
func joinTargets(ts []*lang.Target) string {
	words := make([]string, len(ts))
	for i, t := range ts {
		words[i] = t.Service.Text
		if t.Component != nil {
			words[i] += " " + t.Component.Text
		}
		words[i] += " of " + t.Of.Text
	}
	return strings.Join(words, ", ")
}

// sshPort is the service that administrators reach machines by (RFC 4253
// section 4.1).
const sshPort = 22

// target finds the service that a target names; nil when it is unknown.
func (s *state) target(t *lang.Target) *target {
	service := t.Service.Text
	n := s.lookup(t.Of, "server", "point")
	if n == nil || n.set() == nil {
		return nil
	}
	out := &target{words: service + " of " + t.Of.Text, id: service + "-" + t.Of.Text, end: ir.Endpoint{Label: n.kind + " " + t.Of.Text, Set: n.set()}}
	if n.server != nil {
		out.server = n.server
	}
	if t.Component != nil {
		if service != "component" {
			s.addRemedy("value-invalid", t.Component.Span(), fmt.Sprintf("%s has no name of its own", service), "Write "+service+" of "+t.Of.Text+".")
			return nil
		}
		out.words, out.id = "component "+t.Component.Text+" of "+t.Of.Text, "component-"+t.Component.Text+"-"+t.Of.Text
	}
	if n.kind == "point" && len(n.set().Prefixes) == 0 {
		s.addRemedy("value-missing", t.Of.Span(), fmt.Sprintf("point %s states no address", t.Of.Text), "State its address.", diag.Label{Span: n.word.Span(), Text: "stated here"})
		return nil
	}
	if proto, ports, ok := strings.Cut(service, "/"); ok {
		from, to, good := parsePorts(ports)
		if !good || proto != "tcp" && proto != "udp" {
			s.addRemedy("value-invalid", t.Service.Span(), fmt.Sprintf("%s is no service", quoted(service)), "Write a protocol and a port, such as tcp/8443 or udp/5000-5010.")
			return nil
		}
		out.ports = []ir.PortSpan{{Proto: ir.Proto(proto), From: from, To: to}}
		return out
	}
	if service == "ssh" {
		out.ports = []ir.PortSpan{tcpPort(sshPort)}
		return out
	}
	// All other services are those of a server: of the one that is named, or
	// the one that runs on the point.
	srv := n.server
	if n.point != nil {
		srv = n.point.Server
	}
	if srv == nil {
		s.addRemedy("name-unknown", t.Service.Span(), fmt.Sprintf("point %s is not the host of a server, and has no service %s", t.Of.Text, quoted(service)),
			suggest(service, []string{"ssh"})+"Write ssh, or a protocol and a port such as tcp/8443.", diag.Label{Span: n.word.Span(), Text: "the point"}).Fix =
			respell(t.Service, meantService(service, []string{"ssh"}))
		return nil
	}
	out.server = srv
	return s.serviceOf(t, srv, out)
}

func (s *state) serviceOf(t *lang.Target, srv *ir.Server, out *target) *target {
	service := t.Service.Text
	switch service {
	case "clients", "federation", "websocket":
		out.ports = slices.Concat(servicePorts(srv, service), servicePorts(srv, service+"-tls"), servicePorts(srv, service+"-quic"))
	case "component":
		if t.Component == nil {
			out.ports = slices.Concat(servicePorts(srv, "component"), servicePorts(srv, "component-tls"))
			break
		}
		for _, c := range s.comps[t.Component.Text] {
			if c.server == srv {
				if c.flow == nil || c.flow.Outbound {
					s.addRemedy("value-invalid", t.Component.Span(), fmt.Sprintf("component %s has no port at server %s", t.Component.Text, srv.Name), "Only components that dial the server have one.", diag.Label{Span: c.at, Text: "the component"})
					return nil
				}
				out.ports, out.component = c.flow.Ports, t.Component.Text
			}
		}
		if out.ports == nil {
			s.unknownComponent(t.Component)
			return nil
		}
	case "web":
		for _, d := range s.decls {
			if w := s.webs[d.Web]; d.Web != nil && w != nil && w.server == srv {
				out.ports = []ir.PortSpan{w.listen}
				if w.point != nil {
					out.end = ir.Endpoint{Label: "point " + w.point.Name, Set: w.point.Set}
				}
			}
		}
		if out.ports == nil {
			for _, service := range []string{"http", "https", "websocket", "websocket-tls"} {
				out.ports = append(out.ports, servicePorts(srv, service)...)
			}
		}
	default:
		out.ports = servicePorts(srv, service)
	}
	out.ports = sortPorts(slices.Clone(out.ports))
	if len(out.ports) > 0 {
		return out
	}
	if srv.Software == "" {
		return nil // what it listens on is not known, and that has been reported
	}
	services := []string{"ssh"}
	for _, l := range srv.Listeners {
		if !slices.Contains(services, l.Service) {
			services = append(services, l.Service)
		}
	}
	s.addRemedy("name-unknown", t.Service.Span(), fmt.Sprintf("server %s (%s %s) has no service %s", srv.Name, srv.Software, srv.Version, quoted(service)),
		suggest(service, services)+"It has "+strings.Join(services, ", ")+"; others are written as tcp/8443.", diag.Label{Span: srv.Origin.Span, Text: "the server"}).Fix =
		respell(t.Service, meantService(service, services))
	return nil
}

// meantService is the service that a misspelt word means, if it is among those
// that there are: http is not what https means where there is no https.
func meantService(typed string, there []string) string {
	words := append([]string{"ssh", "web"}, serviceNames...)
	if meant := diag.Meant(typed, words); slices.Contains(there, meant) && !slices.Contains(words, typed) {
		return meant
	}
	return ""
}

func (s *state) unknownComponent(w *lang.Word) {
	names := make([]string, 0, len(s.comps))
	for name := range s.comps {
		names = append(names, name)
	}
	slices.Sort(names)
	s.addRemedy("name-unknown", w.Span(), fmt.Sprintf("no component is named %s", quoted(w.Text)), suggest(w.Text, names)+"Define the component, or correct its name.").Fix =
		respell(w, diag.MeantName(w.Text, names))
}

// resolveLegs says of every allowed flow what a device on the wire can read.
func (s *state) resolveLegs() {
	for _, f := range s.p.Flows {
		if f.Verdict != ir.Allow {
			continue
		}
		direct := s.direct[f]
		var rest []ir.PortSpan
		for _, p := range f.Ports {
			if !slices.Contains(direct, p) {
				rest = append(rest, p)
			}
		}
		if len(direct) > 0 {
			reason := "TLS comes first on this port (XEP-0368)."
			switch {
			case f.Kind == ir.Admin:
				reason = "The policy states tls required."
			case f.Ports[0].Proto == ir.UDP:
				reason = "QUIC has no clear form (XEP-0467)."
			}
			s.leg(f, direct, ir.TLS, reason)
		}
		if len(rest) == 0 {
			continue
		}
		switch f.Kind {
		case ir.Clients, ir.Federation:
			switch f.TLS {
			case "none":
				if f.Leg {
					s.leg(f, rest, ir.Clear, "TLS ends at "+f.From.Label+", so the leg to the server is a clear stream.")
				} else {
					s.leg(f, rest, ir.Clear, "The policy states tls none.")
				}
			case "optional":
				s.leg(f, rest, ir.StartTLS, "Clear until STARTTLS succeeds, and to the end where nobody asks for it (RFC 6120 section 5).")
			default:
				s.leg(f, rest, ir.StartTLS, "Clear until STARTTLS succeeds, then TLS (RFC 6120 section 5).")
			}
		case ir.Component:
			s.leg(f, rest, ir.Clear, "The component protocol has no TLS (XEP-0114 section 3).")
		case ir.Web:
			switch {
			case f.TLS == "required":
				s.leg(f, rest, ir.TLS, "HTTP within TLS.")
			case f.Leg:
				s.leg(f, rest, ir.Clear, "TLS ends at "+f.From.Label+", so the leg to the server is clear HTTP.")
			default:
				s.leg(f, rest, ir.Clear, "The policy states tls none.")
			}
		case ir.Serverless:
			switch {
			case f.Multicast:
				s.leg(f, rest, ir.Clear, "Multicast DNS is clear (RFC 6762).")
			case f.TLS == "required":
				s.leg(f, rest, ir.StartTLS, "The policy states tls required: clear until STARTTLS succeeds, then TLS (XEP-0174 section 13.1).")
			default:
				s.leg(f, rest, ir.Clear, "Serverless streams are clear unless both sides negotiate TLS (XEP-0174 section 13.1).")
			}
		case ir.Media:
			s.mediaLegs(f, rest)
		case ir.Cluster:
			s.leg(f, rest, ir.Clear, "Nodes of a cluster speak to each other in clear, unless they were told otherwise.")
		case ir.Egress:
			s.egressLegs(f, rest)
		default:
			s.accessLegs(f, rest)
		}
	}
}

// mediaLegs goes by what the ports are for.
func (s *state) mediaLegs(f *ir.Flow, ports []ir.PortSpan) {
	for _, t := range s.p.Media {
		switch {
		case t.Server != f.Server:
		case t.Proxy65 && slices.Contains(ports, tcpPort(t.Proxy65Port)):
			s.leg(f, ports, ir.Clear, "SOCKS5 bytestreams have no encryption (XEP-0065 section 11.1).")
		case t.STUN && slices.Contains(ports, udpPort(t.STUNPort)):
			s.leg(f, ports, ir.Clear, "STUN and TURN are clear on this port (RFC 8489 section 6.2).")
		default:
			s.leg(f, ports, ir.TLS, "A relay passes on what the two ends of a call have encrypted (RFC 8827 section 6.5).")
		}
	}
}

// egressLegs goes by what is registered for the ports.
func (s *state) egressLegs(f *ir.Flow, ports []ir.PortSpan) {
	registered := map[ir.PortSpan]ir.Visibility{
		tcpPort(853): ir.TLS, tcpPort(443): ir.TLS, tcpPort(465): ir.TLS, tcpPort(636): ir.TLS,
		tcpPort(25): ir.StartTLS, tcpPort(587): ir.StartTLS, tcpPort(389): ir.StartTLS,
	}
	byKind := map[ir.Visibility][]ir.PortSpan{}
	for _, p := range ports {
		v, ok := registered[p]
		if !ok {
			v = ir.Clear
		}
		byKind[v] = append(byKind[v], p)
	}
	for _, v := range []ir.Visibility{ir.Clear, ir.StartTLS, ir.TLS} {
		if len(byKind[v]) > 0 {
			s.leg(f, byKind[v], v, map[ir.Visibility]string{
				ir.Clear:    "Nothing says that this port is encrypted, so it is taken to be clear.",
				ir.StartTLS: "Clear until STARTTLS succeeds, and to the end where nobody asks for it.",
				ir.TLS:      "The service is encrypted from the start.",
			}[v])
		}
	}
}

// accessLegs goes by what is known of the ports.
func (s *state) accessLegs(f *ir.Flow, ports []ir.PortSpan) {
	byKind := map[ir.Visibility][]ir.PortSpan{}
	known := map[ir.Visibility]bool{} // the software offers the port so
	for _, p := range ports {
		v := ir.Clear
		if p == tcpPort(sshPort) {
			v = ir.TLS
		}
		if f.Server != nil {
			for _, l := range f.Server.Listeners {
				if l.Port != p {
					continue
				}
				v = map[string]ir.Visibility{
					"tls": ir.TLS, "starttls-required": ir.StartTLS, "starttls-optional": ir.StartTLS, "clear": ir.Clear,
				}[l.Transport]
				known[v] = true
			}
		}
		byKind[v] = append(byKind[v], p)
	}
	for _, v := range []ir.Visibility{ir.Clear, ir.StartTLS, ir.TLS} {
		if len(byKind[v]) == 0 {
			continue
		}
		reason := map[ir.Visibility]string{
			ir.Clear:    "Nothing says that this port is encrypted, so it is taken to be clear.",
			ir.StartTLS: "Clear until STARTTLS succeeds, then TLS (RFC 6120 section 5).",
			ir.TLS:      "The service is encrypted from the start.",
		}[v]
		if v == ir.Clear && known[v] {
			reason = "The software offers this port without TLS."
		}
		s.leg(f, byKind[v], v, reason)
	}
}

func (s *state) leg(f *ir.Flow, ports []ir.PortSpan, v ir.Visibility, reason string) {
	s.p.Legs = append(s.p.Legs, &ir.Leg{
		ID: f.ID + "-" + string(v), Flow: f, From: f.From.Label, To: f.To.Label, FromSet: f.From.Set, ToSet: f.To.Set,
		Ports: ports, Visibility: v, Reason: reason, Origin: f.Origin,
	})
}
