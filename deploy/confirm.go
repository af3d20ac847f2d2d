package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"xfwc/backends/nftables"
)

// Pending is a change that waits for confirmation.
type Pending struct {
	Token  string `json:"token"`
	Policy string `json:"policy"`
	Point  string `json:"point"`
	// Deadline by the wall clock, for people. What counts is the boot clock.
	Deadline time.Time `json:"deadline"`
	// DeadlineBoot is the deadline by CLOCK_BOOTTIME, in nanoseconds.
	DeadlineBoot int64 `json:"deadline_boot"`
	// BootID is the boot that DeadlineBoot belongs to.
	BootID string `json:"boot_id"`
	// Install is set when the change made the table, so that taking it back
	// means deleting the table.
	Install bool `json:"install"`
	// Chains are the base chains that carry a dispatch rule.
	Chains []string `json:"chains"`
	// Session is the SSH_CONNECTION of who applied, or "".
	Session string `json:"session,omitempty"`
	// GuardPID is the guard process.
	GuardPID int `json:"guard_pid,omitempty"`
}

// Confirmed is what Confirm did.
type Confirmed struct {
	Policy string `json:"policy"`
	Point  string `json:"point"`
	// Notices: that the confirmation came over the session that applied, which
	// proves nothing about new ones.
	Notices []string `json:"notices,omitempty"`
}

// RolledBack is what Rollback did.
type RolledBack struct {
	// Pending is set when a waiting change was taken back; otherwise the
	// previous ruleset was put in force.
	Pending bool `json:"pending"`
	// Expired is set when the change had run out before, and only its objects
	// were removed.
	Expired bool `json:"expired,omitempty"`
	// From and To are policy names; To is "" when no table is left.
	From string `json:"from"`
	To   string `json:"to"`
	// Changes that were made to get there, when it was not a waiting change.
	Changes []Change `json:"changes,omitempty"`
}

// Confirm keeps the change that waits. token "" is whatever waits; another
// token than the change's is refused with a *TokenError, and a change that has
// run out or was taken back with an *ExpiredError.
func Confirm(o Options, token string) (*Confirmed, error) {
	m := o.machine()
	w, err := openWriter(o, m.Now().Wall)
	if err != nil {
		return nil, err
	}
	defer w.close()
	for range maxTries {
		out, err := confirm(m, w, token)
		if errors.Is(err, nftables.ErrGeneration) || errors.Is(err, nftables.ErrInterrupted) {
			continue // the change may have ended meanwhile: look again
		}
		return out, err
	}
	return nil, &BusyError{maxTries}
}

func confirm(m Machine, w *writer, token string) (*Confirmed, error) {
	next, err := w.readRecord(nextFile)
	if err != nil {
		return nil, err
	}
	var t *target
	skip := func(string, int) bool { return true }
	if next != nil {
		if t, err = next.target(); err != nil {
			return nil, err
		}
		skip = t.skip
	}
	sit, err := examine(m, w.store, skip)
	if err != nil {
		return nil, err
	}
	if !sit.waiting {
		return nil, w.whyNot(sit, token)
	}
	p := sit.pending
	if token != "" && token != p.Token {
		return nil, &TokenError{token}
	}
	if next == nil {
		return nil, &StateError{Op: "read", Path: w.path(nextFile + ".json"), Err: errors.New("the ruleset that waits is not recorded; run xfwc rollback, then apply again")}
	}
	if t.want, err = m.Desired(t.ruleset, t.skip); err != nil {
		return nil, kernelError("prepare", err)
	}
	if err := w.reserve(); err != nil {
		return nil, err
	}
	if err := m.replace(sit.live, t.want, t.ruleset); err != nil {
		return nil, kernelError("change", err)
	}
	out := &Confirmed{Policy: p.Policy, Point: p.Point}
	if s := os.Getenv("SSH_CONNECTION"); s != "" && s == p.Session {
		out.Notices = append(out.Notices, "you confirmed over the session that applied: that an open session goes on says nothing about new ones, so open a second one to be sure")
	}
	verr := verify(m, t)
	event := Event{What: "confirmed", Policy: p.Policy, Point: p.Point, To: next.RulesetDigest, Token: p.Token}
	serr := inForce(errors.Join(w.promoteNext(), w.remove(pendingFile), w.log(m.Now().Wall, event)))
	return out, errors.Join(verr, serr)
}

