package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peer is the other end of a link: a thread in a namespace of its own, which
// runs what it is given.
type peer struct {
	work chan func()
	tid  int
}

// newPeer links the test's namespace with another one: the test has 192.0.2.10
// and 2001:db8::10 on the interface near, the peer many addresses on far.
func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the namespace ends with the thread
		err := unix.Unshare(unix.CLONE_NEWNET)
		p.tid = unix.Gettid()
		ready <- err
		for f := range p.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(p.work) })
	command(t, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", fmt.Sprint(p.tid))
	for _, a := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
		command(t, "ip", "addr", "add", a, "dev", "near", "nodad")
	}
	command(t, "ip", "link", "set", "near", "up")
	command(t, "ip", "route", "add", "default", "via", "192.0.2.1")
	p.do(func() {
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"addr", "add", "192.0.2.1/24", "dev", "far"},
			{"addr", "add", "192.0.2.50/24", "dev", "far"},
			{"addr", "add", "203.0.113.9/24", "dev", "far"},
			{"addr", "add", "198.51.100.7/24", "dev", "far"},
			{"addr", "add", "2001:db8::50/64", "dev", "far", "nodad"},
			{"link", "set", "far", "up"},
		} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				panic(fmt.Sprintf("ip %v: %v\n%s", args, err, out))
			}
		}
	})
	for _, f := range []string{"all", "default", "near"} {
		// A source behind the default route is not to be dropped for it.
		_ = os.WriteFile("/proc/thread-self/net/ipv4/conf/"+f+"/rp_filter", []byte("0"), 0)
	}
	return p
}

// do runs f in the peer's namespace and waits for it.
func (p *peer) do(f func()) {
	done := make(chan struct{})
	p.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// tryDial connects from the given source address of the peer.
func (p *peer) tryDial(from, to string, wait time.Duration) (net.Conn, error) {
	var conn net.Conn
	var err error
	p.do(func() {
		d := net.Dialer{Timeout: wait}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		// The socket is made on this very thread: there is one address, and so
		// no other goroutine that would dial.
		conn, err = d.Dial("tcp", to)
	})
	return conn, err
}

func (p *peer) dial(t *testing.T, to string) net.Conn {
	t.Helper()
	conn, err := p.tryDial("192.0.2.50", to, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
