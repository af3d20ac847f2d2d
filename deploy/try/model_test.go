package try

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang"
)

// packetsEach is how many random packets are sent through each example.
const packetsEach = 400

// archived compiles the policy of a golden case about explanations.
func archived(t *testing.T, name string) Options {
	t.Helper()
	ar, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range ar.Files {
		files[f.Name] = f.Data
	}
	read := func(p string) ([]byte, error) {
		if b, ok := files[p]; ok {
			return b, nil
		}
		return nil, fs.ErrNotExist
	}
	tree, sources, _ := lang.Load("policy.xfw", lang.Source{Read: read})
	out := compiler.Compile(compiler.Input{Files: tree, ReadFeed: read})
	if len(out.Policy.Guards) == 0 {
		t.Fatalf("%s does not compile: %v", name, out.Findings)
	}
	return Options{Policy: out.Policy, Path: "policy.xfw", Sources: sources}
}

// TestModelAndKernelAgree sends random packets through every example and every
// golden case about explanations, and compares what became of them with what the model says about each: addresses
// at the borders of what the policy names, ports at the borders of what it
// guards, forged sources, groups, both protocols and families.
func TestModelAndKernelAgree(t *testing.T) {
	needPrivilege(t)
	dirs, err := filepath.Glob("../../examples/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	cases := map[string]Options{}
	for _, dir := range dirs {
		cases[filepath.Base(dir)] = example(t, filepath.Base(dir))
	}
	archives, err := filepath.Glob("../../golden/explain/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no cases in golden/explain: %v", err)
	}
	for _, name := range archives {
		cases["golden/"+strings.TrimSuffix(filepath.Base(name), ".txtar")] = archived(t, name)
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			o := cases[name]
			b, err := NewBed(o.Policy)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			state, err := newScratch()
			if err != nil {
				t.Fatal(err)
			}
			defer state.remove()
			r := &runner{o: o, p: o.Policy, bed: b, state: state, res: &Result{}}
			r.enforce()
			if !r.inForce {
				t.Fatal(transcript(r.res))
			}
			draw := newDrawing(o.Policy, b, rand.New(rand.NewPCG(1, 2)))
			var allowed, denied []*probe
			for range packetsEach {
				k := draw.packet()
				ex, err := b.Judge(o.Policy, k)
				if err != nil {
					t.Fatal(err)
				}
				p := &probe{witness: witness{Packet: k}, model: ex}
				if ex.Verdict == ir.Deny {
					denied = append(denied, p)
				} else {
					allowed = append(allowed, p)
				}
			}
			r.send(denied, quiet)
			waves := map[Packet][]*probe{}
			for wave := 0; ; wave++ {
				var now []*probe
				for _, p := range allowed {
					k := Packet{Proto: p.Proto, Dst: p.Dst, Port: p.Port}
					if wave == 0 {
						waves[k] = append(waves[k], p)
					}
					if wave < len(waves[k]) && waves[k][wave] == p {
						now = append(now, p)
					}
				}
				if wave > 0 && len(now) == 0 {
					break
				}
				r.send(now, quiet)
			}
			for _, p := range allowed {
				if !p.out.Reached && p.out.Err == nil {
					// A limit may have refused it: once more, on renewed counts.
					if err := r.renew(); err != nil {
						t.Fatal(err)
					}
					r.send([]*probe{p}, quiet)
				}
			}
			for _, p := range append(denied, allowed...) {
				if why := disagreement(o.Policy, p); why != "" {
					t.Errorf("%s %s: %s\n  %s", p.Packet, p.Behind, why, strings.Join(lines(p.model), "\n  "))
				}
			}
			t.Logf("%d packets allowed or untouched, %d denied", len(allowed), len(denied))
			if strings.HasPrefix(name, "golden/") {
				return // a small policy may well deny little of what is drawn
			}
			// Without the tables the comparison has to fail.
			for _, pt := range r.filtered() {
				if err := b.Do(pt, removeTable); err != nil {
					t.Fatal(err)
				}
			}
			r.send(denied, quiet)
			if !slices.ContainsFunc(denied, func(p *probe) bool { return disagreement(o.Policy, p) != "" }) {
				t.Error("without any table the kernel still agrees with the model: the test looks at nothing")
			}
			if len(allowed) < packetsEach/20 || len(denied) < packetsEach/20 {
				t.Errorf("of %d packets %d pass and %d are denied: the choice shows too little of one kind", packetsEach, len(allowed), len(denied))
			}
		})
	}
}

// disagreement says where kernel and model differ about a packet, "" where they
// do not.
func disagreement(policy *ir.Policy, p *probe) string {
	if p.out.Err != nil {
		return p.out.Err.Error()
	}
	if p.Dst.IsMulticast() {
		var want []string
		for _, h := range p.model.Hops {
			if h.Hook == ir.Input && h.Decision.Verdict != ir.Deny {
				want = append(want, h.Point.Name)
			}
		}
		// What stands in for the rest of a network hears it, too.
		heard := slices.DeleteFunc(slices.Clone(p.out.Heard), func(node string) bool {
			return !slices.ContainsFunc(policy.Points, func(pt *ir.Point) bool { return pt.Name == node })
		})
		slices.Sort(heard)
		slices.Sort(want)
		if !slices.Equal(heard, want) {
			return fmt.Sprintf("heard by %v, and by %v on the model", heard, want)
		}
		return ""
	}
	switch denied := p.model.Verdict == ir.Deny; {
	case denied && p.out.Reached:
		return "denied on the model, but it reached its destination"
	case !denied && !p.out.Reached:
		return "passes on the model, but: " + p.out.How
	case !denied && p.Behind == "" && !p.out.Arrived:
		return "passes on the model, but the conversation did not come about: " + p.out.How
	}
	return ""
}

