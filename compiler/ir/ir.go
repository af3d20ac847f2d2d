package ir

import (
	"net/netip"
	"path"
	"strconv"

	"xfwc/lang/diag"
)

// Policy is the checked whole; root of the ir.
type Policy struct {
	Name     string
	Owner    string
	Profile  string   // "baseline" or "strict"
	Comply   []string // frameworks that the policy names, each once
	Origin   Origin
	Networks []*Network
	Servers  []*Server
	Points   []*Point
	Flows    []*Flow // in policy order
	Legs     []*Leg
	Content  []*ContentRule
	Routes   []*HTTPRoute
	Guards   []*Guard // by point, then hook; made by the placement stage
	Tests    []*Test

	Ticket     string
	Statements []*Statement // those with an owner, ticket, last day or window
	Zones      []*Zone
	Domains    []*DomainList
	Words      []*WordList
	Patterns   []*Pattern
	Windows    []*Window
	Cases      []*ContentCase

	Clients     []*ClientTerms
	Federations []*FederationTerms
	Components  []*ComponentTerms
	Webs        []*WebTerms
	Anonymous   []*AnonymousTerms
	Media       []*MediaTerms
	Admins      []*AdminTerms
	Clusters    []*ClusterTerms
	Egress      []*EgressTerms
}

// Feeds are what the policy demands of each feed it names.
func (p *Policy) Feeds() []*FeedTerms {
	var out []*FeedTerms
	add := func(t *FeedTerms) {
		if t.Path != "" {
			out = append(out, t)
		}
	}
	for _, n := range p.Networks {
		add(&n.Feed)
	}
	for _, l := range p.Domains {
		add(&l.Feed)
	}
	for _, l := range p.Words {
		add(&l.Feed)
	}
	return out
}

// Origin says which policy lines a thing comes from, and in which words.
type Origin struct {
	Span diag.Span
	// Label is the statement in short, such as "clients of chat" or
	// "peer legacy.example of chat". It uses [A-Za-z0-9 ._:/,-] only and is at
	// most 100 bytes: it is written into comments and log prefixes.
	Label string
}

// Line names the place for comments in artefacts: "policy.xfw:12". The folder is
// left out, so that an artefact does not depend on where the policy is kept.
func (o Origin) Line() string {
	return path.Base(o.Span.Start.Filename) + ":" + strconv.Itoa(o.Span.Start.Line)
}

// Verdict is what happens to a new conversation. The zero value is invalid.
type Verdict int

const (
	_ Verdict = iota
	// Allow lets it pass this point.
	Allow
	// Deny drops it without an answer.
	Deny
	// Untouched leaves it to whatever else the machine decides: no statement
	// of the policy speaks of it.
	Untouched
)

// String gives the word used in every output.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Untouched:
		return "untouched"
	}
	return "invalid"
}

// Past gives what was done, in sentences.
func (v Verdict) Past() string {
	switch v {
	case Allow:
		return "allowed"
	case Deny:
		return "denied"
	}
	return "left untouched"
}

// AddrSet is a set of addresses. Prefixes are masked, merged, sorted (IPv4
// before IPv6, then by address) and hold no IPv4-mapped addresses.
type AddrSet struct {
	// Name is unique in the policy and fits an engine's identifiers:
	// [a-z][a-z0-9_]*, at most 60 bytes.
	Name     string
	Prefixes []netip.Prefix
	// Feed is the path of the feed file, as the policy states it, or "".
	Feed string
	// Digest is "sha256:…" over the sorted prefixes of a feed, or "".
	Digest string
	// HasFeed is set when any of the addresses come from a feed: on the feed's
	// own set, on a network that contains a feed's, and on any other set made of
	// such a one. Who publishes the feed decides what is in the set.
	HasFeed bool
	Origin  Origin
}

// Network is a named address set of the policy.
type Network struct {
	Name   string
	Set    *AddrSet
	Feed   FeedTerms
	Origin Origin
}

// Proto is the transport protocol of a service.
type Proto string

const (
	TCP Proto = "tcp"
	UDP Proto = "udp"
)

// PortSpan is a protocol with an inclusive range of ports.
type PortSpan struct {
	Proto    Proto
	From, To uint16
}

