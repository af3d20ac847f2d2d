package compiler

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Limits: what each statement can bound, by what, and how an amount is written.

// amountForm is how the amount of a kind of limit is written.
type amountForm int

const (
	aCount    amountForm = iota // 20
	aRate                       // 30/minute
	aSize                       // 64KiB
	aSizeRate                   // 10kB/second
	aDuration                   // 60s
)

// LimitRow says of one kind of limit what it bounds, where it can stand and by
// what it can count there.
type LimitRow struct {
	Kind ir.LimitKind
	form amountForm
	// Auth: the limit can be for streams before or after authentication alone.
	Auth bool
	// Keys by statement. Where there is one alone, it need not be stated.
	Keys map[string][]ir.LimitKey
	// Holds says who can hold it.
	Holds string
}

// Amount is an example of the amount.
func (r LimitRow) Amount() string {
	return map[amountForm]string{aCount: "20", aRate: "30/minute", aSize: "64KiB", aSizeRate: "10kB/second", aDuration: "60s"}[r.form]
}

// burst reports whether more may come at once than the rate says.
func (r LimitRow) burst() bool { return r.form == aRate || r.form == aSizeRate }

// LimitStatements are the statements that limits can stand in. "path" is a path
// of a web statement.
var LimitStatements = []string{"clients", "federation", "peer", "component", "web", "path", "anonymous", "media", "admin", "serverless"}

var (
	byAddress = []ir.LimitKey{ir.PerSource, ir.PerPrefix, ir.Global}
	byPeer    = []ir.LimitKey{ir.PerSource, ir.PerPrefix, ir.PerPeer, ir.Global}
	byStream  = []ir.LimitKey{ir.PerStream}
	byAccount = []ir.LimitKey{ir.PerAccount}
)

// LimitTable is what can be bounded where. What only a server can tell apart (a
// stream, an account, a domain) is a key all the same: the ledger says who holds
// it.
var LimitTable = []LimitRow{
	{Kind: ir.Connections, form: aCount, Holds: "packet filter, proxy", Keys: everywhere()},
	{Kind: ir.Attempts, form: aRate, Holds: "packet filter, proxy", Keys: everywhere()},
	{Kind: ir.Outgoing, form: aRate, Holds: "packet filter", Keys: map[string][]ir.LimitKey{
		"federation": {ir.PerPeer, ir.Global},
		"peer":       {ir.PerPeer},
	}},
	{Kind: ir.Bandwidth, form: aSizeRate, Auth: true, Holds: "proxy, server", Keys: map[string][]ir.LimitKey{
		"clients":    {ir.PerStream, ir.PerAccount, ir.PerSource, ir.PerPrefix, ir.Global},
		"federation": {ir.PerStream, ir.PerPeer, ir.PerSource, ir.PerPrefix, ir.Global},
		"peer":       {ir.PerStream, ir.PerPeer, ir.PerSource, ir.PerPrefix, ir.Global},
		"component":  {ir.PerStream, ir.Global},
		"web":        {ir.PerStream, ir.PerAccount, ir.PerSource, ir.PerPrefix, ir.Global},
		"path":       {ir.PerStream, ir.PerAccount, ir.PerSource, ir.PerPrefix, ir.Global},
		"anonymous":  {ir.PerStream, ir.PerSource, ir.PerPrefix, ir.Global},
		"media":      {ir.PerStream, ir.PerSource, ir.PerPrefix, ir.Global},
		"serverless": byAddress,
	}},
	{Kind: ir.StanzaSize, form: aSize, Auth: true, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients": byStream, "federation": byStream, "peer": byStream, "component": byStream, "web": byStream, "anonymous": byStream,
	}},
	{Kind: ir.Stanzas, form: aRate, Auth: true, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients":    {ir.PerStream, ir.PerAccount, ir.Global},
		"federation": {ir.PerStream, ir.PerPeer, ir.Global},
		"peer":       {ir.PerStream, ir.PerPeer, ir.Global},
		"component":  {ir.PerStream, ir.Global},
		"web":        {ir.PerStream, ir.PerAccount, ir.Global},
		"anonymous":  {ir.PerStream, ir.PerSource, ir.Global},
	}},
	{Kind: ir.Requests, form: aRate, Holds: "proxy, server", Keys: map[string][]ir.LimitKey{
		"web":  {ir.PerSource, ir.PerPrefix, ir.PerAccount, ir.Global},
		"path": {ir.PerSource, ir.PerPrefix, ir.PerAccount, ir.Global},
	}},
	{Kind: ir.Registrations, form: aRate, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients": byAddress,
	}},
	{Kind: ir.Recipients, form: aRate, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients":    {ir.PerAccount, ir.PerStream},
		"federation": {ir.PerPeer, ir.PerStream},
		"peer":       {ir.PerPeer, ir.PerStream},
		"component":  byStream,
		"anonymous":  {ir.PerStream, ir.PerSource},
	}},
	{Kind: ir.Resources, form: aCount, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients": byAccount,
	}},
	{Kind: ir.Logins, form: aRate, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients": {ir.PerSource, ir.PerPrefix, ir.PerAccount, ir.PerStream},
		"web":     {ir.PerSource, ir.PerPrefix, ir.PerAccount},
		"admin":   {ir.PerSource, ir.PerPrefix, ir.PerAccount},
	}},
	{Kind: ir.Negotiation, form: aDuration, Holds: "server", Keys: map[string][]ir.LimitKey{
		"clients": byStream, "federation": byStream, "peer": byStream, "component": byStream, "web": byStream, "anonymous": byStream,
	}},
}

