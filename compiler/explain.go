package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Hop is one point on a packet's path with its decision.
type Hop struct {
	Point    *ir.Point
	Hook     ir.Hook
	Iif, Oif string
	Decision Decision
}

// String says what the point decides, as a phrase.
func (h Hop) String() string {
	return fmt.Sprintf("%s at %s (%s): %s", h.Decision.Verdict.Past(), h.Point.Name, h.Hook, h.Decision.Reason)
}

// Explanation is a packet's way through the policy's points.
type Explanation struct {
	Packet  Packet
	Hops    []Hop
	Verdict ir.Verdict // Deny if any hop denies, else Allow if any allows, else Untouched
}

// Meant is the verdict that the policy states: Verdict, or Deny where a point
// that only observes lets pass what it would deny.
func (ex Explanation) Meant() ir.Verdict {
	if slices.ContainsFunc(ex.Hops, func(h Hop) bool { return h.Decision.Observed }) {
		return ir.Deny
	}
	return ex.Verdict
}

// Explain follows the first packet of a conversation: out of the machine that
// opens it, through every gateway between the two networks, into the machine
// that it is for. Which interface a packet uses follows from what the points
// say their interfaces face.
func Explain(p *ir.Policy, pkt Packet) Explanation { return explain(p, nil, pkt) }

func explain(p *ir.Policy, m *model, pkt Packet) Explanation {
	ex := Explanation{Packet: pkt, Verdict: ir.Untouched}
	src, dst := machineAt(p, pkt.Src), machineAt(p, pkt.Dst)
	add := func(pt *ir.Point, hook ir.Hook, iif, oif string) {
		q := pkt
		q.Iif, q.Oif = iif, oif
		ex.Hops = append(ex.Hops, Hop{pt, hook, iif, oif, decide(p, m, pt, hook, q)})
	}
	switch {
	case src != nil && src == dst:
		add(dst, ir.Input, "lo", "")
	default:
		if src != nil {
			add(src, ir.Output, "", ifaceTo(src, pkt.Dst))
		}
		if !pkt.Dst.IsMulticast() {
			for _, pt := range p.Points {
				if pt.Role != ir.Gateway || pt == src || pt == dst {
					continue
				}
				iif, oif := ifaceTo(pt, pkt.Src), ifaceTo(pt, pkt.Dst)
				if iif == oif && iif != "" {
					continue // both are on the same side: the gateway never sees it
				}
				add(pt, ir.Forward, iif, oif)
			}
			if dst != nil {
				add(dst, ir.Input, ifaceTo(dst, pkt.Src), "")
			}
		} else {
			// A multicast packet arrives at every host of the link.
			for _, pt := range p.Points {
				if pt != src {
					add(pt, ir.Input, ifaceTo(pt, pkt.Src), "")
				}
			}
		}
	}
	for _, h := range ex.Hops {
		if h.Decision.Verdict == ir.Deny {
			ex.Verdict = ir.Deny
			break
		}
		if h.Decision.Verdict == ir.Allow {
			ex.Verdict = ir.Allow
		}
	}
	return ex
}

// machineAt is the point that the address belongs to.
func machineAt(p *ir.Policy, a netip.Addr) *ir.Point {
	for _, pt := range p.Points {
		if slices.Contains(pt.Addresses, a) {
			return pt
		}
		if pt.Server != nil && slices.Contains(pt.Server.Addresses, a) {
			return pt
		}
	}
	return nil
}

