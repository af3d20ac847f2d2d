package compiler

import (
	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Input is everything a compile depends on. Nothing else does it look at: no
// clock, no DNS, no environment.
type Input struct {
	// Files are the policy and what it includes, as [lang.Load] returns them:
	// the first one is the policy itself. Statements that could not be parsed
	// are missing from them; their findings are the caller's.
	Files []*lang.File
	// Lock holds the outside facts; nil is an empty lock.
	Lock *lock.File
	// ReadFeed reads a feed file. The path is the one the policy states, joined
	// to the folder of the file that states it. Nil means that no feed can be
	// read.
	ReadFeed func(path string) ([]byte, error)
	// Date is today as YYYY-MM-DD, by which waivers expire; "" judges no dates.
	Date string
}

// Output is what a compile gives: the policy as far as it was understood, and
// every problem of it in the order of [diag.Sort]. The policy may be used only
// if [diag.HasErrors] is false of the findings.
type Output struct {
	Policy   *ir.Policy
	Findings []diag.Finding
}

// stages is the compiler. A stage takes what the ones before it left in the
// state, and adds to it. Stages that need a whole policy are left out when an
// earlier stage reported an error: all others run in any event, so that one run
// reports every problem that does not follow from another.
var stages = []struct {
	name  string
	whole bool
	run   func(*state)
}{
	{"policy", false, (*state).resolvePolicy},
	{"names", false, (*state).declareNames},     // before all that refer to them
	{"windows", false, (*state).resolveWindows}, // before the statements that hold during them
	{"patterns", false, (*state).resolvePatterns},
	{"domains", false, (*state).resolveDomains},
	{"words", false, (*state).resolveWords},
	{"networks", false, (*state).resolveNetworks}, // feeds are read here
	{"servers", false, (*state).resolveServers},
	{"points", false, (*state).resolvePoints}, // a host takes its server's addresses
	{"zones", false, (*state).resolveZones},   // made of what interfaces face
	{"flows", false, (*state).resolveFlows},   // adds the listeners that statements name
	{"access", false, (*state).resolveAccess}, // asks for listeners, so after all of them
	{"legs", false, (*state).resolveLegs},
	{"content", false, (*state).resolveContent},
	{"routes", false, (*state).resolveRoutes},
	{"tests", false, (*state).resolveTests},
	{"unused", false, (*state).reportUnused},
	{"repeated", false, (*state).reportRepeated}, // after what else is said of the entries
	{"place", true, func(s *state) { s.found = append(s.found, place(s.p)...) }},
	{"sanity", true, func(s *state) { s.found = append(s.found, s.p.Sanity()...) }},
	{"check", true, func(s *state) { s.found = append(s.found, runChecks(s.p, s.in)...) }},
	{"test", true, func(s *state) { s.found = append(s.found, testFindings(s.p)...) }},
	{"waive", false, func(s *state) { s.found = waive(s.in.Files, s.found, s.in.Date, !s.broken) }},
}

// Compile turns a parsed policy into its meaning. It is pure and total: the
// same input gives the same output, and no input makes it panic.
func Compile(in Input) Output {
	s := newState(in)
	for _, stage := range stages {
		if stage.whole && !s.judged {
			s.judged, s.broken = true, diag.HasErrors(s.found)
		}
		if stage.whole && s.broken {
			continue
		}
		stage.run(s)
	}
	diag.Sort(s.found)
	return Output{Policy: s.p, Findings: s.found}
}
