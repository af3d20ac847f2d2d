package lsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// site is a small site of two files, without a finding.
var site = map[string]string{
	"policy.xfw": `policy "example.org" { }
include "names/*.xfw"
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  nftables  interface eth0 faces internet, lan, ops }
clients of chat {
  from lan  # nobody else: “hier” 🔒
  limit connections 20 per source
  limit connections 500 global
  limit attempts 30/minute burst 10 per source
  limit attempts 50/second global
}
allow network ops to ssh of box, tcp/8443 of chat
test "t" { allow tcp lan -> chat:5222  deny tcp any -> chat:5222 except lan }
`,
	"names/networks.xfw": `network lan = 192.168.10.0/24
network ops = 10.9.0.0/24
`,
}

func TestDiagnostics(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw")
	c.wait("policy.xfw", "")

	// A change is judged as it is typed, positions counting UTF-16.
	c.edit("policy.xfw", "🔒\n", "🔒\n  starttls requird  # 🔒\n")
	c.wait("policy.xfw", "value-invalid requird")
	c.edit("policy.xfw", "requird", "optional")
	ds := c.wait("policy.xfw", "c2s-plaintext…")
	if ds[0].Severity != 1 || ds[0].Source != "xfwc" || !strings.Contains(ds[0].Message, "\n") {
		t.Errorf("the finding is %+v", ds[0])
	}
	c.edit("policy.xfw", "  starttls optional  # 🔒\n", "")
	c.wait("policy.xfw", "")

	// A syntax error in a file that is included, and not saved.
	c.open("names/networks.xfw")
	c.edit("names/networks.xfw", "network ops = 10.9.0.0/24", "netwrk ops = 10.9.0.0/24")
	c.wait("names/networks.xfw", "syntax-keyword netwrk")
	c.edit("names/networks.xfw", "netwrk ops = 10.9.0.0/24", "network ops = 10.9.0.0/24")
	c.wait("names/networks.xfw", "")

	// What the included file says is judged with the policy that includes it.
	c.edit("names/networks.xfw", "network ops", "network oops")
	c.wait("policy.xfw", "name-unknown ops; name-unknown ops")
	// It goes back to what is on disk when it is closed.
	c.notify("textDocument/didClose", documentParams{documentID{c.uri("names/networks.xfw")}})
	delete(c.texts, "names/networks.xfw")
	c.wait("policy.xfw", "")
	c.wait("names/networks.xfw", "")
	// And follows the disk when the editor says that it changed.
	write(t, filepath.Join(c.dir, "names/networks.xfw"), "network lan = 192.168.10.0/24\n")
	c.notify("workspace/didChangeWatchedFiles", map[string]any{"changes": []any{}})
	c.wait("policy.xfw", "name-unknown ops; name-unknown ops")

	// The last file is closed: nothing is left in the editor.
	c.notify("textDocument/didClose", documentParams{documentID{c.uri("policy.xfw")}})
	delete(c.texts, "policy.xfw")
	c.wait("policy.xfw", "")
	if err := c.leave(); err != nil {
		t.Error(err)
	}
	if len(c.watches) == 0 || c.watches[0].GlobPattern != "**/*.xfw" {
		t.Errorf("the server watches %v", c.watches)
	}
}

// A file that a policy includes is judged as part of it, also where only the
// included file is open; a new one that is not on disk as well.
func TestIncludedFileAlone(t *testing.T) {
	c := start(t, site)
	c.open("names/networks.xfw")
	c.wait("names/networks.xfw", "")
	c.edit("names/networks.xfw", "network ops", "network opz")
	c.wait("policy.xfw", "name-unknown ops; name-unknown ops")
	c.open("names/zz.xfw", "network ops = 10.9.0.0/24\n")
	c.wait("policy.xfw", "")
	c.wait("names/networks.xfw", "name-unused opz")
}

