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
//
// Further tags tell editors what a word stands for (uses.go): defines:"network"
// that it makes a name of this kind, refers:"server point" that it may be a name
// of these kinds (place is networks, zones, servers and points), oneof:"on off"
// the words that may stand there. What is in brackets behind a word holds where
// a field next to it has that word, or where the flag of that name is set.

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

// Within is the place of a part of the value, by byte offsets in it.
func (s *Str) Within(from, to int) diag.Span {
	at := func(offset int) diag.Pos {
		raw := 1 // behind the quote
		for n := 0; n < offset && raw < len(s.Raw)-1; n++ {
			if rest := s.Raw[raw:]; strings.HasPrefix(rest, `\"`) || strings.HasPrefix(rest, `\\`) {
				raw++
			}
			raw++
		}
		p := s.Pos
		p.Offset += raw
		p.Column += raw
		return p
	}
	return diag.Span{Start: at(from), End: at(to)}
}

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// Block is the statements between { and }. Statements that are not well formed
// are reported and left out, so that every item is whole.
type Block[T any] struct {
	span
	Items []T

	problems []diag.Finding
	lost     []Lost
}

// File is one source file.
type File struct {
	span
	Name  string
	Decls []*Decl
	// Lost are the statements that could not be read, at the top level and in
	// blocks.
	Lost []Lost

	text string
}

// Lost is a statement that could not be read: where it starts, and its words,
// which it may have defined or used. What is missing elsewhere because of it is
// no mistake of its own.
type Lost struct {
	Pos   diag.Pos
	Words []string
}

// Decl is one top-level statement; exactly one field is set.
type Decl struct {
	span
	Policy     *PolicyDecl     `parser:"@@"`
	Include    *IncludeDecl    `parser:"| @@"`
	Network    *NetworkDecl    `parser:"| @@"`
	Zone       *ZoneDecl       `parser:"| @@"`
	Domains    *DomainsDecl    `parser:"| @@"`
	Words      *WordsDecl      `parser:"| @@"`
	Pattern    *PatternDecl    `parser:"| @@"`
	Window     *WindowDecl     `parser:"| @@"`
	Server     *ServerDecl     `parser:"| @@"`
	Point      *PointDecl      `parser:"| @@"`
	Clients    *ClientsDecl    `parser:"| @@"`
	Federation *FederationDecl `parser:"| @@"`
	Component  *ComponentDecl  `parser:"| @@"`
	Web        *WebDecl        `parser:"| @@"`
	Anonymous  *AnonymousDecl  `parser:"| @@"`
	Media      *MediaDecl      `parser:"| @@"`
	Admin      *AdminDecl      `parser:"| @@"`
	Cluster    *ClusterDecl    `parser:"| @@"`
	Egress     *EgressDecl     `parser:"| @@"`
	Serverless *ServerlessDecl `parser:"| @@"`
	Access     *AccessDecl     `parser:"| @@"`
	Content    *ContentDecl    `parser:"| @@"`
	Waive      *WaiveDecl      `parser:"| @@"`
	Test       *TestDecl       `parser:"| @@"`
}

// MetaItem is what a statement says about itself: who answers for it, where it
// was agreed, the last day it is for, and the hours it holds. It stands in the
// statement's block, or in a block behind a statement that has none:
// allow network ops to ssh of edge { ticket "NET-12" expires 2027-01-31 }.
type MetaItem struct {
	span
	Owner   *Str  `parser:"'owner' @@"`
	Ticket  *Str  `parser:"| 'ticket' @@"`
	Expires *Word `parser:"| 'expires' @@"`
	During  *Word `parser:"| 'during' @@" refers:"window"`
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
	Profile *Word   `parser:"| 'profile' @@" oneof:"baseline strict"`
	Ticket  *Str    `parser:"| 'ticket' @@"`
	Comply  []*Word `parser:"| 'comply' @@ (',' @@)*" oneof:"pci-dss-4.0 nist-800-41"`
}

// IncludeDecl reads other files in place: include "peers/*.xfw".
type IncludeDecl struct {
	span
	Pattern *Str `parser:"'include' @@"`
}

// NetworkDecl names addresses: network lan = 192.168.10.0/24, other.
type NetworkDecl struct {
	span
	Name  *Word             `parser:"'network' @@ '='" defines:"network"`
	Feed  *Feed             `parser:"( @@"`
	Items []*Word           `parser:"| @@ (',' @@)* )" refers:"network"`
	Body  *Block[*NameLine] `parser:"@@?"`
}

