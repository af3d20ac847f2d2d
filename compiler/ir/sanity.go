package ir

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/lang/diag"
)

// Sanity checks what every later reader of the policy takes for granted, as the
// types of this package document it. A finding (internal-error) is a mistake of
// the compiler, never of the policy's author: it is reported rather than met as
// a crash or as a rule that means something else.
func (p *Policy) Sanity() []diag.Finding {
	c := &sanity{sets: map[*AddrSet]bool{}, names: map[string]*AddrSet{}, ids: map[string]bool{}, limits: map[*Limit]bool{}, flows: map[*Flow]bool{}, entries: map[*Entry]bool{}}
	for _, n := range p.Networks {
		c.origin("network "+n.Name, n.Origin)
		c.set("network "+n.Name, n.Set, n.Origin)
	}
	for _, s := range p.Servers {
		c.origin("server "+s.Name, s.Origin)
		c.set("server "+s.Name, s.Set, s.Origin)
		c.check(len(s.Addresses) == len(s.Set.prefixes()), s.Origin, "server %s has %d addresses and a set of %d", s.Name, len(s.Addresses), len(s.Set.prefixes()))
		for _, l := range s.Listeners {
			c.ports("listener "+l.Service+" of server "+s.Name, []PortSpan{l.Port}, s.Origin)
			c.check(slices.Contains([]string{"starttls-required", "starttls-optional", "tls", "clear"}, l.Transport), s.Origin, "listener %s of server %s has the transport %q", l.Service, s.Name, l.Transport)
		}
		c.check(slices.IsSortedFunc(s.Listeners, func(a, b Listener) int {
			return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Port.From, b.Port.From))
		}), s.Origin, "the listeners of server %s are not sorted", s.Name)
	}
	for _, pt := range p.Points {
		what := "point " + pt.Name
		c.origin(what, pt.Origin)
		c.set(what, pt.Set, pt.Origin)
		c.check(pt.Role == Gateway || pt.Role == Host, pt.Origin, "%s has the role %q", what, pt.Role)
		c.check(pt.Server == nil || slices.Contains(p.Servers, pt.Server), pt.Origin, "%s is host of a server that the policy does not have", what)
		for _, i := range pt.Interfaces {
			c.origin(what, i.Origin)
			for _, n := range i.Networks {
				c.set(what+" interface "+i.Name, n.Set, i.Origin)
			}
		}
	}
	for _, f := range p.Flows {
		c.flows[f] = true
		c.flow(f)
	}
	c.statements(p)
	c.services(p)
	for _, l := range p.Legs {
		what := "leg " + l.ID
		c.check(c.flows[l.Flow], l.Origin, "%s is of no flow of the policy", what)
		c.check(l.Visibility == Clear || l.Visibility == StartTLS || l.Visibility == TLS, l.Origin, "%s has the visibility %q", what, l.Visibility)
		c.check(l.Reason != "", l.Origin, "%s gives no reason", what)
		c.ports(what, l.Ports, l.Origin)
		c.check(len(l.Ports) > 0, l.Origin, "%s has no port", what)
	}
	carried := map[*Flow]bool{}
	for _, l := range p.Legs {
		carried[l.Flow] = true
	}
	for _, f := range p.Flows {
		c.check(f.Verdict != Allow || carried[f], f.Origin, "flow %s has no leg", f.ID)
	}
	for _, r := range p.Content {
		what := "content " + r.ID
		c.origin(what, r.Origin)
		c.check(len(r.Any) > 0 && len(r.On)+len(r.Anonymous) > 0 && len(r.On) == len(r.OnNames), r.Origin, "%s is not whole", what)
		c.check(len(r.Actions) > 0, r.Origin, "%s does nothing", what)
		for _, f := range r.On {
			c.check(c.flows[f], r.Origin, "%s is on a flow that the policy does not have", what)
		}
		for _, all := range r.Any {
			c.check(len(all) > 0, r.Origin, "%s has a match without a condition", what)
			for _, x := range all {
				c.origin(what, x.Origin)
				set := 0
				for _, is := range []bool{x.Text != "", x.Words != nil, x.Domains != nil, x.Pattern != nil} {
					if is {
						set++
					}
				}
				c.check(set == 1 && slices.Contains([]string{"text", "body", "url", "namespace", "stanza", "sasl", "sender", "recipient"}, x.What), r.Origin, "%s has the condition %s", what, x)
			}
		}
		literal := len(r.Any) == 1 && len(r.Any[0]) == 1 && r.Any[0][0].What == "text" && r.Any[0][0].Text == r.Text
		c.check(r.Text == "" || literal, r.Origin, "%s is not the one text %q", what, r.Text)
		for _, a := range r.Anonymous {
			c.check(slices.Contains(p.Anonymous, a), r.Origin, "%s is on an anonymous statement that the policy does not have", what)
		}
		for _, a := range r.Actions {
			c.check((a.Name == "block") == (a.For > 0), r.Origin, "%s has the action %s for %d seconds", what, a.Name, a.For)
			c.check(slices.Contains([]string{"alert", "drop", "reject", "terminate", "block"}, a.Name), r.Origin, "%s has the action %q", what, a.Name)
		}
	}
	for _, r := range p.Routes {
		what := "route " + r.Path
		c.origin(what, r.Origin)
		c.check(strings.HasPrefix(r.Path, "/"), r.Origin, "%s is not absolute", what)
		c.check(slices.Contains(p.Servers, r.Server), r.Origin, "%s has no server", what)
		c.ports(what, []PortSpan{r.Listen, r.Backend}, r.Origin)
		for _, l := range r.Limits {
			c.limit(l)
		}
	}
	for _, t := range p.Tests {
		what := fmt.Sprintf("test %q", t.Name)
		c.check(t.Kind == ExpectAllow || t.Kind == ExpectDeny || t.Kind == ExpectOnly && !t.From.Any, t.Origin, "%s expects %q", what, t.Kind)
		c.end(what, t.From, t.Origin)
		c.end(what, t.To, t.Origin)
		c.check(!t.To.Any, t.Origin, "%s goes to any", what)
		if t.Except != nil {
			c.set(what, t.Except, t.Origin)
		}
		c.check(len(t.Ports) > 0, t.Origin, "%s has no port", what)
		c.ports(what, t.Ports, t.Origin)
	}
	for _, x := range p.Cases {
		c.origin("case of "+x.Rule.ID, x.Origin)
		c.check(slices.Contains(p.Content, x.Rule) && x.Text != "", x.Origin, "a case is about a content rule that the policy does not have, or about no text")
	}
	for _, l := range p.Domains {
		c.origin("domains "+l.Name, l.Origin)
		c.check(slices.IsSorted(l.Domains), l.Origin, "domains %s are not sorted", l.Name)
	}
	for _, l := range p.Words {
		c.origin("words "+l.Name, l.Origin)
		c.check(slices.IsSorted(l.Words), l.Origin, "words %s are not sorted", l.Name)
	}
	for _, w := range p.Windows {
		c.origin("window "+w.Name, w.Origin)
		for _, s := range w.Spans {
			c.check(s.From < s.To && s.To <= 24*60 && s.Days != [7]bool{}, w.Origin, "window %s has the span %s", w.Name, s)
		}
	}
	for _, z := range p.Zones {
		c.origin("zone "+z.Name, z.Origin)
		c.set("zone "+z.Name, z.Set, z.Origin)
		c.check(len(z.Interfaces) > 0, z.Origin, "zone %s has no interface", z.Name)
	}
	for _, s := range p.Statements {
		c.origin("a statement", s.Origin)
	}
	for _, g := range p.Guards {
		c.guard(p, g)
	}
	return c.found
}

