package lang

import (
	"fmt"
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
	column int  // of the first token of the line that the brace stands on
	filled bool // a token of the block was seen
	flat   bool // its first token starts a line that is not indented: columns say nothing
}

// balance makes every { have its }, so that a forgotten brace costs one finding
// instead of the rest of the file. Where braces are missing, line starts and
// columns say which: a missing } is put before the line that stands under the
// line of its {, a } that stands under no open block becomes tokStray, and
// braces deeper than maxDepth are dropped. Text whose braces match is left as
// it is, however it is indented.
func balance(tokens []lexer.Token) ([]lexer.Token, []diag.Finding) {
	var missing, extra int // braces without a partner: { and }
	deepest := 0
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.Type != tokPunct:
		case t.Value == "{":
			missing++
			deepest = max(deepest, missing)
		case t.Value == "}" && missing > 0:
			missing--
		case t.Value == "}":
			extra++
		}
	}
	if missing == 0 && extra == 0 && deepest <= maxDepth {
		return tokens, nil
	}

	var (
		out      = make([]lexer.Token, 0, len(tokens)+missing)
		findings []diag.Finding
		stack    []opening
		over     int // open braces beyond maxDepth
		tooDeep  bool
		after    int // where in out the last token ends that is no space or comment
		last     lexer.Token
		column   int // of the first token of this line
	)
	// unclosed reports the innermost block and closes it after the last token.
	unclosed := func(where lexer.Token, why string) {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		missing--
		f := diag.New("syntax-block", tokenSpan(top.brace), "this block is not closed")
		f.Labels = []diag.Label{{Span: tokenSpan(where), Text: why}}
		findings = append(findings, f)
		closer := lexer.Token{Type: tokPunct, Value: "}", Pos: end(last)}
		out = slices.Insert(out, after, closer)
		after++
	}
	for _, t := range tokens {
		if !significant(t) {
			if t.EOF() {
				for len(stack) > 0 {
					unclosed(t, "the file ends here")
				}
			}
			out = append(out, t)
			continue
		}
		first := last.Pos.Line < t.Pos.Line
		if first {
			column = t.Pos.Column
		}
		if top := len(stack) - 1; top >= 0 && !stack[top].filled {
			stack[top].filled = true
			stack[top].flat = first && column <= stack[top].column && !isBrace(t, "}")
		}
		switch {
		case isBrace(t, "{") && len(stack) == maxDepth:
			if !tooDeep {
				f := diag.New("syntax-size", tokenSpan(t), fmt.Sprintf("blocks are nested deeper than %d levels", maxDepth))
				f.Remedy = "Close the blocks that are open: the language needs three levels."
				findings = append(findings, f)
			}
			tooDeep = true
			over++
			t.Type = tokDropped
		case isBrace(t, "{") && isBrace(last, "{") && missing > 0:
			missing--
			findings = append(findings, diag.New("syntax-block", tokenSpan(t), "this { is one too many"))
			t.Type = tokDropped
		case isBrace(t, "{"):
			stack = append(stack, opening{brace: t, column: column})
		case isBrace(t, "}") && over > 0:
			over--
			t.Type = tokDropped
		case isBrace(t, "}"):
			for first && missing > 0 && outer(stack, column) {
				unclosed(t, "this } stands under an outer block")
			}
			if len(stack) == 0 || extra > 0 && stray(stack[len(stack)-1], t, first) {
				t.Type = tokStray
				extra--
			} else {
				stack = stack[:len(stack)-1]
			}
		case t.Type == tokWord && first:
			for missing > 0 && len(stack) > 0 && ends(stack, t) {
				unclosed(t, "a } is expected before this statement")
			}
		}
		out = append(out, t)
		after, last = len(out), t
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

// stray reports whether t, a }, stands where the } of the innermost block would
// not: at the start of a line right of that block's line, or behind a statement
// on a line of its own.
func stray(top opening, t lexer.Token, first bool) bool {
	if first {
		return t.Pos.Column > top.column
	}
	return t.Pos.Line > top.brace.Pos.Line
}

// ends reports whether t, at the start of a line, cannot be in the innermost
// block: it stands under the line of that block, or left of it. In a block
// without indentation only the keywords that no block has say so.
func ends(stack []opening, t lexer.Token) bool {
	if top := stack[len(stack)-1]; !top.flat {
		return t.Pos.Column <= top.column
	}
	return t.Pos.Column <= stack[0].column && opensDecl(t)
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