// Listener is a port that a server's software opens by default, or that the
// policy states; from the table of server defaults.
type Listener struct {
	Service   string // "clients", "clients-tls", "federation", "federation-tls", "component", "http", "https", "admin", "cluster", "proxy65", "stun", "mqtt", …
	Port      PortSpan
	Stated    bool   // stated in the policy rather than a default
	Transport string // what the default is: "starttls-required", "starttls-optional", "tls", "clear"
	Bind      string // what it is bound to by default: "any", "loopback", "v4"
	Off       bool   // nothing listens before the server's configuration asks for it
	Source    string // where the default is documented
}

// Server is an XMPP server.
type Server struct {
	Name      string
	Software  string // "prosody", "ejabberd", "openfire"
	Version   string // as stated, "13.0"
	Config    string // path of its configuration on its machine, as stated; may be empty
	Domains   []string
	Addresses []netip.Addr
	Set       *AddrSet   // Addresses as a set
	Listeners []Listener // sorted by service, then port
	Sessions  uint32     // users that are online at once at most, as stated; 0 is unstated
	Resolver  string     // "validating", "plain" or "": whether its resolver validates DNSSEC
	// Trust is whose word about a client's address the server takes (PROXY
	// protocol, forwarded headers); nil is nobody's.
	Trust  *AddrSet
	At     map[string]diag.Span // where each keyword is stated
	Origin Origin
}

// Role is what a point is to the traffic.
type Role string

const (
	Gateway Role = "gateway" // forwards between networks
	Host    Role = "host"    // the machine a server runs on, or a plain machine
)

// Interface is a network interface of a point and what it faces.
type Interface struct {
	Name     string
	Internet bool       // the rest of the world is behind it
	Networks []*Network // the named networks behind it
	Origin   Origin
}

// Engine is a program or kernel part that enforces at a point.
type Engine struct {
	Kind   string // "nftables", "haproxy", "suricata", "prosody", "ejabberd", "openfire"
	Mode   string // suricata: "passive" or ""
	Device string // suricata: the interface it listens on
	Origin Origin
}

// Point is an enforcement point.
type Point struct {
	Name       string
	Hostname   string // matches the machine's host name for plan/apply; default Name
	Role       Role
	Server     *Server // role host of SERVER; nil otherwise
	Addresses  []netip.Addr
	Set        *AddrSet // Addresses as a set; for a host of a server also the server's; never nil, may be empty
	Interfaces []Interface
	Engines    []Engine
	// Exclusive: what no statement allows is denied, also where it is not XMPP.
	Exclusive bool
	// Observe is the last day on which the point only says what it would deny,
	// YYYY-MM-DD; "" where it denies.
	Observe   string
	ObserveAt diag.Span
	Origin    Origin
}

// Engine returns the point's engine of that kind, or nil.
func (p *Point) Engine(kind string) *Engine {
	for i := range p.Engines {
		if p.Engines[i].Kind == kind {
			return &p.Engines[i]
		}
	}
	return nil
}

// FlowKind is the construct a flow comes from.
type FlowKind string

const (
	Clients    FlowKind = "clients"
	Federation FlowKind = "federation"
	Component  FlowKind = "component"
	Web        FlowKind = "web"
	Serverless FlowKind = "serverless"
	Access     FlowKind = "access" // an allow or deny statement
	Media      FlowKind = "media"
	Admin      FlowKind = "admin"
	Cluster    FlowKind = "cluster"
	Egress     FlowKind = "egress"
)

// Endpoint is one side of a flow.
type Endpoint struct {
	// Label names it in messages: "any", "network lan", "server chat", "peer a.example".
	Label string
	Any   bool // every address; then Set is nil
	Set   *AddrSet
}

