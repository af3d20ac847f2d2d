package compiler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// state is a compile on its way through the stages.
type state struct {
	in    Input
	p     *ir.Policy
	found []diag.Finding
	// broken is set when the statements alone have errors: then there is no
	// policy to place and check. It is decided once, before the first stage that
	// needs a whole policy (judged).
	judged, broken bool
	// hurt is set when more is broken than what only asks about the policy: its
	// tests, waivers and content rules change no packet.
	hurt   bool
	damage *damage

	decls []*lang.Decl      // of all files, in reading order
	names map[string]*named // what stands for addresses
	// others are the names of everything else, by kind: windows, patterns, lists
	// of domains and of words. Each kind is a name space of its own, because a
	// statement always says which kind it names.
	others map[string]map[string]*named
	sets   map[string]*ir.AddrSet // by name
	ids    map[string]bool        // of flows and limits
	// order is the statement that a flow comes from, as an index of decls: flows
	// are made kind by kind and put back into policy order.
	order map[*ir.Flow]int
	at    int // index of the statement at hand

	served map[servedBy]diag.Span     // statements that a server has once
	direct map[*ir.Flow][]ir.PortSpan // ports of a flow where TLS comes first
	// carried are flows that end at a point, from where a leg carries on to the server.
	carried map[*ir.Flow]bool
	webs    map[*lang.WebDecl]*webListener
	comps   map[string][]*componentPort // by component name
}

// named is what a name means. Networks, zones, servers and points share one name
// space, because addresses may be given by any of them.
type named struct {
	kind string // "network", "zone", "server", "point"; "window", "pattern", "domains", "words", "content"
	word *lang.Word
	used bool

	decl   *lang.NetworkDecl // networks: until it is resolved
	state  int               // networks: 0 new, 1 being resolved, 2 done
	net    *ir.Network
	server *ir.Server
	point  *ir.Point
	zone   *ir.Zone

	window  *ir.Window
	pattern *ir.Pattern
	domains *ir.DomainList
	words   *ir.WordList
	content *ir.ContentRule
}

// set is the addresses of what is named; never nil after its stage.
func (n *named) set() *ir.AddrSet {
	switch {
	case n.net != nil:
		return n.net.Set
	case n.server != nil:
		return n.server.Set
	case n.point != nil:
		return n.point.Set
	case n.zone != nil:
		return n.zone.Set
	}
	return nil
}

func newState(in Input) *state {
	s := &state{
		in: in, p: &ir.Policy{Profile: "baseline"},
		names: map[string]*named{}, others: map[string]map[string]*named{}, sets: map[string]*ir.AddrSet{}, ids: map[string]bool{},
		order: map[*ir.Flow]int{}, direct: map[*ir.Flow][]ir.PortSpan{}, carried: map[*ir.Flow]bool{},
		served: map[servedBy]diag.Span{}, webs: map[*lang.WebDecl]*webListener{},
		comps: map[string][]*componentPort{},
	}
	s.damage = readDamage(in.Files, in.Problems)
	for _, f := range in.Files {
		if f != nil {
			s.decls = append(s.decls, f.Decls...)
		}
	}
	return s
}

// add reports a finding with the severity and remedy of its code.
func (s *state) add(code string, at diag.Span, summary string, labels ...diag.Label) {
	s.addRemedy(code, at, summary, "", labels...)
}

// addRemedy reports a finding with a remedy of its own. What it returns is to be
// completed at once: it moves with the next finding.
func (s *state) addRemedy(code string, at diag.Span, summary, remedy string, labels ...diag.Label) *diag.Finding {
	f := diag.New(code, at, summary)
	if remedy != "" {
		f.Remedy = remedy
	}
	for _, l := range labels {
		if l.Span.IsValid() {
			f.Labels = append(f.Labels, l)
		}
	}
	s.found = append(s.found, f)
	return &s.found[len(s.found)-1]
}

// each calls f for every statement of one kind, in reading order.
func each[T any](s *state, pick func(*lang.Decl) *T, f func(*T)) {
	for i, d := range s.decls {
		if d == nil {
			continue
		}
		if t := pick(d); t != nil {
			s.at = i
			f(t)
		}
	}
}

// once reports a line of a block that may stand there only once.
type once map[string]diag.Span

