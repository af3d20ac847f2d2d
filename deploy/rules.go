package deploy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"xfwc/backends/nftables"
)

// rules compares two chains rule by rule. Rules that are equal in both and in
// the same order are matched first; the rest are paired by what still speaks
// for them: the same text (moved, or another comment), then the same comment
// (another meaning), then the same place and much of the same text.
func (c *comparison) rules(live, want *nftables.Object) {
	pairs := pairRules(live.Items, want.Items)
	liveTaken := make([]bool, len(live.Items))
	for _, p := range pairs {
		if p.live >= 0 {
			liveTaken[p.live] = true
		}
	}
	for _, p := range pairs {
		switch {
		case p.live < 0:
			c.missingRule(want, p.want)
		case p.moved || p.how != "same":
			c.changedRule(live, want, p)
		}
	}
	for i := range live.Items {
		if !liveTaken[i] {
			c.foreignRule(live, i)
		}
	}
}

// ruleName names a wanted rule by its policy line.
func ruleName(i nftables.Item) string {
	line, label := splitOrigin(i.Comment)
	switch {
	case i.Comment == "":
		return "the rule without a comment"
	case line == "":
		return fmt.Sprintf("the rule %q", i.Comment)
	case label == "":
		return "the rule of " + line
	}
	return fmt.Sprintf("the rule for %s (%s)", label, line)
}

func ruleOrigin(i nftables.Item) string {
	if line, _ := splitOrigin(i.Comment); line == "" {
		return ""
	}
	return i.Comment
}

func (c *comparison) missingRule(o *nftables.Object, i int) {
	it := o.Items[i]
	where := fmt.Sprintf("rule %d of chain %s", i+1, o.Name)
	c.add(Change{
		Class: Missing, Kind: "rule", Object: o.Name, Position: i + 1, Origin: ruleOrigin(it), Wanted: it.Text,
		Text: fmt.Sprintf("%s is missing: %s", ruleName(it), where),
		Step: fmt.Sprintf("add %s as %s", ruleName(it), where),
	})
}

func (c *comparison) foreignRule(o *nftables.Object, i int) {
	it := o.Items[i]
	text := fmt.Sprintf("a foreign rule stands at place %d of chain %s", i+1, o.Name)
	if it.Comment != "" {
		text += fmt.Sprintf(", with the comment %q", it.Comment)
	}
	text += ": " + ruleText(it.Text)
	c.add(Change{
		Class: Foreign, Kind: "rule", Object: o.Name, Position: i + 1, Live: it.Text, note: it.Comment,
		Text: text,
		Step: fmt.Sprintf("remove the foreign rule at place %d of chain %s", i+1, o.Name),
	})
}

func (c *comparison) changedRule(live, want *nftables.Object, p rulePair) {
	l, w := live.Items[p.live], want.Items[p.want]
	var what, texts []string
	if l.Text != w.Text {
		what, texts = diffStatements(l.Text, w.Text)
	}
	if l.Comment != w.Comment {
		what = append(what, "comment")
		texts = append(texts, fmt.Sprintf("comment changed from %q to %q", w.Comment, l.Comment))
	}
	if p.moved {
		what = append(what, "order")
		texts = append(texts, fmt.Sprintf("it stands at place %d instead of %d of chain %s", p.live+1, p.want+1, want.Name))
	}
	step := "replace"
	if l.Text == w.Text && l.Comment == w.Comment {
		step = "move"
	}
	c.add(Change{
		Class: Changed, Kind: "rule", Object: want.Name, Position: p.want + 1, Origin: ruleOrigin(w), What: strings.Join(what, ", "),
		Live: l.Text, Wanted: w.Text,
		Text: fmt.Sprintf("%s was changed: %s", ruleName(w), strings.Join(texts, "; ")),
		Step: fmt.Sprintf("%s %s, rule %d of chain %s", step, ruleName(w), p.want+1, want.Name),
	})
}

// rulePair is a wanted rule and the live one that stands for it, -1 for none.
type rulePair struct {
	live, want int
	how        string // "same", "text", "comment", "place"
	moved      bool
}