// NameLine is a line of the block behind a name's value:
// { max-age 2d max-change 20% owner "abuse@example.org" }.
type NameLine struct {
	span
	MaxAge    *Word     `parser:"'max-age' @@"`
	MaxChange *Word     `parser:"| 'max-change' @@"`
	Meta      *MetaItem `parser:"| @@"`
}

// ZoneDecl names what is behind interfaces: zone guests = wlan0 of edge.
type ZoneDecl struct {
	span
	Name       *Word             `parser:"'zone' @@ '='" defines:"zone"`
	Interfaces []*ZoneInterface  `parser:"@@ (',' @@)*"`
	Body       *Block[*MetaItem] `parser:"@@?"`
}

// ZoneInterface is an interface of a point.
type ZoneInterface struct {
	span
	Interface *Word `parser:"@@ 'of'"`
	Point     *Word `parser:"@@" refers:"point"`
}

// DomainsDecl names XMPP domains: domains spam = bad.example, worse.example.
type DomainsDecl struct {
	span
	Name  *Word             `parser:"'domains' @@ '='" defines:"domains"`
	Feed  *Feed             `parser:"( @@"`
	Items []*Word           `parser:"| @@ (',' @@)* )"`
	Body  *Block[*NameLine] `parser:"@@?"`
}

// WordsDecl names texts: words phish = "wire transfer", "gift card".
type WordsDecl struct {
	span
	Name  *Word             `parser:"'words' @@ '='" defines:"words"`
	Feed  *Feed             `parser:"( @@"`
	Items []*Str            `parser:"| @@ (',' @@)* )"`
	Body  *Block[*NameLine] `parser:"@@?"`
}

// PatternDecl names a pattern: pattern card = "[0-9]+-[0-9]+".
type PatternDecl struct {
	span
	Name *Word             `parser:"'pattern' @@ '='" defines:"pattern"`
	Text *Str              `parser:"@@"`
	Body *Block[*MetaItem] `parser:"@@?"`
}

// WindowDecl names hours of the week, in UTC:
// window office = mon-fri 08:00-18:00, sat 09:00-12:00.
type WindowDecl struct {
	span
	Name  *Word             `parser:"'window' @@ '='" defines:"window"`
	Spans []*WindowSpan     `parser:"@@ (',' @@)*"`
	Body  *Block[*MetaItem] `parser:"@@?"`
}

// WindowSpan is days and hours: mon-fri 08:00-18:00.
type WindowSpan struct {
	span
	Days  *Word `parser:"@@"`
	Hours *Word `parser:"@@"`
}

// Feed is an address list in a file of its own: feed "drop.txt".
type Feed struct {
	span
	Path *Str `parser:"'feed' @@"`
}

// ServerDecl declares an XMPP server: server chat { … }.
type ServerDecl struct {
	span
	Name *Word              `parser:"'server' @@" defines:"server"`
	Body Block[*ServerItem] `parser:"@@"`
}

// ServerItem is a line of a server block; one field is set.
type ServerItem struct {
	span
	Software *Software      `parser:"@@"`
	Domain   []*Word        `parser:"| 'domain' @@ (',' @@)*"`
	Address  []*Word        `parser:"| 'address' @@ (',' @@)*"`
	Config   *Str           `parser:"| 'config' @@"`
	Port     *PortItem      `parser:"| @@"`
	Trust    []*Word        `parser:"| 'trust' @@ (',' @@)*" refers:"place"`
	Setting  *ServerSetting `parser:"| @@"`
	Meta     *MetaItem      `parser:"| @@"`
}

// ServerSetting is sessions 5000, or resolver validating.
type ServerSetting struct {
	span
	Name  string `parser:"@('sessions' | 'resolver')"`
	Value *Word  `parser:"@@" oneof:"resolver(validating)"`
}

// Software is product and version: software prosody 13.0.
type Software struct {
	span
	Product *Word `parser:"'software' @@" oneof:"prosody ejabberd openfire tigase mongooseim metronome"`
	Version *Word `parser:"@@"`
}

// PortItem overrides a default port of the server: port https 8443.
type PortItem struct {
	span
	Service *Word `parser:"'port' @@" oneof:"admin clients clients-tls cluster component component-tls federation federation-tls http https mqtt proxy65 stun"`
	Port    *Word `parser:"@@"`
}

