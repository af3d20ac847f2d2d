// Package backends is the explicit list of engines that xfwc can write for.
package backends

import "xfwc/compiler/ir"

// Backend writes artefacts for one kind of engine. Emit is pure: no clock,
// files, environment or map order.
type Backend interface {
	// Kind is the engine's name in the policy language.
	Kind() string
	// Emit writes what the point's engine of this kind needs. It is called only
	// for points that have the engine.
	Emit(p *ir.Policy, pt *ir.Point) ir.Emission
}