// drawing draws packets that a policy has something to say about.
type drawing struct {
	rand    *rand.Rand
	bed     *Bed
	sources [2][]netip.Addr // by family
	targets [2][]netip.Addr
	guarded []uint16 // ports that the policy speaks of
	ports   []uint16 // and their neighbours
	behind  []string
}

func newDrawing(p *ir.Policy, b *Bed, r *rand.Rand) *drawing {
	d := &drawing{rand: r, bed: b}
	add := func(to *[2][]netip.Addr, a netip.Addr) {
		f := 0
		if a.Is6() {
			f = 1
		}
		if a.IsValid() && usable(a) && !slices.Contains(to[f], a) {
			to[f] = append(to[f], a)
		}
	}
	for _, s := range namedSets(p, &ir.Test{}) {
		for _, six := range []bool{false, true} {
			for _, a := range members(s, six) {
				add(&d.sources, a)
				add(&d.sources, a.Prev())
				add(&d.sources, a.Next())
			}
		}
	}
	for _, s := range []string{"203.0.113.77", "8.8.8.8", "10.77.0.1", "172.16.0.1", "198.18.0.1", "2001:db8:ffff::77", "2a00:1::1", "fd00::1"} {
		add(&d.sources, netip.MustParseAddr(s))
	}
	for _, pt := range p.Points {
		for _, a := range pointAddresses(pt) {
			for range 4 { // most packets go to somebody who filters
				d.targets[b2i(a.Is6())] = append(d.targets[b2i(a.Is6())], a)
			}
		}
		for _, i := range pt.Interfaces {
			d.behind = append(d.behind, pt.Name+"."+i.Name)
		}
	}
	for _, n := range p.Networks {
		for _, six := range []bool{false, true} {
			if m := members(n.Set, six); len(m) > 0 {
				add(&d.targets, m[0])
			}
		}
	}
	for _, s := range []string{"203.0.113.7", "2001:db8:ffff::7"} {
		add(&d.targets, netip.MustParseAddr(s))
	}
	port := func(n int) {
		if n > 0 && n < 65536 && !slices.Contains(d.ports, uint16(n)) {
			d.ports = append(d.ports, uint16(n))
		}
	}
	for _, g := range p.Guards {
		for _, s := range g.Services {
			for _, e := range s.Entries {
				if e.Match.Dst == nil || e.Match.Dst.HasFeed {
					continue
				}
				for _, six := range []bool{false, true} {
					for _, a := range members(e.Match.Dst, six) {
						add(&d.targets, a)
						add(&d.targets, a.Next())
					}
				}
			}
			for _, span := range s.Ports {
				d.guarded = append(d.guarded, span.From, span.To)
				port(int(span.From) - 1)
				port(int(span.To) + 1)
			}
		}
	}
	port(22)
	port(53)
	port(8080)
	return d
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (d *drawing) packet() Packet {
	for {
		f := d.rand.IntN(2)
		k := Packet{Proto: ir.TCP, Port: d.guarded[d.rand.IntN(len(d.guarded))]}
		if d.rand.IntN(4) == 0 {
			k.Port = d.ports[d.rand.IntN(len(d.ports))]
		}
		k.Src, k.Dst = d.sources[f][d.rand.IntN(len(d.sources[f]))], d.targets[f][d.rand.IntN(len(d.targets[f]))]
		if d.rand.IntN(6) == 0 {
			k.Proto = ir.UDP
			k.HopLimit = []uint8{0, 255, 64, 254}[d.rand.IntN(4)]
		}
		owner := d.bed.layout.homeOf(k.Src)
		if k.Proto == ir.UDP && d.rand.IntN(3) == 0 && d.bed.layout.nodes[owner].point == nil {
			k.Dst = []netip.Addr{netip.MustParseAddr("224.0.0.251"), netip.MustParseAddr("ff02::fb")}[f]
			k.Port = 5353
			return k
		}
		if d.rand.IntN(4) == 0 && len(d.behind) > 0 && d.bed.layout.nodes[owner].point == nil {
			// The kernel itself refuses a source that is one of its own addresses.
			k.Behind = d.behind[d.rand.IntN(len(d.behind))]
		}
		from, err := d.bed.origin(k)
		if err != nil || from == d.bed.layout.homeOf(k.Dst) || owner == d.bed.layout.homeOf(k.Dst) {
			continue
		}
		return k
	}
}

// TestJudgeIsExplain holds Judge to compiler.Explain where both speak: for
// packets that come from where they claim to.
func TestJudgeIsExplain(t *testing.T) {
	needPrivilege(t)
	for _, name := range []string{"office", "serverless-laptop"} {
		o := example(t, name)
		b, err := NewBed(o.Policy)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		draw := newDrawing(o.Policy, b, rand.New(rand.NewPCG(3, 4)))
		for range 2000 {
			k := draw.packet()
			k.Behind, k.HopLimit = "", 0
			if k.Dst.IsMulticast() {
				continue
			}
			mine, err := b.Judge(o.Policy, k)
			if err != nil {
				t.Fatal(err)
			}
			theirs := compiler.Explain(o.Policy, compiler.Packet{Proto: k.Proto, Src: k.Src, Dst: k.Dst, DstPort: k.Port})
			if mine.Verdict != theirs.Verdict {
				t.Errorf("%s: %s here, %s by explain\n  %s\n  --\n  %s", k, mine.Verdict, theirs.Verdict,
					strings.Join(lines(mine), "\n  "), strings.Join(lines(theirs), "\n  "))
			}
		}
	}
}
