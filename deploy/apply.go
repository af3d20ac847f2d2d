package deploy

import "time"

// ApplyOptions say how Apply acts.
type ApplyOptions struct {
	// Plan binds the apply to a plan that was shown or saved: it is refused
	// with a *StaleError when policy, lock or live state are no longer what the
	// plan was made for. nil plans anew.
	Plan *Plan
	// Confirm is how long the change waits for confirmation before it is taken
	// back; 0 applies for good. At least a second, at most a day.
	Confirm time.Duration
	// AllowCut lists sessions that may be cut: "192.0.2.1", "192.0.2.1:40000",
	// "[2001:db8::1]:40000" of the remote side, a prefix, or "ssh" for the
	// session of SSH_CONNECTION.
	AllowCut []string
	// WarmUp is the longest time to let connection tracking learn the sessions
	// of a machine that did not track them before the first install; 0 is none.
	WarmUp time.Duration
	// Progress is told what is being done, a short phrase each; may be nil.
	Progress func(string)
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
