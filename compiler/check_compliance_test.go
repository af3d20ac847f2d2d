package compiler

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// The table of controls of one policy that meets some, breaks some and waives
// one: golden/checks/controls.xfw.
func TestControls(t *testing.T) {
	const name = "../golden/checks/controls.xfw"
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, found := lang.Parse("controls.xfw", src)
	out := Compile(Input{Files: []*lang.File{file}, Date: "2026-01-01"})
	for _, f := range append(found, out.Findings...) {
		if !isCheck(f.Code) && f.Severity == diag.Error {
			t.Fatalf("%d:%d %s", f.Span.Start.Line, f.Span.Start.Column, f.Summary)
		}
	}
	var b strings.Builder
	for _, c := range Controls(out.Policy, out.Findings) {
		fmt.Fprintf(&b, "%s %s: %s\n  %s\n  %s\n", c.Standard, c.ID, c.State, c.Asks, c.Says)
		for _, o := range c.Evidence {
			fmt.Fprintf(&b, "    %s %s\n", o.Line(), o.Label)
		}
		for _, f := range c.Findings {
			fmt.Fprintf(&b, "    %s %s: %s\n", placeOf(f.Span), f.Code, f.Summary)
		}
	}
	checkGolden(t, "golden/checks/controls.txt", b.String())
}

// A control that names a finding nobody reports would always be met.
func TestControlsNameFindings(t *testing.T) {
	for _, f := range frameworks {
		for _, c := range f.controls {
			for _, code := range c.codes {
				if _, other := diag.CodeOf(code); !other && !isCheck(code) {
					t.Errorf("%s %s names the finding %s, which nothing reports", f.name, c.id, code)
				}
			}
			if c.id == "" || !strings.HasSuffix(c.asks, ".") || !strings.HasSuffix(c.says, ".") {
				t.Errorf("%s %s: %q %q", f.name, c.id, c.asks, c.says)
			}
		}
	}
}