// PointDecl declares an enforcement point: point edge { … }.
type PointDecl struct {
	span
	Name *Word             `parser:"'point' @@" defines:"point"`
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
	Mode      *ModeItem      `parser:"| @@"`
	Meta      *MetaItem      `parser:"| @@"`
}

// ModeItem is mode enforce, or mode observe until 2027-01-31: say what would
// have been refused, and refuse nothing.
type ModeItem struct {
	span
	Mode  *Word `parser:"'mode' @@" oneof:"enforce observe"`
	Until *Word `parser:"('until' @@)?"`
}

// Role is role gateway, role host, or role host of SERVER.
type Role struct {
	span
	Kind *Word `parser:"'role' @@" oneof:"gateway host"`
	Of   *Word `parser:"('of' @@)?" refers:"server"`
}

// InterfaceItem says what an interface faces: interface eth0 faces internet.
type InterfaceItem struct {
	span
	Name  *Word   `parser:"'interface' @@ 'faces'"`
	Faces []*Word `parser:"@@ (',' @@)*" refers:"network" oneof:"internet"`
}

// EngineItem names an engine of the point: nftables, suricata passive dmz0.
type EngineItem struct {
	span
	Kind   string `parser:"@('nftables' | 'haproxy' | 'nginx' | 'squid' | 'suricata' | 'snort' | 'prosody' | 'ejabberd' | 'openfire' | 'tigase' | 'mongooseim' | 'metronome')"`
	Mode   string `parser:"(@'passive'"`
	Device *Word  `parser:"@@)?"`
}

// ClientsDecl is who may connect as a client: clients of chat { … }.
type ClientsDecl struct {
	span
	Server *Word               `parser:"'clients' 'of' @@" refers:"server"`
	Body   Block[*ClientsItem] `parser:"@@"`
}

// ClientsItem is a line of a clients block; one field is set.
type ClientsItem struct {
	span
	From      []*Word         `parser:"'from' @@ (',' @@)*" refers:"place" oneof:"any"`
	StartTLS  *TransItem      `parser:"| 'starttls' @@"`
	DirectTLS *DirectTLS      `parser:"| @@"`
	SASL      []*Word         `parser:"| 'sasl' @@ (',' @@)*"`
	Setting   *ClientsSetting `parser:"| @@"`
	Limit     *Limit          `parser:"| @@"`
	Meta      *MetaItem       `parser:"| @@"`
}

// ClientsSetting is one of tls 1.2 (the oldest version), compression off,
// registration closed, lockout source, idle 10m, quic 443.
type ClientsSetting struct {
	span
	Name  string `parser:"@('tls' | 'compression' | 'registration' | 'lockout' | 'idle' | 'quic')"`
	Value *Word  `parser:"@@" oneof:"tls(1.2 1.3) compression(on off) registration(closed invite open) lockout(source account none)"`
}

// TransItem is how STARTTLS is treated, and on which port:
// required, optional or off.
type TransItem struct {
	span
	Mode *Word `parser:"@@" oneof:"required optional off"`
	Port *Word `parser:"('port' @@)?"`
}

// DirectTLS is direct-tls [port N] [alpn at POINT [default WHERE]]
// [offload at POINT] (XEP-0368).
type DirectTLS struct {
	span
	Keyword string `parser:"@'direct-tls'"`
	Port    *Word  `parser:"('port' @@)?"`
	ALPN    *Word  `parser:"('alpn' 'at' @@" refers:"point"`
	Unknown *Word  `parser:"('default' @@)?)?" oneof:"web clients close"`
	Offload *Word  `parser:"('offload' 'at' @@)?" refers:"point"`
}

// FederationDecl is which servers may federate: federation of chat { … }.
type FederationDecl struct {
	span
	Server *Word                  `parser:"'federation' 'of' @@" refers:"server"`
	Body   Block[*FederationItem] `parser:"@@"`
}

// FederationItem is a line of a federation block; one field is set.
type FederationItem struct {
	span
	Default  *Word       `parser:"'default' @@" oneof:"deny allow"`
	TLS      *Word       `parser:"| 'tls' @@" oneof:"required optional none"`
	Auth     *AuthItem   `parser:"| @@"`
	Peer     *PeerItem   `parser:"| @@"`
	Rule     *DomainRule `parser:"| @@"`
	Domain   []*Word     `parser:"| 'domain' @@ (',' @@)*"`
	Bidi     *Word       `parser:"| 'bidi' @@" oneof:"on off"`
	Identity []*Word     `parser:"| 'identity' @@ (',' @@)*" oneof:"pkix dane posh"`
	Limit    *Limit      `parser:"| @@"`
	Meta     *MetaItem   `parser:"| @@"`
}

