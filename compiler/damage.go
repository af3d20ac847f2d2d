package compiler

import (
	"cmp"
	"slices"
	"strings"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// damage is what the mistakes of a policy leave unknown. One run reports every
// mistake, so checks judge the statements that are whole while others are not;
// what is only missing because of a mistake elsewhere is no mistake of its own,
// and is left out.
type damage struct {
	unread   map[string]bool // files of which nothing could be read
	lock     bool            // the lock could not be read
	lost     map[string]bool // words of statements that could not be read
	misspelt []string        // names that are used and not defined
	holes    []diag.Span     // statements with a line that could not be read
	wrong    []diag.Span     // statements with an error, or that lean on one
}

// stretch is a part of a policy that a mistake leaves in doubt as a whole: a
// top-level statement, or one peer or path of such a one, or one line of the
// policy block.
type stretch struct {
	decl  *lang.Decl
	span  diag.Span
	parts []diag.Span
}

func stretchesOf(files []*lang.File) []stretch {
	var out []stretch
	for _, d := range allDecls(files) {
		if d == nil {
			continue
		}
		s := stretch{decl: d, span: d.Span()}
		if d.Policy != nil {
			for _, i := range d.Policy.Body.Items {
				s.parts = append(s.parts, i.Span())
			}
		}
		if d.Federation != nil {
			for _, i := range d.Federation.Body.Items {
				if i.Peer != nil {
					s.parts = append(s.parts, i.Peer.Span())
				}
			}
		}
		if d.Web != nil {
			for _, i := range d.Web.Body.Items {
				if i.Route != nil {
					s.parts = append(s.parts, i.Route.Span())
				}
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b stretch) int { return comparePos(a.span.Start, b.span.Start) })
	return out
}

func comparePos(a, b diag.Pos) int {
	return cmp.Or(cmp.Compare(a.Filename, b.Filename), cmp.Compare(a.Offset, b.Offset))
}

// holding is the top-level statement that holds the place; false when none does.
func holding(statements []stretch, at diag.Pos) (stretch, bool) {
	i, found := slices.BinarySearchFunc(statements, at, func(s stretch, p diag.Pos) int { return comparePos(s.span.Start, p) })
	if !found {
		i--
	}
	if i < 0 || !statements[i].span.Holds(at) {
		return stretch{}, false
	}
	return statements[i], true
}

// around is the innermost stretch that holds the place; false when none does.
func around(statements []stretch, at diag.Pos) (diag.Span, bool) {
	s, ok := holding(statements, at)
	for _, p := range s.parts {
		if p.Holds(at) {
			return p, true
		}
	}
	return s.span, ok
}

// readDamage finds what the statements that could not be read leave unknown.
func readDamage(files []*lang.File, problems []diag.Finding) *damage {
	d := &damage{lost: map[string]bool{}, unread: map[string]bool{}}
	for _, f := range files {
		if f == nil || len(f.Decls) > 0 {
			continue
		}
		for _, p := range problems {
			whole := p.Code == "syntax-size" || p.Code == "syntax-character" && strings.HasPrefix(p.Summary, lang.NoText)
			if whole && p.Span.Start.Filename == f.Name {
				d.unread[f.Name] = true
			}
		}
	}
	d.lock = slices.ContainsFunc(problems, func(p diag.Finding) bool { return p.Code == "lock-invalid" })
	var stretches []stretch
	for _, f := range files {
		if f == nil {
			continue
		}
		for _, l := range f.Lost {
			for _, w := range l.Words {
				d.lost[w] = true
			}
			if stretches == nil {
				stretches = stretchesOf(files)
			}
			if s, ok := around(stretches, l.Pos); ok {
				d.holes = append(d.holes, s)
			}
		}
	}
	return d
}

// unknown keeps the names that are used and not defined: one of them, rightly
// spelt, may be what a name is for that nobody uses.
func (d *damage) unknown(files []*lang.File, found []diag.Finding) {
	for _, f := range found {
		if f.Code == "name-unknown" {
			d.misspelt = append(d.misspelt, wordAt(files, f.Span.Start))
		}
	}
}

// follows reports whether a finding of the resolver is there only because a
// statement or line could not be read, or because a name is misspelt elsewhere.
func (d *damage) follows(files []*lang.File, f diag.Finding) bool {
	switch f.Code {
	case "name-unknown":
		return d.lost[wordAt(files, f.Span.Start)]
	case "name-unused":
		name := wordAt(files, f.Span.Start)
		return d.lost[name] || slices.ContainsFunc(d.misspelt, func(m string) bool { return diag.Slips(m, name) <= max(1, len(m)/3) })
	case "value-missing", "lock-missing":
		if f.Code == "lock-missing" && d.lock || f.Span.Start.Offset == 0 && d.unread[f.Span.Start.Filename] {
			return true
		}
		if f.Span.Start.Offset == 0 && d.lost["policy"] {
			return true // the statement that names the policy
		}
		return slices.ContainsFunc(d.holes, func(s diag.Span) bool { return s.Holds(f.Span.Start) })
	}
	return false
}

// hurts reports whether an error stands elsewhere than in a test, a waiver or a
// content rule.
func hurts(files []*lang.File, found []diag.Finding) bool {
	var asking []diag.Span
	for _, d := range allDecls(files) {
		if d != nil && (d.Test != nil || d.Waive != nil || d.Content != nil) {
			asking = append(asking, d.Span())
		}
	}
	return slices.ContainsFunc(found, func(f diag.Finding) bool {
		return f.Severity == diag.Error && !slices.ContainsFunc(asking, func(s diag.Span) bool { return s.Holds(f.Span.Start) })
	})
}

// mostRepeated bounds how many statements that repeat another are judged by
// themselves.
const mostRepeated = 16

// repeated finds the mistakes in statements that repeat the name or the subject
// of another: they are left out of the policy, so each is resolved once more
// without the others.
func repeated(in Input, found []diag.Finding) []diag.Finding {
	decls := allDecls(in.Files)
	at := func(p diag.Pos) *lang.Decl {
		i := slices.IndexFunc(decls, func(d *lang.Decl) bool { return d != nil && d.Span().Holds(p) })
		if i < 0 {
			return nil
		}
		return decls[i]
	}
	var firsts []*lang.Decl
	again := map[*lang.Decl][]*lang.Decl{}
	for _, f := range found {
		if f.Code != "name-duplicate" || len(f.Labels) == 0 {
			continue
		}
		first, second := at(f.Labels[0].Span.Start), at(f.Span.Start)
		if first == nil || second == nil || first == second || slices.Contains(again[first], second) {
			continue
		}
		if again[first] == nil {
			firsts = append(firsts, first)
		}
		again[first] = append(again[first], second)
	}
	var out []diag.Finding
	judged := 0
	for _, first := range firsts {
		for _, second := range again[first] {
			if judged++; judged > mostRepeated {
				return out
			}
			alone := in
			alone.Files = nil
			for _, f := range in.Files {
				if f == nil {
					continue
				}
				c := *f
				c.Decls = slices.DeleteFunc(slices.Clone(f.Decls), func(d *lang.Decl) bool {
					return d == first || d != second && slices.Contains(again[first], d)
				})
				alone.Files = append(alone.Files, &c)
			}
			s := newState(alone)
			for _, stage := range stages[:slices.IndexFunc(stages, func(x step) bool { return x.whole })] {
				stage.run(s)
			}
			for _, f := range s.found {
				known := slices.ContainsFunc(found, func(g diag.Finding) bool { return g.Code == f.Code && g.Span == f.Span })
				if second.Span().Holds(f.Span.Start) && f.Code != "name-unused" && !known && !s.damage.follows(alone.Files, f) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// wordAt is the word of the policy that stands at a place, or "".
func wordAt(files []*lang.File, at diag.Pos) string {
	text := ""
	for _, f := range files {
		if f == nil || f.Name != at.Filename {
			continue
		}
		lang.Walk(f, func(n lang.Node) bool {
			if w, ok := n.(*lang.Word); ok && w.Pos == at {
				text = w.Text
			}
			return text == "" && n.Span().Start.Offset <= at.Offset && at.Offset <= n.Span().End.Offset
		})
	}
	return text
}

// spread finds the statements that checks cannot judge: those with an error, and
// those that name what such a one declares.
func (d *damage) spread(files []*lang.File, found []diag.Finding) {
	statements := stretchesOf(files)
	d.wrong = slices.Clone(d.holes)
	for _, f := range found {
		if s, ok := around(statements, f.Span.Start); ok && f.Severity == diag.Error {
			d.wrong = append(d.wrong, s)
		}
	}
	users := map[string][]*lang.Decl{} // by the words that they hold
	for _, decl := range allDecls(files) {
		if decl == nil {
			continue
		}
		lang.Walk(decl, func(n lang.Node) bool {
			if w, ok := n.(*lang.Word); ok {
				users[w.Text] = append(users[w.Text], decl)
			}
			return true
		})
	}
	names, added := map[string]bool{}, []string{}
	doubt := func(name string) {
		if name != "" && !names[name] {
			names[name], added = true, append(added, name)
		}
	}
	for w := range d.lost {
		doubt(w)
	}
	for _, w := range d.wrong {
		if s, ok := holding(statements, w.Start); ok {
			doubt(declared(s.decl))
		}
	}
	whole := map[*lang.Decl]bool{}
	for len(added) > 0 {
		name := added[len(added)-1]
		added = added[:len(added)-1]
		for _, decl := range users[name] {
			if !whole[decl] && !names[declared(decl)] {
				whole[decl], d.wrong = true, append(d.wrong, decl.Span())
				doubt(declared(decl))
			}
		}
	}
}

// declared is the name that others use for what the statement declares.
func declared(d *lang.Decl) string {
	switch {
	case d == nil:
	case d.Network != nil:
		return d.Network.Name.Text
	case d.Zone != nil:
		return d.Zone.Name.Text
	case d.Domains != nil:
		return d.Domains.Name.Text
	case d.Words != nil:
		return d.Words.Name.Text
	case d.Pattern != nil:
		return d.Pattern.Name.Text
	case d.Window != nil:
		return d.Window.Name.Text
	case d.Server != nil:
		return d.Server.Name.Text
	case d.Point != nil:
		return d.Point.Name.Text
	}
	return ""
}

// clouds reports whether a finding of a check touches a statement that is in
// doubt.
func (d *damage) clouds(f diag.Finding) bool {
	at := []diag.Span{f.Span}
	for _, l := range f.Labels {
		at = append(at, l.Span)
	}
	return slices.ContainsFunc(at, func(s diag.Span) bool {
		return slices.ContainsFunc(d.wrong, func(w diag.Span) bool { return w.Holds(s.Start) })
	})
}
