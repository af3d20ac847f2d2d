package ir

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"xfwc/lang/diag"
)

// What statements say beyond the packets that they allow or deny: names for
// things inside a stream, settings that a server has to have, and who answers
// for a line of the policy.

// Terms are what a statement says about itself.
type Terms struct {
	Owner, Ticket string
	// Expires is the last day that the statement is for, YYYY-MM-DD, or "".
	// An expired statement is a finding, never a silent change of what is emitted.
	Expires string
	// During bounds the statement to hours of the week; nil is always.
	During *Window
	// Spans of the lines, for findings; zero where a line is not stated.
	ExpiresAt, DuringAt diag.Span
}

// Statement is a statement of the policy with what it says about itself.
type Statement struct {
	Origin Origin
	Terms  Terms
}

// Window is hours of the week, in UTC: a kernel and a proxy know no time zone
// that two of them would agree on.
type Window struct {
	Name   string
	Spans  []WindowSpan
	Origin Origin
}

// WindowSpan is days and the minutes of each, from From up to, and without, To.
type WindowSpan struct {
	Days     [7]bool // Monday first
	From, To uint16  // minutes after midnight, 0 <= From < To <= 1440
}

// String writes the span as a policy does: mon,wed 08:00-18:00.
func (s WindowSpan) String() string {
	var days []string
	for i, on := range s.Days {
		if on {
			days = append(days, Weekdays[i])
		}
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", strings.Join(days, ","), s.From/60, s.From%60, s.To/60, s.To%60)
}

// Meets reports whether two spans share a minute.
func (s WindowSpan) Meets(o WindowSpan) bool {
	for d := range s.Days {
		if s.Days[d] && o.Days[d] {
			return s.From < o.To && o.From < s.To
		}
	}
	return false
}

// Moment is a minute of the week in UTC.
type Moment struct {
	Day    int    // 0 is Monday
	Minute uint16 // after midnight
}

// Else is the hours of the week that the window leaves out.
func (w *Window) Else() *Window {
	out := &Window{Name: w.Name, Origin: w.Origin}
	for d := range Weekdays {
		var spans []WindowSpan
		for _, s := range w.Spans {
			if s.Days[d] {
				spans = append(spans, s)
			}
		}
		slices.SortFunc(spans, func(a, b WindowSpan) int { return cmp.Compare(a.From, b.From) })
		rest := WindowSpan{}
		rest.Days[d] = true
		for _, s := range append(spans, WindowSpan{From: 1440}) {
			if rest.To = s.From; rest.From < rest.To {
				out.Spans = append(out.Spans, rest)
			}
			rest.From = max(rest.From, s.To)
		}
	}
	return out
}

// MomentOf is the minute of the week, in UTC, that a time lies in.
func MomentOf(t time.Time) Moment {
	t = t.UTC()
	return Moment{Day: (int(t.Weekday()) + 6) % 7, Minute: uint16(t.Hour()*60 + t.Minute())}
}

// ParseMoment reads a day and a time, such as "mon" and "09:00".
func ParseMoment(day, clock string) (Moment, bool) {
	d := slices.Index(Weekdays[:], day)
	t, err := time.Parse("15:04", clock)
	return Moment{Day: d, Minute: uint16(t.Hour()*60 + t.Minute())}, d >= 0 && err == nil && len(clock) == len("15:04")
}

// Weekdays are the days of the week as windows and tests write them.
var Weekdays = [7]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// String is the moment as [ParseMoment] reads it: "mon 09:00".
func (m Moment) String() string {
	return fmt.Sprintf("%s %02d:%02d", Weekdays[m.Day], m.Minute/60, m.Minute%60)
}

// Moments are the minutes at which a policy can begin to judge otherwise, in
// order, the first of the week among them. Between two of them nothing changes.
func (p *Policy) Moments() []Moment {
	ms := []Moment{{}}
	for _, w := range p.Windows {
		for _, s := range w.Spans {
			for d, on := range s.Days {
				if on {
					ms = append(ms, Moment{d, s.From}, Moment{(d + int(s.To/1440)) % 7, s.To % 1440})
				}
			}
		}
	}
	slices.SortFunc(ms, func(a, b Moment) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Minute, b.Minute)) })
	return slices.Compact(ms)
}

// Holds reports whether m lies in the window; a nil window always holds.
func (w *Window) Holds(m Moment) bool {
	if w == nil {
		return true
	}
	for _, s := range w.Spans {
		if s.Days[m.Day] && s.From <= m.Minute && m.Minute < s.To {
			return true
		}
	}
	return false
}

