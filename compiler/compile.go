package compiler

import (
	"slices"

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
	// are missing from them.
	Files []*lang.File
	// Problems are the findings about the files and the lock that the caller has
	// and will report. What is wrong only because of them is not reported, and
	// with an error among them there is no policy that could be used.
	Problems []diag.Finding
	// Lock holds the outside facts; nil is an empty lock.
	Lock *lock.File
	// ReadFeed reads a feed file. The path is the one the policy states, joined
	// to the folder of the file that states it. Nil means that no feed can be
	// read.
	ReadFeed func(path string) ([]byte, error)
	// Date is today as YYYY-MM-DD, by which waivers expire; "" judges no dates.
	Date string
	// Profile is the profile of checks to judge by in place of the policy's own;
	// "" is the policy's.
	Profile string
}

// Output is what a compile gives: the policy as far as it was understood, and
// every problem of it in the order of [diag.Sort]. The policy may be used only
// if [diag.HasErrors] is false of the findings.
type Output struct {
	Policy   *ir.Policy
	Findings []diag.Finding
}

// step is one part of a compile; whole, where it needs a policy without errors.
type step struct {
	name  string
	whole bool
	run   func(*state)
}

// stages is the compiler. A stage takes what the ones before it left in the
// state, and adds to it. Stages that need a whole policy are left out when an
// earlier stage reported an error: all others run in any event, so that one run
// reports every problem that does not follow from another.
var stages = []step{
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
	{"waivers", false, (*state).resolveWaivers},
	{"unused", false, (*state).reportUnused},
	{"repeated", false, (*state).reportRepeated}, // after what else is said of the entries
	{"place", true, func(s *state) { s.found = append(s.found, place(s.p)...) }},
	{"sanity", true, func(s *state) { s.found = append(s.found, s.p.Sanity()...) }},
	{"check", false, (*state).check},
	{"test", true, func(s *state) { s.found = slices.Concat(s.found, testFindings(s.p), caseFindings(s.p)) }},
	{"waive", false, func(s *state) { s.found = waive(s.in.Files, s.found, s.in.Date, !s.hurt) }},
}

// Compile turns a parsed policy into its meaning. It is pure and total: the
// same input gives the same output, and no input makes it panic.
func Compile(in Input) Output {
	s := newState(in)
	for _, stage := range stages {
		if stage.whole && !s.judged {
			s.judge()
		}
		if stage.whole && s.hurt {
			continue
		}
		stage.run(s)
	}
	diag.Sort(s.found)
	return Output{Policy: s.p, Findings: s.found}
}

// judge decides, once all statements are resolved, whether there is a whole
// policy.
func (s *state) judge() {
	s.found = append(s.found, repeated(s.in, s.found)...)
	s.damage.unknown(s.in.Files, s.found)
	s.found = slices.DeleteFunc(s.found, func(f diag.Finding) bool { return s.damage.follows(s.in.Files, f) })
	s.judged, s.broken = true, diag.HasErrors(s.found) || diag.HasErrors(s.in.Problems)
	s.hurt = diag.HasErrors(s.in.Problems) || hurts(s.in.Files, s.found)
	if s.broken {
		s.damage.spread(s.in.Files, s.found)
	}
}

// check judges the policy by best practice: all of it, or what is whole of it.
func (s *state) check() {
	for _, f := range runChecks(s.p, s.in) {
		if !s.broken || !s.damage.clouds(f) {
			s.found = append(s.found, f)
		}
	}
}
