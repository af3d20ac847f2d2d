package nftables

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// update brings the namespace's table to a ruleset, as apply does.
func update(c *Conn, r *Ruleset, o DumpOptions) (messages int, err error) {
	want, err := Desired(r, o)
	if err != nil {
		return 0, fmt.Errorf("desired: %w", err)
	}
	live, err := c.Dump(o)
	if err != nil {
		return 0, err
	}
	b := Update(live, want, r)
	if differ := Compare(live, want); (len(differ) == 0) != (b.Len() == 0) {
		return 0, fmt.Errorf("Compare finds %d differences, Update has %d messages%s", len(differ), b.Len(), showDifferences(differ))
	}
	if err := c.Commit(b, live.Generation); err != nil {
		return 0, fmt.Errorf("update: %w", err)
	}
	got, err := c.Dump(o)
	if err != nil {
		return 0, err
	}
	return b.Len(), sameDump("the updated table", "the wanted one", got, want)
}

func TestUpdateFromAnyToAny(t *testing.T) {
	needNft(t)
	rapid.Check(t, func(t *rapid.T) {
		var rs []*Ruleset
		for range rapid.IntRange(2, 4).Draw(t, "steps") {
			rs = append(rs, ruleset(false).Draw(t, "ruleset"))
		}
		err := Scratch(func(c *Conn) error {
			// The first table comes from nft: what it writes differently must not
			// stand in the way.
			if err := loadText(rs[0].Text()); err != nil {
				return err
			}
			for _, r := range rs[1:] {
				if _, err := update(c, r, DumpOptions{}); err != nil {
					return err
				}
			}
			n, err := update(c, rs[len(rs)-1], DumpOptions{})
			if err == nil && n != 0 {
				return fmt.Errorf("a second update has %d messages", n)
			}
			return err
		})
		if err != nil {
			var texts strings.Builder
			for _, r := range rs {
				texts.Write(r.Text())
			}
			t.Fatalf("%v\n%s", err, texts.String())
		}
	})
}