type sanity struct {
	found  []diag.Finding
	sets   map[*AddrSet]bool
	names  map[string]*AddrSet
	ids    map[string]bool
	limits map[*Limit]bool
	flows  map[*Flow]bool // those of the policy
	// entries are those that were looked at: services share them.
	entries map[*Entry]bool
}

func (c *sanity) check(ok bool, o Origin, format string, args ...any) {
	if !ok {
		c.found = append(c.found, diag.New("internal-error", o.Span, fmt.Sprintf(format, args...)))
	}
}

func (s *AddrSet) prefixes() []netip.Prefix {
	if s == nil {
		return nil
	}
	return s.Prefixes
}

func (c *sanity) origin(what string, o Origin) {
	c.check(o.Span.IsValid(), o, "%s comes from no line of the policy", what)
	bad := len(o.Label) > 100 || o.Label == "" || strings.ContainsFunc(o.Label, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(" ._:/,-", r))
	})
	c.check(!bad, o, "%s has the label %q", what, o.Label)
}

// identifier reports whether s is an identifier: a lower-case letter first, then
// letters, digits and sep.
func identifier(s string, sep rune, most int) bool {
	return s != "" && len(s) <= most && s[0] >= 'a' && s[0] <= 'z' && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == sep)
	})
}

func (c *sanity) set(what string, s *AddrSet, o Origin) {
	if s == nil {
		c.check(false, o, "%s has no set of addresses", what)
		return
	}
	if c.sets[s] {
		return
	}
	c.sets[s] = true
	c.check(identifier(s.Name, '_', 60), o, "%s has a set with the name %q", what, s.Name)
	c.check(c.names[s.Name] == nil, o, "two sets have the name %s", s.Name)
	c.names[s.Name] = s
	for i, p := range s.Prefixes {
		ok := p.IsValid() && p == p.Masked() && !p.Addr().Is4In6() && p.Addr().Zone() == "" &&
			(i == 0 || comparePrefixes(s.Prefixes[i-1], p) < 0 && !s.Prefixes[i-1].Overlaps(p))
		if !ok {
			c.check(false, o, "set %s is not sorted, disjoint and masked at %s", s.Name, p)
			return
		}
	}
	c.check(s.Digest == "" || s.Feed != "", o, "set %s has a digest and no feed", s.Name)
}

