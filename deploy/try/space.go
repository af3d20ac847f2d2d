package try

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// space is a network namespace without a name, and the one thread that lives in
// it. When the thread ends and the descriptor is closed, or when the process
// dies in whatever way, the kernel removes the namespace with all that is in it.
type space struct {
	name  string
	fd    netns.NsHandle
	calls chan func()
	ended chan struct{}
}

// newSpace makes a namespace.
func newSpace(name string) (*space, error) {
	s := &space{name: name, calls: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error, 1)
	go s.live(ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	return s, nil
}

// live is the thread of the namespace. It never unlocks: a thread that cannot
// be trusted to be back in the machine's namespace must end with its goroutine.
func (s *space) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The process's first thread is what /proc/self shows to everybody, and it
		// cannot end before the process: hold it here until another has taken over.
		taken := make(chan error, 1)
		go s.live(taken)
		ready <- <-taken
		runtime.UnlockOSThread()
		return
	}
	defer close(s.ended)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- &PrivilegeError{What: "a network namespace", Err: err}
		return
	}
	fd, err := netns.Get()
	if err != nil {
		ready <- fmt.Errorf("open the network namespace of this thread: %w", err)
		return
	}
	s.fd = fd
	ready <- nil
	for call := range s.calls {
		call()
	}
	s.fd.Close()
}

// do runs f on the namespace's thread and waits for it. f must not start
// goroutines that speak to the network: they would run outside.
func (s *space) do(f func() error) error {
	var err error
	done := make(chan struct{})
	s.calls <- func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("in the namespace of %s: %v", s.name, r)
			}
		}()
		err = f()
	}
	<-done
	return err
}

// close ends the thread. Nothing may call do afterwards.
func (s *space) close() {
	close(s.calls)
	<-s.ended
}

// sysctl sets a value below /proc/sys/net in the namespace of this thread.
func sysctl(key, value string) error {
	path := filepath.Join("/proc/sys/net", filepath.FromSlash(key))
	err := os.WriteFile(path, []byte(value), 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS):
		return fmt.Errorf("cannot set %s: %w; /proc/sys/net must be writable: in a container, run it with --privileged or mount /proc/sys read-write", strings.ReplaceAll(key, "/", "."), err)
	}
	return fmt.Errorf("cannot set %s: %w", strings.ReplaceAll(key, "/", "."), err)
}
