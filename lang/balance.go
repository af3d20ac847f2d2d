package lang

import (
	"slices"

	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// maxDepth bounds how deep braces may nest. The language itself needs three
// levels; whatever is deeper is not a policy.
const maxDepth = 64

// opening is a { that waits for its }.
type opening struct {
	brace  lexer.Token
	column int // of the first token of the line that the brace stands on
}

// balance makes every { have its }, so that a forgotten brace costs one finding
// instead of the rest of the file: a missing } is put where line starts and
// indentation say it was meant to be, a } without a { becomes tokStray, and
// braces deeper than maxDepth are dropped.
func balance(tokens []lexer.Token) ([]lexer.Token, []diag.Finding) {
	missing := 0 // braces that nothing closes, whoever they are
	open := 0
	for _, t := range tokens {
		switch {
		case isBrace(t, "{"):
			open++
		case isBrace(t, "}") && open > 0:
			open--
		}
	}
	missing = open

	var (
		out      = make([]lexer.Token, 0, len(tokens)+missing)
		findings []diag.Finding
		stack    []opening
		over     int // open braces beyond maxDepth
		tooDeep  bool
		after    int // where in out the last significant token ends
		last     lexer.Token
		column   int // of the first token of this line
	)
	// unclosed reports the innermost block and closes it after the last token.
	unclosed := func(where diag.Label) {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		missing--
		f := diag.New("syntax-block", tokenSpan(top.brace), "this block is not closed")
		f.Labels = []diag.Label{where}
		findings = append(findings, f)
		closer := lexer.Token{Type: tokPunct, Value: "}", Pos: end(last)}
		out = slices.Insert(out, after, closer)
		after++
	}
	for _, t := range tokens {
		if !significant(t) {
			if t.EOF() {
				for len(stack) > 0 {
					unclosed(diag.Label{Span: tokenSpan(t), Text: "the file ends here"})
				}
			}
			out = append(out, t)
			continue
		}
		first := last.Pos.Line < t.Pos.Line
		if first {
			column = t.Pos.Column
		}
		switch {
		case isBrace(t, "{") && len(stack) == maxDepth:
			if !tooDeep {
				f := diag.New("syntax-size", tokenSpan(t), "blocks are nested deeper than 64 levels")
				f.Remedy = "Close the blocks that are open: the language needs three levels."
				findings = append(findings, f)
			}
			tooDeep = true
			over++
			t.Type = tokDropped
		case isBrace(t, "{"):
			stack = append(stack, opening{t, column})
		case isBrace(t, "}") && over > 0:
			over--
			t.Type = tokDropped
		case isBrace(t, "}"):
			// A } at the start of a line closes the block whose line starts at
			// the same column, if braces are missing anyway.
			for first && missing > 0 && outer(stack, t.Pos.Column) {
				unclosed(diag.Label{Span: tokenSpan(t), Text: "this } stands under an outer block"})
			}
			if len(stack) == 0 {
				t.Type = tokStray
			} else {
				stack = stack[:len(stack)-1]
			}
		case first && missing > 0 && len(stack) > 0 && t.Pos.Column <= stack[0].column && opensDecl(t):
			for len(stack) > 0 && missing > 0 {
				unclosed(diag.Label{Span: tokenSpan(t), Text: "a } is expected before this statement"})
			}
		}
		out = append(out, t)
		if t.Type != tokDropped {
			after = len(out)
		}
		last = t
	}
	return out, findings
}

// outer reports whether column is that of a block around the innermost one, and
// left of the innermost one.
func outer(stack []opening, column int) bool {
	if len(stack) < 2 || stack[len(stack)-1].column <= column {
		return false
	}
	return slices.ContainsFunc(stack[:len(stack)-1], func(o opening) bool { return o.column == column })
}

// opensDecl reports whether t is a keyword of the top level that no block uses.
func opensDecl(t lexer.Token) bool {
	return t.Type == tokWord && topLevelOnly()[t.Value]
}

func isBrace(t lexer.Token, brace string) bool { return t.Type == tokPunct && t.Value == brace }

// end is the position after a token, which never spans lines.
func end(t lexer.Token) lexer.Position {
	p := t.Pos
	p.Offset += len(t.Value)
	p.Column += len(t.Value)
	return p
}

// tokenSpan is where a token stands.
func tokenSpan(t lexer.Token) diag.Span {
	return diag.Span{Start: diag.Pos(t.Pos), End: diag.Pos(end(t))}
}