// Meets reports whether there is a minute at which both windows hold.
func (w *Window) Meets(o *Window) bool {
	if w == nil || o == nil {
		return true
	}
	for _, a := range w.Spans {
		for _, b := range o.Spans {
			if a.Meets(b) {
				return true
			}
		}
	}
	return false
}

// Zone is what is behind interfaces. Its addresses are the networks that the
// interfaces face; a point lets them in by their own interface alone, so the set
// and the interfaces are the same packets.
type Zone struct {
	Name       string
	Set        *AddrSet
	Interfaces []ZoneInterface
	Origin     Origin
}

// ZoneInterface is an interface of a point.
type ZoneInterface struct {
	Point *Point
	Name  string
}

// FeedTerms are what a policy demands of a feed.
type FeedTerms struct {
	Path      string // as the policy states it; "" without a feed
	Digest    string // "sha256:…" over the sorted entries that it lists, with their dates
	Entries   int    // that it lists, each once; addresses as merged prefixes
	MaxAge    uint64 // seconds; 0 is unlimited
	MaxChange uint8  // percent of the entries that may change at once; 0 is unlimited
	Dated     bool   // some entries have a last day of their own
	// Sketch is a small likeness of the entries, by which a later list can be
	// compared with this one; only where MaxChange is stated.
	Sketch []uint64
	// Expired are the entries that are left out because their own date lies
	// before the day that xfwc.lock records for the feed.
	Expired int
	Span    diag.Span // of the feed clause
}

// DomainList is named XMPP domains, lower case, sorted. An entry means the
// domain itself and every domain below it; engines that match otherwise are
// given both forms, or the ledger says what they miss.
type DomainList struct {
	Name    string
	Domains []string
	Feed    FeedTerms
	Origin  Origin
}

// Covers reports whether the domain, in lower case, or one above it is listed.
func (l *DomainList) Covers(domain string) (entry string, ok bool) {
	for {
		if _, ok := slices.BinarySearch(l.Domains, domain); ok {
			return domain, true
		}
		_, above, more := strings.Cut(domain, ".")
		if !more {
			return "", false
		}
		domain = above
	}
}

// WordList is named literal texts, found in any ASCII case.
type WordList struct {
	Name   string
	Words  []string // sorted, ASCII letters in lower case
	Feed   FeedTerms
	Origin Origin
}

// ClientTerms is what a clients statement says.
type ClientTerms struct {
	Server   *Server
	StartTLS string // "required", "optional", "off"
	// Direct is set where direct TLS is allowed (XEP-0368); DirectPort is its port.
	Direct     bool
	DirectPort uint16
	ALPN       *Point // a router there shares the port with the web by ALPN; nil otherwise
	Unknown    string // where the router sends who states no ALPN: "web", "clients", "close", or ""
	Offload    *Point // TLS ends there; nil where the server ends it
	SASL       []string
	// TLS is the oldest version allowed, "1.2"; "" where nothing is stated. So
	// with the settings below.
	TLS          string
	Compression  string // "on", "off"
	Registration string // "closed", "invite", "open"
	Lockout      string // "source", "account", "none"
	Idle         uint64 // seconds without traffic before a middlebox may forget a stream; 0 unstated
	QUIC         uint16 // the UDP port of XEP-0467; 0 is none
	Limits       []*Limit
	Flows        []*Flow
	At           map[string]diag.Span // where each keyword is stated
	Origin       Origin
}

// FederationTerms is what a federation statement says.
type FederationTerms struct {
	Server   *Server
	Default  Verdict
	TLS      string   // "required", "optional", "none"
	Auth     string   // "external", "dialback", "dialback-tls", ""
	Bidi     string   // "on", "off", "" (XEP-0288)
	Identity []string // proofs of RFC 7712: "pkix", "dane", "posh"
	// Domains are the server's own domains that federate; empty is all of them.
	Domains []string
	Rules   []*DomainRule
	Peers   []*PeerTerms
	Limits  []*Limit
	Flows   []*Flow
	At      map[string]diag.Span
	Origin  Origin
}

// PeerTerms is one federation peer, with what it inherits filled in.
type PeerTerms struct {
	Domain      string
	More        []string // further domains that the same peer serves
	TLS, Auth   string
	Direction   string // "in", "out", "both"
	Bidi        string
	Identity    []string
	Certificate string // "valid", "self-signed", "" (unstated)
	Stated      bool   // the policy states its addresses
	Limits      []*Limit
	Flows       []*Flow
	At          map[string]diag.Span
	Origin      Origin
}

