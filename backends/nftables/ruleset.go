package nftables

import "net/netip"

// TableName is the one table that xfwc owns, in family inet. It never touches
// another table.
const TableName = "xfwc"

// Ruleset is the whole table inet xfwc. The text printer, the netlink writer and
// Validate read it. The order of every slice is the order in every reader.
type Ruleset struct {
	Comment  string // of the table: which policy it comes from
	Counters []*Counter
	Sets     []*Set // also maps
	Chains   []*Chain
}

// Counter is a named counter object. Anonymous counters are never used: a
// re-apply would reset them.
type Counter struct {
	Name    string
	Comment string // kernels from 5.10; shown by nft
}

// KeyType is one part of a set's key.
type KeyType int

const (
	_ KeyType = iota
	IPv4Addr
	IPv6Addr
	InetProto
	InetService
	Ifname
	NFProto
)

// Set is a named set, a verdict map, or a dynamic set that rules add to.
type Set struct {
	Name    string
	Key     []KeyType // more than one: a concatenation
	Verdict bool      // a verdict map: elements carry a verdict
	// Interval is needed for prefixes and ranges. Elements are merged and
	// sorted by the compiler; auto-merge is never set.
	Interval bool
	// Dynamic sets are filled by rules (meters, connection counts). They have
	// no elements here, and what they hold is never drift.
	Dynamic bool
	// Timeout in seconds of dynamic elements; 0 for none. A set used with
	// ct count must have none: the kernel refuses it.
	Timeout uint32
	// Expires is set when elements may carry a timeout of their own, also while
	// none does: the kernel cannot change this of a set that exists. A set with
	// a Timeout has it in any case.
	Expires bool
	// Size is the largest number of elements: always stated for dynamic sets
	// (a full one fails open) and for hash sets of feeds.
	Size uint32
	// Comment is shown by nft. The kernel keeps the first one as long as the set
	// lives, so it is not compared; what a large set holds is told by a digest
	// (digest.go). "feed " in front says that the elements come from a feed.
	Comment  string
	Elements []Element
}

// Element is one member of a set. Keys has one value for each part of the
// set's key.
type Element struct {
	Keys []KeyValue
	// For verdict maps:
	Do    VerdictKind
	Chain string
	// Timeout in seconds, 0 for none: only the maps of a pending change use it.
	Timeout uint32
}

// KeyValue is a value or an inclusive range of values of one key part. Exactly
// one kind of field is used, as the key type says.
type KeyValue struct {
	Addr, AddrTo netip.Addr // IPv4Addr, IPv6Addr; AddrTo valid for ranges and prefixes
	Num, NumTo   uint16     // InetProto, InetService, NFProto; NumTo != 0 for ranges
	Name         string     // Ifname
}

// Chain is a base chain when Hook is set.
type Chain struct {
	Name     string
	Hook     string // "", "prerouting", "input", "output", "forward"
	Priority int
	// Policy is always accept: what is denied is denied by a rule, so that a
	// change that waits for confirmation can fall back without touching it.
	Comment string
	Rules   []*Rule
}

// Rule is a list of statements, judged from left to right.
type Rule struct {
	Stmts   []Stmt
	Comment string // policy line, at most 128 bytes: the rule's identity in plans
}

// Stmt is one part of a rule: a match or an action. The interface is closed.
type Stmt interface{ isStmt() }

// VerdictKind is what a verdict does.
type VerdictKind string

const (
	Accept VerdictKind = "accept"
	Drop   VerdictKind = "drop"
	Return VerdictKind = "return"
	Jump   VerdictKind = "jump"
	Goto   VerdictKind = "goto"
)

// Side is which address or port of a packet is meant.
type Side string

const (
	Source Side = "s" // saddr, sport
	Dest   Side = "d" // daddr, dport
)

// Family is the network protocol that an address match needs. In an inet table
// every address match makes the kernel test the family first; the text shows
// `ip` or `ip6`, the netlink form has an explicit meta nfproto comparison.
type Family int

const (
	V4 Family = 4
	V6 Family = 6
)

