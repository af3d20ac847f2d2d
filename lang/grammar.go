package lang

import (
	"io"
	"reflect"
	"slices"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// The grammar is in the tags of nodes.go, and participle is who says what they
// mean: it judges every statement that is not plainly well formed (quick.go),
// and it spells the grammar of SPEC.md.

// sectionOf makes the section whose statements are of type *T.
func sectionOf[T any](where string, forms ...form) *section {
	// Two tokens decide every production, one of them the keyword.
	parser := sync.OnceValue(func() *participle.Parser[T] {
		elide := []string{"Comment", "Space", "Newline", "Dropped"}
		return participle.MustBuild[T](participle.Lexer(definition{}), participle.Elide(elide...), participle.UseLookahead(1))
	})
	return &section{
		where:  where,
		forms:  forms,
		rule:   sync.OnceValue(func() *rule { return ruleOf(reflect.TypeFor[T]()) }),
		judge:  func(c *cursor) (any, []diag.Finding, error) { return judge(c, parser()) },
		syntax: func() string { return parser().String() },
	}
}

// judge has participle read a statement. What it sees of the tokens behind it is
// little at first, and more if it comes to the end of that: it copies what it is
// given, and files have many statements.
func judge[T any](c *cursor, parser *participle.Parser[T]) (any, []diag.Finding, error) {
	for n := 64; ; n *= 8 {
		seen, whole := c.tokens[c.at:], true
		if len(seen) > n {
			seen, whole = append(slices.Clone(seen[:n]), lexer.EOFToken(seen[n].Pos)), false
		}
		last := seen[len(seen)-1].Pos.Offset
		lex, _ := lexer.Upgrade(&tokenList{tokens: seen}, elided...) // a tokenList has no errors
		item, err := parser.ParseFromLexer(lex, participle.AllowTrailing(true))
		switch {
		case !whole && (err == nil && lex.Peek().EOF() || err != nil && offset(err) == last):
			continue
		case err != nil:
			return nil, nil, err
		}
		c.from = c.at + int(lex.RawCursor())
		c.at = c.from
		c.skip()
		return item, below(any(item).(Node)), nil
	}
}

// below gathers the findings of the blocks of a statement.
func below(n Node) []diag.Finding {
	var findings []diag.Finding
	Walk(n, func(n Node) bool {
		b, ok := n.(blockReader)
		if ok {
			findings = append(findings, b.found()...)
		}
		return !ok
	})
	return findings
}

// Parse implements participle.Parseable.
func (w *Word) Parse(lex *lexer.PeekingLexer) error {
	t := lex.Peek()
	if t.Type != tokWord {
		return participle.NextMatch
	}
	w.Text, w.span = t.Value, span{diag.Pos(t.Pos), diag.Pos(end(*t))}
	lex.Next()
	return nil
}

// Parse implements participle.Parseable.
func (s *Str) Parse(lex *lexer.PeekingLexer) error {
	t := lex.Peek()
	if t.Type != tokString {
		return participle.NextMatch
	}
	s.Raw, s.span = t.Value, span{diag.Pos(t.Pos), diag.Pos(end(*t))}
	lex.Next()
	return nil
}

// Parse implements participle.Parseable: it reads a block as the quick way does.
func (b *Block[T]) Parse(lex *lexer.PeekingLexer) error {
	if !isBrace(*lex.Peek(), "{") {
		return participle.NextMatch
	}
	from := lex.RawCursor()
	for depth := 0; ; {
		t := lex.Next()
		switch {
		case t.EOF(): // what participle was given ends here
			return participle.Errorf(t.Pos, "no end")
		case isBrace(*t, "{"):
			depth++
		case isBrace(*t, "}"):
			depth--
		}
		if depth == 0 {
			break
		}
	}
	tokens := append(slices.Clone(lex.Range(from, lex.RawCursor())), lexer.EOFToken(lex.RawPeek().Pos))
	c := newCursor(tokens)
	b.readBlock(&c)
	return nil
}

// symbols names the token types for the grammar tags. The elided ones start
// with a capital too: participle drops tokens of lower-case names before they
// reach the token list, and the ends of nodes would be wrong.
var symbols = map[string]lexer.TokenType{
	"EOF":        lexer.EOF,
	"Word":       tokWord,
	"String":     tokString,
	"Punct":      tokPunct,
	"Comment":    tokComment,
	"Space":      tokSpace,
	"Newline":    tokNewline,
	"OpenString": tokOpenString,
	"Invalid":    tokInvalid,
	"Stray":      tokStray,
	"Dropped":    tokDropped,
}

// elided are the token types that the grammar does not see.
var elided = []lexer.TokenType{tokComment, tokSpace, tokNewline, tokDropped}

// definition is the lexer as participle wants it.
type definition struct{}

// Symbols implements lexer.Definition.
func (definition) Symbols() map[string]lexer.TokenType { return symbols }

// Lex implements lexer.Definition.
func (definition) Lex(name string, r io.Reader) (lexer.Lexer, error) {
	src, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return &tokenList{tokens: scan(name, string(src))}, nil
}

// tokenList hands out tokens that are already there; the last one is EOF.
type tokenList struct {
	tokens []lexer.Token
	next   int
}

// Next implements lexer.Lexer.
func (l *tokenList) Next() (lexer.Token, error) {
	t := l.tokens[l.next]
	if !t.EOF() {
		l.next++
	}
	return t, nil
}
