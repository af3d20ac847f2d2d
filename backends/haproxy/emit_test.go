package haproxy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
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

func prefixes(list ...string) *ir.AddrSet {
	s := &ir.AddrSet{}
	for _, p := range list {
		s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
	}
	s.Prefixes = ir.MergePrefixes(s.Prefixes)
	return s
}

// allowed is an allow statement to the web service at the point.
func allowed(from *ir.AddrSet, pt *ir.Point) *ir.Flow {
	return &ir.Flow{
		ID: "allow-ops-web-chat", Kind: ir.Access, Verdict: ir.Allow, Ports: []ir.PortSpan{tcp(443)},
		From: ir.Endpoint{Label: "network ops", Set: from}, To: ir.Endpoint{Label: "point edge", Set: pt.Set},
	}
}

// manyHosts are more addresses than the file takes.
func manyHosts() *ir.AddrSet {
	set := &ir.AddrSet{Name: "many"}
	for i := range maxPrefixes + 1 {
		set.Prefixes = append(set.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	return set
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

// What HAProxy cannot hold is in the ledger with the reason, and what the author
// has to mend is a finding; none of it is in the file.
func TestAnswers(t *testing.T) {
	second := attempts(5, "hour", 5)
	second.ID = "second"
	day := attempts(1, "day", 1000)
	peer := connections(5, ir.PerPeer)
	tests := []struct {
		name    string
		limits  []*ir.Limit
		change  func(*ir.Policy, *ir.Point)
		intent  string
		exact   ir.Exactness
		finding string // its code, or ""
		without string // what the file may not hold; "" is no file at all
	}{
		{"a path that no request has", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes[0].Path = "/a b" },
			"route /a b", ir.None, "value-invalid", "/a b"},
		{"a path with a line break", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes[0].Path = "/evil\nglobal" },
			"route /evil\nglobal", ir.None, "value-invalid", "/evil"},
		{"a point without an address", nil, func(_ *ir.Policy, pt *ir.Point) { pt.Addresses = nil },
			"route /bosh", ir.None, "value-missing", ""},
		{"a server without an address", nil, func(p *ir.Policy, _ *ir.Point) { p.Servers[0].Addresses = nil },
			"route /bosh", ir.None, "value-missing", ""},
		{"a server whose name is no name", nil, func(p *ir.Policy, _ *ir.Point) { p.Servers[0].Name = "a b" },
			"route /bosh", ir.None, "value-invalid", ""},
		{"a list of too many sources", nil, func(p *ir.Policy, _ *ir.Point) {
			p.Flows[0].From = ir.Endpoint{Set: manyHosts()}
		}, "flow web-chat", ir.Over, "", "10.0.0.1"},
		{"a list of too many exempt sources", nil, func(p *ir.Policy, pt *ir.Point) {
			pt.Set = prefixes("198.51.100.1/32")
			p.Flows[0].From = ir.Endpoint{Set: prefixes("192.0.2.0/24")}
			p.Flows = append(p.Flows, allowed(manyHosts(), pt))
		}, "flow web-chat", ir.Over, "", "connection reject"},
		{"a list of too many exempt sources, and limits", []*ir.Limit{connections(5, ir.PerSource)}, func(p *ir.Policy, pt *ir.Point) {
			pt.Set = prefixes("198.51.100.1/32")
			p.Flows = append(p.Flows, allowed(manyHosts(), pt))
		}, "flow allow-ops-web-chat", ir.Under, "", "exempt"},
		{"an allow statement for a port elsewhere", []*ir.Limit{connections(5, ir.PerSource)}, func(p *ir.Policy, pt *ir.Point) {
			pt.Set = prefixes("198.51.100.1/32")
			f := allowed(prefixes("192.0.2.0/24"), pt)
			f.To.Set = prefixes("198.51.100.10/32")
			p.Flows = append(p.Flows, f)
		}, "flow allow-ops-web-chat", ir.None, "", "192.0.2.0"},
		{"an exempt source under a global limit", []*ir.Limit{connections(5, ir.Global)}, func(p *ir.Policy, pt *ir.Point) {
			pt.Set = prefixes("198.51.100.1/32")
			p.Flows = append(p.Flows, allowed(prefixes("192.0.2.0/24"), pt))
		}, "flow allow-ops-web-chat", ir.Under, "", "maxconn"},
		{"a second rate", []*ir.Limit{attempts(60, "minute", 30), second}, nil, "limit second", ir.None, "", "3600000ms"},
		{"a rate over years", []*ir.Limit{day}, nil, "limit " + day.ID, ir.None, "", "stick-table"},
		{"a limit per peer", []*ir.Limit{peer}, nil, "limit " + peer.ID, ir.None, "", "stick-table"},
		{"a websocket", nil, nil, "route /ws", ir.None, "", "/ws"},
		{"a flow of which one path is not written", nil, nil, "flow web-chat", ir.Under, "", "/ws"},
		{"a flow of which all paths are written", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes = p.Routes[:2] }, "flow web-chat", ir.Exact, "", "/ws"},
		{"a timeout that HAProxy cannot count", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes[1].Timeout = 1 << 62 },
			"route /it's/a$path", ir.Under, "", "4611686018427387904"},
		{"a wait that HAProxy cannot count", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes[1].Wait = 1<<64 - 1 },
			"route /it's/a$path", ir.Under, "", "timeout server 14s"},
		{"a wait that nobody knows", nil, nil, "route /it's/a$path", ir.Under, "", "set-timeout"},
		{"a wait that is known", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes[1].UsualWait = 30 }, "route /it's/a$path", ir.Exact, "", "server 30s"},
		{"an origin that no browser sends", nil, func(p *ir.Policy, _ *ir.Point) { p.Routes[0].Origins = []string{"https://a b"} },
			"route /bosh", ir.None, "value-invalid", ""},
		{"an allow statement for hours", nil, func(p *ir.Policy, pt *ir.Point) {
			pt.Set = prefixes("198.51.100.1/32")
			f := allowed(prefixes("192.0.2.0/24"), pt)
			f.Terms = &ir.Terms{During: &ir.Window{Name: "office"}}
			p.Flows = append(p.Flows, f)
		}, "flow allow-ops-web-chat", ir.Over, "", "office"},
		{"a limit from which everybody is exempt for hours", []*ir.Limit{connections(5, ir.PerSource)}, func(p *ir.Policy, pt *ir.Point) {
			pt.Set = prefixes("198.51.100.1/32")
			f := allowed(nil, pt)
			f.From = ir.Endpoint{Label: "any", Any: true}
			f.Terms = &ir.Terms{During: &ir.Window{Name: "office"}}
			p.Flows = append(p.Flows, f)
		}, "limit web-chat-connections-source", ir.Over, "", "stick-table"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, pt := office(tt.limits...)
			if tt.change != nil {
				tt.change(p, pt)
			}
			em := Backend{}.Emit(p, pt)
			i := slices.IndexFunc(em.Ledger, func(e ir.LedgerEntry) bool { return e.Intent == tt.intent })
			if i < 0 || em.Ledger[i].Exact != tt.exact || em.Ledger[i].Reason == "" {
				t.Errorf("ledger has no %s for %q: %+v", tt.exact, tt.intent, em.Ledger)
			}
			found := slices.ContainsFunc(em.Findings, func(f diag.Finding) bool { return f.Code == tt.finding })
			if found != (tt.finding != "") {
				t.Errorf("findings %+v, want code %q", em.Findings, tt.finding)
			}
			if tt.without == "" {
				if len(em.Artefacts) != 0 {
					t.Errorf("there is a file: %s", em.Artefacts[0].Bytes)
				}
				return
			}
			if text := string(artefact(t, em, "haproxy.cfg")); strings.Contains(text, tt.without) {
				t.Errorf("the file holds %q:\n%s", tt.without, text)
			}
		})
	}
}

// A host that serves its own server listens on the server's addresses.
func TestHostListensOnServerAddresses(t *testing.T) {
	p, pt := office()
	pt.Role, pt.Server, pt.Addresses = ir.Host, p.Servers[0], nil
	text := string(artefact(t, Backend{}.Emit(p, pt), "haproxy.cfg"))
	for _, want := range []string{"bind 198.51.100.10:443 ", "bind [2001:db8:0:d::10]:443 "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
