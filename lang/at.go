package lang

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// Place is what an editor asks about an offset of a text, which may be anything
// but well formed: what stands there, and what may.
type Place struct {
	// Word is the word, or the string, that the offset is in or at the end of,
	// and Span is where it is; an empty span where there is none.
	Word string
	Span diag.Span
	// Blank is set in comments: nothing of the language stands there.
	Blank bool

	// Statement is the keyword of the statement that the place is part of; nil
	// between statements. First is set where Word is that keyword.
	Statement *Keyword
	First     bool

	// Keywords may begin a statement here; Words may go on with the one before.
	Keywords []Keyword
	Words    []string
	// Senses are what a name or value may stand for here.
	Senses []Sense
}

// At tells what stands at an offset, and what may stand there in place of the
// word that is there.
func At(src []byte, offset int) Place {
	offset = max(0, min(offset, len(src)))
	tokens := scan("", string(src))
	var before []lexer.Token // the significant ones that end before the place
	here := lexer.Token{Type: tokSpace, Pos: lexer.Position{Offset: offset}}
	for _, t := range tokens {
		if t.Pos.Offset > offset || t.EOF() {
			break
		}
		last := t.Pos.Offset + len(t.Value)
		touches := offset < last || offset == last && (t.Type == tokWord || t.Type == tokString || t.Type == tokOpenString)
		switch {
		case t.Type == tokComment && !bytes.ContainsRune(src[last:max(last, offset)], '\n'):
			return Place{Blank: true}
		case touches && significant(t) && t.Type != tokPunct:
			here = t
		case significant(t):
			before = append(before, t)
		}
	}
	p := Place{Word: here.Value, Span: tokenSpan(here)}
	if here.Type == tokSpace {
		p.Word = ""
		p.Span.Start = positionOf(tokens, offset)
		p.Span.End = p.Span.Start
	}
	p.fill(before, here)
	return p
}

// positionOf is the place of an offset.
func positionOf(tokens []lexer.Token, offset int) diag.Pos {
	i, exact := slices.BinarySearchFunc(tokens, offset, func(t lexer.Token, offset int) int { return t.Pos.Offset - offset })
	if !exact {
		i--
	}
	pos := diag.Pos(tokens[i].Pos)
	pos.Column += offset - pos.Offset
	pos.Offset = offset
	return pos
}

// frame is a block that is open at a place, with the statement that is written
// in it.
type frame struct {
	section   *section // nil where nothing is known
	statement []lexer.Token
}

// fill finds the statement that a place is part of, and what may stand there.
func (p *Place) fill(before []lexer.Token, here lexer.Token) {
	stack := []frame{{section: sections[reflect.TypeFor[*Decl]()]}}
	line := 0 // of the token before
	for _, t := range before {
		top := &stack[len(stack)-1]
		switch {
		case isBrace(t, "{"):
			stack = append(stack, frame{section: top.opens()})
		case isBrace(t, "}"):
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
				stack[len(stack)-1].statement = nil
			}
		case top.begins(t, t.Pos.Line > line):
			top.statement = []lexer.Token{t}
		default:
			top.statement = append(top.statement, t)
		}
		line = t.Pos.Line
	}
	top := &stack[len(stack)-1]
	if top.section == nil {
		return
	}
	newLine := p.Span.Start.Line > line
	complete := top.complete()
	if newLine || complete {
		for i := range top.section.forms {
			p.Keywords = append(p.Keywords, top.section.forms[i].export())
		}
	}
	if here.Type == tokWord && top.begins(here, newLine) {
		top.statement = []lexer.Token{here}
		p.First = true
	} else {
		p.expect(top)
	}
	// On a line of its own a word goes on with a statement only if that needs it.
	if form := top.form(); form != nil && (p.First || !newLine || !complete) {
		k := form.export()
		p.Statement = &k
	}
}

// form is that of the statement that is being written.
func (f *frame) form() *form {
	if f.section == nil || len(f.statement) == 0 {
		return nil
	}
	return f.section.form(f.statement[0].Value)
}

// opens is the section that a { opens here.
func (f *frame) opens() *section {
	if form := f.form(); form != nil && form.block != nil {
		return sections[form.block]
	}
	return nil
}

// begins reports whether t begins a statement: it is a keyword, and starts a
// line or finds the statement before it complete.
func (f *frame) begins(t lexer.Token, newLine bool) bool {
	return f.section != nil && f.section.starts(&t) && (newLine || f.complete())
}

// complete reports whether the statement may end here.
func (f *frame) complete() bool {
	if len(f.statement) == 0 {
		return true
	}
	c := f.cursor()
	q := quick{cursor: &c}
	_, got := q.read(f.section.rule())
	return got == taken && c.peek().EOF()
}

// cursor walks over the statement.
func (f *frame) cursor() cursor {
	return newCursor(append(slices.Clone(f.statement), lexer.EOFToken(end(f.statement[len(f.statement)-1]))))
}

// expect finds what the grammar would take behind the statement so far.
func (p *Place) expect(f *frame) {
	if f.form() == nil {
		return
	}
	c := f.cursor()
	q := quick{cursor: &c, wants: p}
	q.read(f.section.rule())
}

// want notes what an expression of v may begin with.
func (p *Place) want(e *expr, v reflect.Value) {
	switch {
	case e.kind == exprLiteral:
		if e.text[0] >= 'a' && !slices.Contains(p.Words, e.text) {
			p.Words = append(p.Words, e.text)
		}
	case e.kind == exprNode && e.leaf == leafWord:
		p.Senses = append(p.Senses, senseOf(v, e.field))
	}
}
