// Package report writes a policy as one page for whoever has to judge it: what
// the site looks like, what was found, what is enforced where and how exactly.
//
// The page is one file that needs nothing else: no network, no script, no font.
// The same input gives the same bytes; there is no clock in it.
package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Input is all that a report depends on.
type Input struct {
	// Policy is what was made of the files; nil where they have errors that
	// leave nothing to speak of.
	Policy   *ir.Policy
	Name     string            // of the policy; may be empty
	Root     string            // the policy file
	Sources  map[string][]byte // the files of the policy by name
	Lock     []byte            // nil when there is none
	Findings []diag.Finding    // of the compile and of the backends
	Waivers  []compiler.Waiver
	Ledger   []ir.LedgerEntry
	Date     string // the day that dates are judged by, YYYY-MM-DD; "" judges none
}

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"parts": parts,
	"style": func() template.CSS { return template.CSS(styleText) }, // our own text, and nothing of the policy
}).Parse(pageText))

// HTML writes the report.
func HTML(w io.Writer, in Input) error {
	v := newView(in)
	return page.Execute(w, v)
}

// view is what the template shows.
type view struct {
	in    Input
	files []string            // of Sources, the policy itself first
	lines map[string][]string // of Sources

	Title    string
	Verdict  verdict
	Facts    []fact
	Files    []file
	Figures  []figure
	Sections []section

	Wide, Narrow *picture
	Flows        []flow
	Groups       []group
	Waivers      []waiver
	Statements   []statement
	Limits       []limit
	Content      []content
	Matrix       *matrix
	Frameworks   []framework
}

type section struct{ ID, Title string }

// verdict is what came of the policy.
type verdict struct{ Class, Word, Text string }

type fact struct {
	Name, Value string
	Code        bool
}

// figure is a number at the head of the page.
type figure struct {
	Number, Name, Note, Class string
}

// link is where something stands.
type link struct{ Text, Href string }

func newView(in Input) *view {
	v := &view{in: in, lines: map[string][]string{}}
	for name, text := range in.Sources {
		v.lines[name] = strings.Split(string(text), "\n")
	}
	v.files = slices.SortedFunc(maps.Keys(in.Sources), func(a, b string) int {
		return cmp.Or(compareBool(a != in.Root, b != in.Root), cmp.Compare(a, b))
	})
	v.Title = visible(cmp.Or(strings.TrimSpace(in.Name), filepath.Base(in.Root)))
	v.judge()
	v.sources()
	v.facts()
	v.findings()
	v.waivers()
	if p := in.Policy; p != nil {
		s := newSite(p)
		// Both are laid out from the same site, one after the other.
		v.Wide = draw(s, wide)
		v.Narrow = draw(s, narrow)
		v.flows()
		v.statements()
		v.limits()
		v.content()
		v.ledger()
		v.controls()
	}
	v.figures()
	for _, s := range []struct {
		section
		there bool
	}{
		{section{"site", "The site"}, v.Wide != nil && !v.Wide.Empty},
		{section{"flows", "What may talk to what"}, len(v.Flows) > 0},
		{section{"findings", "Findings"}, true},
		{section{"waivers", "Waivers"}, true},
		{section{"statements", "Who answers for what"}, len(v.Statements) > 0},
		{section{"limits", "Limits"}, len(v.Limits) > 0},
		{section{"content", "Content rules"}, len(v.Content) > 0},
		{section{"ledger", "What is enforced where"}, v.Matrix != nil},
		{section{"controls", "Controls"}, len(v.Frameworks) > 0},
		{section{"policy", "The policy"}, true},
	} {
		if s.there {
			v.Sections = append(v.Sections, s.section)
		}
	}
	return v
}

// Has reports whether the page has a section.
func (v *view) Has(id string) bool {
	return slices.ContainsFunc(v.Sections, func(s section) bool { return s.ID == id })
}

// Number is the number of a section.
func (v *view) Number(id string) int {
	return slices.IndexFunc(v.Sections, func(s section) bool { return s.ID == id }) + 1
}

// tests says how the policy's own tests went.
func (v *view) tests() (all, failed int) {
	if v.in.Policy == nil {
		return 0, 0
	}
	for _, f := range v.in.Findings {
		if f.Code == "test-failed" && f.Waived == nil {
			failed++
		}
	}
	return len(v.in.Policy.Tests) + len(v.in.Policy.Cases), failed
}

func (v *view) count(s diag.Severity) int {
	n := 0
	for _, f := range v.in.Findings {
		if f.Waived == nil && f.Severity == s {
			n++
		}
	}
	return n
}

func (v *view) waived() int {
	n := 0
	for _, f := range v.in.Findings {
		if f.Waived != nil {
			n++
		}
	}
	return n
}

func (v *view) judge() {
	errors, warnings, waived := v.count(diag.Error), v.count(diag.Warning), v.waived()
	aside := ""
	if waived > 0 {
		aside = fmt.Sprintf(" %s set aside by waivers.", numbered(waived, "finding is", "findings are"))
	}
	switch {
	case errors > 0:
		v.Verdict = verdict{"refused", "Refused", numbered(errors, "error has", "errors have") + " to be mended before this policy is compiled or put in force." + aside}
	case warnings > 0:
		v.Verdict = verdict{"warned", "Accepted with warnings", numbered(warnings, "warning is", "warnings are") + " open." + aside}
	case waived > 0:
		v.Verdict = verdict{"accepted", "Accepted", "No error and no warning is open." + aside}
	default:
		v.Verdict = verdict{"accepted", "Accepted", "No error and no warning was found."}
	}
	if all, failed := v.tests(); all > 0 && failed == 0 && errors == 0 {
		v.Verdict.Text += fmt.Sprintf(" The policy's own %s.", numbered(all, "expectation holds", "expectations hold"))
	}
}

