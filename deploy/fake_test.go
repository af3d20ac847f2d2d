package deploy

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"xfwc/backends/nftables"
	"xfwc/compiler/ir"
)

// fakeOptions are for a fake machine and a new state directory. Its guard is
// this test binary, which finds no kernel table of the fake: so changes that
// wait are guarded by the test itself.
func fakeOptions(t *testing.T) (Options, *Fake) {
	t.Helper()
	f := NewFake()
	o := options(t)
	o.Machine = f
	o.GuardCommand = []string{"/bin/sh", "-c", "echo ready >&3"}
	return o, f
}

// killed stands for SIGKILL: it leaves a command where it is.
type killed struct{}

// kill runs a command that ends where at says, and tells whether it got there.
func kill(t *testing.T, f *Fake, at string, after bool, command func()) bool {
	t.Helper()
	reached := false
	hit := func(verb string) {
		if verb == at && !reached {
			reached = true
			panic(killed{})
		}
	}
	if after {
		f.After = hit
	} else {
		f.Before = hit
	}
	defer func() { f.Before, f.After = nil, nil }()
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(killed); !ok {
					panic(p)
				}
			}
		}()
		command()
	}()
	return reached
}

// A command that is killed before or after it changes the kernel: the next one
// tells from the kernel what had happened, and carries on.
func TestKilledCommands(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	ctx := context.Background()
	for _, tt := range []struct {
		name    string
		verb    string
		prepare func(o Options)
		command func(o Options)
		// inForce is whether B is in force when the kill comes after the change.
		inForce bool
	}{
		{"apply", "replace", nil, func(o Options) { _, _ = Apply(ctx, o, b, ApplyOptions{}) }, true},
		{"apply --confirm", "hang", nil, func(o Options) { _, _ = Apply(ctx, o, b, ApplyOptions{Confirm: time.Minute}) }, false},
		{"confirm", "replace", func(o Options) { _, _ = Apply(ctx, o, b, ApplyOptions{Confirm: time.Minute}) }, func(o Options) { _, _ = Confirm(o, "") }, true},
		{"rollback", "takeDown", func(o Options) { _, _ = Apply(ctx, o, b, ApplyOptions{Confirm: time.Minute}) }, func(o Options) { _, _ = Rollback(o) }, false},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed after the change %v", tt.name, after), func(t *testing.T) {
				o, f := fakeOptions(t)
				mustApply(t, o, a, ApplyOptions{})
				if tt.prepare != nil {
					tt.prepare(o)
				}
				if !kill(t, f, tt.verb, after, func() { tt.command(o) }) {
					t.Fatal("the command never came to the change")
				}
				r := mustDrift(t, o, nil)
				waiting := r.Pending != nil
				if want := after && tt.name == "apply --confirm" || !after && tt.prepare != nil; waiting != want {
					t.Errorf("a change waits: %v", waiting)
				}
				if r.Status != InSync {
					t.Errorf("drift from what was applied: %s\n%s", r.Status, texts(r.Differences))
				}
				if waiting {
					if _, err := Apply(ctx, o, a, ApplyOptions{}); !errors.As(err, new(*PendingError)) {
						t.Errorf("apply while a change waits: %v", err)
					}
					if back, err := Rollback(o); err != nil || !back.Pending {
						t.Fatalf("rollback: %v", err)
					}
				}
				out := mustApply(t, o, b, ApplyOptions{})
				if want := after && tt.inForce; out.Changed == want {
					t.Errorf("the next apply changed something: %v", out.Changed)
				}
				if !waiting && len(out.Recovered) == 0 {
					t.Error("nobody was told of the command that did not finish")
				}
				if back, err := Rollback(o); err != nil || back.To != "site" {
					t.Errorf("rollback to the first policy: %+v, %v", back, err)
				}
				if r := mustDrift(t, o, a); r.Status != InSync || len(r.Notices) != 0 {
					t.Errorf("at the end: %+v", r)
				}
			})
		}
	}
}

