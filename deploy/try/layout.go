package try

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
)

// layout is the test bed on paper: the policy's points, the segments between
// them, and the links that join the two. It is pure, so that where everything
// stands can be tested without a kernel.
//
// A segment is what lies on one side of a point: it routes between the points
// that are attached to it and answers for every other address of that side.
type layout struct {
	nodes []*node
	links []*link
	owner map[netip.Addr]int // addresses that belong to one node alone
	notes []string           // what the policy leaves open, and how it was read
}

// node is a point or a segment: one network namespace.
type node struct {
	name     string
	point    *ir.Point     // nil for a segment
	internet bool          // the segment that stands for the rest of the world
	networks []*ir.Network // segments: the named networks that live there
	extra    []netip.Addr  // segments: servers that no point is the host of
	links    []int
}

// forwards reports whether packets of others pass through the node.
func (n *node) forwards() bool { return n.point == nil || n.point.Role == ir.Gateway }

// link is a virtual cable between two nodes.
type link struct{ ends [2]end }

// end is one side of a link.
type end struct {
	node   int
	dev    string       // interface name in the node's namespace
	v4, v6 netip.Addr   // addresses of the cable itself: 169.254.0.0/16 and fe80::/64
	own    []netip.Addr // the point's addresses that this interface carries
}

// route sends a prefix over a link, or delivers it here.
type route struct {
	dst   netip.Prefix
	local bool // the node answers for every address of dst
	link  int  // when not local
}

// iface is a point's interface while the layout is made.
type iface struct {
	point    int // index of the point's node
	name     string
	internet bool
	networks []*ir.Network
	inner    bool // of a gateway, and not facing the internet
	segment  int  // index into planner.groups, -1 while unknown
}

// group is a segment in the making.
type group struct {
	internet bool
	label    string // for segments without networks
	networks []*ir.Network
	into     int // index of the group it was merged into, or itself
}

// planner makes a layout.
type planner struct {
	p      *ir.Policy
	l      *layout
	ifaces []*iface
	groups []*group
	home   map[*ir.Network]int
	fall   int // group for machines that no gateway interface claims
}

// internetGroup is the group of the rest of the world.
const internetGroup = 0

// newLayout stands the policy's points in their places.
//
// A network lives behind the gateway interface that faces it; of several, the
// one that faces the fewest networks is the nearest. An interface that faces
// the internet from a point whose address lies behind another gateway's inner
// interface is attached there, so that packets from the internet really cross
// that gateway. What is left over hangs together by routers that the policy
// does not know.
func newLayout(p *ir.Policy) (*layout, error) {
	pl := &planner{p: p, l: &layout{owner: map[netip.Addr]int{}}, home: map[*ir.Network]int{}}
	pl.groups = []*group{{internet: true, label: "internet"}}
	for _, pt := range p.Points {
		if err := pl.addPoint(pt); err != nil {
			return nil, err
		}
	}
	pl.findHomes()
	pl.attach()
	pl.makeSegments()
	pl.makeLinks()
	pl.joinUp()
	pl.number()
	return pl.l, nil
}

// addPoint makes the point's node and its interfaces.
func (pl *planner) addPoint(pt *ir.Point) error {
	at := len(pl.l.nodes)
	pl.l.nodes = append(pl.l.nodes, &node{name: pt.Name, point: pt})
	for _, a := range pointAddresses(pt) {
		if _, taken := pl.l.owner[a]; !taken { // the compiler refuses shared addresses
			pl.l.owner[a] = at
		}
	}
	if len(pt.Interfaces) == 0 {
		pl.ifaces = append(pl.ifaces, &iface{point: at, name: "eth0", internet: true, segment: -1})
		if pt.Role == ir.Gateway {
			// A gateway without interfaces forwards for every machine of the policy:
			// they stand behind a second interface.
			g := len(pl.groups)
			pl.groups = append(pl.groups, &group{label: "behind " + pt.Name, into: g})
			pl.ifaces = append(pl.ifaces, &iface{point: at, name: "eth1", inner: true, segment: g})
			if pl.fall == internetGroup {
				pl.fall = g
			}
		}
		return nil
	}
	seen := map[string]bool{}
	for _, i := range pt.Interfaces {
		if i.Name == "lo" || len(i.Name) >= ifNameSize || i.Name == "" || strings.ContainsAny(i.Name, "/ \t:") || i.Name == "." || i.Name == ".." {
			return &BedError{Span: i.Origin.Span, Text: fmt.Sprintf("the interface %q of point %s cannot be made: name one that a network interface can have, at most %d bytes and not lo", i.Name, pt.Name, ifNameSize-1)}
		}
		if seen[i.Name] {
			return &BedError{Span: i.Origin.Span, Text: fmt.Sprintf("point %s names the interface %s twice: merge the two statements", pt.Name, i.Name)}
		}
		seen[i.Name] = true
		pl.ifaces = append(pl.ifaces, &iface{
			point: at, name: i.Name, internet: i.Internet, networks: i.Networks,
			inner: pt.Role == ir.Gateway && !i.Internet, segment: -1,
		})
	}
	return nil
}

