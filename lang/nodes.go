package lang

import "xfwc/lang/diag"

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
	Text string `@Word`
}

// Str is a quoted string. Raw keeps the quotes and escapes; Value reads them.
type Str struct {
	span
	Raw string `@String`
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
	Policy     *PolicyDecl     `  @@`
	Include    *IncludeDecl    `| @@`
	Network    *NetworkDecl    `| @@`
	Server     *ServerDecl     `| @@`
	Point      *PointDecl      `| @@`
	Clients    *ClientsDecl    `| @@`
	Federation *FederationDecl `| @@`
	Component  *ComponentDecl  `| @@`
	Web        *WebDecl        `| @@`
	Serverless *ServerlessDecl `| @@`
	Access     *AccessDecl     `| @@`
	Content    *ContentDecl    `| @@`
	Waive      *WaiveDecl      `| @@`
	Test       *TestDecl       `| @@`
}

// PolicyDecl names the policy: policy "example.org" { … }.
type PolicyDecl struct {
	span
	Name *Str                `"policy" @@`
	Body Block[*PolicyItem] `@@`
}

// PolicyItem is a line of the policy block; one field is set.
type PolicyItem struct {
	span
	Owner   *Str    `  "owner" @@`
	Profile *Word   `| "profile" @@`
	Comply  []*Word `| "comply" @@ ("," @@)*`
}

// IncludeDecl reads other files in place: include "peers/*.xfw".
type IncludeDecl struct {
	span
	Pattern *Str `"include" @@`
}

// NetworkDecl names addresses: network lan = 192.168.10.0/24, other.
type NetworkDecl struct {
	span
	Name  *Word   `"network" @@ "="`
	Feed  *Feed   `( @@`
	Items []*Word `| @@ ("," @@)* )`
}

// Feed is an address list in a file of its own: feed "drop.txt".
type Feed struct {
	span
	Path *Str `"feed" @@`
}

// ServerDecl declares an XMPP server: server chat { … }.
type ServerDecl struct {
	span
	Name *Word                `"server" @@`
	Body Block[*ServerItem] `@@`
}

// ServerItem is a line of a server block; one field is set.
type ServerItem struct {
	span
	Software *Software `  @@`
	Domain   []*Word   `| "domain" @@ ("," @@)*`
	Address  []*Word   `| "address" @@ ("," @@)*`
	Config   *Str      `| "config" @@`
	Port     *PortItem `| @@`
}

// Software is product and version: software prosody 13.0.
type Software struct {
	span
	Product *Word `"software" @@`
	Version *Word `@@`
}

// PortItem overrides a default port of the server: port https 8443.
type PortItem struct {
	span
	Service *Word `"port" @@`
	Port    *Word `@@`
}

// PointDecl declares an enforcement point: point edge { … }.
type PointDecl struct {
	span
	Name *Word               `"point" @@`
	Body Block[*PointItem] `@@`
}

// PointItem is a line of a point block; one field is set.
type PointItem struct {
	span
	Role      *Role          `  @@`
	Hostname  *Str           `| "hostname" @@`
	Address   []*Word        `| "address" @@ ("," @@)*`
	Interface *InterfaceItem `| @@`
	Exclusive bool           `| @"exclusive"`
	Engine    *EngineItem    `| @@`
}

// Role is role gateway, role host, or role host of SERVER.
type Role struct {
	span
	Kind *Word `"role" @@`
	Of   *Word `("of" @@)?`
}

// InterfaceItem says what an interface faces: interface eth0 faces internet.
type InterfaceItem struct {
	span
	Name  *Word   `"interface" @@ "faces"`
	Faces []*Word `@@ ("," @@)*`
}

// EngineItem names an engine of the point: nftables, suricata passive dmz0.
type EngineItem struct {
	span
	Kind   string `@("nftables" | "haproxy" | "suricata" | "prosody" | "ejabberd" | "openfire")`
	Mode   string `(@"passive"`
	Device *Word  `@@)?`
}

// ClientsDecl is who may connect as a client: clients of chat { … }.
type ClientsDecl struct {
	span
	Server *Word                 `"clients" "of" @@`
	Body   Block[*ClientsItem] `@@`
}

// ClientsItem is a line of a clients block; one field is set.
type ClientsItem struct {
	span
	From      []*Word    `  "from" @@ ("," @@)*`
	StartTLS  *TransItem `| "starttls" @@`
	DirectTLS *DirectTLS `| @@`
	Limit     *Limit     `| @@`
}

// TransItem is how STARTTLS is treated, and on which port:
// required, optional or off.
type TransItem struct {
	span
	Mode *Word `@@`
	Port *Word `("port" @@)?`
}

// DirectTLS is direct-tls [port N] [offload at POINT] (XEP-0368).
type DirectTLS struct {
	span
	Keyword string `@"direct-tls"`
	Port    *Word  `("port" @@)?`
	Offload *Word  `("offload" "at" @@)?`
}

// FederationDecl is which servers may federate: federation of chat { … }.
type FederationDecl struct {
	span
	Server *Word                    `"federation" "of" @@`
	Body   Block[*FederationItem] `@@`
}

// FederationItem is a line of a federation block; one field is set.
type FederationItem struct {
	span
	Default *Word     `  "default" @@`
	TLS     *Word     `| "tls" @@`
	Auth    *AuthItem `| @@`
	Peer    *PeerItem `| @@`
	Limit   *Limit    `| @@`
}

// AuthItem is how peers prove who they are:
// external, dialback, or dialback over tls.
type AuthItem struct {
	span
	Method *Word `"auth" @@`
	Over   *Word `("over" @@)?`
}

