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
	first := map[string]diag.Span{}
	each(s, func(d *lang.Decl) *lang.ContentDecl { return d.Content }, func(d *lang.ContentDecl) {
		name := d.Name.Text
		ok := s.validName(d.Name, "content rule")
		if old, taken := first[name]; taken {
			s.add("name-duplicate", d.Name.Span(), fmt.Sprintf("content %s is stated twice", name), diag.Label{Span: old, Text: "first stated here"})
			return
		}
		first[name] = d.Name.Span()
		c := &ir.ContentRule{ID: name, Origin: origin(until(d, d.Name), "content "+name)}
		seen := once{}
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
				if seen.seen(s, "then", i) {
					continue
				}
				for _, w := range i.Then {
					action := s.oneOf(w.Name, "the action of a content rule", "alert", "drop")
					if action == "" {
						ok = false
					} else if c.Does(action) {
						s.add("value-conflict", w.Span(), fmt.Sprintf("action %s is stated twice", action))
					} else {
						c.Actions = append(c.Actions, ir.Action{Name: action})
					}
				}
			}
		}
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
		if ok {
			s.p.Content = append(s.p.Content, c)
		}
	})
}

func (s *state) match(c *ir.ContentRule, ms []*lang.MatchItem) bool {
	m := ms[0]
	if s.oneOf(m.What, "what a content rule matches", "text") == "" {
		return false
	}
	if m.Text == nil {
		s.addRemedy("value-invalid", m.Span(), "the text to match is missing", "Write match text \"…\".")
		return false
	}
	c.Text = m.Text.Value()
	if c.Text == "" {
		s.addRemedy("value-invalid", m.Text.Span(), "the text to match is empty", "Write the text to find.")
		return false
	}
	c.Any = append(c.Any, []ir.Condition{{What: "text", Text: c.Text, Origin: c.Origin}})
	return true
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
	default:
		s.addRemedy("value-invalid", subject.Span(), fmt.Sprintf("%s has no traffic that a content rule could read", subject), "Name clients, federation, a peer, a component, web or serverless.")
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
	if !found {
		if s.statedBroken(subject) {
			return false // the statement is there, and its errors have been reported
		}
		var names []string
		for _, f := range s.p.Flows {
			if f.Peer != "" {
				names = append(names, f.Peer)
			}
		}
		s.addRemedy("name-unknown", subject.Span(), fmt.Sprintf("the policy has no %s", subject), suggest(name, names)+"Name a statement of the policy.").Fix =
			respell(subject.Name, diag.MeantName(name, names))
	}
	return found
}

// statedBroken reports whether the subject's statement exists.
func (s *state) statedBroken(subject *lang.Subject) bool {
	spans, _ := subjectSpans(s.decls, subject)
	return len(spans) > 0
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
				continue
			}
			if t := s.test(l.Packets, line); t != nil {
				t.Name = name
				s.p.Tests = append(s.p.Tests, t)
			}
		}
	})
}

func (s *state) test(l *lang.TestPackets, line int) *ir.Test {
	o := origin(l.Span(), fmt.Sprintf("%s %s %s - %s", l.Verdict, l.Proto.Text, joinWords(l.From), l.To.Text))
	t := &ir.Test{Kind: map[string]ir.TestKind{"allow": ir.ExpectAllow, "deny": ir.ExpectDeny, "only": ir.ExpectOnly}[l.Verdict], Origin: o}
	proto := s.oneOf(l.Proto, "the protocol of a test", "tcp", "udp")
	t.Proto = ir.Proto(proto)
	from, ok := s.endpoint(l.From, fmt.Sprintf("test_%d_from", line), true, o)
	t.From = from
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
