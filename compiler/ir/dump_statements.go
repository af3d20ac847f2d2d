package ir

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"xfwc/lang/diag"
)

// statements writes what the statements say besides their flows, and where each
// line of them stands.
func (d *dump) statements(p *Policy) {
	for _, t := range p.Clients {
		d.terms(t.Origin, t.At, t.Flows, t.Limits, "starttls", t.StartTLS, "direct-tls", number(uint32(t.DirectPort)), "alpn at", pointName(t.ALPN),
			"unknown", t.Unknown, "offload at", pointName(t.Offload), "sasl", strings.Join(t.SASL, " "), "tls", t.TLS,
			"compression", t.Compression, "registration", t.Registration, "lockout", t.Lockout, "idle", seconds(t.Idle), "quic", number(uint32(t.QUIC)))
	}
	for _, t := range p.Federations {
		d.terms(t.Origin, t.At, t.Flows, t.Limits, "default", t.Default.String(), "tls", t.TLS, "auth", t.Auth, "bidi", t.Bidi,
			"identity", strings.Join(t.Identity, " "), "domains", strings.Join(t.Domains, " "))
		for _, r := range t.Rules {
			var names []string
			for _, l := range r.Lists {
				names = append(names, l.Name)
			}
			d.line("  rule %s: %s domains %s  # %s", r.ID, r.Verdict, list(names), d.origin(r.Origin))
		}
		for _, q := range t.Peers {
			stated := ""
			if q.Stated {
				stated = "stated"
			}
			d.terms(q.Origin, q.At, q.Flows, q.Limits, "domains", strings.Join(append([]string{q.Domain}, q.More...), " "), "tls", q.TLS,
				"auth", q.Auth, "direction", q.Direction, "bidi", q.Bidi, "identity", strings.Join(q.Identity, " "),
				"certificate", q.Certificate, "addresses", stated)
		}
	}
	for _, t := range p.Components {
		d.terms(t.Origin, t.At, t.Flows, t.Limits, "domains", strings.Join(t.Domains, " "), "mode", t.Mode, "tunnel", t.Tunnel)
	}
	for _, t := range p.Webs {
		var paths []string
		for _, r := range t.Routes {
			paths = append(paths, r.Path)
		}
		d.terms(t.Origin, t.At, t.Flows, t.Limits, "tls", t.TLS, "at", pointName(t.Point), "hosts", strings.Join(t.Hosts, " "),
			"paths", strings.Join(paths, " "))
	}
}

// services writes the statements about what else a server offers and calls.
func (d *dump) services(p *Policy) {
	for _, t := range p.Anonymous {
		d.terms(t.Origin, t.At, nil, t.Limits, "domains", strings.Join(t.Domains, " "), "from", d.end(t.From), "federation", t.Federation.String(), "storage", t.Storage)
		for _, l := range t.Limits {
			d.limit("bound", l)
		}
	}
	for _, t := range p.Media {
		relay := ""
		if t.RelayFrom != 0 {
			relay = fmt.Sprintf("%d-%d", t.RelayFrom, t.RelayTo)
		}
		d.terms(t.Origin, t.At, t.Flows, t.Limits, "proxy65", number(uint32(t.Proxy65Port)), "stun", number(uint32(t.STUNPort)), "relay", relay,
			"auth", t.Auth, "private-peers", t.PrivatePeers)
	}
	for _, t := range p.Admins {
		d.terms(t.Origin, t.At, t.Flows, t.Limits, "tls", t.TLS)
	}
	for _, t := range p.Clusters {
		d.terms(t.Origin, t.At, t.Flows, nil, "with", d.end(t.With))
	}
	for _, t := range p.Egress {
		d.terms(t.Origin, t.At, t.Flows, nil, "default", t.Default.String())
	}
}

// terms writes one statement: its settings as pairs of name and value, those
// without a value left out.
func (d *dump) terms(o Origin, at map[string]diag.Span, flows []*Flow, limits []*Limit, pairs ...string) {
	d.line("%s: %s", o.Label, list(said(pairs)))
	var ids []string
	for _, f := range flows {
		ids = append(ids, f.ID)
	}
	if len(ids) > 0 {
		d.line("  flows %s", list(ids))
	}
	ids = nil
	for _, l := range limits {
		ids = append(ids, l.ID)
	}
	if len(ids) > 0 {
		d.line("  limits %s", list(ids))
	}
	d.stated(at)
}

// stated says where lines stand.
func (d *dump) stated(at map[string]diag.Span) {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(at)) {
		words = append(words, fmt.Sprintf("%s %d:%d", key, at[key].Start.Line, at[key].Start.Column))
	}
	if len(words) > 0 {
		d.line("  stated %s", list(words))
	}
}

// pairs writes pairs of name and value, if any has a value.
func (d *dump) pairs(indent string, pairs ...string) {
	if words := said(pairs); len(words) > 0 {
		d.line("%s%s", indent, list(words))
	}
}

// said joins pairs of name and value; those without a value are left out.
func said(pairs []string) []string {
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, pairs[i]+" "+pairs[i+1])
		}
	}
	return out
}

func (d *dump) limit(word string, l *Limit) {
	then := ""
	for i, a := range l.Actions {
		then += []string{" then ", ", "}[min(i, 1)] + a.Name
		if a.For != 0 {
			then += " source " + DurationWords(a.For)
		}
	}
	d.line("  %s %s: %s %s %s%s  # %s", word, l.ID, l.Kind, l.AmountWords(), l.KeyWords(), then, d.origin(l.Origin))
}

func pointName(pt *Point) string {
	if pt == nil {
		return ""
	}
	return pt.Name
}

func number(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

func size(n uint64) string {
	if n == 0 {
		return ""
	}
	return SizeWords(n)
}

func seconds(n uint64) string {
	if n == 0 {
		return ""
	}
	return DurationWords(n)
}