// A file that nobody includes is a policy of its own, and a text without a file
// is read for its syntax.
func TestFilesAlone(t *testing.T) {
	c := start(t, site)
	c.open("other.xfw", "network a = 192.0.2.0/24\n")
	c.wait("other.xfw", "value-missing n; name-unused a")
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": "untitled:Untitled-1", "languageId": "xfw", "version": 1, "text": "netwrk a = 192.0.2.0/24\n",
	}})
	c.texts["untitled:Untitled-1"] = "netwrk a = 192.0.2.0/24\n"
	c.wait("untitled:Untitled-1", "syntax-keyword netwrk")
}

// The lock and the feeds are those on disk, and findings about the lock are
// shown in it.
func TestLockAndFeeds(t *testing.T) {
	files := map[string]string{
		"policy.xfw":         strings.Replace(site["policy.xfw"], "include", "network drop = feed \"feeds/drop.txt\"\ndeny network drop\ninclude", 1),
		"names/networks.xfw": site["names/networks.xfw"],
		"feeds/drop.txt":     "203.0.113.0/33\n",
		"xfwc.lock":          "{\"version\": 1, \"bogus\": 1}\n",
	}
	c := start(t, files)
	c.open("policy.xfw")
	c.wait("xfwc.lock", "lock-invalid…")
	c.wait("feeds/drop.txt", "feed-…")
	write(t, filepath.Join(c.dir, "feeds/drop.txt"), "203.0.113.0/24\n")
	if err := os.Remove(filepath.Join(c.dir, "xfwc.lock")); err != nil {
		t.Fatal(err)
	}
	c.notify("textDocument/didSave", documentParams{documentID{c.uri("policy.xfw")}})
	c.wait("xfwc.lock", "")
	c.wait("feeds/drop.txt", "")
	c.wait("policy.xfw", "")
}

func TestHover(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw")
	c.open("names/networks.xfw")
	c.wait("policy.xfw", "")
	tests := []struct {
		file, at string
		want     []string // parts of the answer, the range first
	}{
		{"policy.xfw", "softw|are", []string{"software", "product and its version", "software prosody 13.0"}},
		{"policy.xfw", "per sou|rce", []string{"source", "XEP-0205"}},
		{"policy.xfw", "lim|it", []string{"limit", "Default: no limit", "XEP-0205"}},
		{"policy.xfw", "from la|n", []string{"lan", "**network lan**: 192.168.10.0/24", "network lan = 192.168.10.0/24", "names/networks.xfw:1"}},
		{"policy.xfw", "clients of ch|at", []string{"chat", "**server chat**: prosody 13.0, example.org, 198.51.100.10", "policy.xfw:3"}},
		{"policy.xfw", "-> ch|at:5222", []string{"chat", "**server chat**"}},
		{"policy.xfw", "ssh of b|ox", []string{"box", "**point box**: host, nftables, 198.51.100.10"}},
		{"names/networks.xfw", "network o|ps", []string{"ops", "**network ops**: 10.9.0.0/24"}},
		{"policy.xfw", "starttls requir|ed", nil},
	}
	c.edit("policy.xfw", "  from lan", "  starttls required\n  from lan")
	c.edit("policy.xfw", "test \"t\"", "waive fed-cleartext-peer until 2027-01-01 because \"x\"\ntest \"t\"")
	tests = append(tests, struct {
		file, at string
		want     []string
	}{"policy.xfw", "fed-clear|text-peer", []string{"fed-cleartext-peer", "**fed-cleartext-peer** (error)", "RFC"}})
	for _, test := range tests {
		var got *hover
		c.call("textDocument/hover", c.at(test.file, test.at), &got)
		if test.want == nil {
			test.want = []string{"required", "**starttls**", "Default: required"}
		}
		if got == nil {
			t.Errorf("%s: nothing", test.at)
			continue
		}
		text := newText([]byte(c.texts[test.file]))
		if at := string(text.bytes[text.offset(got.Range.Start):text.offset(got.Range.End)]); at != test.want[0] {
			t.Errorf("%s: the answer is about %q", test.at, at)
		}
		for _, part := range test.want[1:] {
			if !strings.Contains(got.Contents.Value, part) {
				t.Errorf("%s: %q is missing in\n%s", test.at, part, got.Contents.Value)
			}
		}
	}
	var nothing *hover
	for _, at := range []string{"# nob|ody", "{ |}"} {
		if c.call("textDocument/hover", c.at("policy.xfw", at), &nothing); nothing != nil {
			t.Errorf("%s: %+v", at, nothing)
		}
	}
}

