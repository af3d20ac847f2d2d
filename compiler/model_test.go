package compiler

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"

	"xfwc/compiler/ir"
	"xfwc/internal/longpolicy"
	"xfwc/lang"
)

// TestModelIsExplain asks the model, which looks at few packets and at no entry
// twice, and Explain, which looks at a packet of every region that any set of the
// policy cuts out: whether a test holds, and by which packet it does not. The
// tests are those of the policies, and some at random.
func TestModelIsExplain(t *testing.T) {
	rng := rand.New(rand.NewPCG(5222, 443))
	held, broken := 0, 0
	policies := policiesWithGuards(t)
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		p := policies[name]
		m := newModel(p)
		tests := slices.Clone(p.Tests)
		for range 40 {
			if r := randomTest(p, rng); r != nil {
				tests = append(tests, r)
			}
		}
		for _, test := range tests {
			got, want := runTest(p, m, test), bruteTest(p, test)
			if got.OK {
				held++
			} else {
				broken++
			}
			switch {
			case got.OK != want.OK || (got.Packets == 0) != (want.Packets == 0):
				t.Errorf("%s: %s %s from %s to %s %v: the model says %v of %d packets, Explain %v of %d, %v", name, test.Kind, test.Proto, test.From.Label, test.To.Label, test.Ports,
					got.OK, got.Packets, want.OK, want.Packets, want.Witness)
			case !got.OK && got.Witness.Packet != want.Witness.Packet:
				t.Errorf("%s: %s from %s except %v: the model finds %v, Explain %v", name, test.Kind, test.From.Label, test.Except != nil, got.Witness.Packet, want.Witness.Packet)
			}
		}
	}
	if held < 100 || broken < 100 {
		t.Errorf("%d tests hold and %d do not: the test compares too little", held, broken)
	}
}

// bruteTest is runTest without any saving.
func bruteTest(p *ir.Policy, t *ir.Test) TestResult {
	var srcs []netip.Addr
	add := func(s *ir.AddrSet) {
		if s != nil {
			for _, pfx := range s.Prefixes {
				srcs = appendCuts(srcs, pfx)
			}
		}
	}
	for _, g := range p.Guards {
		for _, e := range g.Confine {
			add(e.Match.Src)
			add(e.Match.Dst)
		}
		for _, s := range g.Services {
			add(s.Addrs)
			for _, e := range s.Entries {
				add(e.Match.Src)
				add(e.Match.Dst)
			}
		}
	}
	for _, n := range p.Networks {
		add(n.Set)
	}
	for _, pt := range p.Points {
		add(pt.Set)
		for _, i := range pt.Interfaces {
			for _, n := range i.Networks {
				add(n.Set)
			}
		}
	}
	for _, s := range p.Servers {
		add(s.Set)
	}
	add(t.From.Set)
	add(t.Except)
	srcs = append(srcs, specialCuts...)
	for _, a := range []string{"1.0.0.0", "2000::", "203.0.113.1", "2001:db8:ffff::1"} {
		srcs = append(srcs, netip.MustParseAddr(a))
	}
	slices.SortFunc(srcs, netip.Addr.Compare)
	srcs = slices.Compact(srcs)

	r := TestResult{Test: t, OK: true}
	moments := p.Moments()
	if t.At != nil {
		moments = []ir.Moment{*t.At}
	}
	for _, dst := range testTargets(t) {
		own := machineAt(p, dst)
		for _, src := range srcs {
			inside := t.From.Set.Contains(src)
			nowhere := src.IsLoopback() || src.IsLinkLocalUnicast() || src.IsMulticast() || src.IsUnspecified() || src == netip.MustParseAddr("255.255.255.255")
			if t.Except != nil && t.Except.Contains(src) || !inside && (!t.Everybody() || nowhere) ||
				src.Is4() != dst.Is4() || own != nil && machineAt(p, src) == own {
				continue
			}
			for _, port := range newModel(p).portsOf(t) {
				for _, at := range moments {
					ex := Explain(p, Packet{Proto: t.Proto, Src: src, Dst: dst, DstPort: port, At: at})
					if t.Kind == ir.ExpectAllow && t.From.Any && deniedAsBogon(ex) {
						continue
					}
					r.Packets++
					if (t.Wants(src) == ir.Deny) != (ex.Meant() == ir.Deny) {
						r.OK, r.Witness = false, &ex
						return r
					}
				}
			}
		}
	}
	return r
}

