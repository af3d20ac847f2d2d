// Package diag holds the one problem type of xfwc and the ways to print it.
//
// Every stage, from the lexer to drift, reports a [Finding]: a code that never
// changes meaning, a severity, every span that contributes, what is wrong, the
// remedy and the reference. Library code returns findings; only cmd prints them
// and chooses an exit code.
package diag

import (
	"cmp"
	"slices"
)

// Pos is a place in a source file. Line and Column count from 1, Column in
// bytes; Offset counts bytes from 0. The zero value means "no place".
//
// The field layout equals participle's lexer.Position, so that the grammar can
// fill Pos and EndPos fields of this type.
type Pos struct {
	Filename string
	Offset   int
	Line     int
	Column   int
}

// IsValid reports whether the position names a place.
func (p Pos) IsValid() bool { return p.Line > 0 }

// Span is the text from Start up to, and without, End. An End that is not
// valid, or that lies before Start, means one character.
type Span struct {
	Start, End Pos
}

// IsValid reports whether the span names a place.
func (s Span) IsValid() bool { return s.Start.IsValid() }

// Holds reports whether the place lies in the span, whose end is not part of it.
func (s Span) Holds(at Pos) bool {
	return s.Start.Filename == at.Filename && s.Start.Offset <= at.Offset && at.Offset < s.End.Offset
}

// Severity says what a finding does to a command's result.
// The zero value is invalid, so that a forgotten severity is noticed.
type Severity int

const (
	_ Severity = iota
	// Info is worth knowing and asks for nothing.
	Info
	// Warning should be mended or waived; `--fail-level warning` fails on it.
	Warning
	// Error makes the policy unusable: nothing is compiled or applied.
	Error
)

// String gives the lower-case name used in every output format.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return "invalid"
}

// ParseSeverity reads the name that String gives.
func ParseSeverity(s string) (Severity, bool) {
	switch s {
	case "info":
		return Info, true
	case "warning":
		return Warning, true
	case "error":
		return Error, true
	}
	return 0, false
}

// Label is a further span that contributes to a finding, with what it shows,
// such as "first stated here".
type Label struct {
	Span Span
	Text string
}

// Finding is one problem. Code is from the catalogue (see [Codes]).
type Finding struct {
	Code      string
	Severity  Severity
	Span      Span    // where the author has to look first
	Labels    []Label // every other place that contributes
	Summary   string  // what is wrong, one line, naming the thing
	Remedy    string  // what to do about it, one or two sentences
	Reference string  // RFC, XEP or engine documentation section; may be empty
	Waived    *Waived // set when a waive statement covers the finding
	// Fix is the remedy as edits, where there is just one right way to mend the
	// text and it needs no judgement: the text then says what it evidently means,
	// or loses what has no effect. All edits belong together.
	Fix []Edit
}

// Waived says which statement set a finding aside and why.
type Waived struct {
	Span    Span
	Until   string // a date, YYYY-MM-DD
	Because string
}

// Sort orders findings by file, place, code and summary, which is the order of
// every output.
func Sort(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Span.Start.Filename, b.Span.Start.Filename),
			cmp.Compare(a.Span.Start.Offset, b.Span.Start.Offset),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Summary, b.Summary),
		)
	})
}

// Worst returns the highest severity among the findings that are not waived,
// or 0 when there is none.
func Worst(fs []Finding) Severity {
	var worst Severity
	for _, f := range fs {
		if f.Waived == nil && f.Severity > worst {
			worst = f.Severity
		}
	}
	return worst
}

// HasErrors reports whether any finding that is not waived is an error.
func HasErrors(fs []Finding) bool { return Worst(fs) >= Error }
