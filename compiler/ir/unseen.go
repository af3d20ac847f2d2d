package ir

// Unseen answers, for an engine at the point that sees packets alone, for what
// is within the streams: such an engine holds none of it. A proxy that holds some
// of it answers for that itself.
func (p *Policy) Unseen(pt *Point, engine string) []LedgerEntry {
	var out []LedgerEntry
	done := map[*Limit]bool{} // the flows of a statement share its limits
	answer := func(intent, reason string, o Origin) {
		out = append(out, LedgerEntry{Point: pt.Name, Engine: engine, Intent: intent, Exact: None, Reason: reason, Origin: o})
	}
	limits := func(ls []*Limit) {
		for _, l := range ls {
			if !l.Kind.OnWire() && !done[l] {
				done[l] = true
				answer("limit "+l.ID, l.Unseen(), l.Origin)
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
	for _, t := range p.Federations {
		for _, r := range t.Rules {
			if pt.Role == Gateway || pt.Server == t.Server {
				answer("domains "+r.ID, "TLS hides which domain a stream is for, and addresses do not tell (RFC 7712 section 5.1): only the server can hold it", r.Origin)
			}
		}
	}
	for _, t := range p.Anonymous {
		if !t.Concerns(pt) {
			continue
		}
		const shared = "they share the ports of other clients: only the server knows who has no account"
		answer("anonymous "+t.Server.Name, shared, t.Origin)
		for _, l := range t.Limits {
			answer("limit "+l.ID, shared, l.Origin)
		}
	}
	return out
}
