// Package try puts a policy in force in throw-away network namespaces and shows
// by real packets that it means what it says. Nothing of the machine is read or
// changed.
//
//	NewBed   lays out the policy's points as namespaces
//	Probe    sends one packet through them and tells whether it arrived
//	Run      goes the whole way: plan, apply, the policy's tests, drift, heal
//	Reexec   starts the program again in a user namespace, for callers that are
//	         not root
//
// # The test bed
//
// Every point of the policy is one namespace, with the interfaces that the
// policy names and the addresses that it states, under the kernel's own
// forwarding, neighbour discovery and connection tracking. Between the points
// lie segments: what is on one side of a gateway. A segment is a namespace that
// routes between the points attached to it and answers for every other address
// of its side, so that a probe can come from any address without set-up. The
// segment "internet" answers for every address that nobody else has.
//
//	internet ── eth0 [edge] dmz0 ── dmz ── eth0 [chat1]
//	                   lan0 ── lan, ops
//
// Where a policy leaves a choice, the bed makes these:
//
//   - A network lives behind the gateway interface that faces it; of several,
//     the one that faces the fewest networks is nearest.
//   - A point whose address lies in a network stands there: an interface that
//     "faces internet" faces it through the gateways in between.
//   - A point without interfaces has one, eth0, that faces everything. A
//     gateway without interfaces has a second, eth1, with every machine that
//     nobody else stands in front of behind it.
//   - Segments that no gateway ties to the internet are tied to it by a router
//     without a filter: the policy knows its own points, not the whole world.
//   - Of several gateways between the same two segments, packets take the one
//     that the policy names first.
//
// # What a probe shows
//
// A TCP probe opens a connection and waits for one byte: Outcome.Arrived is the
// whole conversation, in both directions. A raw socket at the destination hears
// the first packet alone: Outcome.Reached is what a denied packet must not do.
// A datagram is collected where it arrives. Silence counts after 250 ms, by the
// state of the kernel's own socket, so that a busy machine does not turn what is
// allowed into what is denied.
//
// Run sends every probe of the policy's tests before there is a policy. Only
// what arrived then can show something later.
//
// # What is left behind
//
// Nothing, also after a crash or SIGKILL: namespaces have no name and live as
// long as the threads and descriptors of this process, the state directory is a
// file system in memory that is mounted nowhere, and a process started by Reexec
// dies with its parent.
package try