// DomainRule allows or denies domains in federation. Only a server knows the
// domain of a stream for certain: TLS hides it from everything else.
type DomainRule struct {
	ID         string
	Federation *FederationTerms
	Verdict    Verdict
	Lists      []*DomainList
	Origin     Origin
}

// ComponentTerms is what a component statement says.
type ComponentTerms struct {
	Name    string
	Server  *Server
	Domains []string
	Mode    string // "accept", "connect"
	Tunnel  string
	Limits  []*Limit
	Flows   []*Flow
	At      map[string]diag.Span
	Origin  Origin
}

// WebTerms is what a web statement says; its paths are the policy's Routes.
type WebTerms struct {
	Server *Server
	TLS    string // "terminate", "required", "none"
	Point  *Point // where TLS ends; nil otherwise
	Hosts  []string
	Routes []*HTTPRoute
	Limits []*Limit
	Flows  []*Flow
	At     map[string]diag.Span
	Origin Origin
}

// AnonymousTerms is who may use a server without an account (XEP-0175). It shares
// the ports of clients: only the server can tell the two apart.
type AnonymousTerms struct {
	Server     *Server
	Domains    []string
	From       Endpoint
	Federation Verdict // Deny unless stated
	Storage    string  // "cleared", "kept", "" unstated
	Limits     []*Limit
	At         map[string]diag.Span
	Origin     Origin
}

// Concerns reports whether the conversations of anonymous users are the point's
// business: they end there, or it stands between networks.
func (a *AnonymousTerms) Concerns(pt *Point) bool {
	return pt.Role == Gateway || pt.Server == a.Server
}

// Unseen says why no device on the wire tells anonymous users apart.
func (a *AnonymousTerms) Unseen() string {
	return "anonymous users share the ports of clients (XEP-0175): only the server tells them apart"
}

// MediaTerms is file transfer and calls (XEP-0065, XEP-0215).
type MediaTerms struct {
	Server        *Server
	Proxy65, STUN bool
	Proxy65Port   uint16
	STUNPort      uint16
	RelayFrom     uint16 // 0 is no relay
	RelayTo       uint16
	Auth          string // "required", "none", ""
	PrivatePeers  string // "allow", "deny", ""
	From          Endpoint
	Limits        []*Limit
	Flows         []*Flow
	At            map[string]diag.Span
	Origin        Origin
}

// AdminTerms is who may administer a server over the network.
type AdminTerms struct {
	Server *Server
	TLS    string // "required", "none", ""
	From   Endpoint
	Limits []*Limit
	Flows  []*Flow
	At     map[string]diag.Span
	Origin Origin
}

// ClusterTerms is what the nodes of one server say to each other.
type ClusterTerms struct {
	Server *Server
	With   Endpoint
	Flows  []*Flow
	At     map[string]diag.Span
	Origin Origin
}

// EgressTerms is what a server may call besides federation.
type EgressTerms struct {
	Server  *Server
	Default Verdict // Allow leaves what is not named untouched
	Flows   []*Flow
	At      map[string]diag.Span
	Origin  Origin
}

// Action is what happens to an excess, or to what a content rule finds.
type Action struct {
	Name string // "drop", "reject", "alert", "terminate", "block"
	For  uint64 // seconds, of block
}

// Condition is one thing that a content rule asks of a stanza.
type Condition struct {
	// What is looked at: "text" (anything readable), "body", "url" (the hosts of
	// URLs in it), "namespace", "stanza" (message, presence or iq), "sasl" (the
	// mechanism), "sender" or "recipient" (their domains).
	What string
	// One of these is set.
	Text    string
	Words   *WordList
	Domains *DomainList
	Pattern *Pattern
	Origin  Origin
}

// String writes the condition as a policy does.
func (c Condition) String() string {
	switch {
	case c.Words != nil:
		return c.What + " in words " + c.Words.Name
	case c.Domains != nil:
		return c.What + " in domains " + c.Domains.Name
	case c.Pattern != nil && c.Pattern.Name != "":
		return c.What + " ~ " + c.Pattern.Name
	case c.Pattern != nil:
		return fmt.Sprintf("%s ~ %q", c.What, c.Pattern.Source)
	case c.What == "text" || c.What == "body" || c.What == "namespace":
		return fmt.Sprintf("%s %q", c.What, c.Text)
	}
	return c.What + " " + c.Text
}

// ActionNames gives the words of actions.
func ActionNames(as []Action) []string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = a.Name
	}
	return out
}

// ContentCase is an expectation of the policy about a content rule.
type ContentCase struct {
	Name   string // of the test block
	Rule   *ContentRule
	Catch  bool // false: it has to pass
	Text   string
	Origin Origin
}
