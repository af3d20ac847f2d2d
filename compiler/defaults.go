package compiler

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
)

// defaultRow is one port that a server's software opens by default. The table
// holds what a fresh installation with the project's own example configuration
// opens: that is what an administrator who changed nothing has to protect.
//
// Left out are listeners that are off by default (the connection manager and
// JMX of Openfire), and relays of TURN: their range is that of ordinary
// outgoing ports, and closing it would cut the machine's own conversations.
type defaultRow struct {
	software     string
	since, until string // versions: from since on, before until; "" is unbounded
	service      string
	proto        ir.Proto
	port         uint16
	bind         string
	transport    string
	source       string
}

// Services that the language names besides those of the statements:
//
//	http, https   BOSH and WebSocket (XEP-0124, RFC 7395). A proxy that
//	              terminates TLS speaks to http, the plain one.
//	admin         where the server is administered over the network. In
//	              ejabberd that is a path of the same listeners as http and
//	              https, so that opening web access opens /admin as well unless
//	              its configuration moves it.
//	cluster       what the nodes of one server use among themselves.
var defaultRows = []defaultRow{
	// Prosody. Direct TLS has no default port: c2s_direct_tls_ports is empty.
	// The administration of a current Prosody is a Unix socket; 5582 is the
	// console of mod_admin_telnet, which older configurations still load.
	{"prosody", "", "", "clients", ir.TCP, 5222, "any", "starttls-required", "Prosody mod_c2s: c2s_ports; c2s_require_encryption is true since 0.12"},
	{"prosody", "", "", "federation", ir.TCP, 5269, "any", "starttls-required", "Prosody mod_s2s: s2s_ports; s2s_require_encryption is true since 0.12"},
	{"prosody", "", "", "component", ir.TCP, 5347, "loopback", "clear", "Prosody mod_component: component_ports, a private service"},
	{"prosody", "", "", "http", ir.TCP, 5280, "loopback", "clear", "Prosody mod_http: http_ports; on loopback only since 0.12"},
	{"prosody", "", "", "https", ir.TCP, 5281, "any", "tls", "Prosody mod_http: https_ports"},
	{"prosody", "", "", "proxy65", ir.TCP, 5000, "any", "clear", "Prosody mod_proxy65: proxy65_ports, open when the component is defined"},
	{"prosody", "", "", "admin", ir.TCP, 5582, "loopback", "clear", "Prosody mod_admin_telnet: console_ports, a private service"},

	// ejabberd, as its ejabberd.yml.example has it. External components have
	// no listener there; the samples of the manual use 8888.
	{"ejabberd", "", "", "clients", ir.TCP, 5222, "any", "starttls-required", "ejabberd.yml.example: ejabberd_c2s, starttls_required"},
	{"ejabberd", "", "", "clients-tls", ir.TCP, 5223, "any", "tls", "ejabberd.yml.example: ejabberd_c2s, tls"},
	{"ejabberd", "", "", "federation", ir.TCP, 5269, "any", "starttls-optional", "ejabberd.yml.example: ejabberd_s2s_in, s2s_use_starttls: optional"},
	{"ejabberd", "", "", "http", ir.TCP, 5280, "any", "clear", "ejabberd.yml.example: ejabberd_http with /admin and ACME"},
	{"ejabberd", "", "", "https", ir.TCP, 5443, "any", "tls", "ejabberd.yml.example: ejabberd_http with /admin, /api, /bosh, /upload, /ws"},
	{"ejabberd", "", "", "admin", ir.TCP, 5280, "any", "clear", "ejabberd.yml.example: ejabberd_web_admin at /admin of the plain listener"},
	{"ejabberd", "", "", "admin", ir.TCP, 5443, "any", "tls", "ejabberd.yml.example: ejabberd_web_admin at /admin of the TLS listener"},
	{"ejabberd", "", "", "proxy65", ir.TCP, 7777, "any", "clear", "ejabberd mod_proxy65: port, opened by the module"},
	{"ejabberd", "", "", "mqtt", ir.TCP, 1883, "any", "clear", "ejabberd.yml.example: mod_mqtt"},
	{"ejabberd", "", "24.12", "stun", ir.UDP, 3478, "any", "clear", "ejabberd.yml.example up to 24.10: ejabberd_stun"},
	{"ejabberd", "24.12", "", "stun", ir.UDP, 5478, "any", "clear", "ejabberd.yml.example since 24.12: ejabberd_stun"},
	{"ejabberd", "", "", "cluster", ir.TCP, 4369, "any", "clear", "Erlang port mapper (epmd); ejabberd security guide"},

	// Openfire 4.7 and later: ConnectionManager, HttpBindManager,
	// FileTransferProxy and openfire.xml of its source.
	{"openfire", "", "", "clients", ir.TCP, 5222, "any", "starttls-optional", "Openfire xmpp.socket.plain.port; xmpp.client.tls.policy is optional"},
	{"openfire", "", "", "clients-tls", ir.TCP, 5223, "any", "tls", "Openfire xmpp.socket.ssl.port"},
	{"openfire", "", "", "federation", ir.TCP, 5269, "any", "starttls-optional", "Openfire xmpp.server.socket.port; xmpp.server.tls.policy is optional"},
	{"openfire", "", "", "federation-tls", ir.TCP, 5270, "any", "tls", "Openfire xmpp.server.socket.ssl.port"},
	{"openfire", "", "", "component", ir.TCP, 5275, "any", "clear", "Openfire xmpp.component.socket.port, on by default"},
	{"openfire", "", "", "component-tls", ir.TCP, 5276, "any", "tls", "Openfire xmpp.component.ssl.port, on by default"},
	{"openfire", "", "", "http", ir.TCP, 7070, "any", "clear", "Openfire httpbind.port.plain: /http-bind/ and /ws/"},
	{"openfire", "", "", "https", ir.TCP, 7443, "any", "tls", "Openfire httpbind.port.secure: /http-bind/ and /ws/"},
	{"openfire", "", "", "proxy65", ir.TCP, 7777, "any", "clear", "Openfire xmpp.proxy.port"},
	{"openfire", "", "", "admin", ir.TCP, 9090, "any", "clear", "Openfire openfire.xml: adminConsole.port"},
	{"openfire", "", "", "admin", ir.TCP, 9091, "any", "tls", "Openfire openfire.xml: adminConsole.securePort"},
}