type (
	// MatchInterface compares the input or output interface name.
	MatchInterface struct {
		Out   bool
		Names []string // one: a comparison; more: an anonymous set
		Not   bool
	}
	// MatchAddrSet looks the source or destination address up in a named set.
	MatchAddrSet struct {
		Family Family
		Side   Side
		Set    string
		Not    bool
	}
	// MatchAddr compares the source or destination address with one address.
	MatchAddr struct {
		Family Family
		Side   Side
		Addr   netip.Addr
		Not    bool
	}
	// MatchFamily is meta nfproto.
	MatchFamily struct{ Family Family }
	// MatchL4Proto is meta l4proto tcp, udp, icmp or ipv6-icmp.
	MatchL4Proto struct{ Proto string }
	// MatchPorts compares tcp or udp ports: one port, one range, or an
	// anonymous set of ports and ranges.
	MatchPorts struct {
		Proto string // "tcp" or "udp"
		Side  Side
		Ports []PortRange
	}
	// MatchEstablished is ct state established,related: a bit mask, not a set
	// or verdict map, which would drop packets while rules are replaced.
	MatchEstablished struct{}
	// MatchInvalid is ct state invalid.
	MatchInvalid struct{}
	// MatchNew is ct state new.
	MatchNew struct{}
	// MatchSYN is tcp flags & (fin|syn|rst|ack) == syn.
	MatchSYN struct{}
	// MatchHopLimit255 is ip ttl 255 or ip6 hoplimit 255.
	MatchHopLimit255 struct{ Family Family }
	// MatchDays is meta day From-To, in UTC: 0 is Sunday, 6 Saturday, as the
	// kernel counts (nft_meta_weekday). A kernel that was told a time zone of its
	// own (settimeofday) counts days and hours by that.
	MatchDays struct{ From, To uint8 }
	// MatchHours is meta hour From-To, inclusive seconds after midnight, in UTC.
	// The text gives plain numbers: nft would move hours by the time zone of the
	// machine that reads it.
	MatchHours struct{ From, To uint32 }
	// MatchNeighbourDiscovery is icmpv6 type in the five ND messages, RFC 4861
	// section 4 (133 to 137).
	MatchNeighbourDiscovery struct{}
	// VmapProtoPort dispatches on meta l4proto . th dport in a named map.
	VmapProtoPort struct{ Map string }
	// VmapAddrProtoPort dispatches on address . l4proto . dport in a named map.
	VmapAddrProtoPort struct {
		Family Family
		Side   Side // of the address; the port is always the destination port
		Map    string
	}
	// VmapFamily dispatches on meta nfproto in a named map: the dead man's
	// switch of a pending change.
	VmapFamily struct{ Map string }
	// MeterConnections is add @Set { KEY ct count over N }: it matches the
	// packet that makes one key exceed Over conversations at a time. KEY is
	// ip saddr for V4, the /64 of ip6 saddr for V6, and meta l4proto for family
	// 0, which makes one count for everybody. Even that one lives in a set,
	// because a count in a rule would start anew with every apply. Bits is the
	// length of the prefix that counts as one source; 0 is 32 for V4 and 64 for V6.
	MeterConnections struct {
		Family Family
		Bits   uint8
		Set    string
		Over   uint32
	}
	// MeterRate is update @Set { KEY limit rate over N/unit burst B packets },
	// with the keys of MeterConnections.
	MeterRate struct {
		Family Family
		Bits   uint8
		Set    string
		Rate   Rate
	}
	// CountConnections is ct count over N without a key.
	CountConnections struct{ Over uint32 }
	// LimitRate is limit rate [over] N/unit burst B packets without a key.
	LimitRate struct {
		Over bool
		Rate Rate
	}
	// CountPacket is counter name "…".
	CountPacket struct{ Counter string }
	// LogPacket is log prefix "…" level info.
	LogPacket struct{ Prefix string }
	// Verdict ends the rule.
	Verdict struct {
		Kind  VerdictKind
		Chain string
	}
)

// Rate is so many packets in a unit of time, and how many may come at once.
type Rate struct {
	Count uint64
	Unit  string // "second", "minute", "hour", "day"
	Burst uint32 // always stated: at least 1
}

// PortRange is an inclusive range; To == From for one port.
type PortRange struct{ From, To uint16 }

func (MatchInterface) isStmt()          {}
func (MatchAddrSet) isStmt()            {}
func (MatchAddr) isStmt()               {}
func (MatchFamily) isStmt()             {}
func (MatchL4Proto) isStmt()            {}
func (MatchPorts) isStmt()              {}
func (MatchEstablished) isStmt()        {}
func (MatchInvalid) isStmt()            {}
func (MatchNew) isStmt()                {}
func (MatchSYN) isStmt()                {}
func (MatchHopLimit255) isStmt()        {}
func (MatchDays) isStmt()               {}
func (MatchHours) isStmt()              {}
func (MatchNeighbourDiscovery) isStmt() {}
func (VmapProtoPort) isStmt()           {}
func (VmapAddrProtoPort) isStmt()       {}
func (VmapFamily) isStmt()              {}
func (MeterConnections) isStmt()        {}
func (MeterRate) isStmt()               {}
func (CountConnections) isStmt()        {}
func (LimitRate) isStmt()               {}
func (CountPacket) isStmt()             {}
func (LogPacket) isStmt()               {}
func (Verdict) isStmt()                 {}
