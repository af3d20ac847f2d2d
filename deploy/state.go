package deploy

import "time"

// Holder is who holds the lock of a state directory.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// Event is one line of the journal.
type Event struct {
	Time    time.Time `json:"time"`
	ID      string    `json:"id"`    // the same for all events of one command
	What    string    `json:"event"` // "begin", "done", "failed", "pending", "confirmed", "rolled-back", "expired", "recovered"
	Command string    `json:"command,omitempty"`
	Policy  string    `json:"policy,omitempty"`
	Point   string    `json:"point,omitempty"`
	From    string    `json:"from,omitempty"` // digest of the ruleset before
	To      string    `json:"to,omitempty"`   // digest of the ruleset after
	Plan    string    `json:"plan,omitempty"` // the saved plan that was used
	PID     int       `json:"pid,omitempty"`
	User    string    `json:"user,omitempty"`
	Note    string    `json:"note,omitempty"`
}
