package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrGeneration is returned by Commit when somebody changed the ruleset of the
// namespace, in any table, since the generation that the commit was made for.
// Nothing was changed: read again, plan again.
var ErrGeneration = errors.New("the machine's ruleset changed meanwhile")

// ErrInterrupted is returned when a dump did not come out consistent in many
// tries, because the ruleset kept changing.
var ErrInterrupted = errors.New("the machine's ruleset keeps changing while it is read; try again")

// CommitError says what the kernel refused. Nothing of the transaction is in
// force.
type CommitError struct{ Failures []Failure }

// Failure is one refused message.
type Failure struct {
	// Label is what the message was about, e.g. a set or a policy line; Op what
	// it asked for. Both are empty when the whole transaction was refused.
	Label, Op string
	Errno     syscall.Errno
	// Detail is the element concerned or the kernel's own explanation, if any.
	Detail string
}

// Error lists the first failures, each with a remedy.
func (e *CommitError) Error() string {
	const shown = 5
	var b strings.Builder
	b.WriteString("the kernel refused the ruleset, nothing was changed")
	for i, f := range e.Failures {
		if i == shown {
			fmt.Fprintf(&b, "\n%d more", len(e.Failures)-shown)
			break
		}
		b.WriteString("\n" + f.String())
	}
	return b.String()
}

// Is makes errors.Is work with the errno of any failure.
func (e *CommitError) Is(target error) bool {
	return slices.ContainsFunc(e.Failures, func(f Failure) bool { return f.Errno == target })
}

// String is the failure in one line.
func (f Failure) String() string {
	s := f.Errno.Error()
	if f.Detail != "" {
		s += " (" + f.Detail + ")"
	}
	if f.Op != "" {
		s = f.Label + ": " + f.Op + ": " + s
	}
	if r := f.Remedy(); r != "" {
		s += "; " + r
	}
	return s
}

// Remedy says what to do about it, "" when that is not known.
func (f Failure) Remedy() string {
	switch f.Errno {
	case unix.EPERM, unix.EACCES:
		if f.Op == "" {
			return "run as root, or with CAP_NET_ADMIN in this network namespace"
		}
		return "the table is owned by another program, or CAP_NET_ADMIN is missing"
	case unix.ENOENT:
		return "what it names is not in the table, or the kernel has no module for it"
	case unix.ENFILE:
		return "the set is full: its declared size is too small"
	case unix.EEXIST, unix.ENOTEMPTY:
		return "it exists with another definition, or the element is there twice or overlaps another"
	case unix.EBUSY:
		return "something in the table still uses it"
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT:
		return "this kernel cannot do it; 5.10 or newer is needed, 6.1 recommended"
	case unix.EMSGSIZE:
		return "the transaction is larger than the socket takes: run as root, or raise net.core.wmem_max"
	case unix.ENOMEM, unix.ENOBUFS:
		return "the kernel is short of memory"
	case unix.ELOOP, unix.EMLINK:
		return "chains call each other in a circle, or are nested deeper than 16"
	}
	return ""
}

// Conn talks nf_tables to the kernel, about the network namespace that the
// calling thread had in Open. Its methods may be called from any goroutine, one
// at a time.
type Conn struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
	out []byte // the request being built
}

// recvSize is how much is read at once. The kernel fills dumps up to the
// largest buffer it has seen: reading sets in small pieces is quadratic.
const recvSize = 256 << 10

// firstSeq keeps the sequence numbers of questions apart from those of batches,
// which count from 1.
const firstSeq = 1 << 30

