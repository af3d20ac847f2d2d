package try

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"xfwc/backends/nftables"
	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/deploy"
)

// Options say what a run is about.
type Options struct {
	Policy *ir.Policy
	// Path, Sources and Lock are what the policy was compiled from, as
	// deploy.Wanted takes them.
	Path    string
	Sources map[string][]byte
	Lock    []byte
	// TestsOnly leaves out the plans and the drift: the policy is applied and its
	// tests are run.
	TestsOnly bool
	// Progress is told every event as it happens; may be nil.
	Progress func(Event)
}

// Run lays out the policy's points in throw-away namespaces and goes the whole
// way of a change there: plan, apply, plan again, the policy's tests as real
// packets, a deliberate change that drift has to notice, and healing.
//
// What does not hold is in the Result. The error is for what keeps a run from
// being made at all: a *PrivilegeError, a *BedError, or the context's error.
func Run(ctx context.Context, o Options) (*Result, error) {
	begin := time.Now()
	r := &runner{o: o, p: o.Policy, res: &Result{Policy: o.Policy.Name}}
	var err error
	if r.state, err = newScratch(); err != nil {
		return nil, fmt.Errorf("a directory for the state of the test bed: %w", err)
	}
	defer r.state.remove()
	if r.bed, err = NewBed(o.Policy); err != nil {
		return nil, err
	}
	defer func() {
		if r.bed != nil {
			r.bed.Close()
		}
	}()
	for _, step := range []struct {
		run     func()
		testing bool // part of a run of the tests alone
	}{
		{r.layout, true},
		{r.control, true},
		{r.enforce, true},
		{r.tests, true},
		{r.drift, false},
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if step.testing || !o.TestsOnly {
			step.run()
		}
	}
	r.bed.Close()
	r.bed = nil
	r.tell(Event{Step: End, Status: Told, Text: "the namespaces are removed; nothing of this machine was touched"})
	r.res.Elapsed = time.Since(begin)
	return r.res, nil
}

// runner is a run under way.
type runner struct {
	o       Options
	p       *ir.Policy
	bed     *Bed
	state   *scratch
	res     *Result
	probes  []*probe // of all tests
	inForce bool     // every point holds the policy
}

// probe is a witness packet of one test.
type probe struct {
	witness
	test  *ir.Test
	model compiler.Explanation
	out   Outcome
	lost  bool // never arrived, even without a policy: it proves nothing
	// moot: refused once, and not sent again because another was refused for
	// good; or about a minute at which the policy judges otherwise than now.
	moot bool
}

// denied reports whether the test expects that the packet is denied.
func (p *probe) denied() bool { return p.test.Wants(p.Src) == ir.Deny }

// expected splits the probes of a test by what it expects.
func expected(ps []*probe) (allowed, denied []*probe) {
	for _, p := range ps {
		if p.denied() {
			denied = append(denied, p)
		} else {
			allowed = append(allowed, p)
		}
	}
	return allowed, denied
}

func (r *runner) tell(e Event) {
	switch e.Status {
	case Passed:
		r.res.Passed++
	case Failed:
		r.res.Failed++
	}
	r.res.Events = append(r.res.Events, e)
	if r.o.Progress != nil {
		r.o.Progress(e)
	}
}

// layout tells where everything stands.
func (r *runner) layout() {
	l := r.bed.layout
	for at, n := range l.nodes {
		if n.point != nil { // the segments are named where the points end
			r.tell(Event{Step: Layout, Point: n.name, Status: Told, Text: strings.TrimPrefix(l.describe(at), n.name+": ")})
		}
	}
	for _, note := range l.notes {
		r.tell(Event{Step: Layout, Status: Told, Text: note})
	}
	if !r.bed.v6 {
		r.tell(Event{Step: Layout, Status: Told, Text: "this kernel has no IPv6: only IPv4 packets are sent"})
	}
}

