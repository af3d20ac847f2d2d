package compiler

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
)

// listenerRow is one port, or a range, that a server's software opens. The rows
// say what an installation with the project's own example configuration does:
// that is what an administrator who changed nothing has to protect. A row that
// is off says what the software opens as soon as its configuration asks for it;
// the ports of such rows are closed like the others until a statement opens them.
//
// Left out are relays of TURN: their range is that of ordinary outgoing ports,
// and closing it would cut the machine's own conversations. Settings has it.
type listenerRow struct {
	software     string
	since, until string // versions: from since on, before until; "" is unbounded
	service      string
	port         string // "tcp/5222", "tcp/5701-5800"
	bind         string // "any", "v4", "loopback"; with " off" nothing listens before it is configured
	transport    string
	debian       string // what the file of the Debian package makes of it: a transport, or "off"; "" is the same
	source       string
}

// Services that the language names besides those of the statements:
//
//	http, https   BOSH and WebSocket (XEP-0124, RFC 7395). A proxy that
//	              terminates TLS speaks to http, the plain one.
//	websocket     WebSocket, and with -tls over TLS, where they have ports of
//	              their own.
//	upload        HTTP upload (XEP-0363) where it has a port of its own.
//	admin         where the server is administered over the network. In
//	              ejabberd that is a path of the same listeners as http and
//	              https, so that opening web access opens /admin as well unless
//	              its configuration moves it.
//	graphql       an interface for programs that act for users.
//	metrics, jmx, debug
//	              what monitoring and developers read.
//	cluster       what the nodes of one server use among themselves.
var listenerRows = []listenerRow{
	// Prosody. Direct TLS has no default port: c2s_direct_tls_ports is empty.
	// The administration of a current Prosody is a Unix socket; 5582 is the
	// console of mod_admin_telnet, which older configurations still load.
	{"prosody", "", "", "clients", "tcp/5222", "any", "starttls-required", "", "Prosody mod_c2s: c2s_ports; c2s_require_encryption is true since 0.12"},
	{"prosody", "", "", "federation", "tcp/5269", "any", "starttls-required", "", "Prosody mod_s2s: s2s_ports; s2s_require_encryption is true since 0.12"},
	{"prosody", "", "", "component", "tcp/5347", "loopback off", "clear", "", "Prosody mod_component: component_ports, a private service, open once a component is defined"},
	{"prosody", "", "", "http", "tcp/5280", "loopback off", "clear", "", "Prosody mod_http: http_ports, open once a module serves HTTP; on loopback only since 0.12"},
	{"prosody", "", "", "https", "tcp/5281", "any off", "tls", "", "Prosody mod_http: https_ports, open once a module serves HTTP"},
	{"prosody", "", "", "proxy65", "tcp/5000", "any off", "clear", "", "Prosody mod_proxy65: proxy65_ports, open once the component is defined"},
	{"prosody", "", "", "admin", "tcp/5582", "loopback off", "clear", "", "Prosody mod_admin_telnet: console_ports, a private service"},

	// ejabberd, as its ejabberd.yml.example has it. External components have
	// no listener there; the samples of the manual use 8888.
	{"ejabberd", "", "", "clients", "tcp/5222", "any", "starttls-required", "", "ejabberd.yml.example: ejabberd_c2s, starttls_required"},
	{"ejabberd", "", "", "clients-tls", "tcp/5223", "any", "tls", "", "ejabberd.yml.example: ejabberd_c2s, tls"},
	{"ejabberd", "", "", "federation", "tcp/5269", "any", "starttls-optional", "starttls-required", "ejabberd.yml.example: ejabberd_s2s_in, s2s_use_starttls: optional"},
	{"ejabberd", "", "", "http", "tcp/5280", "any", "clear", "tls", "ejabberd.yml.example: ejabberd_http with /admin and ACME"},
	{"ejabberd", "", "", "https", "tcp/5443", "any", "tls", "", "ejabberd.yml.example: ejabberd_http with /admin, /api, /bosh, /upload, /ws"},
	{"ejabberd", "", "", "admin", "tcp/5280", "any", "clear", "tls", "ejabberd.yml.example: ejabberd_web_admin at /admin of the plain listener"},
	{"ejabberd", "", "", "admin", "tcp/5443", "any", "tls", "off", "ejabberd.yml.example: ejabberd_web_admin at /admin of the TLS listener"},
	{"ejabberd", "", "", "proxy65", "tcp/7777", "any", "clear", "off", "ejabberd mod_proxy65: port, opened by the module"},
	{"ejabberd", "", "", "mqtt", "tcp/1883", "any", "clear", "", "ejabberd.yml.example: mod_mqtt"},
	{"ejabberd", "", "24.12", "stun", "udp/3478", "any", "clear", "", "ejabberd.yml.example up to 24.10: ejabberd_stun"},
	{"ejabberd", "24.12", "", "stun", "udp/5478", "any", "clear", "", "ejabberd.yml.example since 24.12: ejabberd_stun"},
	{"ejabberd", "", "", "cluster", "tcp/4369", "any", "clear", "", "Erlang port mapper (epmd); ejabberd security guide"},

	// Openfire 4.7 and later: ConnectionManager, HttpBindManager,
	// FileTransferProxy and openfire.xml of its source.
	{"openfire", "", "", "clients", "tcp/5222", "any", "starttls-optional", "", "Openfire xmpp.socket.plain.port; xmpp.client.tls.policy is optional"},
	{"openfire", "", "", "clients-tls", "tcp/5223", "any", "tls", "", "Openfire xmpp.socket.ssl.port"},
	{"openfire", "", "", "federation", "tcp/5269", "any", "starttls-optional", "", "Openfire xmpp.server.socket.port; xmpp.server.tls.policy is optional"},
	{"openfire", "", "", "federation-tls", "tcp/5270", "any", "tls", "", "Openfire xmpp.server.socket.ssl.port"},
	{"openfire", "", "", "component", "tcp/5275", "any", "clear", "", "Openfire xmpp.component.socket.port, on by default"},
	{"openfire", "", "", "component-tls", "tcp/5276", "any", "tls", "", "Openfire xmpp.component.ssl.port, on by default"},
	{"openfire", "", "", "http", "tcp/7070", "any", "clear", "", "Openfire httpbind.port.plain: /http-bind/ and /ws/"},
	{"openfire", "", "", "https", "tcp/7443", "any", "tls", "", "Openfire httpbind.port.secure: /http-bind/ and /ws/"},
	{"openfire", "", "", "proxy65", "tcp/7777", "any", "clear", "", "Openfire xmpp.proxy.port"},
	{"openfire", "", "", "admin", "tcp/9090", "any", "clear", "", "Openfire openfire.xml: adminConsole.port"},
	{"openfire", "", "", "admin", "tcp/9091", "any", "tls", "", "Openfire openfire.xml: adminConsole.securePort"},
	{"openfire", "", "", "jmx", "tcp/1099", "any off", "clear", "", "Openfire xmpp.jmx.port, open once xmpp.jmx.enabled is set"},
	{"openfire", "", "", "debug", "tcp/5005", "any off", "clear", "", "Openfire Dockerfile: the Java debugger, open once the JVM is told to"},
	{"openfire", "", "", "cluster", "tcp/5701-5800", "any off", "clear", "", "Openfire Hazelcast plugin, hazelcast-cache-config.xml: port 5701 with auto-increment over 100 ports"},

	// Tigase 8. 9080 and 9050 are the ports of the manual's example.
	{"tigase", "", "8.1", "clients", "tcp/5222", "any", "starttls-optional", "", "Tigase ClientConnectionManager; vhost-tls-required is false in the manual"},
	{"tigase", "8.1", "", "clients", "tcp/5222", "any", "starttls-required", "", "Tigase ClientConnectionManager; VHostItemImpl.java: VHOST_TLS_REQUIRED_PROP_DEF is true"},
	{"tigase", "", "", "clients-tls", "tcp/5223", "any", "tls", "", "Tigase ClientConnectionManager; manual, Network Instructions"},
	{"tigase", "", "", "federation", "tcp/5269", "any", "starttls-optional", "", "Tigase S2SConnectionManager; manual, Network Instructions"},
	{"tigase", "", "", "component", "tcp/5270", "any off", "clear", "", "Tigase manual, External Component Configuration: the ext component"},
	{"tigase", "", "", "cluster", "tcp/5277", "any off", "clear", "", "Tigase ClusterConnectionManager, open once cluster-mode is true"},
	{"tigase", "", "", "http", "tcp/5280", "any", "clear", "", "Tigase BoshConnectionManager; manual, Network Instructions"},
	{"tigase", "", "", "websocket", "tcp/5290", "any", "clear", "", "Tigase WebSocketClientConnectionManager; manual, Network Instructions"},
	{"tigase", "", "", "websocket-tls", "tcp/5291", "any off", "tls", "", "Tigase manual, Network Instructions; WebSocketClientConnectionManager opens none before it is configured"},
	{"tigase", "", "", "admin", "tcp/8080", "any", "clear", "", "Tigase HTTP API: /admin, /setup and /rest; manual, Network Instructions"},
	{"tigase", "", "", "upload", "tcp/8080", "any", "clear", "", "Tigase HTTP API: /upload; manual, Network Instructions"},
	{"tigase", "", "", "metrics", "tcp/9080", "any off", "clear", "", "Tigase manual, Setting Up Remote Monitoring: monitoring, http"},
	{"tigase", "", "", "jmx", "tcp/9050", "any off", "clear", "", "Tigase manual, Setting Up Remote Monitoring: monitoring, jmx"},

	// MongooseIM, as its rel/prod.vars-toml.config and rel/files/mongooseim.toml
	// make the released configuration. A listener without ip_address is IPv4 only.
	{"mongooseim", "", "", "clients", "tcp/5222", "v4", "starttls-optional", "", "MongooseIM mongooseim.toml: listen.c2s; tls.mode is starttls"},
	{"mongooseim", "", "", "federation", "tcp/5269", "v4", "starttls-optional", "", "MongooseIM mongooseim.toml: listen.s2s; s2s use_starttls is optional"},
	{"mongooseim", "", "", "component", "tcp/8888", "loopback", "clear", "", "MongooseIM prod.vars-toml.config: listen.component (listen.service before 6.4)"},
	{"mongooseim", "", "", "http", "tcp/5280", "v4", "clear", "", "MongooseIM mongooseim.toml: listen.http with /http-bind and /ws-xmpp"},
	{"mongooseim", "", "", "https", "tcp/5285", "v4", "tls", "", "MongooseIM mongooseim.toml: listen.http with /http-bind and /ws-xmpp"},
	{"mongooseim", "", "", "admin", "tcp/5541", "v4", "clear", "", "MongooseIM mongooseim.toml: GraphQL of the administrators of a domain"},
	{"mongooseim", "", "", "admin", "tcp/5551", "loopback", "clear", "", "MongooseIM mongooseim.toml: GraphQL of the administrator"},
	{"mongooseim", "", "", "admin", "tcp/8088", "loopback", "clear", "", "MongooseIM mongooseim.toml: REST interface of the administrator"},
	{"mongooseim", "", "", "graphql", "tcp/5561", "v4", "clear", "", "MongooseIM mongooseim.toml: GraphQL of users"},
	{"mongooseim", "", "", "graphql", "tcp/8089", "v4", "tls", "", "MongooseIM mongooseim.toml: REST interface of users"},
	{"mongooseim", "6.3", "", "metrics", "tcp/9091", "v4", "clear", "", "MongooseIM prod.vars-toml.config: mongoose_prometheus_handler, since 6.3"},
	{"mongooseim", "", "", "cluster", "tcp/4369", "any", "clear", "", "Erlang port mapper (epmd); MongooseIM manual, Cluster configuration"},

	// Metronome 4. It shares Prosody's ancestry, and neither its loopback for
	// components nor the one for HTTP. It listens on IPv6 with use_ipv6 only.
	{"metronome", "", "", "clients", "tcp/5222", "v4", "starttls-required", "", "Metronome mod_c2s: default_port; c2s_require_encryption is true"},
	{"metronome", "", "", "federation", "tcp/5269", "v4", "starttls-required", "", "Metronome mod_s2s: default_port; s2s_require_encryption is true"},
	{"metronome", "", "", "component", "tcp/5347", "v4 off", "clear", "", "Metronome mod_component: default_port, no private service, open once a component is defined"},
	{"metronome", "", "", "http", "tcp/5280", "v4 off", "clear", "", "Metronome mod_http: default_port, open once a module serves HTTP"},
	{"metronome", "", "", "https", "tcp/5281", "v4 off", "tls", "", "Metronome mod_http: default_port, open once a module serves HTTP"},
	{"metronome", "", "", "proxy65", "tcp/5000", "v4 off", "clear", "", "Metronome mod_proxy65: default_port, open once the component is defined"},
	{"metronome", "", "", "admin", "tcp/5582", "loopback off", "clear", "", "Metronome mod_admin_telnet: default_port, a private service"},
}

