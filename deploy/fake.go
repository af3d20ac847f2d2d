package deploy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"xfwc/backends/nftables"
)

// Fake is a machine in memory: a table that changes as a whole, clocks that go
// when they are told to, and sessions that somebody put there. It holds what
// the kernel would, in a form of its own, so that plans, applies, confirmations
// and drift run against it as they do against a machine. It is for tests of
// what surrounds the kernel; what the kernel does is tested on the kernel.
type Fake struct {
	mu         sync.Mutex
	table      *nftables.Ruleset // nil: there is no table
	born       time.Duration     // when the elements of the table were added
	generation uint32
	moment     Moment
	// Open are the sessions that Sessions returns.
	Open []Session
	// Tracked says that connection tracking knows all sessions.
	Tracked bool
	// Foreign is what ForeignBaseChains returns.
	Foreign []string
	// Fail, when set, is asked before every transaction and makes it fail.
	Fail func(verb string) error
	// Before, when set, is called before every transaction: others change the
	// machine here.
	Before func(verb string)
	// After, when set, is called after every transaction.
	After func(verb string)
}

// NewFake makes a machine without a table.
func NewFake() *Fake {
	return &Fake{
		generation: 1, Tracked: true,
		moment: Moment{Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Boot: time.Hour, BootID: "boot-1"},
	}
}

// Advance lets time pass.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moment.Wall = f.moment.Wall.Add(d)
	f.moment.Boot += d
}

// Reboot loses the table and starts another boot.
func (f *Fake) Reboot() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table = nil
	f.generation = 1
	f.moment.Wall = f.moment.Wall.Add(time.Minute)
	f.moment.Boot = 0
	f.moment.BootID += "'"
}

// Edit changes the table as somebody else would; nil removes it.
func (f *Fake) Edit(edit func(r *nftables.Ruleset) *nftables.Ruleset) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table = edit(f.table)
	f.generation++
}

// Touch changes another table of the machine.
func (f *Fake) Touch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generation++
}

// Now gives the fake's clocks.
func (f *Fake) Now() Moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moment
}

// Sessions returns Open.
func (f *Fake) Sessions() ([]Session, error) { return slices.Clone(f.Open), nil }

// ForeignBaseChains returns Foreign.
func (f *Fake) ForeignBaseChains() ([]string, error) { return f.Foreign, nil }

// Dump shows the table, without elements whose time is over.
func (f *Fake) Dump(skip func(set string, size int) bool) (*nftables.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := picture(f.table, skip, f.moment.Boot-f.born)
	s.Generation = f.generation
	return s, nil
}

// Desired shows what a table would be.
func (f *Fake) Desired(r *nftables.Ruleset, skip func(set string, size int) bool) (*nftables.Snapshot, error) {
	return picture(r, skip, 0), nil
}

// Missing looks elements up.
func (f *Fake) Missing(set *nftables.Set, elements []nftables.Element) ([]nftables.Element, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var missing []nftables.Element
	for _, s := range f.table.Sets {
		if s.Name != set.Name {
			continue
		}
		for _, e := range elements {
			if !slices.ContainsFunc(s.Elements, func(o nftables.Element) bool { return reflect.DeepEqual(o, e) }) {
				missing = append(missing, e)
			}
		}
		return missing, nil
	}
	return nil, fmt.Errorf("set %s: %w", set.Name, syscall.ENOENT)
}

