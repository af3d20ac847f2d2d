package try

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"xfwc/compiler/ir"
)

func set(name string, ps ...string) *ir.AddrSet {
	s := &ir.AddrSet{Name: name}
	for _, p := range ps {
		s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
	}
	return s
}

func office() *ir.Policy {
	dmz := &ir.Network{Name: "dmz", Set: set("dmz", "198.51.100.8/29", "2001:db8:0:d::/64")}
	lan := &ir.Network{Name: "lan", Set: set("lan", "192.168.10.0/24", "2001:db8:10::/64")}
	ops := &ir.Network{Name: "ops", Set: set("ops", "10.9.0.0/24", "2001:db8:99::/64")}
	chat := &ir.Server{Name: "chat", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("2001:db8:0:d::10")}}
	edge := &ir.Point{Name: "edge", Role: ir.Gateway, Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:0:1::1")},
		Interfaces: []ir.Interface{{Name: "eth0", Internet: true}, {Name: "dmz0", Networks: []*ir.Network{dmz}}, {Name: "lan0", Networks: []*ir.Network{lan, ops}}}}
	chat1 := &ir.Point{Name: "chat1", Role: ir.Host, Server: chat, Interfaces: []ir.Interface{{Name: "eth0", Internet: true}}}
	return &ir.Policy{Networks: []*ir.Network{dmz, lan, ops}, Servers: []*ir.Server{chat}, Points: []*ir.Point{edge, chat1}}
}

func TestBed(t *testing.T) {
	p := office()
	b, err := NewBed(p)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	t.Log(strings.Join(b.Describe(), "\n"))
	pk := func(s string) Packet {
		var proto, src, dst string
		var port uint16
		fmt.Sscan(s, &proto, &src, &dst, &port)
		return Packet{Proto: ir.Proto(proto), Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Port: port}
	}
	var ps []Packet
	for _, s := range []string{
		"tcp 203.0.113.9 198.51.100.10 5222", "tcp 2001:db8:ffff::1 2001:db8:0:d::10 5222",
		"tcp 192.168.10.0 198.51.100.10 5222", "tcp 192.168.10.255 198.51.100.10 5222",
		"tcp 198.51.100.9 198.51.100.10 5222", "tcp 198.51.100.10 203.0.113.7 5269",
		"udp 203.0.113.9 198.51.100.10 53", "udp 2001:db8:ffff::1 2001:db8:0:d::10 53",
		"tcp 192.168.10.3 203.0.113.7 5269", "tcp 203.0.113.7 192.168.10.4 5269", "tcp 198.51.100.1 198.51.100.10 22", "tcp 203.0.113.7 198.51.100.1 22",
		"udp 198.51.100.10 224.0.0.251 5353", "udp 198.51.100.9 224.0.0.251 5353", "udp 2001:db8:0:d::9 ff02::fb 5353",
	} {
		ps = append(ps, pk(s))
	}
	for i, o := range b.ProbeAll(ps) {
		t.Log(ps[i], o)
	}
	for at, n := range b.layout.nodes {
		if n.name != "chat1" && n.name != "edge" {
			continue
		}
		b.spaces[at].do(func() error {
			out, err := exec.Command("nft", "add table inet x; add chain inet x i { type filter hook input priority 0; }; add rule inet x i tcp dport 5222 ip saddr 203.0.113.9 drop;add rule inet x i udp dport 53 drop; add chain inet x o {type filter hook output priority 0;}; add rule inet x o tcp dport 5269 drop").CombinedOutput()
			t.Log(string(out), err)
			return nil
		})
	}
	for i, o := range b.ProbeAll(ps) {
		t.Log(ps[i], o)
	}
}
