// Package deploy is the running side of xfwc: it compares a machine's table
// inet xfwc with a policy, puts the policy in force, takes it back, and notices
// when the two stop agreeing.
//
//	function       does                                            writes
//	MakePlan       what Apply would change, in policy terms        nothing
//	Apply          makes the table mean the policy, all or nothing kernel, state
//	Confirm        keeps a change that waits for confirmation      kernel, state
//	Rollback       takes back a waiting change, or the last apply  kernel, state
//	Drift          what the machine does otherwise than it should  nothing
//	Guard          the process that takes an unconfirmed change    kernel, state
//	               back at its deadline
//	ReadJournal    who changed what when                           nothing
//	Resolve        asks DNS for what xfwc.lock has to hold         nothing
//	CompareText    a unified diff of two texts                     nothing
//
// All of them return values that print as JSON, and typed errors; only cmd
// prints and chooses exit codes. Everything is asked of and done to the network
// namespace of the calling goroutine's thread: a caller that has moved into
// another namespace keeps its goroutine locked to the thread.
//
// # What is true
//
// The kernel is: every call reads the live table, and no decision rests on what
// the state directory says the table should be. The state directory holds what
// the kernel cannot: which policy was applied, what to go back to, and who
// changed what when.
//
// # A change that waits for confirmation
//
// Apply with ApplyOptions.Confirm adds the wanted ruleset beside the old one,
// under names that begin with "new.", and then puts one rule at the head of
// every base chain: a lookup of the packet's family in the map pending.<chain>,
// whose elements send it to the new chain and carry the waiting time as their
// timeout. When the elements expire the old rules, which never moved, decide
// again: in the kernel, with no process alive. A guard process, armed before
// the change, cleans up at the deadline and undoes a first install. The counter
// pending.<token> marks the change: every batch that takes it back deletes this
// counter first, so that a batch which comes too late changes nothing. Names
// that a policy gives have no dot, so these can never be a policy's own.
//
// Meters start to count anew in a change that waits, and go on with the old
// counts when it is confirmed or taken back. Sessions that are open stay open:
// what is established is allowed under both rulesets. So confirm over a session
// that is opened after the change.
//
// # What is written where, below the state directory
//
//	lock           flock of the one writer; says who holds it
//	journal        one JSON object a line: what was begun, what became of it
//	applied.json   the policy in force: name, digests, ruleset, sources
//	applied.nft    its text artefact, loadable with nft -f
//	previous.json  what was in force before it, for Rollback
//	previous.nft
//	next.json      written before the kernel is touched, renamed afterwards
//	next.nft
//	pending.json   the change that waits for confirmation
//
// Files are written whole: a temporary file, fsync, rename, fsync of the
// directory. What Apply has to write is on disk before the kernel is touched,
// so a full or read-only disk refuses the apply and changes nothing. After a
// crash at any moment packets meet the old ruleset or the new one, and the next
// command sees from the kernel which; sets that a transaction had filled and
// the next one did not come to use, it removes.
//
// # What is read of large sets
//
// Reading a set costs the kernel the square of its size. So the table carries a
// digest of every set above 4096 elements, in a chain that no packet comes to.
// By the digest, the kernel's own count and a sample that is looked up such a
// set is compared where it is not read:
//
//	plan, drift, an apply that changes a table   ranges; addresses above 131072
//	the check after a commit, a first install    every set above 4096 elements
//
// Everything else of the table is read back and compared as a whole, always.
package deploy