// picture is a ruleset as a snapshot: not as the kernel writes it, but equal
// exactly when the rulesets are.
func picture(r *nftables.Ruleset, skip func(set string, size int) bool, age time.Duration) *nftables.Snapshot {
	s := &nftables.Snapshot{}
	if r == nil {
		return s
	}
	s.Exists = true
	s.Objects = append(s.Objects, nftables.Object{Kind: "table", Name: nftables.TableName, Head: "flags=0", Note: r.Comment})
	for _, c := range r.Counters {
		s.Objects = append(s.Objects, nftables.Object{Kind: "counter", Name: c.Name, Note: c.Comment})
	}
	for _, set := range r.Sets {
		o := nftables.Object{Kind: "set", Name: set.Name}
		o.Head = fmt.Sprintf("key_type=%v verdict=%v interval=%v dynamic=%v timeout=%d size=%d", set.Key, set.Verdict, set.Interval, set.Dynamic, set.Timeout, set.Size)
		if len(set.Elements) > readIntervalMax {
			o.Comment = digest(fmt.Append(nil, set.Elements))
		}
		switch {
		case set.Dynamic:
			o.Skipped, o.Note = true, set.Comment
		case skip != nil && skip(set.Name, len(set.Elements)):
			o.Skipped, o.Count, o.Note = true, len(set.Elements), set.Comment
		default:
			o.Note = set.Comment
			for _, e := range set.Elements {
				if e.Timeout > 0 && age >= time.Duration(e.Timeout)*time.Second {
					continue
				}
				text := elementText(e)
				if e.Timeout > 0 {
					text += fmt.Sprintf(" timeout %ds", e.Timeout)
				}
				if e.Do != "" {
					text += " : " + strings.TrimSpace(string(e.Do)+" "+e.Chain)
				}
				o.Items = append(o.Items, nftables.Item{Text: text})
			}
			o.Count = len(o.Items)
		}
		s.Objects = append(s.Objects, o)
	}
	for _, c := range r.Chains {
		o := nftables.Object{Kind: "chain", Name: c.Name, Note: c.Comment}
		if c.Hook != "" {
			o.Head = fmt.Sprintf("hook=%s priority=%d policy=1", c.Hook, c.Priority)
		}
		for _, rule := range c.Rules {
			o.Items = append(o.Items, nftables.Item{Text: pictureRule(rule), Comment: rule.Comment})
		}
		s.Objects = append(s.Objects, o)
	}
	slices.SortStableFunc(s.Objects, func(a, b nftables.Object) int {
		if d := kindRank(a.Kind) - kindRank(b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return s
}

func pictureRule(r *nftables.Rule) string {
	var parts []string
	for _, st := range r.Stmts {
		switch st := st.(type) {
		case nftables.Verdict:
			parts = append(parts, strings.TrimSpace("immediate dreg=0 data="+string(st.Kind)+" "+st.Chain))
		case nftables.VmapFamily:
			parts = append(parts, "lookup set=@"+st.Map+" sreg=1 dreg=0")
		default:
			parts = append(parts, fmt.Sprintf("%T %+v", st, st))
		}
	}
	return strings.Join(parts, "; ")
}

// transaction runs f if the table is still the one that live shows.
func (f *Fake) transaction(verb string, live *nftables.Snapshot, change func() error) error {
	if f.Before != nil {
		f.Before(verb)
	}
	if f.Fail != nil {
		if err := f.Fail(verb); err != nil {
			return err
		}
	}
	f.mu.Lock()
	err := nftables.ErrGeneration
	if live == nil || live.Generation == f.generation {
		err = change()
		f.generation++
	}
	f.mu.Unlock()
	if err == nil && f.After != nil {
		f.After(verb)
	}
	return err
}

func (f *Fake) untracked(sessions []Session) ([]Session, error) {
	if f.Tracked {
		return nil, nil
	}
	return sessions, nil
}

func (f *Fake) replace(live, want *nftables.Snapshot, r *nftables.Ruleset) error {
	return f.transaction("replace", live, func() error {
		f.table, f.born = r, f.moment.Boot
		return nil
	})
}

func (f *Fake) hang(live *nftables.Snapshot, h *hanging) error {
	return f.transaction("hang", live, func() error {
		t := &nftables.Ruleset{Comment: h.added.Comment}
		if f.table != nil {
			*t = *f.table
		}
		t.Counters = append(slices.Clone(t.Counters), h.added.Counters...)
		t.Sets = append(slices.Clone(t.Sets), h.added.Sets...)
		t.Chains = append(slices.Clone(t.Chains), h.added.Chains...)
		for _, hd := range h.heads {
			for i, s := range t.Sets {
				if s == hd.empty {
					full := *s
					full.Elements = hd.full
					t.Sets[i] = &full
				}
			}
			for i, c := range t.Chains {
				if c.Name == hd.chain {
					cc := *c
					cc.Rules = append([]*nftables.Rule{hd.rule}, c.Rules...)
					t.Chains[i] = &cc
				}
			}
		}
		f.table, f.born = t, f.moment.Boot
		return nil
	})
}

// marked reports whether the marker of a change is in the table.
func (f *Fake) marked(token string) bool {
	return f.table != nil && slices.ContainsFunc(f.table.Counters, func(c *nftables.Counter) bool { return c.Name == markerName(token) })
}

func (f *Fake) takeDown(live *nftables.Snapshot, token string, install bool) error {
	return f.transaction("takeDown", live, func() error {
		if token != "" && !f.marked(token) {
			return fmt.Errorf("counter %s: %w", markerName(token), syscall.ENOENT)
		}
		if install {
			f.table = nil
			return nil
		}
		f.removeWaiting()
		return nil
	})
}

// removeWaiting removes every object of a waiting change.
func (f *Fake) removeWaiting() {
	t := *f.table
	t.Counters = slices.DeleteFunc(slices.Clone(t.Counters), func(c *nftables.Counter) bool { return waits(c.Name) })
	t.Sets = slices.DeleteFunc(slices.Clone(t.Sets), func(s *nftables.Set) bool { return waits(s.Name) })
	var chains []*nftables.Chain
	for _, c := range t.Chains {
		if waits(c.Name) {
			continue
		}
		cc := *c
		cc.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r *nftables.Rule) bool {
			m, ok := r.Stmts[0].(nftables.VmapFamily)
			return ok && waits(m.Map)
		})
		if len(cc.Rules) > 0 || len(c.Rules) == 0 {
			chains = append(chains, &cc)
		}
	}
	t.Chains = chains
	f.table = &t
}

func (f *Fake) arm(p Pending) (fire func() (bool, error), release func(), err error) {
	fire = func() (bool, error) {
		fired := false
		err := f.transaction("fire", nil, func() error {
			if !f.marked(p.Token) {
				return nil
			}
			fired = true
			if p.Install {
				f.table = nil
				return nil
			}
			t := *f.table
			t.Counters = slices.DeleteFunc(slices.Clone(t.Counters), func(c *nftables.Counter) bool { return c.Name == markerName(p.Token) })
			t.Sets = slices.Clone(t.Sets)
			for i, s := range t.Sets {
				if strings.HasPrefix(s.Name, pendingPrefix) {
					sc := *s
					sc.Elements = nil
					t.Sets[i] = &sc
				}
			}
			f.table = &t
			return nil
		})
		return fired, err
	}
	return fire, func() {}, nil
}
