package deploy

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"xfwc/backends/nftables"
	"xfwc/compiler/ir"
)

// Reader is what plans and drift ask of a machine. Nothing in it can change
// the machine.
type Reader interface {
	// Dump reads the live table in its canonical form. The elements of sets
	// for which skip is true are counted and not read.
	Dump(skip func(set string, size int) bool) (*nftables.Snapshot, error)
	// Desired is the canonical form that the table has once it is loaded, from
	// the same kernel in a namespace of its own. Elements of sets for which
	// skip is true are left out of it.
	Desired(r *nftables.Ruleset, skip func(set string, size int) bool) (*nftables.Snapshot, error)
	// Missing returns those of the elements that the live set does not have.
	Missing(set *nftables.Set, elements []nftables.Element) ([]nftables.Element, error)
	// ForeignBaseChains names the base chains of other tables on the hooks that
	// xfwc uses.
	ForeignBaseChains() ([]string, error)
	// Sessions lists the machine's established TCP sessions.
	Sessions() ([]Session, error)
	// Now is the time by the machine's clocks.
	Now() Moment
}

// Machine is everything that this package asks of a machine and does to it. It
// is implemented here alone: ThisMachine, and Fake for tests.
type Machine interface {
	Reader

	// untracked returns the sessions that connection tracking does not know.
	untracked(sessions []Session) ([]Session, error)

	// Each of these is one transaction: all of it happens, or nothing. They
	// fail with nftables.ErrGeneration when the machine's ruleset is no longer
	// the one that live was read from.

	// replace makes the live table mean want, which is r in canonical form.
	replace(live, want *nftables.Snapshot, r *nftables.Ruleset) error
	// hang adds a waiting change.
	hang(live *nftables.Snapshot, h *hanging) error
	// takeDown removes a waiting change: the whole table when it was a first
	// install. token is "" when its marker is gone.
	takeDown(live *nftables.Snapshot, token string, install bool) error
	// arm prepares what takes a waiting change out of force: nothing has to be
	// opened, read or allocated for it later. It reports false when the change
	// had ended before.
	arm(p Pending) (fire func() (bool, error), release func(), err error)
}

// Moment is a time on all clocks of a machine.
type Moment struct {
	Wall time.Time
	// Boot is CLOCK_BOOTTIME: it also counts while the machine sleeps, and
	// nobody can set it.
	Boot time.Duration
	// BootID tells one boot from the next.
	BootID string
}

// machine is the machine of the options.
func (o Options) machine() Machine {
	if o.Machine != nil {
		return o.Machine
	}
	return ThisMachine()
}

// ThisMachine is the machine that the process runs on, in the network namespace
// of the calling goroutine's thread.
func ThisMachine() Machine { return thisMachine{} }

type thisMachine struct{}

// ForHostname returns the points of a policy that a machine of that name is:
// those whose name or hostname equals the name or its first label.
func ForHostname(p *ir.Policy, hostname string) []*ir.Point {
	short, _, _ := strings.Cut(hostname, ".")
	var found []*ir.Point
	for _, pt := range p.Points {
		for _, name := range []string{pt.Name, pt.Hostname} {
			if name != "" && (strings.EqualFold(name, hostname) || strings.EqualFold(name, short)) {
				found = append(found, pt)
				break
			}
		}
	}
	return found
}

// Now reads the clocks.
func (thisMachine) Now() Moment {
	m := Moment{Wall: time.Now()}
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) == nil {
		m.Boot = time.Duration(ts.Nano())
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		m.BootID = strings.TrimSpace(string(id))
	}
	return m
}

// Sessions reads /proc/net/tcp and tcp6 of the thread's network namespace.
func (thisMachine) Sessions() ([]Session, error) {
	return readSessions(routeTo, os.Getenv("SSH_CONNECTION"))
}

// routeTo names the interface that packets to the address leave by; "" when
// there is no route.
func routeTo(a netip.Addr) string {
	routes, err := netlink.RouteGet(net.IP(a.AsSlice()))
	if err != nil || len(routes) == 0 {
		return ""
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}

// kernel runs f with a socket of its own.
func kernel[T any](f func(c *nftables.Conn) (T, error)) (T, error) {
	c, err := nftables.Open()
	if err != nil {
		var none T
		return none, err
	}
	defer c.Close()
	return f(c)
}

func (thisMachine) Dump(skip func(set string, size int) bool) (*nftables.Snapshot, error) {
	return kernel(func(c *nftables.Conn) (*nftables.Snapshot, error) {
		return c.Dump(nftables.DumpOptions{SkipElements: skip})
	})
}

func (thisMachine) Desired(r *nftables.Ruleset, skip func(set string, size int) bool) (*nftables.Snapshot, error) {
	return nftables.Desired(r, nftables.DumpOptions{SkipElements: skip})
}

func (thisMachine) Missing(set *nftables.Set, elements []nftables.Element) ([]nftables.Element, error) {
	return kernel(func(c *nftables.Conn) ([]nftables.Element, error) { return c.HasElements(set, elements) })
}

func (thisMachine) ForeignBaseChains() ([]string, error) {
	return kernel(func(c *nftables.Conn) ([]string, error) { return c.ForeignBaseChains() })
}

// commit sends a batch that was made for what live shows. A generation of 0
// would mean that the kernel does not check.
func commit(b *nftables.Batch, live *nftables.Snapshot) error {
	c, err := nftables.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Commit(b, live.Generation)
}

func (thisMachine) replace(live, want *nftables.Snapshot, r *nftables.Ruleset) error {
	if !live.Exists {
		return commit(nftables.Full(r), live)
	}
	return commit(nftables.Update(live, want, r), live)
}

func (thisMachine) hang(live *nftables.Snapshot, h *hanging) error {
	return commit(h.batch(), live)
}

func (thisMachine) takeDown(live *nftables.Snapshot, token string, install bool) error {
	return commit(takeDownBatch(live, token, install), live)
}

func (thisMachine) arm(p Pending) (fire func() (bool, error), release func(), err error) {
	c, err := nftables.Open()
	if err != nil {
		return nil, nil, err
	}
	b := nftables.NewBatch(nil)
	b.DelCounter(markerName(p.Token))
	if p.Install {
		b.DelTable()
	} else {
		// The maps, emptied, send nothing to the new chains. What is left is
		// removed later, with handles that only a dump can give.
		for _, chain := range p.Chains {
			b.FlushSet(mapName(chain))
		}
	}
	if err := b.Err(); err != nil {
		c.Close()
		return nil, nil, err
	}
	fire = func() (bool, error) {
		err := c.Commit(b, 0)
		if isGone(err) {
			return false, nil
		}
		return err == nil, err
	}
	return fire, func() { c.Close() }, nil
}

// isGone reports whether a batch failed because the marker, or the whole table,
// is not there: the change has ended.
func isGone(err error) bool {
	var ce *nftables.CommitError
	if !errors.As(err, &ce) || len(ce.Failures) == 0 {
		return false
	}
	f := ce.Failures[0]
	return f.Errno == unix.ENOENT && strings.Contains(f.Label, pendingPrefix)
}
