package diag

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v2/sarif"
)

var update = os.Getenv("XFWC_UPDATE") != ""

const policySource = "policy \"x\" {\n\towner \"ünïcode 漢字\"  \tprofile lax\n}\npeer legacy { tls none }\n" +
	"bad \x1b[31mescape\u202e here\n"

const longLine = "network a = "

func sourcesForTest() map[string][]byte {
	return map[string][]byte{
		"policy.xfw":       []byte(policySource),
		"peers, 100%.xfw":  []byte("peer a.example {\r\n  tls none\r\n}\r\n"),
		"long.xfw":         []byte(longLine + strings.Repeat("192.0.2.1, ", 100) + "x\n"),
		"multi\nline.xfw":  []byte("one\n"),
		"empty-at-end.xfw": []byte("x\n"),
	}
}

// span finds text in a source of the test.
func span(file, text string) Span {
	src := string(sourcesForTest()[file])
	i := strings.Index(src, text)
	if i < 0 {
		panic("no " + text + " in " + file)
	}
	pos := func(offset int) Pos {
		before := src[:offset]
		return Pos{file, offset, strings.Count(before, "\n") + 1, offset - strings.LastIndex(before, "\n")}
	}
	return Span{pos(i), pos(i + len(text))}
}

// findingsForTest has one finding for everything a renderer has to cope with.
func findingsForTest() []Finding {
	full := New("value-invalid", span("policy.xfw", "lax"), `"lax" is no profile`)
	full.Remedy = "Use baseline or strict."
	full.Reference = "SPEC.md, profiles"
	full.Fix = []Edit{
		{span("policy.xfw", "lax"), "baseline"},
		{Span{span("policy.xfw", "profile").Start, span("policy.xfw", "profile").Start}, "a "},
		{span("peers, 100%.xfw", "tls none\r\n"), ""},
	}
	full.Labels = []Label{
		{span("policy.xfw", `"ünïcode 漢字"`), "the owner"},
		{span("peers, 100%.xfw", "tls none"), "in another file"},
		{Span{Start: Pos{"gone.xfw", 5, 2, 3}}, "in a file without source"},
	}
	waived := Finding{
		Code: "fed-cleartext-peer", Severity: Error, Span: span("policy.xfw", "tls none"),
		Summary: "federation without TLS", Remedy: "Require TLS.",
		Waived: &Waived{span("policy.xfw", "peer legacy"), "2027-06-30", "they cannot, NET-431\n% <b>"},
	}
	info := Finding{Code: "name-unused", Severity: Info, Span: span("peers, 100%.xfw", "peer a.example"), Summary: "nothing uses a.example"}
	warning := New("waive-unused", Span{}, "no place: 100%, <&>\nand a second line")
	wide := New("syntax-statement", span("long.xfw", "x\n"), "behind a long line")
	manyLines := New("syntax-block", Span{span("policy.xfw", `policy`).Start, span("policy.xfw", "}\n").End}, "over several lines")
	hostile := New("syntax-character", span("policy.xfw", "here"), "control \x1b[2J and \u2066 marks, bytes \xff")
	odd := New("syntax-include", Span{Start: Pos{"multi\nline.xfw", 0, 1, 1}}, "an odd file name")
	last := New("syntax-block", Span{Pos{"empty-at-end.xfw", 2, 2, 1}, Pos{"empty-at-end.xfw", 2, 2, 1}}, "at the end of a file")
	beyond := New("syntax-block", Span{Pos{"policy.xfw", 9999, 99, 9}, Pos{"policy.xfw", 9999, 99, 9}}, "outside of its file")
	return []Finding{beyond, last, odd, hostile, manyLines, wide, warning, info, waived, full}
}