// Others change the machine's ruleset between the plan and the commit.
func TestBusyMachine(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	for _, wait := range []time.Duration{0, time.Minute} {
		o, f := fakeOptions(t)
		mustApply(t, o, a, ApplyOptions{})
		busy := 3
		f.Before = func(string) {
			if busy > 0 {
				busy--
				f.Touch()
			}
		}
		out := mustApply(t, o, b, ApplyOptions{Confirm: wait})
		if out.Tries != 4 || !out.Changed {
			t.Errorf("tries: %d", out.Tries)
		}
	}
	o, f := fakeOptions(t)
	mustApply(t, o, a, ApplyOptions{})
	f.Before = func(string) { f.Touch() }
	_, err := Apply(context.Background(), o, b, ApplyOptions{})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Tries != maxTries {
		t.Errorf("a machine that never rests: %v", err)
	}
	f.Before = nil
	if r := mustDrift(t, o, nil); r.Status != InSync || len(r.Notices) != 0 {
		t.Errorf("after the refused apply: %+v", r)
	}
	// A plan that was shown is not made anew behind the back of who saw it.
	p, err := MakePlan(o, b)
	if err != nil {
		t.Fatal(err)
	}
	f.Before = func(string) {
		f.Before = nil
		f.Edit(func(r *nftables.Ruleset) *nftables.Ruleset {
			c := *r
			c.Counters = append(slices.Clone(c.Counters), &nftables.Counter{Name: "mine"})
			return &c
		})
	}
	if _, err := Apply(context.Background(), o, b, ApplyOptions{Plan: p}); !errors.As(err, new(*StaleError)) {
		t.Errorf("a shown plan on a machine that changes: %v", err)
	}
}

// What the kernel refuses changes nothing, in the kernel or in the state.
func TestRefusedByTheKernel(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	for _, wait := range []time.Duration{0, time.Minute} {
		o, f := fakeOptions(t)
		mustApply(t, o, a, ApplyOptions{})
		f.Fail = func(string) error { return errors.New("out of memory") }
		_, err := Apply(context.Background(), o, b, ApplyOptions{Confirm: wait})
		if err == nil || !strings.Contains(err.Error(), "cannot change table inet xfwc: out of memory") {
			t.Errorf("apply: %v", err)
		}
		f.Fail = nil
		if r := mustDrift(t, o, nil); r.Status != InSync || len(r.Notices) != 0 || r.Pending != nil {
			t.Errorf("afterwards: %+v", r)
		}
		if es := events(t, o); es != "begin done begin failed" {
			t.Errorf("journal: %s", es)
		}
	}
}

// A restart of the machine takes the table along, confirmed or not.
func TestReboot(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	o, f := fakeOptions(t)
	mustApply(t, o, a, ApplyOptions{})
	p := mustApply(t, o, b, ApplyOptions{Confirm: time.Minute}).Pending
	f.Reboot()
	r := mustDrift(t, o, nil)
	if r.Status != Drifted || texts(r.Differences) != "table inet xfwc is gone: nothing of the policy is in force\n" || len(r.Notices) != 2 || !strings.Contains(r.Notices[0], "when the machine restarted") {
		t.Errorf("drift: %+v", r)
	}
	if _, err := Confirm(o, p.Token); !errors.As(err, new(*ExpiredError)) || !strings.Contains(err.Error(), "the machine restarted") {
		t.Errorf("confirm: %v", err)
	}
	if out := mustApply(t, o, a, ApplyOptions{}); !out.Changed || len(out.Recovered) == 0 {
		t.Errorf("apply: %+v", out)
	}
	if r := mustDrift(t, o, nil); r.Status != InSync {
		t.Errorf("drift: %+v", r)
	}
}

