package deploy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNothingPending is returned by Confirm when no change waits, and none has
// expired since the last apply.
var ErrNothingPending = errors.New("no change waits for confirmation: run xfwc apply --confirm first")

// ErrNothingApplied is returned by Drift and Rollback where they need what was
// applied and the state directory holds nothing.
var ErrNothingApplied = errors.New("nothing was applied here: run xfwc apply first")

// ErrNoPrevious is returned by Rollback when there is nothing to go back to.
var ErrNoPrevious = errors.New("there is no earlier ruleset to go back to: only one was ever applied here")

// LockedError says that another process is changing this machine.
type LockedError struct {
	Path   string
	Holder Holder // zero when the holder cannot be read
}

func (e *LockedError) Error() string {
	who := "another xfwc"
	if e.Holder.PID != 0 {
		who = fmt.Sprintf("xfwc %s (process %d, since %s)", e.Holder.Command, e.Holder.PID, e.Holder.Since.Format(time.RFC3339))
	}
	return who + " is changing this machine: wait until it ends; it holds " + e.Path
}

// PendingError says that a change waits for confirmation, so that nothing else
// can be planned or applied.
type PendingError struct{ Pending Pending }

func (e *PendingError) Error() string {
	left := "until " + e.Pending.Deadline.Format(time.RFC3339)
	return "a change waits for confirmation " + left + ": run xfwc confirm to keep it or xfwc rollback to take it back"
}

// ExpiredError says that a change can no longer be confirmed, and why.
type ExpiredError struct {
	Policy   string
	Deadline time.Time
	Reason   string // "its time ran out", "the machine restarted", …
	Gone     bool   // the whole table is gone: no policy is in force
}

func (e *ExpiredError) Error() string {
	now := "the earlier policy is in force"
	if e.Gone {
		now = "no policy is in force"
	}
	return fmt.Sprintf("the change to policy %s can no longer be confirmed: %s; %s. Run xfwc apply again", e.Policy, e.Reason, now)
}

// TokenError says that the token given to Confirm is not the waiting change's.
type TokenError struct{ Given string }

func (e *TokenError) Error() string {
	return "the token " + e.Given + " does not belong to the change that waits: use the token that xfwc apply --confirm printed"
}

// StaleError says which of the things that a plan was made for have changed.
type StaleError struct{ What []string }

func (e *StaleError) Error() string {
	return "the plan is out of date: " + strings.Join(e.What, "; ") + ". Run xfwc plan again"
}

// CutError lists the sessions that the new policy would deny.
type CutError struct{ Sessions []Cut }

func (e *CutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the new policy would cut %d session(s) of this machine:", len(e.Sessions))
	const shown = 20
	for i, c := range e.Sessions {
		if i == shown {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Sessions)-shown)
			break
		}
		b.WriteString("\n  ")
		b.WriteString(c.String())
	}
	b.WriteString("\nAllow them in the policy, or accept the loss with --allow-cut ADDRESS, ADDRESS:PORT or ssh")
	return b.String()
}

// StateError says that the state directory cannot be read or written.
// InForce is set when the kernel had been changed before.
type StateError struct {
	Op      string // "write", "read", "create", "lock"
	Path    string
	InForce bool
	Err     error
}

func (e *StateError) Error() string {
	s := fmt.Sprintf("state: cannot %s %s: %v. ", e.Op, e.Path, e.Err)
	if e.Op == "read" && !e.InForce {
		return s + "Make it readable, or remove it and run xfwc apply, which writes it anew"
	}
	if e.InForce {
		return s + "The kernel was changed as asked; free space or mend the directory, then run xfwc apply to record it"
	}
	return s + "The kernel was not touched; mend the directory or give another with --state-dir"
}

func (e *StateError) Unwrap() error { return e.Err }

// VerifyError says that the kernel accepted a change but does not hold what was
// asked for.
type VerifyError struct{ Differences []Change }

func (e *VerifyError) Error() string {
	var b strings.Builder
	b.WriteString("the kernel took the change but holds something else:")
	for _, c := range e.Differences {
		b.WriteString("\n  ")
		b.WriteString(c.Text)
	}
	b.WriteString("\nRun xfwc plan to see the difference, and xfwc rollback to go back")
	return b.String()
}

// BusyError says that the ruleset of the machine kept changing while Apply
// tried to change it.
type BusyError struct{ Tries int }

func (e *BusyError) Error() string {
	return fmt.Sprintf("the packet filter of this machine changed under each of %d tries: stop what changes it, then run xfwc apply again", e.Tries)
}

// PolicyError says that a policy cannot be put in force at a point.
type PolicyError struct{ Text string }

func (e *PolicyError) Error() string { return e.Text }
