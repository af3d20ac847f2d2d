package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// What statements say about themselves, and the hours of the week that some of
// them are for.

// terms reads the meta lines of the statement with the origin o, and enters the
// statement into the policy's list if there are any. The result is nil where
// there are none.
//
// It is for statements that hold at all hours: during is refused. Those that a
// clock can switch on and off use [state.timedTerms].
func (s *state) terms(o ir.Origin, items []*lang.MetaItem) *ir.Terms {
	for _, i := range items {
		if i.During != nil {
			s.addRemedy("value-invalid", i.Span(), fmt.Sprintf("%s holds at all hours: during cannot stand here", o.Label),
				"Put during behind allow or deny, a rule of egress, or a content rule: { during "+i.During.Text+" }.")
		}
	}
	t := s.timedTerms(o, slices.DeleteFunc(slices.Clone(items), func(i *lang.MetaItem) bool { return i.During != nil }))
	for _, i := range items {
		if n := s.others["window"]; i.During != nil && n[i.During.Text] != nil {
			n[i.During.Text].used = true // it is the place that is wrong
		}
	}
	return t
}

// timedTerms is [state.terms] for statements that may hold at some hours alone:
// allow and deny, the rules of egress, and content rules.
func (s *state) timedTerms(o ir.Origin, items []*lang.MetaItem) *ir.Terms {
	if len(items) == 0 {
		return nil
	}
	t := &ir.Terms{}
	seen := once{}
	for _, i := range items {
		switch {
		case i.Owner != nil:
			if !seen.seen(s, "owner", i) {
				t.Owner = s.metaText("owner", i.Owner)
			}
		case i.Ticket != nil:
			if !seen.seen(s, "ticket", i) {
				t.Ticket = s.metaText("ticket", i.Ticket)
			}
		case i.Expires != nil:
			if !seen.seen(s, "expires", i) {
				t.Expires, t.ExpiresAt = s.date(i.Expires, "the last day of "+o.Label), i.Span()
			}
		case i.During != nil:
			if !seen.seen(s, "during", i) {
				t.DuringAt = i.Span()
				if n := s.lookup(i.During, "window"); n != nil {
					t.During = n.window
				}
			}
		}
	}
	s.p.Statements = append(s.p.Statements, &ir.Statement{Origin: o, Terms: *t})
	return t
}

// resolveWaivers reads what waivers say about themselves; what they set aside is
// judged when everything has been found.
func (s *state) resolveWaivers() {
	each(s, func(d *lang.Decl) *lang.WaiveDecl { return d.Waive }, func(d *lang.WaiveDecl) {
		var meta []*lang.MetaItem
		for _, i := range behind(d.Body) {
			if i.Expires != nil {
				s.addRemedy("value-invalid", i.Span(), "a waiver ends with its until, and expires says it again", "Remove expires.", diag.Label{Span: d.Until.Span(), Text: "the last day"})
				continue
			}
			meta = append(meta, i)
		}
		s.terms(origin(until(d, d.Because), "waive "+d.Code.Text), meta)
	})
}

// behind gives the meta lines of the block behind a statement, if it has one.
func behind(b *lang.Block[*lang.MetaItem]) []*lang.MetaItem {
	if b == nil {
		return nil
	}
	return b.Items
}

// metaText reads an owner or a ticket.
func (s *state) metaText(what string, t *lang.Str) string {
	v := strings.TrimSpace(t.Value())
	const most = 200
	switch {
	case v == "":
		s.addRemedy("value-invalid", t.Span(), fmt.Sprintf("the %s is empty", what), "Write whom to ask as owner, and where it was agreed as ticket.")
	case len(v) > most:
		s.addRemedy("value-invalid", t.Span(), fmt.Sprintf("the %s is longer than %d characters", what, most), "Write a name or an address as owner, and a number or a link as ticket.")
	}
	return v
}

// date reads a day; "" when it is none, which is reported.
func (s *state) date(w *lang.Word, what string) string {
	if validDate(w.Text) {
		return w.Text
	}
	s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s cannot be %s, which is no date", what, quoted(w.Text)), "Write the date as 2027-01-31.")
	return ""
}

