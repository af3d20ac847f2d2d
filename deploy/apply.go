package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"xfwc/backends/nftables"
)

// ApplyOptions say how Apply acts.
type ApplyOptions struct {
	// Plan binds the apply to a plan that was shown or saved: it is refused
	// with a *StaleError when policy, lock or live state are no longer what the
	// plan was made for, or when the plan was applied before. nil plans anew.
	Plan *Plan
	// Confirm is how long the change waits for confirmation before it is taken
	// back; 0 applies for good. At least a second, at most a day.
	Confirm time.Duration
	// AllowCut lists sessions that may be cut: "192.0.2.1", a prefix,
	// "192.0.2.1:22" or "[2001:db8::1]:40000" with the port of either side, or
	// "ssh" for the session of SSH_CONNECTION.
	AllowCut []string
	// WarmUp is the longest time to let connection tracking learn the sessions
	// of a machine before the first install, on which they would otherwise look
	// new and could be denied; 0 does without.
	WarmUp time.Duration
	// Progress is told what is being done, a short phrase each; may be nil.
	Progress func(string)
}

func (a ApplyOptions) say(text string) {
	if a.Progress != nil {
		a.Progress(text)
	}
}

// Applied is what Apply did.
type Applied struct {
	Plan *Plan `json:"plan"`
	// Changed is false when the machine already was as the policy asks.
	Changed bool `json:"changed"`
	// Pending is set when the change waits for confirmation.
	Pending *Pending `json:"pending,omitempty"`
	// Recovered says what an earlier, interrupted command had left and was
	// cleaned up.
	Recovered []string `json:"recovered,omitempty"`
	// Tries is how often the change was planned because others changed the
	// machine's ruleset in between; 1 when nobody did.
	Tries int `json:"tries"`
}

// Bounds of ApplyOptions.Confirm.
const (
	confirmMin = time.Second
	confirmMax = 24 * time.Hour
)

// maxTries bounds how often a change is planned anew because somebody else
// changed the machine's ruleset before it could be committed.
const maxTries = 20

// Apply puts the policy in force at the point: all of it, or nothing. It fails
// with
//
//	*LockedError   another writer is at work
//	*PendingError  a change waits for confirmation
//	*StaleError    the given plan no longer fits
//	*CutError      it would cut sessions that are not in AllowCut
//	*StateError    the state directory does not work; see its InForce
//	*BusyError     the machine's ruleset kept changing
//	*VerifyError   the kernel does not hold what it was given
//	*PolicyError   the point has no packet filter, or cannot fall back
//
// In all of them but the last but one, and StateError with InForce, the kernel
// is as it was. A result that is not nil beside an error says what was done.
func Apply(ctx context.Context, o Options, w *Wanted, a ApplyOptions) (*Applied, error) {
	if a.Confirm != 0 && (a.Confirm < confirmMin || a.Confirm > confirmMax) {
		return nil, fmt.Errorf("--confirm %v: the waiting time is between %v and %v", a.Confirm, confirmMin, confirmMax)
	}
	allow, err := parseCuts(a.AllowCut)
	if err != nil {
		return nil, err
	}
	built, err := w.build()
	if err != nil {
		return nil, err
	}
	m := o.machine()
	wr, err := openWriter(o, m.Now().Wall)
	if err != nil {
		return nil, err
	}
	defer wr.close()
	ap := &applying{ctx: ctx, o: o, a: a, m: m, w: wr, wanted: built, allow: allow, out: &Applied{}}
	if ap.out.Recovered, err = wr.recover(m); err != nil {
		return nil, err
	}
	for ap.out.Tries = 1; ap.out.Tries <= maxTries; ap.out.Tries++ {
		if err := ctx.Err(); err != nil {
			return nil, ap.undo(err)
		}
		err := ap.try()
		if errors.Is(err, nftables.ErrGeneration) || errors.Is(err, nftables.ErrInterrupted) {
			if err = ap.again(); err == nil {
				continue
			}
		}
		if err != nil {
			err = ap.undo(err)
		}
		if err != nil && !ap.out.Changed {
			return nil, err
		}
		return ap.out, err
	}
	return nil, ap.undo(&BusyError{maxTries})
}

// again clears what a try has left that came too late: its record of a waiting
// change, and the objects of one that were added without effect.
func (ap *applying) again() error {
	if ap.a.Confirm == 0 {
		return nil
	}
	for range maxTries {
		sit, err := examine(ap.m, ap.w.store, ap.wanted.skip)
		if err == nil && sit.pending != nil {
			err = ap.m.takeDown(sit.live, sit.marker, sit.pending.Install && !sit.settled.Exists)
		}
		if errors.Is(err, nftables.ErrGeneration) || errors.Is(err, nftables.ErrInterrupted) {
			continue
		}
		return errors.Join(err, ap.w.remove(pendingFile))
	}
	return &BusyError{maxTries}
}

