package lang

import (
	"reflect"
	"testing"
)

// FuzzQuick compares the quick way with participle: what the quick way takes,
// wherever in a text it starts, participle takes too, to the same end and with
// the same tree in the same places.
func FuzzQuick(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src []byte) { checkQuick(t, src[:min(len(src), 2048)]) })
}

func checkQuick(t *testing.T, src []byte) {
	t.Helper()
	tokens, _ := balance(scan("", string(src)))
	for typ, s := range sections {
		c := newCursor(tokens)
		for ; !c.peek().EOF(); c.take() {
			if !s.starts(c.peek()) {
				continue
			}
			one, other := c, c
			q := quick{cursor: &one}
			node, got := q.read(ruleOf(typ.Elem()))
			if got != taken {
				continue
			}
			judged, _, err := s.judge(&other)
			switch {
			case err != nil:
				t.Fatalf("%v: %q is taken, and participle says %v", typ, text(src, c, one), err)
			case one.at != other.at || one.from != other.from:
				t.Fatalf("%v: %q is taken, and participle takes %q", typ, text(src, c, one), text(src, c, other))
			}
			a, b := node.Interface().(Node), judged.(Node)
			if shape(a) != shape(b) || !reflect.DeepEqual(places(a), places(b)) {
				t.Fatalf("%v: %q gives\n%s%v\nand participle\n%s%v", typ, text(src, c, one), shape(a), places(a), shape(b), places(b))
			}
		}
	}
}

// text is what was taken on the way from one cursor to another.
func text(src []byte, from, to cursor) string {
	return string(src[from.peek().Pos.Offset:to.behind().Offset])
}

// places lists where the nodes of a tree are.
func places(n Node) []string {
	var all []string
	Walk(n, func(n Node) bool {
		all = append(all, spanText(n.Span()))
		return true
	})
	return all
}
