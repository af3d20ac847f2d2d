package haproxy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// TestGolden compiles each case under golden/haproxy and compares what every
// point's engine gets with the case, and has the real program judge it.
// XFWC_UPDATE=1 rewrites the cases.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("../../golden/haproxy/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { golden(t, path) })
	}
}

func golden(t *testing.T, path string) {
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ar := txtar.Parse(before)
	if !bytes.HasPrefix(ar.Comment, []byte("# why: ")) || len(ar.Files) == 0 || ar.Files[0].Name != "policy.xfw" {
		t.Fatal("a case starts with a line # why: and its policy.xfw")
	}
	policy := compile(t, ar.Files[0].Data)
	after := &txtar.Archive{Comment: ar.Comment, Files: ar.Files[:1:1]}
	var emissions []ir.Emission
	for _, pt := range policy.Points {
		if pt.Engine(Backend{}.Kind()) == nil {
			continue
		}
		em := Backend{}.Emit(policy, pt)
		emissions = append(emissions, em)
		for _, a := range em.Artefacts {
			after.Files = append(after.Files, txtar.File{Name: a.Point + "/" + a.Engine + "/" + a.Path, Data: a.Bytes})
		}
		after.Files = append(after.Files, txtar.File{Name: pt.Name + " ledger", Data: ledgerText(em.Ledger)})
		if len(em.Findings) > 0 {
			after.Files = append(after.Files, txtar.File{Name: pt.Name + " findings", Data: findingsText(em.Findings)})
		}
	}
	if text := txtar.Format(after); os.Getenv("XFWC_UPDATE") != "" {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(before, text) {
		t.Errorf("%s differs, got:\n%s", path, text)
	}
	for _, em := range emissions {
		for _, a := range em.Artefacts {
			install(t, a.Point, a.Bytes)
		}
	}
}

func compile(t *testing.T, source []byte) *ir.Policy {
	t.Helper()
	file, fs := lang.Parse("policy.xfw", source)
	out := compiler.Compile(compiler.Input{Files: []*lang.File{file}})
	for _, f := range append(fs, out.Findings...) {
		if f.Severity == diag.Error && f.Waived == nil {
			t.Errorf("policy.xfw:%d: %s: %s", f.Span.Start.Line, f.Code, f.Summary)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return out.Policy
}

func ledgerText(es []ir.LedgerEntry) []byte {
	var b bytes.Buffer
	for _, e := range es {
		fmt.Fprintf(&b, "%-5s %s: %s\n", e.Exact, e.Intent, e.Reason)
	}
	return b.Bytes()
}

func findingsText(fs []diag.Finding) []byte {
	var b bytes.Buffer
	for _, f := range fs {
		fmt.Fprintf(&b, "%d:%d %s %s: %s\n", f.Span.Start.Line, f.Span.Start.Column, f.Severity, f.Code, f.Summary)
	}
	return b.Bytes()
}