// tampering is what somebody does to the table behind xfwc's back, and what
// Compare must make of it.
var tampering = []struct {
	name   string
	nft    string // may use RULE for the handle of the rule with the comment "the end"
	change Change
	kind   string
	object string
	check  func(Difference) bool // may be nil
}{
	{"table deleted", "delete table inet xfwc", Missing, "table", "xfwc", nil},
	{"table put to sleep", "add table inet xfwc { flags dormant; }", Changed, "table", "xfwc", func(d Difference) bool { return d.Definition }},
	{"rule deleted", "delete rule inet xfwc input handle RULE", Changed, "chain", "input",
		func(d Difference) bool {
			return len(d.Lacks) == 1 && d.Lacks[0].Comment == "the end" && len(d.Extra) == 0
		}},
	{"rule added in front", "insert rule inet xfwc input accept", Changed, "chain", "input",
		func(d Difference) bool { return len(d.Extra) == 1 && len(d.Lacks) == 0 && !d.Reordered }},
	{"rule moved", "delete rule inet xfwc input handle RULE; insert rule inet xfwc input goto denied comment \"the end\"", Changed, "chain", "input",
		func(d Difference) bool { return d.Reordered && len(d.Extra) == 0 && len(d.Lacks) == 0 }},
	{"verdict changed", "replace rule inet xfwc input handle RULE accept comment \"the end\"", Changed, "chain", "input",
		func(d Difference) bool { return len(d.Extra) == 1 && len(d.Lacks) == 1 }},
	{"comment of a rule changed", "replace rule inet xfwc input handle RULE goto denied comment \"another\"", Changed, "chain", "input", nil},
	{"rules flushed", "flush chain inet xfwc limits", Changed, "chain", "limits", func(d Difference) bool { return len(d.Lacks) == 9 }},
	{"policy changed", "add chain inet xfwc input { policy drop; }", Changed, "chain", "input", func(d Difference) bool { return d.Definition }},
	{"limit changed", "flush chain inet xfwc limits; add rule inet xfwc limits ct count over 99 drop", Changed, "chain", "limits", nil},
	{"foreign chain", "add chain inet xfwc mine", Foreign, "chain", "mine", nil},
	{"foreign base chain", "add chain inet xfwc mine { type nat hook postrouting priority 100; }; add rule inet xfwc mine masquerade", Foreign, "chain", "mine", nil},
	{"foreign set", "add set inet xfwc mine { type ether_addr . mark; elements = { aa:bb:cc:dd:ee:ff . 5 }; }", Foreign, "set", "mine", nil},
	{"foreign map with chains", "add chain inet xfwc mine; add map inet xfwc minemap { type mark : verdict; elements = { 1 : goto mine }; }; add rule inet xfwc input mark vmap @minemap", Foreign, "set", "minemap", nil},
	{"foreign counter", "add counter inet xfwc mine", Foreign, "counter", "mine", nil},
	{"foreign quota", "add quota inet xfwc mine { over 5 mbytes; }; add rule inet xfwc forward quota name \"mine\" drop", Foreign, "quota", "mine", nil},
	{"foreign limit", "add limit inet xfwc mine { rate 5/second; }", Foreign, "limit", "mine", nil},
	{"element added", "add element inet xfwc hosts4 { 192.0.2.99 }", Changed, "set", "hosts4",
		func(d Difference) bool {
			return len(d.Extra) == 1 && d.Extra[0].Text == "192.0.2.99" && len(d.Lacks) == 0
		}},
	{"element with a comment", "delete element inet xfwc hosts4 { 192.0.2.1 }; add element inet xfwc hosts4 { 192.0.2.1 comment \"x\" }", Changed, "set", "hosts4", nil},
	{"element removed", "delete element inet xfwc hosts6 { 2001:db8::1 }", Changed, "set", "hosts6",
		func(d Difference) bool { return len(d.Lacks) == 1 && d.Lacks[0].Text == "2001:db8::1" }},
	{"prefix removed", "delete element inet xfwc nets4 { 10.0.0.0/9 }", Changed, "set", "nets4",
		func(d Difference) bool { return len(d.Lacks) == 1 && d.Lacks[0].Text == "10.0.0.0/9" }},
	{"prefix widened", "delete element inet xfwc nets6 { fe80::1 }; add element inet xfwc nets6 { fe80::/10 }", Changed, "set", "nets6", nil},
	{"set emptied", "flush set inet xfwc nets4", Changed, "set", "nets4", nil},
	{"verdict of a map changed", "delete element inet xfwc by_port { tcp . 22 }; add element inet xfwc by_port { tcp . 22 : accept }", Changed, "set", "by_port",
		func(d Difference) bool {
			return len(d.Extra) == 1 && d.Extra[0].Text == "tcp . 22 : accept" && len(d.Lacks) == 1
		}},
	{"timeout taken from a map", "delete element inet xfwc active { ipv6 }; add element inet xfwc active { ipv6 : jump services }", Changed, "set", "active", nil},
	{"dead man's element gone", "delete element inet xfwc active { ipv6 }", Changed, "set", "active", nil},
	{"counter deleted", "flush chain inet xfwc denied; delete counter inet xfwc denied", Missing, "counter", "denied", nil},
	{"set flags changed", "flush chain inet xfwc early; delete set inet xfwc hosts6; add set inet xfwc hosts6 { type ipv6_addr; flags interval; elements = { 2001:db8::1 }; }",
		Changed, "set", "hosts6", func(d Difference) bool { return d.Definition && len(d.Lacks) == 0 }},
	{"set timeout changed", "flush chain inet xfwc limits; delete set inet xfwc rate4; add set inet xfwc rate4 { type ipv4_addr; size 1024; flags dynamic,timeout; timeout 7s; }",
		Changed, "set", "rate4", nil},
	{"base chain moved", "flush chain inet xfwc forward; delete chain inet xfwc forward; add chain inet xfwc forward { type filter hook forward priority 99; }", Changed, "chain", "forward",
		func(d Difference) bool { return d.Definition }},
	{"regular chain made a base chain", "flush chain inet xfwc output; delete chain inet xfwc output; add chain inet xfwc output", Changed, "chain", "output", nil},
	{"element put into a set that others fill", "add element inet xfwc conns4 { 192.0.2.1 }; add element inet xfwc bans4 { 192.0.2.1 timeout 1h }", Changed, "set", "bans4", nil},
}

