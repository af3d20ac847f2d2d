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

// Networks, servers and points: where things are.

func (s *state) resolveNetworks() {
	each(s, func(d *lang.Decl) *lang.NetworkDecl { return d.Network }, func(d *lang.NetworkDecl) {
		n := s.names[d.Name.Text]
		if n == nil || n.decl != d {
			return // a second one of the name, which has been reported
		}
		s.network(n, nil)
		s.p.Networks = append(s.p.Networks, n.net)
	})
}

// network gives a network its addresses; path holds the networks that led here.
func (s *state) network(n *named, path []*named) {
	const untouched, atWork, done = 0, 1, 2
	if n.state != untouched {
		return
	}
	n.state = atWork
	d := n.decl
	o := origin(until(d, d.Name), "network "+d.Name.Text)
	var ps []netip.Prefix
	var members []*ir.AddrSet
	for _, w := range d.Items {
		other, ok := s.names[w.Text]
		switch {
		case ok && other.kind == "network":
			other.used = true
			if other.state == atWork {
				s.circle(w, other, append(path, n))
				continue
			}
			s.network(other, append(path, n))
			ps = append(ps, other.net.Set.Prefixes...)
			members = append(members, other.net.Set)
		case ok:
			s.addRemedy("name-unknown", w.Span(), fmt.Sprintf("%s is a %s, and a network is made of networks, addresses and prefixes", w.Text, other.kind),
				"Write its addresses.", diag.Label{Span: other.word.Span(), Text: "stated here"})
		case looksNumeric(w.Text):
			p, wrong := parsePrefix(w.Text)
			if wrong != "" {
				s.addRemedy("value-invalid", w.Span(), wrong, "Write an address such as 192.0.2.7, or a prefix such as 2001:db8::/32.").Fix = respell(w, rightPrefix(w.Text))
				continue
			}
			if p.Bits() == 0 {
				s.addRemedy("value-invalid", w.Span(), whole(p), "Write any where the network is used.")
				continue
			}
			s.speltAddress(w, p)
			ps = append(ps, p)
		case w.Text == "any" || w.Text == "internet":
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no part of a network", w.Text), "Use any in a from list, or internet behind faces.")
		default:
			s.lookup(w, "network")
		}
	}
	terms := s.nameLines(o, d.Body, d.Feed)
	set := s.addrSet("net_"+d.Name.Text, o, ps, members...)
	if d.Feed != nil {
		set.Feed, set.HasFeed = d.Feed.Path.Value(), true
		set.Prefixes = readFeed(s, &terms, d.Feed, addressFeed, ir.MergePrefixes, func(p netip.Prefix, b []byte) []byte { return p.AppendTo(b) })
		if set.Digest = terms.Digest; terms.Dated {
			set.Digest = FeedDigest(set.Prefixes)
		}
	}
	n.net = &ir.Network{Name: d.Name.Text, Set: set, Feed: terms, Origin: o}
	n.state = done
}

// circle reports networks that name each other, at the name that closes it.
func (s *state) circle(w *lang.Word, first *named, path []*named) {
	const most = 8 // networks that are shown
	path = path[slices.Index(path, first):]
	var words []string
	var labels []diag.Label
	for _, n := range path[:min(len(path), most)] {
		words = append(words, n.word.Text)
		labels = append(labels, diag.Label{Span: n.word.Span(), Text: "part of the circle"})
	}
	if more := len(path) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	words = append(words, first.word.Text)
	s.addRemedy("value-conflict", w.Span(), "networks name each other in a circle: "+strings.Join(words, ", "), "Write the addresses in one of them.", labels...)
}

// serviceNames are what a server can be stated to listen for.
var serviceNames = []string{
	"admin", "clients", "clients-tls", "cluster", "component", "component-tls", "debug", "federation", "federation-tls",
	"graphql", "http", "https", "jmx", "metrics", "mqtt", "proxy65", "stun", "upload", "websocket", "websocket-tls",
}