// observe reads a mode line: the last day on which only is said what would be
// denied, "" for mode enforce. ok is false when the line is wrong.
func (s *state) observe(m *lang.ModeItem, what string) (last string, ok bool) {
	switch s.oneOf(m.Mode, "the mode of "+what, "enforce", "observe") {
	case "enforce":
		if m.Until != nil {
			s.addRemedy("value-invalid", m.Span(), "mode enforce has no last day", "Write mode enforce, or mode observe until 2027-01-31.")
			return "", false
		}
		return "", true
	case "observe":
		if m.Until == nil {
			s.addRemedy("value-missing", m.Span(), fmt.Sprintf("mode observe of %s does not say until when", what),
				"Write mode observe until 2027-01-31: what only observes protects nothing, so it needs an end.")
			return "", false
		}
		last = s.date(m.Until, "the last day of mode observe")
		return last, last != ""
	}
	return "", false
}

// resolveWindows reads the windows, before the statements that name them.
func (s *state) resolveWindows() {
	each(s, func(d *lang.Decl) *lang.WindowDecl { return d.Window }, func(d *lang.WindowDecl) {
		n := s.declared("window", d.Name)
		if n == nil {
			return
		}
		w := &ir.Window{Name: d.Name.Text, Origin: origin(until(d, d.Name), "window "+d.Name.Text)}
		var at []diag.Span
		for _, span := range d.Spans {
			hours, ok := s.windowSpan(span)
			if !ok {
				continue
			}
			if i := slices.IndexFunc(w.Spans, func(o ir.WindowSpan) bool { return o.Meets(hours) }); i >= 0 {
				s.addRemedy("value-conflict", span.Span(), fmt.Sprintf("two parts of window %s share hours", w.Name), "Write each hour once.", diag.Label{Span: at[i], Text: "stated here"})
				continue
			}
			w.Spans = append(w.Spans, hours)
			at = append(at, span.Span())
		}
		n.window = w
		s.terms(w.Origin, behind(d.Body))
		s.p.Windows = append(s.p.Windows, w)
	})
}

// windowSpan reads mon-fri 08:00-18:00.
func (s *state) windowSpan(w *lang.WindowSpan) (ir.WindowSpan, bool) {
	var out ir.WindowSpan
	from, to, isRange := strings.Cut(w.Days.Text, "-")
	if !isRange {
		to = from
	}
	days := ir.Weekdays[:]
	first, last := slices.Index(days, from), slices.Index(days, to)
	ok := first >= 0 && last >= 0
	if !ok {
		wrong := from
		if first >= 0 {
			wrong = to
		}
		s.addRemedy("value-invalid", w.Days.Span(), fmt.Sprintf("%s is no day or range of days", quoted(w.Days.Text)),
			suggest(wrong, days)+"Write days as mon, or mon-fri; they are "+strings.Join(days, ", ")+".").Fix = respellPart(w.Days, wrong, diag.Meant(wrong, days))
	} else {
		for d := first; ; d = (d + 1) % 7 {
			out.Days[d] = true
			if d == last {
				break
			}
		}
	}
	a, b, isRange := strings.Cut(w.Hours.Text, "-")
	start, okA := clock(a)
	end, okB := clock(b)
	switch {
	case !isRange || !okA || !okB:
		s.addRemedy("value-invalid", w.Hours.Span(), fmt.Sprintf("%s is no range of hours", quoted(w.Hours.Text)), "Write hours as 08:00-18:00, in UTC; 24:00 is the end of the day.")
		return out, false
	case start == end:
		s.addRemedy("value-invalid", w.Hours.Span(), fmt.Sprintf("%s is empty", w.Hours.Text), "Write hours as 08:00-18:00, or 00:00-24:00 for the whole day.")
		return out, false
	case start > end:
		s.addRemedy("value-invalid", w.Hours.Span(), fmt.Sprintf("%s ends before it starts", w.Hours.Text),
			fmt.Sprintf("What goes over midnight is two parts: %s-24:00 on one day, and 00:00-%s on the next.", a, b))
		return out, false
	}
	out.From, out.To = start, end
	return out, ok
}

// clock reads a time of day as minutes after midnight.
func clock(text string) (uint16, bool) {
	h, m, ok := strings.Cut(text, ":")
	if !ok || len(h) != 2 || len(m) != 2 {
		return 0, false
	}
	hours, err1 := strconv.ParseUint(h, 10, 8)
	minutes, err2 := strconv.ParseUint(m, 10, 8)
	if cmp.Or(err1, err2) != nil || minutes > 59 || hours > 24 || hours == 24 && minutes > 0 {
		return 0, false
	}
	return uint16(hours*60 + minutes), true
}
