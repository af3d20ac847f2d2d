package deploy

import (
	"fmt"
	"time"
)

// Status is the answer of Drift.
type Status string

const (
	InSync       Status = "in-sync"       // the machine means what it should
	Drifted      Status = "drift"         // it does not
	NeverApplied Status = "never-applied" // neither record nor table: nothing was applied here
)

// DriftReport is what Drift found.
type DriftReport struct {
	Status Status `json:"status"`
	Policy string `json:"policy,omitempty"`
	Point  string `json:"point,omitempty"`
	// Against is "policy" or "applied": what the machine was compared with.
	Against string `json:"against"`
	// Differences in policy terms, in the order of the table.
	Differences []Change `json:"differences"`
	// Pending is set while a change waits for confirmation; the comparison is
	// then with what is in force once it is taken back.
	Pending *Pending `json:"pending,omitempty"`
	// Expired is set when an unconfirmed change has run out and its objects are
	// still there; the next apply removes them.
	Expired bool `json:"expired,omitempty"`
	// Notices are things worth knowing that are no drift: that the policy has
	// changed since it was applied, that an apply was interrupted.
	Notices []string `json:"notices,omitempty"`
}

// Drift compares the machine with what the policy asks, or, when w is nil, with
// what was applied last. It writes nothing, not even a lock: all it can reach
// of the machine is a Reader. It fails with ErrNothingApplied when w is nil,
// there is a table, and no record says what it should hold.
func Drift(o Options, w *Wanted) (*DriftReport, error) {
	return drift(o.machine(), o.store(), w)
}

func drift(m Reader, s store, w *Wanted) (*DriftReport, error) {
	report := &DriftReport{Against: "applied", Differences: []Change{}}
	var candidates []*target
	var built *wanted
	if w != nil {
		var err error
		if built, err = w.build(); err != nil {
			return nil, err
		}
		report.Against, report.Policy, report.Point = "policy", w.Policy.Name, w.Point.Name
		candidates = []*target{built.target}
	} else {
		records, err := s.records(appliedFile, nextFile)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			t, err := r.target()
			if err != nil {
				return nil, err
			}
			candidates = append(candidates, t)
		}
	}
	sit, err := examine(m, s, func(set string, size int) bool {
		for _, t := range candidates {
			if t.skip(set, size) {
				return true
			}
		}
		return len(candidates) == 0
	})
	if err != nil {
		return nil, err
	}
	report.Notices = sit.notices()
	switch {
	case sit.waiting:
		report.Pending = sit.pending
		report.Notices = append(report.Notices, fmt.Sprintf("a change to policy %s waits for confirmation; this compares what is in force once it is taken back", sit.pending.Policy))
	case sit.expired:
		report.Expired = true
		report.Differences = append(report.Differences, sit.expiredChange())
	}
	applied, err := sit.believed(m)
	if err != nil {
		return nil, err
	}
	var t *target
	switch {
	case applied == nil && !sit.settled.Exists:
		report.Status = NeverApplied
		return report, nil
	case w == nil && applied == nil:
		return nil, ErrNothingApplied
	case w == nil:
		report.Policy, report.Point = applied.Policy, applied.Point
		if t, err = applied.target(); err != nil {
			return nil, err
		}
	default:
		t = built.target
	}
	differences, err := compare(m, sit.settled, t)
	if err != nil {
		return nil, err
	}
	if w != nil && applied != nil && applied.RulesetDigest != built.rulesetDigest {
		var moved int
		if differences, moved, err = withoutMoved(m, sit, applied, differences); err != nil {
			return nil, err
		}
		if moved > 0 {
			report.Notices = append(report.Notices, fmt.Sprintf("%d comments name the lines that their statements had when the policy was applied at %s; xfwc apply renews them",
				moved, applied.When.Format(time.RFC3339)))
		}
	}
	report.Differences = append(report.Differences, differences...)
	report.Status = InSync
	if len(report.Differences) == 0 {
		return report, nil
	}
	report.Status = Drifted
	if w == nil || applied == nil || applied.RulesetDigest == built.rulesetDigest {
		return report, nil
	}
	when := applied.When.Format(time.RFC3339)
	if applied.Policy == w.Policy.Name && applied.Point == w.Point.Name {
		report.Notices = append(report.Notices, fmt.Sprintf("the policy asks for another ruleset than it did when it was applied at %s: the differences include what is not applied yet, which xfwc drift --applied leaves out", when))
		return report, nil
	}
	report.Notices = append(report.Notices, fmt.Sprintf("policy %s for point %s was applied here at %s", applied.Policy, applied.Point, when))
	ever, err := s.everApplied(w.Policy.Name, w.Point.Name)
	if err != nil {
		return nil, err
	}
	if !ever {
		report.Status = NeverApplied
	}
	return report, nil
}

// withoutMoved leaves out the comments that differ only because the policy's
// statements stand on other lines than when it was applied: a line more in the
// policy is no drift of the machine. A comment that somebody changed on the
// machine differs from what was applied, too, and stays.
func withoutMoved(m Reader, sit *situation, applied *record, differences []Change) (kept []Change, moved int, err error) {
	type place struct {
		kind, object string
		position     int
	}
	was, err := applied.target()
	if err != nil {
		return nil, 0, err
	}
	since, err := compare(m, sit.settled, was)
	if err != nil {
		return nil, 0, err
	}
	byHand := map[place]bool{}
	for _, c := range since {
		byHand[place{c.Kind, c.Object, c.Position}] = true
	}
	for _, c := range differences {
		if c.What == "comment" && !byHand[place{c.Kind, c.Object, c.Position}] {
			moved++
			continue
		}
		kept = append(kept, c)
	}
	return kept, moved, nil
}

// believed is the record of what was applied last: that of an unfinished
// command when the kernel holds its ruleset, because then only the record was
// not finished.
func (sit *situation) believed(m Reader) (*record, error) {
	if sit.next == nil || sit.waiting || sit.expired {
		return sit.applied, nil
	}
	t, err := sit.next.target()
	if err != nil {
		return nil, err
	}
	if t.want, err = m.Desired(t.ruleset, t.skip); err != nil {
		return nil, kernelError("prepare", err)
	}
	if judgesAs(sit.settled, t.want) {
		return sit.next, nil
	}
	return sit.applied, nil
}
