package compiler

import (
	"cmp"
	"slices"
)

// Setting is what one option of a server is by default, in each of the three
// places that say so. They disagree on just the options that matter, so that an
// absent line in somebody's configuration means something else on each machine.
type Setting struct {
	Key    string // ours, the same for all servers; SettingKeys says what it means
	Option string // the server's own name for it
	// Code is what the program does without any configuration, Example what the
	// project's own example configuration states, and Debian what the file (or a
	// patch) of the Debian package Package states. "" is not stated, so that Code
	// decides. Unknown is that nobody has looked.
	Code, Example, Debian string
	// Package is the version of the Debian package that was read; "" where none was.
	Package string
	Source  string // where it is documented
}

// Unknown stands for a value that no source was read for. It is never guessed.
const Unknown = "unknown"

// Upstream is the value with the project's own example configuration.
func (s Setting) Upstream() string { return cmp.Or(s.Example, s.Code) }

// Distribution is the value with the configuration of the Debian package.
func (s Setting) Distribution() string { return cmp.Or(s.Debian, s.Code) }

// SettingKey says what a key of settings means, and which values it has.
type SettingKey struct {
	Key, Meaning string
	Values       string // words with | between them, or the name of a form: "bytes", "seconds", "number", "rate", "range", "text"
}

// settingKeys is sorted by key. In every form the words none, unlimited and
// unknown may stand as well: there is no such option, it bounds nothing, nobody
// has looked.
var settingKeys = []SettingKey{
	{"admin-account", "the administrator's account that exists after the installation", "text"},
	{"admin-bind", "where its administration listens", "any|v4|loopback|socket|off"},
	{"admin-from", "which addresses may administer it", "any|loopback"},
	{"admin-tls", "whether its administration is encrypted", "on|off"},
	{"anonymous", "whether SASL ANONYMOUS is offered (XEP-0175)", "on|off"},
	{"anonymous-s2s", "whether anonymous users may reach other servers", "on|off"},
	{"anonymous-storage", "whether anonymous users may store data", "on|off"},
	{"antispam", "whether a filter for spam by domains, addresses and links is loaded", "on|off"},
	{"bosh-inactivity", "how long a BOSH session lives without a request", "seconds"},
	{"bosh-polling", "the shortest time between empty BOSH requests", "seconds"},
	{"bosh-requests", "how many BOSH requests of a session may be open", "number"},
	{"bosh-wait", "how long a BOSH request may wait for an answer", "seconds"},
	{"c2s-tls", "whether clients have to use TLS", "required|optional|off"},
	{"cluster-bind", "where it listens for the other nodes", "any|loopback"},
	{"cluster-cookie", "whether the secret among its nodes is the same everywhere", "generated|predefined"},
	{"cluster-mode", "whether it looks for other nodes", "on|off"},
	{"cluster-port", "the port that nodes use among themselves, besides the port mapper", "text"},
	{"component-check-from", "whether a component may send for its own domain only (XEP-0114)", "on|off"},
	{"component-policy", "which components may connect that nothing is said about", "allow|deny"},
	{"component-routes", "whether every component of a port gets the traffic of all its domains", "on|off"},
	{"component-secret", "the secret that components have after the installation", "text"},
	{"compression", "whether stream compression is offered (XEP-0138)", "on|off"},
	{"connection-rate", "how many new connections of clients it takes", "rate"},
	{"connections", "how many connections of clients it takes at the same time", "number"},
	{"dane", "whether certificates of other servers are judged by DANE (RFC 7673)", "on|off"},
	{"http-bind", "where its HTTP service listens", "any|v4|loopback"},
	{"http-cors", "which web sites may use its HTTP service", "any|off"},
	{"ipv6", "whether it listens on IPv6", "on|off"},
	{"login-ban", "when an address is shut out for failed logins", "text"},
	{"negotiation", "how long a client may take to log in", "seconds"},
	{"plain-without-tls", "whether SASL PLAIN is offered in clear text", "on|off"},
	{"preauth-size", "the largest stanza before a client has logged in", "bytes"},
	{"preauth-size-s2s", "the largest stanza before another server has proved who it is", "bytes"},
	{"proxy-protocol", "whether it reads the address of clients from a PROXY header", "on|off"},
	{"proxy65-access", "who may use its file transfer proxy (XEP-0065)", "local|all|off"},
	{"real-ip", "which proxies may state the address of a client in an HTTP header", "loopback|any"},
	{"registration", "whether clients can make accounts (XEP-0077)", "on|off|invite|loopback"},
	{"registration-rate", "how many accounts one address may make", "rate"},
	{"resources", "how many sessions one account may have", "number"},
	{"s2s-auth", "what another server has to prove itself by", "certificate|dialback"},
	{"s2s-match", "whether a rule for a domain holds below it too", "exact|below"},
	{"s2s-policy", "which servers may federate that nothing is said about", "allow|deny"},
	{"s2s-tls", "whether other servers have to use TLS", "required|optional|off"},
	{"shaper-c2s", "the bandwidth of one client", "rate"},
	{"shaper-s2s", "the bandwidth of one server", "rate"},
	{"stanza-elements", "how many elements one stanza may have", "number"},
	{"stanza-size-c2s", "the largest stanza of a client", "bytes"},
	{"stanza-size-component", "the largest stanza of a component", "bytes"},
	{"stanza-size-s2s", "the largest stanza of another server", "bytes"},
	{"tls-min", "the oldest version of TLS that its configuration allows", "1.0|1.1|1.2|1.3"},
	{"turn-auth", "who may use its TURN relay", "user|anonymous"},
	{"turn-denied", "the addresses that its TURN relay reaches for nobody", "loopback|private"},
	{"turn-relay", "the UDP ports that its TURN relay uses", "range"},
	{"upload-size", "the largest file of HTTP upload (XEP-0363)", "bytes"},
	{"ws-frame", "the largest message of a WebSocket", "bytes"},
	{"ws-idle", "how long a WebSocket may be silent", "seconds"},
	{"ws-origin", "which web sites may open a WebSocket", "any|checked"},
}

