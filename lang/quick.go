package lang

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// participle reads the grammar in the tags of nodes.go well, and slowly. Nearly
// every statement of a policy is well formed, so those are read here: the same
// tags, compiled once, and no way back. An alternative whose first token fits is
// the one; where it then fails, the statement is participle's, which says
// whether and where it is wrong. What is read here is what participle would
// read: it takes the first alternative that fits, too. FuzzQuick compares them.

// expr is a piece of the grammar.
type expr struct {
	kind  exprKind
	text  string   // of a literal
	parts []*expr  // of a sequence or choice; one for the others
	field int      // that a capture fills, as an index into the struct
	leaf  leafKind // of a node: what it is made of
	rule  *rule    // of a node that is a struct
	// first holds the literals that it may begin with, each with the parts of a
	// choice that do. What may begin otherwise has any set.
	first map[string][]*expr
	any   bool
}

type exprKind int

const (
	exprLiteral  exprKind = iota // 'x'
	exprSequence                 // a b
	exprChoice                   // a | b
	exprMaybe                    // a?
	exprMany                     // a*
	exprNot                      // (?! a)
	exprText                     // @a: the text of the token, or that it is there
	exprNode                     // @@
)

type leafKind int

const (
	leafStruct leafKind = iota
	leafWord
	leafStr
	leafBlock
)

// rule is the grammar of one type of node.
type rule struct {
	typ  reflect.Type
	expr *expr
}

// rules holds the rules by their types.
var rules sync.Map

// ruleOf compiles the tags of a struct.
func ruleOf(t reflect.Type) *rule {
	if r, ok := rules.Load(t); ok {
		return r.(*rule)
	}
	p := tagParser{typ: t}
	for i := range t.NumField() {
		for _, text := range tagTokens(t.Field(i).Tag.Get("parser")) {
			p.pieces = append(p.pieces, piece{text, i})
		}
	}
	r := &rule{typ: t, expr: p.choice()}
	if p.next < len(p.pieces) {
		panic(fmt.Sprintf("the grammar of %v ends at %s", t, p.peek()))
	}
	rules.Store(t, r)
	return r
}

// piece is a token of the tags, with the field whose tag it stands in.
type piece struct {
	text  string
	field int
}

// tagTokens cuts a tag into literals, with the quote before them, and signs.
func tagTokens(tag string) []string {
	var out []string
	for tag = strings.TrimSpace(tag); tag != ""; tag = strings.TrimSpace(tag) {
		n := 1
		switch {
		case tag[0] == '\'':
			n = 1 + strings.IndexByte(tag[1:], '\'')
			out = append(out, tag[:n])
			tag = tag[n+1:]
			continue
		case strings.HasPrefix(tag, "(?!"):
			n = 3
		case strings.HasPrefix(tag, "@@"):
			n = 2
		}
		out = append(out, tag[:n])
		tag = tag[n:]
	}
	return out
}

// tagParser reads the tags of one struct, which are one expression.
type tagParser struct {
	typ    reflect.Type
	pieces []piece
	next   int
}

func (p *tagParser) peek() string {
	if p.next < len(p.pieces) {
		return p.pieces[p.next].text
	}
	return ""
}

func (p *tagParser) choice() *expr {
	e := &expr{kind: exprChoice, parts: []*expr{p.sequence()}}
	for p.peek() == "|" {
		p.next++
		e.parts = append(e.parts, p.sequence())
	}
	if len(e.parts) == 1 {
		return e.parts[0]
	}
	for _, part := range e.parts {
		e.starts(part)
	}
	return e
}

func (p *tagParser) sequence() *expr {
	e := &expr{kind: exprSequence}
	for p.peek() != "" && p.peek() != "|" && p.peek() != ")" {
		e.parts = append(e.parts, p.term())
	}
	if len(e.parts) == 1 {
		return e.parts[0]
	}
	e.starts(e.parts[0])
	return e
}

