// Package backends is the contract between the compiler and the engines, and
// the explicit list of engines that xfwc can write for.
package backends

import (
	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Result is what a backend made for one point.
type Result struct {
	Artefacts []ir.Artefact
	// Ledger has an entry for every ir node that the backend was asked about:
	// each flow, limit, content rule and route that concerns the point. Nothing
	// vanishes silently.
	Ledger   []ir.LedgerEntry
	Findings []diag.Finding
}

// Backend writes artefacts for one kind of engine. Emit is pure: no clock,
// files, environment or map order.
type Backend interface {
	// Kind is the engine's name in the policy language.
	Kind() string
	// Emit writes what the point's engine of this kind needs. It is called only
	// for points that have the engine.
	Emit(p *ir.Policy, pt *ir.Point) Result
}
