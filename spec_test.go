package xfwc_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"xfwc/compiler"
	"xfwc/lang"
)

// The grammar stands in SPEC.md between these two lines.
const (
	ebnfBegin = "<!-- grammar: written by `make golden` -->\n```ebnf\n"
	ebnfEnd   = "```\n<!-- end of grammar -->\n"
)

// TestSpecGrammar compares the grammar in SPEC.md with that of the parser.
func TestSpecGrammar(t *testing.T) {
	spec := readSpec(t)
	head, rest, ok := strings.Cut(spec, ebnfBegin)
	if !ok {
		t.Fatalf("SPEC.md has no line %q", ebnfBegin)
	}
	got, tail, ok := strings.Cut(rest, ebnfEnd)
	if !ok {
		t.Fatalf("SPEC.md has no line %q after the grammar", ebnfEnd)
	}
	want := lang.EBNF()
	if got == want {
		return
	}
	if os.Getenv("XFWC_UPDATE") != "" {
		if err := os.WriteFile("SPEC.md", []byte(head+ebnfBegin+want+ebnfEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the grammar in SPEC.md is not the parser's; run make golden. The parser's is:\n%s", want)
}

// The table of limits stands in SPEC.md between these two lines.
const (
	limitsBegin = "<!-- limits: written by `make golden` -->\n"
	limitsEnd   = "<!-- end of limits -->\n"
)

// TestSpecLimits compares the table of limits in SPEC.md with that of the compiler.
func TestSpecLimits(t *testing.T) {
	spec := readSpec(t)
	head, rest, ok := strings.Cut(spec, limitsBegin)
	got, tail, ok2 := strings.Cut(rest, limitsEnd)
	if !ok || !ok2 {
		t.Fatalf("SPEC.md has no lines %q and %q", limitsBegin, limitsEnd)
	}
	var want strings.Builder
	fmt.Fprintf(&want, "| limit | %s | can be held by |\n|%s\n", strings.Join(compiler.LimitStatements, " | "), strings.Repeat("---|", len(compiler.LimitStatements)+2))
	for _, r := range compiler.LimitTable {
		fmt.Fprintf(&want, "| `%s %s` |", r.Kind, r.Amount())
		for _, statement := range compiler.LimitStatements {
			var keys []string
			for _, k := range r.Keys[statement] {
				keys = append(keys, string(k))
			}
			fmt.Fprintf(&want, " %s |", strings.Join(keys, ", "))
		}
		fmt.Fprintf(&want, " %s |\n", r.Holds)
	}
	if got == want.String() {
		return
	}
	if os.Getenv("XFWC_UPDATE") != "" {
		if err := os.WriteFile("SPEC.md", []byte(head+limitsBegin+want.String()+limitsEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table of limits in SPEC.md is not the compiler's; run make golden. The compiler's is:\n%s", want.String())
}

// xfwBlock finds the examples of the language in a document.
var xfwBlock = regexp.MustCompile("(?ms)^```xfw\n(.*?)^```$")

// TestDocumentedPolicies holds every example in SPEC.md and README.md to the
// grammar and to the one format.
func TestDocumentedPolicies(t *testing.T) {
	seen := 0
	for _, name := range []string{"SPEC.md", "README.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range xfwBlock.FindAllSubmatchIndex(text, -1) {
			seen++
			policy := text[m[2]:m[3]]
			line := 1 + strings.Count(string(text[:m[2]]), "\n")
			_, findings := lang.Parse(name, policy)
			for _, f := range findings {
				t.Errorf("%s:%d: %s: %s", name, line+f.Span.Start.Line-1, f.Code, f.Summary)
			}
			if formatted := lang.Format(policy); string(formatted) != string(policy) {
				t.Errorf("%s, example at line %d is not formatted; it should be:\n%s", name, line, formatted)
			}
		}
	}
	if seen < 10 {
		t.Errorf("found %d examples; the test looks for ```xfw", seen)
	}
}

func readSpec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