// softwareRange says for which versions the rows are known to hold.
type softwareRange struct{ name, first, last string }

var softwareRanges = []softwareRange{
	{"ejabberd", "23.01", "26.07"},
	{"metronome", "4.0", "4.0"},
	{"mongooseim", "6.0", "6.8"},
	{"openfire", "4.7", "5.1"},
	{"prosody", "0.12", "13.0"},
	{"tigase", "8.0", "8.5"},
}

// Software lists the products whose defaults are known, sorted.
func Software() []string {
	names := make([]string, len(softwareRanges))
	for i, r := range softwareRanges {
		names[i] = r.name
	}
	return names
}

// KnownVersions returns the first and the last version of a product for which
// the rows are known to hold; false for a product that is not known.
func KnownVersions(software string) (first, last string, ok bool) {
	i := slices.IndexFunc(softwareRanges, func(r softwareRange) bool { return r.name == software })
	if i < 0 {
		return "", "", false
	}
	return softwareRanges[i].first, softwareRanges[i].last, true
}

// Versions are the versions of a product at which anything that is known of it
// changes, with the first and the last one known, oldest first.
func Versions(software string) []string {
	first, last, ok := KnownVersions(software)
	if !ok {
		return nil
	}
	versions := []string{first, last}
	change := func(of string, at ...string) {
		for _, v := range at {
			if of == software && v != "" && mustVersion(first).less(mustVersion(v)) && !mustVersion(last).less(mustVersion(v)) {
				versions = append(versions, v)
			}
		}
	}
	for _, r := range listenerRows {
		change(r.software, r.since, r.until)
	}
	for _, r := range settingRows {
		change(r.software, r.since, r.until)
	}
	slices.SortFunc(versions, func(a, b string) int {
		switch va, vb := mustVersion(a), mustVersion(b); {
		case va.less(vb):
			return -1
		case vb.less(va):
			return 1
		}
		return 0
	})
	return slices.Compact(versions)
}