// Each kind of tampering is seen, is seen as what it is, and is mended; and
// before it there is nothing to see, whether nft or netlink loaded the table.
func TestDrift(t *testing.T) {
	needNft(t)
	r := everything()
	want, err := Desired(r, DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range tampering {
		for _, by := range []string{"text", "netlink"} {
			t.Run(c.name+"/"+by, func(t *testing.T) {
				scratch(t, func(conn *Conn) error {
					if by == "text" {
						if err := loadText(r.Text()); err != nil {
							return err
						}
					} else if err := conn.Commit(Full(r), 0); err != nil {
						return err
					}
					before, err := conn.Dump(DumpOptions{})
					if err != nil {
						return err
					}
					if ds := Compare(before, want); ds != nil {
						return fmt.Errorf("drift before anything was done:%s", showDifferences(ds))
					}
					rule := before.Object("chain", "input").Items
					script := strings.ReplaceAll(c.nft, "RULE", fmt.Sprint(rule[len(rule)-1].Handle))
					if _, err := nft([]byte(strings.ReplaceAll(script, "; add ", "\nadd ")+"\n"), "-f", "-"); err != nil {
						return err
					}
					after, err := conn.Dump(DumpOptions{})
					if err != nil {
						return err
					}
					ds := Compare(after, want)
					i := slices.IndexFunc(ds, func(d Difference) bool { return d.Kind == c.kind && d.Name == c.object && d.Change == c.change })
					if i < 0 {
						return fmt.Errorf("not seen; instead:%s", showDifferences(ds))
					}
					if c.check != nil && !c.check(ds[i]) {
						return fmt.Errorf("seen as something else:%s", showDifferences(ds[i:i+1]))
					}
					if _, err := update(conn, r, DumpOptions{}); err != nil {
						return err
					}
					// And back, from what the dump kept: also foreign things can be
					// restored.
					healed, err := conn.Dump(DumpOptions{})
					if err != nil {
						return err
					}
					if err := conn.Commit(Update(healed, after, nil), healed.Generation); err != nil {
						return fmt.Errorf("back to the tampered table: %w", err)
					}
					back, err := conn.Dump(DumpOptions{})
					if err != nil {
						return err
					}
					return sameDump("the restored table", "the tampered one", back, after)
				})
			})
		}
	}
}

// Comments of what lives on are not compared: the kernel cannot change them.
func TestSpellingIsNoDrift(t *testing.T) {
	needKernel(t)
	old, new := everything(), everything()
	new.Comment = "another policy"
	new.Counters[0].Comment = "another counter"
	new.Sets[0].Comment, new.Sets[10].Comment = "another set", "another meter"
	new.Chains[0].Comment, new.Chains[4].Comment = "another chain", "another base chain"
	scratch(t, func(c *Conn) error {
		if err := c.Commit(Full(old), 0); err != nil {
			return err
		}
		n, err := update(c, new, DumpOptions{})
		if err == nil && n != 0 {
			err = fmt.Errorf("%d messages", n)
		}
		return err
	})
}

// What belongs to packets and to other programs outlives an update.
func TestUpdateKeepsState(t *testing.T) {
	needNft(t)
	r := everything()
	scratch(t, func(c *Conn) error {
		if err := c.Commit(Full(r), 0); err != nil {
			return err
		}
		_, err := nft([]byte(`
			flush chain inet xfwc denied
			delete counter inet xfwc denied
			add counter inet xfwc denied { packets 7 bytes 700 }
			add element inet xfwc conns4 { 192.0.2.1 ct count over 20 }
			add element inet xfwc rate4 { 192.0.2.2 limit rate over 30/second burst 1 packets }
		`), "-f", "-")
		if err != nil {
			return err
		}
		before, err := c.Dump(DumpOptions{})
		if err != nil {
			return err
		}
		n := *r
		n.Chains = slices.Clone(r.Chains)
		for i, ch := range n.Chains {
			copied := *ch
			copied.Comment = "another comment"
			copied.Rules = slices.Clone(ch.Rules)
			for j, rule := range copied.Rules {
				moved := *rule
				moved.Comment = fmt.Sprintf("policy.xfw:%d", 100+j)
				copied.Rules[j] = &moved
			}
			n.Chains[i] = &copied
		}
		n.Counters = []*Counter{{Name: "denied", Comment: "policy.xfw:77"}, r.Counters[1]}
		if _, err := update(c, &n, DumpOptions{}); err != nil {
			return err
		}
		for _, want := range []struct{ args, text string }{
			{"list counter inet xfwc denied", "packets 7 bytes 700"},
			{"list set inet xfwc conns4", "192.0.2.1 ct count over 20"},
			{"list set inet xfwc rate4", "192.0.2.2"},
		} {
			out, err := nft(nil, strings.Fields(want.args)...)
			if err != nil {
				return err
			}
			if !strings.Contains(out, want.text) {
				return fmt.Errorf("%s lost %q:\n%s", want.args, want.text, out)
			}
		}
		// Chains that stay equal are not touched: a limit in a rule counts on.
		after, err := c.Dump(DumpOptions{})
		if err != nil {
			return err
		}
		if after.Object("chain", "input").Items[0].Handle == before.Object("chain", "input").Items[0].Handle {
			return errors.New("rules with other comments were not replaced")
		}
		same := n
		same.Sets = slices.Clone(n.Sets)
		bigger := *same.Sets[0]
		bigger.Elements = append(slices.Clone(bigger.Elements), Element{Keys: []KeyValue{pfx("203.0.113.255")}})
		bigger.Elements[2].Keys = []KeyValue{pfx("203.0.113.1")}
		same.Sets[0] = &bigger
		if _, err := update(c, &same, DumpOptions{}); err != nil {
			return err
		}
		kept, err := c.Dump(DumpOptions{})
		if err != nil {
			return err
		}
		if kept.Object("chain", "input").Items[0].Handle != after.Object("chain", "input").Items[0].Handle {
			return errors.New("an update of a set replaced rules")
		}

		// Another limit empties the meter: its elements keep the limit they were
		// made with.
		limit := same
		limit.Chains = slices.Clone(same.Chains)
		chain := *limit.Chains[2]
		chain.Rules = slices.Clone(chain.Rules)
		chain.Rules[0] = &Rule{Stmts: []Stmt{MeterConnections{V4, 0, "conns4", 30}, Verdict{Goto, "denied"}}}
		limit.Chains[2] = &chain
		if _, err := update(c, &limit, DumpOptions{}); err != nil {
			return err
		}
		out, err := nft(nil, "list", "set", "inet", TableName, "conns4")
		if err != nil {
			return err
		}
		if strings.Contains(out, "192.0.2.1") {
			return fmt.Errorf("the meter kept elements of the old limit:\n%s", out)
		}
		out, err = nft(nil, "list", "set", "inet", TableName, "rate4")
		if err == nil && !strings.Contains(out, "192.0.2.2") {
			err = fmt.Errorf("a meter whose limit is the same was emptied:\n%s", out)
		}
		return err
	})
}

// A large set is compared by digest and count, and filled anew as a whole.
func TestUpdateOfUnreadSets(t *testing.T) {
	needNft(t)
	feed := func(from string, n int) *Ruleset {
		s := &Set{Name: "feed4", Key: []KeyType{IPv4Addr}, Size: 40000, Comment: "feed " + from}
		a := netip.MustParseAddr(from)
		for range n {
			s.Elements = append(s.Elements, Element{Keys: []KeyValue{{Addr: a}}})
			a = a.Next()
		}
		// Every second address, and what reaches the end of all.
		nets := &Set{Name: "nets4", Key: []KeyType{IPv4Addr}, Interval: true}
		for i := 0; i < 10_000; i += 2 {
			nets.Elements = append(nets.Elements, Element{Keys: []KeyValue{s.Elements[i].Keys[0]}})
		}
		nets.Elements = append(nets.Elements, Element{Keys: []KeyValue{pfx("240.0.0.0/4")}})
		return &Ruleset{Sets: []*Set{s, nets}, Chains: []*Chain{{Name: "in", Hook: "input", Rules: []*Rule{
			{Stmts: []Stmt{MatchAddrSet{V4, Source, "feed4", false}, Verdict{Kind: Drop}}},
			{Stmts: []Stmt{MatchAddrSet{V4, Source, "nets4", false}, Verdict{Kind: Drop}}},
			{Stmts: []Stmt{Verdict{Kind: Return}}},
		}}}}
	}
	skip := DumpOptions{SkipElements: func(set string, _ int) bool { return set == "feed4" || set == "nets4" }}
	scratch(t, func(c *Conn) error {
		first := feed("10.0.0.0", 20_000)
		n, err := update(c, first, skip)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("nothing was loaded")
		}
		if count, ok, err := c.SetCount("feed4"); err != nil || ok && count != 20_000 {
			return fmt.Errorf("count %d, %v", count, err)
		}
		if n, err = update(c, first, skip); err != nil || n != 0 {
			return fmt.Errorf("a second update: %d messages, %v", n, err)
		}
		var sample []Element
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			sample = append(sample, first.Sets[0].Elements[rnd.IntN(20_000)])
		}
		if missing, err := c.HasElements(first.Sets[0], sample); err != nil || len(missing) > 0 {
			return fmt.Errorf("%d of the sample missing, %v", len(missing), err)
		}
		stranger := Element{Keys: []KeyValue{pfx("192.0.2.1")}}
		if missing, err := c.HasElements(first.Sets[0], []Element{stranger}); err != nil || len(missing) != 1 {
			return fmt.Errorf("an address that is not in the set was found, %v", err)
		}
		if missing, err := c.HasElements(first.Sets[1], []Element{{Keys: []KeyValue{pfx("241.1.2.3")}}, stranger}); err != nil || len(missing) != 1 {
			return fmt.Errorf("of one address in a range and one outside %d are missing, %v", len(missing), err)
		}
		// One element taken out by hand.
		b := NewBatch(first)
		b.DelElements(first.Sets[0], sample[:1])
		if err := c.Commit(b, 0); err != nil {
			return err
		}
		if n, err = update(c, first, skip); err != nil || n == 0 {
			return fmt.Errorf("a missing element was not noticed: %d messages, %v", n, err)
		}
		if missing, err := c.HasElements(first.Sets[0], sample); err != nil || len(missing) > 0 {
			return fmt.Errorf("after mending %d of the sample are missing, %v", len(missing), err)
		}
		// Another feed of the same length.
		second := feed("10.9.0.0", 20_000)
		if n, err = update(c, second, skip); err != nil || n == 0 {
			return fmt.Errorf("another digest was not noticed: %d messages, %v", n, err)
		}
		for _, s := range second.Sets {
			if missing, err := c.HasElements(s, s.Elements[len(s.Elements)-500:]); err != nil || len(missing) > 0 {
				return fmt.Errorf("set %s lacks %d of 500 elements of the new feed, %v", s.Name, len(missing), err)
			}
			if missing, err := c.HasElements(s, first.Sets[0].Elements[:500]); err != nil || len(missing) != 500 {
				return fmt.Errorf("set %s has %d of 500 elements of the old feed, %v", s.Name, 500-len(missing), err)
			}
		}
		// Read or unread, and loaded by nft: it is the same set.
		if n, err = update(c, second, DumpOptions{}); err != nil || n != 0 {
			return fmt.Errorf("the elements, read: %d messages, %v", n, err)
		}
		if err := loadText(first.Text()); err != nil {
			return err
		}
		if n, err = update(c, first, skip); err != nil || n != 0 {
			return fmt.Errorf("after the text: %d messages, %v", n, err)
		}
		// Without the ruleset, the elements are not known.
		live, err := c.Dump(skip)
		if err != nil {
			return err
		}
		if err := Update(&Snapshot{}, live, nil).Err(); err == nil || !strings.Contains(err.Error(), "feed4") {
			return fmt.Errorf("an update without the elements: %v", err)
		}
		return nil
	})
}

