package diag

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/owenrumney/go-sarif/v2/sarif"
)

// jsonReport is the schema of RenderJSON, version 1. Fields are added, never
// renamed or removed, while the version stays.
type jsonReport struct {
	Version  int           `json:"version"`  // of the schema: 1
	Counts   jsonCounts    `json:"counts"`   // how many findings of each kind
	Findings []jsonFinding `json:"findings"` // never null
}

type jsonCounts struct {
	Error   int `json:"error"`
	Warning int `json:"warning"`
	Info    int `json:"info"`
	Waived  int `json:"waived"` // of any severity; not counted above
}

type jsonFinding struct {
	Code      string      `json:"code"`
	Severity  string      `json:"severity"`       // "error", "warning" or "info"
	Span      *jsonSpan   `json:"span,omitempty"` // absent without a place
	Summary   string      `json:"summary"`
	Remedy    string      `json:"remedy,omitempty"`
	Reference string      `json:"reference,omitempty"`
	Labels    []jsonLabel `json:"labels,omitempty"` // further places
	Waived    *jsonWaived `json:"waived,omitempty"` // present if set aside
	Fix       []jsonEdit  `json:"fix,omitempty"`    // edits that mend it, all of them together
}

type jsonEdit struct {
	Span *jsonSpan `json:"span"` // of no length: a place to insert at
	New  string    `json:"new"`  // what stands there then
}

type jsonSpan struct {
	File  string  `json:"file"`
	Start jsonPos `json:"start"`
	End   jsonPos `json:"end"` // the first place behind the text
}

type jsonPos struct {
	Line   int `json:"line"`   // from 1
	Column int `json:"column"` // from 1, in bytes
	Offset int `json:"offset"` // from 0, in bytes
}

type jsonLabel struct {
	Span *jsonSpan `json:"span,omitempty"`
	Text string    `json:"text"`
}

type jsonWaived struct {
	Span    *jsonSpan `json:"span,omitempty"` // of the waive statement
	Until   string    `json:"until,omitempty"`
	Because string    `json:"because,omitempty"`
}

