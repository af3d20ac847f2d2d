package deploy

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"xfwc/backends/nftables"
)

// guardGone waits until a guard process has ended.
func guardGone(t *testing.T, pid int, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(deadline) {
			t.Fatalf("the guard, process %d, still runs", pid)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// live is the canonical table.
func live(t *testing.T) string {
	t.Helper()
	s, err := ThisMachine().Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(canonicalText(s))
}

func desired(t *testing.T, w *Wanted) string {
	t.Helper()
	return string(canonicalText(desiredSnapshot(t, w)))
}

func desiredSnapshot(t *testing.T, w *Wanted) *nftables.Snapshot {
	t.Helper()
	built, err := w.build()
	if err != nil {
		t.Fatal(err)
	}
	s, err := nftables.Desired(built.ruleset, nftables.DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func events(t *testing.T, o Options) string {
	t.Helper()
	es, err := ReadJournal(o.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range es {
		b.WriteString(e.What + " ")
	}
	return strings.TrimSpace(b.String())
}

// A waiting change, over an earlier policy and as the first install: what is in
// force, what others may do meanwhile, and every way in which it ends.
func TestPendingChange(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	ends := []struct {
		name  string
		wait  time.Duration
		end   func(t *testing.T, o Options, p *Pending)
		stays bool // the new policy is in force at the end
		event string
	}{
		{"confirmed", time.Minute, func(t *testing.T, o Options, p *Pending) {
			if _, err := Confirm(o, "wrong"); !errors.As(err, new(*TokenError)) {
				t.Errorf("confirm with another token: %v", err)
			}
			if _, err := Confirm(o, p.Token); err != nil {
				t.Errorf("confirm: %v", err)
			}
		}, true, "confirmed"},
		{"confirmed without a token", time.Minute, func(t *testing.T, o Options, p *Pending) {
			if _, err := Confirm(o, ""); err != nil {
				t.Errorf("confirm: %v", err)
			}
		}, true, "confirmed"},
		{"rolled back", time.Minute, func(t *testing.T, o Options, p *Pending) {
			r, err := Rollback(o)
			if err != nil || !r.Pending {
				t.Errorf("rollback: %+v, %v", r, err)
			}
		}, false, "rolled-back"},
		{"expired", 1500 * time.Millisecond, func(t *testing.T, o Options, p *Pending) {
			guardGone(t, p.GuardPID, 5*time.Second)
			if now := ThisMachine().Now(); now.Boot < time.Duration(p.DeadlineBoot) {
				t.Errorf("the guard fired %v before the deadline", time.Duration(p.DeadlineBoot)-now.Boot)
			}
			if _, err := Confirm(o, p.Token); !errors.As(err, new(*ExpiredError)) || !strings.Contains(err.Error(), "its time ran out") {
				t.Errorf("confirm after the deadline: %v", err)
			}
		}, false, "expired"},
		{"expired without a guard", 1500 * time.Millisecond, func(t *testing.T, o Options, p *Pending) {
			if err := syscall.Kill(p.GuardPID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			// Nothing of xfwc runs now: the kernel alone ends the change.
			eventually(t, 5*time.Second, "the new policy is still in force", func() bool { return !newInForce(t) })
			r := mustDrift(t, o, a)
			if !r.Expired || r.Pending != nil {
				t.Errorf("drift after the deadline: %+v", r)
			}
			if _, err := Confirm(o, p.Token); !errors.As(err, new(*ExpiredError)) {
				t.Errorf("confirm after the deadline: %v", err)
			}
			plan, err := MakePlan(o, b)
			if err != nil || plan.Empty() || plan.Changes[0].What != "expired" {
				t.Errorf("plan after the deadline: %+v, %v", plan, err)
			}
			back, err := Rollback(o)
			if err != nil || !back.Expired {
				t.Errorf("rollback after the deadline: %+v, %v", back, err)
			}
		}, false, "expired"},
	}
	for _, install := range []bool{false, true} {
		for _, end := range ends {
			name := "update, " + end.name
			if install {
				name = "install, " + end.name
			}
			t.Run(name, func(t *testing.T) {
				newNamespace(t)
				o := options(t)
				before := ""
				if !install {
					mustApply(t, o, a, ApplyOptions{})
					before = live(t)
				}
				out := mustApply(t, o, b, ApplyOptions{Confirm: end.wait})
				p := out.Pending
				if p == nil || !out.Changed || p.Install != install {
					t.Fatalf("apply --confirm: %+v", out)
				}
				t.Cleanup(func() { _ = syscall.Kill(p.GuardPID, syscall.SIGKILL) })
				if !newInForce(t) {
					t.Error("the new policy is not in force")
				}
				whilePending(t, o, a, b, install)
				end.end(t, o, p)
				guardGone(t, p.GuardPID, 5*time.Second)
				want := before
				if end.stays {
					want = desired(t, b)
				}
				if got := live(t); got != want {
					t.Errorf("at the end:\n%s\nwant\n%s", got, want)
				}
				if es := events(t, o); !strings.HasSuffix(es, "begin pending "+end.event) {
					t.Errorf("journal: %s", es)
				}
				for _, f := range []string{pendingFile, nextFile + ".json", nextFile + ".nft"} {
					if _, err := os.Stat(o.store().path(f)); !os.IsNotExist(err) {
						t.Errorf("%s is still there", f)
					}
				}
				after(t, o, a, b, install, end.stays)
			})
		}
	}
}

// newInForce reports whether packets are sent to the new chains.
func newInForce(t *testing.T) bool {
	t.Helper()
	s, err := ThisMachine().Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Object("set", mapName("input"))
	return m != nil && len(m.Items) > 0
}

// whilePending: nobody else can change the machine, and everybody says why.
func whilePending(t *testing.T, o Options, a, b *Wanted, install bool) {
	t.Helper()
	for _, w := range []*Wanted{a, b} {
		if _, err := MakePlan(o, w); !errors.As(err, new(*PendingError)) {
			t.Errorf("plan: %v", err)
		}
		if _, err := Apply(context.Background(), o, w, ApplyOptions{}); !errors.As(err, new(*PendingError)) {
			t.Errorf("apply: %v", err)
		}
	}
	r := mustDrift(t, o, a)
	want := InSync
	if install {
		want = NeverApplied
	}
	if r.Status != want || r.Pending == nil {
		t.Errorf("drift: %s, pending %v\n%s", r.Status, r.Pending, texts(r.Differences))
	}
}

// after: the machine works on as if the change had been made or never been.
func after(t *testing.T, o Options, a, b *Wanted, install, stays bool) {
	t.Helper()
	r := mustDrift(t, o, b)
	switch {
	case stays && r.Status != InSync, !stays && install && r.Status != NeverApplied, !stays && !install && r.Status != Drifted:
		t.Errorf("drift at the end: %s\n%s", r.Status, texts(r.Differences))
	}
	left := strings.Join(r.Notices, "; ")
	if strings.Contains(left, "waited") || strings.Contains(left, "did not finish") || strings.Contains(left, "waits") || r.Pending != nil || r.Expired {
		t.Errorf("drift at the end: pending %v, expired %v, %s", r.Pending, r.Expired, left)
	}
	if _, err := Confirm(o, ""); err == nil {
		t.Error("a second confirm was taken")
	}
	if stays && !install {
		// The old policy is the previous one.
		back, err := Rollback(o)
		if err != nil || back.Pending || live(t) != desired(t, a) {
			t.Errorf("rollback of a confirmed change: %+v, %v", back, err)
		}
		if _, err := Rollback(o); !errors.Is(err, ErrNoPrevious) {
			t.Errorf("second rollback: %v", err)
		}
	}
	out := mustApply(t, o, b, ApplyOptions{})
	if len(out.Recovered) != 0 {
		t.Errorf("left behind: %v", out.Recovered)
	}
	if live(t) != desired(t, b) {
		t.Error("the next apply did not come into force")
	}
}

// A guard that finds its change over does nothing to the next one.
func TestLateGuard(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	mustApply(t, o, a, ApplyOptions{})
	first := mustApply(t, o, b, ApplyOptions{Confirm: time.Minute}).Pending
	t.Cleanup(func() { _ = syscall.Kill(first.GuardPID, syscall.SIGKILL) })
	fire, release, err := ThisMachine().arm(*first)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := Confirm(o, first.Token); err != nil {
		t.Fatal(err)
	}
	if fired, err := fire(); fired || err != nil {
		t.Errorf("fired %v, %v", fired, err)
	}
	if live(t) != desired(t, b) {
		t.Error("a late guard changed the table")
	}
	// The same for a first install, whose rollback deletes the table.
	p := *first
	p.Install = true
	fire, release, err = ThisMachine().arm(p)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if fired, err := fire(); fired || err != nil || live(t) != desired(t, b) {
		t.Errorf("fired %v, %v", fired, err)
	}
	command(t, "nft", "delete", "table", "inet", "xfwc")
	if fired, err := fire(); fired || err != nil {
		t.Errorf("without a table: fired %v, %v", fired, err)
	}
}

// A change that waits is seen without the state directory: from the kernel.
func TestPendingWithoutState(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	mustApply(t, o, a, ApplyOptions{})
	p := mustApply(t, o, b, ApplyOptions{Confirm: 2 * time.Second}).Pending
	if err := syscall.Kill(p.GuardPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	other := options(t)
	_, err := MakePlan(other, b)
	var pending *PendingError
	if !errors.As(err, &pending) || pending.Pending.Token != p.Token || !pending.Pending.Deadline.Equal(p.Deadline.Truncate(time.Second)) {
		t.Fatalf("plan with another state directory: %v", err)
	}
	eventually(t, 5*time.Second, "the change still waits", func() bool { return !newInForce(t) })
	out := mustApply(t, other, a, ApplyOptions{})
	if len(out.Recovered) != 1 || live(t) != desired(t, a) {
		t.Errorf("apply: %+v", out)
	}
}