// numbered is "1 error has", "2 errors have".
func numbered(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func (v *view) facts() {
	add := func(name, value string, code bool) {
		if value != "" {
			v.Facts = append(v.Facts, fact{name, visible(value), code})
		}
	}
	if p := v.in.Policy; p != nil {
		add("Owner", p.Owner, false)
		add("Ticket", p.Ticket, false)
		add("Profile", p.Profile, false)
		add("Frameworks", strings.Join(p.Comply, ", "), false)
	}
	add("Policy file", v.short(v.in.Root), false)
	sums := ""
	for _, f := range v.Files {
		sums += f.Sum + "  " + f.Name + "\n"
	}
	if len(v.Files) == 1 {
		add("SHA-256 of the policy", v.Files[0].Sum, true)
	} else if len(v.Files) > 1 {
		add("SHA-256 of the files’ sums", sum([]byte(sums)), true)
	}
	if v.in.Lock != nil {
		add("SHA-256 of xfwc.lock", sum(v.in.Lock), true)
	}
	add("Judged as of", v.in.Date, false)
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

func (v *view) figures() {
	add := func(n int, one, more, note, class string) {
		name := more
		if n == 1 {
			name = one
		}
		v.Figures = append(v.Figures, figure{fmt.Sprint(n), name, note, class})
	}
	add(v.count(diag.Error), "error", "errors", "", flag(v.count(diag.Error) > 0, "error"))
	add(v.count(diag.Warning), "warning", "warnings", "", flag(v.count(diag.Warning) > 0, "warning"))
	add(v.waived(), "finding waived", "findings waived", "", "")
	if p := v.in.Policy; p != nil {
		add(len(p.Points), "point", "points", "", "")
		allowed := 0
		for _, f := range p.Flows {
			if f.Verdict == ir.Allow {
				allowed++
			}
		}
		add(allowed, "flow allowed", "flows allowed", "", "")
		if v.Matrix != nil {
			add(v.Matrix.Nowhere, "intent held nowhere", "intents held nowhere", "", flag(v.Matrix.Nowhere > 0, "warning"))
		}
		if all, failed := v.tests(); all > 0 {
			add(all-failed, "expectation holds", "expectations hold", fmt.Sprintf("of %d", all), flag(failed > 0, "error"))
		}
	}
}

func flag(on bool, class string) string {
	if on {
		return class
	}
	return ""
}

// short is a file's name as seen from the policy's folder.
func (v *view) short(name string) string {
	name = filepath.ToSlash(name)
	dir := filepath.ToSlash(filepath.Dir(v.in.Root)) + "/"
	return strings.TrimPrefix(name, dir)
}

// link points at the line that a span starts on.
func (v *view) link(s diag.Span) link {
	if !s.IsValid() {
		return link{}
	}
	l := link{Text: fmt.Sprintf("%s:%d", visible(v.short(s.Start.Filename)), s.Start.Line)}
	if i := slices.Index(v.files, s.Start.Filename); i >= 0 {
		l.Href = fmt.Sprintf("#f%d-%d", i, s.Start.Line)
	}
	return l
}

// file is a file of the policy.
type file struct {
	ID    string
	Name  string
	Sum   string
	Lines []sourceLine
}

type sourceLine struct {
	ID     string
	Number int
	Text   string
	Marked string // the worst severity of the findings that start here
}

func (v *view) sources() {
	marked := map[string]diag.Severity{}
	for _, f := range v.in.Findings {
		if l := v.link(f.Span); l.Href != "" && f.Waived == nil {
			marked[l.Href] = max(marked[l.Href], f.Severity)
		}
	}
	for i, name := range v.files {
		f := file{ID: fmt.Sprintf("f%d", i), Name: visible(v.short(name)), Sum: sum(v.in.Sources[name])}
		number := 0
		for line := range strings.Lines(string(v.in.Sources[name])) {
			number++
			l := sourceLine{ID: fmt.Sprintf("f%d-%d", i, number), Number: number, Text: visible(strings.TrimRight(line, "\r\n"))}
			if s, ok := marked["#"+l.ID]; ok {
				l.Marked = s.String()
			}
			f.Lines = append(f.Lines, l)
		}
		v.Files = append(v.Files, f)
	}
}

// visible shows what a text holds that would not be seen, or would steer how the
// rest is seen: control characters and the marks that turn the direction of text
// are written out (CVE-2021-42574).
func visible(s string) string {
	if strings.IndexFunc(s, hides) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "�") {
		switch {
		case r == '\t' || r == '\n':
			b.WriteRune(r)
		case hides(r):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hides(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' || unicode.In(r, unicode.Bidi_Control) ||
		r == 0xfeff || r == 0x200b || r >= 0xe0000 && r <= 0xe007f || r == 0x2028 || r == 0x2029
}

// days is how many days lie between two dates; ok is false if one is none.
func days(from, to string) (int, bool) {
	a, err1 := time.Parse(time.DateOnly, from)
	b, err2 := time.Parse(time.DateOnly, to)
	if err1 != nil || err2 != nil {
		return 0, false
	}
	return int(b.Sub(a) / (24 * time.Hour)), true
}

// until says how a last day stands to the day of the report.
func (v *view) until(last string) (note, class string) {
	n, ok := days(v.in.Date, last)
	switch {
	case !ok:
		return "", ""
	case n < 0:
		return numbered(-n, "day ago", "days ago"), "error"
	case n <= 30:
		return "in " + numbered(n, "day", "days"), "warning"
	}
	return "in " + numbered(n, "day", "days"), ""
}
