package lang

import (
	"errors"
	"reflect"
	"slices"
	"sync"

	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// maxSize bounds a source file, in bytes. Long address lists belong in feeds,
// which are read without the grammar. It is also what keeps every list shorter
// than participle.MaxIterations: a value and its comma are two bytes.
const maxSize = 2_000_000

// maxFindings bounds what one file reports, so that a file which is no policy
// at all costs little.
const maxFindings = 500

// maxUnreadable bounds the places of one file that hold no text, before all of
// it counts as something else than text.
const maxUnreadable = 20

// Parse reads one source file. It never fails: what cannot be read is left out
// of the tree and reported, every problem of the file in one run, at most one
// a statement. A file that is no text is one problem. The tree is never nil, and every node in it is whole: fields
// that the grammar demands are set. name goes into all positions.
func Parse(name string, src []byte) (*File, []diag.Finding) {
	if len(src) > maxSize {
		start := diag.Pos{Filename: name, Line: 1, Column: 1}
		f := diag.New("syntax-size", diag.Span{Start: start, End: start},
			"the file is larger than 2,000,000 bytes, the most that a policy file may have")
		return &File{span: span{start, start}, Name: name}, []diag.Finding{f}
	}
	if f, binary := noText(name, src); binary {
		return &File{span: span{f.Span.Start, f.Span.Start}, Name: name}, []diag.Finding{f}
	}
	text := string(src)
	tokens := scan(name, text)
	findings := faults(tokens)
	balanced, unbalanced := balance(tokens)

	c := newCursor(balanced)
	r := reader{section: sections[reflect.TypeFor[*Decl]()]}
	file := &File{Name: name, text: text}
	r.read(&c, func(item any) { file.Decls = append(file.Decls, item.(*Decl)) })
	if len(r.problems) > 0 {
		file.Lost = append(r.lost, lostBelow(file)...)
	}
	file.Pos = diag.Pos{Filename: name, Line: 1, Column: 1}
	file.EndPos = diag.Pos(tokens[len(tokens)-1].Pos)

	findings = append(findings, r.problems...)
	for _, f := range unbalanced {
		// A { that opens no block need not be told to be open.
		if !slices.ContainsFunc(r.problems, func(p diag.Finding) bool { return p.Span == f.Span }) {
			findings = append(findings, f)
		}
	}
	diag.Sort(findings)
	if len(findings) > maxFindings {
		findings = findings[:maxFindings]
		f := diag.New("syntax-size", findings[maxFindings-1].Span, "the file has more problems than are listed")
		f.Remedy = "Mend the ones above first."
		findings = append(findings, f)
	}
	return file, findings
}

// errNoKeyword stands for the error of the grammar where it is not asked.
var errNoKeyword = errors.New("no keyword")

// reader reads the statements of one section.
type reader struct {
	section  *section
	problems []diag.Finding // of the blocks below it too
	lost     []Lost         // the statements that are left out
	outer    *section       // set if the block lacks its {: a stray } or a statement of outer ends it
}

// read reads statements up to the end of the section, and leaves the lexer
// before the closing brace or at the end of the file.
func (r *reader) read(c *cursor, keep func(any)) {
	// The whole statement right before this one, as places in the token list.
	var from, to cursor
	for {
		first := c.peek()
		if first.EOF() || isBrace(*first, "}") {
			return
		}
		if r.outer != nil && (first.Type == tokStray || r.outer.starts(first) && !r.section.starts(first)) {
			return
		}
		here := *c
		var item any
		var inner []diag.Finding
		err := errNoKeyword
		if r.section.starts(first) {
			item, inner, err = r.statement(c)
		}
		if err != nil {
			previous := between(c, from, to)
			*c = here
			if item, ok := r.respelt(c); ok {
				keep(item)
				from, to = here, here
				continue
			}
			r.mend(c, err, previous)
			r.lose(c, here)
			from, to = here, here
			continue
		}
		if at, ok := r.swallowed(c, here, item); ok {
			*c = here
			for c.peek().Pos.Offset < at {
				c.take()
			}
			r.incomplete(r.section.form(first.Value), between(c, here, *c))
			r.lose(c, here)
			from, to = here, here
			continue
		}
		keep(item)
		r.problems = append(r.problems, inner...)
		from, to = here, *c
	}
}

// statement reads the statement that comes next, with the findings of its
// blocks. Where there is none, the error says where the text does not fit; once
// more is found than is reported, it need not.
func (r *reader) statement(c *cursor) (any, []diag.Finding, error) {
	here := *c
	q := quick{cursor: c}
	if item, got := q.read(r.section.rule()); got == taken {
		return item.Interface(), q.problems(), nil
	}
	*c = here
	if len(r.problems) > maxFindings {
		return nil, nil, errNoKeyword
	}
	return r.section.judge(c)
}

// respellable is how many tokens a statement with a misspelt keyword may have to
// be read all the same.
const respellable = 8192

// respelt reads a statement whose keyword is misspelt as the one that it was
// probably meant to be, if it is whole then, and reports the keyword: what it
// says is clear, so nothing else is wrong because of it. The cursor comes to
// stand behind the statement, or stays.
func (r *reader) respelt(c *cursor) (any, bool) {
	typed := *c.peek()
	if typed.Type != tokWord || r.section.form(typed.Value) != nil || len(r.problems) > maxFindings {
		return nil, false
	}
	near := nearest(typed.Value, r.section.keywords())
	if near == "" {
		return nil, false
	}
	// On a copy: a statement that is not whole must leave no trace.
	tokens := slices.Clone(c.tokens[c.at:min(c.at+respellable, len(c.tokens))])
	tokens[0].Value = near
	if last := tokens[len(tokens)-1]; !last.EOF() {
		tokens[len(tokens)-1] = lexer.EOFToken(last.Pos)
	}
	trial := newCursor(tokens)
	start := trial
	item, inner, err := r.statement(&trial)
	if err != nil || trial.peek().EOF() && len(tokens) == respellable {
		return nil, false
	}
	if _, ok := r.swallowed(&trial, start, item); ok {
		return nil, false
	}
	c.from = c.at + trial.from
	c.at = c.from
	c.skip()
	r.unknown(typed, near, nil)
	r.problems = append(r.problems, inner...)
	return item, true
}

// lose keeps a statement that is left out: from there up to here.
func (r *reader) lose(c *cursor, from cursor) {
	tokens := between(c, from, *c)
	if len(tokens) == 0 {
		return
	}
	l := Lost{Pos: diag.Pos(tokens[0].Pos)}
	for _, t := range tokens {
		if t.Type == tokWord {
			l.Words = append(l.Words, t.Value)
		}
	}
	r.lost = append(r.lost, l)
}

// lostBelow gathers the lost statements of the blocks in a tree.
func lostBelow(n Node) []Lost {
	var lost []Lost
	Walk(n, func(n Node) bool {
		if b, ok := n.(blockReader); ok {
			lost = append(lost, b.missing()...)
		}
		return true
	})
	return lost
}

// swallowed finds the token of a statement that starts a line, is a keyword of
// the section and was read as a value, and gives its offset: a keyword at the
// start of a line starts a statement, so the one before it lacks a value.
// Blocks inside the statement have been through this already.
func (r *reader) swallowed(c *cursor, here cursor, item any) (int, bool) {
	line := 0
	for _, t := range c.tokens[here.from:c.from] {
		if !significant(t) {
			continue
		}
		if isBrace(t, "{") {
			break
		}
		if line > 0 && t.Pos.Line > line && r.section.starts(&t) {
			value := false
			Walk(item.(Node), func(n Node) bool {
				if w, ok := n.(*Word); ok && w.Pos.Offset == t.Pos.Offset {
					value = true
				}
				return !value
			})
			if value {
				return t.Pos.Offset, true
			}
		}
		line = t.Pos.Line
	}
	return 0, false
}

// between lists the significant tokens between two places.
func between(c *cursor, from, to cursor) []lexer.Token {
	var tokens []lexer.Token
	for _, t := range c.tokens[from.from:to.from] {
		if significant(t) {
			tokens = append(tokens, t)
		}
	}
	return tokens
}

// mend reports the statement that comes next, which the grammar refused with
// err, and leaves the lexer where another can start.
func (r *reader) mend(c *cursor, err error, previous []lexer.Token) {
	start := *c
	first := *c.take()
	switch {
	case first.Type == tokStray:
		r.report(diag.New("syntax-block", tokenSpan(first), "this } closes no block"))
		r.skip(c, first, nil)
		return
	case isBrace(first, "{"):
		r.opened(first, previous)
		skipBlock(c)
		return
	}
	var form, guess *form
	var near string
	if first.Type == tokWord {
		form = r.section.form(first.Value)
		if form == nil && len(r.problems) <= maxFindings {
			near = nearest(first.Value, r.section.keywords())
		}
		// A misspelt keyword says well enough what its block should hold.
		if guess = form; near != "" {
			guess = r.section.form(near)
		}
	}
	if form != nil && r.beheaded(c, first, form, err) {
		return
	}
	if form == nil && r.orphan(c, start, first, previous) {
		return
	}
	s := r.skip(c, first, guess)
	if s.faulty || len(r.problems) > maxFindings {
		return
	}
	switch {
	case form != nil:
		r.malformed(form, s, err)
	case first.Type == tokWord:
		r.unknown(first, near, previous)
	default:
		r.unexpected(first, previous)
	}
}

// beheaded reports a statement whose block lacks its {: the grammar refused the
// text right where the block should start. The lexer is behind first.
func (r *reader) beheaded(c *cursor, first lexer.Token, form *form, err error) bool {
	if form.block == nil {
		return false
	}
	start := *c
	header, full := []lexer.Token{first}, form.header()
	t := c.peek()
	for len(header) < full && !t.EOF() && t.Type != tokStray && !isBrace(*t, "{") && !isBrace(*t, "}") {
		header = append(header, *c.take())
		t = c.peek()
	}
	newLine := t.EOF() || t.Pos.Line > header[len(header)-1].Pos.Line
	if len(header) < full || offset(err) != t.Pos.Offset || isBrace(*t, "{") || !newLine && !sections[form.block].starts(t) {
		*c = start
		return false
	}
	r.unopened(c, form, header)
	return true
}

// orphan reports the statement before first, whose block is optional, if first
// would be at home in that block. start is the place of first.
func (r *reader) orphan(c *cursor, start cursor, first lexer.Token, previous []lexer.Token) bool {
	if len(previous) == 0 || isBrace(previous[len(previous)-1], "}") {
		return false
	}
	form := r.section.form(previous[0].Value)
	if form.block == nil || !sections[form.block].starts(&first) {
		return false
	}
	*c = start
	r.unopened(c, form, previous)
	return true
}

// inside reads a block for its findings alone.
func (r *reader) inside(c *cursor, inner *reader) {
	inner.read(c, func(any) {})
	for _, f := range inner.problems {
		r.report(f)
	}
}

// skipped is what skip passed over.
type skipped struct {
	tokens []lexer.Token // up to a block, if there is one
	faulty bool          // a token among them is reported already
}

// skip passes over the rest of a statement that starts with first, whose form
// is known or nil. It stops before the next statement, judged by line starts,
// indentation and keywords, or before the end of the section. A block that
// belongs to the statement is read for its findings.
func (r *reader) skip(c *cursor, first lexer.Token, form *form) skipped {
	s := skipped{tokens: []lexer.Token{first}, faulty: first.Type == tokInvalid || first.Type == tokOpenString}
	for {
		t := *c.peek()
		newLine := t.Pos.Line > s.tokens[len(s.tokens)-1].Pos.Line
		switch {
		case t.EOF() || isBrace(t, "}"):
			return s
		case t.Type == tokStray && newLine:
			return s
		case isBrace(t, "{"):
			if form != nil && form.block != nil {
				c.take()
				r.inside(c, &reader{section: sections[form.block]})
				c.take()
				return s
			}
			c.take()
			skipBlock(c)
			return s
		case newLine && (r.section.starts(&t) || !continues(t, first, form)):
			return s
		case !newLine && r.section.starts(&t) && r.line(c):
			return s
		}
		if t.Type == tokInvalid || t.Type == tokOpenString {
			s.faulty = true
		}
		s.tokens = append(s.tokens, t)
		c.take()
	}
}

// continues reports whether t, at the start of a line, goes on with the
// statement that starts with first.
func continues(t, first lexer.Token, form *form) bool {
	if t.Type != tokWord || slices.Contains(clauses, t.Value) || t.Pos.Column > first.Pos.Column {
		return true
	}
	return form != nil && form.block != nil && sections[form.block].form(t.Value) != nil
}

// line reports whether a whole statement stands here, within this line. It
// leaves the lexer where it was.
func (r *reader) line(c *cursor) bool {
	here := *c
	defer func() { *c = here }()
	line := c.peek().Pos.Line
	if _, _, err := r.statement(c); err != nil {
		return false
	}
	tokens := between(c, here, *c)
	return tokens[len(tokens)-1].Pos.Line == line
}

// skipBlock passes over the rest of a block whose { was read.
func skipBlock(c *cursor) {
	for depth := 1; depth > 0 && !c.peek().EOF(); {
		t := c.take()
		switch {
		case isBrace(*t, "{"):
			depth++
		case isBrace(*t, "}"):
			depth--
		}
	}
}

func (r *reader) report(f diag.Finding) {
	if len(r.problems) <= maxFindings { // one more tells Parse that there are more
		r.problems = append(r.problems, f)
	}
}

// topLevelOnly gives the keywords of the top level that no block uses.
var topLevelOnly = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	top := sections[reflect.TypeFor[*Decl]()]
	for _, w := range top.keywords() {
		words[w] = true
	}
	for _, s := range sections {
		for _, f := range s.forms {
			if s != top {
				delete(words, f.keyword)
			}
		}
	}
	return words
})
