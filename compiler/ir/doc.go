// Package ir is what a policy means, free of its spelling.
//
// The compiler builds a [Policy] from the syntax tree; backends turn it into
// artefacts, and the decision functions (explain, test) answer from it.
//
//	type          what it is
//	Policy        the checked whole
//	Network       a named address set, literal or from a feed
//	AddrSet       sorted, merged prefixes: what matching is done on
//	Server        an XMPP server: software, domains, addresses, listeners
//	Point         an enforcement point: a host or gateway with engines
//	Flow          one wanted or unwanted conversation
//	Leg           the part of a flow between two neighbours, with visibility
//	Limit         a rate or count, its key, and its size
//	ContentRule   a match inside a flow, and what happens then
//	HTTPRoute     a path on an HTTP listener that a proxy serves
//	Guard         everything one point decides on one hook, first match wins
//	ServiceGuard  the entries for one set of ports within a guard
//	Entry         one decision: match, verdict, limits, origin
//	LedgerEntry   how exactly one engine at one point holds one intent
//	Test          an expectation that the policy carries
//	Origin        the policy lines that a thing comes from
//
// Everything here is data: no clock, no files, no maps that reach an output.
package ir
