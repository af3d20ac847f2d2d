package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Names that stand for what is inside streams or behind interfaces: domains,
// words, patterns and zones; and the feeds that networks and lists come from.

func (s *state) resolvePatterns() {
	each(s, func(d *lang.Decl) *lang.PatternDecl { return d.Pattern }, func(d *lang.PatternDecl) {
		n := s.declared("pattern", d.Name)
		if n == nil {
			return
		}
		o := origin(until(d, d.Name), "pattern "+d.Name.Text)
		s.terms(o, behind(d.Body))
		if n.pattern = s.pattern(d.Text, o); n.pattern != nil {
			n.pattern.Name = d.Name.Text
			s.p.Patterns = append(s.p.Patterns, n.pattern)
		}
	})
}

// pattern reads a pattern; nil when it is none, which is reported.
func (s *state) pattern(t *lang.Str, o ir.Origin) *ir.Pattern {
	p, wrong := ir.ParsePattern(t.Value())
	if wrong != nil {
		s.addRemedy("value-invalid", t.Within(wrong.Offset, wrong.End), wrong.Text, wrong.Remedy)
		return nil
	}
	p.Origin = o
	if p.Everything() {
		s.addRemedy("value-invalid", t.Span(), fmt.Sprintf("the pattern %s is found in every text", quoted(p.Source)), "Write + where at least one is meant, or add what has to be there in any event.")
		return nil
	}
	return p
}

func (s *state) resolveDomains() {
	each(s, func(d *lang.Decl) *lang.DomainsDecl { return d.Domains }, func(d *lang.DomainsDecl) {
		n := s.declared("domains", d.Name)
		if n == nil {
			return
		}
		l := &ir.DomainList{Name: d.Name.Text, Origin: origin(until(d, d.Name), "domains "+d.Name.Text)}
		first := map[string]diag.Span{}
		for _, w := range d.Items {
			if other := s.space("domains")[w.Text]; other != nil {
				other.used = true
				s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is a list of domains, and a list holds domains alone", w.Text), "Write its domains, or name both lists where they are used.",
					diag.Label{Span: other.word.Span(), Text: "stated here"})
				continue
			}
			name, ok := s.domain(w)
			if !ok {
				continue
			}
			if old, taken := first[name]; taken {
				s.add("value-conflict", w.Span(), fmt.Sprintf("%s is listed twice", name), diag.Label{Span: old, Text: "first stated here"})
				continue
			}
			first[name] = w.Span()
			l.Domains = append(l.Domains, name)
		}
		l.Feed = s.nameLines(l.Origin, d.Body, d.Feed)
		if d.Feed != nil {
			l.Domains = readFeed(s, &l.Feed, d.Feed, domainFeed, distinct, appendText)
		}
		slices.Sort(l.Domains)
		n.domains = l
		s.p.Domains = append(s.p.Domains, l)
	})
}

func (s *state) resolveWords() {
	each(s, func(d *lang.Decl) *lang.WordsDecl { return d.Words }, func(d *lang.WordsDecl) {
		n := s.declared("words", d.Name)
		if n == nil {
			return
		}
		l := &ir.WordList{Name: d.Name.Text, Origin: origin(until(d, d.Name), "words "+d.Name.Text)}
		first := map[string]diag.Span{}
		for _, t := range d.Items {
			word, wrong := parseFeedWord(t.Value())
			if wrong != "" {
				s.addRemedy("value-invalid", t.Span(), wrong, "Write the text to find.")
				continue
			}
			if old, taken := first[word]; taken {
				s.addRemedy("value-conflict", t.Span(), fmt.Sprintf("%s is listed twice", quoted(t.Value())), "Remove one of them: a word is found in upper and lower case.", diag.Label{Span: old, Text: "first stated here"})
				continue
			}
			first[word] = t.Span()
			l.Words = append(l.Words, word)
		}
		l.Feed = s.nameLines(l.Origin, d.Body, d.Feed)
		if d.Feed != nil {
			l.Words = readFeed(s, &l.Feed, d.Feed, wordFeed, distinct, appendText)
		}
		slices.Sort(l.Words)
		n.words = l
		s.p.Words = append(s.p.Words, l)
	})
}

// distinct gives every text once, sorted.
func distinct(texts []string) []string {
	out := slices.Clone(texts)
	slices.Sort(out)
	return slices.Compact(out)
}

func appendText(text string, b []byte) []byte { return append(b, text...) }

// resolveZones gives zones their addresses: the networks that their interfaces
// face. So it comes after the points.
func (s *state) resolveZones() {
	each(s, func(d *lang.Decl) *lang.ZoneDecl { return d.Zone }, func(d *lang.ZoneDecl) {
		n := s.declared("zone", d.Name)
		if n == nil {
			return
		}
		z := &ir.Zone{Name: d.Name.Text, Origin: origin(until(d, d.Name), "zone "+d.Name.Text)}
		s.terms(z.Origin, behind(d.Body))
		var ps []netip.Prefix
		var members []*ir.AddrSet
		ok := true
		for _, w := range d.Interfaces {
			i, good := s.zoneInterface(z, w)
			ok = ok && good
			if !good {
				continue
			}
			for _, behind := range i.Networks {
				ps = append(ps, behind.Set.Prefixes...)
				members = append(members, behind.Set)
			}
		}
		if !ok {
			return
		}
		z.Set = s.addrSet("zone_"+z.Name, z.Origin, ps, members...)
		s.wholeZone(z, d)
		n.zone = z
		s.p.Zones = append(s.p.Zones, z)
	})
}