func TestCompletion(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw")
	c.wait("policy.xfw", "")
	tests := []struct {
		insert string // behind the statement of clients; | is the place
		want   string // labels; … stands for some
	}{
		{"|\n", "policy include network zone …"},
		{"server x { | }\n", "software domain address …"},
		{"federation of | { }\n", "chat"},
		{"clients of chat { from l| }\n", "any box chat lan ops"},
		{"federation of chat { tls | }\n", "required optional none"},
		{"allow any to tcp/1 of |\n", "box chat"},
		{"deny network |\n", "any lan ops"},
		{"waive fed-|\n", "… fed-cleartext-peer …"},
		{"waive x |\n", "on until"},
		{"point p { r| }\n", "role …"},
		{"network |\n", ""},
		{"network x = feed \"|\"\n", ""},
		{"# from |\n", ""},
		{"clients of chat { limit connections 5 per | }\n", "source peer account stream prefix"},
	}
	for _, test := range tests {
		before, after, _ := strings.Cut(test.insert, "|")
		name := "policy.xfw"
		c.edit(name, "allow network ops", before+after+"allow network ops")
		var got completionList
		c.call("textDocument/completion", c.at(name, before+"|"+after+"allow network ops"), &got)
		slices.SortFunc(got.Items, func(a, b completionItem) int { return strings.Compare(a.SortText, b.SortText) })
		var labels []string
		for _, item := range got.Items {
			labels = append(labels, item.Label)
			if item.TextEdit.NewText != item.Label {
				t.Errorf("%q inserts %q", item.Label, item.TextEdit.NewText)
			}
		}
		if strings.HasPrefix(test.insert, "clients") || strings.Contains(test.insert, " of |") || strings.HasPrefix(test.insert, "deny") {
			if !strings.Contains(test.insert, "per") {
				slices.Sort(labels)
			}
		}
		if !alike(strings.Join(labels, " "), test.want) {
			t.Errorf("%q:\n got %s\nwant %s", test.insert, strings.Join(labels, " "), test.want)
		}
		// What is chosen takes the place of the word that was begun.
		if strings.HasSuffix(before, "l") {
			i := slices.IndexFunc(got.Items, func(item completionItem) bool { return item.Label == "lan" })
			text := applyEdits(t, c.texts[name], []textEdit{got.Items[i].TextEdit})
			if !strings.Contains(text, "from lan }") {
				t.Errorf("choosing gives\n%s", text)
			}
			if got.Items[i].Detail != "network: 192.168.10.0/24" {
				t.Errorf("lan is said to be %q", got.Items[i].Detail)
			}
		}
		c.edit(name, before+after+"allow network ops", "allow network ops")
	}
}

// alike compares with a pattern where … stands for anything.
func alike(got, want string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return got == want
	}
	last := len(parts) - 1
	if !strings.HasPrefix(got, parts[0]) || !strings.HasSuffix(got, parts[last]) {
		return false
	}
	for _, p := range parts[1:last] {
		if !strings.Contains(got, p) {
			return false
		}
	}
	return true
}

// places writes locations with their text.
func (c *client) places(ls []location) string {
	var all []string
	for _, l := range ls {
		all = append(all, fmt.Sprintf("%s:%d:%d", c.nameOf(l.URI), l.Range.Start.Line+1, l.Range.Start.Character+1))
	}
	return strings.Join(all, " ")
}

