package diag

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// excerptWidth bounds a shown source line, in characters.
const excerptWidth = 160

// Colours of the terminal (ECMA-48 SGR).
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	cyan   = "\x1b[1;36m"
)

// RenderText writes findings for people: place, severity, code and summary,
// the source line with carets under the span, every further place the same
// way, the remedy and the reference. sources holds file contents by name; a
// finding in another file goes without its line. A waived finding says so in
// place of its severity, with the reason. Characters that would steer a
// terminal are shown as �.
func RenderText(w io.Writer, fs []Finding, sources map[string][]byte, color bool) {
	t := text{sources: sources, color: color, lines: map[string][][]byte{}}
	for i, f := range sorted(fs) {
		if i > 0 {
			t.b.WriteByte('\n')
		}
		t.finding(f)
	}
	// A failing writer is the caller's standard output: there is nobody to tell.
	_, _ = w.Write(t.b.Bytes())
}

// sorted gives the findings in the order of every output.
func sorted(fs []Finding) []Finding {
	fs = slices.Clone(fs)
	Sort(fs)
	return fs
}

type text struct {
	b       bytes.Buffer
	sources map[string][]byte
	color   bool
	lines   map[string][][]byte // of sources, split when first needed
}

// paint puts s in a colour.
func (t *text) paint(colour, s string) string {
	if !t.color || s == "" {
		return s
	}
	return colour + s + plain
}

func (t *text) finding(f Finding) {
	word, colour := f.Severity.String(), red
	switch f.Severity {
	case Warning:
		colour = yellow
	case Info:
		colour = cyan
	}
	if f.Waived != nil {
		word, colour = "waived", dim
	}
	if p := place(f.Span.Start); p != "" {
		t.b.WriteString(t.paint(bold, p+":") + " ")
	}
	fmt.Fprintf(&t.b, "%s: %s\n", t.paint(colour, word+" "+f.Code), t.paint(bold, clean(f.Summary)))
	t.excerpt(f.Span, colour, "")
	for _, l := range f.Labels {
		if _, ok := t.line(l.Span.Start); !ok {
			fmt.Fprintf(&t.b, "  %s\n", strings.TrimPrefix(place(l.Span.Start)+": "+clean(l.Text), ": "))
			continue
		}
		if l.Span.Start.Filename != f.Span.Start.Filename {
			fmt.Fprintf(&t.b, "  %s %s\n", t.paint(dim, "in"), place(l.Span.Start))
		}
		t.excerpt(l.Span, dim, clean(l.Text))
	}
	if f.Waived != nil {
		t.note("waived", strings.TrimSpace(fmt.Sprintf("until %s %s", f.Waived.Until, brackets(place(f.Waived.Span.Start)))))
		t.note("because", f.Waived.Because)
		return
	}
	t.note("remedy", f.Remedy)
	t.note("see", f.Reference)
}

func (t *text) note(what, s string) {
	if s != "" {
		fmt.Fprintf(&t.b, "  %s %s\n", t.paint(dim, what+":"), clean(s))
	}
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

// place is file:line:column, or as much of it as is known.
func place(p Pos) string {
	switch {
	case !p.IsValid():
		return clean(p.Filename)
	case p.Filename == "":
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprintf("%s:%d:%d", clean(p.Filename), p.Line, p.Column)
}

// excerpt shows the line a span starts on, if there is one, with carets under
// the span and a label behind them.
func (t *text) excerpt(s Span, colour, label string) {
	line, ok := t.line(s.Start)
	if !ok {
		return
	}
	from := min(s.Start.Column-1, len(line))
	to := from + 1
	if end := s.stop(); end.Line > s.Start.Line {
		to = len(line)
	} else if end.Column-1 > from {
		to = end.Column - 1
	}
	to = max(from, min(to, len(line)))

	// A long line is cut to a window around the span.
	head, span, tail := runes(line[:from]), runes(line[from:to]), runes(line[to:])
	before, after := "", ""
	if len(head)+len(span)+len(tail) > excerptWidth {
		if len(span) > excerptWidth/2 {
			span, tail, after = span[:excerptWidth/2], nil, "…"
		}
		if keep := excerptWidth / 4; len(head) > keep {
			head, before = head[len(head)-keep:], "…"
		}
		if keep := excerptWidth - len(head) - len(span); len(tail) > keep {
			tail, after = tail[:keep], "…"
		}
	}
	shown := before + string(head) + string(span) + string(tail) + after

	var pad strings.Builder
	pad.WriteString(strings.Repeat(" ", width([]rune(before))))
	for _, r := range head {
		if r == '\t' {
			pad.WriteByte('\t')
			continue
		}
		pad.WriteString(strings.Repeat(" ", width([]rune{r})))
	}
	carets := strings.Repeat("^", max(1, width(span)))
	if label != "" {
		carets += " " + label
	}
	number := fmt.Sprintf("%4d |", s.Start.Line)
	margin := "     |"
	fmt.Fprintf(&t.b, "%s %s\n", t.paint(dim, number), shown)
	fmt.Fprintf(&t.b, "%s %s%s\n", t.paint(dim, margin), pad.String(), t.paint(colour, carets))
}

// line finds the source line of a place, without its line break.
func (t *text) line(p Pos) ([]byte, bool) {
	src, ok := t.sources[p.Filename]
	if !ok || !p.IsValid() || p.Column < 1 {
		return nil, false
	}
	lines, ok := t.lines[p.Filename]
	if !ok {
		lines = bytes.Split(src, []byte("\n"))
		t.lines[p.Filename] = lines
	}
	if p.Line > len(lines) {
		return nil, false
	}
	return bytes.TrimSuffix(lines[p.Line-1], []byte("\r")), true
}

// stop is the end of a span, one character behind its start if none is given.
func (s Span) stop() Pos {
	if s.End.IsValid() && s.End.Offset >= s.Start.Offset {
		return s.End
	}
	end := s.Start
	end.Offset++
	end.Column++
	return end
}

// runes decodes a part of a line for display.
func runes(b []byte) []rune {
	out := make([]rune, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if steers(r) {
			r = utf8.RuneError
		}
		out = append(out, r)
		b = b[n:]
	}
	return out
}

// clean makes text safe for a terminal, on one line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case steers(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// steers tells characters that a terminal obeys instead of showing them:
// control characters and the marks that turn the direction of text.
func steers(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// width counts terminal cells: none for marks that combine, two for the wide
// blocks of East Asian scripts and emoji (Unicode Standard Annex 11).
func width(rs []rune) int {
	n := 0
	for _, r := range rs {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
			r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
			r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
			n += 2
		default:
			n++
		}
	}
	return n
}
