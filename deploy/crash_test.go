package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// policyFiles writes policy texts for the processes that tests start.
func policyFiles(t *testing.T, srcs ...string) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, s := range srcs {
		p := filepath.Join(dir, fmt.Sprintf("%d.xfw", i))
		if err := os.WriteFile(p, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

// A real apply is killed with SIGKILL at random moments, 50 in all. The kernel holds the
// old ruleset or the new one, never a part of each, and the next plan and apply
// work without repair.
func TestKilledApply(t *testing.T) {
	for _, mode := range []string{"0s", "1m"} {
		t.Run("confirm "+mode, func(t *testing.T) {
			newNamespace(t)
			o := options(t)
			a, b := mustCompile(t, policyA), mustCompile(t, policyB)
			snapA, snapB := desiredSnapshot(t, a), desiredSnapshot(t, b)
			wantA, wantB := string(canonicalText(snapA)), string(canonicalText(snapB))
			files := policyFiles(t, policyA, policyB)
			many := append([]string{"helper-apply", o.StateDir, mode}, files[1])
			if mode == "0s" {
				for range 20 {
					many = append(many, files...)
				}
			}
			mustApply(t, o, a, ApplyOptions{})
			var old, fresh, between, recovered int
			kills := 25
			if long() {
				kills = 100
			}
			for i := range kills {
				cmd := exec.Command(guardCommand("")[0], many...)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if stderr.Len() > 0 {
					t.Fatalf("run %d: %s", i, stderr.String())
				}
				// What an update had prepared and no packet meets may be there.
				left, err := ThisMachine().Dump(nil)
				if err != nil {
					t.Fatal(err)
				}
				s := settle(left)
				switch {
				case judgesAs(s, snapA):
					old++
				case judgesAs(s, snapB):
					fresh++
				default:
					t.Fatalf("run %d left a mixture:\n%s", i, canonicalText(met(s)))
				}
				clean := string(canonicalText(left)) == wantA || string(canonicalText(left)) == wantB
				if !clean {
					between++
				}
				_, err = MakePlan(o, b)
				var pending *PendingError
				if errors.As(err, &pending) && mode != "0s" {
					fresh++
					old--
					if !newInForce(t) {
						t.Fatalf("run %d: a waiting change is not in force", i)
					}
					if _, err := Rollback(o); err != nil {
						t.Fatalf("run %d: rollback: %v", i, err)
					}
					clean = true
				} else if err != nil {
					t.Fatalf("run %d: plan: %v", i, err)
				}
				r, err := Drift(o, nil)
				if err != nil || clean && r.Status != InSync || !clean && (r.Status != Drifted || len(r.Notices) == 0) {
					t.Fatalf("run %d: drift from what was applied: %+v, %v", i, r, err)
				}
				out := mustApply(t, o, a, ApplyOptions{})
				recovered += len(out.Recovered)
				if live(t) != wantA {
					t.Fatalf("run %d: the next apply did not come into force", i)
				}
			}
			t.Logf("killed %d times: old ruleset %d, new ruleset %d, of these with prepared objects beside it %d, records recovered %d", kills, old, fresh, between, recovered)
			if old == 0 || fresh == 0 {
				t.Error("the moments of the kills all lay on one side of the commit")
			}
		})
	}
}

// Two who apply at once: one does, the other is told who holds the lock; no
// file and no table is mixed.
func TestTwoAppliesAtOnce(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	mustApply(t, o, a, ApplyOptions{})
	w, err := openWriter(Options{StateDir: o.StateDir, Command: "rollback"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	before := live(t)
	_, err = Apply(context.Background(), o, b, ApplyOptions{})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Holder.PID != os.Getpid() || locked.Holder.Command != "rollback" {
		t.Errorf("apply beside a writer: %v", err)
	}
	if _, err := MakePlan(o, b); err != nil {
		t.Errorf("a plan needs no lock: %v", err)
	}
	if live(t) != before {
		t.Error("the refused apply changed the table")
	}
	waiting := o
	waiting.LockWait = 10 * time.Second
	time.AfterFunc(200*time.Millisecond, w.close)
	mustApply(t, waiting, b, ApplyOptions{})

	files := policyFiles(t, policyA, policyB)
	outs := make([]string, 8)
	var group sync.WaitGroup
	for i := range outs {
		// Started here, because this thread is in the namespace.
		cmd := exec.Command(guardCommand("")[0], "helper-apply", o.StateDir, "0s", files[i%2])
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			_ = cmd.Wait()
			outs[i] = out.String()
		})
	}
	group.Wait()
	done := 0
	for _, out := range outs {
		switch {
		case strings.HasPrefix(out, "{"):
			done++
		case !strings.Contains(out, "is changing this machine"):
			t.Errorf("output: %s", out)
		}
	}
	if done == 0 {
		t.Error("nobody got the lock")
	}
	if got := live(t); got != desired(t, a) && got != desired(t, b) {
		t.Errorf("the table is a mixture:\n%s", got)
	}
	if r := mustDrift(t, o, nil); r.Status != InSync {
		t.Errorf("the record is not of what is in force: %s", texts(r.Differences))
	}
}

// privateMounts gives the test's thread mounts of its own.
func privateMounts(t *testing.T) {
	t.Helper()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		skipOrFail(t, "no mount namespaces: "+err.Error())
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

// A disk with less and less room: an apply is refused before it touches the
// kernel, or made and recorded, never made and lost.
func TestFullDisk(t *testing.T) {
	newNamespace(t)
	privateMounts(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	wantA, wantB := desired(t, a), desired(t, b)
	disk := filepath.Dir(o.StateDir)
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	mustApply(t, o, a, ApplyOptions{})
	mustApply(t, o, b, ApplyOptions{})
	mustApply(t, o, a, ApplyOptions{})
	filler := filepath.Join(disk, "filler")
	var refused, made int
	for free := 0; free <= 80<<10; free += 4 << 10 {
		fill(t, filler, disk, free)
		out, err := Apply(context.Background(), o, b, ApplyOptions{})
		got := live(t)
		switch {
		case err == nil && got == wantB && out.Changed:
			made++
			if r := mustDrift(t, o, nil); r.Status != InSync || len(r.Notices) > 0 {
				t.Errorf("%d bytes free: made and not recorded: %+v", free, r)
			}
		case err != nil && got == wantA:
			refused++
			var s *StateError
			if !errors.As(err, &s) || s.InForce || !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%d bytes free: refused with %v", free, err)
			}
			if !strings.Contains(err.Error(), "The kernel was not touched") {
				t.Errorf("the message does not say that nothing happened: %v", err)
			}
		default:
			t.Fatalf("%d bytes free: %v\n%s", free, err, got)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		mustApply(t, o, a, ApplyOptions{})
	}
	if refused == 0 || made == 0 {
		t.Errorf("refused %d times, made %d times: the disk was never in between", refused, made)
	}
	// With a waiting change it is the same, and the guard needs no disk.
	fill(t, filler, disk, 0)
	if _, err := Apply(context.Background(), o, b, ApplyOptions{Confirm: time.Minute}); !errors.Is(err, unix.ENOSPC) || live(t) != wantA {
		t.Errorf("apply --confirm on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p := mustApply(t, o, b, ApplyOptions{Confirm: time.Second}).Pending
	fill(t, filler, disk, 0)
	guardGone(t, p.GuardPID, 10*time.Second)
	if live(t) != wantA {
		t.Error("with a full disk the guard did not take the change back")
	}
}

// fill writes a file that leaves only so many bytes free on a tmpfs.
func fill(t *testing.T, path, disk string, free int) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	n := int(st.Bavail)*int(st.Bsize) - free
	if err := os.WriteFile(path, make([]byte, max(n, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyState(t *testing.T) {
	newNamespace(t)
	privateMounts(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	mustApply(t, o, a, ApplyOptions{})
	before := live(t)
	if err := unix.Mount(o.StateDir, o.StateDir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(o.StateDir, unix.MNT_DETACH) })
	if err := unix.Mount("", o.StateDir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"apply":    func() error { _, err := Apply(context.Background(), o, b, ApplyOptions{}); return err },
		"confirm":  func() error { _, err := Confirm(o, ""); return err },
		"rollback": func() error { _, err := Rollback(o); return err },
	} {
		var s *StateError
		if err := do(); !errors.As(err, &s) || s.InForce || !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if live(t) != before {
		t.Error("the table changed")
	}
	// Reading needs no more than reading.
	if p, err := MakePlan(o, b); err != nil || p.Empty() {
		t.Errorf("plan: %v", err)
	}
	if r := mustDrift(t, o, nil); r.Status != InSync {
		t.Errorf("drift: %+v", r)
	}
}

// A state directory that a file stands in the way of, or whose record is
// damaged, is said to be so.
func TestDamagedState(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a := mustCompile(t, policyA)
	mustApply(t, o, a, ApplyOptions{})
	path := o.store().path(appliedFile + ".json")
	for _, content := range []string{"", "{", `{"version": 99}`, "null\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Drift(o, nil)
		var s *StateError
		if !errors.As(err, &s) || s.Path != path {
			t.Errorf("record %q: %v", content, err)
		}
	}
	// Without the record the kernel still speaks for itself, and an apply of
	// what is in force writes it anew.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Drift(o, nil); !errors.Is(err, ErrNothingApplied) {
		t.Errorf("drift without a record: %v", err)
	}
	if r := mustDrift(t, o, a); r.Status != InSync {
		t.Errorf("drift: %+v", r)
	}
	if out := mustApply(t, o, a, ApplyOptions{}); out.Changed {
		t.Error("the apply changed the table")
	}
	if r := mustDrift(t, o, nil); r.Status != InSync {
		t.Errorf("drift: %+v", r)
	}
}

// A saved plan is for one policy, one lock, one state of the table, and one
// apply.
func TestSavedPlan(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	mustApply(t, o, a, ApplyOptions{})
	path := filepath.Join(t.TempDir(), "plan.json")
	save := func() *Plan {
		t.Helper()
		p, err := MakePlan(o, b)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		loaded, err := LoadPlan(path)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(p)
		y, _ := json.Marshal(loaded)
		if !bytes.Equal(x, y) {
			t.Errorf("saved and loaded:\n%s\n%s", x, y)
		}
		return loaded
	}
	refused := func(name string, w *Wanted, p *Plan, why string) {
		t.Helper()
		before := live(t)
		_, err := Apply(context.Background(), o, w, ApplyOptions{Plan: p})
		var s *StaleError
		if !errors.As(err, &s) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", name, err)
		}
		if live(t) != before {
			t.Errorf("%s: the refused apply changed the table", name)
		}
	}
	p := save()
	edited := mustCompile(t, policyB+"\n# another line\n")
	refused("the policy was edited", edited, p, "the policy has changed")
	locked := *b
	locked.Lock = []byte("{}")
	refused("the lock was refreshed", &locked, p, "xfwc.lock has changed")
	command(t, "nft", "add", "element", "inet", "xfwc", "net_drop_v4", "{ 192.0.2.77 }")
	refused("somebody changed the table", b, p, "the table of this machine has changed")
	command(t, "nft", "delete", "element", "inet", "xfwc", "net_drop_v4", "{ 192.0.2.77 }")
	// Somebody else's table is not what the plan is about.
	command(t, "nft", "add", "table", "inet", "other")
	if out := mustApply(t, o, b, ApplyOptions{Plan: p}); !out.Changed {
		t.Error("the plan was not applied")
	}
	refused("the plan was used", b, p, "works once")
	mustApply(t, o, a, ApplyOptions{})
	refused("the plan was used, and the table is as it was before", b, p, "works once")
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPlan(path); err == nil || !strings.Contains(err.Error(), "xfwc plan -o") {
		t.Errorf("a file that is no plan: %v", err)
	}
}