// A set that is nearly full has no room for the new elements beside the old.
func TestUpdateOfFullSet(t *testing.T) {
	needKernel(t)
	with := func(addrs ...string) *Ruleset {
		s := &Set{Name: "s", Key: []KeyType{IPv4Addr}, Size: 3}
		for _, a := range addrs {
			s.Elements = append(s.Elements, Element{Keys: []KeyValue{pfx(a)}})
		}
		return &Ruleset{Sets: []*Set{s}, Chains: []*Chain{{Name: "c", Rules: []*Rule{
			{Stmts: []Stmt{MatchAddrSet{V4, Source, "s", false}, Verdict{Kind: Drop}}}}}}}
	}
	scratch(t, func(c *Conn) error {
		for _, r := range []*Ruleset{with("192.0.2.1", "192.0.2.2", "192.0.2.3"), with("192.0.2.1", "192.0.2.5", "192.0.2.6"),
			with("192.0.2.1"), with("192.0.2.1", "192.0.2.2", "192.0.2.3")} {
			if _, err := update(c, r, DumpOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestCommitErrors(t *testing.T) {
	needKernel(t)
	rule := func(s ...Stmt) *Rule { return &Rule{Stmts: s, Comment: "policy.xfw:9"} }
	hosts := &Set{Name: "hosts", Key: []KeyType{IPv4Addr}, Size: 2}
	nets := &Set{Name: "nets", Key: []KeyType{IPv4Addr}, Interval: true}
	el := func(s string) Element { return Element{Keys: []KeyValue{pfx(s)}} }
	for _, c := range []struct {
		name  string
		build func(b *Batch)
		errno []syscall.Errno // one of them: kernels differ
		words []string
	}{
		{"no such counter", func(b *Batch) {
			b.AddChain(&Chain{Name: "c"})
			b.AddRule("c", rule(CountPacket{"none"}), "")
		}, []syscall.Errno{syscall.ENOENT}, []string{"rule of chain c, policy.xfw:9", "add rule", "not in the table"}},
		{"no such chain", func(b *Batch) { b.AddRule("none", rule(Verdict{Kind: Drop}), "my label") },
			[]syscall.Errno{syscall.ENOENT}, []string{"my label"}},
		{"set full", func(b *Batch) {
			b.AddSet(hosts)
			b.AddElements(hosts, []Element{el("192.0.2.1"), el("192.0.2.2"), el("192.0.2.3")})
		}, []syscall.Errno{syscall.ENFILE}, []string{"set hosts elements 1 to 3", "size is too small"}},
		{"ranges overlap", func(b *Batch) {
			b.AddSet(nets)
			b.AddElements(nets, []Element{el("10.0.0.0/8"), el("10.1.0.0/16")})
		}, []syscall.Errno{syscall.EEXIST, syscall.ENOTEMPTY}, []string{"set nets", "element 10.1.0.0", "overlaps"}},
		{"chain in use", func(b *Batch) {
			b.AddChain(&Chain{Name: "c"})
			b.AddChain(&Chain{Name: "d"})
			b.AddRule("d", rule(Verdict{Goto, "c"}), "")
			b.DelChain("c")
		}, []syscall.Errno{syscall.EBUSY}, []string{"chain c", "still uses it"}},
		{"circle", func(b *Batch) {
			b.AddChain(&Chain{Name: "c", Hook: "input"})
			b.AddChain(&Chain{Name: "d"})
			b.AddRule("c", rule(Verdict{Jump, "d"}), "")
			b.AddRule("d", rule(Verdict{Jump, "d"}), "")
		}, []syscall.Errno{syscall.ELOOP, syscall.EMLINK}, []string{"circle"}},
		{"two at once", func(b *Batch) {
			b.AddChain(&Chain{Name: "c"})
			b.AddRule("c", rule(CountPacket{"none"}), "first")
			b.AddRule("c", rule(MatchAddrSet{V4, Source, "none", false}), "second")
		}, []syscall.Errno{syscall.ENOENT}, []string{"first", "second"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scratch(t, func(conn *Conn) error {
				b := &Batch{}
				b.AddTable("")
				c.build(b)
				err := conn.Commit(b, 0)
				var refused *CommitError
				if !errors.As(err, &refused) || !slices.ContainsFunc(c.errno, func(e syscall.Errno) bool { return errors.Is(err, e) }) {
					return fmt.Errorf("got %v, want a CommitError with %v", err, c.errno)
				}
				for _, w := range c.words {
					if !strings.Contains(err.Error(), w) {
						return fmt.Errorf("%q does not say %q", err, w)
					}
				}
				s, err := conn.Dump(DumpOptions{})
				if err == nil && s.Exists {
					err = errors.New("a refused transaction left a table")
				}
				return err
			})
		})
	}
}

func TestStaleGeneration(t *testing.T) {
	needNft(t)
	scratch(t, func(c *Conn) error {
		gen, err := c.Generation()
		if err != nil {
			return err
		}
		// Somebody else's table counts too.
		if _, err := nft([]byte("add table ip other\n"), "-f", "-"); err != nil {
			return err
		}
		if err := c.Commit(Full(everything()), gen); !errors.Is(err, ErrGeneration) {
			return fmt.Errorf("a stale generation: %v", err)
		}
		if s, err := c.Dump(DumpOptions{}); err != nil || s.Exists {
			return fmt.Errorf("a stale commit changed something: %v", err)
		}
		if gen, err = c.Generation(); err != nil {
			return err
		}
		if err := c.Commit(Full(everything()), gen); err != nil {
			return err
		}
		// Nothing to send is not an error, and changes no generation.
		now, err := c.Generation()
		if err != nil {
			return err
		}
		if err := c.Commit(&Batch{}, now); err != nil {
			return err
		}
		again, err := c.Generation()
		if err == nil && again != now {
			err = errors.New("an empty commit changed the generation")
		}
		return err
	})
}

func TestBatchRefusesWhatItCannotEncode(t *testing.T) {
	s := &Set{Name: "s", Key: []KeyType{IPv4Addr}}
	for name, build := range map[string]func(*Batch){
		"wrong family":     func(b *Batch) { b.AddElements(s, []Element{{Keys: []KeyValue{pfx("2001:db8::1")}}}) },
		"no address":       func(b *Batch) { b.AddElements(s, []Element{{Keys: []KeyValue{{}}}}) },
		"range":            func(b *Batch) { b.AddElements(s, []Element{{Keys: []KeyValue{pfx("10.0.0.0/8")}}}) },
		"too many keys":    func(b *Batch) { b.AddElements(s, []Element{{Keys: []KeyValue{{}, {}}}}) },
		"unknown key type": func(b *Batch) { b.AddSet(&Set{Name: "x", Key: []KeyType{99}}) },
		"no key":           func(b *Batch) { b.AddSet(&Set{Name: "x"}) },
		"dynamic, no size": func(b *Batch) { b.AddSet(&Set{Name: "x", Key: []KeyType{IPv4Addr}, Dynamic: true}) },
		"empty rule":       func(b *Batch) { b.AddRule("c", &Rule{}, "") },
		"no statement":     func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{nil}}, "") },
		"no interface":     func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{MatchInterface{}}}, "") },
		"long interface": func(b *Batch) {
			b.AddRule("c", &Rule{Stmts: []Stmt{MatchInterface{Names: []string{"0123456789abcdef"}}}}, "")
		},
		"no ports":           func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{MatchPorts{Proto: "tcp", Side: Dest}}}, "") },
		"unknown verdict":    func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{Verdict{Kind: "maybe"}}}, "") },
		"two families":       func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{MatchFamily{V4}, MatchFamily{V6}}}, "") },
		"two protocols":      func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{MatchL4Proto{"udp"}, MatchSYN{}}}, "") },
		"no rate":            func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{LimitRate{}}}, "") },
		"address of nothing": func(b *Batch) { b.AddRule("c", &Rule{Stmts: []Stmt{MatchAddr{Family: V4, Side: Source}}}, "") },
		"unknown hook":       func(b *Batch) { b.AddChain(&Chain{Name: "c", Hook: "sideways"}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := &Batch{}
			build(b)
			if b.Err() == nil {
				t.Fatal("it was encoded")
			}
			if err := (&Conn{}).Commit(b, 0); err == nil {
				t.Fatal("it was sent")
			}
		})
	}
}

func TestForeignBaseChains(t *testing.T) {
	needNft(t)
	scratch(t, func(c *Conn) error {
		if err := c.Commit(Full(everything()), 0); err != nil {
			return err
		}
		_, err := nft([]byte(`
			table ip filter { chain INPUT { type filter hook input priority 0; policy drop; }; chain x { }; }
			table inet f2b { chain c { type filter hook input priority -1; }; }
			table ip6 n { chain post { type nat hook postrouting priority 100; }; chain out { type route hook output priority -150; }; }
			table ip xfwc { chain forward { type filter hook forward priority 5; }; }
		`), "-f", "-")
		if err != nil {
			return err
		}
		got, err := c.ForeignBaseChains()
		want := []string{
			"inet f2b c: hook input, priority -1, policy accept",
			"ip filter INPUT: hook input, priority 0, policy drop",
			"ip xfwc forward: hook forward, priority 5, policy accept",
			"ip6 n out: hook output, priority -150, policy accept",
		}
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
}