// zoneInterface finds an interface of a zone; false when it cannot be in one.
func (s *state) zoneInterface(z *ir.Zone, w *lang.ZoneInterface) (*ir.Interface, bool) {
	n := s.lookup(w.Point, "point")
	if n == nil || n.point == nil {
		return nil, false
	}
	var names []string
	var found *ir.Interface
	for i := range n.point.Interfaces {
		names = append(names, n.point.Interfaces[i].Name)
		if n.point.Interfaces[i].Name == w.Interface.Text {
			found = &n.point.Interfaces[i]
		}
	}
	switch {
	case found == nil:
		has := "It states none."
		if len(names) > 0 {
			has = "It has " + strings.Join(names, ", ") + "."
		}
		s.addRemedy("name-unknown", w.Interface.Span(), fmt.Sprintf("point %s has no interface %s", n.point.Name, quoted(w.Interface.Text)), suggest(w.Interface.Text, names)+has,
			diag.Label{Span: n.word.Span(), Text: "the point"}).Fix = respell(w.Interface, diag.MeantName(w.Interface.Text, names))
	case found.Internet:
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("interface %s of %s faces the internet, which is no zone", found.Name, n.point.Name),
			"Write any for everybody; a zone is made of interfaces that face networks.", diag.Label{Span: found.Origin.Span, Text: "the interface"})
	case slices.Contains(z.Interfaces, ir.ZoneInterface{Point: n.point, Name: found.Name}):
		s.add("value-conflict", w.Span(), fmt.Sprintf("%s of %s is in zone %s twice", found.Name, n.point.Name, z.Name))
	case len(found.Networks) == 0:
		return nil, false // what it faces is wrong, and that has been reported
	default:
		z.Interfaces = append(z.Interfaces, ir.ZoneInterface{Point: n.point, Name: found.Name})
		return found, true
	}
	return nil, false
}

// wholeZone reports a zone whose addresses are behind another interface of the
// same point as well: then they would not be what its interfaces let in.
func (s *state) wholeZone(z *ir.Zone, d *lang.ZoneDecl) {
	for _, zi := range z.Interfaces {
		for i := range zi.Point.Interfaces {
			other := &zi.Point.Interfaces[i]
			if slices.Contains(z.Interfaces, ir.ZoneInterface{Point: zi.Point, Name: other.Name}) {
				continue
			}
			for _, behind := range other.Networks {
				if p, meet := z.Set.Overlap(behind.Set); meet {
					s.addRemedy("value-conflict", d.Name.Span(), fmt.Sprintf("zone %s holds %s, which is behind %s of %s too", z.Name, spell(p), other.Name, zi.Point.Name),
						"Add that interface to the zone, or let each interface face addresses of its own.", diag.Label{Span: other.Origin.Span, Text: "the other interface"})
					return
				}
			}
		}
	}
}

// nameLines reads the block behind the name with the origin o. feed is nil where
// the name lists its entries itself.
func (s *state) nameLines(o ir.Origin, b *lang.Block[*lang.NameLine], feed *lang.Feed) ir.FeedTerms {
	var t ir.FeedTerms
	if b == nil {
		return t
	}
	seen := once{}
	var meta []*lang.MetaItem
	for _, i := range b.Items {
		if i.Meta != nil {
			meta = append(meta, i.Meta)
			continue
		}
		what, w := "max-age", i.MaxAge
		if i.MaxChange != nil {
			what, w = "max-change", i.MaxChange
		}
		if feed == nil {
			s.addRemedy("value-invalid", i.Span(), fmt.Sprintf("%s has no feed, and %s is for feeds", o.Label, what), "Remove "+what+", or name a feed.")
			continue
		}
		if seen.seen(s, what, i) {
			continue
		}
		if i.MaxAge != nil {
			t.MaxAge, _ = s.duration(w)
			continue
		}
		digits, isPercent := strings.CutSuffix(w.Text, "%")
		n, err := strconv.ParseUint(digits, 10, 8)
		if !isPercent || err != nil || n < 1 || n > 100 {
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("max-change cannot be %s", quoted(w.Text)), "Write a share of the entries from 1% to 100%.")
			continue
		}
		t.MaxChange = uint8(n)
	}
	s.terms(o, meta)
	return t
}

