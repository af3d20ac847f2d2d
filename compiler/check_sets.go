package compiler

import (
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
)

// setIndex finds, of many flows, those whose addresses on one side meet those of
// another flow, without a walk over all of them.
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

func sourceOf(f *ir.Flow) ir.Endpoint { return f.From }

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

// statementIndex finds, of many statements, those that may decide about all of
// a flow: by their sources, destinations and ports together, so that neither
// thousands for one host nor thousands for one port are walked.
type statementIndex struct {
	by       map[statementKey][]*ir.Flow
	from, to [129]bool  // the lengths of prefixes that there are
	broad    []*ir.Flow // those that would need too many keys
}

// statementKey is one source, one destination and one port of a statement.
// Zero is every one of them.
type statementKey struct {
	from, to netip.Prefix
	proto    ir.Proto
	port     uint16
}

func newStatementIndex(flows []*ir.Flow) *statementIndex {
	const keys = 1024 // for one statement
	x := &statementIndex{by: map[statementKey][]*ir.Flow{}}
	for _, f := range flows {
		from, to, ports := prefixes(f.From), prefixes(f.To), keyPorts(f.Ports)
		if len(from)*len(to)*len(ports) > keys {
			x.broad = append(x.broad, f)
			continue
		}
		for _, a := range from {
			x.from[max(a.Bits(), 0)] = true
			for _, b := range to {
				x.to[max(b.Bits(), 0)] = true
				for _, s := range ports {
					k := statementKey{a, b, s.Proto, s.From}
					x.by[k] = append(x.by[k], f)
				}
			}
		}
	}
	return x
}

// prefixes are those of the endpoint; the zero one stands for every address.
func prefixes(e ir.Endpoint) []netip.Prefix {
	if e.Any || e.Set == nil {
		return []netip.Prefix{{}}
	}
	return e.Set.Prefixes
}

// keyPorts are the single ports, and the zero one where there are ranges, or all.
func keyPorts(ports []ir.PortSpan) []ir.PortSpan {
	var out []ir.PortSpan
	wide := len(ports) == 0
	for _, s := range ports {
		if s.From == s.To {
			out = append(out, s)
		} else {
			wide = true
		}
	}
	if wide {
		out = append(out, ir.PortSpan{})
	}
	return out
}

// deciding calls f for the statements that hold the first source, destination
// and port of the flow, until it returns true. All that decide about the whole
// flow are among them.
func (x *statementIndex) deciding(flow *ir.Flow, f func(*ir.Flow) bool) {
	for _, g := range x.broad {
		if f(g) {
			return
		}
	}
	from, to := prefixes(flow.From), prefixes(flow.To)
	if len(from) == 0 || len(to) == 0 {
		return
	}
	ports := []ir.PortSpan{{}}
	if len(flow.Ports) > 0 {
		ports = append(ports, flow.Ports[0])
	}
	for _, a := range above(from[0], x.from) {
		for _, b := range above(to[0], x.to) {
			for _, s := range ports {
				for _, g := range x.by[statementKey{a, b, s.Proto, s.From}] {
					if f(g) {
						return
					}
				}
			}
		}
	}
}

// above are the prefixes of the given lengths that hold pfx, and the zero one.
func above(pfx netip.Prefix, lengths [129]bool) []netip.Prefix {
	out := []netip.Prefix{{}}
	for bits := pfx.Bits(); bits >= 0; bits-- {
		if lengths[bits] {
			out = append(out, netip.PrefixFrom(pfx.Addr(), bits).Masked())
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
