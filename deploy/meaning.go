package deploy

import (
	"bytes"
	"slices"
	"strings"

	"xfwc/backends/nftables"
)

// judgesAs reports whether packets meet the same in both tables: what no packet
// comes to, such as sets that an interrupted update had filled and not yet put
// to use, is left out of account.
func judgesAs(live, want *nftables.Snapshot) bool {
	return live.Exists == want.Exists && bytes.Equal(canonicalText(met(live)), canonicalText(met(want)))
}

// standIn begins the names of sets that stand in for others while an update is
// under way.
const standIn = "xfwc.next."

// met is the part of a table that packets can come to: base chains, and what
// their rules lead to. Stand-ins have the names of what they stand for.
func met(s *nftables.Snapshot) *nftables.Snapshot {
	out := &nftables.Snapshot{Exists: s.Exists}
	seen := map[string]bool{}
	var visit func(o *nftables.Object)
	visit = func(o *nftables.Object) {
		if o == nil || seen[o.Kind+" "+o.Name] {
			return
		}
		seen[o.Kind+" "+o.Name] = true
		c := *o
		c.Name = strings.TrimPrefix(o.Name, standIn)
		c.Items = slices.Clone(o.Items)
		for i, it := range o.Items {
			c.Items[i].Text = strings.ReplaceAll(it.Text, "=@"+standIn, "=@")
			words := strings.Fields(it.Text)
			for n, w := range words {
				if name, ok := strings.CutPrefix(w, "set=@"); ok {
					visit(s.Object("set", strings.TrimRight(name, ";}")))
				}
				if (w == "goto" || w == "jump" || strings.HasSuffix(w, "=goto") || strings.HasSuffix(w, "=jump")) && n+1 < len(words) {
					visit(s.Object("chain", strings.TrimRight(words[n+1], ";},")))
				}
			}
		}
		out.Objects = append(out.Objects, c)
	}
	for i := range s.Objects {
		o := &s.Objects[i]
		if o.Kind == "table" || o.Kind == "chain" && field(o.Head, "hook") != "" {
			visit(o)
		}
	}
	slices.SortStableFunc(out.Objects, func(a, b nftables.Object) int { return strings.Compare(a.Kind+" "+a.Name, b.Kind+" "+b.Name) })
	return out
}
