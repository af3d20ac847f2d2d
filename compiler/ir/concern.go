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
		return f.From.Set.meets(p.Set) || f.To.Set.meets(p.Set)
	}
	return f.From.Any || f.To.Any || f.Kind == Serverless && p.Server == nil ||
		f.From.Set.meets(p.Set) || f.To.Set.meets(p.Set)
}

func (s *AddrSet) meets(o *AddrSet) bool {
	_, ok := s.Overlap(o)
	return ok
}

// Passes reports whether the flow's packets come by the point as far as its
// stated ends tell: one of them is the point itself or, at a gateway, lies behind
// an interface of it, and the other does not lie behind the same one.
func (p *Point) Passes(f *Flow) bool {
	if f.From.Set.meets(p.Set) || f.To.Set.meets(p.Set) {
		return true
	}
	if p.Role != Gateway {
		return false
	}
	for _, i := range p.Interfaces {
		var from, to bool
		for _, n := range i.Networks {
			from = from || f.From.Set.meets(n.Set)
			to = to || f.To.Set.meets(n.Set)
		}
		if from != to {
			return true
		}
	}
	return false
}

// Keeps reports whether both ends of the flow are the point's own addresses: the
// conversation then stays on its loopback interface.
func (p *Point) Keeps(f *Flow) bool {
	holds := func(s *AddrSet) bool { return s != nil && len(s.Prefixes) > 0 && s.Within(p.Set) }
	return holds(f.From.Set) && holds(f.To.Set)
}

// Within reports whether every address of s is in o.
func (s *AddrSet) Within(o *AddrSet) bool {
	if s == o {
		return true // a feed can be long
	}
	for _, pfx := range s.Prefixes {
		if q, ok := o.Covering(pfx.Addr()); !ok || q.Bits() > pfx.Bits() {
			return false
		}
	}
	return true
}