// Open makes a netlink socket in the calling thread's network namespace. It
// needs CAP_NET_ADMIN there.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	c := &Conn{fd: fd, seq: firstSeq, buf: make([]byte, recvSize)}
	if err := c.setUp(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) setUp() error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink socket: bind: %w", err)
	}
	// Errors without a copy of the failed message, with its place and a reason.
	for _, opt := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, opt, 1); err != nil {
			return fmt.Errorf("netlink socket: %w", err)
		}
	}
	// Room for an error on each of many messages. Without the privilege the
	// system's limit holds, and is enough for ordinary rulesets.
	const room = 4 << 20
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	// The kernel answers at once; a limit keeps a lost answer from hanging.
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	return nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// answer is one netlink message from the kernel.
type answer struct {
	typ, flags uint16
	seq        uint32
	body       []byte
}

// splitAnswers cuts what was received into messages.
func splitAnswers(b []byte) ([]answer, error) {
	var as []answer
	for len(b) > 0 {
		if len(b) < nlmsgHeader {
			return nil, fmt.Errorf("netlink: %d bytes where a header is due", len(b))
		}
		size := int(binary.NativeEndian.Uint32(b))
		if size < nlmsgHeader || size > len(b) {
			return nil, fmt.Errorf("netlink: message of %d bytes in %d", size, len(b))
		}
		as = append(as, answer{
			typ:   binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			body:  b[nlmsgHeader:size:size],
		})
		b = b[min(align4(size), len(b)):]
	}
	return as, nil
}

// receive reads one datagram; the answers share c.buf.
func (c *Conn) receive(flags int) ([]answer, error) {
	for {
		n, _, rflags, _, err := unix.Recvmsg(c.fd, c.buf, nil, flags)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if rflags&unix.MSG_TRUNC != 0 {
			return nil, errors.New("netlink: an answer did not fit the buffer")
		}
		return splitAnswers(c.buf[:n])
	}
}

