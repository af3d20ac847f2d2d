package nftables

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Scratch runs f in a fresh network namespace, which ends with it: nothing in
// there concerns this machine. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which
// root in a user namespace has too. f runs on another goroutine than the
// caller's, locked to the thread that is in the namespace; programs that it
// starts are in the namespace, goroutines that it starts are not.
func Scratch(f func(c *Conn) error) error {
	type outcome struct {
		err   error
		panic any
	}
	done := make(chan outcome, 1)
	go func() {
		o := outcome{err: errors.New("the work in the scratch namespace was broken off")}
		defer func() {
			o.panic = recover()
			done <- o
		}()
		// Never unlocked: the thread ends with the goroutine, and with it the
		// namespace. It must not serve another goroutine.
		runtime.LockOSThread()
		o.err = inNamespace(f)
	}()
	o := <-done
	if o.panic != nil {
		panic(o.panic)
	}
	return o.err
}

func inNamespace(f func(c *Conn) error) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w; run as root, or in a user namespace as unshare -rn makes it", err)
	}
	c, err := Open()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// Desired loads a ruleset into a namespace of its own and dumps it: what the
// kernel would have if the ruleset were in force, and the proof that this kernel
// takes it. Elements that the options skip are not loaded: their count comes
// from the ruleset.
func Desired(r *Ruleset, o DumpOptions) (*Snapshot, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	// The digests are those of all elements, also of those that are left out.
	light, skipped := *r.withDigests(), map[string]*Set{}
	light.Sets = make([]*Set, len(r.Sets))
	for i, s := range r.Sets {
		light.Sets[i] = s
		if o.SkipElements != nil && !s.Dynamic && o.SkipElements(s.Name, len(s.Elements)) {
			bare := *s
			bare.Expires = s.expires()
			bare.Elements = nil
			light.Sets[i], skipped[s.Name] = &bare, s
		}
	}
	var snap *Snapshot
	err := Scratch(func(c *Conn) error {
		if err := c.Commit(full(&light), 0); err != nil {
			return err
		}
		var err error
		snap, err = c.Dump(DumpOptions{SkipElements: func(set string, _ int) bool { return skipped[set] != nil }})
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range snap.Objects {
		if o := &snap.Objects[i]; o.Kind == kindSet && skipped[o.Name] != nil {
			o.Count = skipped[o.Name].count()
		}
	}
	return snap, nil
}
