package lang

import (
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// form is a statement as its author knows it: the keyword it starts with, how
// it is written, and what the block it opens holds. Messages are made from
// forms, because the grammar's own account of itself is for grammarians.
type form struct {
	keyword string
	looks   []string
	block   reflect.Type // what the items of its block are; nil without a block
	about   about
}

// about says what a keyword is for, to whoever writes a policy. All that explains
// keywords says it in these words: editors, and docs/keywords.md.
type about struct {
	means     string
	otherwise string // what holds where the statement is missing; "" where that is plain
	reference string // sections of standards
}

// optional reports whether the block of the form may be left out: then its
// statement is a line like others, and the block says something about it.
func (f *form) optional() bool {
	return f.block != nil && !strings.Contains(f.looks[0], "{")
}

// header counts the tokens before the block of the form.
func (f *form) header() int {
	n := 0
	for _, t := range scan("", f.looks[0]) {
		if isBrace(t, "{") {
			break
		}
		if significant(t) {
			n++
		}
	}
	return n
}

// section is a place where statements stand: the top level, or one kind of
// block. It holds the grammar of its statements and their forms.
type section struct {
	where string // as in "unknown keyword in a server block"
	forms []form
	rule  func() *rule // of its statements
	// judge reads the statement that comes next, with the findings of its blocks.
	// Where there is none, it leaves the cursor where it was.
	judge  func(*cursor) (any, []diag.Finding, error)
	syntax func() string
}

// form finds the statement that a keyword starts.
func (s *section) form(keyword string) *form {
	i := slices.IndexFunc(s.forms, func(f form) bool { return f.keyword == keyword })
	if i < 0 {
		return nil
	}
	return &s.forms[i]
}

// starts reports whether t is a keyword of the section.
func (s *section) starts(t *lexer.Token) bool {
	return t.Type == tokWord && s.form(t.Value) != nil
}

// keywords lists the keywords of the section in the order of its forms.
func (s *section) keywords() []string {
	words := make([]string, len(s.forms))
	for i, f := range s.forms {
		words[i] = f.keyword
	}
	return words
}

// looks lists ways to write a statement.
func looks(ways ...string) []string { return ways }

// sections are all places for statements, by the type of the statements.
var sections = map[reflect.Type]*section{
	reflect.TypeFor[*Decl](): sectionOf[Decl]("at the top level",
		form{"policy", looks(`policy "example.org" { … }`), reflect.TypeFor[*PolicyItem](),
			about{"Names the policy, and says whom to ask and which profile of best practice it has to pass. Every policy has exactly one.", "", ""}},
		form{"include", looks(`include "peers/*.xfw"`), nil,
			about{"Reads other files in place. The path is relative to this file and may hold * ? and [a-z].", "", ""}},
		form{"network", looks(`network lan = 192.168.10.0/24, 2001:db8:10::/64`, `network drop = feed "drop.txt" { max-age 2d }`), reflect.TypeFor[*NameLine](),
			about{"Names a set of addresses: addresses, prefixes and other networks, or one feed.", "", ""}},
		form{"zone", looks(`zone guests = wlan0 of edge`), metaBlock,
			about{"Names what is behind interfaces of points: the networks that these interfaces face.", "", ""}},
		form{"domains", looks(`domains spam = bad.example, worse.example`, `domains spam = feed "spam.txt"`), reflect.TypeFor[*NameLine](),
			about{"Names XMPP domains, or takes them from a feed. An entry means the domain and everything below it.", "", "XEP-0191 §6"}},
		form{"words", looks(`words phish = "wire transfer", "gift card"`, `words phish = feed "phish.txt"`), reflect.TypeFor[*NameLine](),
			about{"Names texts for content rules, or takes them from a feed.", "", ""}},
		form{"pattern", looks(`pattern card = "[0-9]+-[0-9]+"`), metaBlock,
			about{"Names a pattern for content rules: literals, classes, `. ? * +`, anchors, groups and `|`.", "", ""}},
		form{"window", looks(`window office = mon-fri 08:00-18:00, sat 09:00-12:00`), metaBlock,
			about{"Names hours of the week, in UTC, for `during`.", "", ""}},
		form{"server", looks(`server chat { … }`), reflect.TypeFor[*ServerItem](),
			about{"Declares an XMPP server: its software, domains and addresses.", "", ""}},
		form{"point", looks(`point edge { … }`), reflect.TypeFor[*PointItem](),
			about{"Declares where something can be enforced: a gateway or a host, with its engines.", "", ""}},
		form{"clients", looks(`clients of chat { … }`), reflect.TypeFor[*ClientsItem](),
			about{"Who may connect to the server as a client, and how.", "", "RFC 6120 §5, §6; RFC 7590"}},
		form{"federation", looks(`federation of chat { … }`), reflect.TypeFor[*FederationItem](),
			about{"Which servers may federate with this one, and how they prove who they are.", "", "RFC 6120 §13.14; XEP-0220; XEP-0178"}},
		form{"component", looks(`component irc of chat { … }`), reflect.TypeFor[*ComponentItem](),
			about{"An external component: a program that may speak for every user of a domain, over a clear-text stream.", "", "XEP-0114 §3, §4"}},
		form{"web", looks(`web of chat { … }`), reflect.TypeFor[*WebItem](),
			about{"XMPP over HTTP: BOSH, WebSocket, upload and discovery.", "", "XEP-0124; XEP-0206; RFC 7395; XEP-0363"}},
		form{"anonymous", looks(`anonymous of chat { … }`), reflect.TypeFor[*AnonymousItem](),
			about{"Who may use the server without an account. They arrive at the ports of clients, where only the server can tell them apart.", "", "XEP-0175 §3"}},
		form{"media", looks(`media of chat { … }`), reflect.TypeFor[*MediaItem](),
			about{"File transfer by SOCKS5, and calls by STUN and TURN.", "", "XEP-0065; XEP-0215; RFC 8656"}},
		form{"admin", looks(`admin of chat { … }`), reflect.TypeFor[*AdminItem](),
			about{"Who may administer the server over the network. Everybody else is kept out.", "", ""}},
		form{"cluster", looks(`cluster of chat { … }`), reflect.TypeFor[*ClusterItem](),
			about{"Who the nodes of the server are: what they say to each other is closed to everybody else.", "", ""}},
		form{"egress", looks(`egress of chat { … }`), reflect.TypeFor[*EgressItem](),
			about{"What the server may call, besides federation and components.", "", ""}},
		form{"serverless", looks(`serverless { … }`), reflect.TypeFor[*ServerlessItem](),
			about{"Serverless messaging between hosts of a link, without a server.", "", "XEP-0174"}},
		form{"allow", looks(`allow network ops to admin of chat, ssh of edge`, `allow any to tcp/443 of edge`), metaBlock,
			about{"Opens a service for somebody, and closes it for everybody else.", "", ""}},
		form{"deny", looks(`deny network drop`, `deny 192.0.2.0/24 to ssh of edge`), metaBlock,
			about{"Keeps sources from everything the policy speaks of, or, with `to`, from the services named. It comes before every allow.", "", ""}},
		form{"content", looks(`content phishing { … }`), reflect.TypeFor[*ContentItem](),
			about{"Looks inside the traffic that an engine can read, and says what happens then.", "", ""}},
		form{"waive", looks(`waive comp-nonloopback on component irc until 2027-01-31 because "…"`), metaBlock,
			about{"Sets the findings of one code aside, on one statement or everywhere, until the end of a day, for a reason.", "", ""}},
		form{"test", looks(`test "strangers never reach the component" { … }`), reflect.TypeFor[*TestLine](),
			about{"Expectations that the policy carries: `check` and `test` judge them on the model, `try` with real packets.", "", ""}},
	),
	reflect.TypeFor[*PolicyItem](): sectionOf[PolicyItem]("in a policy block",
		form{"owner", looks(`owner "netops@example.org"`), nil,
			about{"Whom to ask about the policy.", "", ""}},
		ticketForm,
		form{"profile", looks(`profile strict`), nil,
			about{"Which best practice the policy has to pass; `strict` switches further checks on.", "baseline", ""}},
		form{"comply", looks(`comply pci-dss-4.0, nist-800-41`), nil,
			about{"The frameworks that the report maps findings and controls to.", "", "NIST SP 800-41 r1; PCI DSS 4.0"}},
	),
	reflect.TypeFor[*ServerItem](): sectionOf[ServerItem]("in a server block",
		form{"software", looks(`software prosody 13.0`), nil,
			about{"The product and its version: they say which ports it opens by default.", "", ""}},
		form{"domain", looks(`domain example.org, muc.example.org`), nil,
			about{"The XMPP domains that the server serves.", "", "RFC 6120 §3.2.4"}},
		form{"address", looks(`address 198.51.100.10, 2001:db8::10`), nil,
			about{"The addresses that the server is reached by.", "", ""}},
		form{"config", looks(`config "/etc/prosody/prosody.cfg.lua"`), nil,
			about{"Where the server's own configuration file is.", "", ""}},
		form{"port", looks(`port https 8443`), nil,
			about{"Another port for a service of the server.", "what the software opens", ""}},
		form{"trust", looks(`trust edge, 10.0.0.1`), nil,
			about{"The proxies whose word the server takes for the address of a client.", "loopback", ""}},
		form{"sessions", looks(`sessions 5000`), nil,
			about{"How many users are connected at the same time, for checks that have to know.", "unknown", ""}},
		form{"resolver", looks(`resolver validating`), nil,
			about{"Whether the server's DNS resolver validates DNSSEC.", "unknown", "RFC 7712 §8"}},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*PointItem](): sectionOf[PointItem]("in a point block",
		form{"role", looks(`role gateway`, `role host of chat`), nil,
			about{"What the point is: a gateway between networks, the host of a server, or another host.", "", ""}},
		form{"hostname", looks(`hostname "edge.example.org"`), nil,
			about{"The machine's host name, by which `plan`, `apply` and `drift` find their point.", "the name of the point", ""}},
		form{"address", looks(`address 198.51.100.1, 2001:db8::1`), nil,
			about{"The addresses that the machine is reached by. A host of a server has the server's addresses besides.", "", ""}},
		form{"interface", looks(`interface eth0 faces internet`), nil,
			about{"What is behind an interface: networks, addresses, or `internet` for the rest of the world. Sources are bound to it.", "", "RFC 2827"}},
		form{"exclusive", looks(`exclusive`), nil,
			about{"Denies whatever no statement allows, also where it is not XMPP.", "other traffic is left untouched", ""}},
		form{"nftables", looks(`nftables`), nil,
			about{"The packet filter of Linux enforces at this point.", "", ""}},
		form{"haproxy", looks(`haproxy`), nil,
			about{"HAProxy ends TLS and judges HTTP at this point.", "", ""}},
		form{"nginx", looks(`nginx`), nil,
			about{"nginx ends TLS and judges HTTP at this point.", "", ""}},
		form{"squid", looks(`squid`), nil,
			about{"Squid judges HTTP at this point.", "", ""}},
		form{"suricata", looks(`suricata passive dmz0`), nil,
			about{"Suricata listens at an interface of this point and alerts.", "", ""}},
		form{"snort", looks(`snort`), nil,
			about{"Snort listens at an interface of this point and alerts.", "", ""}},
		form{"prosody", looks(`prosody`), nil,
			about{"Prosody itself enforces, on the server's machine.", "", ""}},
		form{"ejabberd", looks(`ejabberd`), nil,
			about{"ejabberd itself enforces, on the server's machine.", "", ""}},
		form{"openfire", looks(`openfire`), nil,
			about{"Openfire itself enforces, on the server's machine.", "", ""}},
		form{"tigase", looks(`tigase`), nil,
			about{"Tigase itself enforces, on the server's machine.", "", ""}},
		form{"mongooseim", looks(`mongooseim`), nil,
			about{"MongooseIM itself enforces, on the server's machine.", "", ""}},
		form{"metronome", looks(`metronome`), nil,
			about{"Metronome itself enforces, on the server's machine.", "", ""}},
		modeForm,
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ClientsItem](): sectionOf[ClientsItem]("in a clients block",
		form{"from", looks(`from any`, `from lan, ops`), nil,
			about{"Where clients may come from: networks, zones, servers, points, addresses, or `any`.", "any", ""}},
		form{"starttls", looks(`starttls required`, `starttls optional port 5222`), nil,
			about{"Whether clients have to turn TLS on at the port where they begin in the clear; `off` closes that port.", "required", "RFC 6120 §5.3.1; RFC 9325 §3.2"}},
		form{"direct-tls", looks(`direct-tls`, `direct-tls port 5223 offload at edge`, `direct-tls port 443 alpn at edge default web`), nil,
			about{"Opens the port where TLS comes first. `alpn at` lets a point share port 443 between XMPP and the web; `offload at` ends TLS at a point.", "closed", "XEP-0368"}},
		form{"sasl", looks(`sasl scram-sha-256-plus, external`), nil,
			about{"The mechanisms by which clients may authenticate.", "not stated", "RFC 6120 §6, §13.8"}},
		form{"tls", looks(`tls 1.2`), nil,
			about{"The oldest version of TLS that clients may use.", "not stated", "RFC 9325 §3.1.1"}},
		form{"compression", looks(`compression off`), nil,
			about{"Whether streams may be compressed.", "not stated", "XEP-0138 §7; RFC 9325 §3.3"}},
		form{"registration", looks(`registration closed`), nil,
			about{"Who may make an account in the stream: nobody, who is invited, or everybody.", "not stated", "XEP-0077; XEP-0205 §4.8"}},
		form{"lockout", looks(`lockout source`), nil,
			about{"Who is locked out after failed logins: the source, the account, or nobody.", "not stated", "XEP-0205 §3; RFC 6120 §6.4.5"}},
		form{"idle", looks(`idle 10m`), nil,
			about{"How long a stream may be silent before a device on the way may forget it.", "not stated", "RFC 6120 §4.6.4"}},
		form{"quic", looks(`quic 443`), nil,
			about{"The UDP port of XMPP over QUIC.", "closed", "XEP-0467 §2"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*FederationItem](): sectionOf[FederationItem]("in a federation block",
		form{"default", looks(`default deny`), nil,
			about{"Whether servers that the block does not name may federate.", "deny", ""}},
		form{"tls", looks(`tls required`), nil,
			about{"Whether federation needs TLS.", "required", "RFC 9325 §3.2; RFC 7590 §3.4"}},
		form{"auth", looks(`auth external`, `auth dialback over tls`), nil,
			about{"How servers prove who they are: by certificate, or by dialback.", "external", "XEP-0178 §3; XEP-0220"}},
		form{"peer", looks(`peer partner.example { … }`), reflect.TypeFor[*PeerLine](),
			about{"A server that may federate, by its domain. It inherits what the block says, and may state its own.", "", ""}},
		form{"allow", looks(`allow domains partners`), metaBlock,
			about{"Lets the domains of lists federate.", "", ""}},
		form{"deny", looks(`deny domains spam`), metaBlock,
			about{"Keeps the domains of lists from federating.", "", "XEP-0205 §2"}},
		form{"domain", looks(`domain example.org, muc.example.org`), nil,
			about{"The server's own domains that federate.", "all of them", "RFC 6120 §3.2.4"}},
		form{"bidi", looks(`bidi on`), nil,
			about{"Whether one connection carries both directions.", "not stated", "XEP-0288"}},
		form{"identity", looks(`identity pkix, dane, posh`), nil,
			about{"The proofs of a domain's name that count: certificate authorities, DANE, POSH.", "not stated", "RFC 7712 §5, §8"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*PeerLine](): sectionOf[PeerLine]("in a peer block",
		form{"address", looks(`address 203.0.113.20, 2001:db8:20::5`), nil,
			about{"The addresses of the peer.", "those in xfwc.lock", "RFC 6120 §3.2.1"}},
		form{"port", looks(`port 5269`), nil,
			about{"The port that the peer is called on.", "5269, or what xfwc.lock says", "RFC 6120 §3.2.1"}},
		form{"tls", looks(`tls required`), nil,
			about{"Whether federation needs TLS.", "what the federation block says", "RFC 9325 §3.2; RFC 7590 §3.4"}},
		form{"auth", looks(`auth external`, `auth dialback over tls`), nil,
			about{"How servers prove who they are: by certificate, or by dialback.", "what the federation block says", "XEP-0178 §3; XEP-0220"}},
		form{"direction", looks(`direction both`), nil,
			about{"Who may call whom. Dialback calls back, so one direction alone rarely works.", "both", "XEP-0220 §1.4"}},
		form{"domain", looks(`domain muc.partner.example`), nil,
			about{"Further domains that the same peer serves.", "", "XEP-0220 §2.6"}},
		form{"bidi", looks(`bidi on`), nil,
			about{"Whether one connection carries both directions.", "what the federation block says", "XEP-0288"}},
		form{"identity", looks(`identity pkix, dane, posh`), nil,
			about{"The proofs of a domain's name that count: certificate authorities, DANE, POSH.", "what the federation block says", "RFC 7712 §5, §8"}},
		form{"certificate", looks(`certificate self-signed`), nil,
			about{"Whether the peer's certificate is valid, or signed by itself.", "not stated", "XEP-0220 §2.5"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ComponentItem](): sectionOf[ComponentItem]("in a component block",
		form{"port", looks(`port 5347`), nil,
			about{"The port that the component calls, or is called on.", "what the software opens", "XEP-0114"}},
		form{"from", looks(`from 10.0.5.4, 2001:db8:5::4`), nil,
			about{"Where the component runs.", "", ""}},
		form{"mode", looks(`mode accept`), nil,
			about{"Who calls whom: `accept` means that the component calls the server.", "accept", "XEP-0114 §2"}},
		form{"tunnel", looks(`tunnel "a WireGuard link"`), nil,
			about{"What protects the leg, where it is not on one machine.", "", "XEP-0114 §4"}},
		form{"domain", looks(`domain irc.example.org`), nil,
			about{"The domains that the component speaks for.", "", "XEP-0114 §3"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*WebItem](): sectionOf[WebItem]("in a web block",
		form{"from", looks(`from any`, `from lan, ops`), nil,
			about{"Where web clients may come from: networks, zones, servers, points, addresses, or `any`.", "any", ""}},
		form{"tls", looks(`tls terminate at edge`, `tls required`), nil,
			about{"Where TLS ends: at the proxy of a point, at the server, or nowhere.", "required", "XEP-0124 §19.1; RFC 7395 §3.9"}},
		form{"port", looks(`port 443`), nil,
			about{"The port that web clients reach.", "443 at a proxy, else what the software listens on", ""}},
		form{"bosh", looks(`bosh "/http-bind" { … }`), reflect.TypeFor[*RouteLine](),
			about{"A path of BOSH.", "", "XEP-0124; XEP-0206"}},
		form{"websocket", looks(`websocket "/xmpp-websocket" { … }`), reflect.TypeFor[*RouteLine](),
			about{"A path of XMPP over WebSocket.", "", "RFC 7395"}},
		form{"upload", looks(`upload "/upload" { … }`), reflect.TypeFor[*RouteLine](),
			about{"A path of HTTP upload.", "", "XEP-0363"}},
		form{"host-meta", looks(`host-meta "/.well-known/host-meta" { … }`), reflect.TypeFor[*RouteLine](),
			about{"A path of the file that tells clients where BOSH and WebSocket are.", "", "XEP-0156 §2.2"}},
		form{"polling", looks(`polling "/http-poll" { … }`), reflect.TypeFor[*RouteLine](),
			about{"A path of HTTP polling, which is obsolete.", "", "XEP-0025"}},
		form{"host", looks(`host chat.example.org`), nil,
			about{"The host names that web clients ask for.", "", ""}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*RouteLine](): sectionOf[RouteLine]("in a route block",
		form{"body", looks(`body 64KiB`), nil,
			about{"The largest body of a request.", "", ""}},
		form{"size", looks(`size 10MiB`), nil,
			about{"The largest file that may be uploaded.", "", "XEP-0363 §3"}},
		form{"frame", looks(`frame 64KiB`), nil,
			about{"The largest frame of a WebSocket.", "", "RFC 7395 §3"}},
		form{"wait", looks(`wait 60s`), nil,
			about{"How long a request of BOSH is held open.", "what the software says", "XEP-0124 §7.1"}},
		form{"idle", looks(`idle 10m`), nil,
			about{"How long a session may be silent.", "what the software says", "XEP-0124 §10"}},
		form{"timeout", looks(`timeout 75s`), nil,
			about{"How long the proxy waits for an answer; it has to be longer than `wait`.", "", "XEP-0124 §7.1"}},
		form{"requests", looks(`requests 2`), nil,
			about{"How many requests of one session may be open.", "what the software says", "XEP-0124 §11"}},
		form{"slot", looks(`slot 300s`), nil,
			about{"How long a place for an upload is good.", "", "XEP-0363 §8"}},
		form{"polling", looks(`polling off`), nil,
			about{"Whether a session may ask again and again in place of waiting.", "not stated", "XEP-0124 §12"}},
		form{"route", looks(`route off`), nil,
			about{"Whether a client may name the server that BOSH connects to.", "not stated", "XEP-0124 §7.1"}},
		form{"buffering", looks(`buffering off`), nil,
			about{"Whether the proxy collects requests and answers before it hands them on.", "not stated", "XEP-0124 §5"}},
		form{"credentials", looks(`credentials off`), nil,
			about{"Whether browsers may send credentials from other origins.", "not stated", ""}},
		form{"methods", looks(`methods POST, OPTIONS`), nil,
			about{"The methods of HTTP that may be used.", "", ""}},
		form{"origin", looks(`origin "https://chat.example.org"`), nil,
			about{"The web pages that may connect, by their origin.", "", "RFC 6455 §10.2"}},
		form{"host", looks(`host upload.example.org`), nil,
			about{"The host names of the path.", "those of the web block", ""}},
		form{"advertise", looks(`advertise "wss://chat.example.org/xmpp-websocket"`), nil,
			about{"The addresses that host-meta gives to clients.", "", "XEP-0156 §4"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*AnonymousItem](): sectionOf[AnonymousItem]("in an anonymous block",
		form{"domain", looks(`domain guest.example.org`), nil,
			about{"The domains where nobody needs an account.", "", ""}},
		form{"from", looks(`from any`, `from lan, ops`), nil,
			about{"Where they may come from.", "any", ""}},
		form{"federation", looks(`federation deny`), nil,
			about{"Whether they reach other servers.", "deny", "XEP-0175 §3"}},
		form{"storage", looks(`storage cleared`), nil,
			about{"What happens to what they leave behind.", "not stated", "XEP-0175 §3"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*MediaItem](): sectionOf[MediaItem]("in a media block",
		form{"from", looks(`from any`, `from lan, ops`), nil,
			about{"Who may use the services.", "any", ""}},
		form{"proxy65", looks(`proxy65`, `proxy65 port 7777`), nil,
			about{"File transfer through a SOCKS5 proxy of the server.", "", "XEP-0065"}},
		form{"stun", looks(`stun`, `stun port 3478`), nil,
			about{"Calls find their way by STUN and TURN of the server.", "", "RFC 8489; RFC 8656; XEP-0215"}},
		form{"relay", looks(`relay 49152-65535`), nil,
			about{"The UDP ports that TURN relays through.", "none", "RFC 8656 §7.2"}},
		form{"auth", looks(`auth required`), nil,
			about{"Whether TURN asks who is calling.", "not stated", "RFC 8656 §7.2"}},
		form{"private-peers", looks(`private-peers deny`), nil,
			about{"Whether TURN relays to private networks.", "not stated", "RFC 8656 §21"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*AdminItem](): sectionOf[AdminItem]("in an admin block",
		form{"from", looks(`from ops`), nil,
			about{"Who may administer the server.", "", ""}},
		form{"port", looks(`port 9091`), nil,
			about{"The ports of administration.", "what the software opens", ""}},
		form{"tls", looks(`tls required`), nil,
			about{"Whether administration needs TLS.", "not stated", ""}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ClusterItem](): sectionOf[ClusterItem]("in a cluster block",
		form{"with", looks(`with 10.0.0.2, 10.0.0.3`), nil,
			about{"The addresses of the other nodes.", "", ""}},
		form{"port", looks(`port 4369, 5210`), nil,
			about{"The ports between the nodes.", "what the software opens", ""}},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*EgressItem](): sectionOf[EgressItem]("in an egress block",
		form{"default", looks(`default deny`), nil,
			about{"Whether the server may call what no line allows; it has to be stated.", "", ""}},
		form{"allow", looks(`allow dns, https to any`), metaBlock,
			about{"What the server may call: services, and where.", "", ""}},
		form{"deny", looks(`deny tcp/25 to any`), metaBlock,
			about{"What the server may not call: services, and where.", "", ""}},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*NameLine](): sectionOf[NameLine]("in the block of a name",
		form{"max-age", looks(`max-age 2d`), nil,
			about{"How old the feed may be, by the day that xfwc.lock records, before a finding says so.", "no limit", ""}},
		form{"max-change", looks(`max-change 20%`), nil,
			about{"How much of the feed may change at once; `xfwc lock` refuses more without --accept.", "no limit", ""}},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	metaBlock: sectionOf[MetaItem]("in the block behind a statement",
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ServerlessItem](): sectionOf[ServerlessItem]("in a serverless block",
		form{"on", looks(`on lan`), nil,
			about{"The networks whose hosts speak to each other.", "", "XEP-0174 §11.3"}},
		form{"scope", looks(`scope link`), nil,
			about{"How far it reaches: the link.", "link", "XEP-0174 §13.2; RFC 6762 §11"}},
		form{"ports", looks(`ports 49152-65535`), nil,
			about{"The ports of streams, where the clients are told to use a range.", "1024-65535", "XEP-0174 §11.3"}},
		form{"tls", looks(`tls required`), nil,
			about{"Whether streams have to be encrypted.", "not stated", "XEP-0174 §13.1"}},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ContentItem](): sectionOf[ContentItem]("in a content block",
		form{"match", looks(`match text "wire transfer"`, `match url in words phish`, `match stanza message and body ~ "wire +transfer"`), nil,
			about{"What to look for. Every match line is enough by itself; what `and` joins has to hold together.", "", ""}},
		form{"on", looks(`on component irc, peer legacy.example`), nil,
			about{"Where to look: the statements whose traffic is read.", "", ""}},
		form{"then", looks(`then alert`, `then drop, block source 1h`), nil,
			about{"What happens when something is found.", "", ""}},
		modeForm,
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*TestLine](): sectionOf[TestLine]("in a test block",
		form{"allow", looks(`allow tcp lan -> chat:5222`), nil,
			about{"Holds when no packet of the line is denied.", "", ""}},
		form{"deny", looks(`deny tcp any -> chat:5347 except 10.0.5.4`), nil,
			about{"Holds when no packet of the line is let through.", "", ""}},
		form{"only", looks(`only tcp ops, lan -> chat:22`), nil,
			about{"Holds when the sources are let through, and nobody else is.", "", ""}},
		form{"catch", looks(`catch phishing "please make a wire transfer"`), nil,
			about{"Holds when the content rule finds the text, which is a stanza where it begins with <.", "", ""}},
		form{"pass", looks(`pass phishing "good morning"`), nil,
			about{"Holds when the content rule does not find the text.", "", ""}},
	),
}

// metaBlock is the type of the lines behind a statement without a block of its
// own.
var metaBlock = reflect.TypeFor[*MetaItem]()

// Forms that many blocks have.
var (
	limitForm = form{"limit", looks(`limit connections 20 per source`, `limit attempts 30/minute burst 10 global`, `limit stanza 256KiB after auth`), metaBlock,
		about{"Bounds conversations, by a count or a rate: for each source, peer, account or stream, or for all together.", "no limit", "XEP-0205 §4; RFC 6120 §13.12"}}
	ownerForm = form{"owner", looks(`owner "netops@example.org"`), nil,
		about{"Whom to ask about the statement.", "", ""}}
	ticketForm = form{"ticket", looks(`ticket "NET-431"`), nil,
		about{"Where the statement was agreed.", "", ""}}
	expiresForm = form{"expires", looks(`expires 2027-01-31`), nil,
		about{"The last day that the statement is for; after it `check` reports an error, and nothing else changes.", "never", ""}}
	duringForm = form{"during", looks(`during office`), nil,
		about{"The hours of the week that the statement holds, by the name of a window.", "always", ""}}
	modeForm = form{"mode", looks(`mode observe until 2027-01-31`), nil,
		about{"Whether a point or a content rule acts, or only tells until the end of a day what it would have done.", "enforce", ""}}
)

// clauses are the words that start the later parts of a statement. A line that
// starts with one goes on with the statement before it.
var clauses = []string{"of", "faces", "passive", "offload", "at", "over", "per", "global", "burst", "to", "on", "until", "because", "except", "feed", "alpn", "before", "after", "then", "and", "in", "source"}