// drain throws away answers that an earlier question left behind.
func (c *Conn) drain() {
	for {
		_, _, _, _, err := unix.Recvmsg(c.fd, c.buf, nil, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// send sends the pieces as one datagram.
func (c *Conn) send(pieces ...[]byte) error {
	for {
		_, err := unix.SendmsgBuffers(c.fd, pieces, nil, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// errnoOf reads the outcome in a NLMSG_ERROR message, 0 for an acknowledgement.
func (a answer) errnoOf() syscall.Errno {
	if len(a.body) < 4 {
		return unix.EBADMSG
	}
	return syscall.Errno(-int32(binary.NativeEndian.Uint32(a.body)))
}

// explanation reads the extended acknowledgement: the kernel's words, and where
// in the message the cause lies (0 when not told).
func (a answer) explanation() (words string, offset int) {
	const errorHeader = 4 + nlmsgHeader
	if a.flags&unix.NLM_F_ACK_TLVS == 0 || len(a.body) < errorHeader {
		return "", 0
	}
	rest := a.body[errorHeader:]
	if a.flags&unix.NLM_F_CAPPED == 0 {
		n := align4(int(binary.NativeEndian.Uint32(a.body[4:]))) - nlmsgHeader
		if n < 0 || n > len(rest) {
			return "", 0
		}
		rest = rest[n:]
	}
	as, err := readAttrs(rest)
	if err != nil {
		return "", 0
	}
	words = cstr(get(as, unix.NLMSGERR_ATTR_MSG))
	if b := get(as, unix.NLMSGERR_ATTR_OFFS); len(b) == 4 {
		offset = int(binary.NativeEndian.Uint32(b))
	}
	return words, offset
}

// ask sends one request and gives the bodies of all its answers, without the
// netfilter header.
func (c *Conn) ask(typ, flags uint16, family byte, attrs func(*writer), each func(body []byte) error) error {
	c.drain()
	c.seq = max(c.seq+1, firstSeq)
	seq := c.seq
	w := writer{buf: appendHeader(c.out[:0], nfnlSubsysNFT<<8|typ, unix.NLM_F_REQUEST|flags, seq, family)}
	if attrs != nil {
		attrs(&w)
	}
	binary.NativeEndian.PutUint32(w.buf, uint32(len(w.buf)))
	c.out = w.buf
	if err := c.send(w.buf); err != nil {
		return err
	}
	// A dump ends with a message of its own, a plain question after its one
	// answer or error.
	dump := flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	var interrupted bool
	var failed error
	for {
		as, err := c.receive(0)
		if err != nil {
			return err
		}
		for _, a := range as {
			if a.seq != seq {
				continue
			}
			interrupted = interrupted || a.flags&unix.NLM_F_DUMP_INTR != 0
			switch a.typ {
			case unix.NLMSG_ERROR:
				if errno := a.errnoOf(); errno != 0 {
					return errno
				}
				return failed
			case unix.NLMSG_DONE:
				if len(a.body) >= 4 {
					if errno := a.errnoOf(); errno != 0 {
						return errno
					}
				}
				if interrupted {
					return errDumpInterrupted
				}
				return failed
			}
			if len(a.body) < nfgenHeader {
				failed = errors.New("netlink: an answer without a netfilter header")
				continue
			}
			if err := each(a.body[nfgenHeader:]); err != nil && failed == nil {
				failed = err
			}
			if !dump {
				return failed
			}
		}
	}
}

// errDumpInterrupted is a dump during which the ruleset changed.
var errDumpInterrupted = errors.New("the ruleset changed during the dump")

// Generation is the number of the namespace's ruleset: each committed
// transaction, of any table and program, raises it. Packets that fill dynamic
// sets, and elements that expire, do not.
func (c *Conn) Generation() (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation()
}

func (c *Conn) generation() (uint32, error) {
	var gen uint32
	err := c.ask(unix.NFT_MSG_GETGEN, 0, unix.AF_UNSPEC, nil, func(body []byte) error {
		as, err := readAttrs(body)
		gen = be32(get(as, unix.NFTA_GEN_ID))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the ruleset's generation: %w", explainErrno(err))
	}
	return gen, nil
}

// explainErrno adds a remedy to an errno that a question came back with.
func explainErrno(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if r := (Failure{Errno: errno}).Remedy(); r != "" {
			return fmt.Errorf("%w; %s", err, r)
		}
	}
	return err
}

// Commit sends a batch. With gen 0 it is made whatever has happened before; else
// the kernel refuses it with ErrGeneration unless gen is still the namespace's
// generation. Every other refusal is a *CommitError. A batch without messages
// is not sent. Of a batch of several transactions each expects the generation
// that the one before has left, and the first that is refused ends it.
func (c *Conn) Commit(b *Batch, gen uint32) error {
	if b.err != nil {
		return b.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range b.parts() {
		expect := gen
		if gen != 0 {
			// The number after the highest is 1: the kernel does not use 0.
			if expect = gen + uint32(i); expect < gen {
				expect++
			}
		}
		if err := c.commit(p, expect); err != nil {
			if p.undo != nil {
				for _, u := range p.undo.parts() {
					// What it cannot take back does nothing, and the next update
					// removes it.
					_ = c.commit(u, 0)
				}
			}
			return err
		}
	}
	return nil
}

func (c *Conn) commit(b part, gen uint32) error {
	c.drain()
	last := uint32(len(b.msgs))
	begin, end := frame(gen, last+1)
	// The last message asks for an acknowledgement: silence is no proof. One for
	// each message would overflow the receive buffer.
	flags := b.w.buf[b.msgs[last-1].at+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)

	// A transaction is one datagram, whatever its size.
	size := len(begin) + len(b.w.buf) + len(end) + 4096
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size)
	}
	if err := c.send(begin, b.w.buf, end); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return &CommitError{[]Failure{{Errno: errno}}}
		}
		return err
	}
	return c.outcome(b, last)
}

// frame makes the messages that a transaction stands between: the first says for
// which generation it was made, the last has the given sequence number.
func frame(gen, last uint32) (begin, end []byte) {
	w := writer{buf: appendHeader(nil, nfnlMsgBatchBegin, unix.NLM_F_REQUEST, 0, unix.AF_UNSPEC)}
	w.u32(unix.NFNL_BATCH_GENID, gen)
	end = appendHeader(nil, nfnlMsgBatchEnd, unix.NLM_F_REQUEST, last, unix.AF_UNSPEC)
	for _, m := range [][]byte{w.buf, end} {
		binary.NativeEndian.PutUint32(m, uint32(len(m)))
		binary.BigEndian.PutUint16(m[nlmsgHeader+2:], nfnlSubsysNFT)
	}
	return w.buf, end
}

// settled waits until the generation is in force, and reports whether it still
// is the latest. The kernel gives a generation its number a moment before
// packets and dumps see it: a dump begun in that moment shows half of either.
// A frame without a transaction in it changes nothing, but waits for whoever is
// about to change something.
func (c *Conn) settled(gen uint32) (bool, error) {
	c.drain()
	begin, end := frame(gen, 1)
	if err := c.send(begin, end); err != nil {
		return false, err
	}
	for {
		as, err := c.receive(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		for _, a := range as {
			if a.typ != unix.NLMSG_ERROR {
				continue
			}
			switch errno := a.errnoOf(); errno {
			case 0:
			case unix.ERESTART:
				return false, nil
			default:
				return false, errno
			}
		}
	}
}

// outcome reads the answers to a transaction, all of which lie in the socket
// when it has been sent.
func (c *Conn) outcome(b part, last uint32) error {
	var fs []Failure
	acknowledged := false
	for {
		as, err := c.receive(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if errors.Is(err, unix.ENOBUFS) {
			// More errors than the buffer holds: some are lost, the rest is read.
			fs = append(fs, Failure{Errno: unix.ENOBUFS, Detail: "more errors than fit the socket"})
			continue
		}
		if err != nil {
			return err
		}
		for _, a := range as {
			if a.typ != unix.NLMSG_ERROR || a.seq > last+1 {
				continue
			}
			errno := a.errnoOf()
			switch {
			case errno == 0:
				acknowledged = acknowledged || a.seq == last
			case errno == unix.ERESTART:
				return ErrGeneration
			default:
				fs = append(fs, b.failure(a, errno))
			}
		}
	}
	switch {
	case len(fs) > 0:
		return &CommitError{fs}
	case !acknowledged:
		return errors.New("netlink: the kernel did not answer a transaction; read the table before you rely on it")
	}
	return nil
}

func (b part) failure(a answer, errno syscall.Errno) Failure {
	f := Failure{Errno: errno}
	words, offset := a.explanation()
	f.Detail = words
	if a.seq < 1 || int(a.seq) > len(b.msgs) {
		return f // the frame: the transaction as a whole
	}
	m := b.msgs[a.seq-1]
	f.Label, f.Op = m.label, m.op
	if m.set != nil && offset > 0 {
		to := len(b.w.buf)
		if int(a.seq) < len(b.msgs) {
			to = b.msgs[a.seq].at
		}
		if e := elementAt(m.set, b.w.buf[m.at:to], offset); e != "" {
			f.Detail = strings.TrimSpace(e + " " + words)
		}
	}
	return f
}

// elementAt names the element in whose encoding an offset of a message lies.
func elementAt(s *Set, msg []byte, offset int) string {
	at := nlmsgHeader + nfgenHeader
	as, err := readAttrs(msg[min(at, len(msg)):])
	if err != nil {
		return ""
	}
	for _, a := range as {
		if a.typ == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			elems, err := readAttrs(a.data)
			if err != nil {
				return ""
			}
			at += nlaHeader
			for _, e := range elems {
				next := at + nlaHeader + align4(len(e.data))
				if offset < next {
					return "element " + s.elementName(e.data)
				}
				at = next
			}
			return ""
		}
		at += nlaHeader + align4(len(a.data))
	}
	return ""
}