// SettingKeys lists the keys that settings have, sorted.
func SettingKeys() []SettingKey { return slices.Clone(settingKeys) }

// debianPackages are the packages that were read, by the versions they hold for.
var debianPackages = []struct{ software, since, until, version string }{
	{"ejabberd", "", "24.12", "23.01-1"},
	{"ejabberd", "24.12", "25", "24.12-3~bpo12+1"},
	{"prosody", "", "13.0", "0.12.3-1+deb12u1"},
	{"prosody", "13.0", "13.0.2", "13.0.1-1~bpo12+1"},
}

// debianPackage is the package that was read for a version; "" is none.
func debianPackage(software string, v serverVersion) string {
	for _, p := range debianPackages {
		if p.software == software && v.within(p.since, p.until) {
			return p.version
		}
	}
	return ""
}

type settingRow struct {
	software, since, until string
	key, option            string
	code, example, debian  string
	source                 string
}

// Settings returns the defaults of the product's options, sorted by key, for
// the same versions as Defaults. A key of which nothing is known has no setting.
func Settings(software, version string) ([]Setting, bool) {
	v, ok := knownVersion(software, version)
	if !ok {
		return nil, false
	}
	pkg := debianPackage(software, v)
	var out []Setting
	for _, r := range settingRows {
		if r.software != software || !v.within(r.since, r.until) {
			continue
		}
		s := Setting{Key: r.key, Option: r.option, Code: r.code, Example: r.example, Debian: r.debian, Package: pkg, Source: r.source}
		if pkg == "" {
			s.Debian = Unknown
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Setting) int { return cmp.Compare(a.Key, b.Key) })
	return out, true
}

// SettingOf returns one setting; false where it is not known.
func SettingOf(software, version, key string) (Setting, bool) {
	ss, _ := Settings(software, version)
	i, ok := slices.BinarySearchFunc(ss, key, func(s Setting, key string) int { return cmp.Compare(s.Key, key) })
	if !ok {
		return Setting{}, false
	}
	return ss[i], true
}

