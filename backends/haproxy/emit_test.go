package haproxy

import (
	"net/netip"
	"testing"

	"xfwc/compiler/ir"
)

func addrs(list ...string) (as []netip.Addr) {
	for _, a := range list {
		as = append(as, netip.MustParseAddr(a))
	}
	return as
}

func tcp(n uint16) ir.PortSpan { return ir.PortSpan{Proto: ir.TCP, From: n, To: n} }

// office is a small policy in which the TLS of one server's web traffic ends at
// a gateway, with the given limits; and the gateway.
func office(limits ...*ir.Limit) (*ir.Policy, *ir.Point) {
	chat := &ir.Server{Name: "chat", Addresses: addrs("198.51.100.10", "2001:db8:0:d::10")}
	edge := &ir.Point{
		Name: "edge", Role: ir.Gateway, Addresses: addrs("2001:db8:0:1::1", "198.51.100.1"),
		Engines: []ir.Engine{{Kind: "nftables"}, {Kind: "haproxy"}},
	}
	web := &ir.Flow{
		ID: "web-chat", Kind: ir.Web, Verdict: ir.Allow, Server: chat, Ports: []ir.PortSpan{tcp(443)},
		From: ir.Endpoint{Label: "any", Any: true}, To: ir.Endpoint{Label: "point edge"}, Limits: limits,
	}
	return &ir.Policy{
		Name: "example.org", Servers: []*ir.Server{chat}, Points: []*ir.Point{edge}, Flows: []*ir.Flow{web},
		Routes: []*ir.HTTPRoute{
			{Kind: "bosh", Path: "/bosh", Point: edge, Server: chat, Backend: tcp(5280), Listen: tcp(443), BodyMax: 65536},
			{Kind: "bosh", Path: "/it's/a$path", Point: edge, Server: chat, Backend: tcp(5280), Listen: tcp(443)},
			{Kind: "websocket", Path: "/ws", Point: edge, Server: chat, Backend: tcp(5280), Listen: tcp(443)},
		},
	}, edge
}

func artefact(t *testing.T, em ir.Emission, path string) []byte {
	t.Helper()
	for _, a := range em.Artefacts {
		if a.Path == path {
			return a.Bytes
		}
	}
	t.Fatalf("no artefact %s: %+v", path, em.Findings)
	return nil
}
