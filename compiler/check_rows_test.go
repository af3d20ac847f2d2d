package compiler

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
)

// A near miss that fires is none: the case has no finding of the code, or, where
// the mark names a line, none on that line.
func TestNearMissesMiss(t *testing.T) {
	near := regexp.MustCompile(`(?m)^# near: (\S+)( \d+)?$`)
	forEachCase(t, func(archive, name, text string) {
		marks := near.FindAllStringSubmatch(text, -1)
		if len(marks) == 0 {
			return
		}
		found := checkPolicy(t, name, text)
		for _, m := range marks {
			if !isCheck(m[1]) {
				t.Errorf("%s/%s is near %s, which is no check", archive, name, m[1])
			}
			for _, f := range found {
				if line := fmt.Sprintf(" %d", f.Span.Start.Line); f.Code == m[1] && (m[2] == "" || m[2] == line) {
					t.Errorf("%s/%s: line%s has the finding %s that it should just miss", archive, name, line, m[1])
				}
			}
		}
	})
}

// The page has every check and no other, in its table and as a section.
func TestDocumentationHasEveryCheck(t *testing.T) {
	page := readFile(t, "../docs/checks.md")
	var codes []string
	for _, c := range Checks() {
		codes = append(codes, c.Code)
	}
	for what, pattern := range map[string]string{"line of the table": `(?m)^\| \[([a-z0-9-]+)\]\(#`, "section": `(?m)^## ([a-z0-9-]+)$`} {
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(page, -1) {
			found = append(found, m[1])
		}
		for _, code := range codes {
			if !slices.Contains(found, code) {
				t.Errorf("docs/checks.md has no %s for %s", what, code)
			}
		}
		for _, code := range found {
			if !slices.Contains(codes, code) {
				t.Errorf("docs/checks.md has a %s for %s, which is no check", what, code)
			}
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}