// Flow is one wanted or unwanted conversation, seen from who opens it.
type Flow struct {
	// ID is stable and unique: [a-z0-9-]+ from the names in the policy, such
	// as "clients-chat", "federation-chat-peer-a-example-out". At most 60 bytes.
	ID       string
	Kind     FlowKind
	Verdict  Verdict
	From, To Endpoint
	Ports    []PortSpan
	Server   *Server // the server that is served; nil for serverless and host access
	Outbound bool    // opened by the server (federation egress, connect-mode components, legs)
	Leg      bool    // it begins at the point where clients arrive, and carries them on to the server
	OnLink   bool    // serverless: on-link sources only
	// Multicast is set on serverless mDNS flows: destination group only, IP
	// time to live or hop limit 255 (RFC 6762 section 11).
	Multicast bool
	Limits    []*Limit // what packets show: connections, attempts
	Bounds    []*Limit // what a proxy or the server alone sees: bandwidth, stanzas, requests, …
	Terms     *Terms   // what the statement says about itself; nil where it says nothing
	TLS       string   // "required", "optional", "none", "direct": what the policy states about it
	Auth      string   // federation: "external", "dialback", "dialback-tls" or ""
	Component string   // name of the component
	Peer      string   // domain of the federation peer
	// DNSSEC is how far the answers that gave the peer's addresses can be
	// believed: "secure", "insecure" or "unknown", from xfwc.lock. "" where the
	// policy states the addresses, and where there is no peer.
	DNSSEC string
	Origin Origin
	// Block is the statement that the flow is a part of: for a peer the
	// federation. It equals Origin for flows that stand on their own.
	Block Origin
}

// LimitKind is what a limit counts.
type LimitKind string

const (
	Connections   LimitKind = "connections"   // at the same time
	Attempts      LimitKind = "attempts"      // new connections per time
	Outgoing      LimitKind = "outgoing"      // connections that the server opens to others, per time
	Bandwidth     LimitKind = "bandwidth"     // bytes per time
	StanzaSize    LimitKind = "stanza"        // bytes of one stanza
	Stanzas       LimitKind = "stanzas"       // stanzas per time
	Requests      LimitKind = "requests"      // HTTP requests per time
	Registrations LimitKind = "registrations" // new accounts per time (XEP-0077)
	Recipients    LimitKind = "recipients"    // distinct recipients per time
	Resources     LimitKind = "resources"     // sessions of one account at the same time
	Logins        LimitKind = "logins"        // failed authentications per time
	Negotiation   LimitKind = "negotiation"   // seconds until a stream is authenticated
)

// OnWire reports whether the first packets of conversations alone show what the
// limit counts: that is what a point judges.
func (k LimitKind) OnWire() bool { return k == Connections || k.New() }

// New reports whether the limit counts how often a conversation begins.
func (k LimitKind) New() bool { return k == Attempts || k == Outgoing }

// LimitKey is what a limit counts by.
type LimitKey string

const (
	PerSource  LimitKey = "source"  // IPv4 by address, IPv6 by /64
	PerPrefix  LimitKey = "prefix"  // by Prefix4 and Prefix6
	PerPeer    LimitKey = "peer"    // one count for all addresses of a federation peer
	PerAccount LimitKey = "account" // by bare JID
	PerStream  LimitKey = "stream"  // each stream by itself
	Global     LimitKey = "global"  // one count for everybody
)

// Limit is a bound on how many, how fast or how large; the excess is denied.
type Limit struct {
	// ID is unique: the statement, kind and key, such as
	// "clients-chat-connections-source"; at most 60 bytes of [a-z0-9-]. The
	// flows of one statement share its limits, and so the counts.
	ID         string
	Kind       LimitKind
	Key        LimitKey
	Count      uint32 // how many: connections, or attempts, stanzas, … per Unit; 0 where Bytes or Seconds says it
	Unit       string // of rates: "second", "minute", "hour", "day"
	Burst      uint32 // of rates: how many may come at once; 0 is the engine's default of 5
	Bytes      uint64 // StanzaSize: bytes; Bandwidth: bytes per Unit; BurstBytes is its burst
	BurstBytes uint64
	Seconds    uint64 // Negotiation
	// Before and After bound the limit to streams before or after authentication.
	Before, After    bool
	Prefix4, Prefix6 uint8 // of PerPrefix
	// Actions are what happens to the excess besides that it is denied: "alert",
	// or "block" for a time; "reject" in place of silence. Empty is a silent drop.
	Actions []Action
	Terms   *Terms
	Origin  Origin
}

// Visibility is what a device on the wire can read of a leg.
type Visibility string

