package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// examplePolicies gives every example as one text.
func examplePolicies(t testing.TB) map[string][]byte {
	t.Helper()
	found, err := filepath.Glob("../../examples/*/*.xfw")
	if err != nil || len(found) < 4 {
		t.Fatalf("found %d example files, %v", len(found), err)
	}
	texts := map[string][]byte{}
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Base(filepath.Dir(name))
		texts[dir] = append(texts[dir], text...)
	}
	return texts
}

// FuzzEmit takes any text the whole way from source to artefacts: nothing
// panics, what compiles gives the same bytes twice, every artefact is known as
// xfwc's own, and every engine answers in the ledger.
func FuzzEmit(f *testing.F) {
	for _, text := range examplePolicies(f) {
		f.Add(bytes.ReplaceAll(text, []byte("include "), []byte("# include ")))
	}
	feed := func(string) ([]byte, error) { return []byte("192.0.2.66\n198.51.100.128/25\n2001:db8:bad::/48\n"), nil }
	f.Fuzz(func(t *testing.T, text []byte) {
		file, findings := lang.Parse("policy.xfw", text)
		if diag.HasErrors(findings) {
			return
		}
		compileAndEmit := func() (*ir.Policy, ir.Emission, bool) {
			out := compiler.Compile(compiler.Input{Files: []*lang.File{file}, ReadFeed: feed, Date: "2026-11-22"})
			if diag.HasErrors(out.Findings) {
				return nil, ir.Emission{}, false
			}
			return out.Policy, emit(out.Policy, out.Policy.Points, ""), true
		}
		p, first, ok := compileAndEmit()
		if !ok {
			return
		}
		_, second, _ := compileAndEmit()
		if len(first.Artefacts) != len(second.Artefacts) || len(first.Ledger) != len(second.Ledger) {
			t.Fatalf("the second compile gives %d artefacts and %d ledger entries, the first gave %d and %d",
				len(second.Artefacts), len(second.Ledger), len(first.Artefacts), len(first.Ledger))
		}
		for i, a := range first.Artefacts {
			if !bytes.Equal(a.Bytes, second.Artefacts[i].Bytes) {
				t.Errorf("%s is not the same the second time", treePath(a))
			}
			if !ours(a.Bytes) {
				t.Errorf("%s does not say that xfwc wrote it: %.100q", treePath(a), a.Bytes)
			}
			if !filepath.IsLocal(treePath(a)) {
				t.Errorf("the artefact %q lies outside the output directory", treePath(a))
			}
		}
		for i, e := range first.Ledger {
			if e != second.Ledger[i] {
				t.Errorf("the ledger is not the same the second time: %+v, %+v", e, second.Ledger[i])
			}
			if e.Exact == "" || e.Reason == "" {
				t.Errorf("%s/%s does not say how it holds %s, or why", e.Point, e.Engine, e.Intent)
			}
		}
		for _, pt := range p.Points {
			for _, flow := range p.Flows {
				if pt.Concerns(flow) {
					answered(t, first.Ledger, pt, "flow "+flow.ID)
				}
			}
		}
	})
}

// answered checks that every engine of the point has an entry for the intent.
func answered(t *testing.T, ledger []ir.LedgerEntry, pt *ir.Point, intent string) {
	t.Helper()
	for _, engine := range pt.Engines {
		if backendFor(engine.Kind) == nil {
			continue
		}
		found := false
		for _, e := range ledger {
			found = found || e.Point == pt.Name && e.Engine == engine.Kind && e.Intent == intent
		}
		if !found {
			t.Errorf("%s at %s has no answer for %s", engine.Kind, pt.Name, intent)
		}
	}
}
