package compiler

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// bigExample is examples/openfire-public with a feed of n lines in the place of
// its own.
func bigExample(t testing.TB, n int) Input {
	t.Helper()
	files, _, found := lang.Load("../examples/openfire-public/policy.xfw", lang.OS())
	if len(found) > 0 {
		t.Fatal(found[0].Summary)
	}
	feed := bigFeed(n)
	return Input{Files: files, ReadFeed: func(string) ([]byte, error) { return feed, nil }}
}

func BenchmarkCompile(b *testing.B) {
	in := bigExample(b, 100_000)
	for b.Loop() {
		Compile(in)
	}
}

// One run reports every problem, whichever stage finds it: an unknown name, a
// bad feed line, overlapping peers, a peer that the lock does not know.
func TestCompileReportsAllAtOnce(t *testing.T) {
	a := txtar.Parse([]byte(`
-- policy.xfw --
policy "all" { }
server chat { software prosody 13.0 domain a.example address 198.51.100.1 }
network drop = feed "drop.txt"
network drop = 10.0.0.0/8
deny network drop, dorp
federation of chat {
  default deny
  peer one.example { address 192.0.2.1 }
  peer two.example { address 192.0.2.1 }
  peer three.example
}
clients of chat { limit connections 0 per source }
-- drop.txt --
nobody
`))
	want := map[string]int{
		"feed-line drop.txt:1": 1, "name-duplicate policy.xfw:4": 1, "name-unknown policy.xfw:5": 1,
		"value-conflict policy.xfw:9": 1, "lock-missing policy.xfw:10": 1, "value-invalid policy.xfw:12": 1,
	}
	for _, f := range compileArchive(a).Findings {
		if f.Severity == diag.Error {
			want[f.Code+" "+f.Span.Start.Filename+":"+strconv.Itoa(f.Span.Start.Line)]--
		}
	}
	for what, n := range want {
		if n != 0 {
			t.Errorf("%s: %d more than reported", what, n)
		}
	}
}

// No source makes a compile panic or contradict itself, and the same source
// gives the same policy.
func FuzzCompile(f *testing.F) {
	for _, folder := range []string{"resolve", "explain"} {
		cases, err := filepath.Glob("../golden/" + folder + "/*.txtar")
		if err != nil || len(cases) == 0 {
			f.Fatalf("no cases: %v", err)
		}
		for _, name := range cases {
			a, err := txtar.ParseFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(a.Files[0].Data)
		}
	}
	for _, name := range []string{"prosody-host", "serverless-laptop", "openfire-public", "office"} {
		src, err := os.ReadFile(filepath.Join("..", "examples", name, "policy.xfw"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, _ := lang.Parse("policy.xfw", src)
		in := Input{Files: []*lang.File{file}, Date: "2026-01-01", ReadFeed: func(string) ([]byte, error) { return []byte("192.0.2.1\n"), nil }}
		out := Compile(in)
		for _, f := range out.Findings {
			if f.Code == "internal-error" {
				t.Errorf("%s:%d: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Summary)
			}
			if f.Severity == 0 || f.Summary == "" || !f.Span.IsValid() {
				t.Errorf("finding %s: severity %v, summary %q, place %v", f.Code, f.Severity, f.Summary, f.Span)
			}
		}
		if again := Compile(in); !bytes.Equal(out.Policy.Dump(), again.Policy.Dump()) || len(out.Findings) != len(again.Findings) {
			t.Error("the same source gives another policy")
		}
	})
}

// A contradiction of the compiler is a finding with its place, not a crash.
func TestSanityFindsContradictions(t *testing.T) {
	o := func() Output { return loadExample(t, "office") }
	tests := []struct {
		name    string
		spoil   func(*ir.Policy)
		finding string
	}{
		{"two flows of one ID", func(p *ir.Policy) { p.Flows[1].ID = p.Flows[0].ID }, "ID"},
		{"a limit that packets do not show", func(p *ir.Policy) { p.Flows[0].Limits[0].Kind = ir.Logins }, "not seen in packets"},
		{"a limit by nothing", func(p *ir.Policy) { p.Flows[0].Limits[0].Key = "" }, "key"},
		{"clients of no server", func(p *ir.Policy) { p.Clients[0].Server = &ir.Server{} }, "server"},
		{"a flow without a verdict", func(p *ir.Policy) { p.Flows[0].Verdict = 0 }, "verdict"},
		{"a flow from nowhere", func(p *ir.Policy) { p.Flows[0].From = ir.Endpoint{Label: "x"} }, "neither any nor a set"},
		{"a set out of order", func(p *ir.Policy) {
			s := p.Networks[0].Set.Prefixes
			s[0], s[1] = s[1], s[0]
		}, "sorted"},
		{"two sets of one name", func(p *ir.Policy) { p.Networks[1].Set.Name = p.Networks[0].Set.Name }, "two sets"},
		{"a label with a quote", func(p *ir.Policy) { p.Flows[0].Origin.Label = "a\"b" }, "label"},
		{"an origin without a place", func(p *ir.Policy) { p.Flows[0].Origin.Span = diag.Span{} }, "no line"},
		{"a limit of nothing", func(p *ir.Policy) { p.Flows[0].Limits[0].Count = 0 }, "bounds nothing"},
		{"a leg that is lost", func(p *ir.Policy) { p.Legs = p.Legs[1:] }, "no leg"},
		{"a port of 0", func(p *ir.Policy) { p.Flows[0].Ports = []ir.PortSpan{{Proto: ir.TCP}} }, "ports"},
		{"services that share a key", func(p *ir.Policy) {
			g := p.Guards[0]
			c := *g.Services[0]
			c.Name = "copy"
			g.Services = append(g.Services, &c)
		}, "hold the same packets"},
		{"an entry without a verdict", func(p *ir.Policy) { p.Guards[0].Services[0].Rest.Verdict = 0 }, "verdict"},
	}
	if fs := o().Policy.Sanity(); len(fs) != 0 {
		t.Fatalf("the example itself: %s", fs[0].Summary)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := o().Policy
			tt.spoil(p)
			fs := p.Sanity()
			for _, f := range fs {
				if f.Code == "internal-error" && strings.Contains(f.Summary, tt.finding) {
					return
				}
			}
			t.Errorf("not found: %v", fs)
		})
	}
}
