package deploy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// compileFeed compiles a policy that denies a feed.
func compileFeed(t *testing.T, feed string) *Wanted {
	t.Helper()
	src := strings.Replace(policyA, "network drop = 203.0.113.0/24, 198.51.100.7, 2001:db8:bad::/48", `network drop = feed "drop.txt"`, 1)
	f, found := lang.Parse("policy.xfw", []byte(src))
	if diag.HasErrors(found) {
		t.Fatalf("%+v", found)
	}
	out := compiler.Compile(compiler.Input{Files: []*lang.File{f}, ReadFeed: func(path string) ([]byte, error) {
		if path != "drop.txt" {
			return nil, os.ErrNotExist
		}
		return []byte(feed), nil
	}})
	if out.Policy == nil {
		t.Fatalf("%+v", out.Findings)
	}
	return &Wanted{Policy: out.Policy, Point: out.Policy.Points[0], Path: "policy.xfw", Sources: map[string][]byte{"policy.xfw": []byte(src)}}
}

// Sets that are too large to read are compared by digest, count and sample, and
// replaced when one of these is wrong.
func TestLargeSets(t *testing.T) {
	newNamespace(t)
	nets, hosts := 5000, 140000
	if !long() {
		hosts = 10000
		defer func(n int) { readHashMax = n }(readHashMax)
		readHashMax = 9000
	}
	var feed strings.Builder
	for i := range nets {
		fmt.Fprintf(&feed, "10.%d.%d.0/25\n", i/250, i%250)
	}
	for i := range hosts {
		fmt.Fprintf(&feed, "100.%d.%d.%d\n", 64+i/40000, i/200%200, i%200+1)
	}
	o := options(t)
	w := compileFeed(t, feed.String())
	mustApply(t, o, w, ApplyOptions{})
	start := time.Now()
	for _, against := range []*Wanted{w, nil} {
		if r := mustDrift(t, o, against); r.Status != InSync {
			t.Fatalf("drift after the apply: %s", texts(r.Differences))
		}
	}
	t.Logf("two drift checks of %d elements took %v", nets+hosts, time.Since(start).Round(time.Millisecond))
	if p, err := MakePlan(o, w); err != nil || !p.Empty() {
		t.Fatalf("plan after the apply: %+v, %v", p, err)
	}
	for _, tt := range []struct{ name, nft, want string }{
		{"one host less", "delete element inet xfwc net_drop_v4 { 100.64.0.1 }\n", fmt.Sprintf("set net_drop_v4 of network drop (policy.xfw:2) has %d elements instead of %d\n", hosts-1, hosts)},
		{"one range more", "add element inet xfwc net_drop_v4_nets { 192.168.7.0/24 }\n", "set net_drop_v4_nets of network drop (policy.xfw:2) has 5001 elements instead of 5000\n"},
		{"other hosts", swap(hosts / 7), " elements that were looked up, such as 100."},
	} {
		nft(t, tt.nft)
		r := mustDrift(t, o, w)
		if got := texts(r.Differences); r.Status != Drifted || !strings.HasSuffix(got, tt.want) && !strings.Contains(got, tt.want) || len(r.Differences) != 1 {
			t.Errorf("%s: %s %s", tt.name, r.Status, got)
		}
		if out := mustApply(t, o, w, ApplyOptions{}); !out.Changed {
			t.Errorf("%s: the apply changed nothing", tt.name)
		}
		if r := mustDrift(t, o, w); r.Status != InSync {
			t.Errorf("%s: after the apply: %s", tt.name, texts(r.Differences))
		}
	}
	// Another state of the feed, with as many elements.
	other := compileFeed(t, strings.Replace(feed.String(), "100.64.0.1\n", "100.127.0.1\n", 1))
	p, err := MakePlan(o, other)
	if err != nil || len(p.Changes) != 1 || p.Changes[0].What != "digest" || len(p.Intents) != 1 || p.Intents[0].Statement != "network drop" {
		t.Errorf("plan for another state of the feed: %+v, %v", p, err)
	}
	if len(p.Diff) > 100000 {
		t.Errorf("the text diff spells the feed out: %d bytes", len(p.Diff))
	}
	mustApply(t, o, other, ApplyOptions{})
	if r := mustDrift(t, o, nil); r.Status != InSync {
		t.Errorf("drift: %s", texts(r.Differences))
	}
	command(t, "nft", "get", "element", "inet", "xfwc", "net_drop_v4", "{ 100.127.0.1 }")
	if _, err := Rollback(o); err != nil {
		t.Fatal(err)
	}
	command(t, "nft", "get", "element", "inet", "xfwc", "net_drop_v4", "{ 100.64.0.1 }")
	// And beside itself, while it waits.
	unread := func() string {
		s, err := ThisMachine().Dump(func(_ string, size int) bool { return size > 1000 })
		if err != nil {
			t.Fatal(err)
		}
		return string(canonicalText(s))
	}
	before := unread()
	mustApply(t, o, other, ApplyOptions{Confirm: time.Minute})
	if _, err := Rollback(o); err != nil {
		t.Fatal(err)
	}
	if after := unread(); after != before {
		t.Errorf("what is left of the change:\n%s", CompareText("before", "after", []byte(before), []byte(after)))
	}
	mustApply(t, o, other, ApplyOptions{Confirm: time.Minute})
	if _, err := Confirm(o, ""); err != nil {
		t.Fatal(err)
	}
	if r := mustDrift(t, o, other); r.Status != InSync {
		t.Errorf("drift after confirm: %s", texts(r.Differences))
	}
}

// swap exchanges so many hosts for others, so that the count is right.
func swap(n int) string {
	var del, add strings.Builder
	for i := range n {
		fmt.Fprintf(&del, "100.%d.%d.%d,", 64+i/40000, i/200%200, i%200+1)
		fmt.Fprintf(&add, "101.%d.%d.%d,", 64+i/40000, i/200%200, i%200+1)
	}
	return fmt.Sprintf("delete element inet xfwc net_drop_v4 { %s }\nadd element inet xfwc net_drop_v4 { %s }\n", del.String(), add.String())
}
