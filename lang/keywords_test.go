package lang

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestKeywordsPage compares docs/keywords.md with the forms.
func TestKeywordsPage(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Keywords

Every keyword of the language, by where it stands: what it is for, what holds
where it is missing, and the standard behind it. SPEC.md says what statements
mean together, and has the grammar.

This page is made from the table that the parser and ` + "`xfwc lsp`" + ` use:
XFWC_UPDATE=1 go test ./lang writes it anew.
`)
	for _, s := range Sections() {
		fmt.Fprintf(&b, "\n## %s%s\n\n| keyword | is written | what for | otherwise | reference |\n|---|---|---|---|---|\n", strings.ToUpper(s.Where[:1]), s.Where[1:])
		for _, k := range s.Keywords {
			var looks []string
			for _, way := range k.Looks {
				looks = append(looks, "`"+way+"`")
			}
			row := []string{"`" + k.Word + "`", strings.Join(looks, "<br>"), k.Means, k.Otherwise, k.Reference}
			for i := range row {
				row[i] = strings.ReplaceAll(row[i], "|", `\|`)
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	compareFile(t, "../docs/keywords.md", b.Bytes())
}

// Every keyword says what it is for, in a sentence.
func TestKeywordsAreExplained(t *testing.T) {
	for _, s := range Sections() {
		for _, k := range s.Keywords {
			if k.Means == "" || !strings.HasSuffix(k.Means, ".") || strings.HasSuffix(k.Otherwise, ".") || strings.HasSuffix(k.Reference, ".") {
				t.Errorf("%s %s: means %q, otherwise %q, reference %q", k.Word, s.Where, k.Means, k.Otherwise, k.Reference)
			}
		}
	}
}

func TestClauses(t *testing.T) {
	got := Clauses()
	for _, w := range []string{"of", "offload", "burst", "because", "until", "per"} {
		if !slices.Contains(got, w) {
			t.Errorf("%s is missing in %v", w, got)
		}
	}
	if slices.Contains(got, "server") || slices.Contains(got, "->") {
		t.Errorf("keywords or signs among %v", got)
	}
}
