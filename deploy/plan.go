package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"xfwc/backends/nftables"
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
	// Intents say in the policy's own words what the plan does: a line for each
	// statement that comes, goes or changes.
	Intents []Intent `json:"intents,omitempty"`
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

	// note is the comment of a foreign thing: it may say which statement it
	// once belonged to.
	note string
}

const planVersion = 1

// From how many elements on a set is not read to compare it: the kernel walks a
// set anew for each piece of a dump, so reading costs the square of the size,
// and more for ranges. Such sets are compared by the digest in their comment,
// by count, and by looking up a sample. The sample is small in the check after a
// commit, which the kernel has acknowledged as a whole.
const (
	readIntervalMax = 4096
	sampleSize      = 2000
	verifySize      = 200
)

var readHashMax = 131072 // a variable for the tests: so many elements take their time

// target is a ruleset to compare a machine with, and all that goes with it.
type target struct {
	ruleset *nftables.Ruleset
	// sets by name.
	sets map[string]*nftables.Set
	// origins are the policy lines of sets, by name.
	origins map[string]string
	// decisions find witnesses for differences.
	decisions decisions
	// want is the ruleset in canonical form.
	want *nftables.Snapshot
	// lean is set when want lacks the elements of all large sets.
	lean bool
}

func newTarget(r *nftables.Ruleset, d decisions) *target {
	t := &target{ruleset: r, sets: map[string]*nftables.Set{}, decisions: d, origins: setOrigins(d)}
	for _, s := range r.Sets {
		t.sets[s.Name] = s
	}
	return t
}

// skip reports whether the elements of a set are not to be read, given how many
// it has where it is read.
func (t *target) skip(name string, size int) bool {
	s := t.sets[strings.TrimPrefix(name, newPrefix)]
	if s != nil && !s.Interval && max(size, len(s.Elements)) <= readHashMax {
		return false
	}
	return t.large(name, size)
}

// large reports whether a set has a digest in the table. Where there is nothing
// to tell apart one by one, because no table is there yet or the kernel has just
// taken this one whole, digest, count and a sample are enough.
func (t *target) large(name string, size int) bool {
	if s := t.sets[strings.TrimPrefix(name, newPrefix)]; s != nil {
		size = max(size, len(s.Elements))
	}
	return size > readIntervalMax
}

// load gives the target its canonical form.
func (t *target) load(m Reader, skip func(set string, size int) bool) error {
	want, err := m.Desired(t.ruleset, skip)
	if err != nil {
		return kernelError("prepare", err)
	}
	t.want, t.lean = want, false
	return nil
}

// wanted is a Wanted with its ruleset and digests.
type wanted struct {
	*Wanted
	*target
	text          []byte
	policyDigest  string
	lockDigest    string
	rulesetDigest string
}

func (w *Wanted) build() (*wanted, error) {
	if w.Point.Engine("nftables") == nil {
		return nil, &PolicyError{fmt.Sprintf("point %s has no nftables engine, so there is nothing to put in force: name another point, or add nftables to it", w.Point.Name)}
	}
	r, _ := nftables.Build(w.Policy, w.Point)
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("the ruleset of point %s is not sound: %w", w.Point.Name, err)
	}
	text := r.Text()
	return &wanted{
		Wanted: w, target: newTarget(r, decisions{w.Policy, w.Point}), text: text,
		policyDigest: digestSources(w.Sources), lockDigest: digest(w.Lock), rulesetDigest: digest(text),
	}, nil
}

// MakePlan reads the machine and says what Apply would do. It changes nothing,
// and fails with a *PendingError while a change waits for confirmation.
func MakePlan(o Options, w *Wanted) (*Plan, error) {
	built, err := w.build()
	if err != nil {
		return nil, err
	}
	m := o.machine()
	sit, err := examine(m, o.store(), built.skip)
	if err != nil {
		return nil, err
	}
	if sit.waiting {
		return nil, &PendingError{*sit.pending}
	}
	return makePlan(m, sit, built, nil)
}