// control sends every witness packet before there is a policy. All must arrive:
// only then does it mean something when one does not arrive later.
func (r *runner) control() {
	for _, t := range r.p.Tests {
		for _, w := range witnesses(r.p, r.bed.layout, t) {
			if !r.bed.speaks(w.Src) {
				continue
			}
			ex := compiler.Explain(r.p, compiler.Packet{Proto: w.Proto, Src: w.Src, Dst: w.Dst, DstPort: w.Port, At: ir.MomentOf(time.Now())})
			if t.Kind == ir.ExpectAllow && t.From.Any && refusedAsBogon(ex) {
				continue // `any` that may pass is every source that can exist
			}
			pr := &probe{witness: w, test: t, model: ex}
			if t.At != nil {
				// The kernel's clock is not ours to set: a test about another minute
				// can be shown only where the policy judges now as it does then.
				k := ex.Packet
				k.At = *t.At
				pr.moot = compiler.Explain(r.p, k).Verdict != ex.Verdict
			}
			r.probes = append(r.probes, pr)
		}
	}
	if len(r.probes) == 0 {
		r.tell(Event{Step: Control, Status: Told, Text: "the policy has no tests that packets could show"})
		return
	}
	r.send(r.probes, quiet)
	var again []*probe
	for _, p := range r.probes {
		if !p.out.Arrived && p.out.Err == nil {
			again = append(again, p)
		}
	}
	r.send(again, slow) // a busy machine may need a second copy of the packet
	e := Event{Step: Control, Status: Passed, Text: fmt.Sprintf("with no policy in force every packet of its tests arrives (%s)", packets(len(r.probes)))}
	lost := 0
	for _, p := range r.probes {
		if p.out.Arrived {
			continue
		}
		p.lost = true
		lost++
		e.Details = append(e.Details, fmt.Sprintf("%s: %s", p.Packet, said(p.out)))
	}
	if lost > 0 {
		e.Status = Failed
		e.Text = fmt.Sprintf("without any policy %d of %d packets do not arrive, so they cannot show anything", lost, len(r.probes))
		e.Details = shorten(e.Details, 10)
	}
	r.tell(e)
}

// refusedAsBogon reports whether the first refusal on the way is for a source
// that cannot come from where it claims to.
func refusedAsBogon(ex compiler.Explanation) bool {
	for _, h := range ex.Hops {
		if h.Decision.Verdict == ir.Deny || h.Decision.Observed {
			return h.Decision.Entry != nil && h.Decision.Entry.ID == "bogons"
		}
	}
	return false
}

// send makes probes side by side and keeps what became of them.
func (r *runner) send(ps []*probe, wait time.Duration) {
	for from := 0; from < len(ps); from += crowd {
		some := ps[from:min(from+crowd, len(ps))]
		sent, out := make([]Packet, len(some)), make([]Outcome, len(some))
		for i, p := range some {
			sent[i] = p.Packet
		}
		r.bed.probe(sent, out, wait)
		r.res.Packets += len(some)
		for i, p := range some {
			p.out = out[i]
		}
	}
}

// packets counts them in words.
func packets(n int) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}

func said(o Outcome) string {
	if o.Err != nil {
		return o.Err.Error()
	}
	return o.How
}

func shorten(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	return append(lines[:most:most], fmt.Sprintf("and %d more", len(lines)-most))
}

// filtered lists the points that have a packet filter.
func (r *runner) filtered() []*ir.Point {
	var pts []*ir.Point
	for _, pt := range r.p.Points {
		if pt.Engine("nftables") != nil {
			pts = append(pts, pt)
		}
	}
	return pts
}

func (r *runner) options(pt *ir.Point) deploy.Options {
	return deploy.Options{StateDir: filepath.Join(r.state.path, pt.Name), Command: "try"}
}

func (r *runner) wanted(pt *ir.Point) *deploy.Wanted {
	return &deploy.Wanted{Policy: r.p, Point: pt, Path: r.o.Path, Sources: r.o.Sources, Lock: r.o.Lock}
}

// enforce puts the policy in force at every point, through the same code as
// apply: what plan announces, and that nothing is left to do afterwards.
func (r *runner) enforce() {
	r.inForce = true
	for _, pt := range r.filtered() {
		if !r.enforceAt(pt) {
			r.inForce = false
		}
	}
	for _, pt := range r.p.Points {
		if pt.Engine("nftables") == nil {
			r.tell(Event{Step: Apply, Point: pt.Name, Status: Told, Text: "has no packet filter: every packet passes here"})
		}
	}
}

func (r *runner) enforceAt(pt *ir.Point) bool {
	fail := func(step Step, what string, err error) bool {
		r.tell(Event{Step: step, Point: pt.Name, Status: Failed, Text: what + ": " + err.Error()})
		return false
	}
	plan := func() (plan *deploy.Plan, err error) {
		err = r.bed.Do(pt, func() error {
			plan, err = deploy.MakePlan(r.options(pt), r.wanted(pt))
			return err
		})
		return plan, err
	}
	first, err := plan()
	if err != nil {
		return fail(Plan, "the plan cannot be made", err)
	}
	if first.Empty() || !first.Install {
		return fail(Plan, "the machine is empty, but the plan", errors.New("does not install the table"))
	}
	r.tell(Event{Step: Plan, Point: pt.Name, Status: Passed, Details: first.Notices,
		Text: fmt.Sprintf("installs table inet %s, with %d statements of the policy", nftables.TableName, len(first.Intents))})
	if err := r.apply(pt); err != nil {
		return fail(Apply, "the policy cannot be applied", err)
	}
	second, err := plan()
	if err != nil {
		return fail(Plan, "the plan cannot be made after apply", err)
	}
	if !second.Empty() {
		e := Event{Step: Apply, Point: pt.Name, Status: Failed, Text: "applied, but the plan still has changes"}
		for _, c := range second.Changes {
			e.Details = append(e.Details, c.Step)
		}
		e.Details = shorten(e.Details, 10)
		r.tell(e)
		return false
	}
	r.tell(Event{Step: Apply, Point: pt.Name, Status: Passed, Text: "in force; planned again there is nothing to do"})
	return true
}