// randomTest is an expectation about what the policy names; nil where it names
// too little.
func randomTest(p *ir.Policy, rng *rand.Rand) *ir.Test {
	var sets []*ir.AddrSet
	for _, n := range p.Networks {
		sets = append(sets, n.Set)
	}
	for _, f := range p.Flows {
		if f.From.Set != nil {
			sets = append(sets, f.From.Set)
		}
	}
	sets = slices.DeleteFunc(sets, func(s *ir.AddrSet) bool { return len(s.Prefixes) == 0 || len(s.Prefixes) > hugeSet })
	var ports []ir.PortSpan
	for _, g := range p.Guards {
		for _, s := range g.Services {
			ports = append(ports, s.Ports...)
		}
	}
	var targets []*ir.AddrSet
	for _, s := range p.Servers {
		targets = append(targets, s.Set)
	}
	for _, pt := range p.Points {
		targets = append(targets, pt.Set)
	}
	targets = slices.DeleteFunc(targets, func(s *ir.AddrSet) bool { return s == nil || len(s.Prefixes) == 0 })
	if len(sets) == 0 || len(ports) == 0 || len(targets) == 0 {
		return nil
	}
	pick := func(all []*ir.AddrSet) *ir.AddrSet { return all[rng.IntN(len(all))] }
	port := ports[rng.IntN(len(ports))]
	if rng.IntN(4) > 0 {
		port.To = port.From
	}
	t := &ir.Test{Name: "random", Proto: port.Proto, Ports: []ir.PortSpan{port}, To: ir.Endpoint{Set: pick(targets), Label: "to"}}
	t.Kind = []ir.TestKind{ir.ExpectAllow, ir.ExpectDeny, ir.ExpectOnly}[rng.IntN(3)]
	if rng.IntN(2) == 0 && t.Kind != ir.ExpectOnly {
		t.From = ir.Endpoint{Any: true, Label: "any"}
	} else {
		s := pick(sets)
		t.From = ir.Endpoint{Set: s, Label: s.Name}
	}
	if rng.IntN(3) == 0 {
		t.Except = pick(sets)
	}
	return t
}

// policiesWithGuards compiles the examples, the cases of goldens, the examples
// of checks and a long policy.
func policiesWithGuards(t *testing.T) map[string]*ir.Policy {
	t.Helper()
	all := map[string]*ir.Policy{}
	add := func(name string, p *ir.Policy) {
		if p != nil && len(p.Guards) > 0 {
			all[name] = p
		}
	}
	for _, pattern := range []string{"../golden/explain/*.txtar", "../golden/resolve/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no cases: %v", err)
		}
		for _, file := range files {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			add(file, compileArchive(a).Policy)
		}
	}
	examples, err := filepath.Glob("../examples/*/policy.xfw")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range examples {
		files, _, _ := lang.Load(file, lang.OS())
		add(file, Compile(Input{Files: files, ReadFeed: os.ReadFile}).Policy)
	}
	one := func(src []byte) *ir.Policy {
		f, _ := lang.Parse("policy.xfw", src)
		return Compile(Input{Files: []*lang.File{f}}).Policy
	}
	for i, c := range Checks() {
		if i%4 == 0 {
			add(c.Code, one([]byte(c.Bad)))
		}
	}
	add("long", one(longpolicy.Lines(400)))
	return all
}
