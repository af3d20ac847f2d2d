package try

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"xfwc/compiler/ir"
)

// Packet is the first packet of a conversation: what a probe sends.
type Packet struct {
	Proto ir.Proto   `json:"proto"`
	Src   netip.Addr `json:"src"`
	Dst   netip.Addr `json:"dst"` // of a multicast group: everybody on the source's link may hear it
	Port  uint16     `json:"port"`
	// SrcPort is the port it is sent from; 0 lets the kernel choose.
	SrcPort uint16 `json:"src_port,omitempty"`
	// HopLimit is the IPv4 time to live or IPv6 hop limit; 0 is the kernel's
	// default of 64, and 255 to a group, as multicast DNS has it (RFC 6762
	// section 11).
	HopLimit uint8 `json:"hop_limit,omitempty"`
	// Behind names the point's interface, as "edge.eth0", behind which the packet
	// is sent; "" is where the source belongs. With a source of another side the
	// packet is forged: answers go to the rightful owner, so Reached tells what
	// became of it, and Arrived is false for TCP.
	Behind string `json:"behind,omitempty"`
}

// String writes the packet as explain takes it: "tcp 203.0.113.9 -> 198.51.100.10:5269".
func (p Packet) String() string {
	src := p.Src.String()
	if p.SrcPort != 0 {
		src = netip.AddrPortFrom(p.Src, p.SrcPort).String()
	}
	return fmt.Sprintf("%s %s -> %s", p.Proto, src, netip.AddrPortFrom(p.Dst, p.Port))
}

func (p Packet) hopLimit() uint8 {
	switch {
	case p.HopLimit != 0:
		return p.HopLimit
	case p.Dst.IsMulticast():
		return 255
	}
	return 64
}

// Outcome is what became of a probe.
type Outcome struct {
	// Reached: the packet itself got to the socket layer of its destination.
	Reached bool `json:"reached"`
	// Arrived: a TCP connection was opened and a byte came back; a datagram was
	// received.
	Arrived bool `json:"arrived"`
	// How says it in words: "answered", "no answer", "refused", …
	How string `json:"how"`
	// Heard names who received a datagram, in the order of the layout. One to a
	// group arrived when anybody heard it.
	Heard []string `json:"heard,omitempty"`
	// Err is set when the probe could not be made, so that Arrived says nothing.
	Err error `json:"-"`
}

const (
	// quiet is how long a probe waits before silence counts as a refusal. The
	// kernel answers a connection attempt on its own within microseconds, and the
	// socket's state is read again at the end, so a busy machine does not matter.
	quiet = 250 * time.Millisecond
	// patience is how long an open connection may take to deliver its byte: that
	// needs a program to be scheduled.
	patience = 5 * time.Second
	// crowd is the largest number of probes under way at a time.
	crowd = 200
	// openDoors is the largest number of listeners kept open.
	openDoors = 2000
)

// Probe sends one packet through the bed, from whichever namespace its source
// address belongs to, and tells whether it arrived.
func (b *Bed) Probe(p Packet) Outcome { return b.ProbeAll([]Packet{p})[0] }

// ProbeAll sends packets side by side and tells of each whether it arrived.
// Connections are reset as soon as they have answered, so that they do not
// count against limits of connections. Packets for the same destination port
// are under way together: use Probe where a limit is narrower than that.
func (b *Bed) ProbeAll(ps []Packet) []Outcome {
	out := make([]Outcome, len(ps))
	for from := 0; from < len(ps); from += crowd {
		to := min(from+crowd, len(ps))
		b.probe(ps[from:to], out[from:to], quiet)
	}
	return out
}

// shot is a probe under way.
type shot struct {
	fd    int
	out   *Outcome
	stage int    // connecting, reading, over
	token uint64 // of a datagram
	doors int    // how many could receive it
	knock knock  // of a connection attempt
}

const (
	connecting = iota
	reading
	over
)

