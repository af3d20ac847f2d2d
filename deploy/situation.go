package deploy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"xfwc/backends/nftables"
)

// situation is what a machine and its state directory hold, read without
// changing either. What the kernel shows decides; the state only adds what the
// kernel cannot tell.
type situation struct {
	now Moment
	// live is the table as it is; settled is it without the objects of a waiting
	// change: what is in force once the change is taken back.
	live, settled *nftables.Snapshot
	// applied is the last ruleset that an apply finished; nil when none did.
	applied *record
	// next is what an unfinished command wanted to put in force.
	next *record
	// pending is the change that waits, or that waited and left its objects.
	pending *Pending
	// waiting: pending is in force now. expired: its time is over, and its
	// objects are still there.
	waiting, expired bool
	// stray is a pending.json whose change is not in the kernel: the command
	// was killed before its commit, or after the one that ended the change, or
	// the machine restarted.
	stray *Pending
	// marker is the token of the marker in the kernel; "" when there is none.
	marker string
}

// examine reads state and kernel. skip leaves large sets unread.
func examine(r Reader, s store, skip func(set string, size int) bool) (*situation, error) {
	sit := &situation{now: r.Now()}
	var err error
	if sit.applied, err = s.readRecord(appliedFile); err != nil {
		return nil, err
	}
	if sit.next, err = s.readRecord(nextFile); err != nil {
		return nil, err
	}
	pending, err := s.readPending()
	if err != nil {
		return nil, err
	}
	// The maps of a waiting change are always read: whether they have elements
	// says whether it is in force.
	skipMost := func(set string, size int) bool { return !strings.HasPrefix(set, pendingPrefix) && skip(set, size) }
	if sit.live, err = r.Dump(skipMost); err != nil {
		return nil, kernelError("read", err)
	}
	sit.settled = settle(sit.live)
	sit.judge(pending)
	return sit, nil
}

// judge decides whether a change waits.
func (sit *situation) judge(recorded *Pending) {
	var left, elements, dispatches bool
	for i := range sit.live.Objects {
		o := &sit.live.Objects[i]
		if o.Kind == "chain" && slices.ContainsFunc(o.Items, isHead) {
			left, dispatches = true, true
		}
		if !waits(o.Name) {
			continue
		}
		left = true
		if o.Kind == "counter" && strings.HasPrefix(o.Name, pendingPrefix) {
			sit.marker = strings.TrimPrefix(o.Name, pendingPrefix)
		}
		// An element that has run out is not in the dump.
		if o.Kind == "set" && strings.HasPrefix(o.Name, pendingPrefix) && len(o.Items) > 0 {
			elements = true
		}
	}
	inForce := elements && dispatches && sit.marker != ""
	if !left {
		sit.stray = recorded
		return
	}
	if recorded != nil && (sit.marker == "" || recorded.Token == sit.marker) {
		sit.pending = recorded
		over := recorded.BootID == sit.now.BootID && sit.now.Boot >= time.Duration(recorded.DeadlineBoot)
		sit.waiting = inForce && !over
	} else {
		// The state is gone or is another change's: the kernel still says
		// whether one is in force, and its marker until when.
		sit.stray = recorded
		sit.pending = sit.fromMarker()
		sit.waiting = inForce
	}
	sit.expired = !sit.waiting
}

// fromMarker tells what can be known of a waiting change from the kernel.
func (sit *situation) fromMarker() *Pending {
	p := &Pending{Token: sit.marker, BootID: sit.now.BootID, Install: len(sit.settled.Objects) == 0}
	for _, o := range sit.live.Objects {
		if o.Kind == "counter" && o.Name == markerName(sit.marker) {
			p.Policy, p.Deadline = parseMarkerNote(o.Note)
		}
		if o.Kind == "set" && strings.HasPrefix(o.Name, pendingPrefix) {
			p.Chains = append(p.Chains, strings.TrimPrefix(o.Name, pendingPrefix))
		}
	}
	return p
}

// markerNote is the comment of the marker, for whoever lists the table.
func markerNote(policy string, deadline time.Time) string {
	if len(policy) > 60 {
		policy = policy[:60]
	}
	return "until " + deadline.UTC().Format(time.RFC3339) + " policy " + policy
}

func parseMarkerNote(note string) (policy string, deadline time.Time) {
	rest, ok := strings.CutPrefix(note, "until ")
	if !ok {
		return "", time.Time{}
	}
	stamp, policy, _ := strings.Cut(rest, " policy ")
	deadline, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return policy, time.Time{}
	}
	return policy, deadline
}

// settle is the table without the objects of a waiting change.
func settle(live *nftables.Snapshot) *nftables.Snapshot {
	out := &nftables.Snapshot{Exists: live.Exists, Generation: live.Generation}
	for _, o := range live.Objects {
		if waits(o.Name) {
			continue
		}
		if o.Kind == "chain" {
			if isCreated(live, &o) {
				continue
			}
			o.Items = slices.DeleteFunc(slices.Clone(o.Items), func(i nftables.Item) bool { return belongs(&o, i) })
		}
		out.Objects = append(out.Objects, o)
	}
	if len(out.Objects) == 1 && len(live.Objects) > 1 {
		// Nothing but the table itself is left: the change made that as well.
		return &nftables.Snapshot{Generation: live.Generation}
	}
	return out
}

// notices say in words what a killed command or a restart left behind.
func (sit *situation) notices() []string {
	var out []string
	switch {
	case sit.stray != nil && sit.stray.BootID != sit.now.BootID:
		out = append(out, fmt.Sprintf("a change to policy %s waited for confirmation when the machine restarted; it is not in force", sit.stray.Policy))
	case sit.stray != nil:
		out = append(out, fmt.Sprintf("a change to policy %s that was to wait for confirmation is not in force; the next apply clears its record", sit.stray.Policy))
	}
	if sit.next != nil && !sit.waiting {
		out = append(out, fmt.Sprintf("an apply of policy %s on %s did not finish; what the kernel holds is shown here, and the next apply clears the record", sit.next.Policy, sit.next.When.Format(time.RFC3339)))
	}
	return out
}

// expiredChange is the leftover of an unconfirmed change as a difference.
func (sit *situation) expiredChange() Change {
	p := sit.pending
	end := " ran out"
	switch {
	case p.BootID == sit.now.BootID && sit.now.Boot < time.Duration(p.DeadlineBoot):
		// Killed before its commit, or half taken back.
		end = " is not in force"
	case !p.Deadline.IsZero():
		end += " at " + p.Deadline.UTC().Format(time.RFC3339)
	}
	policy := p.Policy
	if policy == "" {
		policy = "unknown"
	}
	return Change{
		Class: Foreign, Kind: "table", Object: nftables.TableName, What: "expired",
		Text: fmt.Sprintf("an unconfirmed change to policy %s%s; its objects are still in the table, without effect", policy, end),
		Step: fmt.Sprintf("remove the objects of the unconfirmed change to policy %s", policy),
	}
}

// kernelError says what a failure of the kernel's side means and what to do.
func kernelError(op string, err error) error {
	if err == nil || errors.Is(err, nftables.ErrGeneration) {
		return err
	}
	return fmt.Errorf("cannot %s table inet %s: %w", op, nftables.TableName, err)
}
