package lang

import (
	"strings"

	"xfwc/lang/diag"
)

// Edits that take something out of a file. Comments stay, wherever they stand.

// Replace puts other text in the place of a node.
func Replace(n Node, text string) []diag.Edit {
	return []diag.Edit{{Span: n.Span(), New: text}}
}

// Text is what stands at a span of the file, on one line and without comments.
func (f *File) Text(s diag.Span) string {
	var words []string
	for at := s.Start.Offset; at < s.End.Offset; {
		typ, n := next(f.text[at:])
		if typ != tokSpace && typ != tokNewline && typ != tokComment {
			words = append(words, f.text[at:at+n])
		}
		at += n
	}
	return strings.Join(words, " ")
}

// Remove takes a statement out of the file, and its line where nothing else is
// on it.
func (f *File) Remove(n Node) []diag.Edit {
	s := n.Span()
	anchor, from, to := s.Start, s.Start.Offset, s.End.Offset
	var edits []diag.Edit
	for at := from; at < to; {
		typ, n := next(f.text[at:])
		if typ == tokComment {
			edits = append(edits, f.without(anchor, from, at)...)
			// It keeps its line to itself.
			from = at + n + len(lineBreak(f.text[at+n:]))
			anchor = f.at(anchor, from)
		}
		at += n
	}
	head := strings.TrimRight(f.text[:from], " \t")
	behind := strings.TrimLeft(f.text[to:], " \t")
	to = len(f.text) - len(behind)
	if last := lineBreak(behind); last != "" || behind == "" {
		from = len(head)
		if head == "" || strings.HasSuffix(head, "\n") {
			to += len(last)
		}
	}
	return append(edits, f.without(anchor, from, to)...)
}

// RemoveEntry takes an entry out of a list with its comma. before is the entry
// before it; the first entry of a list cannot be taken out.
func (f *File) RemoveEntry(before, n Node) []diag.Edit {
	anchor, from, to := n.Span().Start, n.Span().Start.Offset, n.Span().End.Offset
	gap := len(strings.TrimRight(f.text[:from], " \t")) // where the white space before it starts
	if comma, ok := f.comma(to, len(f.text)); ok {
		behind := len(f.text) - len(strings.TrimLeft(f.text[comma+1:], " \t"))
		if strings.Trim(f.text[to:comma], " \t") != "" {
			return append(f.without(anchor, gap, to), f.without(anchor, comma, behind)...)
		}
		return f.without(anchor, from, behind)
	}
	anchor = before.Span().End
	comma, ok := f.comma(anchor.Offset, from)
	switch {
	case !ok:
		return nil // they are not of one list
	case strings.TrimSpace(f.text[comma+1:from]) == "":
		return f.without(anchor, comma, to)
	}
	return append(f.without(anchor, comma, comma+1), f.without(n.Span().Start, gap, to)...)
}

// comma finds the comma that comes next between two offsets, with nothing but
// white space and comments before it.
func (f *File) comma(from, to int) (int, bool) {
	for at := from; at < to; {
		typ, n := next(f.text[at:])
		switch {
		case typ == tokPunct && f.text[at] == ',':
			return at, true
		case typ != tokSpace && typ != tokNewline && typ != tokComment:
			return 0, false
		}
		at += n
	}
	return 0, false
}

// lineBreak is the line break that a text starts with, or "".
func lineBreak(text string) string {
	if strings.HasPrefix(text, "\r\n") {
		return "\r\n"
	}
	return text[:len(text)-len(strings.TrimPrefix(text, "\n"))]
}

// without is the edit that removes the text between two offsets, if there is any.
func (f *File) without(anchor diag.Pos, from, to int) []diag.Edit {
	if from >= to {
		return nil
	}
	start := f.at(anchor, from)
	return []diag.Edit{{Span: diag.Span{Start: start, End: f.at(start, to)}}}
}

// at is the position of an offset that comes after a known one, or before it on
// the same line.
func (f *File) at(known diag.Pos, offset int) diag.Pos {
	p := known
	p.Offset, p.Column = offset, known.Column+offset-known.Offset
	if offset > known.Offset {
		between := f.text[known.Offset:offset]
		if last := strings.LastIndexByte(between, '\n'); last >= 0 {
			p.Line += strings.Count(between, "\n")
			p.Column = len(between) - last
		}
	}
	return p
}