// serviceProto is the transport protocol of a service by its nature.
func serviceProto(service string) ir.Proto {
	if service == "stun" {
		return ir.UDP
	}
	return ir.TCP
}

// serviceTransport is what a listener speaks that the table says nothing of.
func serviceTransport(service string) string {
	switch service {
	case "clients", "federation":
		return "starttls-required"
	case "clients-tls", "clients-quic", "federation-tls", "component-tls", "https", "websocket-tls":
		return "tls"
	}
	return "clear"
}

// clusterKin tells the servers of one cluster, which serve the same domains: two
// have the same kin when a cluster statement names one as a node of the other.
func (s *state) clusterKin() func(server string) string {
	above := map[string]string{}
	kin := func(name string) string {
		for above[name] != "" {
			name = above[name]
		}
		return name
	}
	each(s, func(d *lang.Decl) *lang.ClusterDecl { return d.Cluster }, func(d *lang.ClusterDecl) {
		for _, i := range d.Body.Items {
			for _, w := range i.With {
				n := s.names[w.Text]
				if a, b := kin(d.Server.Text), kin(w.Text); a != b && n != nil && n.kind == "server" {
					above[b] = a
				}
			}
		}
	})
	return kin
}

func (s *state) resolveServers() {
	type serving struct {
		at     diag.Span
		server string
	}
	domains := map[string]serving{}
	kin := s.clusterKin()
	owners := map[netip.Addr]*lang.Word{}
	each(s, func(d *lang.Decl) *lang.ServerDecl { return d.Server }, func(d *lang.ServerDecl) {
		n := s.names[d.Name.Text]
		if n == nil || n.word != d.Name {
			return
		}
		seen := once{}
		srv := &ir.Server{Name: d.Name.Text, At: seen, Origin: origin(until(d, d.Name), "server "+d.Name.Text)}
		var meta []*lang.MetaItem
		var ports []*lang.PortItem
		for _, i := range d.Body.Items {
			switch {
			case i.Software != nil:
				if !seen.seen(s, "software", i) {
					s.software(srv, i.Software)
				}
			case i.Config != nil:
				if !seen.seen(s, "config", i) {
					srv.Config = i.Config.Value()
				}
			case i.Domain != nil:
				seen.note("domain", i)
				for _, w := range i.Domain {
					first, taken := domains[strings.ToLower(w.Text)]
					if taken && (first.server == srv.Name || kin(first.server) != kin(srv.Name)) {
						s.add("value-conflict", w.Span(), fmt.Sprintf("domain %s is served twice", strings.ToLower(w.Text)), diag.Label{Span: first.at, Text: "first stated here"})
						continue // however it is spelt
					}
					name, ok := s.domain(w)
					if !ok {
						continue
					}
					domains[name] = serving{w.Span(), srv.Name}
					srv.Domains = append(srv.Domains, name)
				}
			case i.Address != nil:
				seen.note("address", i)
				for _, w := range i.Address {
					before := len(srv.Addresses)
					srv.Addresses = s.hosts(srv.Addresses, []*lang.Word{w})
					if len(srv.Addresses) == before {
						continue
					}
					a := srv.Addresses[before]
					if first, taken := owners[a]; taken {
						s.addRemedy("value-conflict", w.Span(), fmt.Sprintf("address %s belongs to two servers", a), "A packet cannot tell them apart: give each its own address.",
							diag.Label{Span: first.Span(), Text: "first stated here"})
					}
					owners[a] = w
				}
			case i.Port != nil:
				ports = append(ports, i.Port)
			case i.Trust != nil:
				seen.note("trust", i) // read by resolveTrust, once every name has its addresses
			case i.Setting != nil:
				if !seen.seen(s, i.Setting.Name, i) {
					s.serverSetting(srv, i.Setting)
				}
			case i.Meta != nil:
				meta = append(meta, i.Meta)
			}
		}
		for _, what := range []string{"software", "domain", "address"} {
			if _, ok := seen[what]; !ok {
				s.addRemedy("value-missing", until(d, d.Name), fmt.Sprintf("server %s does not state its %s", srv.Name, what), map[string]string{
					"software": "Add software and its version, such as software prosody 13.0: the ports that it opens follow from it.",
					"domain":   "Add domain and the domains that it serves.",
					"address":  "Add address and the addresses that it is reached by.",
				}[what])
			}
		}
		s.statedPorts(srv, ports)
		s.terms(srv.Origin, meta)
		srv.Set = s.addrSet("srv_"+srv.Name, srv.Origin, hostPrefixes(srv.Addresses))
		n.server = srv
		s.p.Servers = append(s.p.Servers, srv)
	})
}