// applying is one run of Apply.
type applying struct {
	ctx    context.Context
	o      Options
	a      ApplyOptions
	m      Machine
	w      *writer
	wanted *wanted
	allow  []cutSpec
	out    *Applied
	// first is the plan from before the table was made to warm up connection
	// tracking; nil when it was not.
	first *Plan
	// begun is set once the journal says that something begins, so that it
	// also says how that ended.
	begun bool
}

// try plans once and commits. It fails with nftables.ErrGeneration when the
// machine's ruleset changed in between.
func (ap *applying) try() error {
	ap.a.say("reading the live table")
	sit, err := examine(ap.m, ap.w.store, ap.wanted.skip)
	if err != nil {
		return err
	}
	plan, err := makePlan(ap.m, sit, ap.wanted, ap.allow)
	if err != nil {
		return err
	}
	if ap.first != nil {
		// The warm-up table is no change that anybody planned or made.
		plan.Install, plan.Changes, plan.Diff = true, ap.first.Changes, ap.first.Diff
	} else if given := ap.a.Plan; given != nil {
		used, err := ap.w.planUsed(given.ID)
		if err != nil {
			return err
		}
		if err := given.stale(plan, used); err != nil {
			return err
		}
		plan.ID = given.ID
	}
	ap.out.Plan = plan
	if denied := slices.DeleteFunc(slices.Clone(plan.Cuts), func(c Cut) bool { return c.Allowed }); len(denied) > 0 {
		return &CutError{denied}
	}
	if plan.Empty() {
		return ap.adopt(sit)
	}
	if plan.Install && ap.a.WarmUp > 0 && ap.first == nil {
		warmed, err := ap.warmUp(sit)
		if warmed {
			ap.first = plan
		}
		if err != nil {
			return err
		}
		if warmed {
			return nftables.ErrGeneration // the table is another one now: read it again
		}
	}
	if ap.first != nil && ap.a.Confirm > 0 && sit.live.Exists {
		// A change that waits falls back to what was there before: no table. What
		// connection tracking has learnt stays with it.
		ap.coolDown()
		return nftables.ErrGeneration
	}
	if err := ap.prepareState(sit); err != nil {
		return err
	}
	if ap.a.Confirm > 0 {
		return ap.commitPending(sit, plan.Install)
	}
	return ap.commit(sit)
}

// prepareState writes everything that has to be on disk once the kernel has
// changed. Whatever can fail, fails here.
func (ap *applying) prepareState(sit *situation) error {
	if err := ap.w.writeNext(ap.record(), ap.wanted.text); err != nil {
		return err
	}
	if err := ap.w.reserve(); err != nil {
		return err
	}
	if ap.begun {
		return nil
	}
	if err := ap.log("begin", sit, ""); err != nil {
		return err
	}
	ap.begun = true
	return nil
}

func (ap *applying) record() *record {
	return ap.wanted.record(ap.w, ap.m.Now().Wall)
}

func (w *wanted) record(wr *writer, now time.Time) *record {
	sources := map[string]string{}
	for name, src := range w.Sources {
		sources[name] = string(src)
	}
	return &record{
		Version: recordVersion, ID: wr.event.ID, When: now.UTC(), User: wr.event.User,
		Policy: w.Policy.Name, Point: w.Point.Name, Path: w.Path,
		PolicyDigest: w.policyDigest, LockDigest: w.lockDigest, RulesetDigest: w.rulesetDigest,
		Sources: sources, Lock: string(w.Lock),
		Ruleset: known(savedRuleset{w.ruleset}), Guards: known(saveGuards(w.Policy, w.Point)),
	}
}

// log writes a journal line about this apply.
func (ap *applying) log(what string, sit *situation, note string) error {
	e := Event{What: what, Policy: ap.wanted.Policy.Name, Point: ap.wanted.Point.Name, To: ap.wanted.rulesetDigest, Note: note}
	if sit != nil && sit.applied != nil {
		e.From = sit.applied.RulesetDigest
	}
	if ap.a.Plan != nil {
		e.Plan = ap.a.Plan.ID
	}
	if ap.out.Pending != nil {
		e.Token = ap.out.Pending.Token
	}
	return ap.w.log(ap.m.Now().Wall, e)
}

// undo clears what a failed apply wrote before it failed, and passes the error
// on. After a commit there is nothing to clear.
func (ap *applying) undo(err error) error {
	if ap.out.Changed {
		return err
	}
	if ap.first != nil {
		ap.coolDown()
	}
	_ = ap.again()
	_ = ap.w.remove(pendingFile)
	_ = ap.w.removeNext()
	if ap.begun {
		_ = ap.log("failed", nil, firstLine(err.Error()))
	}
	return err
}

// adopt records the policy where the kernel already holds its ruleset: the
// command that put it there was killed before it could, or the policy changed
// in a way that changes nothing in the packet filter.
func (ap *applying) adopt(sit *situation) error {
	a := sit.applied
	if a != nil && a.Policy == ap.wanted.Policy.Name && a.Point == ap.wanted.Point.Name &&
		a.PolicyDigest == ap.wanted.policyDigest && a.LockDigest == ap.wanted.lockDigest && a.RulesetDigest == ap.wanted.rulesetDigest {
		return nil
	}
	if err := ap.prepareState(sit); err != nil {
		return err
	}
	if err := ap.w.promoteNext(); err != nil {
		return err
	}
	return ap.log("done", sit, "the machine was as the policy asks; recorded")
}

