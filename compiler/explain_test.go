package compiler_test

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
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// compileArchive compiles policy.xfw of an archive, with its other files as
// includes, feeds and lock.
func compileArchive(t testing.TB, ar *txtar.Archive) (compiler.Output, []diag.Finding) {
	t.Helper()
	files := map[string][]byte{}
	for _, f := range ar.Files {
		files[f.Name] = f.Data
	}
	read := func(p string) ([]byte, error) {
		if b, ok := files[p]; ok {
			return b, nil
		}
		return nil, os.ErrNotExist
	}
	src := lang.Source{Read: read, Glob: func(p string) ([]string, error) {
		var names []string
		for _, f := range ar.Files {
			if ok, _ := filepath.Match(p, f.Name); ok {
				names = append(names, f.Name)
			}
		}
		return names, nil
	}}
	tree, _, fs := lang.Load("policy.xfw", src)
	var l *lock.File
	if b, ok := files["xfwc.lock"]; ok {
		var lfs []diag.Finding
		l, lfs = lock.Parse("xfwc.lock", b)
		fs = append(fs, lfs...)
	}
	out := compiler.Compile(compiler.Input{Files: tree, Lock: l, ReadFeed: read})
	return out, append(fs, out.Findings...)
}

// TestExplain pins, for each packet of a case, the verdict, every point on its
// path and the policy line that decided there.
func TestExplain(t *testing.T) {
	cases, err := filepath.Glob("../golden/explain/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases in golden/explain", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out, fs := compileArchive(t, ar)
			for _, f := range fs {
				// Best-practice errors do not keep a policy from being explained.
				if f.Severity == diag.Error && len(out.Policy.Guards) == 0 {
					t.Fatalf("%s:%d: %s: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Code, f.Summary)
				}
			}
			var got bytes.Buffer
			for _, line := range strings.Split(strings.TrimSpace(section(ar, "packets")), "\n") {
				pkts, err := compiler.ParsePackets(out.Policy, line)
				if err != nil {
					fmt.Fprintf(&got, "%s\n  error: %v\n", line, err)
					continue
				}
				for _, pkt := range pkts {
					writeExplanation(&got, compiler.Explain(out.Policy, pkt))
				}
			}
			if os.Getenv("XFWC_UPDATE") != "" {
				setSection(ar, "explained", got.Bytes())
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := section(ar, "explained"); want != got.String() {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got.String(), want)
			}
		})
	}
}

func writeExplanation(w *bytes.Buffer, ex compiler.Explanation) {
	fmt.Fprintf(w, "%s %s -> %s port %d: %s\n", ex.Packet.Proto, ex.Packet.Src, ex.Packet.Dst, ex.Packet.DstPort, ex.Verdict)
	for _, h := range ex.Hops {
		by := "-"
		if e := h.Decision.Entry; e != nil {
			by = e.ID + " " + e.Origin.Line()
		}
		via := strings.Trim(h.Iif+">"+h.Oif, ">")
		fmt.Fprintf(w, "  %s %s %s: %s by %s\n", h.Point.Name, h.Hook, via, h.Decision.Verdict, by)
	}
}

func section(ar *txtar.Archive, name string) string {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func setSection(ar *txtar.Archive, name string, data []byte) {
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = data
			return
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: data})
}

// TestDecisionsHaveReasons holds the guards of every example to what the
// documentation of ir.Guard promises: every service ends in a rest that denies,
// and every decision can name a policy line.
func TestDecisionsHaveReasons(t *testing.T) {
	examples, _ := filepath.Glob("../examples/*/policy.xfw")
	if len(examples) == 0 {
		t.Fatal("no examples")
	}
	for _, name := range examples {
		p := compileExample(t, name)
		if len(p.Guards) == 0 {
			t.Errorf("%s: no guards", name)
		}
		for _, g := range p.Guards {
			for _, s := range g.Services {
				if s.Rest == nil || s.Rest.Verdict != ir.Deny {
					t.Errorf("%s: %s %s %s: no rest that denies", name, g.Point.Name, g.Hook, s.Name)
				}
				for _, e := range append(s.Entries, s.Rest) {
					if !e.Origin.Span.IsValid() || e.Origin.Label == "" || e.ID == "" {
						t.Errorf("%s: %s %s %s: an entry without origin: %+v", name, g.Point.Name, g.Hook, s.Name, e)
					}
				}
			}
		}
		for _, r := range compiler.RunTests(p) {
			if !r.OK {
				t.Errorf("%s: test %q does not hold: %v", name, r.Test.Name, r.Witness.Packet)
			}
			if r.Packets == 0 {
				t.Errorf("%s: test %q judges no packet", name, r.Test.Name)
			}
		}
	}
}

func compileExample(t testing.TB, name string) *ir.Policy {
	t.Helper()
	tree, _, fs := lang.Load(name, lang.OS())
	var l *lock.File
	if b, err := os.ReadFile(filepath.Join(filepath.Dir(name), "xfwc.lock")); err == nil {
		var lfs []diag.Finding
		l, lfs = lock.Parse("xfwc.lock", b)
		fs = append(fs, lfs...)
	}
	out := compiler.Compile(compiler.Input{Files: tree, Lock: l, ReadFeed: os.ReadFile})
	for _, f := range append(fs, out.Findings...) {
		if f.Severity == diag.Error && f.Waived == nil {
			t.Errorf("%s:%d: %s: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Code, f.Summary)
		}
	}
	return out.Policy
}