// DomainRule is allow domains partners, or deny domains spam.
type DomainRule struct {
	span
	Verdict string            `parser:"@('allow' | 'deny') 'domains'"`
	Names   []*Word           `parser:"@@ (',' @@)*" refers:"domains"`
	Body    *Block[*MetaItem] `parser:"@@?"`
}

// AuthItem is how peers prove who they are:
// external, dialback, or dialback over tls.
type AuthItem struct {
	span
	Method *Word `parser:"'auth' @@" oneof:"external dialback"`
	Over   *Word `parser:"('over' @@)?" oneof:"tls"`
}

// PeerItem is one federation peer: peer partner.example { … }.
type PeerItem struct {
	span
	Domain *Word             `parser:"'peer' @@" defines:"peer"`
	Body   *Block[*PeerLine] `parser:"@@?"`
}

// PeerLine is a line of a peer block; one field is set.
type PeerLine struct {
	span
	Address     []*Word   `parser:"'address' @@ (',' @@)*"`
	Port        *Word     `parser:"| 'port' @@"`
	TLS         *Word     `parser:"| 'tls' @@" oneof:"required optional none"`
	Auth        *AuthItem `parser:"| @@"`
	Direction   *Word     `parser:"| 'direction' @@" oneof:"in out both"`
	Domain      []*Word   `parser:"| 'domain' @@ (',' @@)*"`
	Bidi        *Word     `parser:"| 'bidi' @@" oneof:"on off"`
	Identity    []*Word   `parser:"| 'identity' @@ (',' @@)*" oneof:"pkix dane posh"`
	Certificate *Word     `parser:"| 'certificate' @@" oneof:"valid self-signed"`
	Limit       *Limit    `parser:"| @@"`
	Meta        *MetaItem `parser:"| @@"`
}

// ComponentDecl is an external component (XEP-0114):
// component irc of chat { … }.
type ComponentDecl struct {
	span
	Name   *Word                 `parser:"'component' @@" defines:"component"`
	Server *Word                 `parser:"'of' @@" refers:"server"`
	Body   Block[*ComponentItem] `parser:"@@"`
}

// ComponentItem is a line of a component block; one field is set.
type ComponentItem struct {
	span
	Port   *Word     `parser:"'port' @@"`
	From   []*Word   `parser:"| 'from' @@ (',' @@)*" refers:"place" oneof:"any"`
	Mode   *Word     `parser:"| 'mode' @@" oneof:"accept connect"`
	Tunnel *Str      `parser:"| 'tunnel' @@"`
	Domain []*Word   `parser:"| 'domain' @@ (',' @@)*"`
	Limit  *Limit    `parser:"| @@"`
	Meta   *MetaItem `parser:"| @@"`
}

// WebDecl is XMPP over HTTP: web of chat { … }.
type WebDecl struct {
	span
	Server *Word           `parser:"'web' 'of' @@" refers:"server"`
	Body   Block[*WebItem] `parser:"@@"`
}

// WebItem is a line of a web block; one field is set.
type WebItem struct {
	span
	From  []*Word   `parser:"'from' @@ (',' @@)*" refers:"place" oneof:"any"`
	TLS   *WebTLS   `parser:"| @@"`
	Port  *Word     `parser:"| 'port' @@"`
	Host  []*Word   `parser:"| 'host' @@ (',' @@)*"`
	Route *WebRoute `parser:"| @@"`
	Limit *Limit    `parser:"| @@"`
	Meta  *MetaItem `parser:"| @@"`
}

// WebTLS says where TLS ends: tls terminate at edge, tls required, tls none.
type WebTLS struct {
	span
	Mode *Word `parser:"'tls' @@" oneof:"terminate required none"`
	At   *Word `parser:"('at' @@)?" refers:"point"`
}

// WebRoute is a path: bosh "/http-bind" { body 64KiB }.
type WebRoute struct {
	span
	Kind string             `parser:"@('bosh' | 'websocket' | 'upload' | 'host-meta' | 'polling')"`
	Path *Str               `parser:"@@"`
	Body *Block[*RouteLine] `parser:"@@?"`
}