func (o once) seen(s *state, what string, at lang.Node) bool {
	if first, ok := o[what]; ok {
		s.addRemedy("value-conflict", at.Span(), fmt.Sprintf("%s is stated twice", what), "", diag.Label{Span: first, Text: "first stated here"}).Fix = s.again(first, at)
		return true
	}
	o[what] = at.Span()
	return false
}

// note records where a line of a block stands first, if it may stand there again.
func (o once) note(what string, at lang.Node) {
	if _, ok := o[what]; !ok {
		o[what] = at.Span()
	}
}

func (s *state) resolvePolicy() {
	var first *lang.PolicyDecl
	each(s, func(d *lang.Decl) *lang.PolicyDecl { return d.Policy }, func(d *lang.PolicyDecl) {
		if first != nil {
			s.add("name-duplicate", d.Name.Span(), "the policy is named twice", diag.Label{Span: first.Name.Span(), Text: "first named here"})
			return
		}
		first = d
		s.p.Name = d.Name.Value()
		s.p.Origin = origin(until(d, d.Name), "policy "+d.Name.Value())
		if strings.TrimSpace(s.p.Name) == "" || len(s.p.Name) > 100 {
			s.addRemedy("value-invalid", d.Name.Span(), "the name of the policy has to have 1 to 100 characters", "Name the policy, for instance after the domain it is for.")
		}
		seen := once{}
		for _, i := range d.Body.Items {
			switch {
			case i.Owner != nil:
				if !seen.seen(s, "owner", i) {
					s.p.Owner = i.Owner.Value()
				}
			case i.Profile != nil:
				if !seen.seen(s, "profile", i) {
					s.p.Profile = s.oneOf(i.Profile, "profile", "baseline", "strict")
				}
			case i.Ticket != nil:
				if !seen.seen(s, "ticket", i) {
					s.p.Ticket = s.metaText("ticket", i.Ticket)
				}
			case i.Comply != nil:
				for _, w := range i.Comply {
					if slices.Contains(s.p.Comply, w.Text) {
						s.add("value-conflict", w.Span(), fmt.Sprintf("%s is stated twice", w.Text))
						continue
					}
					s.p.Comply = append(s.p.Comply, w.Text)
				}
			}
		}
	})
	if first == nil && len(s.in.Files) > 0 && s.in.Files[0] != nil {
		start := diag.Pos{Filename: s.in.Files[0].Name, Line: 1, Column: 1}
		s.addRemedy("value-missing", diag.Span{Start: start, End: start}, "the policy has no name", `Start the file with policy "example.org" { … }.`)
	}
	s.p.Profile = cmp.Or(s.in.Profile, s.p.Profile, "baseline")
}

// oneOf reads a word that has to be one of a few; otherwise it reports it and
// returns "".
func (s *state) oneOf(w *lang.Word, what string, words ...string) string {
	if slices.Contains(words, w.Text) {
		return w.Text
	}
	s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s cannot be %s", what, quoted(w.Text)), suggest(w.Text, words)+"Write one of: "+strings.Join(words, ", ")+".").Fix =
		respell(w, diag.Meant(w.Text, words))
	return ""
}

// reserved words cannot be names: they mean something wherever a name can stand.
var reserved = []string{"any", "internet", "network", "feed"}

// mostName is how long a name may be.
const mostName = 24

