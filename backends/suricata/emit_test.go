package suricata

import (
	"net/netip"
	"testing"

	"xfwc/compiler/ir"
)

// site is a small policy around one component leg, which passes a gateway's
// interface svc0, with the content rules on it; and the gateway.
func site(rules ...*ir.ContentRule) (*ir.Policy, *ir.Point) {
	set := func(name string, ps ...string) *ir.AddrSet {
		s := &ir.AddrSet{Name: name}
		for _, p := range ps {
			s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
		}
		return s
	}
	services := &ir.Network{Name: "services", Set: set("services", "10.0.5.0/24", "2001:db8:5::/64")}
	dmz := &ir.Network{Name: "dmz", Set: set("dmz", "198.51.100.8/29", "2001:db8:0:d::/64")}
	chat := &ir.Server{Name: "chat", Set: set("chat", "198.51.100.10/32", "2001:db8:0:d::10/128")}
	edge := &ir.Point{
		Name: "edge", Role: ir.Gateway, Set: set("edge", "198.51.100.1/32"),
		Interfaces: []ir.Interface{{Name: "eth0", Internet: true}, {Name: "dmz0", Networks: []*ir.Network{dmz}}, {Name: "svc0", Networks: []*ir.Network{services}}},
		Engines:    []ir.Engine{{Kind: "suricata", Mode: "passive", Device: "svc0"}},
	}
	port := []ir.PortSpan{{Proto: ir.TCP, From: 5347, To: 5347}}
	irc := &ir.Flow{
		ID: "component-irc", Kind: ir.Component, Verdict: ir.Allow, Server: chat, Component: "irc", Ports: port,
		From: ir.Endpoint{Label: "component irc", Set: set("irc", "10.0.5.4/32", "2001:db8:5::4/128")},
		To:   ir.Endpoint{Label: "server chat", Set: chat.Set},
	}
	leg := &ir.Leg{ID: "component-irc", Flow: irc, From: "irc", To: "chat", FromSet: irc.From.Set, ToSet: chat.Set, Ports: port, Visibility: ir.Clear}
	for _, r := range rules {
		r.On, r.OnNames = []*ir.Flow{irc}, []string{"component irc"}
	}
	return &ir.Policy{
		Name: "example.org", Networks: []*ir.Network{dmz, services}, Servers: []*ir.Server{chat}, Points: []*ir.Point{edge},
		Flows: []*ir.Flow{irc}, Legs: []*ir.Leg{leg}, Content: rules,
	}, edge
}

func artefact(t *testing.T, em ir.Emission, path string) []byte {
	t.Helper()
	for _, a := range em.Artefacts {
		if a.Path == path {
			return a.Bytes
		}
	}
	t.Fatalf("no artefact %s", path)
	return nil
}
