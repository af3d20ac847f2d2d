package compiler

import (
	"fmt"
	"time"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// soonDays is how long before a last day it is reported.
const soonDays = 30

// farYears is how long ahead a last day may be for people to expect to see it.
const farYears = 5

// Dates change findings, never artefacts: what is compiled is the same the day
// after, and it is for a person to decide what becomes of a statement.
var dateChecks = []Check{
	{
		Code:      "statement-expired",
		Severity:  diag.Error,
		Title:     "the last day of a statement has passed",
		Why:       "Somebody decided that the statement is for a time only. It stays in force until it is removed, and nobody may remember it.",
		Reference: "NIST SP 800-41 r1 §5.5",
		Remedy:    "Remove the statement, or agree on a later day and state it.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad:       datedPolicy("2025-12-31"),
		Good:      datedPolicy("2026-06-30"),
		Run: func(p *Pass) {
			for _, e := range p.ends() {
				if e.kind == statementEnds && e.day < p.Date {
					p.Report(e.at, fmt.Sprintf("%s ended on %s", e.what, e.day), label(e.of, "the statement"))
				}
			}
		},
	},
	{
		Code:      "statement-expiring",
		Severity:  diag.Warning,
		Title:     "the last day of a statement, a waiver or an observation is near",
		Why:       "From the day after on, xfwc check has an error. What is to become of the statement is better decided before.",
		Reference: "NIST SP 800-41 r1 §5.5",
		Remedy:    "Decide whether it goes or stays, and remove it or state a later day.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad:       datedPolicy("2026-01-20"),
		Good:      datedPolicy("2026-02-01"),
		Run: func(p *Pass) {
			now, err := time.Parse(time.DateOnly, p.Date)
			if err != nil {
				return // no day is given
			}
			soon := now.AddDate(0, 0, soonDays).Format(time.DateOnly)
			for _, e := range p.ends() {
				if e.day >= p.Date && e.day <= soon {
					p.Report(e.at, fmt.Sprintf("%s ends on %s", e.what, e.day), label(e.of, "the statement"))
				}
			}
		},
	},
	{
		Code:      "observe-expired",
		Severity:  diag.Error,
		Title:     "the last day of mode observe has passed",
		Why:       "A point or a content rule that only observes denies nothing. It was meant to do so for a time, to see what a new policy would break.",
		Reference: "NIST SP 800-41 r1 §5.3",
		Remedy:    "Look at what was logged, then write mode enforce, or state a later day.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad:       observingPolicy("2025-12-31"),
		Good:      observingPolicy("2026-06-30"),
		Run: func(p *Pass) {
			for _, e := range p.ends() {
				if e.kind == observationEnds && e.day < p.Date {
					p.Report(e.at, fmt.Sprintf("%s was to observe until %s, and still denies nothing", e.what, e.day), label(e.of, "the statement"))
				}
			}
		},
	},
	{
		Code:      "date-far",
		Severity:  diag.Info,
		Title:     "the last day of a statement, a waiver or an observation is years away",
		Why:       "A day that nobody who is here now will see ends nothing. What is set aside until then is set aside for good, without anybody having decided so.",
		Reference: "NIST SP 800-41 r1 §5.5",
		Remedy:    "State a day within five years, on which somebody looks again.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad:       observingPolicy("2999-01-01"),
		Good:      observingPolicy("2026-06-30"),
		Run: func(p *Pass) {
			now, err := time.Parse(time.DateOnly, p.Date)
			if err != nil {
				return // no day is given
			}
			far := now.AddDate(farYears, 0, 0).Format(time.DateOnly)
			for _, e := range p.ends() {
				if e.day > far {
					p.Report(e.at, fmt.Sprintf("%s ends only on %s", e.what, e.day), label(e.of, "the statement"))
				}
			}
		},
	},
}

// ending is the last day of something.
type ending struct {
	kind   endingKind
	what   string // in messages
	day    string // YYYY-MM-DD
	at, of diag.Span
}

type endingKind int

const (
	statementEnds endingKind = iota
	observationEnds
	waiverEnds
)

// ends lists every last day of the policy.
func (p *Pass) ends() []ending {
	if p.Date == "" {
		return nil
	}
	var out []ending
	for _, s := range p.Policy.Statements {
		if s.Terms.Expires != "" {
			out = append(out, ending{statementEnds, s.Origin.Label, s.Terms.Expires, s.Terms.ExpiresAt, s.Origin.Span})
		}
	}
	observes := func(day string, at diag.Span, o ir.Origin) {
		if day != "" {
			out = append(out, ending{observationEnds, o.Label, day, at, o.Span})
		}
	}
	for _, pt := range p.Policy.Points {
		observes(pt.Observe, pt.ObserveAt, pt.Origin)
	}
	for _, c := range p.Policy.Content {
		observes(c.Observe, c.ObserveAt, c.Origin)
	}
	for _, d := range decls(p, func(d *lang.Decl) *lang.WaiveDecl { return d.Waive }) {
		if validDate(d.Until.Text) {
			out = append(out, ending{waiverEnds, "the waiver of " + d.Code.Text, d.Until.Text, d.Until.Span(), d.Code.Span()})
		}
	}
	return out
}

func datedPolicy(day string) string {
	return `policy "p" { profile baseline }
network visitors = 203.0.113.0/28
point box { role host  address 198.51.100.10  interface eth0 faces internet  nftables }
allow network visitors to ssh of box { ticket "NET-431"  expires ` + day + ` }
`
}

func observingPolicy(day string) string {
	return `policy "p" { profile baseline }
network ops = 203.0.113.0/28
point box {
  role      host
  address   198.51.100.10
  interface eth0 faces internet
  nftables
  mode observe until ` + day + `
}
allow network ops to ssh of box
`
}
