package compiler

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Best practice is a list of 131 rows, some of several codes: every one is a
// check with a case that fires it and a near miss that does not, or it stands in
// SPEC.md with the input it needs. golden/checks/rows.txt says which.
func TestRowsAreCovered(t *testing.T) {
	rows := readFile(t, "../golden/checks/rows.txt")
	spec := specTable(t)
	var cases strings.Builder
	archives, err := filepath.Glob("../golden/checks/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range archives {
		cases.WriteString(readFile(t, a))
	}
	seen := map[string]bool{}
	numbers := map[string]bool{}
	for line := range strings.Lines(rows) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 || seen[f[1]] || f[2] != "check" && f[2] != "SPEC" {
			t.Errorf("rows.txt: %q", line)
			continue
		}
		number, code := f[0], f[1]
		seen[code], numbers[number] = true, true
		inSpec := slices.Contains(spec, code)
		switch {
		case f[2] == "SPEC":
			if !inSpec {
				t.Errorf("row %s: %s is not in the table of SPEC.md", number, code)
			}
			if isCheck(code) {
				t.Errorf("row %s: %s is a check, and rows.txt says that it needs more than a policy", number, code)
			}
		case inSpec:
			t.Errorf("row %s: %s is in the table of SPEC.md, and rows.txt says that it is a check", number, code)
		case !isCheck(code):
			t.Errorf("row %s: there is no check %s", number, code)
		default:
			if !regexp.MustCompile(`(?m)^# want: ` + code + ` [0-9]+$`).MatchString(cases.String()) {
				t.Errorf("row %s: no case of golden/checks fires %s", number, code)
			}
			if !regexp.MustCompile(`(?m)^# near: ` + code + `( [0-9]+)?$`).MatchString(cases.String()) {
				t.Errorf("row %s: no case of golden/checks is a near miss of %s; say so with `# near: %s`", number, code, code)
			}
		}
	}
	for n := 1; n <= 131; n++ {
		if !numbers[fmt.Sprint(n)] {
			t.Errorf("rows.txt lacks row %d", n)
		}
	}
	for _, code := range spec {
		if !seen[code] {
			t.Errorf("SPEC.md lists %s among the checks that need more than a policy, and rows.txt does not know it", code)
		}
	}
}

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

// specTable lists the codes of the table in SPEC.md of checks that need more
// than a policy.
func specTable(t *testing.T) []string {
	t.Helper()
	_, after, ok := strings.Cut(readFile(t, "../SPEC.md"), "### Checks that need more than a policy\n")
	if !ok {
		t.Fatal("SPEC.md has no table of checks that need more than a policy")
	}
	section, _, _ := strings.Cut(after, "\n#")
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| .+ \\| .+ \\| `xfwc (drift|lock)` \\|$").FindAllStringSubmatch(section, -1) {
		out = append(out, m[1])
	}
	if rows := strings.Count(section, "\n| `"); rows != len(out) {
		t.Errorf("SPEC.md: %d of %d lines of the table say what is asked, what is needed and which command reports it", len(out), rows)
	}
	return out
}
