package xfwc_test

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"xfwc/compiler"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// The grammar stands in SPEC.md between these two lines.
const (
	ebnfBegin = "<!-- grammar: written by `make golden` -->\n```ebnf\n"
	ebnfEnd   = "```\n<!-- end of grammar -->\n"
)

// TestSpecGrammar compares the grammar in SPEC.md with that of the parser.
func TestSpecGrammar(t *testing.T) {
	spec := readSpec(t)
	head, rest, ok := strings.Cut(spec, ebnfBegin)
	if !ok {
		t.Fatalf("SPEC.md has no line %q", ebnfBegin)
	}
	got, tail, ok := strings.Cut(rest, ebnfEnd)
	if !ok {
		t.Fatalf("SPEC.md has no line %q after the grammar", ebnfEnd)
	}
	want := lang.EBNF()
	if got == want {
		return
	}
	if os.Getenv("XFWC_UPDATE") != "" {
		if err := os.WriteFile("SPEC.md", []byte(head+ebnfBegin+want+ebnfEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the grammar in SPEC.md is not the parser's; run make golden. The parser's is:\n%s", want)
}

// The table of limits stands in SPEC.md between these two lines.
const (
	limitsBegin = "<!-- limits: written by `make golden` -->\n"
	limitsEnd   = "<!-- end of limits -->\n"
)

// TestSpecLimits compares the table of limits in SPEC.md with that of the compiler.
func TestSpecLimits(t *testing.T) {
	spec := readSpec(t)
	head, rest, ok := strings.Cut(spec, limitsBegin)
	got, tail, ok2 := strings.Cut(rest, limitsEnd)
	if !ok || !ok2 {
		t.Fatalf("SPEC.md has no lines %q and %q", limitsBegin, limitsEnd)
	}
	var want strings.Builder
	fmt.Fprintf(&want, "| limit | %s | can be held by |\n|%s\n", strings.Join(compiler.LimitStatements, " | "), strings.Repeat("---|", len(compiler.LimitStatements)+2))
	for _, r := range compiler.LimitTable {
		fmt.Fprintf(&want, "| `%s %s` |", r.Kind, r.Amount())
		for _, statement := range compiler.LimitStatements {
			var keys []string
			for _, k := range r.Keys[statement] {
				keys = append(keys, string(k))
			}
			fmt.Fprintf(&want, " %s |", strings.Join(keys, ", "))
		}
		fmt.Fprintf(&want, " %s |\n", r.Holds)
	}
	if got == want.String() {
		return
	}
	if os.Getenv("XFWC_UPDATE") != "" {
		if err := os.WriteFile("SPEC.md", []byte(head+limitsBegin+want.String()+limitsEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table of limits in SPEC.md is not the compiler's; run make golden. The compiler's is:\n%s", want.String())
}

// xfwBlock finds the examples of the language in a document.
var xfwBlock = regexp.MustCompile("(?ms)^```xfw\n(.*?)^```$")

// around is a site that the examples are parts of: what an example does not state
// itself is taken from here.
const around = `policy "example.org" { owner "netops@example.org" }
network lan  = 192.168.10.0/24, 2001:db8:10::/64
network ops  = 10.9.0.0/24
network dmz  = 198.51.100.0/28, 2001:db8:0:d::/64
network wifi = 10.2.0.0/16
network drop = 192.0.2.0/28
zone guests = wlan1 of hall
domains spam = bad.example
domains partners = partner.example
words phish = "gift card"
window office = mon-fri 08:00-18:00
server chat { software ejabberd 24.12  domain example.org, guest.example.org  address 198.51.100.10, 2001:db8:0:d::10 }
point edge {
  role      gateway
  address   198.51.100.1, 2001:db8:0:1::1
  interface eth0 faces internet
  interface dmz0 faces dmz
  interface wlan0 faces wifi
  interface eth1 faces lan, ops
  nftables
  haproxy
}
point hall { role gateway  interface wlan1 faces 10.3.0.0/16  nftables }
point chat1 { role host of chat  nftables }
clients of chat { from any }
federation of chat {
  default deny
  peer legacy.example { address 203.0.113.60  tls none  auth dialback }
}
component irc of chat { port 5347  from 10.0.5.4  tunnel "WireGuard" }
web of chat {
  tls terminate at edge
  bosh "/http-bind"
}
content phishing { match body ~ "wire +transfer"  on component irc  then alert }
`

// TestDocumentedPolicies holds every example in SPEC.md and README.md to the
// grammar, to the one format, and to its meaning: completed from around, it
// compiles.
func TestDocumentedPolicies(t *testing.T) {
	rest, findings := lang.Parse("around.xfw", []byte(around))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	seen := 0
	for _, name := range []string{"SPEC.md", "README.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range xfwBlock.FindAllSubmatchIndex(text, -1) {
			seen++
			policy := text[m[2]:m[3]]
			line := 1 + strings.Count(string(text[:m[2]]), "\n")
			file, findings := lang.Parse(name, policy)
			for _, f := range append(findings, compileExample(file, rest)...) {
				t.Errorf("%s:%d: %s: %s", name, line+f.Span.Start.Line-1, f.Code, f.Summary)
			}
			if formatted := lang.Format(policy); string(formatted) != string(policy) {
				t.Errorf("%s, example at line %d is not formatted; it should be:\n%s", name, line, formatted)
			}
		}
	}
	if seen < 10 {
		t.Errorf("found %d examples; the test looks for ```xfw", seen)
	}
}

// compileExample compiles an example with what it lacks of the statements of
// rest, and gives the errors of its meaning. Best practice is for whole policies.
func compileExample(example, rest *lang.File) []diag.Finding {
	stated := map[string]bool{}
	for _, d := range example.Decls {
		stated[statement(d)] = true
	}
	missing := &lang.File{Name: rest.Name}
	whole := stated["policy"] && stated["server chat"]
	for _, d := range rest.Decls {
		if !whole && !stated[statement(d)] {
			missing.Decls = append(missing.Decls, d)
		}
	}
	out := compiler.Compile(compiler.Input{
		Files: []*lang.File{example, missing},
		Lock: &lock.File{Version: lock.Version, Peers: []*lock.Peer{{
			Domain: "branch.example", Fallback: true, DNSSEC: "unknown",
			Hosts: []lock.Host{{Target: "branch.example", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.50")}}},
		}}},
		ReadFeed: func(path string) ([]byte, error) {
			return []byte(map[string]string{
				"feeds/drop.txt": "192.0.2.66\n", "feeds/spam.txt": "spam.example\n", "feeds/phish.txt": "wire transfer\n",
			}[path]), nil
		},
	})
	return slices.DeleteFunc(out.Findings, func(f diag.Finding) bool {
		_, meaning := diag.CodeOf(f.Code)
		return !meaning || f.Severity < diag.Error
	})
}

// statement is what a statement is found by: its words up to the block.
func statement(d *lang.Decl) string {
	switch {
	case d.Policy != nil:
		return "policy"
	case d.Network != nil:
		return "network " + d.Network.Name.Text
	case d.Zone != nil:
		return "zone " + d.Zone.Name.Text
	case d.Domains != nil:
		return "domains " + d.Domains.Name.Text
	case d.Words != nil:
		return "words " + d.Words.Name.Text
	case d.Window != nil:
		return "window " + d.Window.Name.Text
	case d.Server != nil:
		return "server " + d.Server.Name.Text
	case d.Point != nil:
		for _, i := range d.Point.Body.Items {
			if i.Role != nil && i.Role.Of != nil {
				return "host of " + i.Role.Of.Text // a server has one
			}
		}
		return "point " + d.Point.Name.Text
	case d.Clients != nil:
		return "clients of " + d.Clients.Server.Text
	case d.Federation != nil:
		return "federation of " + d.Federation.Server.Text
	case d.Component != nil:
		return "component " + d.Component.Name.Text
	case d.Web != nil:
		return "web of " + d.Web.Server.Text
	case d.Content != nil:
		return "content " + d.Content.Name.Text
	}
	return ""
}

func readSpec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
