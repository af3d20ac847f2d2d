package deploy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompareTextPatches lets patch(1) turn a into b with the diff: the only
// judge of a unified diff that counts. Without patch, the hunks are applied
// here.
func TestCompareTextPatches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		n := r.IntN(40)
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprintf("line %d", r.IntN(12))
		}
		return lines
	}
	for i := range 300 {
		a := strings.Join(text(), "\n")
		b := strings.Join(text(), "\n")
		if i%3 != 0 {
			a += "\n"
		}
		if i%5 != 0 {
			b += "\n"
		}
		d := CompareText("a", "b", []byte(a), []byte(b))
		if (d == "") != (a == b) {
			t.Fatalf("diff of %q and %q is %q", a, b, d)
		}
		if d == "" {
			continue
		}
		if got := patched(t, a, d); got != b {
			t.Fatalf("case %d: a %q patched with\n%s\ngave %q, want %q", i, a, d, got, b)
		}
	}
}

func patched(t *testing.T, a, d string) string {
	t.Helper()
	if _, err := exec.LookPath("patch"); err != nil {
		return applyHunks(t, a, d)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	if err := os.WriteFile(file, []byte(a), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("patch", "-s", "-F0", file)
	cmd.Stdin = strings.NewReader(d)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("patch: %v\n%s\n%s", err, out, d)
	}
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return "" // patch removes a file that becomes empty
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// applyHunks follows the header numbers strictly.
func applyHunks(t *testing.T, a, d string) string {
	t.Helper()
	var old []string
	for l := range strings.Lines(a) {
		old = append(old, l)
	}
	var out strings.Builder
	at := 0
	lines := strings.SplitAfter(d, "\n")
	for i := 2; i < len(lines); i++ {
		l := lines[i]
		switch {
		case l == "":
		case strings.HasPrefix(l, "@@"):
			var pos string
			if _, err := fmt.Sscanf(l, "@@ -%s", &pos); err != nil {
				t.Fatal(err)
			}
			start, count := 0, 1
			if _, err := fmt.Sscanf(pos, "%d,%d", &start, &count); err != nil {
				fmt.Sscanf(pos, "%d", &start)
			}
			if count == 0 {
				start++
			}
			for at < start-1 {
				out.WriteString(old[at])
				at++
			}
		case strings.HasPrefix(l, "\\"):
		default:
			body := l[1:]
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\\") {
				body = strings.TrimSuffix(body, "\n")
			}
			if l[0] != '+' {
				if at >= len(old) || old[at] != body {
					t.Fatalf("hunk does not fit at line %d: %q", at+1, body)
				}
				at++
			}
			if l[0] != '-' {
				out.WriteString(body)
			}
		}
	}
	for ; at < len(old); at++ {
		out.WriteString(old[at])
	}
	return out.String()
}

func TestCompareTextShape(t *testing.T) {
	a := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n"
	b := strings.Replace(strings.Replace(a, "2\n3\n", "2\nX\n", 1), "15\n", "", 1)
	want := `--- applied
+++ wanted
@@ -1,6 +1,6 @@
 1
 2
-3
+X
 4
 5
 6
@@ -12,5 +12,4 @@
 12
 13
 14
-15
 16
`
	if got := CompareText("applied", "wanted", []byte(a), []byte(b)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
