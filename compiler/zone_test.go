package compiler

import (
	"net/netip"
	"testing"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// TestZoneIsItsInterfaces forges addresses of a zone: they count on the
// interfaces of the zone alone, also where the networks behind two of them are
// the halves of one prefix.
func TestZoneIsItsInterfaces(t *testing.T) {
	file, found := lang.Parse("p.xfw", []byte(`policy "p" { owner "a" }
network wifi  = 10.2.0.0/16, 2001:db8:2::/64
network cable = 10.3.0.0/16
zone guests = wlan0 of edge, eth1 of edge
point edge {
  role gateway
  address 192.0.2.1, 2001:db8::1
  interface eth0 faces internet
  interface wlan0 faces wifi
  interface eth1 faces cable
  interface eth2 faces 10.9.0.0/24
  nftables
}
allow network guests to ssh of edge
`))
	out := Compile(Input{Files: []*lang.File{file}})
	if found = append(found, out.Findings...); diag.HasErrors(found) {
		t.Fatal(found)
	}
	edge := out.Policy.Points[0]
	for _, c := range []struct {
		iif, src string
		want     ir.Verdict
	}{
		{"wlan0", "10.2.0.7", ir.Allow},
		{"eth1", "10.3.255.255", ir.Allow},
		{"wlan0", "2001:db8:2::7", ir.Allow},
		{"eth0", "10.2.0.7", ir.Deny},
		{"eth2", "10.3.0.7", ir.Deny},
		{"eth0", "2001:db8:2::7", ir.Deny},
		{"wlan0", "10.4.0.0", ir.Deny},
		{"eth2", "10.9.0.7", ir.Deny},
	} {
		src := netip.MustParseAddr(c.src)
		dst := edge.Addresses[0]
		if src.Is6() {
			dst = edge.Addresses[1]
		}
		d := Decide(out.Policy, edge, ir.Input, Packet{Proto: ir.TCP, Src: src, Dst: dst, DstPort: 22, Iif: c.iif})
		if d.Verdict != c.want {
			t.Errorf("%s on %s: %s, %s", c.src, c.iif, d.Verdict, d.Reason)
		}
	}
}
