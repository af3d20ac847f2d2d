package compiler

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"xfwc/lang"
)

// TestFortyMistakes compiles a policy with forty mistakes of every kind, each
// marked in its line with the code that has to be found there. One run finds all
// of them, and nothing that only follows from one.
func TestFortyMistakes(t *testing.T) {
	dir := filepath.Join("..", "golden", "mistakes")
	mark := regexp.MustCompile(`#! ([a-z0-9-]+)$`)
	var want []string
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			if m := mark.FindStringSubmatch(line); m != nil {
				want = append(want, fmt.Sprintf("%s:%d %s", filepath.Base(path), i+1, m[1]))
			}
		}
	}
	if len(want) != 40 {
		t.Errorf("%d mistakes are marked, want 40", len(want))
	}
	files, _, problems := lang.Load(filepath.Join(dir, "policy.xfw"), lang.OS())
	out := Compile(Input{Files: files, Problems: problems, ReadFeed: os.ReadFile, Date: "2026-11-22"})
	var got []string
	for _, f := range append(problems, out.Findings...) {
		got = append(got, fmt.Sprintf("%s:%d %s", filepath.Base(f.Span.Start.Filename), f.Span.Start.Line, f.Code))
	}
	slices.Sort(got)
	slices.Sort(want)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not found: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("found without a mistake: %s", g)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
}
