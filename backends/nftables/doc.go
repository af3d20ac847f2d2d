// Package nftables writes, loads, reads and compares the packet filter: the one
// table inet xfwc.
//
// The table is described once, as a [Ruleset], and written in two ways that tests
// in real network namespaces hold equal, by what the kernel then has:
//
//	Ruleset.Text   the artefact xfwc.nft for review and for nft(8)   print.go
//	Batch          one netlink transaction, for apply                batch.go, encode.go
//	Conn.Dump      what the kernel has, in one canonical form        dump.go, canon.go
//
// [Ruleset.Validate] is asked before a ruleset is loaded. It finds what nft or the
// kernel would refuse or read in another sense: names, references, values,
// contradictions within a rule, loops. It does not judge what the rules let
// through: the compiler does that on its own model, and tests with real packets
// compare the two.
//
// A plan or a drift check never compares listings. It loads the wanted table
// into a network namespace of its own ([Desired]), dumps it and the live table
// with the same code, and compares ([Compare]): whatever the kernel adds or
// rewrites, it does on both sides. [Update] turns a live table into the wanted
// one without a moment in which a packet meets neither: it keeps the table, the
// base chains, the sets and the counters, replaces rules, and sends only the
// elements that differ, in several transactions where one would let packets
// pass. Large sets are compared by a digest that the table itself carries,
// because the kernel takes minutes to list them (digest.go).
//
// The wire format is that of nf_tables in the Linux kernel
// (include/uapi/linux/netfilter/nf_tables.h). Kernels from 5.10 are supported.
package nftables