// probe sends at most crowd packets and waits for all of them.
func (b *Bed) probe(ps []Packet, out []Outcome, wait time.Duration) {
	shots := make([]shot, len(ps))
	bySource := map[int][]int{}
	var sources []int
	var waiting []door // for datagrams
	for i, p := range ps {
		shots[i] = shot{fd: -1, out: &out[i], stage: over}
		doors, err := b.open(p)
		if err != nil {
			out[i] = Outcome{How: "not sent", Err: err}
			continue
		}
		waiting = append(waiting, doors...)
		shots[i].doors = len(doors)
		from, _ := b.origin(p)
		if bySource[from] == nil {
			sources = append(sources, from)
		}
		bySource[from] = append(bySource[from], i)
	}
	for _, from := range sources {
		err := b.spaces[from].do(func() error {
			for _, i := range bySource[from] {
				b.send(ps[i], from, &shots[i])
			}
			return nil
		})
		if err != nil {
			for _, i := range bySource[from] {
				shots[i].finish(Outcome{How: "not sent", Err: err})
			}
		}
	}
	b.watch(shots, wait, waiting)
	for i := range shots {
		if shots[i].fd >= 0 {
			unix.Close(shots[i].fd)
		}
		if shots[i].token != 0 {
			b.forget(shots[i].token)
		}
		if shots[i].knock.port != 0 {
			b.forgetKnock(shots[i].knock)
		}
	}
}

func (s *shot) finish(o Outcome) {
	o.Reached = o.Reached || o.Arrived || s.out.Reached
	*s.out = o
	s.stage = over
}

// send makes the socket and sends the first packet. It runs in the namespace
// of the source.
func (b *Bed) send(p Packet, from int, s *shot) {
	fail := func(what string, err error) {
		s.finish(Outcome{How: "not sent", Err: fmt.Errorf("probe %s: %s: %w", p, what, err)})
	}
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if p.Src.Is6() {
		family = unix.AF_INET6
	}
	if p.Proto == ir.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fail("socket", err)
		return
	}
	s.fd = fd
	if b.layout.nodes[from].point == nil {
		if err := transparent(fd, family); err != nil {
			fail("send from any address", err)
			return
		}
	}
	if p.Proto != ir.UDP {
		// Closing resets the connection, and connection tracking forgets it.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			fail("linger", err)
			return
		}
	}
	if err := hopLimit(fd, p); err != nil {
		fail("hop limit", err)
		return
	}
	if err := unix.Bind(fd, sockaddr(p.Src, p.SrcPort)); err != nil {
		fail("bind", err)
		return
	}
	if p.Proto == ir.UDP {
		b.sendDatagram(p, from, s)
		return
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		fail("port", err)
		return
	}
	s.knock = knock{src: p.Src, srcPort: portOf(name), port: p.Port}
	b.expectKnock(s.knock)
	err = unix.Connect(fd, sockaddr(p.Dst, p.Port))
	switch {
	case err == nil || errors.Is(err, unix.EINPROGRESS):
		s.stage = connecting
	default:
		s.finish(refusal(err))
	}
}

// sendDatagram sends the token that the receiver reports back, once, or over
// every link when the destination is a group.
func (b *Bed) sendDatagram(p Packet, from int, s *shot) {
	s.token = b.expect()
	payload := binary.BigEndian.AppendUint64(nil, s.token)
	if !p.Dst.IsMulticast() {
		if err := unix.Sendto(s.fd, payload, 0, sockaddr(p.Dst, p.Port)); err != nil {
			s.finish(refusal(err))
			return
		}
		s.stage = connecting
		return
	}
	for _, k := range b.layout.nodes[from].links {
		near, _ := b.layout.endsAt(k, from)
		err := sendToGroup(s.fd, near.dev, payload, p)
		if err != nil {
			s.finish(refusal(fmt.Errorf("over %s: %w", near.dev, err)))
			return
		}
	}
	s.stage = connecting
}

func sendToGroup(fd int, dev string, payload []byte, p Packet) error {
	ifi, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	// No copy for listeners on the sender's own side.
	if p.Dst.Is4() {
		err = errors.Join(
			unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)}),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0))
	} else {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifi.Index),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0))
	}
	if err != nil {
		return err
	}
	sa := sockaddr(p.Dst, p.Port)
	if in6, ok := sa.(*unix.SockaddrInet6); ok {
		in6.ZoneId = uint32(ifi.Index)
	}
	return unix.Sendto(fd, payload, 0, sa)
}

