package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"xfwc/backends"
	"xfwc/compiler/ir"
)

// emit lets every backend write for the given points, in the order of the
// policy. engine "" is every engine. An engine that no backend of this version
// writes for is an entry in the ledger, so that it does not look enforced.
func emit(p *ir.Policy, points []*ir.Point, engine string) ir.Emission {
	return emitFor(p, points, func(kind string) bool { return engine == "" || kind == engine })
}

// emitFor is emit for some kinds of engines.
func emitFor(p *ir.Policy, points []*ir.Point, wanted func(kind string) bool) ir.Emission {
	// A long policy is a lot to write, and no engine waits for another.
	var emissions []*ir.Emission
	var writing sync.WaitGroup
	for _, pt := range points {
		for _, e := range pt.Engines {
			if !wanted(e.Kind) {
				continue
			}
			got := &ir.Emission{}
			emissions = append(emissions, got)
			if b := backendFor(e.Kind); b != nil {
				writing.Go(func() { *got = b.Emit(p, pt) })
			} else {
				got.Ledger = unwritten(p, pt, e)
			}
		}
	}
	writing.Wait()
	var all ir.Emission
	said := map[ir.LedgerEntry]bool{}
	for _, got := range emissions {
		all.Artefacts = append(all.Artefacts, got.Artefacts...)
		all.Findings = append(all.Findings, got.Findings...)
		for _, l := range got.Ledger {
			// The flows of a statement share its limits: one line says it.
			if !said[l] {
				said[l] = true
				all.Ledger = append(all.Ledger, l)
			}
		}
	}
	return all
}

// unwritten is the ledger of an engine that no backend of this version writes
// for.
func unwritten(p *ir.Policy, pt *ir.Point, e ir.Engine) []ir.LedgerEntry {
	nothing := "this version of xfwc writes nothing for " + e.Kind
	ledger := []ir.LedgerEntry{{Point: pt.Name, Engine: e.Kind, Intent: "engine " + e.Kind, Exact: ir.None, Reason: nothing, Origin: e.Origin}}
	for _, l := range p.Unseen(pt, e.Kind) {
		// What packets do not show is what such an engine could hold.
		l.Reason = nothing
		ledger = append(ledger, l)
	}
	return ledger
}

// backendFor finds the backend of an engine, or nil.
func backendFor(kind string) backends.Backend {
	for _, b := range backends.All() {
		if b.Kind() == kind {
			return b
		}
	}
	return nil
}

// engineNames lists the engines that the points declare, for messages.
func engineNames(points []*ir.Point) []string {
	var names []string
	for _, pt := range points {
		for _, e := range pt.Engines {
			if !slices.Contains(names, e.Kind) {
				names = append(names, e.Kind)
			}
		}
	}
	return names
}

// chosen applies --point and --engine: the points to write for, or why the
// flags name nothing.
func chosen(p *ir.Policy, point, engine string) ([]*ir.Point, error) {
	points := p.Points
	if point != "" {
		pt, err := pointNamed(p, point)
		if err != nil {
			return nil, err
		}
		points = []*ir.Point{pt}
	}
	if engine != "" {
		names := engineNames(points)
		if !slices.Contains(names, engine) {
			return nil, fmt.Errorf("no point that was asked for has the engine %q; they have: %s", engine, strings.Join(names, ", "))
		}
	}
	return points, nil
}

// treePath is where an artefact lies below the output directory.
func treePath(a ir.Artefact) string { return path.Join(a.Point, a.Engine, a.Path) }
