package try

import (
	"fmt"
	"io"
	"strings"
	"time"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Step is a part of a run.
type Step string

const (
	Layout  Step = "layout"  // where everything stands
	Control Step = "control" // without a policy every probe arrives
	Plan    Step = "plan"    // what apply would do at a point
	Apply   Step = "apply"   // the policy is put in force at a point
	Test    Step = "test"    // an expectation of the policy, as real packets
	Drift   Step = "drift"   // a deliberate change is noticed and healed
	End     Step = "end"     // everything is removed
)

// Status says whether an event is good, bad, or only worth telling.
type Status string

const (
	Told   Status = "told"
	Passed Status = "passed"
	Failed Status = "failed"
)

// Event is one line of a run's transcript.
type Event struct {
	Step   Step   `json:"step"`
	Point  string `json:"point,omitempty"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	// Details are further lines, in the same words as findings.
	Details []string `json:"details,omitempty"`
	// Test is set for the step test.
	Test *TestResult `json:"test,omitempty"`
}

// TestResult is what became of one expectation of the policy.
type TestResult struct {
	Test      *ir.Test `json:"-"`
	Name      string   `json:"name"`      // of the test block
	Statement string   `json:"statement"` // "deny tcp any -> chat:5347"
	Line      string   `json:"line"`      // "policy.xfw:85"
	OK        bool     `json:"ok"`
	Packets   int      `json:"packets"` // how many were sent and judged
	// Failures are the packets that contradict the expectation; none when OK.
	Failures []ProbeResult `json:"failures,omitempty"`
	// Note says what limits the result: "no address of this family", …
	Note string `json:"note,omitempty"`
}

// ProbeResult is a real packet, what became of it, and what the model says.
type ProbeResult struct {
	Packet  string  `json:"packet"` // as explain takes it
	Source  string  `json:"source"` // who sent it, in the policy's words
	Outcome Outcome `json:"outcome"`
	Model   string  `json:"model"` // "allow", "deny", "untouched"
	// Disagrees is set when the kernel did otherwise than the model: then the
	// compiler is wrong, not the policy.
	Disagrees bool `json:"disagrees,omitempty"`
	// Lines are the policy lines that the model's decision comes from.
	Lines []string `json:"lines,omitempty"`

	packet      Packet
	explanation compiler.Explanation
}

// Result is a whole run.
type Result struct {
	Policy  string        `json:"policy"`
	Events  []Event       `json:"events"`
	Passed  int           `json:"passed"` // events of status passed
	Failed  int           `json:"failed"`
	Packets int           `json:"packets"` // sent, of every kind
	Elapsed time.Duration `json:"elapsed_ns"`
}

// OK reports whether nothing failed.
func (r *Result) OK() bool { return r.Failed == 0 }

// Tests gives the result of every expectation, in the policy's order.
func (r *Result) Tests() []*TestResult {
	var ts []*TestResult
	for i := range r.Events {
		if t := r.Events[i].Test; t != nil {
			ts = append(ts, t)
		}
	}
	return ts
}

// Findings gives a finding for every expectation that does not hold.
func (r *Result) Findings() []diag.Finding {
	var fs []diag.Finding
	for _, t := range r.Tests() {
		if t.OK {
			continue
		}
		f := diag.New("test-failed", t.Test.Origin.Span, fmt.Sprintf("test %q, with real packets: %s", t.Name, t.why()))
		for _, p := range t.Failures[:min(1, len(t.Failures))] {
			for _, h := range p.explanation.Hops {
				if e := h.Decision.Entry; e != nil && e.Origin.Span.IsValid() {
					f.Labels = append(f.Labels, diag.Label{Span: e.Origin.Span, Text: h.String()})
				}
			}
			if p.Disagrees {
				f.Remedy = "The policy's model says otherwise, so the fault is in xfwc or in the kernel: report it with the policy."
			}
		}
		fs = append(fs, f)
	}
	diag.Sort(fs)
	return fs
}

// why says in one line what is wrong with a failed expectation.
func (t *TestResult) why() string {
	if len(t.Failures) == 0 {
		return t.Note
	}
	p := t.Failures[0]
	s := fmt.Sprintf("%s (%s): %s", p.Packet, p.Source, p.Outcome.How)
	if more := len(t.Failures) - 1; more > 0 {
		s += fmt.Sprintf(", and %d more", more)
	}
	return s
}

// place writes where a span begins, such as "policy.xfw:12", or "".
func place(s diag.Span) string {
	if !s.IsValid() {
		return ""
	}
	return fmt.Sprintf("%s:%d", s.Start.Filename, s.Start.Line)
}

// statement gives an expectation as the policy states it: the text of its line,
// or, where the sources are not at hand, its parts put together.
func statement(t *ir.Test, sources map[string][]byte) string {
	from, to := t.Origin.Span.Start, t.Origin.Span.End
	if src, ok := sources[from.Filename]; ok && from.IsValid() && 0 <= from.Offset && from.Offset < to.Offset && to.Offset <= len(src) {
		text := strings.Join(strings.Fields(string(src[from.Offset:to.Offset])), " ")
		if strings.HasPrefix(text, string(t.Kind)) {
			return text
		}
	}
	var ports []string
	for _, p := range t.Ports {
		if p.From == p.To {
			ports = append(ports, fmt.Sprint(p.From))
		} else {
			ports = append(ports, fmt.Sprintf("%d-%d", p.From, p.To))
		}
	}
	return fmt.Sprintf("%s %s %s -> %s:%s", t.Kind, t.Proto, t.From.Label, t.To.Label, strings.Join(ports, ","))
}

// lines lists the policy lines behind a decision.
func lines(ex compiler.Explanation) []string {
	var out []string
	for _, h := range ex.Hops {
		s := h.String()
		if e := h.Decision.Entry; e != nil && e.Origin.Span.IsValid() {
			s += ": " + place(e.Origin.Span) + " " + e.Origin.Label
		}
		out = append(out, s)
	}
	return out
}

// WriteEvent writes one event as text.
func WriteEvent(w io.Writer, e Event) error {
	mark := map[Status]string{Told: "    ", Passed: "ok  ", Failed: "FAIL"}[e.Status]
	head := string(e.Step)
	if e.Point != "" {
		head += " " + e.Point
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s\n", mark, head, e.Text)
	for _, d := range e.Details {
		fmt.Fprintf(&b, "        %s\n", d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteSummary writes the last line of a run's transcript.
func (r *Result) WriteSummary(w io.Writer) error {
	word := "everything holds"
	if !r.OK() {
		word = fmt.Sprintf("%d of %d checks failed", r.Failed, r.Failed+r.Passed)
	}
	_, err := fmt.Fprintf(w, "policy %s: %s (%d checks, %s, %.1f s)\n",
		r.Policy, word, r.Failed+r.Passed, packets(r.Packets), r.Elapsed.Seconds())
	return err
}