// readFeed reads the entries of a feed and judges it by the lock. unique gives
// the entries in their normal form, and write one of them as a line.
func readFeed[T comparable](s *state, t *ir.FeedTerms, f *lang.Feed, kind feedKind[T], unique func([]T) []T, write func(T, []byte) []byte) []T {
	stated := f.Path.Value()
	at := f.Path.Span()
	t.Path, t.Span = stated, at
	if stated == "" {
		s.add("feed-unreadable", at, "the feed has no path")
		return nil
	}
	file := stated
	if !path.IsAbs(file) {
		file = path.Join(path.Dir(at.Start.Filename), file)
	}
	if s.in.ReadFeed == nil {
		s.add("feed-unreadable", at, fmt.Sprintf("feed %s cannot be read here", quoted(stated)))
		return nil
	}
	src, err := s.in.ReadFeed(file)
	if err != nil {
		s.add("feed-unreadable", at, fmt.Sprintf("feed %s cannot be read: %s", quoted(stated), err))
		return nil
	}
	named := diag.Label{Span: at, Text: "the feed is named here"}
	list := kind.parse(file, src)
	for i := range list.found {
		list.found[i].Labels = append(list.found[i].Labels, named)
	}
	s.found = append(s.found, list.found...)

	all := unique(list.entries)
	text := listing(all, write)
	t.Entries, t.Dated = len(all), len(list.dated) > 0
	if t.MaxChange > 0 {
		t.Sketch = sketch(text)
	}
	if t.Dated {
		var dates []string
		for _, d := range list.dated {
			dates = append(dates, string(append(write(list.entries[d.entry], nil), " expires="+d.until+"\n"...)))
		}
		slices.Sort(dates)
		text = append(text, strings.Join(dates, "")...)
	}
	t.Digest = digest(text)
	if len(all) == 0 && len(list.found) == 0 {
		s.add("feed-empty", at, fmt.Sprintf("feed %s lists nothing", quoted(stated)))
	}
	if len(list.entries) > len(all) {
		// It may only be that addresses are parts of one prefix.
		if r := kind.repeats(file, src); r.count > 0 {
			s.add("feed-duplicate", r.first, fmt.Sprintf("feed %s lists %s again", quoted(stated), entries(r.count)), diag.Label{Span: r.before, Text: "first listed here"}, named)
		}
	}
	s.judgeFeed(t)
	day := ""
	if locked := s.in.Lock.Feed(stated); locked != nil {
		day = locked.Date
	}
	var past []datedEntry
	for _, d := range list.dated {
		switch {
		case day != "" && d.until < day:
			t.Expired++
		case s.in.Date != "" && d.until < s.in.Date:
			past = append(past, d)
		}
	}
	if len(past) > 0 {
		s.add("feed-entry-expired", past[0].at, fmt.Sprintf("%s of feed %s ended on %s and is still in force", entries(len(past)), quoted(stated), past[0].until), named)
	}
	if t.Expired > 0 {
		return unique(list.without(day))
	}
	return all
}

// entries counts the entries of a feed in a sentence about the first of them.
func entries(n int) string {
	if n == 1 {
		return "an entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// judgeFeed compares a feed with what the lock records of it.
func (s *state) judgeFeed(t *ir.FeedTerms) {
	locked := s.in.Lock.Feed(t.Path)
	if locked == nil {
		locked = &lock.Feed{}
	}
	there := diag.Label{Span: locked.Span, Text: "recorded here"}
	switch {
	case locked.Digest == "" || locked.Digest == t.Digest:
	case t.MaxChange > 0 && locked.Sketch != nil && changed(locked.Sketch, t.Sketch, locked.Entries, t.Entries) > int(t.MaxChange):
		s.add("feed-changed", t.Span, fmt.Sprintf("feed %s has %d entries, the locked one has %d, and %d%% of them changed: more than the %d%% of max-change",
			quoted(t.Path), t.Entries, locked.Entries, changed(locked.Sketch, t.Sketch, locked.Entries, t.Entries), t.MaxChange), there)
	default:
		s.add("lock-stale", t.Span, fmt.Sprintf("feed %s has %d entries and is not the one that was locked, with %d", quoted(t.Path), t.Entries, locked.Entries), there)
	}
	if t.MaxChange > 0 && locked.Sketch == nil {
		s.addRemedy("lock-stale", t.Span, fmt.Sprintf("xfwc.lock does not record what feed %s held, so max-change has nothing to compare it with", quoted(t.Path)), "Run xfwc lock.", there)
		return // which records the day as well
	}
	if t.MaxAge == 0 || s.in.Date == "" {
		return
	}
	if locked.Date == "" {
		s.addRemedy("feed-stale", t.Span, fmt.Sprintf("xfwc.lock does not record of which day feed %s is, so its max-age cannot be judged", quoted(t.Path)), "Run xfwc lock.", there)
		return
	}
	then, err1 := time.Parse(time.DateOnly, locked.Date)
	now, err2 := time.Parse(time.DateOnly, s.in.Date)
	if cmp.Or(err1, err2) == nil && now.Sub(then) > time.Duration(t.MaxAge)*time.Second {
		s.add("feed-stale", t.Span, fmt.Sprintf("feed %s is of %s, %d days ago: older than its max-age", quoted(t.Path), locked.Date, int(now.Sub(then).Hours()/24)), there)
	}
}
