package main

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// unheld reports what the ledger of all points shows to be left to somebody's
// hands: what engines have to hold that this version writes nothing for, and the
// content rules that no engine holds and no other finding tells of.
func (src *source) unheld(ledger []ir.LedgerEntry) []diag.Finding {
	p := src.policy
	held := map[string]bool{}
	for _, e := range ledger {
		held[e.Intent] = held[e.Intent] || e.Exact != ir.None
	}
	var fs []diag.Finding
	told := map[*ir.ContentRule]bool{}
	for _, pt := range p.Points {
		for _, e := range pt.Engines {
			if backendFor(e.Kind) == nil {
				fs = append(fs, byHand(p, pt, e, held, told))
			}
		}
	}
	for _, c := range p.Content {
		if !held["content "+c.ID] && !told[c] && !src.opaque(c) {
			fs = append(fs, nowhere(c, ledger))
		}
	}
	return fs
}

// byHand says what an engine that nothing is written for has to be told by hand,
// and marks the content rules among it.
func byHand(p *ir.Policy, pt *ir.Point, e ir.Engine, held map[string]bool, told map[*ir.ContentRule]bool) diag.Finding {
	var spans []diag.Span
	add := func(o ir.Origin) {
		if !slices.Contains(spans, o.Span) {
			spans = append(spans, o.Span)
		}
	}
	if pt.Server != nil && slices.Contains(compiler.Software(), e.Kind) {
		for _, l := range p.Unseen(pt, e.Kind) {
			if !held[l.Intent] {
				add(l.Origin)
			}
		}
		for _, c := range p.Content {
			serves := slices.ContainsFunc(c.On, func(f *ir.Flow) bool { return f.Server == pt.Server }) ||
				slices.ContainsFunc(c.Anonymous, func(a *ir.AnonymousTerms) bool { return a.Server == pt.Server })
			if serves && !held["content "+c.ID] {
				told[c] = true
				add(c.Origin)
			}
		}
	}
	summary := fmt.Sprintf("%s of point %s is not written by this version: it is configured by hand", e.Kind, pt.Name)
	if n := len(spans); n == 1 {
		summary = fmt.Sprintf("%s of point %s is not written by this version: a limit or rule that only it can hold has to be configured by hand", e.Kind, pt.Name)
	} else if n > 1 {
		summary = fmt.Sprintf("%s of point %s is not written by this version: %d limits and rules that only it can hold have to be configured by hand", e.Kind, pt.Name, n)
	}
	f := diag.New("engine-by-hand", e.Origin.Span, summary)
	for _, at := range spans[:min(5, len(spans))] {
		f.Labels = append(f.Labels, diag.Label{Span: at, Text: "held by " + e.Kind + " alone"})
	}
	return f
}

// opaque reports whether a finding that tells more is about the content rule,
// set aside or not.
func (src *source) opaque(c *ir.ContentRule) bool {
	for _, file := range src.files {
		for _, d := range file.Decls {
			if d == nil || d.Content == nil || d.Content.Name.Text != c.ID {
				continue
			}
			whole := d.Content.Span()
			if slices.ContainsFunc(src.findings, func(f diag.Finding) bool {
				return (f.Code == "content-opaque" || f.Code == "content-drop-passive") && whole.Holds(f.Span.Start)
			}) {
				return true
			}
		}
	}
	return false
}

// nowhere says that no engine holds the content rule, with the reasons of the
// engines that could read a stanza.
func nowhere(c *ir.ContentRule, ledger []ir.LedgerEntry) diag.Finding {
	var why []string
	for _, e := range ledger {
		reason := fmt.Sprintf("%s of %s: %s", e.Engine, e.Point, e.Reason)
		if e.Intent == "content "+c.ID && e.Engine == "suricata" && !slices.Contains(why, reason) {
			why = append(why, reason)
		}
	}
	if len(why) == 0 {
		why = []string{"no point that it concerns has a sensor"}
	}
	f := diag.New("ledger-none", c.Origin.Span, fmt.Sprintf("content %s is held nowhere (%s)", c.ID, strings.Join(why, "; ")))
	f.Remedy = "State what a sensor on a clear leg can hold, or keep the rule by hand and waive the finding."
	return f
}
