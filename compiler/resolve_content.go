package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Content rules, and the policy's own tests.

func (s *state) resolveContent() {
	each(s, func(d *lang.Decl) *lang.ContentDecl { return d.Content }, func(d *lang.ContentDecl) {
		n := s.declared("content", d.Name)
		if n == nil {
			return
		}
		name := d.Name.Text
		c := &ir.ContentRule{ID: name, Origin: origin(until(d, d.Name), "content "+name)}
		ok := true
		seen := once{}
		var meta []*lang.MetaItem
		for _, i := range d.Body.Items {
			switch {
			case i.Match != nil:
				seen["match"] = i.Span()
				ok = s.match(c, i.Match) && ok
			case i.On != nil:
				seen["on"] = i.Span()
				for _, subject := range i.On {
					ok = s.contentOn(c, subject) && ok
				}
			case i.Then != nil:
				if !seen.seen(s, "then", i) {
					var good bool
					c.Actions, good = s.actions(i.Then, "the action of a content rule", "alert", "drop", "reject", "terminate", "block")
					ok = ok && good
				}
			case i.Mode != nil:
				if !seen.seen(s, "mode", i) {
					var good bool
					c.ObserveAt = i.Span()
					c.Observe, good = s.observe(i.Mode, c.Origin.Label)
					ok = ok && good
				}
			case i.Meta != nil:
				meta = append(meta, i.Meta)
			}
		}
		c.Terms = s.timedTerms(c.Origin, meta)
		for _, what := range []string{"match", "on", "then"} {
			if _, stated := seen[what]; !stated {
				ok = false
				s.addRemedy("value-missing", c.Origin.Span, fmt.Sprintf("content %s has no %s", name, what), map[string]string{
					"match": `Add match text "…".`,
					"on":    "Add on and the statements whose traffic it reads, such as on component irc.",
					"then":  "Add then alert, or then alert, drop.",
				}[what])
			}
		}
		if !ok {
			return
		}
		if len(c.Any) == 1 && len(c.Any[0]) == 1 && c.Any[0][0].What == "text" {
			c.Text = c.Any[0][0].Text
		}
		n.content = c
		s.p.Content = append(s.p.Content, c)
	})
}

// matchForms is how each thing that a content rule looks at can be matched.
var matchForms = map[string]struct {
	words, domains, pattern, text, value bool
	like                                 string
}{
	"text":      {words: true, pattern: true, text: true, like: `match text "wire transfer"`},
	"body":      {words: true, pattern: true, text: true, like: `match body ~ "wire +transfer"`},
	"url":       {words: true, domains: true, pattern: true, value: true, like: "match url in words phish, or match url bad.example"},
	"namespace": {words: true, pattern: true, text: true, like: `match namespace "jabber:x:oob"`},
	"stanza":    {value: true, like: "match stanza message"},
	"sasl":      {value: true, like: "match sasl PLAIN"},
	"sender":    {domains: true, value: true, like: "match sender in domains spam"},
	"recipient": {domains: true, value: true, like: "match recipient in domains spam"},
}

// match reads one alternative of a content rule: conditions that all have to
// hold.
func (s *state) match(c *ir.ContentRule, ms []*lang.MatchItem) bool {
	var all []ir.Condition
	ok := true
	for _, m := range ms {
		cond, good := s.condition(c, m)
		ok = ok && good
		if !good {
			continue
		}
		for _, old := range all {
			if cond.What == old.What && exclusive(cond, old) {
				s.addRemedy("value-conflict", m.Span(), fmt.Sprintf("one %s cannot be %s and %s", cond.What, old.Text, cond.Text), "Write each as a match line of its own: every line is enough by itself.",
					diag.Label{Span: old.Origin.Span, Text: "stated here"})
				ok = false
			}
		}
		all = append(all, cond)
	}
	if ok {
		c.Any = append(c.Any, all)
	}
	return ok
}

// exclusive reports whether no stanza has both values: it has one kind, one
// mechanism, and one sender and recipient, whose domain a value stands for with
// all domains below it.
func exclusive(a, b ir.Condition) bool {
	switch a.What {
	case "stanza", "sasl":
		return true
	case "sender", "recipient":
		return a.Text != "" && b.Text != "" && !strings.HasSuffix("."+a.Text, "."+b.Text) && !strings.HasSuffix("."+b.Text, "."+a.Text)
	}
	return false
}