// RouteLine is a line of a route block; one field is set.
type RouteLine struct {
	span
	Methods   []*Word       `parser:"'methods' @@ (',' @@)*" oneof:"GET HEAD POST PUT OPTIONS"`
	Origin    []*Str        `parser:"| 'origin' @@ (',' @@)*"`
	Host      []*Word       `parser:"| 'host' @@ (',' @@)*"`
	Advertise []*Str        `parser:"| 'advertise' @@ (',' @@)*"`
	Setting   *RouteSetting `parser:"| @@"`
	Limit     *Limit        `parser:"| @@"`
	Meta      *MetaItem     `parser:"| @@"`
}

// RouteSetting is one of body 64KiB, size 10MiB, frame 64KiB, wait 60s, idle
// 10m, timeout 75s, requests 2, slot 300s, and polling, route, buffering and
// credentials with on or off.
type RouteSetting struct {
	span
	Name  string `parser:"@('body' | 'size' | 'frame' | 'wait' | 'idle' | 'timeout' | 'requests' | 'slot' | 'polling' | 'route' | 'buffering' | 'credentials')"`
	Value *Word  `parser:"@@" oneof:"polling(on off) route(on off) buffering(on off) credentials(on off)"`
}

// AnonymousDecl is who may use a server without an account (XEP-0175):
// anonymous of chat { domain guest.example.org }.
type AnonymousDecl struct {
	span
	Server *Word                 `parser:"'anonymous' 'of' @@" refers:"server"`
	Body   Block[*AnonymousItem] `parser:"@@"`
}

// AnonymousItem is a line of an anonymous block; one field is set.
type AnonymousItem struct {
	span
	Domain  []*Word           `parser:"'domain' @@ (',' @@)*"`
	From    []*Word           `parser:"| 'from' @@ (',' @@)*" refers:"place" oneof:"any"`
	Setting *AnonymousSetting `parser:"| @@"`
	Limit   *Limit            `parser:"| @@"`
	Meta    *MetaItem         `parser:"| @@"`
}

// AnonymousSetting is federation deny, or storage cleared.
type AnonymousSetting struct {
	span
	Name  string `parser:"@('federation' | 'storage')"`
	Value *Word  `parser:"@@" oneof:"federation(deny allow) storage(cleared kept)"`
}

// MediaDecl is file transfer and calls: media of chat { proxy65 stun }.
type MediaDecl struct {
	span
	Server *Word             `parser:"'media' 'of' @@" refers:"server"`
	Body   Block[*MediaItem] `parser:"@@"`
}

// MediaItem is a line of a media block; one field is set.
type MediaItem struct {
	span
	From    []*Word       `parser:"'from' @@ (',' @@)*" refers:"place" oneof:"any"`
	Service *MediaService `parser:"| @@"`
	Setting *MediaSetting `parser:"| @@"`
	Limit   *Limit        `parser:"| @@"`
	Meta    *MetaItem     `parser:"| @@"`
}

// MediaService is proxy65, proxy65 port 7777, or stun port 3478.
type MediaService struct {
	span
	Kind string `parser:"@('proxy65' | 'stun')"`
	Port *Word  `parser:"('port' @@)?"`
}

// MediaSetting is relay 49152-65535, auth required, or private-peers deny.
type MediaSetting struct {
	span
	Name  string `parser:"@('relay' | 'auth' | 'private-peers')"`
	Value *Word  `parser:"@@" oneof:"auth(required none) private-peers(deny allow)"`
}

// AdminDecl is who may administer a server over the network:
// admin of chat { from ops }.
type AdminDecl struct {
	span
	Server *Word             `parser:"'admin' 'of' @@" refers:"server"`
	Body   Block[*AdminItem] `parser:"@@"`
}

// AdminItem is a line of an admin block; one field is set.
type AdminItem struct {
	span
	From  []*Word   `parser:"'from' @@ (',' @@)*" refers:"place" oneof:"any"`
	Port  []*Word   `parser:"| 'port' @@ (',' @@)*"`
	TLS   *Word     `parser:"| 'tls' @@" oneof:"required none"`
	Limit *Limit    `parser:"| @@"`
	Meta  *MetaItem `parser:"| @@"`
}