// apply puts the policy in force at one point.
func (r *runner) apply(pt *ir.Point) error {
	return r.bed.Do(pt, func() error {
		_, err := deploy.Apply(context.Background(), r.options(pt), r.wanted(pt), deploy.ApplyOptions{})
		return err
	})
}

// renew takes the policy off every point and applies it again, so that no rate
// or count remembers earlier packets.
func (r *runner) renew() error {
	for _, pt := range r.filtered() {
		if err := r.bed.Do(pt, removeTable); err != nil {
			return fmt.Errorf("point %s: %w", pt.Name, err)
		}
		if err := r.apply(pt); err != nil {
			return fmt.Errorf("point %s: %w", pt.Name, err)
		}
	}
	return nil
}

// tests judges every expectation by real packets.
//
// Limits must not be mistaken for verdicts. Packets that should be denied come
// first: while they are, they count against nothing; when one is not, the other
// expectations are judged again, each on renewed counts. Packets that should
// pass go one at a time for each destination, and one that fails is sent again
// alone, on renewed counts and with more patience.
func (r *runner) tests() {
	if !r.inForce {
		for _, t := range r.p.Tests {
			r.report(t, nil, "not judged: the policy is not in force at every point")
		}
		return
	}
	byTest := map[*ir.Test][]*probe{}
	var denied []*probe
	for _, p := range r.probes {
		if p.lost {
			continue
		}
		byTest[p.test] = append(byTest[p.test], p)
		if p.denied() {
			denied = append(denied, p)
		}
	}
	if err := r.bed.ForgetNeighbours(); err != nil {
		r.tell(Event{Step: Test, Status: Failed, Text: "neighbour discovery cannot be started anew: " + err.Error()})
	}
	r.send(denied, quiet)
	if len(leaks(denied)) > 0 {
		for _, t := range r.p.Tests {
			_, denied := expected(byTest[t])
			if len(denied) == 0 || len(leaks(denied)) > 0 {
				continue
			}
			if err := r.renew(); err != nil {
				r.report(t, nil, "not judged: "+err.Error())
				continue
			}
			r.send(denied, quiet)
		}
	}
	r.sendInTurn(byTest)
	for _, t := range r.p.Tests {
		allowed, _ := expected(byTest[t])
		r.retry(allowed)
		r.report(t, byTest[t], "")
	}
}

// leaks are the packets that should have been denied and were not.
func leaks(ps []*probe) []*probe {
	var out []*probe
	for _, p := range ps {
		if p.out.Reached {
			out = append(out, p)
		}
	}
	return out
}

// sendInTurn sends what should pass, one packet at a time for each destination.
func (r *runner) sendInTurn(byTest map[*ir.Test][]*probe) {
	type target struct{ packet Packet }
	turn := map[target]int{}
	var waves [][]*probe
	for _, t := range r.p.Tests {
		allowed, _ := expected(byTest[t])
		for _, p := range allowed {
			k := target{Packet{Proto: p.Proto, Dst: p.Dst, Port: p.Port}}
			n := turn[k]
			turn[k]++
			if n == len(waves) {
				waves = append(waves, nil)
			}
			waves[n] = append(waves[n], p)
		}
	}
	for _, wave := range waves {
		r.send(wave, quiet)
	}
}

// slow is how long a packet that is sent again may take: its first copy may be
// lost, and the kernel sends a second after a second (RFC 6298 section 2).
const slow = 1500 * time.Millisecond

// retry sends what should have passed and did not again, until one of a test's
// packets is refused for good.
func (r *runner) retry(ps []*probe) {
	failed := false
	for _, p := range ps {
		if p.out.Arrived || p.out.Err != nil {
			continue
		}
		if failed {
			p.moot = true
			continue
		}
		if err := r.renew(); err != nil {
			p.out = Outcome{How: "not sent", Err: err}
			failed = true
			continue
		}
		r.send([]*probe{p}, slow)
		failed = !p.out.Arrived
	}
}