// refusal reads the error of a probe that the kernel ended: a packet that an
// output hook drops, or an answer that says no.
func refusal(err error) Outcome {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Outcome{How: "refused where it was sent"}
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET):
		return Outcome{How: "refused with an answer"}
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.ENOPROTOOPT):
		return Outcome{How: "refused as unreachable"}
	}
	return Outcome{How: "not sent", Err: err}
}

// watch waits until every shot is over.
func (b *Bed) watch(shots []shot, wait time.Duration, waiting []door) {
	begin := time.Now()
	for {
		spent := time.Since(begin)
		b.collect(waiting)
		left := 0
		polls, whose := []unix.PollFd{}, []int{}
		reads, datagrams := false, false
		for i := range shots {
			s := &shots[i]
			switch {
			case s.stage == over:
				continue
			case s.token != 0:
				if heard := b.heard(s.token); len(heard) == s.doors {
					s.finish(Outcome{Arrived: true, How: "received", Heard: heard})
					continue
				}
				datagrams = true
			default:
				events := int16(unix.POLLOUT)
				if s.stage == reading {
					events, reads = unix.POLLIN, true
				}
				polls, whose = append(polls, unix.PollFd{Fd: int32(s.fd), Events: events}), append(whose, i)
			}
			left++
		}
		if left == 0 {
			return
		}
		final := spent >= wait
		step := wait - spent
		if datagrams {
			step = min(step, 2*time.Millisecond) // how often datagrams are collected
		}
		if final {
			step = 0
		}
		if final && reads {
			step = time.Millisecond
		}
		n, err := unix.Poll(polls, int((step+time.Millisecond-1)/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			for _, i := range whose {
				shots[i].finish(Outcome{How: "not seen", Err: fmt.Errorf("poll: %w", err)})
			}
			continue
		}
		if n > 0 {
			for k, pfd := range polls {
				if pfd.Revents != 0 {
					shots[whose[k]].advance()
				}
			}
			continue
		}
		if !final {
			continue
		}
		for i := range shots {
			s := &shots[i]
			switch {
			case s.stage == over:
			case s.token != 0 && len(b.heard(s.token)) > 0:
				s.finish(Outcome{Arrived: true, How: "received by some", Heard: b.heard(s.token)})
			case s.stage == connecting && b.knocked(s.knock):
				s.finish(Outcome{Reached: true, How: "reached its destination, but the answer did not come back"})
			case s.stage == connecting:
				s.finish(Outcome{How: "no answer"})
			case s.stage == reading && spent >= wait+patience:
				s.finish(Outcome{How: "opened, but no byte came back"})
			}
		}
	}
}

// advance reads what the kernel has to say about a connection.
func (s *shot) advance() {
	if s.stage == connecting {
		code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err != nil {
			s.finish(refusal(err))
			return
		}
		s.stage = reading
		return
	}
	var one [1]byte
	n, err := unix.Read(s.fd, one[:])
	switch {
	case n == 1:
		s.finish(Outcome{Arrived: true, How: "answered"})
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil:
		s.finish(refusal(err))
	default:
		s.finish(Outcome{How: "closed without a byte"})
	}
}

// door is where a listener waits.
type door struct {
	node  int
	proto ir.Proto
	six   bool
	port  uint16
}

// listener answers TCP connections with a byte, or keeps datagrams until they
// are collected.
type listener struct {
	tcp    net.Listener
	udp    int
	groups []netip.Addr // that the socket has joined
}

func (l *listener) close() {
	if l.tcp != nil {
		l.tcp.Close()
		return
	}
	unix.Close(l.udp)
}

// open makes sure that somebody waits where the packet goes.
func (b *Bed) open(p Packet) ([]door, error) {
	if !p.Src.IsValid() || !p.Dst.IsValid() || p.Src.Is4() != p.Dst.Is4() || p.Src.Is4In6() {
		return nil, fmt.Errorf("probe %s: source and destination must be addresses of the same family", p)
	}
	if !b.speaks(p.Src) {
		return nil, fmt.Errorf("probe %s: this kernel has no IPv6", p)
	}
	if p.Proto != ir.TCP && p.Proto != ir.UDP {
		return nil, fmt.Errorf("probe %s: the protocol must be tcp or udp", p)
	}
	if p.Port == 0 {
		return nil, fmt.Errorf("probe %s: the port must be from 1 to 65535", p)
	}
	from, err := b.origin(p)
	if err != nil {
		return nil, err
	}
	d := door{node: b.layout.homeOf(p.Dst), proto: p.Proto, six: p.Dst.Is6(), port: p.Port}
	if !p.Dst.IsMulticast() {
		if b.layout.path(from, d.node) == nil {
			return nil, fmt.Errorf("probe %s: no way leads there", p)
		}
		return []door{d}, b.listen(d, netip.Addr{})
	}
	if p.Proto != ir.UDP {
		return nil, fmt.Errorf("probe %s: only datagrams go to a group", p)
	}
	var doors []door
	for _, k := range b.layout.nodes[from].links {
		d.node = b.layout.across(k, from)
		if err := b.listen(d, p.Dst); err != nil {
			return nil, err
		}
		doors = append(doors, d)
	}
	return doors, nil
}

// origin is the node that sends the packet.
func (b *Bed) origin(p Packet) (int, error) {
	if p.Behind == "" {
		return b.layout.homeOf(p.Src), nil
	}
	for at, n := range b.layout.nodes {
		for _, k := range n.links {
			if near, far := b.layout.endsAt(k, at); n.point != nil && n.name+"."+near.dev == p.Behind {
				return far.node, nil
			}
		}
	}
	return 0, fmt.Errorf("probe %s: no point has an interface %s: write it as edge.eth0", p, p.Behind)
}

// listen opens a door that is not open yet, and joins the group if it is valid.
func (b *Bed) listen(d door, group netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spaces == nil {
		return errors.New("the test bed is closed")
	}
	if b.listeners[d] == nil {
		if err := b.openDoor(d); err != nil {
			return fmt.Errorf("wait for %s on port %d in %s: %w", d.proto, d.port, b.layout.nodes[d.node].name, err)
		}
	}
	l := b.listeners[d]
	if !group.IsValid() || slices.Contains(l.groups, group) {
		return nil
	}
	if err := b.spaces[d.node].do(func() error { return join(l.udp, group) }); err != nil {
		return err
	}
	l.groups = append(l.groups, group)
	return nil
}

// openDoor makes the listener; the caller holds the lock.
func (b *Bed) openDoor(d door) error {
	if len(b.recent) >= openDoors {
		b.listeners[b.recent[0]].close()
		delete(b.listeners, b.recent[0])
		b.recent = b.recent[1:]
	}
	fd := -1
	err := b.spaces[d.node].do(func() (err error) {
		fd, err = listenSocket(d, b.layout.nodes[d.node].point == nil)
		return err
	})
	if err != nil {
		return err
	}
	l := &listener{udp: fd}
	if d.proto == ir.TCP {
		if err := b.openEar(ear{d.node, d.six}); err != nil {
			unix.Close(fd)
			return err
		}
		file := os.NewFile(uintptr(fd), "listener")
		l.tcp, err = net.FileListener(file)
		file.Close() // net keeps its own copy
		if err != nil {
			return err
		}
		go answer(l.tcp)
	}
	b.listeners[d] = l
	b.recent = append(b.recent, d)
	return nil
}

// listenSocket makes a bound socket in the namespace of this thread.
func listenSocket(d door, anyAddress bool) (fd int, err error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	wildcard := netip.IPv4Unspecified()
	if d.six {
		family, wildcard = unix.AF_INET6, netip.IPv6Unspecified()
	}
	if d.proto == ir.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return -1, err
	}
	if d.six {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return -1, err
		}
	}
	if anyAddress {
		if err = transparent(fd, family); err != nil {
			return -1, err
		}
	}
	if err = unix.Bind(fd, sockaddr(wildcard, d.port)); err != nil {
		return -1, err
	}
	if d.proto == ir.UDP {
		return fd, nil
	}
	return fd, unix.Listen(fd, 1024)
}