// condition reads what a stanza has to hold.
func (s *state) condition(c *ir.ContentRule, m *lang.MatchItem) (ir.Condition, bool) {
	cond := ir.Condition{Origin: origin(m.Span(), "match "+m.What.Text+" of content "+c.ID)}
	cond.What = s.oneOf(m.What, "what a content rule matches", "text", "body", "url", "namespace", "stanza", "sasl", "sender", "recipient")
	form := matchForms[cond.What]
	bad := func(at lang.Node, wrong string) (ir.Condition, bool) {
		s.addRemedy("value-invalid", at.Span(), wrong, "Write it like "+form.like+".")
		return cond, false
	}
	switch {
	case m.In == "words":
		n := s.lookup(m.List, "words")
		switch {
		case cond.What == "" || n == nil:
			return cond, false
		case !form.words:
			return bad(m, cond.What+" is not looked for in a list of words")
		}
		cond.Words = n.words
	case m.In == "domains":
		n := s.lookup(m.List, "domains")
		switch {
		case cond.What == "" || n == nil:
			return cond, false
		case !form.domains:
			return bad(m, cond.What+" is not looked for in a list of domains")
		}
		cond.Domains = n.domains
	case m.Pattern != nil || m.Regex != nil:
		if m.Pattern != nil {
			if n := s.lookup(m.Pattern, "pattern"); n != nil {
				cond.Pattern = n.pattern
			}
		} else {
			cond.Pattern = s.pattern(m.Regex, cond.Origin)
		}
		switch {
		case cond.What == "" || cond.Pattern == nil:
			return cond, false
		case !form.pattern:
			return bad(m, cond.What+" is not matched by a pattern")
		}
	case cond.What == "":
		return cond, false
	case m.Text != nil:
		if !form.text {
			return bad(m.Text, cond.What+" is matched without quotes")
		}
		if wrong := wrongText(m.Text.Value()); wrong != "" {
			return bad(m.Text, fmt.Sprintf("the text %s to match %s", quoted(m.Text.Value()), wrong))
		}
		cond.Text = m.Text.Value()
	case !form.value:
		return bad(m.Value, fmt.Sprintf("the %s to match is not in quotes", cond.What))
	default:
		cond.Text = s.matchValue(cond.What, m.Value)
		return cond, cond.Text != ""
	}
	return cond, true
}

