package ir

// Unseen answers, for an engine at the point that sees packets alone, for what
// is within the streams: such an engine holds none of it. A proxy that holds some
// of it answers for that itself.
func (p *Policy) Unseen(pt *Point, engine string) []LedgerEntry {
	var out []LedgerEntry
	done := map[*Limit]bool{} // the flows of a statement share its limits
	limits := func(ls []*Limit) {
		for _, l := range ls {
			if !l.Kind.OnWire() && !done[l] {
				done[l] = true
				out = append(out, LedgerEntry{Point: pt.Name, Engine: engine, Intent: "limit " + l.ID, Exact: None, Reason: l.Unseen(), Origin: l.Origin})
			}
		}
	}
	for _, f := range p.Flows {
		if pt.Concerns(f) {
			limits(f.Bounds)
		}
	}
	for _, r := range p.Routes {
		if pt.Role == Gateway || r.Point == pt || pt.Server == r.Server {
			limits(r.Limits)
		}
	}
	return out
}
