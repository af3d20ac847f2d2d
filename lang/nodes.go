package lang

import (
	"strings"

	"xfwc/lang/diag"
)

// The syntax tree. Every node knows where it starts and where it ends; the
// grammar is in the struct tags, keyword-led, so that two tokens of lookahead
// decide every production. Words keep their spelling: the compiler reads
// addresses, ports, rates and dates from them, because only it can say what a
// value is for.

// Node is what every part of the tree answers.
type Node interface {
	Span() diag.Span
}

type span struct {
	Pos    diag.Pos
	EndPos diag.Pos
}

// Span gives the text that the node was read from.
func (s span) Span() diag.Span { return diag.Span{Start: s.Pos, End: s.EndPos} }

// Word is a name or a value without quotes: an identifier, address, prefix,
// domain, port, rate, date or percentage.
type Word struct {
	span
	Text string
}

// Str is a quoted string. Raw keeps the quotes and escapes; Value reads them.
type Str struct {
	span
	Raw string
}

// Value is the text of the string, without quotes and with \" and \\ read.
func (s *Str) Value() string {
	return unescape.Replace(s.Raw[1 : len(s.Raw)-1])
}

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// Block is the statements between { and }. Statements that are not well formed
// are reported and left out, so that every item is whole.
type Block[T any] struct {
	span
	Items []T

	problems []diag.Finding
}

// File is one source file.
type File struct {
	span
	Name  string
	Decls []*Decl
}

// Decl is one top-level statement; exactly one field is set.
type Decl struct {
	span
	Policy     *PolicyDecl     `parser:"@@"`
	Include    *IncludeDecl    `parser:"| @@"`
	Network    *NetworkDecl    `parser:"| @@"`
	Server     *ServerDecl     `parser:"| @@"`
	Point      *PointDecl      `parser:"| @@"`
	Clients    *ClientsDecl    `parser:"| @@"`
	Federation *FederationDecl `parser:"| @@"`
	Component  *ComponentDecl  `parser:"| @@"`
	Web        *WebDecl        `parser:"| @@"`
	Serverless *ServerlessDecl `parser:"| @@"`
	Access     *AccessDecl     `parser:"| @@"`
	Content    *ContentDecl    `parser:"| @@"`
	Waive      *WaiveDecl      `parser:"| @@"`
	Test       *TestDecl       `parser:"| @@"`
}

// PolicyDecl names the policy: policy "example.org" { … }.
type PolicyDecl struct {
	span
	Name *Str               `parser:"'policy' @@"`
	Body Block[*PolicyItem] `parser:"@@"`
}

// PolicyItem is a line of the policy block; one field is set.
type PolicyItem struct {
	span
	Owner   *Str    `parser:"'owner' @@"`
	Profile *Word   `parser:"| 'profile' @@"`
	Comply  []*Word `parser:"| 'comply' @@ (',' @@)*"`
}

// IncludeDecl reads other files in place: include "peers/*.xfw".
type IncludeDecl struct {
	span
	Pattern *Str `parser:"'include' @@"`
}

// NetworkDecl names addresses: network lan = 192.168.10.0/24, other.
type NetworkDecl struct {
	span
	Name  *Word   `parser:"'network' @@ '='"`
	Feed  *Feed   `parser:"( @@"`
	Items []*Word `parser:"| @@ (',' @@)* )"`
}

// Feed is an address list in a file of its own: feed "drop.txt".
type Feed struct {
	span
	Path *Str `parser:"'feed' @@"`
}

// ServerDecl declares an XMPP server: server chat { … }.
type ServerDecl struct {
	span
	Name *Word              `parser:"'server' @@"`
	Body Block[*ServerItem] `parser:"@@"`
}

// ServerItem is a line of a server block; one field is set.
type ServerItem struct {
	span
	Software *Software `parser:"@@"`
	Domain   []*Word   `parser:"| 'domain' @@ (',' @@)*"`
	Address  []*Word   `parser:"| 'address' @@ (',' @@)*"`
	Config   *Str      `parser:"| 'config' @@"`
	Port     *PortItem `parser:"| @@"`
}

// Software is product and version: software prosody 13.0.
type Software struct {
	span
	Product *Word `parser:"'software' @@"`
	Version *Word `parser:"@@"`
}

// PortItem overrides a default port of the server: port https 8443.
type PortItem struct {
	span
	Service *Word `parser:"'port' @@"`
	Port    *Word `parser:"@@"`
}

// PointDecl declares an enforcement point: point edge { … }.
type PointDecl struct {
	span
	Name *Word             `parser:"'point' @@"`
	Body Block[*PointItem] `parser:"@@"`
}

// PointItem is a line of a point block; one field is set.
type PointItem struct {
	span
	Role      *Role          `parser:"@@"`
	Hostname  *Str           `parser:"| 'hostname' @@"`
	Address   []*Word        `parser:"| 'address' @@ (',' @@)*"`
	Interface *InterfaceItem `parser:"| @@"`
	Exclusive bool           `parser:"| @'exclusive'"`
	Engine    *EngineItem    `parser:"| @@"`
}

