package deploy

import "time"

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
	// From and To are policy names; To is "" when no table is left.
	From string `json:"from"`
	To   string `json:"to"`
	// Changes that were made to get there.
	Changes []Change `json:"changes,omitempty"`
}