// The deadline is by the boot clock, and to confirm on it is too late.
func TestDeadline(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	for _, tt := range []struct {
		after time.Duration
		kept  bool
	}{{59 * time.Second, true}, {time.Minute, false}, {2 * time.Minute, false}} {
		o, f := fakeOptions(t)
		mustApply(t, o, a, ApplyOptions{})
		mustApply(t, o, b, ApplyOptions{Confirm: time.Minute})
		f.Advance(tt.after)
		_, err := Confirm(o, "")
		if (err == nil) != tt.kept || err != nil && !errors.As(err, new(*ExpiredError)) {
			t.Errorf("after %v: %v", tt.after, err)
		}
	}
	for _, wait := range []time.Duration{time.Millisecond, -time.Second, 25 * time.Hour} {
		o, _ := fakeOptions(t)
		if _, err := Apply(context.Background(), o, a, ApplyOptions{Confirm: wait}); err == nil || !strings.Contains(err.Error(), "between 1s and 24h") {
			t.Errorf("--confirm %v: %v", wait, err)
		}
	}
}

// A guard that cannot be armed is no guard: nothing is changed.
func TestGuardThatFails(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	for _, tt := range []struct{ script, want string }{
		{"exit 1", "it ended without a word"},
		{"echo 'no network namespace' >&3", "no network namespace"},
	} {
		o, _ := fakeOptions(t)
		mustApply(t, o, a, ApplyOptions{})
		o.GuardCommand = []string{"/bin/sh", "-c", tt.script}
		_, err := Apply(context.Background(), o, b, ApplyOptions{Confirm: time.Minute})
		if err == nil || !strings.Contains(err.Error(), "so nothing was changed: "+tt.want) {
			t.Errorf("%s: %v", tt.script, err)
		}
		if r := mustDrift(t, o, nil); r.Status != InSync || r.Pending != nil || len(r.Notices) != 0 {
			t.Errorf("%s: %+v", tt.script, r)
		}
	}
	o, _ := fakeOptions(t)
	if err := Guard(o, "nothing"); err == nil || !strings.Contains(err.Error(), "no change with the token nothing waits") {
		t.Errorf("a guard without a change: %v", err)
	}
}

// The guard's own loop on a machine in memory: it leaves when the change has
// ended, and takes it back when time is over.
func TestGuardLoop(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	for _, confirmed := range []bool{false, true} {
		for _, install := range []bool{false, true} {
			o, f := fakeOptions(t)
			if !install {
				mustApply(t, o, a, ApplyOptions{})
			}
			p := mustApply(t, o, b, ApplyOptions{Confirm: time.Minute}).Pending
			g, err := armGuard(o, p.Token)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { done <- g.watch() }()
			if confirmed {
				if _, err := Confirm(o, p.Token); err != nil {
					t.Fatal(err)
				}
			} else {
				f.Advance(time.Minute)
			}
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the guard does not end")
			}
			want := map[bool]map[bool]Status{true: {true: InSync, false: InSync}, false: {true: NeverApplied, false: InSync}}[confirmed][install]
			against := a
			if confirmed {
				against = b
			}
			if r := mustDrift(t, o, against); r.Status != want || r.Expired || r.Pending != nil {
				t.Errorf("confirmed %v, install %v: %+v", confirmed, install, r)
			}
		}
	}
}

