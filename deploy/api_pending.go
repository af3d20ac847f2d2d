package deploy

import (
	"context"
	"errors"
)

type Machine interface{}

var errNotYet = errors.ErrUnsupported

// MakePlan reads the live table and says what Apply would do.
func MakePlan(o Options, w *Wanted) (*Plan, error) { return nil, errNotYet }

// Save writes the plan to a file; LoadPlan reads it.
func (p *Plan) Save(path string) error    { return errNotYet }
func LoadPlan(path string) (*Plan, error) { return nil, errNotYet }

// Apply puts the policy in force.
func Apply(ctx context.Context, o Options, w *Wanted, a ApplyOptions) (*Applied, error) {
	return nil, errNotYet
}

// Confirm keeps the waiting change; token "" is whatever waits.
func Confirm(o Options, token string) (*Confirmed, error) { return nil, errNotYet }

// Rollback takes a waiting change back, or goes back to the previous ruleset.
func Rollback(o Options) (*RolledBack, error) { return nil, errNotYet }

// Drift compares the machine with the policy, or with what was applied when w is nil.
func Drift(o Options, w *Wanted) (*DriftReport, error) { return nil, errNotYet }

// Guard is the body of the hidden command `xfwc guard --state-dir DIR --token TOKEN`.
func Guard(o Options, token string) error { return errNotYet }