func TestDefinitionAndReferences(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw")
	tests := []struct{ at, definition, references string }{
		{"from la|n", "names/networks.xfw:1:9", "policy.xfw:4:73 policy.xfw:6:8 policy.xfw:13:22 policy.xfw:13:73"},
		{"-> |chat:5222  deny", "policy.xfw:3:8", "policy.xfw:4:26 policy.xfw:5:12 policy.xfw:12:46 policy.xfw:13:29 policy.xfw:13:56"},
		{"ssh of b|ox", "policy.xfw:4:7", "policy.xfw:12:29"},
		{"include \"na|mes", "names/networks.xfw:1:1", ""},
		{"software pro|sody", "", ""},
	}
	for _, test := range tests {
		var defs, refs []location
		c.call("textDocument/definition", c.at("policy.xfw", test.at), &defs)
		if got := c.places(defs); got != test.definition {
			t.Errorf("%s is defined at %s, want %s", test.at, got, test.definition)
		}
		c.call("textDocument/references", referenceParams{positionParams: c.at("policy.xfw", test.at)}, &refs)
		if got := c.places(refs); got != test.references {
			t.Errorf("%s is used at %s, want %s", test.at, got, test.references)
		}
	}
	with := referenceParams{positionParams: c.at("policy.xfw", "ssh of b|ox")}
	with.Context.IncludeDeclaration = true
	var refs []location
	c.call("textDocument/references", with, &refs)
	if got := c.places(refs); got != "policy.xfw:4:7 policy.xfw:12:29" {
		t.Errorf("with its declaration box is at %s", got)
	}
}

func TestRename(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw")
	rename := func(at, to string) (map[string]string, error) {
		var e workspaceEdit
		err := c.ask("textDocument/rename", renameParams{c.at("policy.xfw", at), to}, &e)
		return c.applied(e), err
	}
	changed, err := rename("from la|n", "office-lan")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("faces internet, lan,", "faces internet, office-lan,", "from lan", "from office-lan", "tcp lan", "tcp office-lan", "except lan", "except office-lan").Replace(site["policy.xfw"])
	if changed["policy.xfw"] != want || changed["names/networks.xfw"] != strings.Replace(site["names/networks.xfw"], "lan", "office-lan", 1) {
		t.Errorf("got\n%s\n%s", changed["policy.xfw"], changed["names/networks.xfw"])
	}
	for _, test := range []struct{ at, to, why string }{
		{"from la|n", "chat", "the name of a server already"},
		{"from la|n", "Büro", "cannot be a name"},
		{"from la|n", "any", "a word of the language"},
		{"from la|n", strings.Repeat("x", 25), "longer than"},
		{"from la|n", "", "does not start"},
		{"software pro|sody", "x", "no name"},
		{"limit connections 2|0 ", "x", "no name here"},
		{"allow net|work", "x", "no name here"},
	} {
		if _, err := rename(test.at, test.to); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s to %q: %v, want %q", test.at, test.to, err, test.why)
		}
	}
	var prepared prepareRenameResult
	c.call("textDocument/prepareRename", c.at("policy.xfw", "-> ch|at:5222"), &prepared)
	if prepared.Placeholder != "chat" || prepared.Range.End.Character-prepared.Range.Start.Character != 4 {
		t.Errorf("prepareRename gave %+v", prepared)
	}
	if err := c.ask("textDocument/prepareRename", c.at("policy.xfw", "softw|are"), &prepared); err == nil {
		t.Error("a keyword can be renamed")
	}
}

// Renaming any name of any example leaves a policy that says the same.
func TestRenameKeepsMeaning(t *testing.T) {
	policies, err := filepath.Glob("../examples/*/policy.xfw")
	if err != nil || len(policies) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range policies {
		v := newView(nil, lang.OS(), &parsed{files: map[string]parsedFile{}})
		tr := v.tree(path)
		codes := func(texts map[string][]byte) []string {
			disk := lang.OS()
			src := lang.Source{Glob: disk.Glob, Read: func(name string) ([]byte, error) {
				if text, ok := texts[name]; ok {
					return text, nil
				}
				return disk.Read(name)
			}}
			files, _, found := lang.Load(path, src)
			var all []string
			for _, f := range judgeTest(context.Background(), path, files, found).Findings {
				all = append(all, f.Code)
			}
			slices.Sort(all)
			return all
		}
		before := codes(nil)
		done := map[symbol]bool{}
		for _, u := range tr.allUses() {
			sym := symbol{u.Defines, u.Name}
			if u.Defines == "" || u.Defines == "peer" || done[sym] {
				continue
			}
			done[sym] = true
			uses := tr.occurrences(sym)
			if !tr.survives(uses, "brand-new") {
				t.Errorf("%s: %s %s cannot be renamed", path, sym.kind, sym.name)
				continue
			}
			var edits []diag.Edit
			for _, u := range uses {
				edits = append(edits, diag.Edit{Span: u.Span, New: "brand-new"})
			}
			texts := map[string][]byte{}
			for name, text := range tr.texts {
				texts[name] = text.bytes
			}
			changed, _ := diag.Apply(texts, [][]diag.Edit{edits})
			if after := codes(changed); !slices.Equal(before, after) {
				t.Errorf("%s: renaming %s %s changes the findings from %v to %v", path, sym.kind, sym.name, before, after)
			}
		}
		if len(done) == 0 {
			t.Errorf("%s has no names", path)
		}
	}
}

