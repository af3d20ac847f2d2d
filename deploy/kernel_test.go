package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"xfwc/backends/nftables"
)

// The whole round on a real kernel: nothing, one policy, another, and back.
func TestApplyAndPlan(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	if r := mustDrift(t, o, a); r.Status != NeverApplied || len(r.Differences) != 0 {
		t.Errorf("drift before any apply: %+v", r)
	}
	for i, w := range []*Wanted{a, b, a} {
		out := mustApply(t, o, w, ApplyOptions{})
		if !out.Changed || out.Tries != 1 || out.Plan.Install != (i == 0) || out.Plan.Diff == "" {
			t.Errorf("apply %d: %+v", i, out)
		}
		p, err := MakePlan(o, w)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Empty() || p.Diff != "" || p.Intents != nil {
			t.Errorf("plan after apply %d is not empty:\n%s%s", i, texts(p.Changes), p.Diff)
		}
		for _, against := range []*Wanted{w, nil} {
			if r := mustDrift(t, o, against); r.Status != InSync {
				t.Errorf("drift after apply %d: %s\n%s", i, r.Status, texts(r.Differences))
			}
		}
		if again := mustApply(t, o, w, ApplyOptions{}); again.Changed {
			t.Errorf("apply %d again changed something", i)
		}
	}
	p, err := MakePlan(o, b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range p.Intents {
		got = append(got, string(i.Effect)+" "+i.Statement+" "+i.Line)
	}
	want := []string{
		"changed network drop policy.xfw:2",
		"added network more policy.xfw:3",
		"changed server chat policy.xfw:4", // its closed ports
		"changed federation of chat policy.xfw:13",
		"added limit attempts global of federation of chat policy.xfw:16",
		"changed peer partner.example of chat policy.xfw:17",
		"added peer other.example of chat policy.xfw:18",
		"changed deny network drop policy.xfw:20",
		"added deny network more policy.xfw:21",
		"removed clients of chat policy.xfw:12",
		"removed limit connections per source of clients of chat policy.xfw:15",
		"removed limit attempts per source of clients of chat policy.xfw:16",
	}
	if !slices.Equal(got, want) {
		t.Errorf("intents:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(p.Diff, "--- applied/xfwc.nft\n+++ wanted/xfwc.nft\n@@ ") || !strings.Contains(p.Diff, "+\tset peer_other_example_v4 {") {
		t.Errorf("text diff:\n%s", p.Diff)
	}
	if changed, err := Drift(o, b); err != nil || changed.Status != Drifted || !strings.Contains(strings.Join(changed.Notices, " "), "what is not applied yet") {
		t.Errorf("drift of an edited policy: %+v, %v", changed, err)
	}
}

// driftFiles are in testdata/drift: commands for the shell that change the live
// table with nft, and lines that start with "want: ": each must be a sentence
// of the report, with the witness that it gives, and the report has no other.
func TestDriftOfHandMadeChanges(t *testing.T) {
	files, err := filepath.Glob("testdata/drift/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	w := mustCompile(t, policyA)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			newNamespace(t)
			if _, err := exec.LookPath("nft"); err != nil {
				skipOrFail(t, "nft is not installed")
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			o := options(t)
			mustApply(t, o, w, ApplyOptions{})
			script, want := splitCase(string(text))
			out, err := exec.Command("sh", "-euc", "state="+o.StateDir+"\n"+nftFunctions+script).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			r := mustDrift(t, o, w)
			got := told(r.Differences)
			if os.Getenv("XFWC_UPDATE") != "" {
				if err := os.WriteFile(path, []byte(joinCase(script, got)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if r.Status != Drifted || got != want {
				t.Errorf("status %s\n%s\nwant\n%s", r.Status, got, want)
			}
			if a := mustDrift(t, o, nil); a.Status != Drifted || told(a.Differences) != want {
				t.Errorf("--applied: %s\n%s", a.Status, told(a.Differences))
			}
			// The plan says the same and mends it.
			p, err := MakePlan(o, w)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Changes) != len(r.Differences) || p.Diff == "" {
				t.Errorf("plan:\n%s%s", texts(p.Changes), p.Diff)
			}
			mustApply(t, o, w, ApplyOptions{})
			if r := mustDrift(t, o, w); r.Status != InSync {
				t.Errorf("after the apply that mends it: %s\n%s", r.Status, texts(r.Differences))
			}
		})
	}
}

// told are the sentences of differences with their witnesses, a line each.
func told(cs []Change) string {
	var b strings.Builder
	for _, c := range cs {
		b.WriteString(c.Text)
		if c.Witness != "" {
			b.WriteString(" | " + c.Witness)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// nftFunctions help a case to find rules by what they say.
const nftFunctions = `
# handle CHAIN WORDS: the handle of the first rule of the chain with the words.
handle() { nft -a list chain inet xfwc "$1" | grep -e "$2" | head -n 1 | sed 's/.*# handle //'; }
`

func splitCase(text string) (script, want string) {
	for line := range strings.Lines(text) {
		if s, ok := strings.CutPrefix(line, "want: "); ok {
			want += s
		} else {
			script += line
		}
	}
	return script, want
}

func joinCase(script, got string) string {
	for line := range strings.Lines(got) {
		script += "want: " + line
	}
	return script
}

// What packets do not come to makes no difference in meaning; what they come to
// does, wherever it stands.
func TestJudgesAs(t *testing.T) {
	newNamespace(t)
	o := options(t)
	a := mustCompile(t, policyA)
	mustApply(t, o, a, ApplyOptions{})
	dump := func() *nftables.Snapshot {
		s, err := ThisMachine().Dump(nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := dump()
	if len(met(want).Objects) < 15 {
		t.Errorf("little of the table can be met:\n%s", canonicalText(met(want)))
	}
	command(t, "nft", "add", "set", "inet", "xfwc", "xfwc.next.net_drop_v4", "{ type ipv4_addr; flags interval; elements = { 198.51.100.7, 203.0.113.0/24 }; }")
	command(t, "nft", "add", "chain", "inet", "xfwc", "unused")
	command(t, "nft", "add", "rule", "inet", "xfwc", "unused", "drop")
	if !judgesAs(dump(), want) {
		t.Error("what nothing leads to makes a difference")
	}
	// A stand-in in place of the set that it stands for.
	old := command(t, "nft", "-a", "list", "chain", "inet", "xfwc", "in_clients_chat")
	handle := regexp.MustCompile(`@net_drop_v4 .*handle (\d+)`).FindStringSubmatch(old)[1]
	command(t, "nft", "replace", "rule", "inet", "xfwc", "in_clients_chat", "handle", handle,
		"ip", "saddr", "@xfwc.next.net_drop_v4", "goto", "no_deny_drop", "comment", `"policy.xfw:23 deny network drop"`)
	mixed := dump()
	if judgesAs(mixed, want) {
		t.Error("two sets for one are no difference")
	}
	for _, change := range [][]string{
		{"delete", "element", "inet", "xfwc", "xfwc.next.net_drop_v4", "{ 198.51.100.7 }"},
		{"insert", "rule", "inet", "xfwc", "no_deny_drop", "accept"},
		{"delete", "element", "inet", "xfwc", "input_ports", "{ tcp . 5269 }"},
		{"chain", "inet", "xfwc", "input", "{ policy drop; }"},
		{"add", "table", "inet", "xfwc", "{ flags dormant; }"},
	} {
		command(t, "nft", change...)
		if s := dump(); judgesAs(s, mixed) {
			t.Errorf("nft %v makes no difference", change)
		} else {
			mixed = s
		}
	}
}