// BadName says why a text cannot be a name of a policy, as in "is a word of the
// language"; "" where it can.
func BadName(text string) string {
	switch {
	case slices.Contains(reserved, text):
		return "is a word of the language"
	case len(text) > mostName:
		return fmt.Sprintf("is longer than %d characters", mostName)
	case text == "" || text[0] < 'a' || text[0] > 'z':
		return "does not start with a lower-case letter"
	case strings.ContainsFunc(text, func(c rune) bool { return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') }):
		return "holds something other than lower-case letters, digits and -"
	}
	return ""
}

// validName reports whether the word can be a name, and says so if not.
func (s *state) validName(w *lang.Word, what string) bool {
	bad := BadName(w.Text)
	if bad == "" {
		return true
	}
	s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("the name %s of a %s %s", quoted(w.Text), what, bad),
		fmt.Sprintf("Names are made of lower-case letters, digits and -, start with a letter and have at most %d characters.", mostName))
	return false
}

// addressKinds are the kinds of names that stand for addresses.
var addressKinds = []string{"network", "zone", "server", "point"}

// space is the name space of a kind.
func (s *state) space(kind string) map[string]*named {
	if slices.Contains(addressKinds, kind) {
		return s.names
	}
	if s.others[kind] == nil {
		s.others[kind] = map[string]*named{}
	}
	return s.others[kind]
}

// declareNames fills the name spaces, so that statements may refer to names that
// come later or in another file.
func (s *state) declareNames() {
	declare := func(kind string, w *lang.Word, d *lang.NetworkDecl) {
		s.validName(w, kindWords(kind))
		if old, ok := s.space(kind)[w.Text]; ok {
			s.add("name-duplicate", w.Span(), fmt.Sprintf("%s %s has the name of a %s that is already there", kindWords(kind), w.Text, kindWords(old.kind)),
				diag.Label{Span: old.word.Span(), Text: "first stated here"})
			return
		}
		s.space(kind)[w.Text] = &named{kind: kind, word: w, decl: d}
	}
	for _, d := range s.decls {
		switch {
		case d == nil:
		case d.Network != nil:
			declare("network", d.Network.Name, d.Network)
		case d.Zone != nil:
			declare("zone", d.Zone.Name, nil)
		case d.Server != nil:
			declare("server", d.Server.Name, nil)
		case d.Point != nil:
			declare("point", d.Point.Name, nil)
		case d.Domains != nil:
			declare("domains", d.Domains.Name, nil)
		case d.Words != nil:
			declare("words", d.Words.Name, nil)
		case d.Pattern != nil:
			declare("pattern", d.Pattern.Name, nil)
		case d.Window != nil:
			declare("window", d.Window.Name, nil)
		case d.Content != nil:
			declare("content", d.Content.Name, nil)
		}
	}
}

// declared finds what the statement that declares the word w made of it; nil for
// the second statement of a name, which has been reported.
func (s *state) declared(kind string, w *lang.Word) *named {
	if n := s.space(kind)[w.Text]; n != nil && n.word == w {
		return n
	}
	return nil
}

// kindWords names a kind in a sentence: a network, a list of domains.
func kindWords(kind string) string {
	switch kind {
	case "domains", "words":
		return "list of " + kind
	case "content":
		return "content rule"
	}
	return kind
}

// lookup finds a name of one of the kinds, which share a name space; otherwise
// it reports it.
func (s *state) lookup(w *lang.Word, kinds ...string) *named {
	n, ok := s.space(kinds[0])[w.Text]
	if ok && slices.Contains(kinds, n.kind) {
		n.used = true
		return n
	}
	var words []string
	for _, k := range kinds {
		words = append(words, kindWords(k))
	}
	wanted := strings.Join(words, " or ")
	near := suggest(w.Text, s.namesOf(kinds...))
	for _, kind := range []string{"network", "domains", "words", "pattern", "window", "content"} {
		if !ok && near == "" {
			n, ok = s.space(kind)[w.Text]
		}
	}
	if ok {
		n.used = true // it is meant, in the wrong place
		s.addRemedy("name-unknown", w.Span(), fmt.Sprintf("%s is a %s, and a %s is needed here", w.Text, kindWords(n.kind), wanted), "Name a "+wanted+".",
			diag.Label{Span: n.word.Span(), Text: "stated here"})
		return nil
	}
	s.addRemedy("name-unknown", w.Span(), fmt.Sprintf("no %s is named %s", wanted, quoted(w.Text)), near+"Define the name, or correct its spelling.").Fix =
		respell(w, diag.MeantName(w.Text, s.namesOf(kinds...)))
	return nil
}

func (s *state) namesOf(kinds ...string) []string {
	var out []string
	for name, n := range s.space(kinds[0]) {
		if slices.Contains(kinds, n.kind) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// server finds the server that a statement is about; nil when it is unknown.
func (s *state) server(w *lang.Word) *ir.Server {
	if n := s.lookup(w, "server"); n != nil {
		return n.server
	}
	return nil
}

// servedBy is a statement that a server can have once.
type servedBy struct{ what, server string }

// firstFor reports a second statement of a kind about the same server.
func (s *state) firstFor(what string, w *lang.Word) bool {
	k := servedBy{what, w.Text}
	if old, ok := s.served[k]; ok {
		s.addRemedy("name-duplicate", w.Span(), fmt.Sprintf("%s of %s is stated twice", what, w.Text), "Put both into one statement.",
			diag.Label{Span: old, Text: "first stated here"})
		return false
	}
	s.served[k] = w.Span()
	return true
}

func (s *state) reportUnused() {
	for _, kind := range []string{"network", "zone", "server", "domains", "words", "pattern", "window"} {
		for _, name := range s.namesOf(kind) {
			if n := s.space(kind)[name]; !n.used {
				s.add("name-unused", n.word.Span(), fmt.Sprintf("%s %s is used nowhere", kind, name))
			}
		}
	}
}

// origin makes an Origin; the label is kept to the letters that comments and
// log prefixes may hold.
func origin(at diag.Span, label string) ir.Origin {
	b := []byte(label)
	for i, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(" ._:/,-", c) >= 0) {
			b[i] = '_'
		}
	}
	if len(b) > 100 {
		b = append(b[:97], "..."...)
	}
	return ir.Origin{Span: at, Label: string(b)}
}

// until is the text from the start of one node to the end of another: the
// statement without its block.
func until(from, to lang.Node) diag.Span {
	return diag.Span{Start: from.Span().Start, End: to.Span().End}
}

// id makes a unique identifier from words: [a-z0-9-]+, at most 60 bytes. What is
// longer ends in a digest of the whole, so that it stays distinct and stable.
func (s *state) id(parts ...string) string {
	whole := strings.Join(parts, "-")
	id := cutTo(60, lowerWords(whole, '-'), '-', whole)
	for n, base := 2, id; s.ids[id]; n++ {
		id = cutTo(60-4, base, '-', whole) + "-" + strconv.Itoa(n)
	}
	s.ids[id] = true
	return id
}

// lowerWords replaces everything but lower-case letters and digits by sep, with
// no two of them together.
func lowerWords(text string, sep byte) string {
	var b []byte
	for _, c := range []byte(strings.ToLower(text)) {
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			b = append(b, c)
		case len(b) > 0 && b[len(b)-1] != sep:
			b = append(b, sep)
		}
	}
	return strings.TrimRight(string(b), string(sep))
}