// ClusterDecl is what the nodes of one server say to each other:
// cluster of chat { with 10.0.0.2, 10.0.0.3 }.
type ClusterDecl struct {
	span
	Server *Word               `parser:"'cluster' 'of' @@" refers:"server"`
	Body   Block[*ClusterItem] `parser:"@@"`
}

// ClusterItem is a line of a cluster block; one field is set.
type ClusterItem struct {
	span
	With []*Word   `parser:"'with' @@ (',' @@)*" refers:"place"`
	Port []*Word   `parser:"| 'port' @@ (',' @@)*"`
	Meta *MetaItem `parser:"| @@"`
}

// EgressDecl is what a server may call besides federation:
// egress of chat { default deny allow dns to resolver }.
type EgressDecl struct {
	span
	Server *Word              `parser:"'egress' 'of' @@" refers:"server"`
	Body   Block[*EgressItem] `parser:"@@"`
}

// EgressItem is a line of an egress block; one field is set.
type EgressItem struct {
	span
	Default *Word       `parser:"'default' @@" oneof:"deny allow"`
	Rule    *EgressRule `parser:"| @@"`
	Meta    *MetaItem   `parser:"| @@"`
}

// EgressRule is allow dns, https to any, or deny tcp/25 to any.
type EgressRule struct {
	span
	Verdict  string            `parser:"@('allow' | 'deny')"`
	Services []*Word           `parser:"@@ (',' @@)*" oneof:"dns http https smtp ldap ntp"`
	To       []*Word           `parser:"'to' @@ (',' @@)*" refers:"place" oneof:"any"`
	Body     *Block[*MetaItem] `parser:"@@?"`
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
	On    []*Word   `parser:"'on' @@ (',' @@)*" refers:"network zone"`
	Scope *Word     `parser:"| 'scope' @@" oneof:"link"`
	Ports *Word     `parser:"| 'ports' @@"`
	TLS   *Word     `parser:"| 'tls' @@" oneof:"required none"`
	Limit *Limit    `parser:"| @@"`
	Meta  *MetaItem `parser:"| @@"`
}

// AccessDecl is allow network ops to admin of chat, deny network drop,
// allow any to tcp/22 of edge, or deny 192.0.2.0/24.
type AccessDecl struct {
	span
	Verdict string `parser:"@('allow' | 'deny')"`
	// Network is set when Who are names of networks; otherwise they are
	// addresses and prefixes, or the word any.
	Network bool              `parser:"@'network'?"`
	Who     []*Word           `parser:"@@ (',' @@)*" refers:"Network(network) place" oneof:"any"`
	To      []*Target         `parser:"('to' @@ (',' @@)*)?"`
	Body    *Block[*MetaItem] `parser:"@@?"`
}

// Target is a service of a server or point: admin of chat,
// component irc of chat, tcp/22 of edge, ssh of edge.
type Target struct {
	span
	Service   *Word `parser:"@@" oneof:"ssh web admin clients clients-tls cluster component component-tls federation federation-tls http https mqtt proxy65 stun"`
	Component *Word `parser:"((?! 'of') @@)?" refers:"component"`
	Of        *Word `parser:"'of' @@" refers:"server point"`
}

// Limit bounds conversations: limit connections 20 per source,
// limit attempts 30/min burst 10 per peer, limit attempts 500/s global,
// limit stanza 256KiB after auth, limit connections 50 per prefix 24/56,
// limit attempts 30/min per source then block source 10m.
type Limit struct {
	span
	Kind   *Word             `parser:"'limit' @@" oneof:"connections attempts outgoing bandwidth stanza stanzas requests registrations recipients resources logins negotiation"`
	Amount *Word             `parser:"@@"`
	Auth   string            `parser:"(@('before' | 'after') 'auth')?"`
	Burst  *Word             `parser:"('burst' @@)?"`
	Prefix *Word             `parser:"( 'per' ('prefix' @@"`
	Key    *Word             `parser:"| @@)" oneof:"source peer account stream"`
	Global bool              `parser:"| @'global')?"`
	Then   []*Action         `parser:"('then' @@ (',' @@)*)?"`
	Body   *Block[*MetaItem] `parser:"@@?"`
}

// Action is what happens then: drop, reject, alert, terminate, or
// block source 1h.
type Action struct {
	span
	Name   *Word `parser:"@@" oneof:"alert drop reject terminate block"`
	Source *Word `parser:"('source' @@)?"`
}

