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
	// parse reads the statement that comes next, with the findings of its blocks.
	// Where there is none, it may leave the cursor anywhere.
	parse  func(*cursor) (any, []diag.Finding, error)
	judge  func(*cursor) (any, []diag.Finding, error) // parse, by participle alone
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
		form{"policy", looks(`policy "example.org" { … }`), reflect.TypeFor[*PolicyItem]()},
		form{"include", looks(`include "peers/*.xfw"`), nil},
		form{"network", looks(`network lan = 192.168.10.0/24, 2001:db8:10::/64`, `network drop = feed "drop.txt" { max-age 2d }`), reflect.TypeFor[*NameLine]()},
		form{"zone", looks(`zone guests = wlan0 of edge`), metaBlock},
		form{"domains", looks(`domains spam = bad.example, worse.example`, `domains spam = feed "spam.txt"`), reflect.TypeFor[*NameLine]()},
		form{"words", looks(`words phish = "wire transfer", "gift card"`, `words phish = feed "phish.txt"`), reflect.TypeFor[*NameLine]()},
		form{"pattern", looks(`pattern card = "[0-9]+-[0-9]+"`), metaBlock},
		form{"window", looks(`window office = mon-fri 08:00-18:00, sat 09:00-12:00`), metaBlock},
		form{"server", looks(`server chat { … }`), reflect.TypeFor[*ServerItem]()},
		form{"point", looks(`point edge { … }`), reflect.TypeFor[*PointItem]()},
		form{"clients", looks(`clients of chat { … }`), reflect.TypeFor[*ClientsItem]()},
		form{"federation", looks(`federation of chat { … }`), reflect.TypeFor[*FederationItem]()},
		form{"component", looks(`component irc of chat { … }`), reflect.TypeFor[*ComponentItem]()},
		form{"web", looks(`web of chat { … }`), reflect.TypeFor[*WebItem]()},
		form{"anonymous", looks(`anonymous of chat { … }`), reflect.TypeFor[*AnonymousItem]()},
		form{"media", looks(`media of chat { … }`), reflect.TypeFor[*MediaItem]()},
		form{"admin", looks(`admin of chat { … }`), reflect.TypeFor[*AdminItem]()},
		form{"cluster", looks(`cluster of chat { … }`), reflect.TypeFor[*ClusterItem]()},
		form{"egress", looks(`egress of chat { … }`), reflect.TypeFor[*EgressItem]()},
		form{"serverless", looks(`serverless { … }`), reflect.TypeFor[*ServerlessItem]()},
		form{"allow", looks(`allow network ops to admin of chat, ssh of edge`, `allow any to tcp/443 of edge`), metaBlock},
		form{"deny", looks(`deny network drop`, `deny 192.0.2.0/24 to ssh of edge`), metaBlock},
		form{"content", looks(`content phishing { … }`), reflect.TypeFor[*ContentItem]()},
		form{"waive", looks(`waive comp-nonloopback on component irc until 2027-01-31 because "…"`), metaBlock},
		form{"test", looks(`test "strangers never reach the component" { … }`), reflect.TypeFor[*TestLine]()},
	),
	reflect.TypeFor[*PolicyItem](): sectionOf[PolicyItem]("in a policy block",
		form{"owner", looks(`owner "netops@example.org"`), nil},
		ticketForm,
		form{"profile", looks(`profile strict`), nil},
		form{"comply", looks(`comply pci-dss-4.0, nist-800-41`), nil},
	),
	reflect.TypeFor[*ServerItem](): sectionOf[ServerItem]("in a server block",
		form{"software", looks(`software prosody 13.0`), nil},
		form{"domain", looks(`domain example.org, muc.example.org`), nil},
		form{"address", looks(`address 198.51.100.10, 2001:db8::10`), nil},
		form{"config", looks(`config "/etc/prosody/prosody.cfg.lua"`), nil},
		form{"port", looks(`port https 8443`), nil},
		form{"trust", looks(`trust edge, 10.0.0.1`), nil},
		form{"sessions", looks(`sessions 5000`), nil},
		form{"resolver", looks(`resolver validating`), nil},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*PointItem](): sectionOf[PointItem]("in a point block",
		form{"role", looks(`role gateway`, `role host of chat`), nil},
		form{"hostname", looks(`hostname "edge.example.org"`), nil},
		form{"address", looks(`address 198.51.100.1, 2001:db8::1`), nil},
		form{"interface", looks(`interface eth0 faces internet`), nil},
		form{"exclusive", looks(`exclusive`), nil},
		form{"nftables", looks(`nftables`), nil},
		form{"haproxy", looks(`haproxy`), nil},
		form{"nginx", looks(`nginx`), nil},
		form{"squid", looks(`squid`), nil},
		form{"suricata", looks(`suricata passive dmz0`), nil},
		form{"snort", looks(`snort`), nil},
		form{"prosody", looks(`prosody`), nil},
		form{"ejabberd", looks(`ejabberd`), nil},
		form{"openfire", looks(`openfire`), nil},
		form{"tigase", looks(`tigase`), nil},
		form{"mongooseim", looks(`mongooseim`), nil},
		form{"metronome", looks(`metronome`), nil},
		modeForm,
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ClientsItem](): sectionOf[ClientsItem]("in a clients block",
		form{"from", looks(`from any`, `from lan, ops`), nil},
		form{"starttls", looks(`starttls required`, `starttls optional port 5222`), nil},
		form{"direct-tls", looks(`direct-tls`, `direct-tls port 5223 offload at edge`, `direct-tls port 443 alpn at edge default web`), nil},
		form{"sasl", looks(`sasl scram-sha-256-plus, external`), nil},
		form{"tls", looks(`tls 1.2`), nil},
		form{"compression", looks(`compression off`), nil},
		form{"registration", looks(`registration closed`), nil},
		form{"lockout", looks(`lockout source`), nil},
		form{"idle", looks(`idle 10m`), nil},
		form{"quic", looks(`quic 443`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*FederationItem](): sectionOf[FederationItem]("in a federation block",
		form{"default", looks(`default deny`), nil},
		form{"tls", looks(`tls required`), nil},
		form{"auth", looks(`auth external`, `auth dialback over tls`), nil},
		form{"peer", looks(`peer partner.example { … }`), reflect.TypeFor[*PeerLine]()},
		form{"allow", looks(`allow domains partners`), metaBlock},
		form{"deny", looks(`deny domains spam`), metaBlock},
		form{"domain", looks(`domain example.org, muc.example.org`), nil},
		form{"bidi", looks(`bidi on`), nil},
		form{"identity", looks(`identity pkix, dane, posh`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*PeerLine](): sectionOf[PeerLine]("in a peer block",
		form{"address", looks(`address 203.0.113.20, 2001:db8:20::5`), nil},
		form{"port", looks(`port 5269`), nil},
		form{"tls", looks(`tls required`), nil},
		form{"auth", looks(`auth external`, `auth dialback over tls`), nil},
		form{"direction", looks(`direction both`), nil},
		form{"domain", looks(`domain muc.partner.example`), nil},
		form{"bidi", looks(`bidi on`), nil},
		form{"identity", looks(`identity pkix, dane, posh`), nil},
		form{"certificate", looks(`certificate self-signed`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ComponentItem](): sectionOf[ComponentItem]("in a component block",
		form{"port", looks(`port 5347`), nil},
		form{"from", looks(`from 10.0.5.4, 2001:db8:5::4`), nil},
		form{"mode", looks(`mode accept`), nil},
		form{"tunnel", looks(`tunnel "a WireGuard link"`), nil},
		form{"domain", looks(`domain irc.example.org`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*WebItem](): sectionOf[WebItem]("in a web block",
		form{"from", looks(`from any`, `from lan, ops`), nil},
		form{"tls", looks(`tls terminate at edge`, `tls required`), nil},
		form{"port", looks(`port 443`), nil},
		form{"bosh", looks(`bosh "/http-bind" { … }`), reflect.TypeFor[*RouteLine]()},
		form{"websocket", looks(`websocket "/xmpp-websocket" { … }`), reflect.TypeFor[*RouteLine]()},
		form{"upload", looks(`upload "/upload" { … }`), reflect.TypeFor[*RouteLine]()},
		form{"host-meta", looks(`host-meta "/.well-known/host-meta" { … }`), reflect.TypeFor[*RouteLine]()},
		form{"polling", looks(`polling "/http-poll" { … }`), reflect.TypeFor[*RouteLine]()},
		form{"host", looks(`host chat.example.org`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*RouteLine](): sectionOf[RouteLine]("in a route block",
		form{"body", looks(`body 64KiB`), nil},
		form{"size", looks(`size 10MiB`), nil},
		form{"frame", looks(`frame 64KiB`), nil},
		form{"wait", looks(`wait 60s`), nil},
		form{"idle", looks(`idle 10m`), nil},
		form{"timeout", looks(`timeout 75s`), nil},
		form{"requests", looks(`requests 2`), nil},
		form{"slot", looks(`slot 300s`), nil},
		form{"polling", looks(`polling off`), nil},
		form{"route", looks(`route off`), nil},
		form{"buffering", looks(`buffering off`), nil},
		form{"credentials", looks(`credentials off`), nil},
		form{"methods", looks(`methods POST, OPTIONS`), nil},
		form{"origin", looks(`origin "https://chat.example.org"`), nil},
		form{"host", looks(`host upload.example.org`), nil},
		form{"advertise", looks(`advertise "wss://chat.example.org/xmpp-websocket"`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*AnonymousItem](): sectionOf[AnonymousItem]("in an anonymous block",
		form{"domain", looks(`domain guest.example.org`), nil},
		form{"from", looks(`from any`, `from lan, ops`), nil},
		form{"federation", looks(`federation deny`), nil},
		form{"storage", looks(`storage cleared`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*MediaItem](): sectionOf[MediaItem]("in a media block",
		form{"from", looks(`from any`, `from lan, ops`), nil},
		form{"proxy65", looks(`proxy65`, `proxy65 port 7777`), nil},
		form{"stun", looks(`stun`, `stun port 3478`), nil},
		form{"relay", looks(`relay 49152-65535`), nil},
		form{"auth", looks(`auth required`), nil},
		form{"private-peers", looks(`private-peers deny`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*AdminItem](): sectionOf[AdminItem]("in an admin block",
		form{"from", looks(`from ops`), nil},
		form{"port", looks(`port 9091`), nil},
		form{"tls", looks(`tls required`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ClusterItem](): sectionOf[ClusterItem]("in a cluster block",
		form{"with", looks(`with 10.0.0.2, 10.0.0.3`), nil},
		form{"port", looks(`port 4369, 5210`), nil},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*EgressItem](): sectionOf[EgressItem]("in an egress block",
		form{"default", looks(`default deny`), nil},
		form{"allow", looks(`allow dns, https to any`), metaBlock},
		form{"deny", looks(`deny tcp/25 to any`), metaBlock},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*NameLine](): sectionOf[NameLine]("in the block of a name",
		form{"max-age", looks(`max-age 2d`), nil},
		form{"max-change", looks(`max-change 20%`), nil},
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	metaBlock: sectionOf[MetaItem]("in the block behind a statement",
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ServerlessItem](): sectionOf[ServerlessItem]("in a serverless block",
		form{"on", looks(`on lan`), nil},
		form{"scope", looks(`scope link`), nil},
		form{"ports", looks(`ports 49152-65535`), nil},
		form{"tls", looks(`tls required`), nil},
		limitForm, ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*ContentItem](): sectionOf[ContentItem]("in a content block",
		form{"match", looks(`match text "wire transfer"`, `match url in words phish`, `match stanza message and body ~ "wire +transfer"`), nil},
		form{"on", looks(`on component irc, peer legacy.example`), nil},
		form{"then", looks(`then alert`, `then drop, block source 1h`), nil},
		modeForm,
		ownerForm, ticketForm, expiresForm, duringForm,
	),
	reflect.TypeFor[*TestLine](): sectionOf[TestLine]("in a test block",
		form{"allow", looks(`allow tcp lan -> chat:5222`), nil},
		form{"deny", looks(`deny tcp any -> chat:5347 except 10.0.5.4`), nil},
		form{"only", looks(`only tcp ops, lan -> chat:22`), nil},
		form{"catch", looks(`catch phishing "please make a wire transfer"`), nil},
		form{"pass", looks(`pass phishing "good morning"`), nil},
	),
}

// metaBlock is the type of the lines behind a statement without a block of its
// own.
var metaBlock = reflect.TypeFor[*MetaItem]()

// Forms that many blocks have.
var (
	limitForm   = form{"limit", looks(`limit connections 20 per source`, `limit attempts 30/minute burst 10 global`, `limit stanza 256KiB after auth`), metaBlock}
	ownerForm   = form{"owner", looks(`owner "netops@example.org"`), nil}
	ticketForm  = form{"ticket", looks(`ticket "NET-431"`), nil}
	expiresForm = form{"expires", looks(`expires 2027-01-31`), nil}
	duringForm  = form{"during", looks(`during office`), nil}
	modeForm    = form{"mode", looks(`mode observe until 2027-01-31`), nil}
)

// clauses are the words that start the later parts of a statement. A line that
// starts with one goes on with the statement before it.
var clauses = []string{"of", "faces", "passive", "offload", "at", "over", "per", "global", "burst", "to", "on", "until", "because", "except", "feed", "alpn", "before", "after", "then", "and", "in", "source"}