// matchValue reads a word to match; "" is none, which is reported.
func (s *state) matchValue(what string, w *lang.Word) string {
	switch what {
	case "stanza":
		return s.oneOf(w, "the stanza to match", "message", "presence", "iq")
	case "sasl":
		name := strings.ToUpper(w.Text)
		// RFC 4422 section 3.1.
		if len(name) > 20 || strings.ContainsFunc(name, func(r rune) bool {
			return !('A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}) {
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no name of a SASL mechanism", quoted(w.Text)), "Write a name such as PLAIN or SCRAM-SHA-256.")
			return ""
		}
		return name
	}
	d, _ := s.domain(w)
	return d
}

// contentOn adds the flows that a subject means.
func (s *state) contentOn(c *ir.ContentRule, subject *lang.Subject) bool {
	var server *ir.Server
	if subject.Of != nil {
		if server = s.server(subject.Of); server == nil {
			return false
		}
	}
	name := ""
	if subject.Name != nil {
		name = subject.Name.Text
	}
	var pick func(*ir.Flow) bool
	switch subject.Kind {
	case "component":
		if name != "" && s.comps[name] == nil {
			s.unknownComponent(subject.Name)
			return false
		}
		pick = func(f *ir.Flow) bool { return f.Kind == ir.Component && (name == "" || f.Component == name) }
	case "peer":
		domain := strings.ToLower(name)
		pick = func(f *ir.Flow) bool {
			return f.Kind == ir.Federation && f.Peer != "" && (name == "" || f.Peer == domain)
		}
	case "clients":
		pick = func(f *ir.Flow) bool { return f.Kind == ir.Clients && !s.carried[f] }
	case "federation":
		pick = func(f *ir.Flow) bool { return f.Kind == ir.Federation }
	case "web":
		// Behind a proxy only the leg to the server can be read: that leg carries
		// everything that web clients say.
		pick = func(f *ir.Flow) bool { return f.Kind == ir.Web && !s.carried[f] }
	case "serverless":
		pick = func(f *ir.Flow) bool { return f.Kind == ir.Serverless && !f.Multicast }
	case "media":
		pick = func(f *ir.Flow) bool { return f.Kind == ir.Media }
	case "anonymous":
		pick = func(*ir.Flow) bool { return false } // its traffic is that of clients
	default:
		s.addRemedy("value-invalid", subject.Span(), fmt.Sprintf("%s has no traffic that a content rule could read", subject), "Name clients, federation, a peer, a component, web, anonymous, media or serverless.")
		return false
	}
	if subject.Name != nil && subject.Kind != "component" && subject.Kind != "peer" {
		s.addRemedy("value-invalid", subject.Name.Span(), fmt.Sprintf("%s has no name of its own", subject.Kind), fmt.Sprintf("Write %s of SERVER.", subject.Kind))
		return false
	}
	found := false
	for _, f := range s.p.Flows {
		if f.Verdict != ir.Allow || !pick(f) || server != nil && f.Server != server {
			continue
		}
		found = true
		if slices.Contains(c.On, f) {
			continue
		}
		c.On = append(c.On, f)
		c.OnNames = append(c.OnNames, subject.String())
	}
	for _, a := range s.p.Anonymous {
		if subject.Kind == "anonymous" && (server == nil || a.Server == server) {
			found = true
			if !slices.Contains(c.Anonymous, a) {
				c.Anonymous = append(c.Anonymous, a)
			}
		}
	}
	if !found {
		stated, typed, names := subjectSpans(subjectsOf(s.decls), subject)
		if len(stated) > 0 {
			return false // its errors have been reported
		}
		s.addRemedy("name-unknown", subject.Span(), fmt.Sprintf("the policy has no %s", subject), suggest(typed.Text, names)+"Name a statement of the policy.").Fix = respell(typed, diag.MeantName(typed.Text, names))
	}
	return found
}

func (s *state) resolveTests() {
	first := map[string]diag.Span{}
	line := 0
	each(s, func(d *lang.Decl) *lang.TestDecl { return d.Test }, func(d *lang.TestDecl) {
		name := d.Name.Value()
		if old, taken := first[name]; taken {
			s.add("name-duplicate", d.Name.Span(), fmt.Sprintf("test %s is there twice", quoted(name)), diag.Label{Span: old, Text: "first stated here"})
		}
		first[name] = d.Name.Span()
		if len(d.Body.Items) == 0 {
			s.addRemedy("value-missing", d.Name.Span(), fmt.Sprintf("test %s expects nothing", quoted(name)), "Add what it expects, such as deny tcp any -> chat:5347.")
		}
		for _, l := range d.Body.Items {
			line++
			if l.Packets == nil {
				s.contentCase(l.Content, name)
				continue
			}
			if t := s.test(l.Packets, line); t != nil {
				t.Name = name
				s.p.Tests = append(s.p.Tests, t)
			}
		}
	})
}

// contentCase reads what is expected of a content rule.
func (s *state) contentCase(l *lang.TestContent, name string) {
	n := s.lookup(l.Rule, "content")
	if l.Text.Value() == "" {
		s.addRemedy("value-invalid", l.Text.Span(), "the text to try is empty", "Write what somebody could send: a text, or a stanza that begins with <.")
		return
	}
	if n == nil || n.content == nil {
		return
	}
	s.p.Cases = append(s.p.Cases, &ir.ContentCase{
		Name: name, Rule: n.content, Catch: l.Verdict == "catch", Text: l.Text.Value(), Origin: origin(l.Span(), l.Verdict+" "+l.Rule.Text),
	})
}

func (s *state) test(l *lang.TestPackets, line int) *ir.Test {
	o := origin(l.Span(), fmt.Sprintf("%s %s %s - %s", l.Verdict, l.Proto.Text, joinWords(l.From), l.To.Text))
	t := &ir.Test{Kind: map[string]ir.TestKind{"allow": ir.ExpectAllow, "deny": ir.ExpectDeny, "only": ir.ExpectOnly}[l.Verdict], Origin: o}
	proto := s.oneOf(l.Proto, "the protocol of a test", "tcp", "udp")
	t.Proto = ir.Proto(proto)
	// That only everybody is allowed says no more than allow.
	from, ok := s.endpoint(l.From, fmt.Sprintf("test_%d_from", line), t.Kind != ir.ExpectOnly, o)
	t.From = from
	if l.Day != nil {
		var good bool
		t.At, good = s.moment(l.Day, l.Time)
		ok = ok && good
	}
	ok = s.testTo(t, l.To, line) && ok && proto != ""
	if l.Except != nil {
		except, good := s.endpoint(l.Except, fmt.Sprintf("test_%d_except", line), false, o)
		t.Except = except.Set
		ok = ok && good
	}
	if !ok {
		return nil
	}
	return t
}

// moment reads the minute of the week that a test asks for.
func (s *state) moment(day, clock *lang.Word) (*ir.Moment, bool) {
	if s.oneOf(day, "the day of a test", ir.Weekdays[:]...) == "" {
		return nil, false
	}
	m, ok := ir.ParseMoment(day.Text, clock.Text)
	if !ok {
		s.addRemedy("value-invalid", clock.Span(), fmt.Sprintf("%s is no time of day", quoted(clock.Text)), "Write the hour and minute in UTC, from 00:00 to 23:59, such as at mon 09:00.")
	}
	return &m, ok
}

func joinWords(ws []*lang.Word) string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.Text
	}
	return strings.Join(texts, ", ")
}