const (
	Clear    Visibility = "clear"
	StartTLS Visibility = "starttls" // clear until <proceed/>, then nothing
	TLS      Visibility = "tls"
)

// Leg is the part of a flow between two neighbours.
type Leg struct {
	ID         string
	Flow       *Flow
	From, To   string   // names: "any", a component, a point, a server
	FromSet    *AddrSet // nil for any
	ToSet      *AddrSet
	Ports      []PortSpan
	Visibility Visibility
	Reason     string // why it is that visible, in one sentence
	Origin     Origin
}

// ContentRule is a match inside a flow, and what happens then.
type ContentRule struct {
	ID string // name from the policy
	// Any are the alternatives; every condition of one has to hold.
	Any [][]Condition
	// Text is set where the rule is one literal text and nothing else.
	Text    string
	On      []*Flow
	OnNames []string // as the policy says, one for each On
	// Anonymous are the statements among the subjects that have no flow of
	// their own.
	Anonymous []*AnonymousTerms
	Actions   []Action // "alert", "drop", "reject", "terminate", "block"
	// Observe is the last day on which the rule only says what it would do.
	Observe   string
	ObserveAt diag.Span
	Terms     *Terms
	Origin    Origin
}

// Does reports whether an action is among those of the rule.
func (c *ContentRule) Does(action string) bool {
	for _, a := range c.Actions {
		if a.Name == action {
			return true
		}
	}
	return false
}

// HTTPRoute is a path that is served for a server.
type HTTPRoute struct {
	Kind    string // "bosh", "websocket", "upload", "host-meta", "polling"
	Path    string
	Point   *Point // where TLS ends; nil when the server ends it
	Server  *Server
	Backend PortSpan // the server's HTTP port that the leg goes to
	Listen  PortSpan // the port that clients reach
	BodyMax uint64   // bytes of a request; 0 is unlimited
	// What the path says besides; zero where it says nothing.
	Frame       uint64   // bytes of a WebSocket message
	Size        uint64   // bytes of an uploaded file
	Wait        uint64   // seconds that a BOSH request may wait (XEP-0124 section 7.1)
	UsualWait   uint64   // the same as the server's software has it by default; 0 where that is unbounded or not known
	Idle        uint64   // seconds that a session may be silent
	Timeout     uint64   // seconds that the proxy waits for an answer
	Slot        uint64   // seconds that an upload slot is valid
	Requests    uint32   // BOSH requests at the same time
	Polling     string   // "on", "off"
	Route       string   // "on", "off": whether the BOSH attribute route is honoured
	Buffering   string   // "on", "off"
	Credentials string   // "on", "off": CORS with credentials
	Methods     []string // upper case
	Origins     []string // "https://chat.example.org", or "*"
	Hosts       []string
	Advertise   []string // host-meta: the URLs that it lists
	Limits      []*Limit
	At          map[string]diag.Span
	Origin      Origin
}

// Hook is where in a point's packet path a guard stands.
type Hook string

const (
	Input   Hook = "input"
	Output  Hook = "output"
	Forward Hook = "forward"
)

// Guard is everything one point decides on one hook about packets. A packet
// is judged in this order, and the first that decides wins:
//
//  1. Input and output only: the loopback interface and, for IPv6, neighbour
//     discovery (RFC 4861) are untouched.
//  2. Confine: entries that hold for every packet, also of established
//     conversations.
//  3. An established or related conversation is allowed.
//  4. The service whose key holds the packet: its Entries in order, then its
//     Rest. Keys by destination address come before keys by port alone, and
//     those before keys by source address.
//  5. Exclusive: deny. Otherwise: untouched.
type Guard struct {
	Point     *Point
	Hook      Hook
	Confine   []*Entry
	Services  []*ServiceGuard
	Exclusive bool
}

// ServiceGuard holds the entries for one key. Keys of the same kind (by
// destination or by source) are disjoint within a guard, so one lookup finds
// the service.
type ServiceGuard struct {
	// Name is unique in the guard: [a-z][a-z0-9_]*, at most 60 bytes.
	Name  string
	Ports []PortSpan // destination ports, sorted, disjoint; nil is every port (allowed only with Addrs)
	// Addrs bounds the key to these destination (or, with BySource, source)
	// addresses. nil is every address: the usual case on a host.
	Addrs    *AddrSet
	BySource bool
	Entries  []*Entry
	// Rest is what happens to a packet that no entry matches; its Match is
	// empty. Untouched, where only deny statements speak of the ports, goes on to
	// the next kind of key.
	Rest *Entry
}