// ContentDecl is a match inside readable traffic:
// content phishing { match text "wire transfer" on component irc then alert }.
type ContentDecl struct {
	span
	Name *Word               `parser:"'content' @@" defines:"content"`
	Body Block[*ContentItem] `parser:"@@"`
}

// ContentItem is a line of a content block; one field is set. Every match line
// is enough by itself.
type ContentItem struct {
	span
	Match []*MatchItem `parser:"'match' @@ ('and' @@)*"`
	On    []*Subject   `parser:"| 'on' @@ (',' @@)*"`
	Then  []*Action    `parser:"| 'then' @@ (',' @@)*"`
	Mode  *ModeItem    `parser:"| @@"`
	Meta  *MetaItem    `parser:"| @@"`
}

// MatchItem is what a stanza has to hold: text "…", url in words phish,
// body ~ "wire +transfer", body ~ card, stanza iq, sender in domains spam.
type MatchItem struct {
	span
	What    *Word  `parser:"(?! 'in' | 'match' | 'and' | 'on' | 'then' | 'mode') @@" oneof:"text body url namespace stanza sasl sender recipient"`
	In      string `parser:"( 'in' @('words' | 'domains')"`
	List    *Word  `parser:"@@" refers:"words(words) domains(domains)"`
	Regex   *Str   `parser:"| '~' ( @@"`
	Pattern *Word  `parser:"| (?! 'match' | 'and' | 'on' | 'then' | 'mode') @@ )" refers:"pattern"`
	Text    *Str   `parser:"| @@"`
	Value   *Word  `parser:"| (?! 'match' | 'and' | 'on' | 'then' | 'mode') @@ )"`
}

// Subject points at a statement: component irc, component irc of chat,
// peer legacy.example, clients of chat, federation of chat, web of chat,
// point edge, network drop, server chat, serverless, policy. Name and Of are
// nil where the text gives none; the longest form that fits is read.
type Subject struct {
	span
	Kind string `parser:"@('component' | 'peer' | 'clients' | 'federation' | 'web' | 'anonymous' | 'media' | 'admin' | 'cluster' | 'egress' | 'serverless' | 'content' | 'network' | 'zone' | 'domains' | 'words' | 'pattern' | 'window' | 'server' | 'point' | 'test' | 'policy')"`
	Name *Word  `parser:"((?! 'of' | 'until' | 'because' | 'then' | 'match' | 'on' | 'mode' | 'owner' | 'ticket' | 'expires' | 'during') @@)?" refers:"Kind"`
	Of   *Word  `parser:"('of' @@)?" refers:"server"`
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
	Code    *Word             `parser:"'waive' @@" refers:"code"`
	On      *Subject          `parser:"('on' @@)?"`
	Until   *Word             `parser:"'until' @@"`
	Because *Str              `parser:"'because' @@"`
	Body    *Block[*MetaItem] `parser:"@@?"`
}

// TestDecl is a named list of expectations: test "…" { … }.
type TestDecl struct {
	span
	Name *Str             `parser:"'test' @@"`
	Body Block[*TestLine] `parser:"@@"`
}

// TestLine is an expectation; one field is set.
type TestLine struct {
	span
	Packets *TestPackets `parser:"@@"`
	Content *TestContent `parser:"| @@"`
}

// TestPackets is deny tcp any -> chat:5347 except 10.0.5.4,
// only tcp ops, lan -> chat:22, or allow tcp lan -> chat:22 at mon 09:00.
type TestPackets struct {
	span
	Verdict string  `parser:"@('allow' | 'deny' | 'only')"`
	Proto   *Word   `parser:"@@" oneof:"tcp udp"`
	From    []*Word `parser:"@@ (',' @@)* '->'" refers:"place" oneof:"any"`
	To      *Word   `parser:"@@" refers:"server point"`
	Except  []*Word `parser:"('except' @@ (',' @@)*)?" refers:"place"`
	Day     *Word   `parser:"('at' @@" oneof:"mon tue wed thu fri sat sun"`
	Time    *Word   `parser:"@@)?"`
}

// TestContent is catch phishing "…" or pass phishing "…": whether a content rule
// finds the text, which is a stanza where it begins with <.
type TestContent struct {
	span
	Verdict string `parser:"@('catch' | 'pass')"`
	Rule    *Word  `parser:"@@" refers:"content"`
	Text    *Str   `parser:"@@"`
}
