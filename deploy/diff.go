package deploy

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sergi/go-diff/diffmatchpatch"
)

// contextLines is how many equal lines a hunk shows on either side.
const contextLines = 3

// CompareText gives the unified diff that turns a into b, with nameA and nameB
// in its header; "" when they are equal. The same input gives the same output
// on every machine: the search has no time limit.
func CompareText(nameA, nameB string, a, b []byte) string {
	if bytes.Equal(a, b) {
		return ""
	}
	lines := diffLines(string(a), string(b))
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", nameA, nameB)
	for _, h := range hunks(lines) {
		h.write(&out, lines)
	}
	return out.String()
}

// diffLine is one line of either side: op is ' ', '-' or '+'.
type diffLine struct {
	op   byte
	text string // without the newline
	// bare is set on a last line that does not end in a newline.
	bare bool
}

func diffLines(a, b string) []diffLine {
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 0
	ca, cb, table := dmp.DiffLinesToChars(a, b)
	var lines []diffLine
	for _, d := range dmp.DiffCharsToLines(dmp.DiffMain(ca, cb, false), table) {
		op := byte(' ')
		switch d.Type {
		case diffmatchpatch.DiffDelete:
			op = '-'
		case diffmatchpatch.DiffInsert:
			op = '+'
		}
		for text := range strings.Lines(d.Text) {
			t := strings.TrimSuffix(text, "\n")
			lines = append(lines, diffLine{op: op, text: t, bare: t == text})
		}
	}
	return lines
}

// hunk is a stretch of lines; the counters say where it lies in a and b.
type hunk struct {
	from, to       int // in the list of lines
	startA, startB int // line numbers from 1
	countA, countB int
}

// hunks groups the changed lines with their context; two changes whose contexts
// touch share a hunk.
func hunks(lines []diffLine) []hunk {
	var hs []hunk
	for i, l := range lines {
		if l.op == ' ' {
			continue
		}
		from, to := max(i-contextLines, 0), min(i+contextLines+1, len(lines))
		if n := len(hs); n > 0 && hs[n-1].to >= from {
			hs[n-1].to = to
		} else {
			hs = append(hs, hunk{from: from, to: to})
		}
	}
	a, b, at := 1, 1, 0
	for i := range hs {
		h := &hs[i]
		for ; at < h.from; at++ {
			a, b = advance(lines[at], a, b)
		}
		h.startA, h.startB = a, b
		for ; at < h.to; at++ {
			a, b = advance(lines[at], a, b)
		}
		h.countA, h.countB = a-h.startA, b-h.startB
	}
	return hs
}

func advance(l diffLine, a, b int) (int, int) {
	if l.op != '+' {
		a++
	}
	if l.op != '-' {
		b++
	}
	return a, b
}

func (h hunk) write(out *strings.Builder, lines []diffLine) {
	fmt.Fprintf(out, "@@ -%s +%s @@\n", place(h.startA, h.countA), place(h.startB, h.countB))
	for _, l := range lines[h.from:h.to] {
		out.WriteByte(l.op)
		out.WriteString(l.text)
		out.WriteByte('\n')
		if l.bare {
			out.WriteString("\\ No newline at end of file\n")
		}
	}
}

// place is how a hunk header writes a range: the count is left out when it is
// one, and an empty range is named by the line before it.
func place(start, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, count)
}
