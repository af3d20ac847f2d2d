package report

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// group is the findings of one severity.
type group struct {
	Class, Title string
	Count        int
	Kinds        []kind
}

// kind is findings that say the same about different places.
type kind struct {
	Code, Class       string
	Was               string // the severity of what is waived
	Items             []item
	Remedy, Reference string
	Waived            string
	Mends             bool // xfwc fix mends it
}

type item struct {
	Summary  string
	Excerpts []excerpt
}

// excerpt is a line of a file with a part of it marked.
type excerpt struct {
	Place               link
	Before, Mark, After string
	Text                string // what it shows
}

func (v *view) findings() {
	add := func(class, title string, of func(diag.Finding) bool) {
		g := group{Class: class, Title: title}
		at := map[kindKey]int{}
		for _, f := range v.in.Findings {
			if !of(f) {
				continue
			}
			g.Count++
			key := kindKey{f.Code, f.Remedy, f.Reference, len(f.Fix) > 0, diag.Waived{}}
			if f.Waived != nil {
				key.waived = *f.Waived
			}
			i, ok := at[key]
			if !ok {
				i = len(g.Kinds)
				at[key] = i
				g.Kinds = append(g.Kinds, v.kind(f, class))
			}
			g.Kinds[i].Items = append(g.Kinds[i].Items, v.item(f))
		}
		if g.Count > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	open := func(s diag.Severity) func(diag.Finding) bool {
		return func(f diag.Finding) bool { return f.Severity == s && f.Waived == nil }
	}
	add("error", "Errors", open(diag.Error))
	add("warning", "Warnings", open(diag.Warning))
	add("info", "Notes", open(diag.Info))
	add("waived", "Set aside by a waiver", func(f diag.Finding) bool { return f.Waived != nil })
}

// kindKey is what findings of one kind have in common.
type kindKey struct {
	code, remedy, reference string
	mends                   bool
	waived                  diag.Waived
}

func (v *view) kind(f diag.Finding, class string) kind {
	k := kind{Code: f.Code, Class: class, Remedy: visible(f.Remedy), Reference: visible(f.Reference), Mends: len(f.Fix) > 0}
	if f.Waived != nil {
		k.Was, k.Remedy, k.Mends = f.Severity.String(), "", false
		k.Waived = fmt.Sprintf("until %s: %s", visible(f.Waived.Until), visible(f.Waived.Because))
	}
	return k
}

func (v *view) item(f diag.Finding) item {
	out := item{Summary: visible(f.Summary)}
	if f.Span.IsValid() {
		out.Excerpts = append(out.Excerpts, v.excerpt(f.Span, ""))
	}
	for _, l := range f.Labels {
		out.Excerpts = append(out.Excerpts, v.excerpt(l.Span, visible(l.Text)))
	}
	return out
}

// part is a piece of a sentence; what stands between backquotes is code.
type part struct {
	Code bool
	Text string
}

func parts(s string) []part {
	var out []part
	for i, text := range strings.Split(s, "`") {
		if text != "" {
			out = append(out, part{i%2 == 1, text})
		}
	}
	return out
}

// excerptWidth bounds what is shown of a line, in characters, at each side of
// the part that is marked.
const excerptWidth = 120

func (v *view) excerpt(s diag.Span, text string) excerpt {
	e := excerpt{Place: v.link(s), Text: text}
	lines := v.lines[s.Start.Filename]
	if !s.IsValid() || s.Start.Line > len(lines) {
		return e
	}
	line := strings.TrimSuffix(lines[s.Start.Line-1], "\r")
	from := min(max(s.Start.Column-1, 0), len(line))
	to := len(line)
	if s.End.IsValid() && s.End.Line == s.Start.Line {
		to = min(max(s.End.Column-1, from), len(line))
	}
	before, mark, after := []rune(line[:from]), []rune(line[from:to]), []rune(line[to:])
	if len(before) > excerptWidth {
		before = append([]rune("…"), before[len(before)-excerptWidth:]...)
	}
	if len(mark) > 2*excerptWidth {
		mark, after = append(mark[:2*excerptWidth:2*excerptWidth], '…'), nil
	}
	if len(after) > excerptWidth {
		after = append(after[:excerptWidth:excerptWidth], '…')
	}
	e.Before, e.Mark, e.After = visible(strings.TrimLeft(string(before), " \t")), visible(string(mark)), visible(string(after))
	return e
}

// flow is a row of the table of flows.
type flow struct {
	From, To, Service string
	Both              bool // either side may open it
	Denied            bool
	Sees              []seen
	During            string
	Statement         string
	Place             link
}

// seen is what a device on the wire can read of a flow.
type seen struct {
	Class, Word, Reason string
}

func (v *view) flows() {
	p := v.in.Policy
	for _, f := range p.Flows {
		row := flow{
			From: f.From.Label, To: f.To.Label, Denied: f.Verdict == ir.Deny,
			Statement: f.Origin.Label, Place: v.link(f.Origin.Span),
		}
		row.Service = strings.TrimSpace(ports(f.Ports) + " " + service(f, f.Ports))
		if len(f.Ports) == 0 {
			row.Service = "everything"
		}
		if f.Terms != nil && f.Terms.During != nil {
			row.During = f.Terms.During.Name
		}
		for _, l := range p.Legs {
			if l.Flow == f {
				s := seen{Class: string(l.Visibility), Word: sight(l.Visibility)}
				if l.Visibility == ir.Clear {
					s.Reason = l.Reason // of the others the legend has said it
				}
				row.Sees = append(row.Sees, s)
			}
		}
		// What two may open to each other is one row.
		back := slices.IndexFunc(v.Flows, func(o flow) bool {
			return o.From == row.To && o.To == row.From && o.Place == row.Place && o.Service == row.Service && slices.Equal(o.Sees, row.Sees)
		})
		if back >= 0 {
			v.Flows[back].Both = true
			continue
		}
		v.Flows = append(v.Flows, row)
	}
}

// sight is a visibility in the words of the legend.
func sight(s ir.Visibility) string {
	switch s {
	case ir.Clear:
		return "clear text"
	case ir.StartTLS:
		return "STARTTLS"
	case ir.TLS:
		return "TLS"
	}
	return string(s)
}

// waiver is a row of the table of waivers.
type waiver struct {
	Code, On, Until, UntilNote, UntilClass, Because string
	Sets                                            int // how many findings it sets aside
	Place                                           link
}

func (v *view) waivers() {
	for _, w := range v.in.Waivers {
		row := waiver{Code: w.Code, On: visible(w.On), Until: w.Until, Because: visible(w.Because), Place: v.link(w.Span)}
		row.UntilNote, row.UntilClass = v.until(w.Until)
		for _, f := range v.in.Findings {
			if f.Waived != nil && f.Waived.Span == w.Span {
				row.Sets++
			}
		}
		v.Waivers = append(v.Waivers, row)
	}
}

// statement is a row of the table of owners, tickets and last days.
type statement struct {
	Label, Owner, Ticket, During                    string
	Expires, ExpiresNote, ExpiresClass, ExpiresWord string
	Place                                           link
}

func (v *view) statements() {
	p := v.in.Policy
	for _, s := range p.Statements {
		row := statement{
			Label: s.Origin.Label, Owner: visible(s.Terms.Owner), Ticket: visible(s.Terms.Ticket),
			Expires: s.Terms.Expires, Place: v.link(s.Origin.Span),
		}
		if s.Terms.During != nil {
			row.During = s.Terms.During.Name
		}
		row.ExpiresNote, row.ExpiresClass = v.until(s.Terms.Expires)
		v.Statements = append(v.Statements, row)
	}
	observes := func(label, until string, at diag.Span) {
		if until != "" {
			row := statement{Label: label, Expires: until, ExpiresWord: "only observes until", Place: v.link(at)}
			row.ExpiresNote, row.ExpiresClass = v.until(until)
			v.Statements = append(v.Statements, row)
		}
	}
	for _, pt := range p.Points {
		observes(pt.Origin.Label, pt.Observe, pt.ObserveAt)
	}
	for _, c := range p.Content {
		observes(c.Origin.Label, c.Observe, c.ObserveAt)
	}
}

// limit is a row of the table of limits.
type limit struct {
	Kind, Amount, Key, Excess, Of string
	Unseen                        string // why no packet filter counts it
	Place                         link
}

func (v *view) limits() {
	p := v.in.Policy
	var all []*ir.Limit
	add := func(lists ...[]*ir.Limit) {
		for _, l := range slices.Concat(lists...) {
			if !slices.ContainsFunc(all, func(o *ir.Limit) bool { return o == l || o.ID == l.ID && l.ID != "" }) {
				all = append(all, l)
			}
		}
	}
	for _, f := range p.Flows {
		add(f.Limits, f.Bounds)
	}
	for _, t := range p.Clients {
		add(t.Limits)
	}
	for _, t := range p.Federations {
		add(t.Limits)
		for _, peer := range t.Peers {
			add(peer.Limits)
		}
	}
	for _, t := range p.Components {
		add(t.Limits)
	}
	for _, t := range p.Webs {
		add(t.Limits)
	}
	for _, t := range p.Anonymous {
		add(t.Limits)
	}
	for _, t := range p.Media {
		add(t.Limits)
	}
	for _, t := range p.Admins {
		add(t.Limits)
	}
	for _, r := range p.Routes {
		add(r.Limits)
	}
	for _, l := range all {
		row := limit{Kind: string(l.Kind), Amount: l.AmountWords(), Key: l.KeyWords(), Place: v.link(l.Origin.Span), Unseen: l.Unseen()}
		_, row.Of, _ = strings.Cut(l.Origin.Label, " of ")
		row.Excess = "dropped"
		if len(l.Actions) > 0 {
			row.Excess = actions(l.Actions)
		}
		v.Limits = append(v.Limits, row)
	}
}

func actions(as []ir.Action) string {
	var words []string
	for _, a := range as {
		w := a.Name
		if a.For > 0 {
			w += " source " + ir.DurationWords(a.For)
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// content is a content rule.
type content struct {
	Name    string
	Any     []string // the alternatives
	On      string
	Then    string
	Observe string
	During  string
	Place   link
}

func (v *view) content() {
	for _, c := range v.in.Policy.Content {
		row := content{Name: c.ID, Then: actions(c.Actions), Observe: c.Observe, Place: v.link(c.Origin.Span)}
		for _, alternative := range c.Any {
			var words []string
			for _, cond := range alternative {
				words = append(words, condition(cond))
			}
			row.Any = append(row.Any, strings.Join(words, " and "))
		}
		on := slices.Compact(slices.Clone(c.OnNames))
		for _, a := range c.Anonymous {
			on = append(on, a.Origin.Label)
		}
		row.On = visible(strings.Join(on, ", "))
		if c.Terms != nil && c.Terms.During != nil {
			row.During = c.Terms.During.Name
		}
		v.Content = append(v.Content, row)
	}
}

func condition(c ir.Condition) string {
	switch {
	case c.Words != nil:
		return c.What + " in words " + c.Words.Name
	case c.Domains != nil:
		return c.What + " in domains " + c.Domains.Name
	case c.Pattern != nil:
		return c.What + " ~ " + visible(fmt.Sprintf("%q", c.Pattern.Source))
	}
	return c.What + " " + visible(fmt.Sprintf("%q", c.Text))
}

// matrix is which engine holds what.
type matrix struct {
	Columns []column
	Rows    []intent
	Notes   []note
	Nowhere int
}

type column struct{ Point, Engine string }

type intent struct {
	Kind, ID, Label string
	Place           link
	Nowhere         bool
	Cells           []cell
}

// cell is one engine's answer; the zero value is none at all: the intent is no
// concern of that point.
type cell struct {
	Word string
	Note int
}

// note is a reason that answers share.
type note struct {
	Number  int
	Word    string
	Reason  string
	Where   string
	Answers int
	columns []string
}

func (v *view) ledger() {
	if len(v.in.Ledger) == 0 {
		return
	}
	m := &matrix{}
	at := map[column]int{}
	for _, pt := range v.in.Policy.Points { // in the order of the policy
		for _, e := range pt.Engines {
			at[column{pt.Name, e.Kind}] = len(m.Columns)
			m.Columns = append(m.Columns, column{pt.Name, e.Kind})
		}
	}
	rows := map[string]int{}
	for _, e := range v.in.Ledger {
		col, ok := at[column{e.Point, e.Engine}]
		if !ok {
			col = len(m.Columns)
			at[column{e.Point, e.Engine}] = col
			m.Columns = append(m.Columns, column{e.Point, e.Engine})
		}
		i, ok := rows[e.Intent]
		if !ok {
			i = len(m.Rows)
			rows[e.Intent] = i
			kind, id, _ := strings.Cut(e.Intent, " ")
			m.Rows = append(m.Rows, intent{Kind: kind, ID: visible(id), Label: visible(e.Origin.Label), Place: v.link(e.Origin.Span), Nowhere: true})
		}
		r := &m.Rows[i]
		for len(r.Cells) <= col {
			r.Cells = append(r.Cells, cell{})
		}
		r.Cells[col] = cell{string(e.Exact), m.note(e)}
		if e.Exact != ir.None {
			r.Nowhere = false
		}
	}
	for i := range m.Rows {
		for len(m.Rows[i].Cells) < len(m.Columns) {
			m.Rows[i].Cells = append(m.Rows[i].Cells, cell{})
		}
		if m.Rows[i].Nowhere {
			m.Nowhere++
		}
	}
	for i := range m.Notes {
		m.Notes[i].Where = strings.Join(m.Notes[i].columns, ", ")
	}
	v.Matrix = m
}

// note numbers the reason of an answer.
func (m *matrix) note(e ir.LedgerEntry) int {
	where := e.Point + "/" + e.Engine
	i := slices.IndexFunc(m.Notes, func(n note) bool { return n.Word == string(e.Exact) && n.Reason == visible(e.Reason) })
	if i < 0 {
		i = len(m.Notes)
		m.Notes = append(m.Notes, note{Number: i + 1, Word: string(e.Exact), Reason: visible(e.Reason)})
	}
	n := &m.Notes[i]
	n.Answers++
	if !slices.Contains(n.columns, where) {
		n.columns = append(n.columns, where)
	}
	return i + 1
}

// framework is the controls of one standard.
type framework struct {
	Title    string
	Controls []control
	Tally    string
}

type control struct {
	ID, Asks, Says, State, Class string
	Evidence                     []link
	More                         int
	Against                      []string
}

func (v *view) controls() {
	tally := map[string]map[compiler.ControlState]int{}
	for _, c := range compiler.Controls(v.in.Policy, v.in.Findings) {
		if n := len(v.Frameworks); n == 0 || v.Frameworks[n-1].Title != c.Standard {
			v.Frameworks = append(v.Frameworks, framework{Title: c.Standard})
			tally[c.Standard] = map[compiler.ControlState]int{}
		}
		row := control{ID: c.ID, Asks: c.Asks, Says: c.Says, State: string(c.State), Class: map[compiler.ControlState]string{
			compiler.ControlMet: "met", compiler.ControlOpen: "open", compiler.ControlWaived: "set-aside", compiler.ControlSilent: "silent", compiler.ControlOutside: "outside",
		}[c.State]}
		for _, o := range c.Evidence {
			if l := v.link(o.Span); !slices.Contains(row.Evidence, l) {
				row.Evidence = append(row.Evidence, l)
			}
		}
		if most := 6; len(row.Evidence) > most {
			row.More = len(row.Evidence) - most
			row.Evidence = row.Evidence[:most]
		}
		for _, f := range c.Findings {
			if !slices.Contains(row.Against, f.Code) {
				row.Against = append(row.Against, f.Code)
			}
		}
		f := &v.Frameworks[len(v.Frameworks)-1]
		f.Controls = append(f.Controls, row)
		tally[c.Standard][c.State]++
	}
	for i := range v.Frameworks {
		f := &v.Frameworks[i]
		var parts []string
		for _, s := range []compiler.ControlState{compiler.ControlMet, compiler.ControlOpen, compiler.ControlWaived, compiler.ControlSilent, compiler.ControlOutside} {
			if n := tally[f.Title][s]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, s))
			}
		}
		f.Tally = strings.Join(parts, ", ")
	}
}