// testTo reads name:port, address:port or [address]:port.
func (s *state) testTo(t *ir.Test, w *lang.Word, line int) bool {
	form := "Write a server, point or address and a port, such as chat:5222 or [2001:db8::1]:5222."
	i := strings.LastIndexByte(w.Text, ':')
	if i < 0 {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s lacks a port", quoted(w.Text)), form)
		return false
	}
	host := w.Text[:i]
	from, to, ok := parsePorts(w.Text[i+1:])
	if !ok {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no port or range of ports", quoted(w.Text[i+1:])), form)
		return false
	}
	t.Ports = []ir.PortSpan{{Proto: t.Proto, From: from, To: to}}
	inner := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	bracketed := len(inner) == len(host)-2
	if !bracketed && (len(inner) != len(host) || strings.Contains(host, ":")) {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no address and port", quoted(w.Text)), form)
		return false
	}
	if bracketed || looksNumeric(host) {
		a, wrong := parseAddr(inner)
		if wrong != "" || bracketed != a.Is6() {
			if wrong == "" {
				wrong = "only IPv6 addresses stand in brackets"
			}
			s.addRemedy("value-invalid", w.Span(), wrong, form)
			return false
		}
		t.To = ir.Endpoint{Label: a.String(), Set: s.addrSet(fmt.Sprintf("test_%d_to", line), t.Origin, hostPrefixes([]netip.Addr{a}))}
		return true
	}
	n, known := s.names[host]
	if !known || n.kind == "network" || n.kind == "zone" {
		what := "no server or point is named " + quoted(host)
		if known {
			what = host + " is a " + n.kind + ", and a test is about a server, a point or an address"
		}
		s.addRemedy("name-unknown", w.Span(), what, suggest(host, s.namesOf("server", "point"))+form).Fix =
			respellPart(w, host, diag.MeantName(host, s.namesOf("server", "point")))
		return false
	}
	n.used = true
	set := n.set()
	if set == nil || len(set.Prefixes) == 0 {
		if set != nil && n.kind == "point" {
			s.addRemedy("value-missing", w.Span(), fmt.Sprintf("point %s states no address", host), "State its address, or write the address here.", diag.Label{Span: n.word.Span(), Text: "stated here"})
		}
		return false
	}
	t.To = ir.Endpoint{Label: n.kind + " " + host, Set: set}
	t.ToSrv, t.ToPt = n.server, n.point
	return true
}