// RenderJSON writes findings as one JSON object:
//
//	{
//	  "version": 1,
//	  "counts": {"error": 1, "warning": 0, "info": 0, "waived": 0},
//	  "findings": [{
//	    "code": "name-unknown", "severity": "error",
//	    "span": {"file": "policy.xfw",
//	      "start": {"line": 3, "column": 9, "offset": 40},
//	      "end": {"line": 3, "column": 12, "offset": 43}},
//	    "summary": "…", "remedy": "…", "reference": "…",
//	    "labels": [{"span": {…}, "text": "…"}],
//	    "waived": {"span": {…}, "until": "2027-06-30", "because": "…"},
//	    "fix": [{"span": {…}, "new": "…"}]
//	  }]
//	}
//
// span, remedy, reference, labels, waived and fix are absent where there is
// nothing to say. Within version 1, fields are added but never renamed or
// removed. docs/schema/findings.schema.json is the schema.
func RenderJSON(w io.Writer, fs []Finding) error {
	report := jsonReport{Version: 1, Findings: []jsonFinding{}}
	for _, f := range sorted(fs) {
		switch {
		case f.Waived != nil:
			report.Counts.Waived++
		case f.Severity == Error:
			report.Counts.Error++
		case f.Severity == Warning:
			report.Counts.Warning++
		default:
			report.Counts.Info++
		}
		j := jsonFinding{
			Code: f.Code, Severity: f.Severity.String(), Span: spanJSON(f.Span),
			Summary: f.Summary, Remedy: f.Remedy, Reference: f.Reference,
		}
		for _, l := range f.Labels {
			j.Labels = append(j.Labels, jsonLabel{spanJSON(l.Span), l.Text})
		}
		if f.Waived != nil {
			j.Waived = &jsonWaived{spanJSON(f.Waived.Span), f.Waived.Until, f.Waived.Because}
		}
		for _, e := range f.Fix {
			j.Fix = append(j.Fix, jsonEdit{spanJSON(e.Span), e.New})
		}
		report.Findings = append(report.Findings, j)
	}
	return writeJSON(w, report)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func spanJSON(s Span) *jsonSpan {
	if !s.IsValid() {
		return nil
	}
	pos := func(p Pos) jsonPos { return jsonPos{p.Line, p.Column, p.Offset} }
	return &jsonSpan{s.Start.Filename, pos(s.Start), pos(s.stop())}
}

// Rule describes a code in a report that brings its catalogue along.
type Rule struct {
	Code
	Why       string // may be empty
	Reference string // may be empty
}

// RenderSARIF writes findings as SARIF 2.1.0 (OASIS standard, 27 March 2020).
// Info is the level note, and a waived finding is a result with a suppression,
// which viewers do not count. What can be mended mechanically has its edits as
// fixes. Columns count characters, as the standard has no other way; for a file
// that is not among sources they count bytes. rules describes codes that are not
// in [Codes], such as those of best-practice checks.
func RenderSARIF(w io.Writer, fs []Finding, sources map[string][]byte, rules ...Rule) error {
	report, err := sarif.New(sarif.Version210)
	if err != nil {
		return err
	}
	t := text{sources: sources, lines: map[string][][]byte{}}
	run := sarif.NewRun(*sarif.NewSimpleTool("xfwc")).WithColumnKind("unicodeCodePoints")
	for _, f := range sorted(fs) {
		rule := run.AddRule(f.Code)
		if rule.ShortDescription == nil {
			describe(rule, f, rules)
		}
		text := clean(f.Summary)
		if f.Remedy != "" {
			text += ". " + f.Remedy
		}
		if f.Reference != "" {
			text += " See " + f.Reference + "."
		}
		result := run.CreateResultForRule(f.Code).WithLevel(level(f.Severity)).WithMessage(sarif.NewTextMessage(text))
		if f.Span.IsValid() {
			result.AddLocation(t.location(f.Span))
		}
		for _, l := range f.Labels {
			if l.Span.IsValid() {
				result.AddRelatedLocation(t.location(l.Span).WithMessage(sarif.NewTextMessage(l.Text)))
			}
		}
		if fix := t.fix(f); fix != nil {
			result.AddFix(fix)
		}
		if f.Waived != nil {
			s := sarif.NewSuppression("inSource").WithStatus("accepted").
				WithJustifcation(strings.TrimSpace(f.Waived.Because + " (until " + f.Waived.Until + ")"))
			if f.Waived.Span.IsValid() {
				s.WithLocation(t.location(f.Waived.Span))
			}
			result.AddSuppression(s)
		}
	}
	report.AddRun(run)

	// The library writes null where the standard wants a field left out, so
	// the report goes through a tree that can be pruned.
	raw, err := json.Marshal(report)
	if err != nil {
		return err
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return err
	}
	return writeJSON(w, prune(tree))
}

// describe fills the rule of a code from the catalogues.
func describe(rule *sarif.ReportingDescriptor, f Finding, rules []Rule) {
	row := Rule{Code: Code{Code: f.Code, Severity: f.Severity, Title: f.Code, Remedy: f.Remedy}}
	if c, ok := CodeOf(f.Code); ok {
		row.Code = c
	} else if i := slices.IndexFunc(rules, func(r Rule) bool { return r.Code.Code == f.Code }); i >= 0 {
		row = rules[i]
	}
	rule.WithShortDescription(sarif.NewMultiformatMessageString(row.Title))
	if row.Why != "" {
		rule.WithFullDescription(sarif.NewMultiformatMessageString(row.Why))
	}
	help := row.Remedy
	if row.Reference != "" {
		help += " See " + row.Reference + "."
	}
	if help != "" {
		rule.WithHelp(sarif.NewMultiformatMessageString(strings.TrimSpace(help)))
	}
	rule.WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(level(row.Severity)))
}

func level(s Severity) string {
	if s == Info {
		return "note"
	}
	return s.String()
}

func (t *text) location(s Span) *sarif.Location {
	return sarif.NewLocationWithPhysicalLocation(sarif.NewPhysicalLocation().
		WithArtifactLocation(artifact(s.Start.Filename)).WithRegion(t.region(s)))
}

func artifact(name string) *sarif.ArtifactLocation {
	uri := url.URL{Path: filepath.ToSlash(name)}
	return sarif.NewSimpleArtifactLocation(uri.String())
}

// region is a span with columns in characters. One without length has to end
// where it starts: that is how the standard writes a place to insert at.
func (t *text) region(s Span) *sarif.Region {
	end := s.stop()
	return sarif.NewRegion().
		WithStartLine(s.Start.Line).WithStartColumn(t.characters(s.Start)).
		WithEndLine(end.Line).WithEndColumn(t.characters(end)).
		WithByteOffset(s.Start.Offset).WithByteLength(end.Offset - s.Start.Offset)
}

// characters is the column of a place in characters.
func (t *text) characters(p Pos) int {
	line, ok := t.line(p)
	if !ok {
		return p.Column
	}
	head := line[:min(p.Column-1, len(line))]
	return p.Column - len(head) + utf8.RuneCount(head)
}