// cutTo shortens an identifier to at most n bytes: its head, sep and eight
// digits of the digest of whole.
func cutTo(n int, id string, sep byte, whole string) string {
	if len(id) <= n {
		return id
	}
	sum := sha256.Sum256([]byte(whole))
	return strings.TrimRight(id[:n-9], string(sep)) + string(sep) + hex.EncodeToString(sum[:4])
}

// addrSet makes a named set of addresses, members being the sets that it takes
// some of them from. Asking again for the same name with the same addresses
// gives the same set, with other addresses another name.
func (s *state) addrSet(name string, o ir.Origin, ps []netip.Prefix, members ...*ir.AddrSet) *ir.AddrSet {
	hasFeed := slices.ContainsFunc(members, func(m *ir.AddrSet) bool { return m != nil && m.HasFeed })
	merged := ir.MergePrefixes(ps)
	whole := name
	name = cutTo(56, lowerWords(name, '_'), '_', whole)
	for n, base := 2, name; ; n++ {
		old, taken := s.sets[name]
		if !taken {
			break
		}
		if slices.Equal(old.Prefixes, merged) {
			old.HasFeed = old.HasFeed || hasFeed
			return old
		}
		name = base + "_" + strconv.Itoa(n)
	}
	set := &ir.AddrSet{Name: name, Prefixes: merged, HasFeed: hasFeed, Origin: o}
	s.sets[name] = set
	return set
}

// suggest begins a remedy with the word that was probably meant.
func suggest(typed string, words []string) string {
	if near := nearestWord(typed, words); near != "" {
		return "Did you mean " + near + "? "
	}
	return ""
}

// nearestWord finds the one of words that is typed with the fewest slips, if
// they are few for its length.
func nearestWord(typed string, words []string) string {
	best, found := "", 0
	for _, w := range words {
		d := slips(strings.ToLower(typed), w)
		if d <= max(1, len(w)/3) && (best == "" || d < found) {
			best, found = w, d
		}
	}
	return best
}

// slips is diag.Slips for words of a length that somebody types.
func slips(a, b string) int {
	if max(len(a), len(b)) > 64 {
		return 64
	}
	return diag.Slips(a, b)
}

// sortPorts orders ports and joins what is stated twice.
func sortPorts(ps []ir.PortSpan) []ir.PortSpan {
	slices.SortFunc(ps, func(a, b ir.PortSpan) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return slices.Compact(ps)
}

func tcpPort(port uint16) ir.PortSpan { return ir.PortSpan{Proto: ir.TCP, From: port, To: port} }