// ifaceTo is the interface of the point behind which the address lies: the one
// that faces the narrowest network holding it, else one that faces the
// internet, else "".
func ifaceTo(pt *ir.Point, a netip.Addr) string {
	if a.Is4() && a.IsLoopback() || a.Is6() && a.IsLoopback() {
		return "lo"
	}
	best, bits := "", -1
	for _, i := range pt.Interfaces {
		for _, n := range i.Networks {
			if p, ok := n.Set.Covering(a); ok && p.Bits() > bits {
				best, bits = i.Name, p.Bits()
			}
		}
	}
	if best != "" {
		return best
	}
	// Link-local and multicast packets belong to the link of a named network.
	if a.IsLinkLocalUnicast() || a.IsMulticast() {
		for _, i := range pt.Interfaces {
			if len(i.Networks) > 0 {
				return i.Name
			}
		}
	}
	for _, i := range pt.Interfaces {
		if i.Internet {
			return i.Name
		}
	}
	return ""
}

// ParsePackets reads the packet notation of explain:
//
//	tcp 203.0.113.9 -> chat:5269
//	udp fe80::1 -> [ff02::fb]:5353
//	tcp ops -> chat:22 at mon 09:00
//
// The destination is an address, or the name of a server or point, which stands
// for each of its addresses of the source's family. The source may be an
// address or the name of a network, zone, server or point, which stands for its first
// address of each family. Without a day and time, in UTC, there is a packet for
// every part of the week that the policy distinguishes.
func ParsePackets(p *ir.Policy, s string) ([]Packet, error) {
	f := strings.Fields(strings.ReplaceAll(s, "->", " -> "))
	moments := p.Moments()
	if len(f) == 7 && f[4] == "at" {
		m, ok := ir.ParseMoment(f[5], f[6])
		if !ok {
			return nil, fmt.Errorf("%q is no day and time: write them as 'at mon 09:00', in UTC", f[5]+" "+f[6])
		}
		f, moments = f[:4], []ir.Moment{m}
	}
	if len(f) != 4 || f[2] != "->" {
		return nil, fmt.Errorf("%q is not a packet: write it as 'tcp 203.0.113.9 -> chat:5269'", s)
	}
	proto := ir.Proto(f[0])
	if proto != ir.TCP && proto != ir.UDP {
		return nil, fmt.Errorf("%q is not a protocol: use tcp or udp", f[0])
	}
	srcs, err := addrsOf(p, f[1])
	if err != nil {
		return nil, err
	}
	host, port, err := splitHostPort(f[3])
	if err != nil {
		return nil, err
	}
	dsts, err := addrsOf(p, host)
	if err != nil {
		return nil, err
	}
	var pkts []Packet
	for _, src := range srcs {
		for _, dst := range dsts {
			if src.Is4() == dst.Is4() {
				for _, m := range moments {
					pkts = append(pkts, Packet{Proto: proto, Src: src, Dst: dst, DstPort: port, At: m})
				}
			}
		}
	}
	if len(pkts) == 0 {
		return nil, fmt.Errorf("%s and %s have no address family in common", f[1], host)
	}
	return pkts, nil
}

func splitHostPort(s string) (string, uint16, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("%q lacks a port: write it as chat:5269 or [2001:db8::1]:5269", s)
	}
	host := s[:i]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return "", 0, fmt.Errorf("%q: put the IPv6 address in brackets, as in [2001:db8::1]:5269", s)
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port", s[i+1:])
	}
	return host, uint16(n), nil
}

func addrsOf(p *ir.Policy, s string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return nil, fmt.Errorf("%q: leave the zone out", s)
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	for _, srv := range p.Servers {
		if srv.Name == s && len(srv.Addresses) > 0 {
			return srv.Addresses, nil
		}
	}
	for _, pt := range p.Points {
		if pt.Name == s {
			if as := pointAddrs(pt); len(as) > 0 {
				return as, nil
			}
		}
	}
	for _, n := range p.Networks {
		if n.Name == s && len(n.Set.Prefixes) > 0 {
			return firstOfEachFamily(n.Set), nil
		}
	}
	for _, z := range p.Zones {
		if z.Name == s && len(z.Set.Prefixes) > 0 {
			return firstOfEachFamily(z.Set), nil
		}
	}
	return nil, fmt.Errorf("%q is neither an address nor a server, point, network or zone of the policy", s)
}

