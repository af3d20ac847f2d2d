package lang

import (
	"reflect"
	"slices"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// form is a statement as its author knows it: the keyword it starts with, how
// it is written, and what the block it opens holds. Messages are made from
// forms, because the grammar's own account of itself is for grammarians.
type form struct {
	keyword string
	looks   []string
	block   reflect.Type // what the items of its block are; nil without a block
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
	where  string // as in "unknown keyword in a server block"
	forms  []form
	parse  func(*lexer.PeekingLexer) (any, error)
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

// sectionOf makes the section whose statements are of type *T.
func sectionOf[T any](where string, forms ...form) *section {
	// Two tokens decide every production, one of them the keyword.
	parser := sync.OnceValue(func() *participle.Parser[T] {
		elide := []string{"Comment", "Space", "Newline", "Dropped"}
		return participle.MustBuild[T](participle.Lexer(definition{}), participle.Elide(elide...), participle.UseLookahead(1))
	})
	return &section{
		where: where,
		forms: forms,
		parse: func(lex *lexer.PeekingLexer) (any, error) {
			return parser().ParseFromLexer(lex, participle.AllowTrailing(true))
		},
		syntax: func() string { return parser().String() },
	}
}

// looks lists ways to write a statement.
func looks(ways ...string) []string { return ways }

// sections are all places for statements, by the type of the statements.
var sections = map[reflect.Type]*section{
	reflect.TypeFor[*Decl](): sectionOf[Decl]("at the top level",
		form{"policy", looks(`policy "example.org" { … }`), reflect.TypeFor[*PolicyItem]()},
		form{"include", looks(`include "peers/*.xfw"`), nil},
		form{"network", looks(`network lan = 192.168.10.0/24, 2001:db8:10::/64`, `network drop = feed "drop.txt"`), nil},
		form{"server", looks(`server chat { … }`), reflect.TypeFor[*ServerItem]()},
		form{"point", looks(`point edge { … }`), reflect.TypeFor[*PointItem]()},
		form{"clients", looks(`clients of chat { … }`), reflect.TypeFor[*ClientsItem]()},
		form{"federation", looks(`federation of chat { … }`), reflect.TypeFor[*FederationItem]()},
		form{"component", looks(`component irc of chat { … }`), reflect.TypeFor[*ComponentItem]()},
		form{"web", looks(`web of chat { … }`), reflect.TypeFor[*WebItem]()},
		form{"serverless", looks(`serverless { … }`), reflect.TypeFor[*ServerlessItem]()},
		form{"allow", looks(`allow network ops to admin of chat, ssh of edge`, `allow any to tcp/443 of edge`), nil},
		form{"deny", looks(`deny network drop`, `deny 192.0.2.0/24 to ssh of edge`), nil},
		form{"content", looks(`content phishing { … }`), reflect.TypeFor[*ContentItem]()},
		form{"waive", looks(`waive comp-nonloopback on component irc until 2027-01-31 because "…"`), nil},
		form{"test", looks(`test "strangers never reach the component" { … }`), reflect.TypeFor[*TestLine]()},
	),
	reflect.TypeFor[*PolicyItem](): sectionOf[PolicyItem]("in a policy block",
		form{"owner", looks(`owner "netops@example.org"`), nil},
		form{"profile", looks(`profile strict`), nil},
		form{"comply", looks(`comply pci-dss-4.0, nist-800-41`), nil},
	),
	reflect.TypeFor[*ServerItem](): sectionOf[ServerItem]("in a server block",
		form{"software", looks(`software prosody 13.0`), nil},
		form{"domain", looks(`domain example.org, muc.example.org`), nil},
		form{"address", looks(`address 198.51.100.10, 2001:db8::10`), nil},
		form{"config", looks(`config "/etc/prosody/prosody.cfg.lua"`), nil},
		form{"port", looks(`port https 8443`), nil},
	),
	reflect.TypeFor[*PointItem](): sectionOf[PointItem]("in a point block",
		form{"role", looks(`role gateway`, `role host of chat`), nil},
		form{"hostname", looks(`hostname "edge.example.org"`), nil},
		form{"address", looks(`address 198.51.100.1, 2001:db8::1`), nil},
		form{"interface", looks(`interface eth0 faces internet`), nil},
		form{"exclusive", looks(`exclusive`), nil},
		form{"nftables", looks(`nftables`), nil},
		form{"haproxy", looks(`haproxy`), nil},
		form{"suricata", looks(`suricata passive dmz0`), nil},
		form{"prosody", looks(`prosody`), nil},
		form{"ejabberd", looks(`ejabberd`), nil},
		form{"openfire", looks(`openfire`), nil},
	),
	reflect.TypeFor[*ClientsItem](): sectionOf[ClientsItem]("in a clients block",
		form{"from", looks(`from any`, `from lan, ops`), nil},
		form{"starttls", looks(`starttls required`, `starttls optional port 5222`), nil},
		form{"direct-tls", looks(`direct-tls`, `direct-tls port 5223 offload at edge`), nil},
		limitForm,
	),
	reflect.TypeFor[*FederationItem](): sectionOf[FederationItem]("in a federation block",
		form{"default", looks(`default deny`), nil},
		form{"tls", looks(`tls required`), nil},
		form{"auth", looks(`auth external`, `auth dialback over tls`), nil},
		form{"peer", looks(`peer partner.example { … }`), reflect.TypeFor[*PeerLine]()},
		limitForm,
	),
	reflect.TypeFor[*PeerLine](): sectionOf[PeerLine]("in a peer block",
		form{"address", looks(`address 203.0.113.20, 2001:db8:20::5`), nil},
		form{"port", looks(`port 5269`), nil},
		form{"tls", looks(`tls required`), nil},
		form{"auth", looks(`auth external`, `auth dialback over tls`), nil},
		form{"direction", looks(`direction both`), nil},
		limitForm,
	),
	reflect.TypeFor[*ComponentItem](): sectionOf[ComponentItem]("in a component block",
		form{"port", looks(`port 5347`), nil},
		form{"from", looks(`from 10.0.5.4, 2001:db8:5::4`), nil},
		form{"mode", looks(`mode accept`), nil},
		form{"tunnel", looks(`tunnel "a WireGuard link"`), nil},
		limitForm,
	),
	reflect.TypeFor[*WebItem](): sectionOf[WebItem]("in a web block",
		form{"from", looks(`from any`, `from lan, ops`), nil},
		form{"tls", looks(`tls terminate at edge`, `tls required`), nil},
		form{"port", looks(`port 443`), nil},
		form{"bosh", looks(`bosh "/http-bind" { … }`), reflect.TypeFor[*RouteLine]()},
		form{"websocket", looks(`websocket "/xmpp-websocket" { … }`), reflect.TypeFor[*RouteLine]()},
		limitForm,
	),
	reflect.TypeFor[*RouteLine](): sectionOf[RouteLine]("in a route block",
		form{"body", looks(`body 64KiB`), nil},
	),
	reflect.TypeFor[*ServerlessItem](): sectionOf[ServerlessItem]("in a serverless block",
		form{"on", looks(`on lan`), nil},
		form{"scope", looks(`scope link`), nil},
		form{"ports", looks(`ports 49152-65535`), nil},
		limitForm,
	),
	reflect.TypeFor[*ContentItem](): sectionOf[ContentItem]("in a content block",
		form{"match", looks(`match text "wire transfer"`), nil},
		form{"on", looks(`on component irc, peer legacy.example`), nil},
		form{"then", looks(`then alert`), nil},
	),
	reflect.TypeFor[*TestLine](): sectionOf[TestLine]("in a test block",
		form{"allow", looks(`allow tcp lan -> chat:5222`), nil},
		form{"deny", looks(`deny tcp any -> chat:5347 except 10.0.5.4`), nil},
	),
}

var limitForm = form{"limit", looks(`limit connections 20 per source`, `limit attempts 30/minute burst 10 global`), nil}

// clauses are the words that start the later parts of a statement. A line that
// starts with one goes on with the statement before it.
var clauses = []string{"of", "faces", "passive", "offload", "at", "over", "per", "global", "burst", "to", "on", "until", "because", "except", "feed"}