func (c *sanity) end(what string, e Endpoint, o Origin) {
	c.check(e.Label != "", o, "%s has an end without a label", what)
	c.check(e.Any == (e.Set == nil), o, "%s has an end that is neither any nor a set, or both", what)
	if e.Set != nil {
		c.set(what, e.Set, o)
	}
}

func (c *sanity) ports(what string, ps []PortSpan, o Origin) {
	for _, p := range ps {
		c.check((p.Proto == TCP || p.Proto == UDP) && p.From > 0 && p.From <= p.To, o, "%s has the ports %s %d-%d", what, p.Proto, p.From, p.To)
	}
}

func (c *sanity) id(what, id string, o Origin) {
	c.check(identifier(id, '-', 60), o, "%s has the ID %q", what, id)
	c.check(!c.ids[id], o, "two flows or limits have the ID %s", id)
	c.ids[id] = true
}

func (c *sanity) flow(f *Flow) {
	what := "flow " + f.ID
	c.id("a flow", f.ID, f.Origin)
	c.origin(what, f.Origin)
	c.check(f.Verdict == Allow || f.Verdict == Deny, f.Origin, "%s has no verdict", what)
	c.check(slices.Contains([]FlowKind{Clients, Federation, Component, Web, Serverless, Access, Media, Admin, Cluster, Egress}, f.Kind), f.Origin, "%s has the kind %q", what, f.Kind)
	c.check(slices.Contains([]string{"", "required", "optional", "none", "direct"}, f.TLS), f.Origin, "%s has TLS %q", what, f.TLS)
	c.check(slices.Contains([]string{"", "external", "dialback", "dialback-tls"}, f.Auth), f.Origin, "%s has auth %q", what, f.Auth)
	c.end(what, f.From, f.Origin)
	c.end(what, f.To, f.Origin)
	c.ports(what, f.Ports, f.Origin)
	c.check(len(f.Ports) > 0 || f.Verdict == Deny && f.To.Any, f.Origin, "%s has no port", what)
	c.check(!f.Multicast || f.OnLink, f.Origin, "%s is multicast and may leave the link", what)
	for _, l := range f.Limits {
		c.limit(l)
		c.check(l.Kind.OnWire(), l.Origin, "limit %s is not seen in packets, and %s has it as if it were", l.ID, what)
	}
	for _, l := range f.Bounds {
		c.limit(l)
		c.check(!l.Kind.OnWire(), l.Origin, "limit %s is seen in packets, and %s has it as if it were not", l.ID, what)
	}
}