// ifNameSize is IFNAMSIZ of linux/if.h: the name and its final zero byte.
const ifNameSize = 16

// pointAddresses lists what the point answers to: its own addresses and, for
// the host of a server, the server's.
func pointAddresses(pt *ir.Point) []netip.Addr {
	as := slices.Clone(pt.Addresses)
	if pt.Server != nil {
		as = append(as, pt.Server.Addresses...)
	}
	var out []netip.Addr
	for _, a := range as {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// findHomes decides which segment each faced network lives in.
func (pl *planner) findHomes() {
	for _, want := range []func(*iface) bool{
		func(i *iface) bool { return i.inner },
		func(i *iface) bool { return !i.inner && !i.internet },
	} {
		// Nearest first: an interface that faces fewer networks is nearer to them.
		for _, n := range pl.p.Networks {
			if _, done := pl.home[n]; done {
				continue
			}
			var near []*iface
			for _, i := range pl.ifaces {
				if !want(i) || !slices.Contains(i.networks, n) {
					continue
				}
				switch {
				case len(near) == 0 || len(i.networks) < len(near[0].networks):
					near = []*iface{i}
				case len(i.networks) == len(near[0].networks):
					near = append(near, i)
				}
			}
			if len(near) == 0 {
				continue
			}
			g := -1
			for _, i := range near {
				if i.segment < 0 {
					continue
				}
				if g < 0 {
					g = pl.root(i.segment)
				} else {
					g = pl.merge(g, i.segment)
				}
			}
			if g < 0 {
				g = len(pl.groups)
				pl.groups = append(pl.groups, &group{into: g})
			}
			for _, i := range near {
				i.segment = g
			}
			pl.home[n] = g
			pl.groups[g].networks = append(pl.groups[g].networks, n)
		}
	}
}

// root follows merged groups to the one that stands for them.
func (pl *planner) root(g int) int {
	for pl.groups[g].into != g {
		g = pl.groups[g].into
	}
	return g
}

// merge makes one group of two and gives it.
func (pl *planner) merge(a, b int) int {
	a, b = pl.root(a), pl.root(b)
	if a == b {
		return a
	}
	if b < a {
		a, b = b, a
	}
	pl.groups[b].into = a
	pl.groups[a].networks = append(pl.groups[a].networks, pl.groups[b].networks...)
	return a
}

// attach gives every interface that has none its segment.
func (pl *planner) attach() {
	for _, i := range pl.ifaces {
		if i.segment >= 0 {
			continue
		}
		if i.internet {
			continue
		}
		// A host's interface that faces networks behind gateways, or a gateway's
		// whose networks all have a nearer gateway.
		if i.inner {
			i.segment = len(pl.groups)
			pl.groups = append(pl.groups, &group{into: i.segment, label: "behind " + pl.l.nodes[i.point].name + "." + i.name})
			continue
		}
		i.segment = pl.sideOf(i)
	}
	for _, i := range pl.ifaces {
		if i.internet && i.segment < 0 {
			i.segment = pl.sideOf(i)
		}
	}
	// Networks that only internet-facing interfaces face live where these are.
	for _, i := range pl.ifaces {
		for _, n := range i.networks {
			if _, done := pl.home[n]; !done {
				g := pl.root(i.segment)
				pl.home[n] = g
				pl.groups[g].networks = append(pl.groups[g].networks, n)
			}
		}
	}
}

// sideOf finds the segment that an interface is attached to when no network
// lives behind it: where the point's address lies, else a network that it
// faces, else a segment in which a gateway expects what is behind this point.
func (pl *planner) sideOf(i *iface) int {
	pt := pl.l.nodes[i.point].point
	best, bits := -1, -1
	for _, a := range pointAddresses(pt) {
		for _, n := range pl.p.Networks {
			g, ok := pl.home[n]
			if !ok || !pl.free(i, g) {
				continue
			}
			if pfx, in := n.Set.Covering(a); in && pfx.Bits() > bits {
				best, bits = g, pfx.Bits()
			}
		}
	}
	if best >= 0 {
		return pl.root(best)
	}
	for _, n := range i.networks {
		if g, ok := pl.home[n]; ok && pl.free(i, g) {
			return pl.root(g)
		}
	}
	for _, o := range pl.ifaces {
		if !o.inner || o.segment < 0 || o.point == i.point || len(o.networks) == 0 || len(pl.groups[pl.root(o.segment)].networks) > 0 {
			continue
		}
		for _, mine := range pl.ifaces {
			if mine.point == i.point && mine.inner && slices.ContainsFunc(mine.networks, func(n *ir.Network) bool { return slices.Contains(o.networks, n) }) {
				return pl.root(o.segment)
			}
		}
	}
	if pt.Role == ir.Host {
		return pl.root(pl.fall)
	}
	return internetGroup
}

// free reports whether the group belongs to another gateway's inner side, or to
// no gateway, and holds no other interface of the same point.
func (pl *planner) free(i *iface, g int) bool {
	for _, o := range pl.ifaces {
		if o.point == i.point && o.segment >= 0 && pl.root(o.segment) == pl.root(g) {
			return false
		}
	}
	return true
}

// makeSegments turns groups into nodes.
func (pl *planner) makeSegments() {
	nodeOf := map[int]int{}
	used := map[int]bool{internetGroup: true}
	for _, i := range pl.ifaces {
		i.segment = pl.root(i.segment)
		used[i.segment] = true
	}
	for g, gr := range pl.groups {
		if pl.root(g) != g || !used[g] {
			continue
		}
		n := &node{internet: gr.internet, networks: gr.networks}
		var names []string
		if gr.label != "" {
			names = append(names, gr.label)
		}
		for _, w := range gr.networks {
			names = append(names, w.Name)
		}
		n.name = strings.Join(names, ", ")
		nodeOf[g] = len(pl.l.nodes)
		pl.l.nodes = append(pl.l.nodes, n)
	}
	for _, i := range pl.ifaces {
		i.segment = nodeOf[i.segment]
	}
	// Servers that no point is the host of answer where their address lies.
	for _, s := range pl.p.Servers {
		for _, a := range s.Addresses {
			if _, taken := pl.l.owner[a]; taken {
				continue
			}
			at := pl.l.homeOf(a)
			if pl.l.nodes[at].internet && pl.fall != internetGroup {
				at = nodeOf[pl.root(pl.fall)]
			}
			pl.l.owner[a] = at
			pl.l.nodes[at].extra = append(pl.l.nodes[at].extra, a)
		}
	}
}

// makeLinks ties each interface to its segment, and gives the point's addresses
// to the interfaces that carry them.
func (pl *planner) makeLinks() {
	for _, i := range pl.ifaces {
		pl.l.join(i.point, i.name, i.segment)
	}
	for at, n := range pl.l.nodes {
		if n.point == nil || len(n.links) == 0 {
			continue
		}
		for _, a := range pointAddresses(n.point) {
			if pl.l.owner[a] != at {
				continue
			}
			e := &pl.l.links[pl.carrier(at, a)].ends[0]
			e.own = append(e.own, a)
		}
	}
}

// carrier is the link of the point whose interface carries the address: one
// that faces a network with it, else one that faces the internet, else the first.
func (pl *planner) carrier(at int, a netip.Addr) int {
	links := pl.l.nodes[at].links
	k, facing, internet := 0, -1, -1
	for _, i := range pl.ifaces {
		if i.point != at {
			continue
		}
		for _, n := range i.networks {
			if _, in := n.Set.Covering(a); in && facing < 0 {
				facing = links[k]
			}
		}
		if i.internet && internet < 0 {
			internet = links[k]
		}
		k++
	}
	switch {
	case facing >= 0:
		return facing
	case internet >= 0:
		return internet
	}
	return links[0]
}

// join adds a link; the point, if any, is its first end.
func (l *layout) join(a int, dev string, b int) {
	k := len(l.links)
	l.links = append(l.links, &link{ends: [2]end{{node: a, dev: dev}, {node: b, dev: fmt.Sprintf("side%d", k)}}})
	l.nodes[a].links = append(l.nodes[a].links, k)
	l.nodes[b].links = append(l.nodes[b].links, k)
}

// joinUp ties segments that no gateway connects to the internet by a cable: the
// policy knows its own points, not every router of the world.
func (pl *planner) joinUp() {
	world := slices.IndexFunc(pl.l.nodes, func(n *node) bool { return n.internet })
	for at, n := range pl.l.nodes {
		if n.point != nil || n.internet {
			continue
		}
		if next := pl.l.towards(world); next[at] < 0 {
			dev := fmt.Sprintf("side%dw", len(pl.l.links))
			pl.l.join(at, dev, world)
			pl.l.notes = append(pl.l.notes, fmt.Sprintf("no gateway of the policy stands between %s and the internet: an unseen router does", n.name))
		}
	}
}

// number gives the cables their addresses.
func (pl *planner) number() {
	for k, l := range pl.l.links {
		for side := range l.ends {
			host := 2*k + side
			l.ends[side].v4 = netip.AddrFrom4([4]byte{169, 254, byte(host >> 8), byte(host)})
			v6 := [16]byte{0: 0xfe, 1: 0x80}
			v6[13], v6[14], v6[15] = byte(side+1), byte(k>>8), byte(k)
			l.ends[side].v6 = netip.AddrFrom16(v6)
		}
	}
}

// homeOf gives the node that answers for an address.
func (l *layout) homeOf(a netip.Addr) int {
	if at, ok := l.owner[a]; ok {
		return at
	}
	best, bits := 0, -1
	for at, n := range l.nodes {
		if n.point != nil {
			continue
		}
		if n.internet && bits < 0 {
			best, bits = at, 0
		}
		for _, w := range n.networks {
			if pfx, in := w.Set.Covering(a); in && pfx.Bits() > bits {
				best, bits = at, pfx.Bits()
			}
		}
	}
	return best
}

// towards gives, for every node, the link of its next hop on the shortest way
// to target, or -1. Of equal ways the one by the first link wins, in both
// directions.
func (l *layout) towards(target int) []int {
	next := make([]int, len(l.nodes))
	for i := range next {
		next[i] = -1
	}
	seen := make([]bool, len(l.nodes))
	seen[target] = true
	for queue := []int{target}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != target && !l.nodes[at].forwards() {
			continue
		}
		for _, k := range l.nodes[at].links {
			far := l.across(k, at)
			if !seen[far] {
				seen[far] = true
				next[far] = k
				queue = append(queue, far)
			}
		}
	}
	return next
}

// across is the node at the other end of a link.
func (l *layout) across(k, at int) int {
	if l.links[k].ends[0].node == at {
		return l.links[k].ends[1].node
	}
	return l.links[k].ends[0].node
}

// ends gives the near and the far end of a link, as seen from a node.
func (l *layout) endsAt(k, at int) (near, far *end) {
	if l.links[k].ends[0].node == at {
		return &l.links[k].ends[0], &l.links[k].ends[1]
	}
	return &l.links[k].ends[1], &l.links[k].ends[0]
}

// path lists the nodes that a packet crosses from one node to another, both
// included; nil when there is no way.
func (l *layout) path(from, to int) []int {
	next := l.towards(to)
	way := []int{from}
	for at := from; at != to; {
		if next[at] < 0 {
			return nil
		}
		at = l.across(next[at], at)
		way = append(way, at)
	}
	return way
}

// routes makes the routing table of a node.
func (l *layout) routes(at int) []route {
	var rs []route
	add := func(pfx netip.Prefix, owner int, next []int) {
		if owner == at {
			if l.nodes[at].point == nil {
				rs = append(rs, route{dst: pfx, local: true})
			}
			return
		}
		if next[at] >= 0 {
			rs = append(rs, route{dst: pfx, link: next[at]})
		}
	}
	for owner, n := range l.nodes {
		next := l.towards(owner)
		if n.point != nil {
			for _, a := range pointAddresses(n.point) {
				if l.owner[a] == owner {
					add(netip.PrefixFrom(a, a.BitLen()), owner, next)
				}
			}
			continue
		}
		for _, w := range n.networks {
			for _, pfx := range w.Set.Prefixes {
				add(pfx, owner, next)
			}
		}
		for _, a := range n.extra {
			add(netip.PrefixFrom(a, a.BitLen()), owner, next)
		}
		if n.internet {
			add(netip.PrefixFrom(netip.IPv4Unspecified(), 0), owner, next)
			add(netip.PrefixFrom(netip.IPv6Unspecified(), 0), owner, next)
		}
	}
	slices.SortStableFunc(rs, func(a, b route) int {
		return cmp.Or(a.dst.Addr().Compare(b.dst.Addr()), cmp.Compare(a.dst.Bits(), b.dst.Bits()))
	})
	// Two networks may hold the same prefix: the first to claim it has it.
	return slices.CompactFunc(rs, func(a, b route) bool { return a.dst == b.dst })
}

// describe lists where every point stands, one line each.
func (l *layout) describe(at int) string {
	n := l.nodes[at]
	var parts []string
	for _, k := range n.links {
		near, far := l.endsAt(k, at)
		part := near.dev + " to " + l.nodes[far.node].name
		if n.point == nil {
			part = l.nodes[far.node].name + "." + far.dev
		}
		parts = append(parts, part)
	}
	kind := "segment"
	if n.point != nil {
		kind = string(n.point.Role)
		if n.point.Server != nil {
			kind += " of " + n.point.Server.Name
		}
	}
	return fmt.Sprintf("%s: %s, %s", n.name, kind, strings.Join(parts, "; "))
}
