package deploy

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// Session is an established TCP session of this machine.
type Session struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	// Inbound is set when the local port listens: the other side opened it.
	Inbound bool `json:"inbound"`
	// Interface that packets to the other side leave by; "" when unknown.
	Interface string `json:"interface,omitempty"`
	// SSH is set for the session that the caller works over, from
	// SSH_CONNECTION.
	SSH bool `json:"ssh,omitempty"`
}

// Cut is a session that the wanted policy would deny if it were opened anew.
// Connection tracking may keep it alive after the apply, but it cannot come
// back once it breaks, and a machine that did not track connections before
// loses it at once.
type Cut struct {
	Session Session `json:"session"`
	// Hook that denies it.
	Hook ir.Hook `json:"hook"`
	// Origin is the policy line that denies it, such as
	// "policy.xfw:12 deny network drop"; "" when it is denied because no
	// statement allows it.
	Origin string `json:"origin,omitempty"`
	Reason string `json:"reason"`
	// Allowed is set when the caller accepts the loss.
	Allowed bool `json:"allowed,omitempty"`
}

func (c Cut) String() string {
	s := c.Session
	text := "to " + s.Remote.String() + " from " + s.Local.String()
	if s.Inbound {
		text = "from " + s.Remote.String() + " to " + s.Local.String()
	}
	if s.SSH {
		text += " (your ssh session)"
	}
	text += ": " + c.Reason
	if c.Origin != "" {
		text += " (" + c.Origin + ")"
	}
	return text
}

// cuts lists the sessions that the wanted policy denies and the applied one
// does not, at that minute, most telling first: the caller's own session, then by address.
func cuts(sessions []Session, w *Wanted, applied *record, allow []cutSpec, at ir.Moment) []Cut {
	var found []Cut
	for _, s := range sessions {
		c, denied := judge(w.Policy, w.Point, s, at)
		if !denied || deniedBefore(applied, s, at) {
			continue
		}
		c.Allowed = slices.ContainsFunc(allow, func(a cutSpec) bool { return a.covers(s) })
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b Cut) int {
		return cmp.Or(
			compareBool(b.Session.SSH, a.Session.SSH),
			a.Session.Remote.Compare(b.Session.Remote),
			a.Session.Local.Compare(b.Session.Local),
		)
	})
	return found
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// judge asks the policy about a session as if it were opened now, and about the
// packets that answer it.
func judge(p *ir.Policy, pt *ir.Point, s Session, at ir.Moment) (Cut, bool) {
	opening := compiler.Packet{Proto: ir.TCP, Src: s.Local.Addr(), Dst: s.Remote.Addr(), SrcPort: s.Local.Port(), DstPort: s.Remote.Port(), Oif: s.Interface, At: at}
	answer := compiler.Packet{Proto: ir.TCP, Src: s.Remote.Addr(), Dst: s.Local.Addr(), SrcPort: s.Remote.Port(), DstPort: s.Local.Port(), Iif: s.Interface, Established: true, At: at}
	first, second := ir.Output, ir.Input
	if s.Inbound {
		opening, answer = answer, opening
		first, second = second, first
	}
	opening.Established, answer.Established = false, true
	for _, j := range []struct {
		hook ir.Hook
		pkt  compiler.Packet
	}{{first, opening}, {second, answer}} {
		d := compiler.Decide(p, pt, j.hook, j.pkt)
		if d.Verdict != ir.Deny {
			continue
		}
		c := Cut{Session: s, Hook: j.hook, Reason: d.Reason}
		if d.Entry != nil {
			c.Origin = originText(d.Entry.Origin)
		}
		return c, true
	}
	return Cut{}, false
}

func deniedBefore(applied *record, s Session, at ir.Moment) bool {
	if applied == nil {
		return false
	}
	guards, err := applied.Guards.get()
	if err != nil {
		return false
	}
	p, pt, ok := guards.policy()
	if !ok {
		return false
	}
	_, denied := judge(p, pt, s, at)
	return denied
}

// originText is the policy line and statement that a thing comes from, as the
// comments of rules have it.
func originText(o ir.Origin) string {
	if !o.Span.IsValid() {
		return o.Label
	}
	return strings.TrimSpace(o.Line() + " " + o.Label)
}

// cutSpec is one accepted loss: the caller's own session, or an address range
// with or without a port.
type cutSpec struct {
	ssh    bool
	prefix netip.Prefix
	port   uint16 // 0 is every port
}