func pointAddrs(pt *ir.Point) []netip.Addr {
	if len(pt.Addresses) > 0 || pt.Server == nil {
		return pt.Addresses
	}
	return pt.Server.Addresses
}

func firstOfEachFamily(s *ir.AddrSet) []netip.Addr {
	var as []netip.Addr
	for _, p := range s.Prefixes {
		if len(as) == 0 || as[len(as)-1].Is4() != p.Addr().Is4() {
			as = append(as, hostIn(p))
		}
	}
	return as
}

// hostIn is the first address of a prefix that a host can have: the network
// address itself is none in IPv4 unless the prefix is a host or a /31.
func hostIn(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() && p.Bits() < 31 || p.Addr().Is6() && p.Bits() < 127 {
		return p.Addr().Next()
	}
	return p.Addr()
}

// TestResult is what became of one expectation.
type TestResult struct {
	Test    *ir.Test
	OK      bool
	Packets int // how many witness packets were judged
	// Witness contradicts the expectation; only when !OK.
	Witness *Explanation
}

// RunTests judges every expectation of the policy on the model. Sources are cut
// into the regions that the policy distinguishes, and one packet stands for
// each region, so an expectation about `any` is judged for every source and not
// for a sample. Rates and counts are left out: a limit never fails a test.
func RunTests(p *ir.Policy) []TestResult {
	m := newModel(p)
	var rs []TestResult
	for _, t := range p.Tests {
		rs = append(rs, runTest(p, m, t))
	}
	return rs
}

// runTest judges one expectation; it stops at the first packet that contradicts
// it. What a point only observes counts as denied: the test is about what the
// policy states.
func runTest(p *ir.Policy, m *model, t *ir.Test) TestResult {
	r := TestResult{Test: t, OK: true}
	ports := m.portsOf(t)
	srcs, moments := m.sources(t, ports), p.Moments()[:1]
	switch {
	case t.At != nil:
		moments = []ir.Moment{*t.At}
	case slices.ContainsFunc(ports, func(port uint16) bool { return m.at(t.Proto, port).timed }):
		moments = p.Moments()
	}
	for _, dst := range testTargets(t) {
		own := machineAt(p, dst)
		for _, src := range srcs {
			if src.Is4() != dst.Is4() || own != nil && machineAt(p, src) == own {
				continue // a machine reaches itself over the loopback interface
			}
			for _, port := range ports {
				for _, at := range moments {
					pkt := Packet{Proto: t.Proto, Src: src, Dst: dst, DstPort: port, At: at}
					ex := explain(p, m, pkt)
					if t.Kind == ir.ExpectAllow && t.From.Any && deniedAsBogon(ex) {
						continue // `any` that may pass is every source that can exist
					}
					r.Packets++
					if (t.Wants(src) == ir.Deny) != (ex.Meant() == ir.Deny) {
						ex = Explain(p, pkt) // which names the entry, and not its run
						r.OK = false
						r.Witness = &ex
						return r
					}
				}
			}
		}
	}
	return r
}

func deniedAsBogon(ex Explanation) bool {
	for _, h := range ex.Hops {
		if h.Decision.Verdict == ir.Deny || h.Decision.Observed {
			return h.Decision.Entry != nil && h.Decision.Entry.ID == bogonsID
		}
	}
	return false
}

func testTargets(t *ir.Test) []netip.Addr {
	if t.To.Set == nil {
		return nil
	}
	var as []netip.Addr
	for _, p := range t.To.Set.Prefixes {
		as = append(as, hostIn(p))
	}
	return as
}

// portsOf picks one port of every part of the test's ports that the policy
// judges alike: where any service or confinement of a guard begins, and just
// behind where it ends, a new part begins.
func (m *model) portsOf(t *ir.Test) []uint16 {
	var ps []uint16
	for _, s := range t.Ports {
		ps = append(ps, s.From)
		if s.From == s.To {
			continue
		}
		for _, n := range m.portStarts(t.Proto) {
			if int(s.From) < n && n <= int(s.To) {
				ps = append(ps, uint16(n))
			}
		}
	}
	slices.Sort(ps)
	return slices.Compact(ps)
}

