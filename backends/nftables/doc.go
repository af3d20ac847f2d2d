// Package nftables writes, loads, reads and compares the packet filter: the one
// table inet xfwc.
//
// The table is described once, as a [Ruleset], and read in four ways that are
// held equal by tests in real network namespaces:
//
//	Ruleset.Text   the artefact xfwc.nft for review and for nft(8)   print.go
//	Batch          one netlink transaction, for apply                batch.go, encode.go
//	Conn.Dump      what the kernel has, in one canonical form        dump.go, canon.go
//	the validator  what a packet meets, without a kernel             (compiler's decision function)
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