// TestRender compares every output format with its golden.
func TestRender(t *testing.T) {
	fs, sources := findingsForTest(), sourcesForTest()
	check := Rule{
		Code: Code{Code: "fed-cleartext-peer", Severity: Warning, Title: "a peer without TLS", Remedy: "Ask the peer for TLS."},
		Why:  "Everybody on the way reads it.", Reference: "RFC 6120 section 5",
	}
	renderers := []struct {
		golden string
		render func(io.Writer, []Finding) error
	}{
		{"text", func(w io.Writer, fs []Finding) error { RenderText(w, fs, sources, false); return nil }},
		{"color", func(w io.Writer, fs []Finding) error { RenderText(w, fs, sources, true); return nil }},
		{"json", RenderJSON},
		{"sarif", func(w io.Writer, fs []Finding) error { return RenderSARIF(w, fs, sources, check) }},
		{"junit", RenderJUnit},
		{"github", RenderGitHub},
	}
	for _, r := range renderers {
		for name, in := range map[string][]Finding{r.golden: fs, r.golden + "-none": nil} {
			t.Run(name, func(t *testing.T) {
				var b, again bytes.Buffer
				if err := r.render(&b, in); err != nil {
					t.Fatal(err)
				}
				shuffled := slices.Clone(in)
				slices.Reverse(shuffled)
				if err := r.render(&again, shuffled); err != nil {
					t.Fatal(err)
				}
				if b.String() != again.String() {
					t.Error("the order of the findings changes the output")
				}
				golden(t, "testdata/"+name+".golden", b.Bytes())
			})
		}
	}
	if !slices.EqualFunc(fs, findingsForTest(), func(a, b Finding) bool { return a.Code == b.Code && a.Summary == b.Summary }) {
		t.Error("a renderer reordered its argument")
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// TestTextIsTerminalSafe looks for what a terminal would obey.
func TestTextIsTerminalSafe(t *testing.T) {
	var b bytes.Buffer
	RenderText(&b, findingsForTest(), sourcesForTest(), false)
	for _, r := range b.String() {
		if r != '\n' && steers(r) {
			t.Errorf("output holds %U", r)
		}
	}
}

// TestCarets: carets stand under the text in terminal cells, tabs are kept.
func TestCarets(t *testing.T) {
	tests := []struct{ line, text, want string }{
		{"abc def", "def", "    ^^^"},
		{"\tabc", "abc", "\t^^^"},
		{"é \t漢字 x", "x", "  \t     ^"},
		{"é", "é", "^"},
		{"漢字", "字", "  ^^"},
		{"e\u0301x", "x", " ^"},
	}
	for _, test := range tests {
		i := strings.Index(test.line, test.text)
		s := Span{Pos{"f", i, 1, i + 1}, Pos{"f", i + len(test.text), 1, i + len(test.text) + 1}}
		var b bytes.Buffer
		RenderText(&b, []Finding{New("syntax-block", s, "x")}, map[string][]byte{"f": []byte(test.line)}, false)
		lines := strings.Split(b.String(), "\n")
		if got := strings.TrimPrefix(lines[2], "     | "); got != test.want {
			t.Errorf("%q: carets %q, want %q", test.line, got, test.want)
		}
	}
}

// TestReportsParse reads the reports back with other readers.
func TestReportsParse(t *testing.T) {
	fs := findingsForTest()
	var b bytes.Buffer
	if err := RenderJSON(&b, fs); err != nil {
		t.Fatal(err)
	}
	var report jsonReport
	if err := json.Unmarshal(b.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	c := report.Counts
	if len(report.Findings) != len(fs) || c.Error+c.Warning+c.Info+c.Waived != len(fs) || c.Waived != 1 || c.Info != 1 || c.Warning != 1 {
		t.Errorf("counts %+v for %d findings", c, len(fs))
	}

	b.Reset()
	if err := RenderSARIF(&b, fs, sourcesForTest()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "null") {
		t.Error("the SARIF report holds null")
	}
	s, err := sarif.FromBytes(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	suppressed := 0
	for _, r := range s.Runs[0].Results {
		if rule := s.Runs[0].Tool.Driver.Rules[*r.RuleIndex]; rule.ID != *r.RuleID {
			t.Errorf("rule index of %s leads to %s", *r.RuleID, rule.ID)
		}
		suppressed += len(r.Suppressions)
	}
	if len(s.Runs[0].Results) != len(fs) || suppressed != 1 {
		t.Errorf("%d results, %d of them suppressed", len(s.Runs[0].Results), suppressed)
	}

	b.Reset()
	if err := RenderJUnit(&b, fs); err != nil {
		t.Fatal(err)
	}
	var suite junitSuite
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for _, c := range suite.Cases {
		if c.Failure != nil {
			failures++
		}
		if c.Failure != nil && strings.HasPrefix(c.Name, "fed-cleartext-peer") {
			t.Error("a waived finding fails")
		}
	}
	if failures != suite.Failures || len(suite.Cases) != suite.Tests || suite.Skipped != 1 {
		t.Errorf("%d failures in %d cases, the suite says %d in %d", failures, len(suite.Cases), suite.Failures, suite.Tests)
	}

	b.Reset()
	if err := RenderGitHub(&b, fs); err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`^::(error|warning|notice) (file=[^,:]*,line=\d+,endLine=\d+,(col=\d+,endColumn=\d+,)?)?title=[^,:]*::[^\r]*$`)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for _, l := range lines {
		if !command.MatchString(l) {
			t.Errorf("no workflow command: %q", l)
		}
	}
	if len(lines) != len(fs) {
		t.Errorf("%d lines for %d findings", len(lines), len(fs))
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// TestWriteErrors: reports say when they could not be written.
func TestWriteErrors(t *testing.T) {
	for name, render := range map[string]func(io.Writer, []Finding) error{
		"json": RenderJSON, "junit": RenderJUnit, "github": RenderGitHub,
		"sarif": func(w io.Writer, fs []Finding) error { return RenderSARIF(w, fs, nil) },
	} {
		if err := render(brokenWriter{}, findingsForTest()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestCatalogue: codes are words, listed once, with all they need.
func TestCatalogue(t *testing.T) {
	word := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	seen := map[string]bool{}
	for _, c := range Codes() {
		if !word.MatchString(c.Code) || seen[c.Code] {
			t.Errorf("code %q is no word or there twice", c.Code)
		}
		seen[c.Code] = true
		if c.Title == "" || c.Remedy == "" || c.Severity.String() == "invalid" {
			t.Errorf("%s lacks a title, a remedy or a severity", c.Code)
		}
		if got, ok := CodeOf(c.Code); !ok || got != c {
			t.Errorf("CodeOf(%s) = %+v", c.Code, got)
		}
	}
	if _, ok := CodeOf("no-such-code"); ok {
		t.Error("an unknown code is known")
	}
	defer func() {
		if recover() == nil {
			t.Error("New accepts an unknown code")
		}
	}()
	New("no-such-code", Span{}, "")
}

func TestSeverity(t *testing.T) {
	for _, s := range []Severity{Info, Warning, Error} {
		if got, ok := ParseSeverity(s.String()); !ok || got != s {
			t.Errorf("%v reads back as %v", s, got)
		}
	}
	if _, ok := ParseSeverity("fatal"); ok || Severity(0).String() != "invalid" {
		t.Error("an invalid severity passes")
	}
	fs := findingsForTest()
	if Worst(fs) != Error || !HasErrors(fs) {
		t.Error("the worst of the findings is an error")
	}
	waived := slices.DeleteFunc(fs, func(f Finding) bool { return f.Waived == nil })
	if len(waived) == 0 || Worst(waived) != 0 || HasErrors(waived) {
		t.Error("a waived error counts")
	}
}

func ExampleRenderText() {
	src := []byte("server chat {\n  adress 192.0.2.1\n}\n")
	f := New("syntax-keyword", Span{Pos{"policy.xfw", 16, 2, 3}, Pos{"policy.xfw", 22, 2, 9}}, `unknown keyword "adress"`)
	RenderText(os.Stdout, []Finding{f}, map[string][]byte{"policy.xfw": src}, false)
	fmt.Println("done")
	// Output:
	// policy.xfw:2:3: error syntax-keyword: unknown keyword "adress"
	//    2 |   adress 192.0.2.1
	//      |   ^^^^^^
	//   remedy: Use one of the keywords that the message lists.
	// done
}