// everywhere are the keys of what packets show.
func everywhere() map[string][]ir.LimitKey {
	keys := map[string][]ir.LimitKey{}
	for _, statement := range LimitStatements {
		if statement != "path" {
			keys[statement] = byAddress // connections are not of one path
		}
	}
	keys["federation"], keys["peer"] = byPeer, byPeer
	return keys
}

// limitWord is a limit as it was read. All flows of its statement share one
// count, because the statement is about who connects and not about which port
// is used; only what counts per peer is counted apart for each peer.
type limitWord struct {
	ir.Limit
	at     diag.Span
	of     string    // label of the statement
	shared *ir.Limit // made with the first flow that has it
}

// same reports whether both bound the same thing, counted in the same way.
func (lw *limitWord) same(l *ir.Limit) bool {
	return lw.Kind == l.Kind && lw.Key == l.Key && lw.Before == l.Before && lw.After == l.After &&
		lw.Prefix4 == l.Prefix4 && lw.Prefix6 == l.Prefix6
}

// units are the spellings of the units of a rate.
var units = map[string]string{
	"s": "second", "sec": "second", "second": "second",
	"min": "minute", "minute": "minute",
	"h": "hour", "hour": "hour",
	"d": "day", "day": "day",
}

// limits reads the limit lines of the statement with the origin o; what is its
// name in [LimitTable]. Packets cannot be counted there by the keys in hidden.
func (s *state) limits(o ir.Origin, what string, ls []*lang.Limit, hidden ...ir.LimitKey) []*limitWord {
	var out []*limitWord
	for _, l := range ls {
		lw, ok := s.limit(l, what, hidden)
		if !ok {
			continue
		}
		for _, old := range out {
			if old.same(&lw.Limit) {
				s.addRemedy("value-conflict", l.Span(), fmt.Sprintf("limit %s is stated twice", lw.words()), "", diag.Label{Span: old.at, Text: "first stated here"}).Fix = s.again(old.at, l)
				ok = false
			}
		}
		if ok {
			lw.of = o.Label
			lw.Terms = s.terms(lw.origin(), behind(l.Body))
			out = append(out, lw)
		}
	}
	return out
}

// words name the limit without its amount.
func (lw *limitWord) words() string {
	text := string(lw.Kind)
	switch {
	case lw.Before:
		text += " before auth"
	case lw.After:
		text += " after auth"
	}
	return text + " " + lw.KeyWords()
}

func (lw *limitWord) origin() ir.Origin {
	return origin(lw.at, fmt.Sprintf("limit %s of %s", lw.words(), lw.of))
}