// fix is what mends a finding: a change for each file that its edits are in.
func (t *text) fix(f Finding) *sarif.Fix {
	var fix *sarif.Fix
	var change *sarif.ArtifactChange
	file := ""
	edits := slices.Clone(f.Fix)
	slices.SortFunc(edits, compareEdits)
	for _, e := range edits {
		if fix == nil {
			fix = sarif.NewFix().WithDescriptionText(cmp.Or(clean(f.Remedy), clean(f.Summary)))
		}
		if change == nil || e.Span.Start.Filename != file {
			file = e.Span.Start.Filename
			change = sarif.NewArtifactChange(artifact(file))
			fix.AddArtifactChanges(change)
		}
		replacement := sarif.NewReplacement(t.region(e.Span))
		if e.New != "" {
			replacement.WithInsertedContent(sarif.NewArtifactContent().WithText(e.New))
		}
		change.WithReplacement(replacement)
	}
	return fix
}

// prune removes null fields.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, field := range v {
			if field == nil {
				delete(v, k)
				continue
			}
			v[k] = prune(field)
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Failure *junitResult `xml:"failure"`
	Skipped *junitResult `xml:"skipped"`
	Out     string       `xml:"system-out,omitempty"`
}

type junitResult struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// RenderJUnit writes findings as a JUnit test suite, one test case each: errors
// and warnings fail, info passes with its text as output, and what is waived is
// skipped with the reason. Without findings there is one case, which passes,
// because many readers take an empty suite for a run that did not happen.
func RenderJUnit(w io.Writer, fs []Finding) error {
	suite := junitSuite{Name: "xfwc"}
	for _, f := range sorted(fs) {
		c := junitCase{Class: cmp.Or(clean(f.Span.Start.Filename), "xfwc"), Name: strings.TrimSpace(f.Code + " " + place(f.Span.Start))}
		body := detail(f)
		switch {
		case f.Waived != nil:
			c.Skipped = &junitResult{Message: clean(fmt.Sprintf("waived until %s: %s", f.Waived.Until, f.Waived.Because))}
			c.Out = body
			suite.Skipped++
		case f.Severity == Info:
			c.Out = body
		default:
			c.Failure = &junitResult{Type: f.Severity.String(), Message: clean(f.Summary), Text: body}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if len(suite.Cases) == 0 {
		suite.Cases = []junitCase{{Class: "xfwc", Name: "no findings"}}
	}
	suite.Tests = len(suite.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// detail is a finding as plain lines, without the source.
func detail(f Finding) string {
	var b strings.Builder
	if p := place(f.Span.Start); p != "" {
		b.WriteString(p + ": ")
	}
	b.WriteString(clean(f.Summary) + "\n")
	for _, l := range f.Labels {
		fmt.Fprintf(&b, "%s: %s\n", place(l.Span.Start), clean(l.Text))
	}
	if f.Remedy != "" {
		b.WriteString("remedy: " + clean(f.Remedy) + "\n")
	}
	if f.Reference != "" {
		b.WriteString("see: " + clean(f.Reference) + "\n")
	}
	return b.String()
}

// RenderGitHub writes findings as workflow commands, which GitHub Actions shows
// as annotations in a pull request. Info and what is waived are notices.
func RenderGitHub(w io.Writer, fs []Finding) error {
	var b strings.Builder
	for _, f := range sorted(fs) {
		command, title := f.Severity.String(), f.Code
		switch {
		case f.Waived != nil:
			command, title = "notice", f.Code+" (waived)"
		case f.Severity == Info:
			command = "notice"
		}
		b.WriteString("::" + command + " ")
		if f.Span.IsValid() {
			end := f.Span.stop()
			fmt.Fprintf(&b, "file=%s,line=%d,endLine=%d,", property(f.Span.Start.Filename), f.Span.Start.Line, end.Line)
			if end.Line == f.Span.Start.Line { // columns are for one line only
				fmt.Fprintf(&b, "col=%d,endColumn=%d,", f.Span.Start.Column, end.Column)
			}
		}
		fmt.Fprintf(&b, "title=%s::", property(title))
		text := clean(f.Summary)
		if f.Waived != nil {
			text += "\nwaived until " + clean(f.Waived.Until) + ": " + clean(f.Waived.Because)
		} else if f.Remedy != "" {
			text += "\n" + clean(f.Remedy)
		}
		b.WriteString(message(text) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// message escapes the text of a workflow command.
func message(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// property escapes a property of a workflow command.
func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
