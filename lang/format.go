package lang

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"
)

// Format gives src in the one format. It works on the list of tokens, so
// comments stay, and only whitespace changes: two spaces of indentation for
// each block and for lines that go on with a statement, no blank lines at the
// edges of a block and never two of them, columns where neighbouring lines are
// alike, and two spaces between statements that share a line. Line breaks stay
// where the author put them, except before a { that opens a block.
//
// Text that does not parse comes back as it is. Format is idempotent.
func Format(src []byte) []byte {
	file, findings := Parse("", src)
	if len(findings) > 0 {
		return src
	}
	f := formatter{starts: map[int]start{}}
	Walk(file, func(n Node) bool {
		if s := sections[reflect.TypeOf(n)]; s != nil {
			f.starts[n.Span().Start.Offset] = start{s, nil}
		}
		return true
	})
	f.split(scan("", string(src)))
	f.indent()
	f.align()
	f.comments()
	return f.bytes()
}

type formatter struct {
	starts map[int]start // by offset
	lines  []row
}

// start is the first token of a statement.
type start struct {
	section *section
	form    *form
}

// row is a line of the file. A row without tokens is blank.
type row struct {
	tokens  []lexer.Token
	comment string // behind the tokens, or alone on the line
	depth   int    // of indentation
	text    string // without indentation and comment
	gap     int    // spaces before the comment
}

func (r *row) blank() bool { return len(r.tokens) == 0 && r.comment == "" }

// split makes rows of the tokens. A { at the start of a line joins the line
// before it, blank lines are thinned out.
func (f *formatter) split(tokens []lexer.Token) {
	var r row
	finish := func() {
		last := len(f.lines) - 1
		switch {
		case r.blank():
			if last >= 0 && !f.lines[last].blank() && !f.lines[last].opens() {
				f.lines = append(f.lines, row{})
			}
		case len(r.tokens) > 0 && isBrace(r.tokens[0], "}") && last >= 0 && f.lines[last].blank():
			f.lines[last] = r
		case len(r.tokens) > 0 && isBrace(r.tokens[0], "{") && f.joins():
			prev := &f.lines[len(f.lines)-1]
			prev.tokens = append(prev.tokens, r.tokens...)
			prev.comment = r.comment
		default:
			f.lines = append(f.lines, r)
		}
		r = row{}
	}
	for _, t := range tokens {
		switch t.Type {
		case lexer.EOF, tokNewline:
			finish()
		case tokSpace:
		case tokComment:
			r.comment = t.Value
		default:
			if s, ok := f.starts[t.Pos.Offset]; ok && s.form == nil {
				s.form = s.section.form(t.Value)
				f.starts[t.Pos.Offset] = s
			}
			r.tokens = append(r.tokens, t)
		}
	}
	if last := len(f.lines) - 1; last >= 0 && f.lines[last].blank() {
		f.lines = f.lines[:last]
	}
}

// opens reports whether the row ends inside a block that starts on it.
func (r *row) opens() bool {
	return len(r.tokens) > 0 && isBrace(r.tokens[len(r.tokens)-1], "{")
}

// joins removes blank rows at the end if the row before them can take a { more,
// and reports whether it can.
func (f *formatter) joins() bool {
	n := len(f.lines)
	if n > 0 && f.lines[n-1].blank() {
		n--
	}
	if n == 0 || f.lines[n-1].comment != "" {
		return false
	}
	f.lines = f.lines[:n]
	return true
}

// indent finds the depth of every row.
func (f *formatter) indent() {
	depth := 0
	for i := range f.lines {
		r := &f.lines[i]
		r.depth = depth
		leading := true
		for _, t := range r.tokens {
			switch {
			case isBrace(t, "{"):
				depth++
			case isBrace(t, "}"):
				depth--
				if leading {
					r.depth--
				}
				continue
			}
			leading = false
		}
		if f.continues(i) {
			r.depth++
		}
	}
}

// continues reports whether a row goes on with the statement of a row before
// it. A comment does so if what follows it does.
func (f *formatter) continues(i int) bool {
	for ; i < len(f.lines); i++ {
		if len(f.lines[i].tokens) > 0 {
			first := f.lines[i].tokens[0]
			_, starts := f.starts[first.Pos.Offset]
			return !starts && !isBrace(first, "}") && !isBrace(first, "{")
		}
	}
	return false
}

// spaces is the number of spaces between two tokens of a row.
func (f *formatter) spaces(a, b lexer.Token) int {
	_, starts := f.starts[b.Pos.Offset]
	switch {
	case b.Type == tokPunct && b.Value == ",", isBrace(a, "{") && isBrace(b, "}"):
		return 0
	case starts && !isBrace(a, "{"):
		return 2
	}
	return 1
}