// Defaults returns what the version of the product opens by default, sorted by
// service and port. It returns false for a product that is not known, for a
// version older than the first one known, and for text that is no version. A
// version newer than the last one known gets the rows of that one.
func Defaults(software, version string) ([]ir.Listener, bool) {
	v, ok := knownVersion(software, version)
	if !ok {
		return nil, false
	}
	var out []ir.Listener
	for _, r := range listenerRows {
		if r.software != software || !v.within(r.since, r.until) {
			continue
		}
		bind, off := strings.CutSuffix(r.bind, " off")
		out = append(out, ir.Listener{
			Service: r.service, Port: mustPorts(r.port), Transport: r.transport, Bind: bind, Off: off, Source: r.source,
		})
	}
	sortListeners(out)
	return out, true
}

// DebianListener says what the file of the Debian package makes of a listener
// that Defaults returned: a transport, or "off" where it opens nothing. It
// returns false for a version whose package was not read.
func DebianListener(software, version string, l ir.Listener) (string, bool) {
	v, ok := knownVersion(software, version)
	if !ok || debianPackage(software, v) == "" {
		return "", false
	}
	i := slices.IndexFunc(listenerRows, func(r listenerRow) bool {
		return r.software == software && r.service == l.Service && mustPorts(r.port) == l.Port && v.within(r.since, r.until)
	})
	if i < 0 {
		return "", false
	}
	if l.Off {
		return "off", true
	}
	return cmp.Or(listenerRows[i].debian, l.Transport), true
}