// With a state directory that cannot be written any more, the guard still
// leaves nothing of the change in the kernel.
func TestGuardWithoutState(t *testing.T) {
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	o, f := fakeOptions(t)
	mustApply(t, o, a, ApplyOptions{})
	p := mustApply(t, o, b, ApplyOptions{Confirm: time.Minute}).Pending
	g, err := armGuard(o, p.Token)
	if err != nil {
		t.Fatal(err)
	}
	// A directory where the lock should be.
	if err := os.Remove(o.store().path(lockFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(o.store().path(lockFile), 0o700); err != nil {
		t.Fatal(err)
	}
	f.Advance(time.Minute)
	if err := g.watch(); !errors.As(err, new(*StateError)) {
		t.Errorf("the guard says: %v", err)
	}
	if r := mustDrift(t, o, nil); r.Status != InSync || r.Expired {
		t.Errorf("drift: %+v", r)
	}
}

// A first install waits for connection tracking only where a session would
// suffer, and leaves nothing of the waiting behind.
func TestWarmUp(t *testing.T) {
	exclusive := mustCompile(t, strings.Replace(policyA, "  nftables\n", "  exclusive\n  nftables\n", 1))
	idle := Session{Local: netip.MustParseAddrPort("192.0.2.10:40001"), Remote: netip.MustParseAddrPort("192.0.2.99:5269"), Interface: "eth0"}
	for _, tt := range []struct {
		name    string
		w       *Wanted
		tracked bool
		warmed  bool
	}{
		{"a session that would look new", exclusive, false, true},
		{"the kernel tracks it already", exclusive, true, false},
		{"nothing denies it", mustCompile(t, policyA), false, false},
	} {
		for _, wait := range []time.Duration{0, time.Minute} {
			o, f := fakeOptions(t)
			f.Open = []Session{idle}
			f.Tracked = tt.tracked
			var said []string
			warmed := false
			out, err := Apply(context.Background(), o, tt.w, ApplyOptions{
				WarmUp: time.Minute, Confirm: wait,
				Progress: func(s string) {
					said = append(said, s)
					if strings.HasPrefix(s, "waiting for open sessions") {
						warmed = true
						if s, _ := f.Dump(nil); s.Object("chain", "warm_input") == nil {
							t.Error("nothing makes the kernel track")
						}
						f.Advance(2 * time.Minute)
					}
				},
			})
			if err != nil || warmed != tt.warmed || !out.Plan.Install {
				t.Errorf("%s: warmed %v, %v: %v", tt.name, warmed, err, said)
			}
			s, _ := f.Dump(nil)
			if s.Object("chain", "warm_input") != nil || len(s.Objects) == 0 {
				t.Errorf("%s: the warm-up is still there", tt.name)
			}
			if wait > 0 {
				if !out.Pending.Install {
					t.Errorf("%s: the change is no first install", tt.name)
				}
				if _, err := Rollback(o); err != nil {
					t.Error(err)
				}
				if s, _ := f.Dump(nil); s.Exists {
					t.Errorf("%s: a table is left after the rollback", tt.name)
				}
			}
		}
	}
	// Interrupted, it leaves no table.
	o, f := fakeOptions(t)
	f.Open, f.Tracked = []Session{idle}, false
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Apply(ctx, o, exclusive, ApplyOptions{WarmUp: time.Hour, Progress: func(s string) {
		if strings.HasPrefix(s, "waiting") {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if s, _ := f.Dump(nil); s.Exists {
		t.Error("the interrupted warm-up left a table")
	}
}

// Another policy in force: the machine never had this one.
func TestNeverApplied(t *testing.T) {
	a := mustCompile(t, policyA)
	other := mustCompile(t, strings.Replace(policyB, `policy "site"`, `policy "elsewhere"`, 1))
	o, _ := fakeOptions(t)
	if r := mustDrift(t, o, nil); r.Status != NeverApplied {
		t.Errorf("nothing at all: %+v", r)
	}
	mustApply(t, o, a, ApplyOptions{})
	r := mustDrift(t, o, other)
	if r.Status != NeverApplied || len(r.Differences) == 0 || !strings.Contains(strings.Join(r.Notices, " "), "policy site for point host was applied here") {
		t.Errorf("another policy: %+v", r)
	}
	mustApply(t, o, other, ApplyOptions{})
	mustApply(t, o, a, ApplyOptions{})
	if r := mustDrift(t, o, other); r.Status != Drifted {
		t.Errorf("a policy that was applied once: %s", r.Status)
	}
	bare := *a
	pt := *a.Point
	bare.Point, pt.Engines = &pt, nil
	if _, err := MakePlan(o, &bare); !errors.As(err, new(*PolicyError)) {
		t.Errorf("a point without a packet filter: %v", err)
	}
}

// Every type of statement is known to the records and to the renaming of a
// waiting change.
func TestStatementTypes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../backends/nftables/ruleset.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var model []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Name.Name == "isStmt" {
			model = append(model, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	var known []string
	for name := range statementTypes {
		known = append(known, name)
	}
	slices.Sort(model)
	slices.Sort(known)
	if len(model) == 0 || !slices.Equal(model, known) {
		t.Errorf("known statements %v, of the model %v", known, model)
	}
	for name, typ := range statementTypes {
		v := reflect.New(typ).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.String {
				f.SetString("x")
			}
		}
		before := v.Interface().(nftables.Stmt)
		after := reflect.ValueOf(renamedStmt(before))
		for i := range typ.NumField() {
			switch field := typ.Field(i).Name; field {
			case "Set", "Map", "Counter", "Chain":
				if got := after.Field(i).String(); got != newPrefix+"x" {
					t.Errorf("%s.%s is renamed to %q", name, field, got)
				}
			default:
				if !reflect.DeepEqual(after.Field(i).Interface(), v.Field(i).Interface()) {
					t.Errorf("%s.%s is changed", name, field)
				}
			}
		}
	}
}

// A recorded ruleset comes back as it was, and so do the decisions.
func TestRecordRoundTrip(t *testing.T) {
	for _, src := range []string{policyA, policyB} {
		w := mustCompile(t, src)
		built, err := w.build()
		if err != nil {
			t.Fatal(err)
		}
		wr, err := openWriter(options(t), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer wr.close()
		if err := wr.writeNext(built.record(wr, time.Now()), built.text); err != nil {
			t.Fatal(err)
		}
		r, err := wr.readRecord(nextFile)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.target()
		if err != nil {
			t.Fatal(err)
		}
		if string(got.ruleset.Text()) != string(built.text) || digestRuleset(got.ruleset) != r.RulesetDigest {
			t.Error("the ruleset came back as another one")
		}
		if !reflect.DeepEqual(normal(got.ruleset), normal(built.ruleset)) {
			t.Error("the ruleset came back with other fields")
		}
		guards, err := r.Guards.get()
		if err != nil {
			t.Fatal(err)
		}
		p, pt, ok := guards.policy()
		if !ok {
			t.Fatal("the guards are damaged")
		}
		for _, from := range []string{"192.0.2.50", "203.0.113.9", "192.0.2.99", "2001:db8:bad::1", "198.51.100.7"} {
			for _, port := range []uint16{22, 5222, 5269, 5347} {
				s := Session{Local: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port), Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 40000), Inbound: true}
				c1, d1 := judge(w.Policy, w.Point, s, ir.Moment{})
				c2, d2 := judge(p, pt, s, ir.Moment{})
				if d1 != d2 || c1.String() != c2.String() {
					t.Errorf("%s to %d: %v %v, recorded %v %v", from, port, d1, c1, d2, c2)
				}
			}
		}
	}
}

// normal makes nil and empty lists the same.
func normal(r *nftables.Ruleset) string {
	s := fmt.Sprintf("%+v", *r)
	for _, set := range r.Sets {
		s += fmt.Sprintf("%+v", *set)
	}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			s += fmt.Sprintf("%+v", *rule)
		}
	}
	for _, c := range r.Counters {
		s += fmt.Sprintf("%+v", *c)
	}
	return stripPointers(s)
}

func stripPointers(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "0x")
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = strings.TrimLeft(s[i+2:], "0123456789abcdef")
	}
	return b.String() + s
}

func TestJournal(t *testing.T) {
	o, _ := fakeOptions(t)
	w, err := openWriter(o, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := w.log(now, Event{What: "begin", Policy: "p"}); err != nil {
		t.Fatal(err)
	}
	// A crash tears the last line; the next one starts a line of its own.
	path := w.path(journalFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, `{"time":"2026-01-02T03:0`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.reserve(); err != nil {
		t.Fatal(err)
	}
	if err := w.log(now, Event{What: "done", Policy: "p"}); err != nil {
		t.Fatal(err)
	}
	if got := events(t, o); got != "begin done" {
		t.Errorf("events: %s", got)
	}
	es, err := ReadJournal(o.StateDir)
	if err != nil || es[0].ID != es[1].ID || es[0].ID == "" || !es[0].Time.Equal(now) || es[0].PID != os.Getpid() {
		t.Errorf("events: %+v, %v", es, err)
	}
	if es, err := ReadJournal(t.TempDir()); es != nil || err != nil {
		t.Errorf("no journal: %v, %v", es, err)
	}
}
