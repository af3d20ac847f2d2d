package nftables

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go4.org/netipx"
)

// needKernel skips a test that cannot have a network namespace of its own. In
// CI it fails instead: there, everything runs.
func needKernel(t testing.TB) {
	t.Helper()
	need(t, os.Geteuid() == 0, "network namespaces need root")
}

func needNft(t testing.TB) {
	t.Helper()
	needKernel(t)
	_, err := exec.LookPath("nft")
	need(t, err == nil, "nft is not installed")
}

func need(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("CI") != "":
		t.Fatal(what)
	default:
		t.Skip("skipped: " + what)
	}
}

// scratch runs f in a namespace of its own; its error fails the test.
func scratch(t testing.TB, f func(c *Conn) error) {
	t.Helper()
	needKernel(t)
	if err := Scratch(f); err != nil {
		t.Fatal(err)
	}
}

// nft runs nft in the namespace of the calling thread.
func nft(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("nft", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("nft %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func loadText(text []byte) error {
	_, err := nft(text, "-f", "-")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, text[:min(len(text), 10_000)])
	}
	return nil
}

func list() (string, error) { return nft(nil, "-s", "list", "table", "inet", TableName) }

func pfx(s string) KeyValue {
	if a, err := netip.ParseAddr(s); err == nil {
		return KeyValue{Addr: a}
	}
	if from, to, ok := strings.Cut(s, "-"); ok {
		return KeyValue{Addr: netip.MustParseAddr(from), AddrTo: netip.MustParseAddr(to)}
	}
	p := netip.MustParsePrefix(s)
	return KeyValue{Addr: p.Addr(), AddrTo: netipx.PrefixLastIP(p)}
}