// portStarts lists where the judgement of a port can change.
func (m *model) portStarts(proto ir.Proto) []int {
	if known := m.starts[proto]; known != nil {
		return known
	}
	starts := []int{0}
	add := func(ps []ir.PortSpan) {
		for _, s := range ps {
			if s.Proto == proto {
				starts = append(starts, int(s.From), int(s.To)+1)
			}
		}
	}
	for _, g := range m.p.Guards {
		for _, s := range g.Services {
			add(s.Ports)
			for _, e := range s.Entries {
				add(e.Match.DstPorts)
			}
		}
		for _, e := range g.Confine {
			add(e.Match.DstPorts)
		}
	}
	slices.Sort(starts)
	m.starts[proto] = slices.Compact(starts)
	return m.starts[proto]
}

// sources picks the first address of every region of the test's sources that
// the policy judges alike, outside of the test's exceptions.
func (m *model) sources(t *ir.Test, ports []uint16) []netip.Addr {
	var sets []*ir.AddrSet
	for _, port := range ports {
		sets = append(sets, m.at(t.Proto, port).sets...)
	}
	for _, pt := range m.p.Points {
		sets = append(sets, pt.Set)
		for _, i := range pt.Interfaces {
			for _, n := range i.Networks {
				sets = append(sets, n.Set)
			}
		}
	}
	for _, s := range m.p.Servers {
		sets = append(sets, s.Set)
	}
	meant := func(a netip.Addr) bool {
		switch {
		case t.Except != nil && t.Except.Contains(a):
			return false
		case t.From.Set.Contains(a):
			return true
		}
		// `any` is everybody elsewhere: what no router forwards is not meant.
		return t.Everybody() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified() && a != netip.MustParseAddr("255.255.255.255")
	}
	// Where the test's own sets are short, all between two cuts is meant, or
	// nothing; only the first address of a family may not be.
	short := func(s *ir.AddrSet) bool { return s == nil || len(s.Prefixes) <= shortSet }
	whole := short(t.From.Set) && short(t.Except)
	all := m.cuts(m.distinct(append(sets, t.From.Set, t.Except)), func(a netip.Addr) bool { return !whole || a.IsUnspecified() || meant(a) })
	if t.Everybody() {
		// The first address of each family that is no bogon in any event.
		all = append(all, netip.MustParseAddr("1.0.0.0"), netip.MustParseAddr("2000::"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:ffff::1"))
		slices.SortFunc(all, netip.Addr.Compare)
		all = slices.Compact(all)
	}
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return !meant(a) })
}

// testFindings reports the expectations that do not hold.
func testFindings(p *ir.Policy) []diag.Finding {
	var fs []diag.Finding
	for _, r := range RunTests(p) {
		if r.Packets == 0 {
			fs = append(fs, diag.New("test-empty", r.Test.Origin.Span,
				fmt.Sprintf("test %q: no packet is like this, so the line says nothing", r.Test.Name)))
			continue
		}
		if r.OK {
			continue
		}
		w := r.Witness
		f := diag.New("test-failed", r.Test.Origin.Span, fmt.Sprintf(
			"test %q: %s %s -> %s is %s", r.Test.Name, w.Packet.Proto, w.Packet.Src,
			netip.AddrPortFrom(w.Packet.Dst, w.Packet.DstPort), w.Meant().Past()))
		if len(p.Windows) > 0 {
			f.Summary += " at " + w.Packet.At.String()
		}
		for _, h := range w.Hops {
			if e := h.Decision.Entry; e != nil && e.Origin.Span.IsValid() {
				f.Labels = append(f.Labels, diag.Label{Span: e.Origin.Span, Text: h.String()})
			}
		}
		fs = append(fs, f)
	}
	return fs
}
