package deploy

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How the guard and its maker meet: the guard writes one line to this
// descriptor, "ready" or what is wrong.
const guardReadyFD = 3

const guardReady = "ready"

// guardPoll is how often the guard looks whether the change still waits, and
// at the boot clock, which timers do not follow through sleep.
const guardPoll = 200 * time.Millisecond

// startGuard starts the process that takes the change back at its deadline, in
// a session of its own, and returns once it is armed.
func startGuard(o Options, token string) (pid int, err error) {
	fail := func(err error) (int, error) {
		return 0, fmt.Errorf("the guard that would take the change back cannot be armed, so nothing was changed: %w", err)
	}
	args := o.GuardCommand
	if len(args) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return fail(err)
		}
		args = []string{exe, "guard", "--state-dir", o.store().dir, "--token"}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	cmd := exec.Command(args[0], append(append([]string{}, args[1:]...), token)...)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fail(err)
	}
	pid = cmd.Process.Pid
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	line, err := bufio.NewReader(r).ReadString('\n')
	if line = strings.TrimSpace(line); line != guardReady {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if line == "" {
			line = "it ended without a word"
			if errors.Is(err, os.ErrDeadlineExceeded) {
				line = "it did not report in time"
			}
		}
		return fail(errors.New(line))
	}
	go func() { _ = cmd.Wait() }() // a caller that lives on keeps no zombie
	return pid, nil
}

// Guard is the body of the process that takes the change of that token back at
// its deadline. It returns when the change was confirmed or taken back, by it
// or by anybody. It works on after hang-up, termination of the session and a
// full disk; that a kill -9 stops it is made good by the kernel, where the
// change runs out by itself.
func Guard(o Options, token string) error {
	signal.Ignore(unix.SIGHUP, unix.SIGTERM, unix.SIGINT, unix.SIGPIPE, unix.SIGQUIT)
	ready := os.NewFile(guardReadyFD, "ready")
	report := func(line string) {
		if ready != nil {
			_, _ = fmt.Fprintln(ready, line)
			_ = ready.Close()
		}
	}
	g, err := armGuard(o, token)
	if err != nil {
		report(firstLine(err.Error()))
		return err
	}
	defer g.release()
	// Neither swap nor the memory killer may be in the way. Both fail without
	// privilege, and the guard works without them.
	_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | mclOnFault)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	report(guardReady)
	return g.watch()
}

// mclOnFault locks pages as they come into use, linux/mman.h; without it the
// whole reserved address space of the runtime would be filled.
const mclOnFault = 4

type guard struct {
	o       Options
	m       Machine
	p       Pending
	fire    func() (bool, error)
	release func()
}

func armGuard(o Options, token string) (*guard, error) {
	p, err := o.store().readPending()
	if err != nil {
		return nil, err
	}
	if p == nil || p.Token != token {
		return nil, fmt.Errorf("no change with the token %s waits in %s", token, o.store().dir)
	}
	g := &guard{o: o, m: o.machine(), p: *p}
	if g.fire, g.release, err = g.m.arm(*p); err != nil {
		return nil, err
	}
	return g, nil
}

// watch waits for the deadline, or for the change to end before.
func (g *guard) watch() error {
	for {
		if g.ended() {
			return nil
		}
		left := time.Duration(g.p.DeadlineBoot) - g.m.Now().Boot
		if left <= 0 {
			return g.takeBack()
		}
		time.Sleep(min(left, guardPoll))
	}
}

// ended reports whether the record says that the change no longer waits. A
// record that cannot be read says nothing.
func (g *guard) ended() bool {
	p, err := g.o.store().readPending()
	return err == nil && (p == nil || p.Token != g.p.Token)
}

// takeBack ends the change in the kernel, then in the state. A writer that
// holds the lock, a confirmation perhaps, has a moment to finish; one that
// hangs does not stop the guard, and finds in the kernel that it is too late.
func (g *guard) takeBack() error {
	o := g.o
	o.Command = "guard"
	o.LockWait = 2 * time.Second
	w, lockErr := openWriter(o, g.m.Now().Wall)
	if lockErr == nil {
		defer w.close()
		if g.ended() {
			return nil
		}
	}
	fired, fireErr := g.fire()
	if w == nil {
		// The state can wait until the other writer is done.
		o.LockWait = time.Minute
		var err error
		if w, err = openWriter(o, g.m.Now().Wall); err != nil {
			return errors.Join(fireErr, err, g.sweep())
		}
		defer w.close()
	}
	if fireErr == nil && !fired && g.ended() {
		return nil
	}
	return errors.Join(fireErr, g.cleanUp(w, fired))
}

// sweep removes the objects of the change, which has no marker any more, where
// the state directory cannot be written: the next writer clears the record.
func (g *guard) sweep() error {
	live, err := g.m.Dump(func(string, int) bool { return true })
	if err != nil {
		return err
	}
	sit := &situation{now: g.m.Now(), live: live, settled: settle(live)}
	sit.judge(nil)
	if sit.pending == nil || sit.marker != "" {
		return nil // nothing is left, or what is there is another change's
	}
	return g.m.takeDown(live, "", g.p.Install && !sit.settled.Exists)
}

// cleanUp removes the objects and the record of the change that was taken out
// of force.
func (g *guard) cleanUp(w *writer, fired bool) error {
	if fired && g.p.Install {
		event := Event{What: "expired", Policy: g.p.Policy, Point: g.p.Point, Token: g.p.Token}
		return errors.Join(w.remove(pendingFile), w.removeNext(), w.log(g.m.Now().Wall, event))
	}
	_, err := w.recover(g.m)
	var waiting *PendingError
	if errors.As(err, &waiting) && waiting.Pending.Token != g.p.Token {
		return nil // somebody else's change
	}
	return err
}