// report tells what became of one expectation.
func (r *runner) report(t *ir.Test, ps []*probe, note string) {
	res := &TestResult{Test: t, Name: t.Name, Statement: statement(t, r.o.Sources), Line: place(t.Origin.Span), Packets: len(ps), Note: note, OK: note == ""}
	for _, p := range ps {
		if p.moot || p.model.Meant() != p.model.Verdict {
			res.Packets-- // a point that only observes lets it pass
			continue
		}
		holds := p.out.Arrived && !p.denied() || !p.out.Reached && p.denied()
		if holds && p.out.Err == nil {
			continue
		}
		res.OK = false
		pr := ProbeResult{
			Packet: p.Packet.String(), Source: p.source, Outcome: p.out, Model: p.model.Verdict.String(),
			Lines: lines(p.model), packet: p.Packet, explanation: p.model,
		}
		if p.out.Err != nil {
			pr.Outcome.How = p.out.Err.Error()
		} else {
			pr.Disagrees = (p.model.Verdict == ir.Deny) == p.out.Reached
		}
		res.Failures = append(res.Failures, pr)
	}
	if len(ps) == 0 && res.OK {
		res.OK = false
		res.Note = "no packet can show it: source and destination have no address family in common, or no port is named"
	}
	e := Event{Step: Test, Status: Passed, Test: res, Text: fmt.Sprintf("%s %q: %s (%s)", res.Line, t.Name, res.Statement, packets(res.Packets))}
	if !res.OK {
		e.Status = Failed
		e.Text = fmt.Sprintf("%s %q: %s", res.Line, t.Name, res.Statement)
		if res.Note != "" {
			e.Details = append(e.Details, res.Note)
		}
		for _, f := range res.Failures[:min(3, len(res.Failures))] {
			e.Details = append(e.Details, fmt.Sprintf("%s (%s): %s", f.Packet, f.Source, f.Outcome.How))
			for _, l := range f.Lines {
				e.Details = append(e.Details, "  "+l)
			}
			if f.Disagrees {
				e.Details = append(e.Details, "  the model and the kernel disagree: the fault is not in the policy")
			}
		}
		if more := len(res.Failures) - 3; more > 0 {
			e.Details = append(e.Details, fmt.Sprintf("and %d more", more))
		}
	}
	r.tell(e)
}

// drift takes a rule out of every point's table behind xfwc's back, asks drift
// to see it, heals it by apply, and asks again.
func (r *runner) drift() {
	for _, pt := range r.filtered() {
		r.driftAt(pt)
	}
}

func (r *runner) driftAt(pt *ir.Point) {
	tell := func(ok bool, text string, details ...string) {
		s := Passed
		if !ok {
			s = Failed
		}
		r.tell(Event{Step: Drift, Point: pt.Name, Status: s, Text: text, Details: details})
	}
	look := func() (rep *deploy.DriftReport, err error) {
		err = r.bed.Do(pt, func() error {
			rep, err = deploy.Drift(r.options(pt), r.wanted(pt))
			return err
		})
		return rep, err
	}
	rep, err := look()
	switch {
	case err != nil:
		tell(false, "drift cannot be looked for: "+err.Error())
		return
	case rep.Status != deploy.InSync:
		tell(false, "right after apply, drift says "+string(rep.Status), changes(rep)...)
		return
	}
	var done string
	if err := r.bed.Do(pt, func() (err error) { done, err = sabotage(); return err }); err != nil {
		tell(false, "the deliberate change cannot be made: "+err.Error())
		return
	}
	rep, err = look()
	switch {
	case err != nil:
		tell(false, "drift cannot be looked for after "+done+": "+err.Error())
		return
	case rep.Status != deploy.Drifted || len(rep.Differences) == 0:
		tell(false, fmt.Sprintf("after %s, drift says %s: it has not noticed", done, rep.Status))
		return
	}
	tell(true, fmt.Sprintf("%s is noticed (exit code 2)", done), changes(rep)...)
	if err := r.apply(pt); err != nil {
		tell(false, "apply does not heal it: "+err.Error())
		return
	}
	rep, err = look()
	if err != nil {
		tell(false, "drift cannot be looked for after healing: "+err.Error())
		return
	}
	if rep.Status != deploy.InSync {
		tell(false, "after healing, drift says "+string(rep.Status), changes(rep)...)
		return
	}
	tell(true, "healed by apply; no drift is left (exit code 0)")
}

func changes(rep *deploy.DriftReport) []string {
	var out []string
	for _, c := range rep.Differences {
		s := c.Text
		if c.Origin != "" && !strings.Contains(s, c.Origin) {
			s += " (" + c.Origin + ")"
		}
		if c.Witness != "" {
			s += "; for example " + c.Witness
		}
		out = append(out, s)
	}
	return shorten(out, 10)
}