func (s *state) serverSetting(srv *ir.Server, i *lang.ServerSetting) {
	switch i.Name {
	case "sessions":
		n, wrong := count(i.Value.Text)
		if wrong != "" {
			s.addRemedy("value-invalid", i.Value.Span(), fmt.Sprintf("%s is no number of sessions", quoted(i.Value.Text)), "Write how many users are online at once at most, such as 5000.")
		}
		srv.Sessions = n
	case "resolver":
		srv.Resolver = s.oneOf(i.Value, "the resolver of a server", "validating", "plain")
	}
}

// resolveTrust reads whose word about a client's address servers take, once
// every name has its addresses.
func (s *state) resolveTrust() {
	each(s, func(d *lang.Decl) *lang.ServerDecl { return d.Server }, func(d *lang.ServerDecl) {
		n := s.declared("server", d.Name)
		if n == nil || n.server == nil {
			return
		}
		var trust []*lang.Word
		for _, i := range d.Body.Items {
			trust = append(trust, i.Trust...)
		}
		if trust == nil {
			return
		}
		if end, ok := s.endpoint(trust, "trust_"+n.server.Name, false, n.server.Origin); ok {
			n.server.Trust = end.Set
		}
	})
}

// software reads product and version, and gives the server their listeners.
func (s *state) software(srv *ir.Server, sw *lang.Software) {
	name := strings.ToLower(sw.Product.Text)
	i := slices.IndexFunc(softwareRanges, func(r softwareRange) bool { return r.name == name })
	if i < 0 {
		s.addRemedy("value-invalid", sw.Product.Span(), fmt.Sprintf("the defaults of %s are not known", quoted(sw.Product.Text)),
			suggest(name, Software())+"Known are "+strings.Join(Software(), ", ")+".").Fix =
			respell(sw.Product, diag.Meant(name, Software()))
		return
	}
	known := softwareRanges[i]
	v, ok := parseVersion(sw.Version.Text)
	switch {
	case !ok:
		s.addRemedy("value-invalid", sw.Version.Span(), fmt.Sprintf("%s is no version", quoted(sw.Version.Text)), "Write numbers with dots between them, such as "+known.last+".")
		return
	case v.less(mustVersion(known.first)):
		s.addRemedy("value-invalid", sw.Version.Span(), fmt.Sprintf("the defaults of %s %s are not known: they differ from those of %s, the first known", name, sw.Version.Text, known.first),
			"Update the server: versions this old have no security updates either.")
		return
	case v.newerThan(mustVersion(known.last)):
		s.add("value-version", sw.Version.Span(), fmt.Sprintf("%s %s is newer than %s, whose defaults are taken", name, sw.Version.Text, known.last))
	}
	s.spelt(sw.Product, sw.Product.Text, name)
	srv.Software, srv.Version = name, sw.Version.Text
	srv.Listeners, _ = Defaults(name, sw.Version.Text)
}

