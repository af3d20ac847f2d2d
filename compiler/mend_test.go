package compiler

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/lang/diag"
)

// finder gives the findings about policy.xfw of an archive, with other texts in
// the place of its own.
func finder(a *txtar.Archive) func(map[string][]byte) []diag.Finding {
	return func(texts map[string][]byte) []diag.Finding {
		changed := &txtar.Archive{Comment: a.Comment, Files: slices.Clone(a.Files)}
		for i, f := range changed.Files {
			if text, ok := texts[f.Name]; ok {
				changed.Files[i].Data = text
			}
		}
		return compileArchive(changed).Findings
	}
}

// mendable are the policies of an archive that are read.
func mendable(a *txtar.Archive) map[string][]byte {
	texts := map[string][]byte{}
	for _, f := range a.Files {
		if strings.HasSuffix(f.Name, ".xfw") {
			texts[f.Name] = f.Data
		}
	}
	return texts
}

// badPolicies are all policies of the repository that somebody wrote for what is
// wrong with them, by where they stand.
func badPolicies(tb testing.TB) map[string]*txtar.Archive {
	tb.Helper()
	out := map[string]*txtar.Archive{}
	for _, pattern := range []string{"../golden/resolve/*.txtar", "../golden/lang/*.txtar", "../golden/checks/*.txtar", "../golden/fix/*.txtar"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			tb.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			a, err := txtar.ParseFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			if len(a.Files) > 0 && a.Files[0].Name == "policy.xfw" {
				out[path.Base(path.Dir(name))+"/"+path.Base(name)] = a
			}
		}
	}
	for _, c := range Checks() {
		out["check "+c.Code] = &txtar.Archive{Files: []txtar.File{
			{Name: "policy.xfw", Data: []byte(c.Bad)}, {Name: "xfwc.lock", Data: []byte(checkLock)},
		}}
	}
	return out
}

// stage is which part of a compile reports a code: what it reports is hidden as
// long as a part before it has errors.
func stage(code string) int {
	_, listed := diag.CodeOf(code)
	switch {
	case strings.HasPrefix(code, "syntax-"):
		return 0
	case listed && code != "test-failed" && !strings.HasPrefix(code, "waive-") && !strings.HasPrefix(code, "ledger-"):
		return 1
	}
	return 2
}

// Fixing twice is fixing once; what has a fix is gone afterwards, nothing new has
// come, and every comment is where it was among the others.
func TestMend(t *testing.T) {
	mendedAny := 0
	for name, a := range badPolicies(t) {
		t.Run(name, func(t *testing.T) {
			find, texts := finder(a), mendable(a)
			before := find(texts)
			mended, made := Mend(texts, find)
			if len(mended) == 0 {
				if len(made) > 0 {
					t.Errorf("%d fixes were made, and nothing changed", len(made))
				}
				return
			}
			mendedAny++
			again := maps.Clone(texts)
			maps.Copy(again, mended)
			after := find(again)
			if twice, more := Mend(again, find); len(twice) > 0 {
				t.Errorf("a second run mends %v", codesOf(more))
			}
			for _, f := range after {
				if len(f.Fix) > 0 && f.Waived == nil {
					t.Errorf("left unmended: %s %s: %s", spanOf(f), f.Code, f.Summary)
				}
			}
			// Errors of one part hide what the next has to say. Within a part a
			// statement that is mended can show one thing more: it was not read
			// on before. More than that would be of the fix's own making.
			last := 2
			for _, f := range before {
				if f.Severity == diag.Error && f.Waived == nil {
					last = min(last, stage(f.Code))
				}
			}
			judged := func(fs []diag.Finding) []diag.Finding {
				return slices.DeleteFunc(slices.Clone(fs), func(f diag.Finding) bool { return stage(f.Code) > last })
			}
			if had, has := judged(before), judged(after); len(has) > len(had) {
				t.Errorf("%d findings are left of %d: had %v, has %v", len(has), len(had), codesOf(had), codesOf(has))
			}
			for name, text := range mended {
				if got, want := comments(text), comments(texts[name]); !slices.Equal(got, want) {
					t.Errorf("%s has the comments %q, and had %q", name, got, want)
				}
				if formatted(texts[name]) && !formatted(text) {
					t.Errorf("%s was formatted", name)
				}
			}
		})
	}
	if mendedAny < 20 {
		t.Errorf("only %d policies had something to mend", mendedAny)
	}
}

func codesOf(fs []diag.Finding) map[string]int {
	n := map[string]int{}
	for _, f := range fs {
		n[f.Code]++
	}
	return n
}

func spanOf(f diag.Finding) string {
	return fmt.Sprintf("%s:%d:%d", f.Span.Start.Filename, f.Span.Start.Line, f.Span.Start.Column)
}

// comments are the comments of a text, in order. A # in a string is none.
func comments(text []byte) []string {
	var out []string
	for line := range strings.Lines(string(text)) {
		quoted := false
		for i := 0; i < len(line); i++ {
			switch {
			case line[i] == '"' && (i == 0 || line[i-1] != '\\'):
				quoted = !quoted
			case line[i] == '#' && !quoted:
				out = append(out, strings.TrimSpace(line[i:]))
				i = len(line)
			}
		}
	}
	return out
}

// The cases of golden/fix are archives: policy.xfw and what it includes; then
// "mended", the findings that are gone, and each file that changed as NAME.mended.
func TestMendGolden(t *testing.T) {
	names, err := filepath.Glob("../golden/fix/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			given := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if f.Name != "mended" && !strings.HasSuffix(f.Name, ".mended") {
					given.Files = append(given.Files, f)
				}
			}
			got := &txtar.Archive{Comment: a.Comment, Files: slices.Clone(given.Files)}
			mended, made := Mend(mendable(given), finder(given))
			var b bytes.Buffer
			for _, f := range made {
				fmt.Fprintf(&b, "%s %s\n", spanOf(f), f.Code)
			}
			got.Files = append(got.Files, txtar.File{Name: "mended", Data: b.Bytes()})
			for _, f := range given.Files {
				if text, ok := mended[f.Name]; ok {
					got.Files = append(got.Files, txtar.File{Name: f.Name + ".mended", Data: text})
				}
			}
			if os.Getenv("XFWC_UPDATE") == "1" {
				if err := os.WriteFile(name, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := txtar.Format(a); !bytes.Equal(txtar.Format(got), want) {
				t.Errorf("got\n%s\nwant\n%s", txtar.Format(got), want)
			}
		})
	}
}

// Whatever the text, mending it ends, and a second run has nothing to mend.
func FuzzMend(f *testing.F) {
	for _, a := range badPolicies(f) {
		f.Add(a.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		a := &txtar.Archive{Files: []txtar.File{{Name: "policy.xfw", Data: src}}}
		mended, _ := Mend(mendable(a), finder(a))
		if len(mended) == 0 {
			return
		}
		a.Files[0].Data = mended["policy.xfw"]
		if twice, made := Mend(mendable(a), finder(a)); len(twice) > 0 {
			t.Errorf("a second run mends %v: %q to %q to %q", codesOf(made), src, a.Files[0].Data, twice["policy.xfw"])
		}
	})
}
