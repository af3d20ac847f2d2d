package suricata

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
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

func TestForms(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"wire transfer", []string{"wire transfer"}},
		{"a & b < c", []string{"a &amp; b &lt; c"}},
		{"a > b > c", []string{"a > b > c", "a &gt; b &gt; c"}},
		{`it's "x"`, []string{`it's "x"`, `it&apos;s "x"`, `it's &quot;x&quot;`, `it&apos;s &quot;x&quot;`}},
		{"&amp;", []string{"&amp;amp;"}},
	}
	for _, tt := range tests {
		if got := forms(tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("forms(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
	if n := len(forms(`<'">&'">`)); n != 8 {
		t.Errorf("all special characters give %d forms, want 8", n)
	}
}

// Rule numbers are unique, stay in the site's own range, and do not depend on
// the order of the policy or on rules that do not collide.
func TestNumbers(t *testing.T) {
	const many = 3000 // enough for hashes to meet in a million numbers
	var rules []*ir.ContentRule
	for i := range many {
		rules = append(rules, &ir.ContentRule{ID: fmt.Sprintf("rule-%d", i), Text: `a "b"`, Actions: []ir.Action{{Name: "alert"}}})
	}
	p, _ := site(rules...)
	all := numbers(p)
	if len(all) != 2*many {
		t.Fatalf("%d numbers for %d rules of two forms", len(all), many)
	}
	seen := map[uint32]string{}
	again := 0
	for key, sid := range all {
		if other, taken := seen[sid]; taken {
			t.Errorf("%q and %q share number %d", key, other, sid)
		}
		seen[sid] = key
		if sid < minSID || sid >= minSID+sids {
			t.Errorf("%q has number %d", key, sid)
		}
		if sid != number(key, 0) {
			again++
		}
	}
	if again == 0 {
		t.Error("no two of the rules met, so the test shows nothing about that")
	}
	slices.Reverse(p.Content)
	if !maps.Equal(numbers(p), all) {
		t.Error("the order of the policy changes the numbers")
	}
	few, _ := site(rules[:10]...)
	moved := 0
	for key, sid := range numbers(few) {
		if all[key] != sid {
			moved++
		}
	}
	if moved > 1 {
		t.Errorf("%d of 20 rules have another number in a smaller policy", moved)
	}
}

func TestEmissionIsPure(t *testing.T) {
	make := func() ir.Emission {
		return Backend{}.Emit(site(
			&ir.ContentRule{ID: "a", Text: `"x"`, Actions: []ir.Action{{Name: "alert"}}}, &ir.ContentRule{ID: "b", Text: "y", Actions: []ir.Action{{Name: "alert"}, {Name: "drop"}}}))
	}
	first := make()
	for range 20 {
		if again := make(); !reflect.DeepEqual(again.Artefacts, first.Artefacts) {
			t.Fatal("two emissions of one policy differ")
		}
	}
}

// What the writer refuses is not in the file, and the ledger says why.
func TestRefusedRuleIsInLedger(t *testing.T) {
	p, edge := site(
		&ir.ContentRule{ID: "long", Text: strings.Repeat("x", maxContent+1), Actions: []ir.Action{{Name: "alert"}}},
		&ir.ContentRule{ID: "short", Text: "x", Actions: []ir.Action{{Name: "alert"}}})
	em := Backend{}.Emit(p, edge)
	if rules := string(artefact(t, em, "xfwc.rules")); strings.Contains(rules, "long") || !strings.Contains(rules, "short") {
		t.Errorf("rules:\n%s", rules)
	}
	for _, e := range em.Ledger {
		if e.Intent == "content long" && (e.Exact != ir.None || !strings.Contains(e.Reason, errContent.Error())) {
			t.Errorf("ledger: %s %s", e.Exact, e.Reason)
		}
	}

	p, edge = site(&ir.ContentRule{ID: "short", Text: "x", Actions: []ir.Action{{Name: "alert"}}})
	p.Legs[0].FromSet.Prefixes = nil
	for i := range 1000 {
		p.Legs[0].FromSet.Prefixes = append(p.Legs[0].FromSet.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 5, byte(i)}), 32))
	}
	em = Backend{}.Emit(p, edge)
	if last := em.Ledger[len(em.Ledger)-1]; last.Exact != ir.None || !strings.Contains(last.Reason, errLong.Error()) {
		t.Errorf("ledger of a thousand addresses: %+v", last)
	}
}
