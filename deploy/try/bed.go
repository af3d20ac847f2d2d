package try

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"xfwc/compiler/ir"
)

// Bed is a set of network namespaces in which the points of a policy stand as
// the policy says: every point has its interfaces by name and its addresses,
// and everything else of the world answers behind the right interface. Nothing
// of the machine is read or changed, and nothing is left when the process ends.
type Bed struct {
	layout *layout
	spaces []*space // by node of the layout
	v6     bool     // the kernel has IPv6

	mu        sync.Mutex
	listeners map[door]*listener
	recent    []door              // of listeners, the oldest first
	token     uint64              // of the last datagram
	datagrams map[uint64][]string // on their way: who has received them
	ears      map[ear]int         // raw sockets
	knocks    map[knock]bool      // connection attempts on their way: whether they got there
}

// NewBed lays out a policy's points. The caller closes the bed.
//
// It needs the right to make network namespaces (see Privileged); the error is
// a *PrivilegeError otherwise, and a *BedError when the policy's interfaces
// cannot be made.
func NewBed(p *ir.Policy) (*Bed, error) {
	l, err := newLayout(p)
	if err != nil {
		return nil, err
	}
	b := &Bed{layout: l, listeners: map[door]*listener{}, datagrams: map[uint64][]string{}, ears: map[ear]int{}, knocks: map[knock]bool{}}
	_, err = os.Stat("/proc/sys/net/ipv6")
	b.v6 = err == nil
	if err := b.build(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close removes the bed.
func (b *Bed) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.listeners {
		l.close()
	}
	for _, fd := range b.ears {
		unix.Close(fd)
	}
	b.listeners, b.ears = map[door]*listener{}, map[ear]int{}
	for _, s := range b.spaces {
		if s != nil {
			s.close()
		}
	}
	b.spaces = nil
}

// Do runs f on a thread in the namespace of a point. f must not start
// goroutines that speak to the network.
func (b *Bed) Do(pt *ir.Point, f func() error) error {
	for at, n := range b.layout.nodes {
		if n.point == pt {
			return b.spaces[at].do(f)
		}
	}
	return fmt.Errorf("point %s is not of this test bed", pt.Name)
}

// Describe says where everything stands, one line for each namespace.
func (b *Bed) Describe() []string {
	var lines []string
	for at := range b.layout.nodes {
		lines = append(lines, b.layout.describe(at))
	}
	return append(lines, b.layout.notes...)
}

// build makes the namespaces, the cables between them and the routes.
func (b *Bed) build() error {
	for at, n := range b.layout.nodes {
		s, err := newSpace(n.name)
		if err != nil {
			return err
		}
		b.spaces = append(b.spaces, s)
		if err := s.do(func() error { return b.prepare(at) }); err != nil {
			return fmt.Errorf("test bed, %s: %w", n.name, err)
		}
	}
	for _, l := range b.layout.links {
		if err := b.cable(l); err != nil {
			return err
		}
	}
	for at, n := range b.layout.nodes {
		if err := b.spaces[at].do(func() error { return b.configure(at) }); err != nil {
			return fmt.Errorf("test bed, %s: %w", n.name, err)
		}
	}
	return b.waitForLinks()
}

// linkPatience is how long the cables may take to come up.
const linkPatience = 10 * time.Second

// waitForLinks waits until every interface takes packets and answers for its
// addresses. Both are up to workers of the kernel: one sees that the other end
// of a cable is up as well, another joins the groups in which IPv6 neighbours
// ask for an address (RFC 4861 section 7.2.1) and then calls it tentative no
// more.
func (b *Bed) waitForLinks() error {
	deadline := time.Now().Add(linkPatience)
	for _, l := range b.layout.links {
		for _, e := range l.ends {
			err := b.spaces[e.node].do(func() error {
				for {
					waiting, err := notReady(e.dev)
					if err != nil || waiting == "" {
						return err
					}
					if time.Now().After(deadline) {
						return fmt.Errorf("%s after %s", waiting, linkPatience)
					}
					time.Sleep(time.Millisecond)
				}
			})
			if err != nil {
				return fmt.Errorf("test bed: interface %s of %s: %w", e.dev, b.layout.nodes[e.node].name, err)
			}
		}
	}
	return nil
}

// notReady says what an interface of this thread's namespace still waits for,
// "" for nothing.
func notReady(name string) (string, error) {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return "", err
	}
	if s := dev.Attrs().OperState; s != netlink.OperUp {
		return "still " + s.String(), nil
	}
	addrs, err := netlink.AddrList(dev, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return "", err
	}
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			return "address " + a.IP.String() + " still tentative", nil
		}
	}
	return "", nil
}