// join makes the socket hear a group on every interface of its namespace.
func join(fd int, group netip.Addr) error {
	ifs, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range ifs {
		if i.Flags&net.FlagMulticast == 0 {
			continue
		}
		if group.Is4() {
			err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(i.Index)})
		} else {
			err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(i.Index)})
		}
		if err != nil {
			return fmt.Errorf("join %s on %s: %w", group, i.Name, err)
		}
	}
	return nil
}

// answer gives every connection one byte and waits for its reset.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(time.Millisecond) // out of descriptors, or the connection is gone
			continue
		}
		go func() {
			defer c.Close()
			if t, ok := c.(*net.TCPConn); ok {
				t.SetLinger(0)
			}
			c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write([]byte{'x'}); err == nil {
				c.Read(make([]byte, 1))
			}
		}()
	}
}

// collect reads the datagrams and connection attempts that wait at the doors.
// The kernel queues them on its own, so nothing that arrived is missed, however
// late this runs.
func (b *Bed) collect(doors []door) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var buf [16]byte
	heard := map[ear]bool{}
	for _, d := range doors {
		if e := (ear{d.node, d.six}); d.proto == ir.TCP && !heard[e] {
			heard[e] = true
			b.hark(e)
		}
		l := b.listeners[d]
		if l == nil || d.proto == ir.TCP {
			continue
		}
		for {
			n, _, err := unix.Recvfrom(l.udp, buf[:], unix.MSG_DONTWAIT)
			if err != nil {
				break
			}
			token := binary.BigEndian.Uint64(buf[:])
			if heard, expected := b.datagrams[token]; n == 8 && expected {
				b.datagrams[token] = append(heard, b.layout.nodes[d.node].name)
			}
		}
	}
}

