package compiler

import (
	"bytes"
	"fmt"
	"testing"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// manyStatements is a policy with n allow statements, each for another host.
func manyStatements(n int) []byte {
	var b bytes.Buffer
	b.WriteString(wide)
	for i := range n {
		fmt.Fprintf(&b, "allow 10.%d.%d.7 to ssh of box\n", i/250, i%250)
	}
	return b.Bytes()
}

// manyPeers is a policy with n peers.
func manyPeers(n int) []byte {
	var b bytes.Buffer
	b.WriteString(wide + "federation of chat {\n  default deny\n")
	for i := range n {
		fmt.Fprintf(&b, "  peer p%d.example { address 20.%d.%d.7, 2001:db8:%x::7 }\n", i, i/250, i%250, i)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// manyRules is a policy in which n statements allow and as many deny, for
// networks and ports of their own.
func manyRules(n int) []byte {
	var b bytes.Buffer
	b.WriteString(wide)
	for i := range n {
		fmt.Fprintf(&b, "allow 10.%d.%d.0/24 to tcp/%d of box\ndeny 20.%d.%d.7 to tcp/%d of box\n", i/250, i%250, 1024+i%50, i/250, i%250, 1024+i%50)
	}
	return b.Bytes()
}

const wide = `policy "wide" { }
server chat { software prosody 13.0 domain a.example address 198.51.100.1 }
point box { role host of chat nftables interface eth0 faces internet }
`

// input parses a policy that has no errors.
func input(t testing.TB, source []byte) Input {
	t.Helper()
	f, found := lang.Parse("policy.xfw", source)
	if out := Compile(Input{Files: []*lang.File{f}}); diag.HasErrors(append(found, out.Findings...)) {
		t.Fatalf("the policy has errors: %s", append(found, out.Findings...)[0].Summary)
	}
	return Input{Files: []*lang.File{f}}
}

func BenchmarkCompileStatements(b *testing.B) {
	in := input(b, manyStatements(4000))
	for b.Loop() {
		Compile(in)
	}
}

// The checks alone: what they do with every statement of 10,000.
func BenchmarkChecks(b *testing.B) {
	in := input(b, manyRules(5000))
	p := Compile(in).Policy
	for b.Loop() {
		runChecks(p, in)
	}
}

func BenchmarkCompilePeers(b *testing.B) {
	in := input(b, manyPeers(8000))
	for b.Loop() {
		Compile(in)
	}
}
