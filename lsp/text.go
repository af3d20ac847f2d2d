package lsp

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"xfwc/lang/diag"
)

// text is a text with the places of its lines. It is never changed.
type text struct {
	bytes []byte
	lines []int // where lines begin
}

// newText finds the lines of a text, as the protocol counts them: they end with
// \n, \r\n or \r.
func newText(b []byte) *text {
	t := &text{bytes: b, lines: []int{0}}
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
			i++
			fallthrough
		case b[i] == '\n', b[i] == '\r':
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// line is the text of a line without its end.
func (t *text) line(n int) []byte {
	end := len(t.bytes)
	if n+1 < len(t.lines) {
		end = t.lines[n+1]
	}
	return []byte(strings.TrimRight(string(t.bytes[t.lines[n]:end]), "\r\n"))
}

// offset is where a position is. What lies behind a line is at its end, and what
// lies behind the text is at the end of that; a position inside a character is
// before it.
func (t *text) offset(p position) int {
	switch {
	case p.Line < 0:
		return 0
	case p.Line >= len(t.lines):
		return len(t.bytes)
	}
	at, units := t.lines[p.Line], 0
	for rest := t.line(p.Line); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if units += width(r); units > p.Character {
			break
		}
		at, rest = at+size, rest[size:]
	}
	return at
}

// position is the place of an offset. One inside a character is before it.
func (t *text) position(offset int) position {
	offset = max(0, min(offset, len(t.bytes)))
	line, exact := slices.BinarySearch(t.lines, offset)
	if !exact {
		line--
	}
	p := position{Line: line}
	for at := t.lines[line]; at < offset; {
		r, size := utf8.DecodeRune(t.bytes[at:])
		if at += size; at <= offset {
			p.Character += width(r)
		}
	}
	return p
}

// width is the number of UTF-16 code units of a character. A byte that is no
// UTF-8 counts as the character that stands for it.
func width(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

// span is the range of a span. One without an end is a character.
func (t *text) span(s diag.Span) textRange {
	from, to := s.Start.Offset, s.End.Offset
	if !s.End.IsValid() || to < from {
		to = from
	}
	if to == from && from < len(t.bytes) && t.bytes[from] != '\n' && t.bytes[from] != '\r' {
		_, size := utf8.DecodeRune(t.bytes[from:])
		to = from + size
	}
	return textRange{t.position(from), t.position(to)}
}

// apply makes an edit.
func (t *text) apply(c contentChange) *text {
	if c.Range == nil {
		return newText([]byte(c.Text))
	}
	from, to := t.offset(c.Range.Start), t.offset(c.Range.End)
	if to < from {
		from, to = to, from
	}
	return newText(slices.Concat(t.bytes[:from], []byte(c.Text), t.bytes[to:]))
}

// pathOf is the file of a URI; false where it is no file.
func pathOf(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return "", false
	}
	return filepath.Clean(filepath.FromSlash(u.Path)), true
}

// uriOf is the URI of a file.
func uriOf(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}