// starts adds what part may begin with to what e may begin with.
func (e *expr) starts(part *expr) {
	if e.first == nil {
		e.first = map[string][]*expr{}
	}
	e.any = e.any || part.any
	for word := range part.first {
		e.first[word] = append(e.first[word], part)
	}
}

// begins reports whether e may begin with t.
func (e *expr) begins(t *lexer.Token) bool {
	if e.any {
		return true
	}
	_, ok := e.first[t.Value]
	return ok
}

func (p *tagParser) term() *expr {
	e := p.plain()
	switch p.peek() {
	case "?":
		p.next++
		return &expr{kind: exprMaybe, parts: []*expr{e}, any: true}
	case "*":
		p.next++
		return &expr{kind: exprMany, parts: []*expr{e}, any: true}
	}
	return e
}

func (p *tagParser) plain() *expr {
	at := p.pieces[p.next]
	p.next++
	switch {
	case at.text[0] == '\'':
		return &expr{kind: exprLiteral, text: at.text[1:], first: map[string][]*expr{at.text[1:]: nil}}
	case at.text == "(" || at.text == "(?!":
		e := p.choice()
		p.next++ // the closing one
		if at.text == "(?!" {
			e = &expr{kind: exprNot, parts: []*expr{e}, any: true}
		}
		return e
	case at.text == "@":
		e := p.plain()
		return &expr{kind: exprText, parts: []*expr{e}, field: at.field, first: e.first, any: e.any}
	case at.text == "@@":
		return p.node(at.field)
	}
	panic(fmt.Sprintf("the grammar of %v has no use for %s", p.typ, at.text))
}

// node is @@ in the tag of a field.
func (p *tagParser) node(field int) *expr {
	e := &expr{kind: exprNode, field: field, any: true}
	t := p.typ.Field(field).Type
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[Word]():
		e.leaf = leafWord
	case t == reflect.TypeFor[Str]():
		e.leaf = leafStr
	case reflect.PointerTo(t).Implements(reflect.TypeFor[blockReader]()):
		e.leaf = leafBlock
	default:
		e.rule = ruleOf(t)
		e.first, e.any = e.rule.expr.first, e.rule.expr.any
	}
	return e
}

// blockReader is a Block of any kind of statements.
type blockReader interface {
	readBlock(*cursor)
	found() []diag.Finding
	missing() []Lost
}

// readBlock reads { statements }, passes over what is not well formed, and keeps
// the findings. The cursor stands before the {.
func (b *Block[T]) readBlock(c *cursor) {
	r := reader{section: sections[reflect.TypeFor[T]()]}
	b.Pos = diag.Pos(c.take().Pos)
	r.read(c, func(item any) { b.Items = append(b.Items, item.(T)) })
	c.take() // balance has made sure that this is the closing brace
	b.EndPos = c.behind()
	b.problems, b.lost = r.problems, r.lost
}

func (b *Block[T]) found() []diag.Finding { return b.problems }
func (b *Block[T]) missing() []Lost       { return b.lost }

// outcome is how far an expression came.
type outcome int

const (
	absent outcome = iota // nothing was taken
	taken
	stuck // something was taken, and then it did not fit
)

// quick reads statements that are well formed.
type quick struct {
	*cursor
	blocks []blockReader // that were read
	wants  *Place        // what is told what may come at the end; nil where nobody asks
}

// asked reports whether the end is reached, and somebody asks what may come.
func (q *quick) asked() bool { return q.wants != nil && q.peek().EOF() }

// problems are the findings of the blocks.
func (q *quick) problems() []diag.Finding {
	var out []diag.Finding
	for _, b := range q.blocks {
		out = append(out, b.found()...)
	}
	return out
}

// read reads a node by its rule; nil where it is absent, or stuck.
func (q *quick) read(r *rule) (reflect.Value, outcome) {
	first := q.peek()
	if !r.expr.begins(first) && !q.asked() {
		return reflect.Value{}, absent
	}
	node := reflect.New(r.typ)
	from := first.Pos
	got := q.run(r.expr, node.Elem())
	if got == taken {
		node.Interface().(placed).place(diag.Pos(from), q.behind())
	}
	return node, got
}