// join writes tokens with the spaces between them.
func (f *formatter) join(tokens []lexer.Token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", f.spaces(tokens[i-1], t)))
		}
		b.WriteString(t.Value)
	}
	return b.String()
}

// align writes the rows. Neighbours of the same shape share columns.
func (f *formatter) align() {
	for i := 0; i < len(f.lines); {
		shape, _ := f.columns(&f.lines[i])
		n := i + 1
		for shape != "" && n < len(f.lines) && f.lines[n].depth == f.lines[i].depth {
			if next, _ := f.columns(&f.lines[n]); next != shape {
				break
			}
			n++
		}
		f.write(f.lines[i:n])
		i = n
	}
}

// columns gives the shape of a row, and the indices of the tokens that start a
// column after the first. Rows of shape "" stand alone.
func (f *formatter) columns(r *row) (shape string, cuts []int) {
	if len(r.tokens) < 2 {
		return "", nil
	}
	first, ok := f.starts[r.tokens[0].Pos.Offset]
	if !ok {
		return "", nil
	}
	// Only a block may hold further statements, and it must be whole and last.
	open := slices.IndexFunc(r.tokens, func(t lexer.Token) bool { return isBrace(t, "{") })
	depth := 0
	for i, t := range r.tokens {
		_, starts := f.starts[t.Pos.Offset]
		switch {
		case isBrace(t, "{"):
			depth++
		case isBrace(t, "}"):
			depth--
		case i > 0 && depth == 0 && (starts || open >= 0 && i > open):
			return "", nil
		}
	}
	if depth != 0 {
		return "", nil
	}
	at := func(text string) int {
		return slices.IndexFunc(r.tokens, func(t lexer.Token) bool { return t.Value == text })
	}
	keyword := first.form.keyword
	top := first.section == sections[reflect.TypeFor[*Decl]()]
	switch {
	case first.form.block != nil && !first.form.optional() && top:
		return "block " + keyword, []int{1, open}
	case first.form.block != nil && !first.form.optional() && open > 0:
		return "block", []int{1, open}
	case first.form.block != nil && !first.form.optional():
		return "block", []int{1}
	case top && at("=") > 0 && (open < 0 || at("=") < open):
		return keyword, []int{1, at("=")}
	case keyword == "catch" || keyword == "pass":
		return "case", []int{1, 2}
	case first.section == sections[reflect.TypeFor[*TestLine]()]:
		return "test", []int{1, 2, at("->")}
	case top && keyword != "allow" && keyword != "deny", keyword == "limit":
		return "", nil
	}
	return "keyword", []int{1}
}

// write makes the text of rows that share columns.
func (f *formatter) write(rows []row) {
	cells := make([][]string, len(rows))
	var widths []int
	for i := range rows {
		_, cuts := f.columns(&rows[i])
		from := 0
		for k, cut := range cuts {
			if cut <= from || cut >= len(rows[i].tokens) { // it is on a later line
				continue
			}
			cells[i] = append(cells[i], f.join(rows[i].tokens[from:cut]))
			from = cut
			if k == len(widths) {
				widths = append(widths, 0)
			}
			widths[k] = max(widths[k], utf8.RuneCountInString(cells[i][len(cells[i])-1]))
		}
		cells[i] = append(cells[i], f.join(rows[i].tokens[from:]))
	}
	for i, row := range cells {
		var b strings.Builder
		for k, cell := range row {
			b.WriteString(cell)
			if k < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[k]-utf8.RuneCountInString(cell)+1))
			}
		}
		rows[i].text = b.String()
	}
}

// comments lines up the comments behind the statements of neighbouring rows.
func (f *formatter) comments() {
	behind := func(i int) bool { return f.lines[i].text != "" && f.lines[i].comment != "" }
	for i := 0; i < len(f.lines); {
		n, width := i, 0
		for n < len(f.lines) && behind(n) && f.lines[n].depth == f.lines[i].depth {
			width = max(width, utf8.RuneCountInString(f.lines[n].text))
			n++
		}
		for k := i; k < n; k++ {
			f.lines[k].gap = width - utf8.RuneCountInString(f.lines[k].text) + 2
		}
		i = max(n, i+1)
	}
}

func (f *formatter) bytes() []byte {
	var b bytes.Buffer
	for _, r := range f.lines {
		if !r.blank() {
			b.WriteString(strings.Repeat("  ", r.depth))
			b.WriteString(r.text)
			b.WriteString(strings.Repeat(" ", r.gap))
			b.WriteString(r.comment)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