func (s *state) limit(l *lang.Limit, what string, hidden []ir.LimitKey) (*limitWord, bool) {
	var kinds, here []string
	for _, r := range LimitTable {
		kinds = append(kinds, string(r.Kind))
		if r.Keys[what] != nil {
			here = append(here, string(r.Kind))
		}
	}
	kind := s.oneOf(l.Kind, "a limit", kinds...)
	if kind == "" {
		return nil, false
	}
	row := LimitTable[slices.Index(kinds, kind)]
	keys := row.Keys[what]
	if keys == nil {
		s.addRemedy("value-invalid", l.Kind.Span(), fmt.Sprintf("a limit on %s cannot stand in %s", kind, article(what)),
			"Here can be limited: "+strings.Join(here, ", ")+".")
		return nil, false
	}
	if row.Kind.OnWire() {
		keys = slices.DeleteFunc(slices.Clone(keys), func(k ir.LimitKey) bool { return slices.Contains(hidden, k) })
	}
	lw := &limitWord{at: l.Span()}
	lw.Kind = row.Kind
	ok := s.limitKey(lw, l, keys)
	ok = s.amount(lw, l, row) && ok
	switch {
	case l.Auth != "" && !row.Auth:
		s.addRemedy("value-invalid", l.Span(), fmt.Sprintf("%s are not counted %s authentication", kind, l.Auth), "Remove "+l.Auth+" auth.")
		ok = false
	case l.Auth == "before":
		lw.Before = true
	case l.Auth == "after", lw.Kind == ir.StanzaSize:
		lw.After = true
	}
	actions, good := s.actions(l.Then, "what a limit does", "drop", "reject", "alert", "block")
	for _, a := range l.Then {
		if a.Name.Text == "block" && lw.Kind == ir.Outgoing {
			s.addRemedy("value-invalid", a.Span(), "the source of outgoing connections is the server itself, which nobody wants to block", "Remove block source.")
			good = false
		}
	}
	// That the excess is denied goes without saying.
	lw.Actions = slices.DeleteFunc(actions, func(a ir.Action) bool { return a.Name == "drop" })
	if len(lw.Actions) == 0 {
		lw.Actions = nil
	}
	return lw, ok && good
}

func article(what string) string {
	switch what {
	case "clients", "media", "web", "federation", "serverless":
		return what
	case "path":
		return "the block of a path"
	case "anonymous", "admin":
		return "an " + what + " statement"
	}
	return "a " + what
}

// limitKey reads by what the limit counts.
func (s *state) limitKey(lw *limitWord, l *lang.Limit, keys []ir.LimitKey) bool {
	at := lang.Node(l)
	switch {
	case l.Prefix != nil:
		lw.Key, at = ir.PerPrefix, l.Prefix
	case l.Key != nil:
		lw.Key, at = ir.LimitKey(l.Key.Text), l.Key
		if lw.Key == ir.Global || lw.Key == ir.PerPrefix {
			lw.Key = "" // they are spelt in another way
		}
	case l.Global:
		lw.Key = ir.Global
	case len(keys) == 1:
		lw.Key = keys[0]
	default:
		s.addRemedy("value-missing", l.Span(), fmt.Sprintf("the limit on %s does not say by what it counts", lw.Kind), "Write "+keyForms(keys)+".")
		return false
	}
	if !slices.Contains(keys, lw.Key) {
		how := "global"
		if l.Prefix != nil {
			how = "per prefix"
		} else if l.Key != nil {
			how = "per " + quoted(l.Key.Text)
		}
		s.addRemedy("value-invalid", at.Span(), "this limit cannot be "+how, "Write "+keyForms(keys)+".")
		return false
	}
	if lw.Key != ir.PerPrefix {
		return true
	}
	a, b, _ := strings.Cut(l.Prefix.Text, "/")
	v4, err4 := strconv.ParseUint(a, 10, 8)
	v6, err6 := strconv.ParseUint(b, 10, 8)
	if err4 != nil || err6 != nil || v4 == 0 || v4 > 32 || v6 == 0 || v6 > 128 {
		s.addRemedy("value-invalid", l.Prefix.Span(), fmt.Sprintf("%s is no pair of prefix lengths", quoted(l.Prefix.Text)),
			"Write the length for IPv4, 1 to 32, and that for IPv6, 1 to 128: per prefix 24/56.")
		return false
	}
	lw.Prefix4, lw.Prefix6 = uint8(v4), uint8(v6)
	return true
}