// A name that would read as something else where it is used is refused.
func TestRenameIntoTheLanguage(t *testing.T) {
	c := start(t, map[string]string{"policy.xfw": `component irc of chat { port 5347 }
content c {
  match text "x"
  on component irc
}
`})
	c.open("policy.xfw")
	var e workspaceEdit
	err := c.ask("textDocument/rename", renameParams{c.at("policy.xfw", "on component ir|c"), "mode"}, &e)
	if err == nil || !strings.Contains(err.Error(), "means something else") {
		t.Errorf("got %v, %v", e, err)
	}
}

func TestSymbols(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw", "server chat { }\nnetwork lan = 192.0.2.0/24\nfederation of chat {\n  peer a.example { tls none }\n  peer b.example\n}\nweb of chat { bosh \"/b\" }\nallow any to ssh of chat # x\n")
	var got []documentSymbol
	c.call("textDocument/documentSymbol", documentParams{documentID{c.uri("policy.xfw")}}, &got)
	var b strings.Builder
	for _, s := range got {
		fmt.Fprintf(&b, "%s %d", s.Name, s.Kind)
		for _, child := range s.Children {
			fmt.Fprintf(&b, " [%s]", child.Name)
		}
		b.WriteString("\n")
	}
	want := `server chat 2
network lan 14
federation of chat 11 [peer a.example] [peer b.example]
web of chat 11 [bosh "/b"]
allow any to ssh of chat 25
`
	if b.String() != want {
		t.Errorf("got:\n%s", &b)
	}
}

func TestFormatting(t *testing.T) {
	c := start(t, site)
	const src = "server chat   {\nsoftware prosody 13.0\n   domain é.example\n}\n"
	c.open("policy.xfw", src)
	var edits []textEdit
	c.call("textDocument/formatting", map[string]any{
		"textDocument": documentID{c.uri("policy.xfw")}, "options": map[string]any{"tabSize": 8, "insertSpaces": false},
	}, &edits)
	if got, want := applyEdits(t, src, edits), string(lang.Format([]byte(src))); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	c.edit("policy.xfw", "software", "softwre")
	c.call("textDocument/formatting", documentParams{documentID{c.uri("policy.xfw")}}, &edits)
	if len(edits) != 0 {
		t.Errorf("a text with an error is formatted: %+v", edits)
	}
}

// replace makes the other text out of any text.
func TestReplace(t *testing.T) {
	texts := []string{"", "a", "a\n", "a\nb\n", "a\nb\nc\n", "b\nc\n", "a\nc\n", "a\na\na\n", "a\na\n", "a\r\nb", "x\nb\ny\n", "é\n\n\n", "é\n"}
	for _, from := range texts {
		for _, to := range texts {
			if got := applyEdits(t, from, newText([]byte(from)).replace([]byte(to))); got != to {
				t.Errorf("%q to %q gives %q", from, to, got)
			}
		}
	}
}