// placed is every node: it can be told where it stands.
type placed interface {
	place(from, to diag.Pos)
}

func (s *span) place(from, to diag.Pos) { s.Pos, s.EndPos = from, to }

// run reads an expression into the fields of v.
func (q *quick) run(e *expr, v reflect.Value) outcome {
	t := q.peek()
	asked := q.asked()
	switch {
	case asked && e.kind == exprText:
		return q.run(e.parts[0], v)
	case asked:
		q.wants.want(e, v)
		if e.kind == exprLiteral {
			return absent
		}
	case !e.begins(t):
		return absent
	}
	switch e.kind {
	case exprLiteral:
		q.take()
	case exprText:
		switch field := v.Field(e.field); field.Kind() {
		case reflect.Bool:
			field.SetBool(true)
		default:
			field.SetString(t.Value)
		}
		q.take()
	case exprSequence:
		start := q.at
		for _, part := range e.parts {
			if got := q.run(part, v); got == taken {
				continue
			}
			if q.at == start {
				return absent
			}
			return stuck
		}
	case exprChoice:
		parts := e.parts
		if !e.any && !asked {
			parts = e.first[t.Value]
		}
		for _, part := range parts {
			if got := q.run(part, v); got != absent {
				return got
			}
		}
		return absent
	case exprMaybe:
		if q.run(e.parts[0], v) == stuck {
			return stuck
		}
	case exprMany:
		for {
			switch q.run(e.parts[0], v) {
			case stuck:
				return stuck
			case absent:
				return taken
			}
		}
	case exprNot:
		if e.parts[0].begins(t) {
			return absent
		}
	case exprNode:
		return q.node(e, v.Field(e.field))
	}
	return taken
}

// node reads a node into a field, which is a node, a pointer to one, or a list
// of pointers.
func (q *quick) node(e *expr, field reflect.Value) outcome {
	switch t := q.peek(); e.leaf {
	case leafWord:
		if t.Type != tokWord {
			return absent
		}
		q.take()
		word := &Word{span{diag.Pos(t.Pos), diag.Pos(end(*t))}, t.Value}
		switch to := field.Addr().Interface().(type) {
		case **Word:
			*to = word
		case *[]*Word:
			*to = append(*to, word)
		}
	case leafStr:
		if t.Type != tokString {
			return absent
		}
		q.take()
		str := &Str{span{diag.Pos(t.Pos), diag.Pos(end(*t))}, t.Value}
		switch to := field.Addr().Interface().(type) {
		case **Str:
			*to = str
		case *[]*Str:
			*to = append(*to, str)
		}
	case leafBlock:
		if !isBrace(*t, "{") {
			return absent
		}
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		block := field.Addr().Interface().(blockReader)
		block.readBlock(q.cursor)
		q.blocks = append(q.blocks, block)
	case leafStruct:
		node, got := q.read(e.rule)
		if got != taken {
			return got
		}
		if field.Kind() == reflect.Slice {
			field.Set(reflect.Append(field, node))
		} else {
			field.Set(node)
		}
	}
	return taken
}

// cursor walks over tokens, of which the grammar sees the significant ones.
type cursor struct {
	tokens []lexer.Token // the last one is EOF
	at     int           // the next significant token
	from   int           // behind the last one that was taken
}

func newCursor(tokens []lexer.Token) cursor {
	c := cursor{tokens: tokens}
	c.skip()
	return c
}

func (c *cursor) skip() {
	for !significant(c.tokens[c.at]) && !c.tokens[c.at].EOF() {
		c.at++
	}
}

// peek is the next significant token.
func (c *cursor) peek() *lexer.Token { return &c.tokens[c.at] }

// take passes over the next significant token, and gives it.
func (c *cursor) take() *lexer.Token {
	t := &c.tokens[c.at]
	if t.EOF() {
		return t
	}
	c.at++
	c.from = c.at
	c.skip()
	return t
}

// behind is the place behind the token that was taken last.
func (c *cursor) behind() diag.Pos { return diag.Pos(c.tokens[c.from].Pos) }
