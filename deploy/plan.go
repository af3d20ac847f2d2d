package deploy

import (
	"time"

	"xfwc/compiler/ir"
)

// Options say whose machine and which state a call is about.
type Options struct {
	// StateDir is where the state is kept; "" is DefaultStateDir.
	StateDir string
	// Command names the caller to whoever finds the lock held: "apply".
	Command string
	// LockWait is how long to wait for another writer; 0 refuses at once.
	LockWait time.Duration
	// GuardCommand is the program and arguments that run Guard for the token
	// that is appended; nil is this executable with
	// "guard --state-dir DIR --token".
	GuardCommand []string
	// Machine is what is read and changed; nil is this machine, in the network
	// namespace of the calling goroutine's thread.
	Machine Machine
}

// DefaultStateDir is where state is kept unless the caller says otherwise.
const DefaultStateDir = "/var/lib/xfwc"

// Wanted is what a policy asks of one point.
type Wanted struct {
	Policy *ir.Policy
	Point  *ir.Point
	// Path is the policy file as the user named it; a saved plan keeps it, so
	// that `xfwc apply PLAN` can compile the policy again.
	Path string
	// Sources are the policy's files by name, as lang.Load returns them.
	Sources map[string][]byte
	// Lock is the content of xfwc.lock, nil when there is none.
	Lock []byte
}

// Plan is what Apply would do. It prints as JSON; Save and LoadPlan keep it
// for a later apply, which is refused when policy, lock or live state have
// changed, and works once.
type Plan struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`

	Policy     string `json:"policy"`
	PolicyPath string `json:"policy_path,omitempty"`
	Point      string `json:"point"`

	// What the plan is bound to. Digests are "sha256:" and hexadecimal.
	PolicyDigest  string `json:"policy_digest"`  // the policy's files
	LockDigest    string `json:"lock_digest"`    // xfwc.lock, of nothing when there is none
	RulesetDigest string `json:"ruleset_digest"` // the text artefact
	LiveDigest    string `json:"live_digest"`    // the canonical live table
	Generation    uint32 `json:"generation"`     // of the machine's ruleset when it was read; for information

	// Install is set when the table does not exist yet.
	Install bool `json:"install"`
	// Changes in policy terms, in the order of the table. Empty: nothing to do.
	Changes []Change `json:"changes"`
	// Diff is a unified diff of the text artefact, from what was applied to
	// what is wanted; of the canonical tables when the difference is not in the
	// text, because somebody changed the live table.
	Diff string `json:"diff,omitempty"`
	// Cuts are the sessions of this machine that the new policy would deny.
	// Apply refuses while any of them is not allowed to be cut.
	Cuts []Cut `json:"cuts,omitempty"`
	// Notices are things worth knowing that change nothing: what other tables
	// decide on the same hooks, what an interrupted apply left.
	Notices []string `json:"notices,omitempty"`
}

// Empty reports whether the machine already is as the policy asks.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// Class is how a live object differs from the wanted one.
type Class string

const (
	Missing Class = "missing" // wanted, and not there
	Foreign Class = "foreign" // there, and not wanted
	Changed Class = "changed" // there, and means something else
)

// Change is one difference between the live table and the wanted one: a step
// of a plan, or a drift.
type Change struct {
	Class Class `json:"class"`
	// Kind is "table", "counter", "set", "element", "chain" or "rule".
	Kind string `json:"kind"`
	// Object names the set, counter or chain.
	Object string `json:"object"`
	// Position of a rule in its chain, from 1: in the wanted chain, or in the
	// live one for a foreign rule. 0 for everything else.
	Position int `json:"position,omitempty"`
	// Origin is the policy line and statement, such as
	// "policy.xfw:12 clients of chat"; "" when nothing says.
	Origin string `json:"origin,omitempty"`
	// What is what differs, such as "order", "verdict", "limit", "comment",
	// "policy", "flags"; "" when the whole object does.
	What string `json:"what,omitempty"`
	// Text is the difference as a sentence about the live machine.
	Text string `json:"text"`
	// Step is the same as what apply does about it.
	Step string `json:"step"`
	// Live and Wanted are the canonical forms that differ.
	Live   string `json:"live,omitempty"`
	Wanted string `json:"wanted,omitempty"`
	// Witness is a packet that the difference is about, as explain takes it;
	// "" when none can be given.
	Witness string `json:"witness,omitempty"`
}