func TestCodeActions(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw")
	c.edit("policy.xfw", "  from lan", "  starttls requird\n  from lam")
	c.wait("policy.xfw", "value-invalid requird; name-unknown lam…")
	actions := func(at string, only ...string) []codeAction {
		p := codeActionParams{TextDocument: documentID{c.uri("policy.xfw")}}
		p.Range.Start = c.at("policy.xfw", at).Position
		p.Range.End = p.Range.Start
		p.Context.Only = only
		var got []codeAction
		c.call("textDocument/codeAction", map[string]any{
			"textDocument": p.TextDocument, "range": p.Range, "context": map[string]any{"diagnostics": []any{}, "only": only},
		}, &got)
		return got
	}
	got := actions("starttls requ|ird")
	if len(got) != 1 || got[0].Title != "Write required" || got[0].Kind != "quickfix" || got[0].Diagnostics[0].Code != "value-invalid" {
		t.Fatalf("got %+v", got)
	}
	if text := c.applied(got[0].Edit)["policy.xfw"]; !strings.Contains(text, "starttls required\n") {
		t.Errorf("the fix gives\n%s", text)
	}
	if got := actions("starttls requ|ird", "refactor"); len(got) != 0 {
		t.Errorf("a refactoring is %+v", got)
	}
	all := actions("starttls requ|ird", "source.fixAll")
	if len(all) != 1 {
		t.Fatalf("fix all gives %+v", all)
	}
	if text := c.applied(all[0].Edit)["policy.xfw"]; !strings.Contains(text, "starttls required\n  from la") {
		t.Errorf("fix all gives\n%s", text)
	}

	// A finding that can be set aside is offered a waiver.
	c.edit("policy.xfw", "requird\n  from lam", "optional\n  from lan")
	c.wait("policy.xfw", "c2s-plaintext…")
	got = actions("starttls opt|ional")
	i := slices.IndexFunc(got, func(a codeAction) bool { return a.Title == "Waive c2s-plaintext on clients of chat until 2027-02-20" })
	if i < 0 {
		t.Fatalf("got %+v", got)
	}
	text := c.applied(got[i].Edit)["policy.xfw"]
	if !strings.Contains(text, "}\n\nwaive c2s-plaintext on clients of chat until 2027-02-20\n  because \"REASON\"\nallow") {
		t.Errorf("the waiver gives\n%s", text)
	}
}

// The waiver that is offered for a finding of any check sets it aside.
func TestWaiversHold(t *testing.T) {
	for _, check := range compiler.Checks() {
		s := &server{config: Config{Judge: judgeTest, Today: func() string { return today }}, judges: judges{last: map[string]*verdict{}, stale: map[string]bool{}}}
		judge := func(src string) (*view, *verdict) {
			d := &document{uri: "file:///p/policy.xfw", path: "/p/policy.xfw", file: true, text: newText([]byte(src))}
			v := newView(map[string]*document{d.path: d}, lang.OS(), &parsed{files: map[string]parsedFile{}})
			return v, s.judge(context.Background(), v, d.path)
		}
		v, out := judge(check.Bad)
		for _, f := range out.findings {
			if f.Code != check.Code || f.Waived != nil {
				continue
			}
			action, ok := s.waiver(v, out, f)
			if !ok {
				t.Errorf("%s: no waiver is offered", check.Code)
				continue
			}
			text := applyEdits(t, check.Bad, action.Edit.Changes["file:///p/policy.xfw"])
			_, after := judge(text)
			for _, g := range after.findings {
				if g.Code == f.Code && g.Summary == f.Summary && g.Span.Start == f.Span.Start && g.Waived == nil || strings.HasPrefix(g.Code, "waive-") || g.Code == "name-unknown" {
					t.Errorf("%s, %s: %s %s after\n%s", check.Code, action.Title, g.Code, g.Summary, text)
				}
			}
		}
	}
}