// statedPorts puts the ports that the policy states in the place of defaults.
func (s *state) statedPorts(srv *ir.Server, items []*lang.PortItem) {
	ports := map[string][]ir.PortSpan{}
	var order []string
	for _, i := range items {
		service := s.oneOf(i.Service, "the service of a port", serviceNames...)
		port, ok := s.port(i.Port)
		if service == "" || !ok {
			continue
		}
		span := ir.PortSpan{Proto: serviceProto(service), From: port, To: port}
		if slices.Contains(ports[service], span) {
			s.addRemedy("value-conflict", i.Span(), fmt.Sprintf("port %d of %s is stated twice", port, service), "").Fix = fileOf(s.in.Files, i).Remove(i)
			continue
		}
		if len(ports[service]) == 0 {
			order = append(order, service)
		}
		ports[service] = append(ports[service], span)
	}
	before := slices.Clone(srv.Listeners)
	for _, service := range order {
		s.listen(srv, service, ports[service]...)
	}
	// A listener can serve two purposes, as the web listener of ejabberd does
	// with /admin: where it moves, both do. That is only known of a service with
	// one port before and after.
	had := map[string]int{}
	for _, old := range before {
		had[old.Service]++
	}
	for _, service := range order {
		for _, old := range before {
			if old.Service != service || had[service] != 1 || len(ports[service]) != 1 {
				continue
			}
			for i := range srv.Listeners {
				l := &srv.Listeners[i]
				if !l.Stated && l.Port == old.Port {
					l.Port, l.Stated = ports[service][0], true
				}
			}
		}
	}
	sortListeners(srv.Listeners)
}

// listen states the ports of a service, in the place of its defaults.
func (s *state) listen(srv *ir.Server, service string, ports ...ir.PortSpan) {
	l := ir.Listener{Service: service, Stated: true, Transport: serviceTransport(service), Bind: "any", Source: "the policy"}
	for _, old := range srv.Listeners {
		if old.Service == service {
			l.Transport, l.Bind = old.Transport, old.Bind
		}
	}
	srv.Listeners = slices.DeleteFunc(srv.Listeners, func(l ir.Listener) bool { return l.Service == service })
	for _, p := range ports {
		l.Port = p
		srv.Listeners = append(srv.Listeners, l)
	}
	sortListeners(srv.Listeners)
}

// servicePorts are those of a service of the server.
func servicePorts(srv *ir.Server, service string) []ir.PortSpan {
	var out []ir.PortSpan
	for _, l := range srv.Listeners {
		if l.Service == service {
			out = append(out, l.Port)
		}
	}
	return out
}

