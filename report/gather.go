package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What a picture holds and can still be read. What is more is drawn as one box
// for several.
const (
	mostSources = 12 // of one kind
	mostGates   = 3
	mostHomes   = 8
)

// gather draws places together where there are too many to be told apart.
func (s *site) gather() {
	s.gates = s.merge(s.gates, func(*place) bool { return true }, mostGates, func(*place) string { return "" })
	s.homes = s.merge(s.homes, func(*place) bool { return true }, mostHomes, func(pl *place) string { return pl.kind })
	for _, kind := range []string{peer, network, component, address} {
		of := func(pl *place) bool { return pl.kind == kind && !pl.denied }
		s.sources = s.merge(s.sources, of, mostSources, func(pl *place) string { return s.signature(pl) })
		// Where even those are too many, all of them are one.
		s.sources = s.merge(s.sources, of, mostSources, func(pl *place) string { return "" })
		denied := func(pl *place) bool { return pl.kind == kind && pl.denied }
		s.sources = s.merge(s.sources, denied, 3, func(*place) string { return "" })
	}
}

// signature is the same for sources that lines of the same kind lead to and from.
func (s *site) signature(pl *place) string {
	var parts []string
	for _, l := range s.lines {
		if l.from.place == pl || l.to.place == pl {
			other := l.to
			if other.place == pl {
				other = l.from
			}
			label := ""
			if other.row != nil {
				label = other.row.label
			}
			parts = append(parts, fmt.Sprint(other.place.name, label, l.sees))
		}
	}
	slices.Sort(parts)
	return pl.behind + strings.Join(slices.Compact(parts), ";")
}

// merge makes one place of those that are alike by key, if there are more than
// most of them.
func (s *site) merge(places []*place, of func(*place) bool, most int, key func(*place) string) []*place {
	n := 0
	for _, pl := range places {
		if of(pl) {
			n++
		}
	}
	if n <= most {
		return places
	}
	groups := map[string][]*place{}
	for _, pl := range places {
		if of(pl) {
			groups[key(pl)] = append(groups[key(pl)], pl)
		}
	}
	into := map[*place]*place{}
	var out []*place
	done := map[string]bool{}
	for _, pl := range places {
		members := []*place{pl}
		if of(pl) {
			if k := key(pl); done[k] {
				continue
			} else {
				done[k] = true
				members = groups[k]
			}
		}
		if len(members) == 1 {
			out = append(out, pl)
			continue
		}
		g := &place{kind: pl.kind, behind: pl.behind, denied: pl.denied}
		var names []string
		count := 0
		for _, m := range members {
			into[m] = g
			names = append(names, m.name)
			count++
			for _, r := range m.rows {
				if !slices.ContainsFunc(g.rows, func(have *row) bool { return have.label == r.label }) {
					g.rows = append(g.rows, r)
				}
			}
		}
		slices.SortStableFunc(g.rows, func(a, b *row) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.port, b.port), cmp.Compare(a.label, b.label))
		})
		g.name = fmt.Sprintf("%d %s", count, plural(pl.kind))
		g.notes = []string{some(names, 3)}
		out = append(out, g)
	}
	s.replace(into)
	return out
}

func plural(kind string) string {
	switch kind {
	case address:
		return "addresses"
	case machine:
		return "hosts"
	}
	return kind + "s"
}

// replace lets lines end at the places that stand for others, and joins those
// that are then the same.
func (s *site) replace(into map[*place]*place) {
	seen := map[string]*line{}
	var lines []*line
	for _, l := range s.lines {
		for _, e := range []*end{&l.from, &l.to} {
			if g := into[e.place]; g != nil {
				e.place = g
				if e.row != nil {
					i := slices.IndexFunc(g.rows, func(r *row) bool { return r.label == e.row.label })
					e.row = g.rows[i]
				}
			}
		}
		for i, gate := range l.gates {
			if g := into[gate]; g != nil {
				l.gates[i] = g
			}
		}
		slices.SortFunc(l.gates, func(a, b *place) int { return cmp.Compare(a.name, b.name) })
		l.gates = slices.Compact(l.gates)
		key := fmt.Sprintf("%p %p %p %p %s", l.from.place, l.from.row, l.to.place, l.to.row, l.sees)
		if old := seen[key]; old != nil {
			old.there, old.back = old.there || l.there, old.back || l.back
			for _, says := range l.says {
				if !slices.Contains(old.says, says) {
					old.says = append(old.says, says)
				}
			}
			continue
		}
		if l.from.place == l.to.place {
			continue // within one box
		}
		seen[key] = l
		lines = append(lines, l)
	}
	s.lines = lines
}