// The session begins and ends as the protocol says, and not otherwise.
func TestLifecycle(t *testing.T) {
	c := start(t, site)
	var e *jsonrpc2.Error
	if err := c.ask("initialize", map[string]any{}, nil); !errors.As(err, &e) || e.Code != jsonrpc2.CodeInvalidRequest {
		t.Errorf("a second initialize gives %v", err)
	}
	if err := c.ask("textDocument/bogus", map[string]any{}, nil); !errors.As(err, &e) || e.Code != jsonrpc2.CodeMethodNotFound {
		t.Errorf("an unknown request gives %v", err)
	}
	if err := c.ask("textDocument/hover", []int{1}, nil); !errors.As(err, &e) || e.Code != jsonrpc2.CodeInvalidParams {
		t.Errorf("bad params give %v", err)
	}
	c.notify("$/bogus", map[string]any{})
	c.notify("textDocument/didChange", "bogus")
	c.call("shutdown", nil, nil)
	if err := c.ask("textDocument/hover", c.at2(), nil); !errors.As(err, &e) || e.Code != jsonrpc2.CodeInvalidRequest {
		t.Errorf("a request after shutdown gives %v", err)
	}
	c.notify("exit", nil)
	if err := <-c.done; err != nil {
		t.Errorf("the server ends with %v", err)
	}

	c = start(t, site)
	c.notify("exit", nil)
	if err := <-c.done; !errors.Is(err, ErrAbandoned) {
		t.Errorf("without shutdown the server ends with %v", err)
	}
	c = start(t, site)
	c.out.Close()
	if err := <-c.done; !errors.Is(err, ErrAbandoned) {
		t.Errorf("when the editor dies the server ends with %v", err)
	}
}

// at2 is a place in no file.
func (c *client) at2() positionParams {
	return positionParams{TextDocument: documentID{c.uri("none.xfw")}}
}

// Requests about files that are not open are answered with nothing.
func TestNothingOpen(t *testing.T) {
	c := start(t, site)
	for _, method := range []string{"hover", "definition", "references", "documentSymbol", "formatting", "codeAction"} {
		var got any
		if c.call("textDocument/"+method, c.at2(), &got); got != nil {
			t.Errorf("%s gives %v", method, got)
		}
	}
	for _, uri := range []string{"", "file:", "http://x/y", "file:///%zz", "::"} {
		c.notify("textDocument/didChange", didChange(uri, 1, contentChange{Text: "x"}))
		c.notify("textDocument/didClose", documentParams{documentID{uri}})
	}
	if err := c.leave(); err != nil {
		t.Error(err)
	}
}

// What is no message is answered, and the session goes on.
func TestBadMessages(t *testing.T) {
	c := start(t, site)
	for _, raw := range []string{
		"Content-Length: 3\r\n\r\nabc",
		"Content-Length: 2\r\n\r\n[]",
		"Content-Length: 2\r\n\r\n{}",
		"Content-Length: 4\r\n\r\nnull",
		"Content-Length: 15\r\n\r\n{\"method\": 123}",
		"Content-Length: x\r\n\r\n",
		"Content-Length: -5\r\n\r\n",
		"Content-Length: 0\r\n\r\n",
		"bogus\r\n\r\n",
		"content-length:47\nX: y\n\n" + `{"jsonrpc":"2.0","method":"$/nothing","id":null}`[:47],
		"Content-Length: 59\r\n\r\n" + `{"jsonrpc":"2.0","id":{"a":1},"method":"textDocument/hover"}`[:59],
		strings.Repeat("x", 10000) + "\r\n\r\n",
	} {
		if _, err := io.WriteString(c.out, raw); err != nil {
			t.Fatal(err)
		}
		c.call("textDocument/hover", c.at2(), nil)
	}
	if err := c.leave(); err != nil {
		t.Error(err)
	}
}

// A panic ends neither the session nor what comes after.
func TestPanics(t *testing.T) {
	broken := true
	c := start(t, site, func(config *Config) {
		disk := config.Disk
		config.Disk.Read = func(path string) ([]byte, error) {
			if broken {
				panic("the disk is broken")
			}
			return disk.Read(path)
		}
		config.Judge = func(ctx context.Context, path string, files []*lang.File, found []diag.Finding) Judged {
			if broken {
				panic("the judge is broken")
			}
			return judgeTest(ctx, path, files, found)
		}
	})
	c.open("policy.xfw")
	var e *jsonrpc2.Error
	if err := c.ask("textDocument/hover", c.at("policy.xfw", "from la|n"), nil); !errors.As(err, &e) || e.Code != jsonrpc2.CodeInternalError {
		t.Errorf("a panic gives %v", err)
	}
	broken = false
	c.edit("policy.xfw", "from lan", "from  lan")
	c.wait("policy.xfw", "")
	c.mu.Lock()
	logged := strings.Join(c.logged, "\n")
	c.mu.Unlock()
	if !strings.Contains(logged, "textDocument/hover failed: the disk is broken") {
		t.Errorf("the log says %s", logged)
	}
	if err := c.leave(); err != nil {
		t.Error(err)
	}
}