// keyForms lists how keys are written.
func keyForms(keys []ir.LimitKey) string {
	var forms []string
	for _, k := range keys {
		switch k {
		case ir.Global:
			forms = append(forms, "global")
		case ir.PerPrefix:
			forms = append(forms, "per prefix 24/56")
		default:
			forms = append(forms, "per "+string(k))
		}
	}
	if n := len(forms) - 1; n > 0 {
		return strings.Join(forms[:n], ", ") + " or " + forms[n]
	}
	return forms[0]
}

// amount reads how much the limit lets pass, and its burst.
func (s *state) amount(lw *limitWord, l *lang.Limit, row LimitRow) bool {
	text, unit, rate := strings.Cut(l.Amount.Text, "/")
	timed := row.form == aRate || row.form == aSizeRate
	bad := ""
	switch {
	case timed && !rate:
		bad = fmt.Sprintf("%s are counted per time", lw.Kind)
		if lw.Kind == ir.Bandwidth {
			bad = "bandwidth is bytes per time"
		}
	case !timed && rate:
		bad = fmt.Sprintf("%s is counted without a unit of time", lw.Kind)
		if row.form == aCount {
			bad = fmt.Sprintf("%s are counted at one time, without a unit", lw.Kind)
		}
	case rate && units[unit] == "":
		bad = fmt.Sprintf("%s is no unit of time", quoted(unit))
	}
	if bad == "" {
		switch row.form {
		case aCount, aRate:
			lw.Count, bad = count(text)
		case aSize, aSizeRate:
			lw.Bytes, bad = parseSize(text)
		case aDuration:
			lw.Seconds, bad = parseDuration(text)
		}
	}
	if bad != "" {
		remedy := fmt.Sprintf("Write limit %s %s.", lw.Kind, row.Amount())
		if timed {
			remedy = strings.TrimSuffix(remedy, ".") + "; units of time are second, minute, hour and day."
		}
		s.addRemedy("value-invalid", l.Amount.Span(), bad, remedy)
		return false
	}
	lw.Unit = units[unit]
	if l.Burst != nil {
		if !row.burst() {
			s.addRemedy("value-invalid", l.Burst.Span(), fmt.Sprintf("a limit on %s has no burst", lw.Kind), "Remove burst.")
			return false
		}
		if row.form == aSizeRate {
			lw.BurstBytes, bad = parseSize(l.Burst.Text)
		} else {
			lw.Burst, bad = count(l.Burst.Text)
		}
		if bad != "" {
			s.addRemedy("value-invalid", l.Burst.Span(), fmt.Sprintf("%s is no burst", quoted(l.Burst.Text)), "Write how much may come at once.")
			return false
		}
	}
	return !lw.Kind.New() || s.countable(l, lw)
}

// count reads how many; otherwise it says what is wrong.
func count(text string) (n uint32, wrong string) {
	v, err := strconv.ParseUint(text, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Sprintf("%s is more than the %d that can be counted", quoted(text), uint32(math.MaxUint32))
	case err != nil:
		return 0, fmt.Sprintf("%s is no amount", quoted(text))
	case v == 0:
		return 0, "a limit of 0 would let nobody in"
	}
	return uint32(v), ""
}

// actions reads what happens then, in the order in which it stands.
func (s *state) actions(as []*lang.Action, what string, allowed ...string) ([]ir.Action, bool) {
	var out []ir.Action
	var at []diag.Span
	ok := true
	ends := []string{"drop", "reject", "terminate"} // one of them is the end of it
	for _, a := range as {
		name := s.oneOf(a.Name, what, allowed...)
		if name == "" {
			ok = false
			continue
		}
		act := ir.Action{Name: name}
		switch {
		case name == "block" && a.Source == nil:
			s.addRemedy("value-missing", a.Span(), "block does not say for how long", "Write block source 1h.")
			ok = false
			continue
		case name != "block" && a.Source != nil:
			s.addRemedy("value-invalid", a.Source.Span(), fmt.Sprintf("%s is not for a time", name), "Write "+name+", or block source 1h.")
			ok = false
			continue
		case name == "block":
			var good bool
			if act.For, good = s.duration(a.Source); !good {
				ok = false
				continue
			}
		}
		for i, old := range out {
			switch {
			case old.Name == name:
				s.add("value-conflict", a.Span(), fmt.Sprintf("action %s is stated twice", name), diag.Label{Span: at[i], Text: "first stated here"})
				ok = false
			case slices.Contains(ends, name) && slices.Contains(ends, old.Name):
				s.add("value-conflict", a.Span(), fmt.Sprintf("it cannot be %s and %s at once", old.Name, name), diag.Label{Span: at[i], Text: "stated here"})
				ok = false
			}
		}
		out, at = append(out, act), append(at, a.Span())
	}
	return out, ok
}

