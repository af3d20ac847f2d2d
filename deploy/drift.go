package deploy

// Status is the answer of Drift.
type Status string

const (
	InSync       Status = "in-sync"       // the machine means what it should
	Drifted      Status = "drift"         // it does not
	NeverApplied Status = "never-applied" // neither state nor table: nothing was applied here
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
	Expired bool     `json:"expired,omitempty"`
	Notices []string `json:"notices,omitempty"`
}
