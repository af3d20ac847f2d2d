package compiler

import (
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
)

// setIndex finds, of many flows, those whose addresses on one side hold or meet
// those of another flow, without a walk over all of them.
type setIndex struct {
	side func(*ir.Flow) ir.Endpoint
	by   map[netip.Prefix][]*ir.Flow // by each of their prefixes
	at   []flowPrefix                // the same, by address
	// broad are flows with everybody, and those whose sets are too large to be
	// entered one by one: feeds. They are few.
	broad []*ir.Flow
}

type flowPrefix struct {
	prefix netip.Prefix
	flow   *ir.Flow
}

func sourceOf(f *ir.Flow) ir.Endpoint      { return f.From }
func destinationOf(f *ir.Flow) ir.Endpoint { return f.To }

func newSetIndex(flows []*ir.Flow, side func(*ir.Flow) ir.Endpoint) *setIndex {
	const large = 4096
	x := &setIndex{side: side, by: map[netip.Prefix][]*ir.Flow{}}
	for _, f := range flows {
		e := side(f)
		switch {
		case e.Any || e.Set == nil || len(e.Set.Prefixes) > large:
			x.broad = append(x.broad, f)
		default:
			for _, pfx := range e.Set.Prefixes {
				x.by[pfx] = append(x.by[pfx], f)
				x.at = append(x.at, flowPrefix{pfx, f})
			}
		}
	}
	slices.SortStableFunc(x.at, func(a, b flowPrefix) int { return comparePrefix(a.prefix, b.prefix) })
	return x
}

// holding lists the flows that may hold all of the endpoint: those that hold
// its first address. It has broad ones among them, which may not.
func (x *setIndex) holding(e ir.Endpoint) []*ir.Flow {
	out := slices.Clone(x.broad)
	if e.Any || e.Set == nil || len(e.Set.Prefixes) == 0 {
		return out
	}
	first := e.Set.Prefixes[0]
	for bits := first.Bits(); bits >= 0; bits-- {
		out = append(out, x.by[netip.PrefixFrom(first.Addr(), bits).Masked()]...)
	}
	return out
}

// meeting lists the flows that may share addresses with the endpoint, each once.
func (x *setIndex) meeting(e ir.Endpoint) []*ir.Flow {
	out := slices.Clone(x.broad)
	if e.Any || e.Set == nil {
		return append(out, x.flows()...)
	}
	seen := map[*ir.Flow]bool{}
	add := func(f *ir.Flow) {
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	for _, pfx := range e.Set.Prefixes {
		for bits := pfx.Bits() - 1; bits >= 0; bits-- {
			for _, f := range x.by[netip.PrefixFrom(pfx.Addr(), bits).Masked()] {
				add(f)
			}
		}
		from, _ := slices.BinarySearchFunc(x.at, pfx, func(a flowPrefix, p netip.Prefix) int { return comparePrefix(a.prefix, p) })
		for _, a := range x.at[from:] {
			if !pfx.Contains(a.prefix.Addr()) {
				break
			}
			add(a.flow)
		}
	}
	return out
}

// flows lists the flows that are entered prefix by prefix, each once.
func (x *setIndex) flows() []*ir.Flow {
	var out []*ir.Flow
	seen := map[*ir.Flow]bool{}
	for _, a := range x.at {
		if !seen[a.flow] {
			seen[a.flow] = true
			out = append(out, a.flow)
		}
	}
	return out
}

// within reports whether all addresses of a are addresses of b.
func within(a, b ir.Endpoint) bool {
	return b.Any || !a.Any && a.Set != nil && b.Set != nil && a.Set.Within(b.Set)
}

// denyFlows are the flows of the deny statements.
func (p *Pass) denyFlows() []*ir.Flow {
	var out []*ir.Flow
	for _, f := range p.Policy.Flows {
		if f.Verdict == ir.Deny && f.Kind == ir.Access {
			out = append(out, f)
		}
	}
	return out
}