var settingRows = []settingRow{
	// Prosody. The example is prosody.cfg.lua.dist. The code was read in the
	// Debian packages, which leave it as it is but for preauth-size.
	{"prosody", "", "", "admin-bind", "admin_shell", "off", "socket", "socket", "prosody.cfg.lua.dist: modules_enabled; mod_admin_socket: prosody.sock"},
	{"prosody", "", "", "anonymous", "authentication", "off", "off", "off", "prosody.cfg.lua.dist: authentication = internal_hashed"},
	{"prosody", "", "", "anonymous-s2s", "allow_anonymous_s2s", "off", "", "", "mod_auth_anonymous: allow_anonymous_s2s"},
	{"prosody", "", "", "anonymous-storage", "allow_anonymous_storage", "off", "", "", "mod_auth_anonymous: allow_anonymous_storage"},
	{"prosody", "", "", "bosh-inactivity", "bosh_max_inactivity", "60", "", "", "mod_bosh: bosh_max_inactivity"},
	{"prosody", "", "", "bosh-polling", "bosh_max_polling", "5", "", "", "mod_bosh: bosh_max_polling"},
	{"prosody", "", "", "bosh-requests", "BOSH_MAX_REQUESTS", "2", "", "", "mod_bosh: a constant"},
	{"prosody", "", "", "bosh-wait", "bosh_max_wait", "120", "", "", "mod_bosh: bosh_max_wait"},
	{"prosody", "", "", "c2s-tls", "c2s_require_encryption", "required", "", "", "mod_tls, mod_saslauth: c2s_require_encryption, true since 0.12"},
	{"prosody", "", "", "component-check-from", "validate_from_addresses", "on", "", "", "mod_component: validate_from_addresses"},
	{"prosody", "", "", "component-secret", "component_secret", "none", "", "", "mod_component: component_secret; without one nothing connects"},
	{"prosody", "", "", "compression", "compression", "none", "", "", "CHANGES of 0.10.0: mod_compression removed"},
	{"prosody", "", "", "connections", "none", "unlimited", "", "", "mod_c2s has no such option"},
	{"prosody", "", "", "dane", "use_dane", "off", "", "", "mod_s2s: use_dane"},
	{"prosody", "", "", "http-bind", "http_interfaces", "loopback", "", "", "mod_http: the service http is private since 0.12"},
	{"prosody", "", "", "http-cors", "http_default_cors_enabled", "any", "", "", "mod_http: http_default_cors_enabled, http_cors_override"},
	{"prosody", "", "", "ipv6", "use_ipv6", "on", "", "", "core/portmanager.lua: use_ipv6"},
	{"prosody", "", "", "negotiation", "c2s_timeout", "300", "", "", "mod_c2s: c2s_timeout"},
	{"prosody", "", "", "plain-without-tls", "allow_unencrypted_plain_auth", "off", "", "", "mod_saslauth: allow_unencrypted_plain_auth"},
	{"prosody", "", "13.0", "preauth-size", "c2s_unauthed_stanza_size_limit", Unknown, "", "10000", "mod_c2s as patched by Debian security in 0.12.3-1+deb12u1"},
	{"prosody", "13.0", "13.0.2", "preauth-size", "none", "none", "", "", "mod_c2s of 13.0.1 has no such option"},
	{"prosody", "13.0.2", "", "preauth-size", Unknown, Unknown, "", "", "mod_c2s after 13.0.1 was not read"},
	{"prosody", "", "13.0", "preauth-size-s2s", "s2s_unauthed_stanza_size_limit", Unknown, "", "10000", "mod_s2s as patched by Debian security in 0.12.3-1+deb12u1"},
	{"prosody", "13.0", "13.0.2", "preauth-size-s2s", "none", "none", "", "", "mod_s2s of 13.0.1 has no such option"},
	{"prosody", "13.0.2", "", "preauth-size-s2s", Unknown, Unknown, "", "", "mod_s2s after 13.0.1 was not read"},
	{"prosody", "", "", "proxy65-access", "proxy65_open_access", "local", "", "", "mod_proxy65: proxy65_open_access, proxy65_acl"},
	{"prosody", "", "", "real-ip", "trusted_proxies", "loopback", "", "", "mod_http: trusted_proxies"},
	{"prosody", "", "", "registration", "allow_registration", "off", "invite", "invite", "mod_register: allow_registration; prosody.cfg.lua.dist loads invites_register"},
	{"prosody", "", "", "registration-rate", "registration_throttle_max", "unlimited", "", "", "mod_register_limits: registration_throttle_max, registration_throttle_period"},
	{"prosody", "", "", "resources", "none", "unlimited", "", "", "core/sessionmanager.lua has no such option"},
	{"prosody", "", "", "s2s-auth", "s2s_secure_auth", "dialback", "certificate", "certificate", "mod_s2s: s2s_secure_auth; prosody.cfg.lua.dist sets it"},
	{"prosody", "", "", "s2s-policy", "modules_disabled", "allow", "", "", "core/modulemanager.lua loads mod_s2s by itself"},
	{"prosody", "", "", "s2s-tls", "s2s_require_encryption", "required", "", "", "mod_tls, mod_s2s: s2s_require_encryption, true since 0.12"},
	{"prosody", "", "", "shaper-c2s", "limits.c2s.rate", "unlimited", "10000/second", "10000/second", "prosody.cfg.lua.dist: mod_limits with 10kb/s"},
	{"prosody", "", "", "shaper-s2s", "limits.s2sin.rate", "unlimited", "30000/second", "30000/second", "prosody.cfg.lua.dist: mod_limits with 30kb/s"},
	{"prosody", "", "", "stanza-size-c2s", "c2s_stanza_size_limit", "262144", "", "", "mod_c2s: c2s_stanza_size_limit"},
	{"prosody", "", "", "stanza-size-component", "component_stanza_size_limit", "524288", "", "", "mod_component: component_stanza_size_limit"},
	{"prosody", "", "", "stanza-size-s2s", "s2s_stanza_size_limit", "524288", "", "", "mod_s2s: s2s_stanza_size_limit"},
	{"prosody", "", "", "tls-min", "tls_profile", "1.2", "", "", "core/certmanager.lua: tls_profile intermediate"},
	{"prosody", "", "", "upload-size", "http_file_share_size_limit", "10485760", "", "", "util/prosodyctl/check.lua: http_file_share_size_limit"},
	{"prosody", "", "", "ws-frame", "websocket_frame_buffer_limit", "524288", "", "", "mod_websocket: twice c2s_stanza_size_limit"},
	{"prosody", "", "", "ws-origin", "none", "any", "", "", "mod_websocket does not look at Origin"},

	// ejabberd. The example is ejabberd.yml.example.
	{"ejabberd", "", "", "admin-bind", "listen: ejabberd_web_admin", "off", "any", "any", "ejabberd.yml.example: ejabberd_http on 5280 and 5443"},
	{"ejabberd", "", "", "admin-tls", "listen: tls", "off", "off", "on", "ejabberd.yml.example: the listener on 5280"},
	{"ejabberd", "", "", "anonymous", "auth_method", "off", "", "", "ejabberd.yml manual: auth_method; anonymous has to be named"},
	{"ejabberd", "25.07", "", "antispam", "mod_antispam", "off", "", "", "ejabberd modules manual: mod_antispam, added in 25.07"},
	{"ejabberd", "", "", "bosh-inactivity", "mod_bosh: max_inactivity", "30", "", "", "ejabberd.yml(5): mod_bosh, max_inactivity"},
	{"ejabberd", "", "", "bosh-polling", "DEFAULT_POLLING", "2", "", "", "ejabberd_bosh.erl: a constant"},
	{"ejabberd", "", "", "bosh-requests", "DEFAULT_HOLD", "2", "", "", "ejabberd_bosh.erl: one is held, so two may be open"},
	{"ejabberd", "", "", "bosh-wait", "DEFAULT_WAIT", "300", "", "", "ejabberd_bosh.erl: a constant"},
	{"ejabberd", "", "", "c2s-tls", "listen: starttls_required", "off", "required", "required", "ejabberd_c2s.erl: listen_options; ejabberd.yml.example"},
	{"ejabberd", "", "", "cluster-bind", "INET_DIST_INTERFACE", "any", "", "", "ejabberdctl.cfg: INET_DIST_INTERFACE"},
	{"ejabberd", "22.10", "", "cluster-port", "ERL_DIST_PORT", "random", "", "", "ejabberdctl.cfg: ERL_DIST_PORT, not set; since 22.10"},
	{"ejabberd", "", "", "component-check-from", "listen: check_from", "on", "", "", "ejabberd listen options: check_from"},
	{"ejabberd", "", "", "component-routes", "listen: global_routes", "on", "", "", "ejabberd listen options: global_routes"},
	{"ejabberd", "", "", "component-secret", "listen: password", "none", "", "", "ejabberd.yml.example has no ejabberd_service"},
	{"ejabberd", "", "", "compression", "listen: zlib", "off", "", "", "ejabberd_c2s.erl: listen_options"},
	{"ejabberd", "", "", "connections", "none", "unlimited", "", "", "ejabberd listen options have no such option"},
	{"ejabberd", "", "", "ipv6", "listen: ip", "off", "on", "on", "ejabberd listen options: ip is 0.0.0.0; ejabberd.yml.example states ::"},
	{"ejabberd", "", "", "login-ban", "mod_fail2ban", "off", "20 in 1h", "20 in 1h", "ejabberd.yml(5): mod_fail2ban, c2s_max_auth_failures; ejabberd.yml.example loads it"},
	{"ejabberd", "", "24.02", "negotiation", "negotiation_timeout", "30", "", "", "ejabberd.yml(5): negotiation_timeout"},
	{"ejabberd", "24.02", "", "negotiation", "negotiation_timeout", "120", "", "", "ejabberd CHANGELOG of 24.02: negotiation_timeout from 30s to 2m"},
	{"ejabberd", "", "26.04", "preauth-size", "none", "none", "", "", "ejabberd listen options before 26.04 have no such option"},
	{"ejabberd", "26.04", "", "preauth-size", "listen: pre_auth_max_stanza_size", "8192", "", "", "ejabberd listen options: pre_auth_max_stanza_size, added in 26.04"},
	{"ejabberd", "", "26.04", "preauth-size-s2s", "none", "none", "", "", "ejabberd listen options before 26.04 have no such option"},
	{"ejabberd", "26.04", "", "preauth-size-s2s", "listen: pre_auth_max_stanza_size", "8192", "", "", "ejabberd listen options: pre_auth_max_stanza_size, added in 26.04"},
	{"ejabberd", "", "", "proxy-protocol", "listen: use_proxy_protocol", "off", "", "", "ejabberd listen options: use_proxy_protocol"},
	{"ejabberd", "", "", "proxy65-access", "mod_proxy65: access", "off", "local", "", "ejabberd.yml.example loads mod_proxy65 with access: local; the module's own default is all"},
	{"ejabberd", "", "", "real-ip", "trusted_proxies", "none", "", "", "ejabberd.yml(5): trusted_proxies is empty"},
	{"ejabberd", "", "", "registration", "mod_register: ip_access", "off", "loopback", "", "ejabberd.yml.example: mod_register with ip_access: trusted_network; the module's own default is all"},
	{"ejabberd", "", "", "registration-rate", "registration_timeout", "1/600 seconds", "", "", "ejabberd.yml(5): registration_timeout"},
	{"ejabberd", "", "", "resources", "shaper_rules: max_user_sessions", "unlimited", "10", "10", "ejabberd_sm.erl: MAX_USER_SESSIONS; ejabberd.yml.example"},
	{"ejabberd", "", "", "s2s-auth", "mod_s2s_dialback", "certificate", "dialback", "dialback", "ejabberd.yml.example loads mod_s2s_dialback"},
	{"ejabberd", "", "", "s2s-match", "acl: server", "exact", "", "", "ejabberd basic configuration manual: acl, server"},
	{"ejabberd", "", "", "s2s-policy", "s2s_access", "allow", "", "", "ejabberd.yml(5): s2s_access is all"},
	{"ejabberd", "", "", "s2s-tls", "s2s_use_starttls", "off", "optional", "required", "ejabberd.yml(5): s2s_use_starttls; ejabberd.yml.example"},
	{"ejabberd", "", "", "shaper-c2s", "listen: shaper", "unlimited", "3000/second", "3000/second", "ejabberd.yml.example: shaper normal, with a burst of 20000"},
	{"ejabberd", "", "24.12", "shaper-s2s", "listen: shaper", "unlimited", Unknown, "", "ejabberd.yml.example: ejabberd_s2s_in; the Debian file of 23.01 states no shaper there"},
	{"ejabberd", "24.12", "", "shaper-s2s", "listen: shaper", "unlimited", "100000/second", "200000/second", "ejabberd.yml.example: shaper fast"},
	{"ejabberd", "", "", "stanza-size-c2s", "listen: max_stanza_size", "unlimited", "262144", "262144", "ejabberd_c2s.erl: listen_options; ejabberd.yml.example"},
	{"ejabberd", "", "", "stanza-size-component", "listen: max_stanza_size", "unlimited", "", "", "ejabberd listen options: max_stanza_size"},
	{"ejabberd", "", "", "stanza-size-s2s", "listen: max_stanza_size", "unlimited", "524288", "524288", "ejabberd listen options: max_stanza_size; ejabberd.yml.example"},
	{"ejabberd", "", "", "tls-min", "c2s_protocol_options", "1.0", "", "1.2", "ejabberd.yml(5): c2s_protocol_options has no_sslv3 only"},
	{"ejabberd", "", "", "turn-auth", "listen: auth_type", "user", "", "", "ejabberd listen manual: ejabberd_stun, auth_type"},
	{"ejabberd", "", "", "turn-denied", "listen: turn_blacklist", "loopback", "", "", "ejabberd listen manual: ejabberd_stun, turn_blacklist"},
	{"ejabberd", "", "", "turn-relay", "listen: turn_min_port, turn_max_port", "49152-65535", "", "", "ejabberd listen manual: ejabberd_stun, turn_min_port and turn_max_port"},
	{"ejabberd", "", "", "upload-size", "mod_http_upload: max_size", "104857600", "", "", "ejabberd.yml(5): mod_http_upload, max_size"},
	{"ejabberd", "", "", "ws-idle", "websocket_timeout", "300", "", "", "ejabberd.yml(5): websocket_timeout"},
	{"ejabberd", "", "", "ws-origin", "websocket_origin", "any", "", "", "ejabberd.yml(5): websocket_origin is ignore"},

	// Openfire keeps nearly all of this as properties in its database, so there
	// is no example file that states them, and no Debian package.
	{"openfire", "", "", "admin-bind", "adminConsole.interface", "any", "", "", "openfire.xml: adminConsole.interface"},
	{"openfire", "", "", "admin-from", "adminConsole.access.ip-allowlist", "any", "", "", "AuthCheckFilter.java: adminConsole.access.ip-allowlist is empty"},
	{"openfire", "", "", "anonymous", "xmpp.auth.anonymous", "off", "", "", "AnonymousSaslServer.java: xmpp.auth.anonymous"},
	{"openfire", "", "", "anonymous-s2s", "xmpp.server.allow-anonymous-outbound-data", "off", "", "", "ConnectionSettings.java: ALLOW_ANONYMOUS_OUTBOUND_DATA is false"},
	{"openfire", "", "", "bosh-inactivity", "xmpp.httpbind.client.idle", "30", "", "", "HttpSessionManager.java: INACTIVITY_TIMEOUT"},
	{"openfire", "", "", "bosh-polling", "xmpp.httpbind.client.requests.polling", "5", "", "", "HttpSessionManager.java: POLLING_INTERVAL"},
	{"openfire", "", "", "bosh-requests", "xmpp.httpbind.client.requests.max", "2", "", "", "HttpSessionManager.java: MAX_REQUESTS"},
	{"openfire", "", "", "bosh-wait", "xmpp.httpbind.client.requests.wait", "2147483647", "", "", "HttpSessionManager.java: MAX_WAIT"},
	{"openfire", "", "", "c2s-tls", "xmpp.client.tls.policy", "optional", "", "", "ConnectionListener.java: getTLSPolicy"},
	{"openfire", "", "", "component-policy", "xmpp.component.permission", "allow", "", "", "ExternalComponentManager.java: xmpp.component.permission is blacklist"},
	{"openfire", "", "", "component-secret", "xmpp.component.defaultSecret", "none", "", "", "ExternalComponentManager.java: xmpp.component.defaultSecret; without one nothing connects"},
	{"openfire", "", "", "compression", "xmpp.client.compression.policy", "on", "", "", "ConnectionListener.java: getCompressionPolicy is optional for clients"},
	{"openfire", "", "5.1", "connection-rate", "none", "unlimited", "", "", "Openfire before 5.1 has no such option"},
	{"openfire", "5.1", "", "connection-rate", "xmpp.ratelimit.newconnections.c2s.enabled", "unlimited", "", "", "Openfire 5.1: xmpp.ratelimit.newconnections.c2s.enabled is false; 20 a second and a burst of 50 once it is true"},
	{"openfire", "", "", "http-bind", "httpbind.enabled", "any", "", "", "HttpBindManager.java: HTTP_BIND_ENABLED; bound like all of Openfire by network.interface"},
	{"openfire", "", "", "http-cors", "httpbind.CORS.domains", "any", "", "", "HttpBindManager.java: HTTP_BIND_ALLOWED_ORIGINS"},
	{"openfire", "", "", "proxy-protocol", "none", "none", "", "", "the source of Openfire 5.1 has no PROXY protocol"},
	{"openfire", "", "", "real-ip", "httpbind.forwarded.enabled", "none", "", "", "HttpBindManager.java: HTTP_BIND_FORWARDED is false"},
	{"openfire", "", "", "registration", "register.inband", "on", "", "", "IQRegisterHandler.java: register.inband"},
	{"openfire", "", "", "s2s-auth", "xmpp.server.dialback.enabled", "dialback", "", "", "ConnectionSettings.java: xmpp.server.dialback.enabled is true"},
	{"openfire", "", "", "s2s-match", "xmpp.server.permission-apply-recursive", "below", "", "", "RemoteServerManager.java: xmpp.server.permission-apply-recursive"},
	{"openfire", "", "", "s2s-policy", "xmpp.server.permission", "allow", "", "", "RemoteServerManager.java: xmpp.server.permission is blacklist"},
	{"openfire", "", "", "s2s-tls", "xmpp.server.tls.policy", "optional", "", "", "ConnectionListener.java: getTLSPolicy"},
	{"openfire", "", "", "shaper-c2s", "none", "unlimited", "", "", "the source of Openfire 5.1 has no such option; it bounds how often connections are made, since 5.1"},
	{"openfire", "", "", "stanza-size-c2s", "xmpp.parser.buffer.size", "1048576", "", "", "XMLLightweightParser.java: xmpp.parser.buffer.size"},
	{"openfire", "", "", "stanza-size-s2s", "xmpp.parser.buffer.size", "1048576", "", "", "XMLLightweightParser.java: xmpp.parser.buffer.size"},

	// Tigase. Virtual hosts and much else are in its database; etc/config.tdsl
	// of the distribution states little.
	{"tigase", "", "", "admin-account", "admin-user, admin-password", Unknown, "admin/tigase", "", "etc/config.tdsl: http, setup"},
	{"tigase", "", "", "admin-bind", "http: port", "any", "", "", "Tigase manual, Network Instructions: 8080"},
	{"tigase", "", "8.1", "anonymous", "vhost-anonymous-enabled", "on", "", "", "Tigase manual: vhost-anonymous-enabled"},
	{"tigase", "8.1", "", "anonymous", "vhost-anonymous-enabled", Unknown, "", "", "VHostItemImpl.java: VHOST_ANONYMOUS_ENABLED_PROP_DEF, true at first and false later; the manual says true"},
	{"tigase", "", "", "bosh-inactivity", "max-inactivity", "10", "", "", "bosh/Constants.java: MAX_INACTIVITY_PROP_VAL"},
	{"tigase", "", "", "bosh-polling", "min-polling", "10", "", "", "bosh/Constants.java: MIN_POLLING_PROP_VAL"},
	{"tigase", "", "", "bosh-requests", "concurrent-requests", "2", "", "", "bosh/Constants.java: CONCURRENT_REQUESTS_PROP_VAL"},
	{"tigase", "", "", "bosh-wait", "max-wait", "30", "", "", "bosh/Constants.java: MAX_WAIT_DEF_PROP_VAL"},
	{"tigase", "", "8.1", "c2s-tls", "vhost-tls-required", "optional", "", "", "Tigase manual: vhost-tls-required is false"},
	{"tigase", "8.1", "", "c2s-tls", "vhost-tls-required", "required", "", "", "VHostItemImpl.java: VHOST_TLS_REQUIRED_PROP_DEF is true; the manual says false"},
	{"tigase", "", "", "cluster-mode", "cluster-mode", "off", "", "", "Tigase manual: cluster-mode"},
	{"tigase", "", "", "connection-rate", "new-connections-throttling", "200/second", "", "", "ConnectionManager.java: new-connections-throttling of port 5222"},
	{"tigase", "", "", "registration", "vhost-register-enabled", "on", "", "", "VHostItemImpl.java: VHOST_REGISTER_ENABLED_PROP_DEF"},
	{"tigase", "", "", "registration-rate", "registration-throttling", Unknown, "", "", "Tigase manual, Account Registration Limits: limit, of which the default is not stated"},
	{"tigase", "", "", "s2s-policy", "domain-filter-policy", "allow", "", "", "VHostItemImpl.java: DOMAIN_FILTER_POLICY_PROP_DEF is ALL"},
	{"tigase", "", "", "shaper-c2s", "cm-traffic-throttling", "20m/minute", "", "", "Tigase manual: cm-traffic-throttling, besides 2500 packets a minute"},
	{"tigase", "", "", "shaper-s2s", "cm-ht-traffic-throttling", "200m/minute", "", "", "Tigase manual: cm-ht-traffic-throttling, besides 25000 packets a minute"},
	{"tigase", "", "", "stanza-elements", "elements-number-limit", "1000", "", "", "Tigase manual: elements-number-limit"},
	{"tigase", "", "", "tls-min", "hardened-mode", "1.0", "", "", "Tigase manual: hardened-mode secure; the Java runtime may allow less"},

	// MongooseIM. The example is rel/files/mongooseim.toml as filled in by
	// rel/prod.vars-toml.config.
	{"mongooseim", "", "", "admin-account", "username, password", "none", "admin/secret", "", "mongooseim.toml: mongoose_graphql_handler"},
	{"mongooseim", "", "", "admin-bind", "listen.http.ip_address", "off", "v4", "", "vars-toml.config: 5541 on 0.0.0.0, 5551 and 8088 on 127.0.0.1"},
	{"mongooseim", "", "", "anonymous", "auth.anonymous", "off", "", "", "MongooseIM manual: auth.methods"},
	{"mongooseim", "", "", "bosh-inactivity", "modules.mod_bosh.inactivity", "30", "", "", "MongooseIM manual: mod_bosh, inactivity"},
	{"mongooseim", "", "", "bosh-wait", "modules.mod_bosh.max_wait", "unlimited", "", "", "MongooseIM manual: mod_bosh, max_wait"},
	{"mongooseim", "", "", "c2s-tls", "listen.c2s.tls.mode", "off", "optional", "", "MongooseIM manual: listen.c2s, tls.mode is starttls where there is a tls section"},
	{"mongooseim", "", "", "cluster-cookie", "-setcookie", Unknown, "predefined", "", "rel/files/vm.args: -setcookie; MongooseIM manual, Erlang cookie security"},
	{"mongooseim", "", "", "cluster-port", "inet_dist_listen_min", "random", "", "", "rel/files/vm.args: not set"},
	{"mongooseim", "", "6.4", "component-check-from", "listen.service.check_from", "on", "", "", "MongooseIM manual: listen.service, check_from"},
	{"mongooseim", "6.4", "", "component-check-from", "listen.component.check_from", "on", "", "", "MongooseIM manual: listen.component, check_from"},
	{"mongooseim", "", "6.4", "component-secret", "listen.service.password", "none", "secret", "", "prod.vars-toml.config: listen_service"},
	{"mongooseim", "6.4", "", "component-secret", "listen.component.password", "none", "secret", "", "prod.vars-toml.config: listen_component"},
	{"mongooseim", "", "", "connections", "listen.c2s.max_connections", "unlimited", "", "", "MongooseIM manual: listen.c2s, max_connections"},
	{"mongooseim", "", "", "http-bind", "listen.http.ip_address", "v4", "", "", "MongooseIM manual: listen.*.ip_address is 0.0.0.0"},
	{"mongooseim", "", "", "ipv6", "listen.*.ip_address", "off", "", "", "MongooseIM manual: listen.*.ip_address is 0.0.0.0"},
	{"mongooseim", "", "6.3", "negotiation", "listen.c2s.c2s_state_timeout", "5", "", "", "MongooseIM manual: listen.c2s, c2s_state_timeout; for each step"},
	{"mongooseim", "6.3", "", "negotiation", "listen.c2s.state_timeout", "5", "", "", "MongooseIM manual: listen.c2s, state_timeout; for each step"},
	{"mongooseim", "", "", "proxy-protocol", "listen.c2s.proxy_protocol", "off", "", "", "MongooseIM manual: listen, proxy_protocol"},
	{"mongooseim", "", "", "registration", "modules.mod_register.ip_access", "off", "loopback", "", "mongooseim.toml: mod_register with ip_access"},
	{"mongooseim", "", "", "registration-rate", "general.registration_timeout", "1/600 seconds", "unlimited", "", "MongooseIM manual: registration_timeout; mongooseim.toml: infinity"},
	{"mongooseim", "", "", "resources", "access.max_user_sessions", "100", "10", "", "ejabberd_sm.erl: MAX_USER_SESSIONS; mongooseim.toml"},
	{"mongooseim", "", "", "s2s-auth", "s2s", "dialback", "", "", "MongooseIM manual: s2s.shared, the secret of dialback"},
	{"mongooseim", "", "", "s2s-match", "s2s.host_policy", "exact", "", "", "MongooseIM manual: s2s.host_policy"},
	{"mongooseim", "", "", "s2s-policy", "s2s.default_policy", "allow", "deny", "", "MongooseIM manual: s2s.default_policy; prod.vars-toml.config"},
	{"mongooseim", "", "6.4", "s2s-tls", "s2s.use_starttls", "off", "optional", "", "MongooseIM manual: s2s.use_starttls; vars-toml.config"},
	{"mongooseim", "6.4", "", "s2s-tls", "s2s.outgoing.tls.mode", "off", "optional", "", "MongooseIM migration guide 6.3.3 to 6.4.0: starttls, where there is a tls section"},
	{"mongooseim", "", "6.4", "shaper-c2s", "listen.c2s.shaper", "unlimited", "unlimited", "", "MongooseIM migration guide 6.3.3 to 6.4.0: the shaper that mongooseim.toml named had no effect"},
	{"mongooseim", "6.4", "6.8", "shaper-c2s", "listen.c2s.shaper", "unlimited", Unknown, "", "MongooseIM migration guide 6.3.3 to 6.4.0: shaper normal, of which the rate was not read"},
	{"mongooseim", "6.8", "", "shaper-c2s", "listen.c2s.shaper", "unlimited", "16384/second", "", "mongooseim.toml: shaper normal"},
	{"mongooseim", "", "", "shaper-s2s", "listen.s2s.shaper", "unlimited", "50000/second", "", "mongooseim.toml: shaper fast"},
	{"mongooseim", "", "", "stanza-size-c2s", "listen.c2s.max_stanza_size", "unlimited", "65536", "", "MongooseIM manual: max_stanza_size, looked at after parsing; mongooseim.toml"},
	{"mongooseim", "", "", "stanza-size-s2s", "listen.s2s.max_stanza_size", "unlimited", "131072", "", "MongooseIM manual: max_stanza_size, looked at after parsing; mongooseim.toml"},
	{"mongooseim", "", "", "ws-frame", "listen.http.handlers.mod_websockets.max_stanza_size", "unlimited", "", "", "MongooseIM manual: mod_websockets, max_stanza_size"},
	{"mongooseim", "", "", "ws-idle", "listen.http.handlers.mod_websockets.timeout", "unlimited", "", "", "MongooseIM manual: mod_websockets, timeout"},

	// Metronome. The example is metronome.cfg.lua.dist.
	{"metronome", "", "", "admin-bind", "admin_telnet", "off", "", "", "metronome.cfg.lua.dist has admin_telnet and admin_web commented out"},
	{"metronome", "", "", "anonymous-s2s", "allow_anonymous_s2s", "off", "", "", "mod_auth_anonymous: allow_anonymous_s2s"},
	{"metronome", "", "", "bosh-inactivity", "bosh_max_inactivity", "60", "", "", "mod_bosh: bosh_max_inactivity"},
	{"metronome", "", "", "bosh-polling", "bosh_max_polling", "5", "", "", "mod_bosh: bosh_max_polling"},
	{"metronome", "", "", "bosh-requests", "bosh_max_requests", "2", "", "", "mod_bosh: bosh_max_requests"},
	{"metronome", "", "", "bosh-wait", "bosh_max_wait", "120", "", "", "mod_bosh: bosh_max_wait"},
	{"metronome", "", "", "c2s-tls", "c2s_require_encryption", "required", "", "", "mod_tls: c2s_require_encryption"},
	{"metronome", "", "", "component-check-from", "validate_from_addresses", "on", "", "", "mod_component: validate_from_addresses"},
	{"metronome", "", "", "component-secret", "component_secret", "none", "", "", "mod_component: component_secret; without one nothing connects"},
	{"metronome", "", "", "compression", "compression", "off", "", "", "metronome.cfg.lua.dist has compression commented out"},
	{"metronome", "", "", "http-bind", "http_interfaces", "v4", "", "", "mod_http: no private service; core/portmanager.lua"},
	{"metronome", "", "", "http-cors", "cross_domain_bosh", "off", "", "", "mod_bosh: cross_domain_bosh"},
	{"metronome", "", "", "ipv6", "use_ipv6", "off", "", "", "core/portmanager.lua: use_ipv6"},
	{"metronome", "", "", "negotiation", "c2s_timeout", "unlimited", "", "", "mod_c2s: c2s_timeout has no default"},
	{"metronome", "", "", "proxy65-access", "proxy65_acl", "all", "", "", "mod_proxy65: without proxy65_acl everybody may"},
	{"metronome", "", "", "real-ip", "trusted_proxies", "loopback", "", "", "mod_bosh: trusted_proxies"},
	{"metronome", "", "", "registration", "allow_registration", "off", "off", "", "mod_register: allow_registration; metronome.cfg.lua.dist"},
	{"metronome", "", "", "registration-rate", "min_seconds_between_registrations", "unlimited", "", "", "mod_register: min_seconds_between_registrations has no default"},
	{"metronome", "", "", "s2s-auth", "s2s_strict_mode", "dialback", "", "", "mod_s2s: s2s_strict_mode is false"},
	{"metronome", "", "", "s2s-match", "gate_blacklist", "exact", "", "", "mod_gate_guard: gate_blacklist"},
	{"metronome", "", "", "s2s-policy", "gate_whitelist", "allow", "", "", "mod_gate_guard, which metronome.cfg.lua.dist does not load"},
	{"metronome", "", "", "s2s-tls", "s2s_require_encryption", "required", "", "", "mod_tls, mod_s2s: s2s_require_encryption"},
	{"metronome", "", "", "stanza-size-c2s", Unknown, Unknown, "", "", "the source of Metronome 4.0 was not read for it"},
	{"metronome", "", "", "ws-origin", "none", "any", "", "", "mod_websocket does not look at Origin"},
}