// knownVersion reads a version for which there are rows.
func knownVersion(software, version string) (serverVersion, bool) {
	v, ok := parseVersion(version)
	first, _, known := KnownVersions(software)
	if !ok || !known || v.less(mustVersion(first)) {
		return nil, false
	}
	return v, true
}

func sortListeners(ls []ir.Listener) {
	slices.SortStableFunc(ls, func(a, b ir.Listener) int {
		return cmp.Or(
			cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Port.From, b.Port.From),
			cmp.Compare(a.Port.Proto, b.Port.Proto),
		)
	})
}

// mustPorts reads the port of a row.
func mustPorts(s string) ir.PortSpan {
	proto, ports, _ := strings.Cut(s, "/")
	from, to, ranged := strings.Cut(ports, "-")
	if !ranged {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || a == 0 || b < a || proto != string(ir.TCP) && proto != string(ir.UDP) {
		panic("compiler: " + s + " in the table of defaults is no port")
	}
	return ir.PortSpan{Proto: ir.Proto(proto), From: uint16(a), To: uint16(b)}
}

// serverVersion is a dotted version; 23.01 and 23.1 are the same.
type serverVersion []int

// parseVersion reads up to four numbers with dots between them.
func parseVersion(s string) (serverVersion, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return nil, false
	}
	var v serverVersion
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return nil, false
		}
		v = append(v, int(n))
	}
	return v, true
}

func mustVersion(s string) serverVersion {
	v, ok := parseVersion(s)
	if !ok {
		panic("compiler: " + s + " in the table of defaults is no version")
	}
	return v
}

// less compares number by number; what is not stated is 0.
func (v serverVersion) less(w serverVersion) bool {
	for i := range max(len(v), len(w)) {
		a, b := 0, 0
		if i < len(v) {
			a = v[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return a < b
		}
	}
	return false
}

// within reports whether the version is not before since and before until; ""
// is unbounded.
func (v serverVersion) within(since, until string) bool {
	return (since == "" || !v.less(mustVersion(since))) && (until == "" || v.less(mustVersion(until)))
}

// newerThan compares as many numbers as w states: 5.1.1 is not newer than 5.1.
func (v serverVersion) newerThan(w serverVersion) bool {
	return w.less(v[:min(len(v), len(w))])
}