// softwareRange says for which versions the rows are known to hold.
type softwareRange struct{ name, first, last string }

var softwareRanges = []softwareRange{
	{"ejabberd", "23.01", "26.07"},
	{"openfire", "4.7", "5.1"},
	{"prosody", "0.12", "13.0"},
}

// Software lists the products whose defaults are known, sorted.
func Software() []string {
	names := make([]string, len(softwareRanges))
	for i, r := range softwareRanges {
		names[i] = r.name
	}
	return names
}

// Defaults returns what the version of the product opens by default, sorted by
// service and port. It returns false for a product that is not known, for a
// version older than the first one known, and for text that is no version. A
// version newer than the last one known gets the rows of that one.
func Defaults(software, version string) ([]ir.Listener, bool) {
	v, ok := parseVersion(version)
	i := slices.IndexFunc(softwareRanges, func(r softwareRange) bool { return r.name == software })
	if !ok || i < 0 || v.less(mustVersion(softwareRanges[i].first)) {
		return nil, false
	}
	var out []ir.Listener
	for _, r := range defaultRows {
		if r.software != software ||
			r.since != "" && v.less(mustVersion(r.since)) ||
			r.until != "" && !v.less(mustVersion(r.until)) {
			continue
		}
		out = append(out, ir.Listener{
			Service: r.service, Port: ir.PortSpan{Proto: r.proto, From: r.port, To: r.port},
			Transport: r.transport, Bind: r.bind, Source: r.source,
		})
	}
	sortListeners(out)
	return out, true
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

// newerThan compares as many numbers as w states: 5.1.1 is not newer than 5.1.
func (v serverVersion) newerThan(w serverVersion) bool {
	return w.less(v[:min(len(v), len(w))])
}