// whyNot says what became of the change that should be confirmed.
func (w *writer) whyNot(sit *situation, token string) error {
	if sit.expired {
		return &ExpiredError{Policy: sit.pending.Policy, Deadline: sit.pending.Deadline, Reason: "its time ran out at " + sit.pending.Deadline.Format(time.RFC3339)}
	}
	if p := sit.stray; p != nil {
		reason := "its time ran out"
		switch {
		case p.BootID != sit.now.BootID:
			reason = "the machine restarted"
		case !sit.live.Exists:
			reason = "somebody deleted table inet " + nftables.TableName
		case int64(sit.now.Boot) < p.DeadlineBoot:
			reason = "somebody removed it from table inet " + nftables.TableName
		}
		return &ExpiredError{Policy: p.Policy, Deadline: p.Deadline, Reason: reason, Gone: !sit.live.Exists}
	}
	events, err := w.readJournal()
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(events) {
		if e.Token == "" || token != "" && e.Token != token {
			continue
		}
		when := e.Time.Format(time.RFC3339)
		switch e.What {
		case "expired":
			return &ExpiredError{Policy: e.Policy, Reason: "its time ran out, and it was taken back at " + when}
		case "rolled-back":
			return &ExpiredError{Policy: e.Policy, Reason: "it was taken back at " + when}
		case "confirmed":
			return fmt.Errorf("the change to policy %s was confirmed at %s: nothing is left to confirm", e.Policy, when)
		}
		break
	}
	if token != "" {
		return &TokenError{token}
	}
	return ErrNothingPending
}

// Rollback takes the waiting change back. When none waits it puts the ruleset
// in force that the last apply replaced; after that there is no earlier one
// left, and a second Rollback fails with ErrNoPrevious.
func Rollback(o Options) (*RolledBack, error) {
	m := o.machine()
	w, err := openWriter(o, m.Now().Wall)
	if err != nil {
		return nil, err
	}
	defer w.close()
	for range maxTries {
		out, err := rollback(m, w)
		if errors.Is(err, nftables.ErrGeneration) || errors.Is(err, nftables.ErrInterrupted) {
			continue
		}
		return out, err
	}
	return nil, &BusyError{maxTries}
}

func rollback(m Machine, w *writer) (*RolledBack, error) {
	sit, err := examine(m, w.store, func(string, int) bool { return true })
	if err != nil {
		return nil, err
	}
	if sit.pending != nil {
		out := &RolledBack{Pending: true, Expired: sit.expired, From: sit.pending.Policy}
		if sit.applied != nil && !sit.pending.Install {
			out.To = sit.applied.Policy
		}
		what := "rolled-back"
		if sit.expired {
			what = "expired"
		}
		return out, w.takeDown(m, sit, what)
	}
	// What a killed command left decides which ruleset is the previous one.
	if _, err := w.recover(m); err != nil {
		return nil, err
	}
	applied, err := w.readRecord(appliedFile)
	if err != nil {
		return nil, err
	}
	if applied == nil {
		return nil, ErrNothingApplied
	}
	previous, err := w.readRecord(previousFile)
	if err != nil {
		return nil, err
	}
	if previous == nil {
		return nil, ErrNoPrevious
	}
	t, err := previous.target()
	if err != nil {
		return nil, err
	}
	if sit, err = examine(m, w.store, t.skip); err != nil {
		return nil, err
	}
	changes, err := compare(m, sit.settled, t)
	if err != nil {
		return nil, err
	}
	if err := w.writeNext(previous, t.ruleset.Text()); err != nil {
		return nil, err
	}
	if err := w.reserve(); err != nil {
		return nil, err
	}
	event := Event{What: "begin", Policy: previous.Policy, Point: previous.Point, From: applied.RulesetDigest, To: previous.RulesetDigest}
	if err := w.log(m.Now().Wall, event); err != nil {
		return nil, err
	}
	if err := m.replace(sit.live, t.want, t.ruleset); err != nil {
		_ = w.removeNext()
		return nil, kernelError("change", err)
	}
	verr := verify(m, t)
	event.What = "rolled-back"
	serr := inForce(errors.Join(
		w.renameRecord(nextFile, appliedFile),
		w.remove(previousFile+".nft", previousFile+".json"),
		w.log(m.Now().Wall, event),
	))
	return &RolledBack{From: applied.Policy, To: previous.Policy, Changes: changes}, errors.Join(verr, serr)
}

