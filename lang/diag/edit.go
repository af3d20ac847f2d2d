package diag

import (
	"cmp"
	"slices"
)

// Edit puts New in the place of the text of Span. A span whose End is its Start
// is a place to insert at.
type Edit struct {
	Span Span
	New  string
}

// Apply makes edits in texts, which are by file name. It gives the texts that
// changed, and says of each fix whether it was made. A fix is made whole or not
// at all: it is left out where a span lies outside of its file, or where a fix
// before it changes the same text in another way. An edit that two fixes ask
// for is made once. texts itself stays as it is.
func Apply(texts map[string][]byte, fixes [][]Edit) (changed map[string][]byte, made []bool) {
	made = make([]bool, len(fixes))
	edits := map[string][]Edit{} // that are made, by file, in order
	for i, fix := range fixes {
		fix = slices.Clone(fix)
		slices.SortFunc(fix, compareEdits)
		if made[i] = fits(texts, edits, fix); !made[i] {
			continue
		}
		for _, e := range fix {
			name := e.Span.Start.Filename
			if at, there := slices.BinarySearchFunc(edits[name], e, compareEdits); !there {
				edits[name] = slices.Insert(edits[name], at, e)
			}
		}
	}
	changed = map[string][]byte{}
	for name, es := range edits {
		text, at := texts[name], 0
		var out []byte
		for _, e := range es {
			out = append(append(out, text[at:e.Span.Start.Offset]...), e.New...)
			at = e.Span.End.Offset
		}
		changed[name] = append(out, text[at:]...)
	}
	return changed, made
}

func compareEdits(a, b Edit) int {
	return cmp.Or(
		cmp.Compare(a.Span.Start.Filename, b.Span.Start.Filename),
		cmp.Compare(a.Span.Start.Offset, b.Span.Start.Offset),
		cmp.Compare(a.Span.End.Offset, b.Span.End.Offset),
		cmp.Compare(a.New, b.New),
	)
}

// fits reports whether a fix, in order, can be made beside the edits.
func fits(texts map[string][]byte, edits map[string][]Edit, fix []Edit) bool {
	for i, e := range fix {
		name, from, to := e.Span.Start.Filename, e.Span.Start.Offset, e.Span.End.Offset
		text, there := texts[name]
		if !there || from < 0 || from > to || to > len(text) || i > 0 && clash(fix[i-1], e) {
			return false
		}
		// Edits do not overlap, so only the neighbours can be in the way.
		at, _ := slices.BinarySearchFunc(edits[name], e, compareEdits)
		for _, near := range edits[name][max(0, at-1):min(len(edits[name]), at+1)] {
			if clash(near, e) {
				return false
			}
		}
	}
	return len(fix) > 0
}

// clash reports whether two edits of one file cannot both be made.
func clash(a, b Edit) bool {
	if a.Span.Start.Filename != b.Span.Start.Filename || compareEdits(a, b) == 0 {
		return false
	}
	af, at, bf, bt := a.Span.Start.Offset, a.Span.End.Offset, b.Span.Start.Offset, b.Span.End.Offset
	return af < bt && bf < at || af == bf && (at == bt || at == af || bt == bf)
}
