package compiler

import (
	"cmp"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Check is one best practice: what it asks, why, how to mend it, and the
// function that looks for it. One literal holds all of it, so that the
// catalogue, the documentation and the findings cannot say different things.
//
// A code never changes meaning and is never used again.
type Check struct {
	Code     string        // stable, such as "comp-nonloopback"
	Severity diag.Severity // of every finding with this code
	Title    string        // what is wrong, in short
	Why      string        // one to three sentences
	// Reference is the RFC or XEP section, or the manual, that the practice
	// rests on; "" where plain logic is all there is to it.
	Reference string
	Remedy    string // what to do about it; it ends every finding
	Since     string // the version of xfwc that has the check first
	// Profile is "baseline" for a check that always runs, and "strict" for one
	// that runs only where the policy states `profile strict`.
	Profile string
	// Frameworks bounds the check to policies that name one of them in comply;
	// none of them means every policy.
	Frameworks []string
	// Bad and Good are complete policies: Bad has the finding, Good has not.
	Bad, Good string
	Run       func(*Pass)
}

// Checks returns the catalogue, ordered by code.
func Checks() []Check {
	all := slices.Concat(
		federationChecks,
		proofChecks,
		domainListChecks,
		clientChecks,
		dnsChecks,
		dosChecks,
		streamChecks,
		componentChecks,
		webChecks,
		boshChecks,
		uploadChecks,
		serverlessChecks,
		adminChecks,
		mediaChecks,
		contentChecks,
		anonymousChecks,
		egressChecks,
		dateChecks,
		portChecks,
		hygieneChecks,
		complianceChecks,
	)
	slices.SortFunc(all, func(a, b Check) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

// runChecks judges a resolved policy by every check of its profile. It changes
// nothing, and its findings are in the order of [diag.Sort].
func runChecks(p *ir.Policy, in Input) []diag.Finding {
	var out []diag.Finding
	stated := flowPlaces(p.Flows)
	federations := readFederations(&Pass{Policy: p, Files: in.Files, stated: stated})
	texts := readTexts(in.Files)
	for _, c := range Checks() {
		if c.Profile == "strict" && p.Profile != "strict" {
			continue
		}
		if c.Frameworks != nil && !slices.ContainsFunc(c.Frameworks, func(f string) bool { return slices.Contains(p.Comply, f) }) {
			continue
		}
		pass := &Pass{Policy: p, Files: in.Files, Lock: in.Lock, Date: in.Date, stated: stated, federations: federations, texts: texts, check: &c}
		c.Run(pass)
		out = append(out, pass.findings...)
	}
	diag.Sort(out)
	return out
}

// Pass is one check at work on one policy. Policy says what the statements
// mean; Files say where and in which words they stand. What Lock and Date do not
// say is not known: a check is silent about it.
type Pass struct {
	Policy *ir.Policy
	Files  []*lang.File
	Lock   *lock.File // nil is an empty one
	Date   string     // today, or ""

	stated      map[string][]flowPlace // the flows by where they are stated
	federations []federation           // what most checks of federation start from
	fromLines   map[*ir.Flow]diag.Span // who is let in, of flows that are more than one line
	clear       map[*ir.Flow]bool      // the flows with a leg in clear text
	texts       texts
	check       *Check
	reported    map[said]bool
	findings    []diag.Finding
}

// said is what a check has reported.
type said struct {
	at      diag.Span
	summary string
}

// Report adds a finding at span, with the code, severity, remedy and reference
// of the check that runs. The labels point at every other place that
// contributes; those without a place are left out.
//
// What it returns is to be completed at once: it moves with the next finding.
func (p *Pass) Report(span diag.Span, summary string, labels ...diag.Label) *diag.Finding {
	if p.reported[said{span, summary}] {
		return new(diag.Finding) // one statement may mean several flows; it is wrong once
	}
	if p.reported == nil {
		p.reported = map[said]bool{}
	}
	p.reported[said{span, summary}] = true
	labels = slices.DeleteFunc(labels, func(l diag.Label) bool { return !l.Span.IsValid() })
	p.findings = append(p.findings, diag.Finding{
		Code:      p.check.Code,
		Severity:  p.check.Severity,
		Span:      span,
		Labels:    labels,
		Summary:   summary,
		Remedy:    p.check.Remedy,
		Reference: p.check.Reference,
	})
	return &p.findings[len(p.findings)-1]
}