// commit makes the change for good.
func (ap *applying) commit(sit *situation) error {
	ap.a.say("committing")
	markForReplacement(sit.live, ap.out.Plan.Changes)
	if err := ap.m.replace(sit.live, ap.wanted.want, ap.wanted.ruleset); err != nil {
		return kernelError("change", err)
	}
	ap.out.Changed = true
	ap.a.say("verifying")
	verr := verify(ap.m, ap.wanted.target)
	note := ""
	if verr != nil {
		note = firstLine(verr.Error())
	}
	if err := inForce(errors.Join(ap.w.promoteNext(), ap.log("done", sit, note))); err != nil {
		return errors.Join(verr, err)
	}
	return verr
}

// markForReplacement makes sets be loaded anew that a sample found to be wrong:
// their definition, digest and count look right, so that nothing else would.
func markForReplacement(live *nftables.Snapshot, changes []Change) {
	for _, ch := range changes {
		if ch.Kind != "set" || ch.What != "elements" {
			continue
		}
		if o := live.Object("set", ch.Object); o != nil {
			o.Comment += " (changed)"
		}
	}
}

// inForce marks a state error as one that came after the commit.
func inForce(err error) error {
	var s *StateError
	if errors.As(err, &s) {
		s.InForce = true
		return s
	}
	return err
}

// verify reads the table back and compares it with what was asked for, which
// the target has in canonical form. Large sets are held to their digest, their
// count and a sample, also those that a plan reads whole: the kernel took their
// elements as one transaction with all the rest.
func verify(m Reader, t *target) error {
	live, err := m.Dump(t.large)
	if err != nil {
		return fmt.Errorf("the change is in force but could not be verified: %w", err)
	}
	found, err := differences(m, settle(live), t, verifySize)
	if err != nil {
		return fmt.Errorf("the change is in force but could not be verified: %w", err)
	}
	if len(found) > 0 {
		return &VerifyError{found}
	}
	return nil
}

// commitPending makes a change that falls back unless it is confirmed.
func (ap *applying) commitPending(sit *situation, install bool) error {
	now := ap.m.Now()
	p := Pending{
		Token: randomID(), Policy: ap.wanted.Policy.Name, Point: ap.wanted.Point.Name,
		Deadline: now.Wall.Add(ap.a.Confirm).UTC(), DeadlineBoot: int64(now.Boot + ap.a.Confirm), BootID: now.BootID,
		Install: install, Session: os.Getenv("SSH_CONNECTION"),
	}
	h, err := hang(ap.wanted.ruleset, baseChains(sit.live), p.Token, markerNote(p.Policy, p.Deadline), ap.a.Confirm)
	if err != nil {
		return err
	}
	p.Chains = h.chains()
	// The guard reads its orders from the file, and is armed before the change.
	if err := ap.w.writeJSON(pendingFile, p); err != nil {
		return err
	}
	ap.a.say("arming the guard")
	if p.GuardPID, err = startGuard(ap.o, p.Token); err != nil {
		return err
	}
	if err := ap.w.writeJSON(pendingFile, p); err != nil {
		return err
	}
	ap.a.say("committing")
	if err := ap.m.hang(sit.live, h); err != nil {
		return kernelError("change", err)
	}
	ap.out.Changed = true
	ap.out.Pending = &p
	ap.a.say("verifying")
	verr := ap.verifyPending(h)
	return errors.Join(verr, inForce(ap.log("pending", sit, "")))
}

// verifyPending reads back what was added beside the live ruleset.
func (ap *applying) verifyPending(h *hanging) error {
	t := newTarget(h.added, decisions{})
	skip := func(set string, size int) bool { return ap.wanted.skip(strings.TrimPrefix(set, newPrefix), size) }
	failed := func(err error) error {
		return fmt.Errorf("the change is in force until %s but could not be verified: %w", ap.out.Pending.Deadline.Format(time.RFC3339), err)
	}
	live, err := ap.m.Dump(skip)
	if err != nil {
		return failed(err)
	}
	if t.want, err = ap.m.Desired(h.added, skip); err != nil {
		return failed(err)
	}
	added := func(s *nftables.Snapshot) *nftables.Snapshot {
		out := &nftables.Snapshot{Exists: s.Exists}
		for _, o := range s.Objects {
			// The elements of the maps differ by the time that has passed.
			if strings.HasPrefix(o.Name, newPrefix) {
				out.Objects = append(out.Objects, o)
			}
		}
		return out
	}
	t.want = added(t.want)
	differences, err := compare(ap.m, added(live), t)
	if err != nil {
		return failed(err)
	}
	if len(differences) > 0 {
		return &VerifyError{differences}
	}
	return nil
}

func firstLine(s string) string {
	for i := range s {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}