// Role is role gateway, role host, or role host of SERVER.
type Role struct {
	span
	Kind *Word `parser:"'role' @@"`
	Of   *Word `parser:"('of' @@)?"`
}

// InterfaceItem says what an interface faces: interface eth0 faces internet.
type InterfaceItem struct {
	span
	Name  *Word   `parser:"'interface' @@ 'faces'"`
	Faces []*Word `parser:"@@ (',' @@)*"`
}

// EngineItem names an engine of the point: nftables, suricata passive dmz0.
type EngineItem struct {
	span
	Kind   string `parser:"@('nftables' | 'haproxy' | 'suricata' | 'prosody' | 'ejabberd' | 'openfire')"`
	Mode   string `parser:"(@'passive'"`
	Device *Word  `parser:"@@)?"`
}

// ClientsDecl is who may connect as a client: clients of chat { … }.
type ClientsDecl struct {
	span
	Server *Word               `parser:"'clients' 'of' @@"`
	Body   Block[*ClientsItem] `parser:"@@"`
}

// ClientsItem is a line of a clients block; one field is set.
type ClientsItem struct {
	span
	From      []*Word    `parser:"'from' @@ (',' @@)*"`
	StartTLS  *TransItem `parser:"| 'starttls' @@"`
	DirectTLS *DirectTLS `parser:"| @@"`
	Limit     *Limit     `parser:"| @@"`
}

// TransItem is how STARTTLS is treated, and on which port:
// required, optional or off.
type TransItem struct {
	span
	Mode *Word `parser:"@@"`
	Port *Word `parser:"('port' @@)?"`
}

// DirectTLS is direct-tls [port N] [offload at POINT] (XEP-0368).
type DirectTLS struct {
	span
	Keyword string `parser:"@'direct-tls'"`
	Port    *Word  `parser:"('port' @@)?"`
	Offload *Word  `parser:"('offload' 'at' @@)?"`
}

// FederationDecl is which servers may federate: federation of chat { … }.
type FederationDecl struct {
	span
	Server *Word                  `parser:"'federation' 'of' @@"`
	Body   Block[*FederationItem] `parser:"@@"`
}

// FederationItem is a line of a federation block; one field is set.
type FederationItem struct {
	span
	Default *Word     `parser:"'default' @@"`
	TLS     *Word     `parser:"| 'tls' @@"`
	Auth    *AuthItem `parser:"| @@"`
	Peer    *PeerItem `parser:"| @@"`
	Limit   *Limit    `parser:"| @@"`
}

// AuthItem is how peers prove who they are:
// external, dialback, or dialback over tls.
type AuthItem struct {
	span
	Method *Word `parser:"'auth' @@"`
	Over   *Word `parser:"('over' @@)?"`
}

// PeerItem is one federation peer: peer partner.example { … }.
type PeerItem struct {
	span
	Domain *Word             `parser:"'peer' @@"`
	Body   *Block[*PeerLine] `parser:"@@?"`
}

// PeerLine is a line of a peer block; one field is set.
type PeerLine struct {
	span
	Address   []*Word   `parser:"'address' @@ (',' @@)*"`
	Port      *Word     `parser:"| 'port' @@"`
	TLS       *Word     `parser:"| 'tls' @@"`
	Auth      *AuthItem `parser:"| @@"`
	Direction *Word     `parser:"| 'direction' @@"`
	Limit     *Limit    `parser:"| @@"`
}

// ComponentDecl is an external component (XEP-0114):
// component irc of chat { … }.
type ComponentDecl struct {
	span
	Name   *Word                 `parser:"'component' @@"`
	Server *Word                 `parser:"'of' @@"`
	Body   Block[*ComponentItem] `parser:"@@"`
}

// ComponentItem is a line of a component block; one field is set.
type ComponentItem struct {
	span
	Port   *Word   `parser:"'port' @@"`
	From   []*Word `parser:"| 'from' @@ (',' @@)*"`
	Mode   *Word   `parser:"| 'mode' @@"`
	Tunnel *Str    `parser:"| 'tunnel' @@"`
	Limit  *Limit  `parser:"| @@"`
}

// WebDecl is XMPP over HTTP: web of chat { … }.
type WebDecl struct {
	span
	Server *Word           `parser:"'web' 'of' @@"`
	Body   Block[*WebItem] `parser:"@@"`
}

// WebItem is a line of a web block; one field is set.
type WebItem struct {
	span
	From  []*Word   `parser:"'from' @@ (',' @@)*"`
	TLS   *WebTLS   `parser:"| @@"`
	Port  *Word     `parser:"| 'port' @@"`
	Route *WebRoute `parser:"| @@"`
	Limit *Limit    `parser:"| @@"`
}

// WebTLS says where TLS ends: tls terminate at edge, tls required, tls none.
type WebTLS struct {
	span
	Mode *Word `parser:"'tls' @@"`
	At   *Word `parser:"('at' @@)?"`
}