// prepare sets what has to hold before the first interface appears.
func (b *Bed) prepare(at int) error {
	n := b.layout.nodes[at]
	flag := func(on bool) string {
		if on {
			return "1"
		}
		return "0"
	}
	settings := [][2]string{
		{"ipv4/ip_forward", flag(n.forwards())},
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
	}
	if n.point == nil {
		// A segment answers for addresses that packets also come from.
		settings = append(settings, [][2]string{
			{"ipv4/conf/all/accept_local", "1"},
			{"ipv4/conf/default/accept_local", "1"},
		}...)
	}
	if b.v6 {
		settings = append(settings, [][2]string{
			{"ipv6/conf/all/disable_ipv6", "0"},
			{"ipv6/conf/default/disable_ipv6", "0"},
			{"ipv6/conf/all/forwarding", flag(n.forwards())},
			{"ipv6/conf/all/accept_dad", "0"}, // nobody else is on the cable
			{"ipv6/conf/default/accept_dad", "0"},
			{"ipv6/conf/default/accept_ra", "0"},
			{"ipv6/conf/default/addr_gen_mode", "1"}, // no link-local address of the kernel's choice
		}...)
	}
	for _, kv := range settings {
		err := sysctl(kv[0], kv[1])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// cable makes a pair of virtual interfaces, one in each namespace.
func (b *Bed) cable(l *link) error {
	near, far := l.ends[0], l.ends[1]
	err := b.spaces[near.node].do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: near.dev},
			PeerName:      far.dev,
			PeerNamespace: netlink.NsFd(int(b.spaces[far.node].fd)),
		})
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("test bed: this kernel has no virtual Ethernet pairs: load the module veth (%w)", err)
	}
	if err != nil {
		return fmt.Errorf("test bed: interface %s of %s: %w", near.dev, b.layout.nodes[near.node].name, err)
	}
	return nil
}

// configure gives a node's interfaces their addresses and routes.
func (b *Bed) configure(at int) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	index := map[int]int{} // of links
	for _, k := range b.layout.nodes[at].links {
		near, far := b.layout.endsAt(k, at)
		dev, err := h.LinkByName(near.dev)
		if err != nil {
			return fmt.Errorf("interface %s: %w", near.dev, err)
		}
		index[k] = dev.Attrs().Index
		if err := h.LinkSetUp(dev); err != nil {
			return fmt.Errorf("interface %s: %w", near.dev, err)
		}
		cable := []*netlink.Addr{{
			IPNet: ipnet(netip.PrefixFrom(near.v4, 32)), Peer: ipnet(netip.PrefixFrom(far.v4, 32)), Scope: unix.RT_SCOPE_LINK,
		}}
		if b.v6 {
			cable = append(cable, &netlink.Addr{IPNet: ipnet(netip.PrefixFrom(near.v6, 64))})
		}
		for _, a := range near.own {
			if b.speaks(a) {
				cable = append(cable, &netlink.Addr{IPNet: ipnet(netip.PrefixFrom(a, a.BitLen()))})
			}
		}
		for _, a := range cable {
			if err := h.AddrAdd(dev, a); err != nil {
				return fmt.Errorf("address %s on %s: %w", a.IP, near.dev, err)
			}
		}
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, r := range b.layout.routes(at) {
		if !b.speaks(r.dst.Addr()) {
			continue
		}
		nr := &netlink.Route{Dst: ipnet(r.dst), LinkIndex: lo.Attrs().Index, Table: unix.RT_TABLE_MAIN}
		if r.local {
			nr.Type, nr.Scope = unix.RTN_LOCAL, unix.RT_SCOPE_HOST
		} else {
			_, far := b.layout.endsAt(r.link, at)
			nr.LinkIndex = index[r.link]
			gw := far.v4
			if r.dst.Addr().Is6() {
				gw = far.v6
			}
			nr.Gw = gw.AsSlice()
			nr.Flags = int(netlink.FLAG_ONLINK)
		}
		if err := h.RouteReplace(nr); err != nil {
			return fmt.Errorf("route to %s: %w", r.dst, err)
		}
	}
	return nil
}

// ForgetNeighbours empties the neighbour caches of the whole bed, so that the
// next packet needs neighbour discovery again: a ruleset that breaks it must not
// be saved by what was learnt before.
func (b *Bed) ForgetNeighbours() error {
	for at, s := range b.spaces {
		err := s.do(func() error {
			neighbours, err := netlink.NeighList(0, 0)
			if err != nil {
				return err
			}
			for _, n := range neighbours {
				if n.State&(netlink.NUD_NOARP|netlink.NUD_PERMANENT) != 0 {
					continue
				}
				if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("neighbours of %s: %w", b.layout.nodes[at].name, err)
		}
	}
	return nil
}

// speaks reports whether the kernel has the address's family.
func (b *Bed) speaks(a netip.Addr) bool { return b.v6 || a.Is4() }

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