// countable reports a rate that no kernel counts. Linux keeps the attempts that
// are left as nanoseconds in 64 bits: the time from one to the next, times the
// burst (net/netfilter/nft_limit.c). It refuses a product of more than 64 bits
// with EOVERFLOW; the bound here is 63, as one that nearly fills them overflows
// while time is added. A time of 0 ns it takes, and then it bounds nothing.
func (s *state) countable(l *lang.Limit, lw *limitWord) bool {
	between := seconds(lw.Unit) * 1e9 / uint64(lw.Count)
	if between == 0 {
		s.addRemedy("value-invalid", l.Amount.Span(), fmt.Sprintf("%d/%s is more than one in a nanosecond, which no kernel counts", lw.Count, lw.Unit), "Write 1000000000/second or less, or leave the limit out.")
		return false
	}
	if most := math.MaxInt64 / between; uint64(lw.Burst) > most {
		s.addRemedy("value-invalid", l.Burst.Span(), fmt.Sprintf("a burst of %d at %d/%s is more than the kernel counts", lw.Burst, lw.Count, lw.Unit),
			fmt.Sprintf("Write a burst of at most %d, or a faster rate.", most))
		return false
	}
	return true
}

// bound gives a flow its limits: those of the narrower statement first, and of
// the wider one what the narrower says nothing of.
func (s *state) bound(f *ir.Flow, statements ...[]*limitWord) {
	for _, ls := range statements {
		for _, lw := range ls {
			to := &f.Limits
			if !lw.Kind.OnWire() {
				to = &f.Bounds
			}
			if !slices.ContainsFunc(*to, lw.same) {
				*to = append(*to, s.limitFor(f, lw))
			}
		}
	}
}

// towards leaves those limits that are about conversations in one direction:
// what the server opens, or what others do.
func towards(outgoing bool, ls []*limitWord) []*limitWord {
	return slices.DeleteFunc(slices.Clone(ls), func(lw *limitWord) bool { return (lw.Kind == ir.Outgoing) != outgoing })
}

// limitFor gives a flow its limit of a statement.
func (s *state) limitFor(f *ir.Flow, lw *limitWord) *ir.Limit {
	if lw.Key == ir.PerPeer {
		return s.newLimit(lw, f.ID)
	}
	return s.sharedLimit(lw)
}

// sharedLimit is the limit itself, as its statement says it.
func (s *state) sharedLimit(lw *limitWord) *ir.Limit {
	if lw.shared == nil {
		lw.shared = s.newLimit(lw, strings.ReplaceAll(lw.of, " of ", "-")) // "clients of chat" counts as clients-chat
	}
	return lw.shared
}

func (s *state) newLimit(lw *limitWord, of string) *ir.Limit {
	l := lw.Limit
	parts := []string{of, string(l.Kind)}
	switch {
	case l.Before:
		parts = append(parts, "before")
	case l.After:
		parts = append(parts, "after")
	}
	l.ID = s.id(append(parts, strings.ReplaceAll(strings.TrimPrefix(l.KeyWords(), "per "), " ", "-"))...)
	l.Origin = lw.origin()
	return &l
}

// stated are the limits of a statement, for who asks what it says. A limit per
// peer is there once, besides those that the flows of its peers have.
func (s *state) stated(ls []*limitWord) []*ir.Limit {
	var out []*ir.Limit
	for _, lw := range ls {
		out = append(out, s.sharedLimit(lw))
	}
	return out
}