// Match is what an entry asks of a packet, all of it. Empty fields ask nothing.
type Match struct {
	Iif, Oif []string // interface names, any of them
	Src, Dst *AddrSet // nil is every address
	SrcNot   bool     // the source must NOT be in Src
	DstNot   bool     // the destination must NOT be in Dst
	// SrcPorts is used by Confine only: the service answers from its port.
	SrcPorts []PortSpan
	DstPorts []PortSpan
	// HopLimit255 asks for an IPv4 TTL or IPv6 hop limit of 255: on-link.
	HopLimit255 bool
	// During asks for hours of the week.
	During *Window
	// Groups are the multicast destinations the packet must have, one each family.
	Groups []netip.Addr
}

// Anything reports whether the match asks nothing of a packet.
func (m Match) Anything() bool {
	return len(m.Iif) == 0 && len(m.Oif) == 0 && m.Src == nil && m.Dst == nil && m.SrcPorts == nil &&
		m.DstPorts == nil && m.During == nil && !m.HopLimit255 && len(m.Groups) == 0
}

// Entry is one decision.
type Entry struct {
	// ID names the rule of the policy that the entry comes from: [a-z0-9-]+, at
	// most 100 bytes. It names counters and log prefixes; the entries that one
	// rule leads to at a point share it.
	ID      string
	Match   Match
	Verdict Verdict
	Limits  []*Limit // on Allow: tried in order; the excess is denied
	Log     bool     // log what this entry denies, at a limited rate
	// Early asks an engine to look sources up before connection tracking:
	// deny sets. It changes cost, never the verdict.
	Early  bool
	Flow   *Flow // may be nil (bogons, rest)
	Origin Origin
}

// Exactness is how an engine's artefact relates to the intent.
type Exactness string

const (
	Exact Exactness = "exact"
	Over  Exactness = "over"  // admits more than the intent
	Under Exactness = "under" // blocks more than the intent
	None  Exactness = "none"
)

// LedgerEntry says how one engine at one point holds one intent, and why.
type LedgerEntry struct {
	Point  string
	Engine string
	Intent string // ir kind and name: "flow clients-chat", "limit …", "content …", "route …"
	Exact  Exactness
	Reason string
	Origin Origin
}

// Artefact is one file that an engine takes.
type Artefact struct {
	Point  string
	Engine string
	Path   string // below <point>/<engine>/, slash separated
	Bytes  []byte
}

// Emission is what a backend made for one point.
type Emission struct {
	Artefacts []Artefact
	// Ledger has an entry for every ir node that concerns the point: each flow,
	// limit, content rule and route. Nothing vanishes silently.
	Ledger   []LedgerEntry
	Findings []diag.Finding
}

// TestKind is what a test expects.
type TestKind string

const (
	ExpectAllow TestKind = "allow"
	ExpectDeny  TestKind = "deny"
	// ExpectOnly asks that From are allowed and that nobody else is.
	ExpectOnly TestKind = "only"
)

// Test is one expectation of the policy about packets.
type Test struct {
	Name   string // of the test block
	Kind   TestKind
	Proto  Proto
	From   Endpoint
	Except *AddrSet // sources that the expectation does not speak of; may be nil
	To     Endpoint // a server, a point or addresses
	ToSrv  *Server  // when To names a server
	ToPt   *Point   // when To names a point
	Ports  []PortSpan
	At     *Moment // the minute of the week that is asked for; nil asks for all of them
	Origin Origin
}

// Wants is what the test expects of packets from a source: Allow or Deny.
func (t *Test) Wants(src netip.Addr) Verdict {
	if t.Kind == ExpectDeny || t.Kind == ExpectOnly && !t.From.Set.Contains(src) {
		return Deny
	}
	return Allow
}

// Everybody reports whether the test speaks of sources that it does not name.
func (t *Test) Everybody() bool { return t.From.Any || t.Kind == ExpectOnly }