// expect gives the token of a datagram that is about to be sent.
func (b *Bed) expect() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token++
	b.datagrams[b.token] = nil
	return b.token
}

// heard names who has received a datagram.
func (b *Bed) heard(token uint64) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.datagrams[token])
}

func (b *Bed) forget(token uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.datagrams, token)
}

// knock is the first packet of a TCP connection. Every probe has a source port
// of its own, so the destination's address is not needed to tell them apart.
type knock struct {
	src           netip.Addr
	srcPort, port uint16
}

// ear is where knocks are heard: a raw socket, to which the kernel gives a copy
// of each TCP segment that has passed the input hook.
type ear struct {
	node int
	six  bool
}

// openEar makes the raw socket; the caller holds the lock.
func (b *Bed) openEar(e ear) error {
	if _, open := b.ears[e]; open {
		return nil
	}
	family := unix.AF_INET
	if e.six {
		family = unix.AF_INET6
	}
	return b.spaces[e.node].do(func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err == nil {
			b.ears[e] = fd
		}
		return err
	})
}

// hark reads the segments that came to an ear and notes the expected knocks;
// the caller holds the lock.
func (b *Bed) hark(e ear) {
	var buf [128]byte
	for {
		n, from, err := unix.Recvfrom(b.ears[e], buf[:], unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		segment := buf[:n]
		var src netip.Addr
		switch sa := from.(type) {
		case *unix.SockaddrInet4:
			src = netip.AddrFrom4(sa.Addr)
			// raw(7): IPv4 comes with its header, IPv6 without.
			segment = segment[min(n, int(buf[0]&0x0f)*4):]
		case *unix.SockaddrInet6:
			src = netip.AddrFrom16(sa.Addr)
		}
		const syn, ack = 0x02, 0x10 // RFC 9293 section 3.1
		if len(segment) < 20 || segment[13]&(syn|ack) != syn {
			continue
		}
		k := knock{src, binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])}
		if _, expected := b.knocks[k]; expected {
			b.knocks[k] = true
		}
	}
}

func (b *Bed) expectKnock(k knock) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.knocks[k] = false
}

func (b *Bed) knocked(k knock) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.knocks[k]
}

func (b *Bed) forgetKnock(k knock) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.knocks, k)
}

func portOf(sa unix.Sockaddr) uint16 {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	return 0
}

// transparent lets a socket use addresses that no interface carries.
func transparent(fd, family int) error {
	if family == unix.AF_INET6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// hopLimit sets how many routers the socket's packets may cross.
func hopLimit(fd int, p Packet) error {
	level, option := unix.IPPROTO_IP, unix.IP_TTL
	switch {
	case p.Dst.Is6() && p.Dst.IsMulticast():
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS
	case p.Dst.Is6():
		level, option = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
	case p.Dst.IsMulticast():
		option = unix.IP_MULTICAST_TTL
	}
	return unix.SetsockoptInt(fd, level, option, int(p.hopLimit()))
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
}
