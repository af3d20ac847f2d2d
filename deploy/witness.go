package deploy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// A witness is one packet that a difference is about, in the form that
// `xfwc explain` takes: one that the policy, asked for it, decides by the very
// statement that the live table lacks or has changed. It is found by trying.

// decisions are what a point decides, as a policy or a record has it.
type decisions struct {
	policy *ir.Policy
	point  *ir.Point
}

// witness finds a packet for a difference; "" when none is found.
func (d decisions) witness(c Change) string {
	if d.policy == nil || c.Origin == "" || c.What == "comment" {
		return ""
	}
	// The backend names what is for packets that leave after their hook.
	leaving := strings.HasPrefix(c.Object, "out_") || strings.HasSuffix(c.Object, "_out")
	guards := slices.DeleteFunc(slices.Clone(d.policy.Guards), func(g *ir.Guard) bool { return g.Point != d.point })
	slices.SortStableFunc(guards, func(a, b *ir.Guard) int {
		return compareBool((a.Hook == ir.Output) != leaving, (b.Hook == ir.Output) != leaving)
	})
	for _, g := range guards {
		for _, s := range g.Services {
			for _, e := range append(slices.Clone(s.Entries), s.Rest) {
				if e == nil || !concerns(e, c) {
					continue
				}
				if p, ok := d.find(g, s, e, c); ok {
					return p
				}
			}
		}
	}
	return ""
}

// concerns reports whether an entry is what the change's origin names: by its
// own statement, by a limit, or by an address set that it matches on.
func concerns(e *ir.Entry, c Change) bool {
	names := func(o ir.Origin) bool { return originText(o) == c.Origin }
	if c.Kind == "element" && elementAddr(c).IsValid() {
		return e.Match.Src != nil && names(e.Match.Src.Origin) || e.Match.Dst != nil && names(e.Match.Dst.Origin)
	}
	return names(e.Origin) || slices.ContainsFunc(e.Limits, func(l *ir.Limit) bool { return names(l.Origin) })
}

// elementAddr is the first address of a set element that was added or removed.
func elementAddr(c Change) netip.Addr {
	text := c.Wanted
	if text == "" {
		text = c.Live
	}
	key := elementKey(text)
	for i := range key {
		if key[i] == '/' || key[i] == '-' {
			key = key[:i]
			break
		}
	}
	a, err := netip.ParseAddr(key)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// elementPort is the protocol and first port of an element of a map that is
// looked up by port, such as "tcp . 5280-5281 : goto …".
func elementPort(c Change) (ir.PortSpan, bool) {
	text := c.Wanted
	if text == "" {
		text = c.Live
	}
	parts := strings.Split(elementKey(text), " . ")
	if c.Kind != "element" || len(parts) < 2 {
		return ir.PortSpan{}, false
	}
	from, _, _ := strings.Cut(parts[len(parts)-1], "-")
	n, err := strconv.ParseUint(from, 10, 16)
	proto := ir.Proto(parts[len(parts)-2])
	if err != nil || proto != ir.TCP && proto != ir.UDP {
		return ir.PortSpan{}, false
	}
	return ir.PortSpan{Proto: proto, From: uint16(n), To: uint16(n)}, true
}

// strangers are sources and destinations where the policy names none: of the
// blocks for documentation, RFC 5737 and RFC 3849, and one of the internet.
var strangers = []netip.Addr{
	netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("192.0.2.1"),
	netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("2001:db8:ffff::1"), netip.MustParseAddr("2620:fe::fe"),
}

// find tries packets until the entry decides one.
func (d decisions) find(g *ir.Guard, s *ir.ServiceGuard, e *ir.Entry, c Change) (string, bool) {
	own := some(d.point.Set)
	srcs, dsts := some(e.Match.Src), some(e.Match.Dst)
	if e.Match.SrcNot || len(srcs) == 0 {
		srcs = strangers
		if g.Hook == ir.Output && len(own) > 0 {
			srcs = own
		}
	}
	if e.Match.DstNot || len(dsts) == 0 {
		if dsts = some(s.Addrs); len(dsts) == 0 || s.BySource {
			dsts = strangers
			if g.Hook == ir.Input && len(own) > 0 {
				dsts = own
			}
		}
	}
	if a := elementAddr(c); c.Kind == "element" && a.IsValid() {
		// The element itself is the point: the policy need not know it.
		if e.Match.Src != nil {
			srcs = []netip.Addr{a}
		} else {
			dsts = []netip.Addr{a}
		}
	}
	ports := s.Ports
	if len(e.Match.DstPorts) > 0 {
		ports = e.Match.DstPorts
	}
	if p, ok := elementPort(c); ok {
		ports = []ir.PortSpan{p}
	}
	for _, port := range ports {
		for _, src := range srcs {
			for _, dst := range dsts {
				if src.Is4() != dst.Is4() || src == dst {
					continue
				}
				pkt := compiler.Packet{Proto: port.Proto, Src: src, Dst: dst, DstPort: port.From, Iif: first(e.Match.Iif), Oif: first(e.Match.Oif), At: start(e.Match.During)}
				got := compiler.Decide(d.policy, d.point, g.Hook, pkt)
				if got.Entry == e || c.Kind == "element" && c.Class == Foreign && got.Service == s {
					return fmt.Sprintf("%s %s -> %s", pkt.Proto, src, netip.AddrPortFrom(dst, port.From)), true
				}
			}
		}
	}
	return "", false
}

// some are a few addresses of a set: the first of its first prefixes.
func some(s *ir.AddrSet) []netip.Addr {
	if s == nil {
		return nil
	}
	var out []netip.Addr
	var v4, v6 int
	for _, p := range s.Prefixes {
		a := p.Addr()
		if a.Is4() && v4 < 2 {
			out = append(out, a)
			v4++
		}
		if !a.Is4() && v6 < 2 {
			out = append(out, a)
			v6++
		}
		if v4 == 2 && v6 == 2 {
			break
		}
	}
	return out
}

// start is a minute of the window.
func start(w *ir.Window) ir.Moment {
	if w != nil {
		for d, on := range w.Spans[0].Days {
			if on {
				return ir.Moment{Day: d, Minute: w.Spans[0].From}
			}
		}
	}
	return ir.Moment{}
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
