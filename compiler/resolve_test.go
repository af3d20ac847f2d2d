package compiler

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// The cases of golden/resolve are archives: policy.xfw and what it includes,
// feeds and xfwc.lock; then what comes of them. A comment line "# date
// 2026-01-31" sets the date of the compile.
//
//	findings   code, place, severity and the places of labels; the wording is
//	           not pinned here, and findings of later stages are left out
//	ir         the dump of the policy, only where the policy has no errors
//
// XFWC_UPDATE=1 writes what comes of the inputs.
func TestResolve(t *testing.T) {
	files, err := filepath.Glob("../golden/resolve/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			kept := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if f.Name == "findings" || f.Name == "ir" {
					want[f.Name] = string(f.Data)
				} else {
					kept.Files = append(kept.Files, f)
				}
			}
			out := compileArchive(kept)
			out.Findings = slices.DeleteFunc(out.Findings, notResolver)
			got := map[string]string{"findings": pinned(out.Findings)}
			if !diag.HasErrors(out.Findings) {
				got["ir"] = string(out.Policy.Dump())
				for _, f := range out.Policy.Sanity() {
					t.Errorf("sanity: %s", f.Summary)
				}
			}
			for _, f := range out.Findings {
				if f.Summary == "" || f.Remedy == "" || f.Code == "internal-error" {
					t.Errorf("%s: %q remedy %q", f.Code, f.Summary, f.Remedy)
				}
			}
			if os.Getenv("XFWC_UPDATE") == "1" {
				for _, section := range []string{"findings", "ir"} {
					if got[section] != "" {
						kept.Files = append(kept.Files, txtar.File{Name: section, Data: []byte(got[section])})
					}
				}
				if err := os.WriteFile(name, txtar.Format(kept), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, section := range []string{"findings", "ir"} {
				if got[section] != want[section] {
					t.Errorf("%s is\n%s\nwant\n%s", section, got[section], want[section])
				}
			}
			if t.Failed() {
				for _, f := range out.Findings {
					t.Logf("%s:%d:%d: %s: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Span.Start.Column, f.Code, f.Summary)
				}
			}
		})
	}
}

// notResolver tells the findings of later stages, which have cases of their own.
func notResolver(f diag.Finding) bool {
	_, listed := diag.CodeOf(f.Code)
	return !listed || strings.HasPrefix(f.Code, "ledger-") || strings.HasPrefix(f.Code, "test-")
}

// compileArchive compiles the files of an archive as if they were a directory.
func compileArchive(a *txtar.Archive) Output {
	files := map[string][]byte{}
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	read := func(name string) ([]byte, error) {
		if b, ok := files[name]; ok {
			return b, nil
		}
		return nil, os.ErrNotExist
	}
	var found []diag.Finding
	in := Input{ReadFeed: read}
	var fs []diag.Finding
	in.Files, _, fs = lang.Load("policy.xfw", lang.Source{Read: read, Glob: func(pattern string) ([]string, error) {
		var out []string
		for _, f := range a.Files {
			if ok, err := path.Match(pattern, f.Name); err != nil {
				return nil, err
			} else if ok {
				out = append(out, f.Name)
			}
		}
		return out, nil
	}})
	found = append(found, fs...)
	if src, ok := files["xfwc.lock"]; ok {
		in.Lock, fs = lock.Parse("xfwc.lock", src)
		found = append(found, fs...)
	}
	for line := range strings.Lines(string(a.Comment)) {
		if date, ok := strings.CutPrefix(line, "# date "); ok {
			in.Date = strings.TrimSpace(date)
		}
	}
	in.Problems = found
	out := Compile(in)
	out.Findings = append(found, out.Findings...)
	diag.Sort(out.Findings)
	return out
}

// pinned writes findings by code, place and severity: wording may improve
// without a change here.
func pinned(fs []diag.Finding) string {
	var b bytes.Buffer
	for _, f := range fs {
		waived := ""
		if f.Waived != nil {
			waived = " waived"
		}
		s, e := f.Span.Start, f.Span.End
		fmt.Fprintf(&b, "%s %s:%d:%d-%d:%d %s%s\n", f.Code, s.Filename, s.Line, s.Column, e.Line, e.Column, f.Severity, waived)
		for _, l := range f.Labels {
			fmt.Fprintf(&b, "  with %s:%d:%d\n", l.Span.Start.Filename, l.Span.Start.Line, l.Span.Start.Column)
		}
	}
	return b.String()
}

// loadExample compiles an example of the repository.
func loadExample(t testing.TB, name string) Output {
	t.Helper()
	dir := filepath.Join("..", "examples", name)
	files, _, fs := lang.Load(filepath.Join(dir, "policy.xfw"), lang.OS())
	in := Input{Files: files, ReadFeed: os.ReadFile, Date: "2026-11-01"}
	if src, err := os.ReadFile(filepath.Join(dir, "xfwc.lock")); err == nil {
		var more []diag.Finding
		in.Lock, more = lock.Parse("xfwc.lock", src)
		fs = append(fs, more...)
	}
	in.Problems = fs
	out := Compile(in)
	out.Findings = append(fs, out.Findings...)
	return out
}

func TestExamples(t *testing.T) {
	dirs, err := os.ReadDir("../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		t.Run(d.Name(), func(t *testing.T) {
			out := loadExample(t, d.Name())
			for _, f := range out.Findings {
				if f.Waived == nil && f.Severity >= diag.Warning {
					t.Errorf("%s:%d:%d: %s %s: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Span.Start.Column, f.Severity, f.Code, f.Summary)
				}
			}
			if len(out.Policy.Flows) == 0 || len(out.Policy.Tests) == 0 {
				t.Error("the example has no flows or tests")
			}
			if again := loadExample(t, d.Name()); !bytes.Equal(out.Policy.Dump(), again.Policy.Dump()) {
				t.Error("the same input gives another policy")
			}
		})
	}
}