// takeDown removes a waiting change from the kernel and its record from the
// state; what is the journal's word for why.
func (w *writer) takeDown(m Machine, sit *situation, what string) error {
	p := sit.pending
	// The kernel first: with a disk that takes nothing the machine still falls
	// back, and the record is cleared later.
	if err := m.takeDown(sit.live, sit.marker, p.Install && !sit.settled.Exists); err != nil {
		return kernelError("change", err)
	}
	event := Event{What: what, Policy: p.Policy, Point: p.Point, Token: cmp.Or(p.Token, sit.marker)}
	return inForce(errors.Join(w.remove(pendingFile), w.removeNext(), w.log(m.Now().Wall, event)))
}

// recover clears what a command left that was killed, or whose change nobody
// confirmed. It returns what it found, and a *PendingError while a change
// waits: that is not for recover to end.
func (w *writer) recover(m Machine) ([]string, error) {
	for range maxTries {
		found, err := w.recoverOnce(m)
		if errors.Is(err, nftables.ErrGeneration) || errors.Is(err, nftables.ErrInterrupted) {
			continue
		}
		return found, err
	}
	return nil, &BusyError{maxTries}
}

func (w *writer) recoverOnce(m Machine) ([]string, error) {
	next, err := w.readRecord(nextFile)
	if err != nil {
		return nil, err
	}
	skip := func(string, int) bool { return true }
	var t *target
	if next != nil {
		if t, err = next.target(); err != nil {
			return nil, err
		}
		skip = t.skip
	}
	sit, err := examine(m, w.store, skip)
	if err != nil {
		return nil, err
	}
	if sit.waiting {
		return nil, &PendingError{*sit.pending}
	}
	if sit.pending == nil && sit.stray == nil && next == nil {
		return nil, nil
	}
	found := sit.notices()
	event := Event{What: "recovered"}
	if p := cmp.Or(sit.pending, sit.stray); p != nil {
		event.Policy, event.Point, event.Token = p.Policy, p.Point, p.Token
	}
	done := false
	if next != nil {
		event.Policy, event.Point, event.To = next.Policy, next.Point, next.RulesetDigest
		if t.want, err = m.Desired(t.ruleset, t.skip); err != nil {
			return nil, kernelError("prepare", err)
		}
		done = judgesAs(sit.settled, t.want)
	}
	if sit.pending != nil {
		if !done {
			return []string{sit.expiredChange().Text}, w.takeDown(m, sit, "expired")
		}
		// Confirmed, and the objects of the change are not all gone.
		if err := m.takeDown(sit.live, sit.marker, false); err != nil {
			return nil, kernelError("change", err)
		}
	}
	if next != nil {
		if done {
			event.Note = "its ruleset is in force"
			err = w.promoteNext()
		} else {
			event.Note = "its ruleset is not in force"
			err = w.removeNext()
		}
		if err != nil {
			return nil, err
		}
		found = append(found, fmt.Sprintf("the unfinished apply of policy %s: %s", next.Policy, event.Note))
	}
	if err := w.remove(pendingFile); err != nil {
		return nil, err
	}
	return found, w.log(m.Now().Wall, event)
}