// PeerItem is one federation peer: peer partner.example { … }.
type PeerItem struct {
	span
	Domain *Word              `"peer" @@`
	Body   *Block[*PeerLine] `@@?`
}

// PeerLine is a line of a peer block; one field is set.
type PeerLine struct {
	span
	Address   []*Word   `  "address" @@ ("," @@)*`
	Port      *Word     `| "port" @@`
	TLS       *Word     `| "tls" @@`
	Auth      *AuthItem `| @@`
	Direction *Word     `| "direction" @@`
	Limit     *Limit    `| @@`
}

// ComponentDecl is an external component (XEP-0114):
// component irc of chat { … }.
type ComponentDecl struct {
	span
	Name   *Word                   `"component" @@`
	Server *Word                   `"of" @@`
	Body   Block[*ComponentItem] `@@`
}

// ComponentItem is a line of a component block; one field is set.
type ComponentItem struct {
	span
	Port   *Word   `  "port" @@`
	From   []*Word `| "from" @@ ("," @@)*`
	Mode   *Word   `| "mode" @@`
	Tunnel *Str    `| "tunnel" @@`
	Limit  *Limit  `| @@`
}

// WebDecl is XMPP over HTTP: web of chat { … }.
type WebDecl struct {
	span
	Server *Word             `"web" "of" @@`
	Body   Block[*WebItem] `@@`
}

// WebItem is a line of a web block; one field is set.
type WebItem struct {
	span
	From  []*Word   `  "from" @@ ("," @@)*`
	TLS   *WebTLS   `| @@`
	Port  *Word     `| "port" @@`
	Route *WebRoute `| @@`
	Limit *Limit    `| @@`
}

// WebTLS says where TLS ends: tls terminate at edge, tls required, tls none.
type WebTLS struct {
	span
	Mode *Word `"tls" @@`
	At   *Word `("at" @@)?`
}

// WebRoute is a path: bosh "/http-bind" { body 64KiB }.
type WebRoute struct {
	span
	Kind string              `@("bosh" | "websocket")`
	Path *Str                `@@`
	Body *Block[*RouteLine] `@@?`
}

// RouteLine is a line of a route block.
type RouteLine struct {
	span
	Body *Word `"body" @@`
}

// ServerlessDecl is serverless messaging (XEP-0174): serverless { on lan }.
type ServerlessDecl struct {
	span
	Keyword string                   `@"serverless"`
	Body    Block[*ServerlessItem] `@@`
}

// ServerlessItem is a line of a serverless block; one field is set.
type ServerlessItem struct {
	span
	On    []*Word `  "on" @@ ("," @@)*`
	Scope *Word   `| "scope" @@`
	Ports *Word   `| "ports" @@`
	Limit *Limit  `| @@`
}

// AccessDecl is allow network ops to admin of chat, or deny network drop.
type AccessDecl struct {
	span
	Verdict string    `@("allow" | "deny")`
	Who     []*Word   `"network" @@ ("," @@)*`
	To      []*Target `("to" @@ ("," @@)*)?`
}

// Target is a service of a server or point: admin of chat,
// component irc of chat, tcp/22 of edge, ssh of edge.
type Target struct {
	span
	Service   *Word `@@`
	Component *Word `(?! "of") @@?`
	Of        *Word `"of" @@`
}

// Limit bounds conversations: limit connections 20 per source,
// limit attempts 30/min burst 10 per peer, limit attempts 500/s global.
type Limit struct {
	span
	Kind   *Word `"limit" @@`
	Amount *Word `@@`
	Burst  *Word `("burst" @@)?`
	Key    *Word `("per" @@`
	Global bool  `| @"global")`
}

// ContentDecl is a match inside readable traffic:
// content phishing { match text "wire transfer" on component irc then alert }.
type ContentDecl struct {
	span
	Name *Word                 `"content" @@`
	Body Block[*ContentItem] `@@`
}

// ContentItem is a line of a content block; one field is set.
type ContentItem struct {
	span
	Match *MatchItem `  @@`
	On    []*Subject `| "on" @@ ("," @@)*`
	Then  []*Word    `| "then" @@ ("," @@)*`
}

// MatchItem is match text "…".
type MatchItem struct {
	span
	What *Word `"match" @@`
	Text *Str  `@@`
}

// Subject points at a statement: component irc, peer legacy.example,
// clients of chat, federation of chat, web of chat, point edge, network drop,
// server chat, serverless, policy. The longest form that fits is read.
type Subject struct {
	span
	Kind string `@("component" | "peer" | "clients" | "federation" | "web" | "point" | "network" | "server" | "serverless" | "policy")`
	Of   *Word  `( "of" @@`
	Name *Word  `| (?! "until" | "because" | "then" | "match" | "on" | "," | "}") @@ )?`
}

// WaiveDecl sets a finding aside:
// waive comp-nonloopback on component irc until 2027-01-31 because "…".
type WaiveDecl struct {
	span
	Code    *Word    `"waive" @@`
	On      *Subject `("on" @@)?`
	Until   *Word    `"until" @@`
	Because *Str     `"because" @@`
}

// TestDecl is a named list of expectations: test "…" { … }.
type TestDecl struct {
	span
	Name *Str               `"test" @@`
	Body Block[*TestLine] `@@`
}

// TestLine is deny tcp any -> chat:5347 except 10.0.5.4.
type TestLine struct {
	span
	Verdict string  `@("allow" | "deny")`
	Proto   *Word   `@@`
	From    *Word   `@@ "->"`
	To      *Word   `@@`
	Except  []*Word `("except" @@ ("," @@)*)?`
}