// everything has each kind of set and each kind of statement.
func everything() *Ruleset {
	el := func(vs ...KeyValue) Element { return Element{Keys: vs} }
	to := func(k VerdictKind, chain string, vs ...KeyValue) Element {
		return Element{Keys: vs, Do: k, Chain: chain}
	}
	tcp, udp := KeyValue{Num: 6}, KeyValue{Num: 17}
	port := func(from, to uint16) KeyValue { return KeyValue{Num: from, NumTo: to} }
	rule := func(comment string, s ...Stmt) *Rule { return &Rule{Stmts: s, Comment: comment} }
	accept, drop := Verdict{Kind: Accept}, Verdict{Kind: Drop}
	return &Ruleset{
		Comment:  "policy office, point gw",
		Counters: []*Counter{{Name: "denied", Comment: "what was denied"}, {Name: "plain"}},
		Sets: []*Set{
			{Name: "hosts4", Key: []KeyType{IPv4Addr}, Size: 1000, Comment: "feed sha256:abc",
				Elements: []Element{el(pfx("192.0.2.1")), el(pfx("198.51.100.7")), el(pfx("203.0.113.255"))}},
			{Name: "hosts6", Key: []KeyType{IPv6Addr}, Elements: []Element{el(pfx("2001:db8::1"))}},
			{Name: "nets4", Key: []KeyType{IPv4Addr}, Interval: true, Elements: []Element{
				el(pfx("0.0.0.0/8")), el(pfx("10.0.0.0/9")), el(pfx("10.128.0.0/9")), el(pfx("192.0.2.1")),
				el(pfx("192.0.2.4-192.0.2.9")), el(pfx("255.255.255.0/24"))}},
			{Name: "nets6", Key: []KeyType{IPv6Addr}, Interval: true, Elements: []Element{el(pfx("2001:db8::/32")), el(pfx("fe80::1"))}},
			{Name: "empty_nets", Key: []KeyType{IPv4Addr}, Interval: true},
			{Name: "links", Key: []KeyType{Ifname}, Elements: []Element{el(KeyValue{Name: "eth0"}), el(KeyValue{Name: "wg-1.5@x"})}},
			{Name: "ports", Key: []KeyType{InetService}, Interval: true, Elements: []Element{el(port(22, 0)), el(port(5000, 65535))}},
			{Name: "protos", Key: []KeyType{InetProto}, Elements: []Element{el(tcp), el(KeyValue{Num: 132})}},
			{Name: "families", Key: []KeyType{NFProto}, Elements: []Element{el(KeyValue{Num: 2})}},
			{Name: "pairs", Key: []KeyType{IPv4Addr, InetService}, Elements: []Element{el(pfx("192.0.2.1"), port(22, 0))}},
			{Name: "conns4", Key: []KeyType{IPv4Addr}, Dynamic: true, Size: 1024, Comment: "policy.xfw:3"},
			{Name: "conns6", Key: []KeyType{IPv6Addr}, Dynamic: true, Size: 1024},
			{Name: "conns", Key: []KeyType{InetProto}, Dynamic: true, Size: 16},
			{Name: "rate4", Key: []KeyType{IPv4Addr}, Dynamic: true, Size: 1024, Timeout: 90},
			{Name: "rate6", Key: []KeyType{IPv6Addr}, Dynamic: true, Size: 1024, Timeout: 3600},
			{Name: "rate", Key: []KeyType{InetProto}, Dynamic: true, Size: 16, Timeout: 86400},
			{Name: "bans4", Key: []KeyType{IPv4Addr}, Expires: true, Size: 512},
			{Name: "active", Key: []KeyType{NFProto}, Verdict: true, Expires: true, Elements: []Element{
				{Keys: []KeyValue{{Num: 10}}, Do: Jump, Chain: "services", Timeout: 300},
				to(Goto, "services", KeyValue{Num: 2})}},
			{Name: "by_port", Key: []KeyType{InetProto, InetService}, Verdict: true, Elements: []Element{
				to(Goto, "denied", udp, port(53, 0)), to(Accept, "", tcp, port(5222, 0)), to(Drop, "", tcp, port(22, 0)),
				to(Return, "", tcp, port(23, 0))}},
			{Name: "by_ports", Key: []KeyType{InetProto, InetService}, Verdict: true, Interval: true, Elements: []Element{
				to(Goto, "denied", tcp, port(5000, 5100)), to(Goto, "denied", udp, port(5000, 0))}},
			{Name: "to4", Key: []KeyType{IPv4Addr, InetProto, InetService}, Verdict: true, Elements: []Element{
				to(Jump, "denied", pfx("192.0.2.1"), tcp, port(5222, 0))}},
			{Name: "to6", Key: []KeyType{IPv6Addr, InetProto, InetService}, Verdict: true, Elements: []Element{
				to(Jump, "denied", pfx("2001:db8::1"), tcp, port(5222, 0))}},
			{Name: "tonets4", Key: []KeyType{IPv4Addr, InetProto, InetService}, Verdict: true, Interval: true, Elements: []Element{
				to(Goto, "denied", pfx("192.0.2.0/24"), tcp, port(1, 1023)), to(Goto, "denied", pfx("192.0.2.1"), udp, port(53, 0))}},
			{Name: "tonets6", Key: []KeyType{IPv6Addr, InetProto, InetService}, Verdict: true, Interval: true, Elements: []Element{
				to(Goto, "denied", pfx("2001:db8::/64"), tcp, port(5222, 5223))}},
		},
		Chains: []*Chain{
			{Name: "denied", Comment: "what is denied", Rules: []*Rule{
				rule("policy.xfw:1 deny", LimitRate{Rate: Rate{5, "minute", 5}}, LogPacket{Prefix: "xfwc denied: "}),
				rule("", LogPacket{}),
				rule("policy.xfw:2", CountPacket{Counter: "denied"}, drop),
				rule("office", MatchDays{1, 5}, MatchHours{28800, 64799}, CountPacket{Counter: "plain"}),
			}},
			{Name: "services", Rules: []*Rule{
				rule("", VmapProtoPort{Map: "by_port"}),
				rule("", VmapProtoPort{Map: "by_ports"}),
				rule("", VmapAddrProtoPort{V4, Dest, "to4"}),
				rule("", VmapAddrProtoPort{V6, Dest, "to6"}),
				rule("", VmapAddrProtoPort{V4, Source, "tonets4"}),
				rule("", VmapAddrProtoPort{V6, Source, "tonets6"}),
				rule("", MatchFamily{V4}, VmapAddrProtoPort{V4, Source, "to4"}),
				rule("", MatchL4Proto{"tcp"}, VmapProtoPort{Map: "by_ports"}),
			}},
			{Name: "limits", Rules: []*Rule{
				rule("policy.xfw:3", MeterConnections{V4, 0, "conns4", 20}, Verdict{Goto, "denied"}),
				rule("policy.xfw:3", MeterConnections{V6, 0, "conns6", 20}, Verdict{Goto, "denied"}),
				rule("policy.xfw:3", MeterConnections{0, 0, "conns", 2000}, Verdict{Goto, "denied"}),
				rule("policy.xfw:4", MeterRate{V4, 0, "rate4", Rate{30, "second", 1}}, drop),
				rule("policy.xfw:4", MeterRate{V6, 0, "rate6", Rate{30, "minute", 10}}, drop),
				rule("policy.xfw:4", MeterRate{0, 0, "rate", Rate{30, "hour", 100}}, drop),
				rule("", CountConnections{100}, drop),
				rule("", LimitRate{Over: true, Rate: Rate{10, "day", 7}}, drop),
				rule("", Verdict{Kind: Return}),
			}},
			{Name: "early", Hook: "prerouting", Priority: -310, Comment: "before connection tracking", Rules: []*Rule{
				rule("", MatchAddrSet{Family: V4, Side: Source, Set: "hosts4"}, MatchSYN{}, drop),
				rule("", MatchSYN{}, MatchAddrSet{Family: V6, Side: Source, Set: "hosts6"}, drop),
				rule("", MatchAddrSet{V4, Source, "nets4", true}, MatchAddrSet{V4, Dest, "hosts4", true}, CountPacket{"plain"}),
				rule("", MatchAddrSet{V6, Dest, "nets6", false}, MatchPorts{"tcp", Dest, []PortRange{{5222, 5222}}}, MatchSYN{}, drop),
			}},
			{Name: "input", Hook: "input", Priority: 10, Comment: "base", Rules: []*Rule{
				rule("", MatchEstablished{}, accept),
				rule("", MatchInvalid{}, drop),
				rule("", MatchNew{}, Verdict{Jump, "limits"}),
				rule("", MatchInterface{Names: []string{"lo"}}, accept),
				rule("", MatchInterface{Names: []string{"wg*"}}, accept),
				rule("", MatchInterface{Names: []string{"eth0"}, Not: true}, drop),
				rule("", MatchInterface{Names: []string{"eth1", "eth0", "eth1"}}, drop),
				rule("", MatchInterface{Names: []string{"eth0", "eth1"}, Not: true}, drop),
				rule("", MatchAddr{V4, Source, netip.MustParseAddr("192.0.2.1"), false}, MatchAddr{V4, Dest, netip.MustParseAddr("192.0.2.2"), true}, drop),
				rule("", MatchAddr{V6, Source, netip.MustParseAddr("2001:db8::1"), true}, MatchAddr{V6, Dest, netip.MustParseAddr("2001:db8::2"), false}, drop),
				rule("", MatchFamily{V6}, MatchAddrSet{V6, Source, "nets6", false}, accept),
				rule("", MatchL4Proto{"tcp"}, accept),
				rule("", MatchL4Proto{"udp"}, accept),
				rule("", MatchL4Proto{"icmp"}, accept),
				rule("", MatchL4Proto{"ipv6-icmp"}, accept),
				rule("", MatchL4Proto{"tcp"}, MatchPorts{"tcp", Dest, []PortRange{{22, 22}}}, accept),
				rule("", MatchPorts{"udp", Source, []PortRange{{53, 60}}}, accept),
				rule("", MatchPorts{"udp", Source, []PortRange{{53, 53}, {80, 90}, {91, 95}, {5, 5}}}, accept),
				rule("", MatchPorts{"tcp", Source, []PortRange{{1, 1}, {0, 0}, {65535, 65535}}}, accept),
				rule("", MatchPorts{"tcp", Source, []PortRange{{0, 10}, {60000, 65535}}}, accept),
				rule("", MatchPorts{"tcp", Source, []PortRange{{1, 1}}}, MatchPorts{"tcp", Dest, []PortRange{{2, 2}}}, accept),
				rule("", MatchPorts{"tcp", Dest, []PortRange{{2, 2}}}, MatchPorts{"tcp", Source, []PortRange{{1, 1}}}, accept),
				rule("", MatchPorts{"tcp", Source, []PortRange{{1, 9}}}, MatchPorts{"tcp", Dest, []PortRange{{2, 2}}}, accept),
				rule("", MatchHopLimit255{V4}, MatchAddr{V4, Dest, netip.MustParseAddr("224.0.0.251"), false}, MatchPorts{"udp", Dest, []PortRange{{5353, 5353}}}, accept),
				rule("", MatchHopLimit255{V6}, MatchNeighbourDiscovery{}, accept),
				rule("", MatchNeighbourDiscovery{}, accept),
				rule("", MatchL4Proto{"ipv6-icmp"}, MatchNeighbourDiscovery{}, accept),
				rule("", VmapFamily{"active"}),
				rule("the end", Verdict{Goto, "denied"}),
			}},
			{Name: "forward", Hook: "forward", Priority: 10},
			{Name: "output", Hook: "output", Priority: 0, Rules: []*Rule{rule("", MatchInterface{Out: true, Names: []string{"lo"}}, accept)}},
		},
	}
}