// makePlan compares the settled machine with what is wanted.
func makePlan(m Reader, sit *situation, w *wanted, allow []cutSpec) (*Plan, error) {
	changes, err := compare(m, sit.settled, w.target)
	if err != nil {
		return nil, err
	}
	if sit.expired {
		changes = append([]Change{sit.expiredChange()}, changes...)
	}
	p := &Plan{
		Version: planVersion, ID: randomID(), Made: sit.now.Wall.UTC(),
		Policy: w.Policy.Name, PolicyPath: w.Path, Point: w.Point.Name,
		PolicyDigest: w.policyDigest, LockDigest: w.lockDigest, RulesetDigest: w.rulesetDigest,
		LiveDigest: digest(canonicalText(sit.live)), Generation: sit.live.Generation,
		Install: !sit.settled.Exists, Changes: changes, Notices: sit.notices(),
	}
	if p.Empty() {
		return p, nil
	}
	p.Intents = intents(sit.settled, w.want, changes)
	p.Diff = textDiff(sit, w)
	sessions, err := m.Sessions()
	if err != nil {
		return nil, err
	}
	p.Cuts = cuts(sessions, w.Wanted, sit.applied, allow, ir.MomentOf(sit.now.Wall))
	foreign, err := m.ForeignBaseChains()
	if err != nil {
		return nil, kernelError("read the tables beside", err)
	}
	for _, f := range foreign {
		p.Notices = append(p.Notices, "another table judges the same packets, and what it drops stays dropped: "+f)
	}
	return p, nil
}

// textDiff shows the artefacts, when the change is in them, or else the live
// table.
func textDiff(sit *situation, w *wanted) string {
	var old []byte
	if sit.applied != nil && sit.settled.Exists {
		if t, err := sit.applied.target(); err == nil {
			old = brief(t.ruleset, t.skip)
		}
	}
	skip := w.skip
	if !sit.settled.Exists {
		skip = w.large // all of it is new, and long
	}
	if old != nil || !sit.settled.Exists {
		if d := CompareText("applied/xfwc.nft", "wanted/xfwc.nft", old, brief(w.ruleset, skip)); d != "" {
			return d
		}
	}
	return CompareText("live", "wanted", canonicalText(sit.settled), canonicalText(w.want))
}

// brief is the text of a ruleset without the elements of the sets that are
// skipped.
func brief(r *nftables.Ruleset, skip func(set string, size int) bool) []byte {
	c := *r
	c.Sets = slices.Clone(r.Sets)
	for i, s := range c.Sets {
		if skip(s.Name, len(s.Elements)) {
			sc := *s
			sc.Elements = nil
			c.Sets[i] = &sc
		}
	}
	return c.Text()
}

// stale lists what has changed since a plan was made.
func (p *Plan) stale(now *Plan, used bool) error {
	var what []string
	if p.Policy != now.Policy || p.Point != now.Point {
		what = append(what, fmt.Sprintf("it is for point %s of policy %s, not for point %s of policy %s", p.Point, p.Policy, now.Point, now.Policy))
	}
	if p.PolicyDigest != now.PolicyDigest {
		what = append(what, "the policy has changed")
	}
	if p.LockDigest != now.LockDigest {
		what = append(what, "xfwc.lock has changed")
	}
	if p.RulesetDigest != now.RulesetDigest && len(what) == 0 {
		// A feed, or another version of this program.
		what = append(what, "the policy's feeds, or xfwc itself, give another ruleset now")
	}
	if used {
		what = append(what, "it was applied before, and a plan works once")
	} else if p.LiveDigest != now.LiveDigest {
		what = append(what, "the table of this machine has changed")
	}
	if len(what) == 0 {
		return nil
	}
	return &StaleError{what}
}

// Save writes the plan as a file that LoadPlan reads.
func (p *Plan) Save(path string) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".xfwc-plan-*")
	if err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	return nil
}

// LoadPlan reads a plan that Save wrote.
func LoadPlan(path string) (*Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the plan: %w", err)
	}
	var p Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s is not a plan: %w; write one with xfwc plan -o", path, err)
	}
	if p.Version != planVersion || p.ID == "" || p.LiveDigest == "" {
		return nil, fmt.Errorf("%s is not a plan of this version of xfwc: write it anew with xfwc plan -o", path)
	}
	return &p, nil
}
