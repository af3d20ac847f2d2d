package ir

// Concerns reports whether the point can meet the flow's packets, so that each
// of its engines has to answer for the flow in the ledger: a gateway may forward
// every flow; a host meets those that serve its server, that begin or end at one
// of its addresses, or that begin or end anywhere.
func (p *Point) Concerns(f *Flow) bool {
	if p.Role == Gateway {
		return true
	}
	if p.Server != nil && f.Server == p.Server {
		return true
	}
	if f.Server != nil {
		return overlaps(f.From.Set, p.Set) || overlaps(f.To.Set, p.Set)
	}
	return f.From.Any || f.To.Any || f.Kind == Serverless && p.Server == nil ||
		overlaps(f.From.Set, p.Set) || overlaps(f.To.Set, p.Set)
}

// overlaps reports whether the sets share an address; nil is the empty set.
func overlaps(a, b *AddrSet) bool {
	if a == nil || b == nil {
		return false
	}
	for _, x := range a.Prefixes {
		for _, y := range b.Prefixes {
			if x.Overlaps(y) {
				return true
			}
		}
	}
	return false
}