func (c *sanity) limit(l *Limit) {
	if c.limits[l] {
		return // shared by the flows of one statement
	}
	c.limits[l] = true
	c.id("a limit", l.ID, l.Origin)
	c.origin("limit "+l.ID, l.Origin)
	bytes := l.Kind == StanzaSize || l.Kind == Bandwidth
	once := slices.Contains([]LimitKind{Connections, Resources, StanzaSize, Negotiation}, l.Kind) // not per time
	c.check((l.Bytes > 0) == bytes && (l.Seconds > 0) == (l.Kind == Negotiation) && (l.Count > 0) == (!bytes && l.Kind != Negotiation),
		l.Origin, "limit %s bounds nothing", l.ID)
	c.check(slices.Contains([]LimitKey{PerSource, PerPrefix, PerPeer, PerAccount, PerStream, Global}, l.Key), l.Origin, "limit %s has the key %q", l.ID, l.Key)
	c.check((l.Key == PerPrefix) == (l.Prefix4 > 0 && l.Prefix4 <= 32 && l.Prefix6 > 0 && l.Prefix6 <= 128), l.Origin, "limit %s counts per prefix %d/%d", l.ID, l.Prefix4, l.Prefix6)
	unit := slices.Contains([]string{"second", "minute", "hour", "day"}, l.Unit)
	c.check(unit != once && (unit || l.Unit == "" && l.Burst == 0 && l.BurstBytes == 0), l.Origin, "limit %s has the unit %q", l.ID, l.Unit)
	c.check(!l.Before || !l.After, l.Origin, "limit %s is for streams before and after authentication", l.ID)
	for _, a := range l.Actions {
		c.check(slices.Contains([]string{"reject", "alert", "block"}, a.Name) && (a.For > 0) == (a.Name == "block"), l.Origin, "limit %s does %q", l.ID, a.Name)
	}
}

func (c *sanity) guard(p *Policy, g *Guard) {
	if g.Point == nil || !slices.Contains(p.Points, g.Point) {
		c.check(false, Origin{}, "a guard is at no point of the policy")
		return
	}
	o := g.Point.Origin
	what := fmt.Sprintf("guard %s of point %s", g.Hook, g.Point.Name)
	c.check(g.Hook == Input || g.Hook == Output || g.Hook == Forward, o, "%s has no hook", what)
	names := map[string]bool{}
	for _, e := range g.Confine {
		c.entry(what, e)
	}
	for i, s := range g.Services {
		where := what + " service " + s.Name
		c.check(identifier(s.Name, '_', 60) && !names[s.Name], o, "%s has no name of its own", where)
		names[s.Name] = true
		c.ports(where, s.Ports, o)
		c.check(s.Ports != nil || s.Addrs != nil, o, "%s holds every packet", where)
		for j := 1; j < len(s.Ports); j++ {
			a, b := s.Ports[j-1], s.Ports[j]
			c.check(a.Proto != b.Proto || a.To < b.From, o, "%s has ports that are not sorted and disjoint", where)
		}
		for _, other := range g.Services[:i] {
			// A key with addresses comes before one without.
			shared := s.BySource == other.BySource && (s.Addrs == nil) == (other.Addrs == nil) && portsMeet(s.Ports, other.Ports) && addrsMeet(s.Addrs, other.Addrs)
			c.check(!shared, o, "%s and service %s hold the same packets", where, other.Name)
		}
		for _, e := range s.Entries {
			c.entry(where, e)
		}
		if s.Rest == nil {
			c.check(false, o, "%s says nothing of the rest", where)
			continue
		}
		c.entry(where, s.Rest)
	}
}

func (c *sanity) entry(where string, e *Entry) {
	if c.entries[e] {
		return
	}
	c.entries[e] = true
	c.check(identifier(e.ID, '-', 100), e.Origin, "%s has an entry with the ID %q", where, e.ID)
	c.check(e.Verdict == Allow || e.Verdict == Deny || e.Verdict == Untouched, e.Origin, "%s: entry %s has no verdict", where, e.ID)
	c.check(len(e.Limits) == 0 || e.Verdict == Allow, e.Origin, "%s: entry %s limits what it does not allow", where, e.ID)
	for _, s := range []*AddrSet{e.Match.Src, e.Match.Dst} {
		if s != nil {
			for i := 1; i < len(s.Prefixes); i++ {
				if comparePrefixes(s.Prefixes[i-1], s.Prefixes[i]) >= 0 {
					c.check(false, e.Origin, "%s: entry %s has a set that is not sorted", where, e.ID)
					break
				}
			}
		}
	}
	c.ports(where, e.Match.SrcPorts, e.Origin)
	c.ports(where, e.Match.DstPorts, e.Origin)
}

func portsMeet(a, b []PortSpan) bool {
	if a == nil || b == nil {
		return true
	}
	for _, x := range a {
		for _, y := range b {
			if x.Proto == y.Proto && x.From <= y.To && y.From <= x.To {
				return true
			}
		}
	}
	return false
}

func addrsMeet(a, b *AddrSet) bool {
	if a == nil || b == nil {
		return true
	}
	_, meet := a.Overlap(b)
	return meet
}