// A request that the editor does not want any more is answered so, and a
// judgement of an old text ends where a newer one waits.
func TestCancel(t *testing.T) {
	hold, held := make(chan bool), make(chan bool, 10)
	c := start(t, site, func(config *Config) {
		config.Judge = func(ctx context.Context, path string, files []*lang.File, found []diag.Finding) Judged {
			held <- true
			select {
			case <-ctx.Done():
			case <-hold:
			}
			return judgeTest(ctx, path, files, found)
		}
	})
	c.open("policy.xfw")
	<-held
	c.edit("policy.xfw", "from lan", "from lam")
	<-held // the newer text, though nobody let the older go

	// The judge is asked for a code action as well; the editor gives it up.
	got := make(chan error, 1)
	go func() {
		params := map[string]any{"textDocument": documentID{c.uri("policy.xfw")}, "range": textRange{}, "context": map[string]any{}}
		got <- c.conn.Call(context.Background(), "textDocument/codeAction", params, nil, jsonrpc2.PickID(jsonrpc2.ID{Num: 4711}))
	}()
	<-held
	c.notify("$/cancelRequest", map[string]any{"id": 4711})
	var e *jsonrpc2.Error
	if err := <-got; !errors.As(err, &e) || e.Code != codeCancelled {
		t.Errorf("a cancelled request gives %v", err)
	}
	close(hold)
	c.wait("policy.xfw", "name-unknown lam…")
	if err := c.leave(); err != nil {
		t.Error(err)
	}
}

// Edits in one message are made one after the other.
func TestEditsInOrder(t *testing.T) {
	c := start(t, site)
	c.open("policy.xfw", "network a = 192.0.2.1\n")
	c.notify("textDocument/didChange", didChange(c.uri("policy.xfw"), 7,
		contentChange{&textRange{position{0, 8}, position{0, 9}}, "long-name"},
		contentChange{&textRange{position{0, 0}, position{0, 0}}, "# é🔒\n"},
		contentChange{&textRange{position{0, 4}, position{0, 6}}, "!"}, // from inside a surrogate pair
	))
	c.texts["policy.xfw"] = "# é!\nnetwork long-name = 192.0.2.1\n"
	var edits []textEdit
	c.call("textDocument/formatting", documentParams{documentID{c.uri("policy.xfw")}}, &edits)
	c.notify("textDocument/didChange", didChange(c.uri("policy.xfw"), 8, contentChange{Text: "netwrk b = 192.0.2.1\n"}))
	c.texts["policy.xfw"] = "netwrk b = 192.0.2.1\n"
	c.wait("policy.xfw", "syntax-keyword netwrk…")
}

// Two policies that include one file: it is renamed in both.
func TestSharedFile(t *testing.T) {
	c := start(t, map[string]string{
		"a/policy.xfw":   "policy \"a\" { }\ninclude \"../shared/*.xfw\"\ndeny network bad\n",
		"b/site.xfw":     "policy \"b\" { }\ninclude \"../shared/*.xfw\"\ndeny network bad\n",
		"shared/bad.xfw": "network bad = 192.0.2.0/24\n",
	})
	c.open("b/site.xfw")
	c.open("a/policy.xfw")
	c.open("shared/bad.xfw")
	var e workspaceEdit
	c.call("textDocument/rename", renameParams{c.at("shared/bad.xfw", "b|ad"), "worse"}, &e)
	for name, text := range c.applied(e) {
		if strings.Contains(text, "bad\n") || !strings.Contains(text, "worse") {
			t.Errorf("%s is\n%s", name, text)
		}
	}
	if len(e.Changes) != 3 {
		t.Errorf("changes in %v", e.Changes)
	}
}

// Serve ends when its context does.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	defer w.Close()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, r, io.Discard, Config{Disk: lang.OS()}) }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, ErrAbandoned) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server does not end")
	}
}