func (s *state) resolvePoints() {
	hosts := map[*ir.Server]*lang.Role{}
	machines := map[string]diag.Span{} // host names
	each(s, func(d *lang.Decl) *lang.PointDecl { return d.Point }, func(d *lang.PointDecl) {
		n := s.names[d.Name.Text]
		if n == nil || n.word != d.Name {
			return
		}
		var words []*lang.Word // of Addresses
		pt := &ir.Point{Name: d.Name.Text, Hostname: d.Name.Text, Origin: origin(until(d, d.Name), "point "+d.Name.Text)}
		seen := once{}
		var meta []*lang.MetaItem
		for _, i := range d.Body.Items {
			switch {
			case i.Role != nil:
				if !seen.seen(s, "role", i) {
					s.role(pt, i.Role, hosts)
				}
			case i.Hostname != nil:
				if !seen.seen(s, "hostname", i) {
					pt.Hostname = strings.ToLower(i.Hostname.Value())
					if wrong := wrongDomain(pt.Hostname); wrong != "" {
						s.addRemedy("value-invalid", i.Hostname.Span(), fmt.Sprintf("%s is no host name: %s", quoted(pt.Hostname), wrong), "Write the name that hostname prints on the machine.")
					}
				}
			case i.Address != nil:
				for _, w := range i.Address {
					before := len(pt.Addresses)
					if pt.Addresses = s.hosts(pt.Addresses, []*lang.Word{w}); len(pt.Addresses) > before {
						words = append(words, w)
					}
				}
			case i.Interface != nil:
				s.iface(pt, i.Interface)
			case i.Exclusive:
				seen.seen(s, "exclusive", i)
				pt.Exclusive = true
			case i.Engine != nil:
				s.engine(pt, i.Engine)
			case i.Mode != nil:
				if !seen.seen(s, "mode", i) {
					pt.ObserveAt = i.Span()
					pt.Observe, _ = s.observe(i.Mode, "point "+pt.Name)
				}
			case i.Meta != nil:
				meta = append(meta, i.Meta)
			}
		}
		s.terms(pt.Origin, meta)
		if _, ok := seen["role"]; !ok {
			s.addRemedy("value-missing", until(d, d.Name), fmt.Sprintf("point %s does not state its role", pt.Name), "Add role gateway, role host, or role host of SERVER.")
		}
		if len(pt.Engines) == 0 {
			s.addRemedy("value-missing", until(d, d.Name), fmt.Sprintf("point %s names no engine", pt.Name), "Add what enforces there, such as nftables.")
		}
		if first, ok := machines[pt.Hostname]; ok {
			s.addRemedy("value-conflict", until(d, d.Name), fmt.Sprintf("two points are the machine %s", pt.Hostname), "Make one point of them, or state the hostname of each.",
				diag.Label{Span: first, Text: "the other one"})
		}
		machines[pt.Hostname] = until(d, d.Name)
		for i, w := range words {
			s.ownAddress(pt, pt.Addresses[i], w)
		}
		ps := hostPrefixes(pt.Addresses)
		if pt.Server != nil {
			ps = append(ps, hostPrefixes(pt.Server.Addresses)...)
		}
		pt.Set = s.addrSet("pt_"+pt.Name, pt.Origin, ps)
		n.point = pt
		s.p.Points = append(s.p.Points, pt)
	})
	s.resolveFaces()
}

// ownAddress reports an address that another machine has: what a packet is for
// would not be clear.
func (s *state) ownAddress(pt *ir.Point, a netip.Addr, w *lang.Word) {
	for _, srv := range s.p.Servers {
		if srv != pt.Server && slices.Contains(srv.Addresses, a) {
			s.addRemedy("value-conflict", w.Span(), fmt.Sprintf("address %s of point %s is that of server %s", a, pt.Name, srv.Name),
				fmt.Sprintf("If the server runs there, write role host of %s; if not, give each its own address.", srv.Name), diag.Label{Span: srv.Origin.Span, Text: "the server"})
		}
	}
	for _, other := range s.p.Points {
		if slices.Contains(other.Addresses, a) {
			s.addRemedy("value-conflict", w.Span(), fmt.Sprintf("address %s belongs to two points", a), "Give each point its own address.", diag.Label{Span: other.Origin.Span, Text: "the other point"})
		}
	}
}

func (s *state) role(pt *ir.Point, r *lang.Role, hosts map[*ir.Server]*lang.Role) {
	switch s.oneOf(r.Kind, "the role of a point", "gateway", "host") {
	case "gateway":
		pt.Role = ir.Gateway
		if r.Of != nil {
			s.addRemedy("value-invalid", r.Of.Span(), "a gateway is not of a server", "Write role host of SERVER, or role gateway.")
		}
	case "host":
		pt.Role = ir.Host
		if r.Of == nil {
			return
		}
		srv := s.server(r.Of)
		if srv == nil {
			return
		}
		if first, ok := hosts[srv]; ok {
			s.addRemedy("value-conflict", r.Span(), fmt.Sprintf("two points are the host of server %s", srv.Name), "A server runs on one point: declare a server for each.",
				diag.Label{Span: first.Span(), Text: "the other one"})
			return
		}
		hosts[srv] = r
		pt.Server = srv
	}
}