// WebRoute is a path: bosh "/http-bind" { body 64KiB }.
type WebRoute struct {
	span
	Kind string             `parser:"@('bosh' | 'websocket')"`
	Path *Str               `parser:"@@"`
	Body *Block[*RouteLine] `parser:"@@?"`
}

// RouteLine is a line of a route block.
type RouteLine struct {
	span
	Body *Word `parser:"'body' @@"`
}

// ServerlessDecl is serverless messaging (XEP-0174): serverless { on lan }.
type ServerlessDecl struct {
	span
	Keyword string                 `parser:"@'serverless'"`
	Body    Block[*ServerlessItem] `parser:"@@"`
}

// ServerlessItem is a line of a serverless block; one field is set.
type ServerlessItem struct {
	span
	On    []*Word `parser:"'on' @@ (',' @@)*"`
	Scope *Word   `parser:"| 'scope' @@"`
	Ports *Word   `parser:"| 'ports' @@"`
	Limit *Limit  `parser:"| @@"`
}

// AccessDecl is allow network ops to admin of chat, deny network drop,
// allow any to tcp/22 of edge, or deny 192.0.2.0/24.
type AccessDecl struct {
	span
	Verdict string `parser:"@('allow' | 'deny')"`
	// Network is set when Who are names of networks; otherwise they are
	// addresses and prefixes, or the word any.
	Network bool      `parser:"@'network'?"`
	Who     []*Word   `parser:"@@ (',' @@)*"`
	To      []*Target `parser:"('to' @@ (',' @@)*)?"`
}

// Target is a service of a server or point: admin of chat,
// component irc of chat, tcp/22 of edge, ssh of edge.
type Target struct {
	span
	Service   *Word `parser:"@@"`
	Component *Word `parser:"((?! 'of') @@)?"`
	Of        *Word `parser:"'of' @@"`
}

// Limit bounds conversations: limit connections 20 per source,
// limit attempts 30/min burst 10 per peer, limit attempts 500/s global.
type Limit struct {
	span
	Kind   *Word `parser:"'limit' @@"`
	Amount *Word `parser:"@@"`
	Burst  *Word `parser:"('burst' @@)?"`
	Key    *Word `parser:"('per' @@"`
	Global bool  `parser:"| @'global')"`
}

// ContentDecl is a match inside readable traffic:
// content phishing { match text "wire transfer" on component irc then alert }.
type ContentDecl struct {
	span
	Name *Word               `parser:"'content' @@"`
	Body Block[*ContentItem] `parser:"@@"`
}

// ContentItem is a line of a content block; one field is set.
type ContentItem struct {
	span
	Match *MatchItem `parser:"@@"`
	On    []*Subject `parser:"| 'on' @@ (',' @@)*"`
	Then  []*Word    `parser:"| 'then' @@ (',' @@)*"`
}

// MatchItem is match text "…".
type MatchItem struct {
	span
	What *Word `parser:"'match' @@"`
	Text *Str  `parser:"@@"`
}

// Subject points at a statement: component irc, component irc of chat,
// peer legacy.example, clients of chat, federation of chat, web of chat,
// point edge, network drop, server chat, serverless, policy. Name and Of are
// nil where the text gives none; the longest form that fits is read.
type Subject struct {
	span
	Kind string `parser:"@('component' | 'peer' | 'clients' | 'federation' | 'web' | 'point' | 'network' | 'server' | 'serverless' | 'policy')"`
	Name *Word  `parser:"((?! 'of' | 'until' | 'because' | 'then' | 'match' | 'on') @@)?"`
	Of   *Word  `parser:"('of' @@)?"`
}

// String gives the words of the subject: component irc, clients of chat.
func (s *Subject) String() string {
	text := s.Kind
	if s.Name != nil {
		text += " " + s.Name.Text
	}
	if s.Of != nil {
		text += " of " + s.Of.Text
	}
	return text
}

// WaiveDecl sets a finding aside:
// waive comp-nonloopback on component irc until 2027-01-31 because "…".
type WaiveDecl struct {
	span
	Code    *Word    `parser:"'waive' @@"`
	On      *Subject `parser:"('on' @@)?"`
	Until   *Word    `parser:"'until' @@"`
	Because *Str     `parser:"'because' @@"`
}

// TestDecl is a named list of expectations: test "…" { … }.
type TestDecl struct {
	span
	Name *Str             `parser:"'test' @@"`
	Body Block[*TestLine] `parser:"@@"`
}

// TestLine is deny tcp any -> chat:5347 except 10.0.5.4.
type TestLine struct {
	span
	Verdict string  `parser:"@('allow' | 'deny')"`
	Proto   *Word   `parser:"@@"`
	From    *Word   `parser:"@@ '->'"`
	To      *Word   `parser:"@@"`
	Except  []*Word `parser:"('except' @@ (',' @@)*)?"`
}