func pairRules(live, want []nftables.Item) []rulePair {
	pairs := make([]rulePair, len(want))
	for i := range pairs {
		pairs[i] = rulePair{live: -1, want: i}
	}
	taken := make([]bool, len(live))
	same := func(a, b nftables.Item) bool { return a.Text == b.Text && a.Comment == b.Comment }
	for _, m := range commonRules(live, want, same) {
		pairs[m[1]].live, pairs[m[1]].how = m[0], "same"
		taken[m[0]] = true
	}
	// nearest takes the free live rule that fits, closest to where the wanted
	// one belongs.
	nearest := func(w int, fits func(l nftables.Item) bool) int {
		best, at := -1, expected(pairs, w)
		for l := range live {
			if !taken[l] && fits(live[l]) && (best < 0 || abs(l-at) < abs(best-at)) {
				best = l
			}
		}
		return best
	}
	for _, round := range []struct {
		how  string
		fits func(l, w nftables.Item) bool
	}{
		{"same", same},
		{"text", func(l, w nftables.Item) bool { return l.Text == w.Text }},
		{"comment", func(l, w nftables.Item) bool { return l.Comment == w.Comment && w.Comment != "" }},
	} {
		for w := range want {
			if pairs[w].live >= 0 {
				continue
			}
			if l := nearest(w, func(l nftables.Item) bool { return round.fits(l, want[w]) }); l >= 0 {
				pairs[w].live, pairs[w].how, taken[l] = l, round.how, true
			}
		}
	}
	for w := range want {
		if pairs[w].live >= 0 {
			continue
		}
		if l := expected(pairs, w); l < len(live) && !taken[l] && alike(live[l].Text, want[w].Text) {
			pairs[w].live, pairs[w].how, taken[l] = l, "place", true
		}
	}
	markMoved(pairs)
	return pairs
}

// expected is the place in the live chain after the rule that stands for the
// one before w.
func expected(pairs []rulePair, w int) int {
	for i := w - 1; i >= 0; i-- {
		if pairs[i].live >= 0 {
			return pairs[i].live + 1
		}
	}
	return 0
}

func abs(n int) int { return max(n, -n) }

// markMoved marks the fewest pairs without which all others are in order.
func markMoved(pairs []rulePair) {
	var idx []int
	for i := range pairs {
		if pairs[i].live >= 0 {
			idx = append(idx, i)
		}
	}
	// The longest rising run of live places stays.
	best := make([]int, len(idx))
	from := make([]int, len(idx))
	last := -1
	for i := range idx {
		best[i], from[i] = 1, -1
		for j := range i {
			if pairs[idx[j]].live < pairs[idx[i]].live && best[j]+1 > best[i] {
				best[i], from[i] = best[j]+1, j
			}
		}
		if last < 0 || best[i] > best[last] {
			last = i
		}
	}
	kept := map[int]bool{}
	for i := last; i >= 0; i = from[i] {
		kept[idx[i]] = true
	}
	for _, i := range idx {
		pairs[i].moved = !kept[i]
	}
}

// commonRules is the longest common subsequence of two rule lists, as pairs of
// places. Equal beginnings and ends, which is nearly all of a chain, cost
// nothing.
func commonRules(a, b []nftables.Item, same func(a, b nftables.Item) bool) [][2]int {
	var out [][2]int
	start := 0
	for start < len(a) && start < len(b) && same(a[start], b[start]) {
		out = append(out, [2]int{start, start})
		start++
	}
	endA, endB := len(a), len(b)
	for endA > start && endB > start && same(a[endA-1], b[endB-1]) {
		endA--
		endB--
		out = append(out, [2]int{endA, endB})
	}
	n, m := endA-start, endB-start
	length := make([][]int32, n+1)
	for i := range length {
		length[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if same(a[start+i], b[start+j]) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case same(a[start+i], b[start+j]):
			out = append(out, [2]int{start + i, start + j})
			i++
			j++
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// alike reports whether two rules share at least half of what they say.
func alike(a, b string) bool {
	as, bs := phrasesOf(a), phrasesOf(b)
	shared := 0
	for _, s := range bs {
		if i := slices.Index(as, s); i >= 0 {
			shared++
			as = slices.Delete(as, i, i+1)
		}
	}
	return shared > 0 && 2*shared >= max(len(bs), shared+len(as))
}

// diffStatements says which aspects of a rule differ, and how. What one rule
// has and the other has not is matched up within each aspect.
func diffStatements(live, want string) (what, texts []string) {
	l, w := phrasesOf(live), phrasesOf(want)
	onlyLive, onlyWant := without(l, w), without(w, l)
	if len(onlyLive) == 0 && len(onlyWant) == 0 {
		if slices.Equal(l, w) {
			// They differ in something that the phrases do not show.
			return []string{"match"}, []string{fmt.Sprintf("its kernel form changed from %q to %q", want, live)}
		}
		return []string{"match"}, []string{"its parts stand in another order"}
	}
	for _, a := range aspects {
		lt, wt := textsOf(onlyLive, a), textsOf(onlyWant, a)
		if lt == "" && wt == "" {
			continue
		}
		what = append(what, a)
		texts = append(texts, fmt.Sprintf("%s changed from %s to %s", a, cmp.Or(wt, "none"), cmp.Or(lt, "none")))
	}
	return what, texts
}

// without gives the phrases of a that b has not as often.
func without(a, b []phrase) []phrase {
	b = slices.Clone(b)
	var out []phrase
	for _, p := range a {
		if i := slices.Index(b, p); i >= 0 {
			b = slices.Delete(b, i, i+1)
			continue
		}
		out = append(out, p)
	}
	return out
}

func textsOf(ps []phrase, aspect string) string {
	var out []string
	for _, p := range ps {
		if p.aspect == aspect {
			out = append(out, p.text)
		}
	}
	return strings.Join(out, ", ")
}