func (s *state) iface(pt *ir.Point, i *lang.InterfaceItem) {
	s.ifaceName(i.Name)
	for _, old := range pt.Interfaces {
		if old.Name == i.Name.Text {
			s.addRemedy("name-duplicate", i.Name.Span(), fmt.Sprintf("interface %s of point %s is stated twice", i.Name.Text, pt.Name), "List everything that it faces behind one faces.",
				diag.Label{Span: old.Origin.Span, Text: "first stated here"})
			return
		}
	}
	pt.Interfaces = append(pt.Interfaces, ir.Interface{
		Name: i.Name.Text, Origin: origin(i.Span(), fmt.Sprintf("interface %s of point %s", i.Name.Text, pt.Name)),
	})
}

// ifaceName holds the name of an interface to at most 15 letters, digits and
// _ . @ -. The kernel takes more (everything but white space, / and :), but what
// an engine's file would read in another sense, such as $ or *, would give a
// rule that never matches.
func (s *state) ifaceName(w *lang.Word) {
	t := w.Text
	bad := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_.@-", c))
	}
	if len(t) > 15 || t == "." || t == ".." || strings.ContainsFunc(t, bad) {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no name of an interface", quoted(t)),
			"Write the name as ip link shows it: at most 15 letters, digits and _ . @ -; an interface of another name has to be renamed.")
	}
}

// resolveFaces tells what is behind each interface, once all names have their
// addresses: an interface may face a point that is declared later.
func (s *state) resolveFaces() {
	each(s, func(d *lang.Decl) *lang.PointDecl { return d.Point }, func(d *lang.PointDecl) {
		n := s.names[d.Name.Text]
		if n == nil || n.word != d.Name || n.point == nil {
			return
		}
		for _, item := range d.Body.Items {
			if item.Interface == nil {
				continue
			}
			at := slices.IndexFunc(n.point.Interfaces, func(i ir.Interface) bool { return i.Origin.Span == item.Interface.Span() })
			if at < 0 {
				continue
			}
			i := &n.point.Interfaces[at]
			for _, w := range item.Interface.Faces {
				if zone := s.names[w.Text]; zone != nil && zone.kind == "zone" {
					zone.used = true
					s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("an interface cannot face zone %s: a zone is made of interfaces", w.Text), "Name the networks that are behind the interface.",
						diag.Label{Span: zone.word.Span(), Text: "stated here"})
					continue
				}
				switch w.Text {
				case "internet":
					i.Internet = true
					continue
				case "any":
					s.addRemedy("value-invalid", w.Span(), "an interface cannot face any", "Write internet for the rest of the world.")
					continue
				}
				a, ok := s.address(w)
				if !ok {
					continue
				}
				if a.network == nil {
					set := a.set
					if set == nil {
						set = s.addrSet(fmt.Sprintf("if_%s_%s", n.point.Name, i.Name), i.Origin, a.prefixes)
					}
					a.network = &ir.Network{Name: w.Text, Set: set, Origin: i.Origin}
				}
				if slices.Contains(i.Networks, a.network) {
					s.add("value-conflict", w.Span(), fmt.Sprintf("interface %s faces %s twice", i.Name, w.Text))
					continue
				}
				i.Networks = append(i.Networks, a.network)
			}
		}
	})
}

func (s *state) engine(pt *ir.Point, e *lang.EngineItem) {
	o := origin(e.Span(), fmt.Sprintf("%s of point %s", e.Kind, pt.Name))
	if old := pt.Engine(e.Kind); old != nil {
		s.addRemedy("value-conflict", e.Span(), fmt.Sprintf("point %s names %s twice", pt.Name, e.Kind), "Name each engine once.",
			diag.Label{Span: old.Origin.Span, Text: "first named here"})
		return
	}
	eng := ir.Engine{Kind: e.Kind, Mode: e.Mode, Origin: o}
	if e.Device != nil {
		if e.Kind != "suricata" && e.Kind != "snort" {
			s.addRemedy("value-invalid", e.Span(), fmt.Sprintf("%s does not listen passively", e.Kind), "Write suricata passive INTERFACE, snort passive INTERFACE, or the engine alone.")
		}
		s.ifaceName(e.Device)
		eng.Device = e.Device.Text
	}
	pt.Engines = append(pt.Engines, eng)
}