// parseCuts reads what the user accepts to lose.
func parseCuts(words []string) ([]cutSpec, error) {
	var specs []cutSpec
	for _, w := range words {
		spec, err := parseCut(strings.TrimSpace(w))
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

func parseCut(word string) (cutSpec, error) {
	if word == "ssh" {
		return cutSpec{ssh: true}, nil
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return cutSpec{prefix: hostPrefix(a)}, nil
	}
	if p, err := netip.ParsePrefix(word); err == nil {
		return cutSpec{prefix: p.Masked()}, nil
	}
	if ap, err := netip.ParseAddrPort(word); err == nil && ap.Port() != 0 {
		return cutSpec{prefix: hostPrefix(ap.Addr()), port: ap.Port()}, nil
	}
	return cutSpec{}, fmt.Errorf("--allow-cut %q is none of: an address, a prefix, address:port, [address]:port, ssh", word)
}

func hostPrefix(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// covers reports whether the loss of the session is accepted. A port may be the
// other side's, or the port here that it came to.
func (c cutSpec) covers(s Session) bool {
	if c.ssh {
		return s.SSH
	}
	return c.prefix.Contains(s.Remote.Addr()) && (c.port == 0 || c.port == s.Remote.Port() || c.port == s.Local.Port())
}

// TCP states in /proc/net/tcp, from include/net/tcp_states.h.
const (
	tcpEstablished = "01"
	tcpListen      = "0A"
)

// readSessions reads the established sessions of the network namespace of the
// calling thread. route names the interface towards an address.
func readSessions(route func(netip.Addr) string, sshConnection string) ([]Session, error) {
	var open []Session
	listening := map[uint16]bool{}
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/thread-self/net/" + name)
		if errors.Is(err, fs.ErrNotExist) && name == "tcp6" {
			continue // no IPv6 in this kernel
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the sessions of this machine: %w", err)
		}
		sessions, ports, err := parseProcTCP(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("cannot read the sessions of this machine from /proc/net/%s: %w", name, err)
		}
		open = append(open, sessions...)
		for _, p := range ports {
			listening[p] = true
		}
	}
	ssh := parseSSHConnection(sshConnection)
	routes := map[netip.Addr]string{}
	var kept []Session
	for _, s := range open {
		if s.Remote.Addr().IsLoopback() || s.Remote.Addr() == s.Local.Addr() {
			continue // goes over the loopback interface, which no policy touches
		}
		a := s.Remote.Addr()
		if _, ok := routes[a]; !ok {
			routes[a] = route(a)
		}
		s.Inbound = listening[s.Local.Port()]
		s.Interface = routes[a]
		s.SSH = s.Remote == ssh.remote && s.Local == ssh.local
		kept = append(kept, s)
	}
	return kept, nil
}

// parseProcTCP reads the format of proc(5), /proc/net/tcp and tcp6.
func parseProcTCP(r io.Reader) (open []Session, listening []uint16, err error) {
	sc := bufio.NewScanner(r)
	for line := 0; sc.Scan(); line++ {
		if line == 0 {
			continue // column names
		}
		f := strings.Fields(sc.Text())
		if len(f) < 4 {
			return nil, nil, fmt.Errorf("line %d has %d columns", line+1, len(f))
		}
		if f[3] != tcpEstablished && f[3] != tcpListen {
			continue
		}
		local, err := parseProcAddr(f[1])
		if err != nil {
			return nil, nil, err
		}
		if f[3] == tcpListen {
			listening = append(listening, local.Port())
			continue
		}
		remote, err := parseProcAddr(f[2])
		if err != nil {
			return nil, nil, err
		}
		open = append(open, Session{Local: local, Remote: remote})
	}
	return open, listening, sc.Err()
}

// parseProcAddr reads ADDRESS:PORT in hexadecimal. The address is printed as
// 32-bit words in the byte order of the machine; the port is not.
func parseProcAddr(s string) (netip.AddrPort, error) {
	bad := fmt.Errorf("%q is no address and port", s)
	addr, port, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, bad
	}
	b, err := hex.DecodeString(addr)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, bad
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

type sshSession struct{ remote, local netip.AddrPort }

// parseSSHConnection reads the variable that sshd sets: client address, client
// port, server address, server port, with spaces between (ssh(1)).
func parseSSHConnection(v string) sshSession {
	f := strings.Fields(v)
	if len(f) != 4 {
		return sshSession{}
	}
	addrPort := func(addr, port string) netip.AddrPort {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return netip.AddrPort{}
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(n))
	}
	return sshSession{remote: addrPort(f[0], f[1]), local: addrPort(f[2], f[3])}
}
