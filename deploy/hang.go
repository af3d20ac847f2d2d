package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"xfwc/backends/nftables"
)

// Names of what a waiting change adds to the table. The names that policies
// give have no dot, so none of them can be mistaken for these.
const (
	newPrefix     = "new."
	pendingPrefix = "pending."
)

// waits reports whether a name belongs to a waiting change.
func waits(name string) bool {
	return strings.HasPrefix(name, newPrefix) || strings.HasPrefix(name, pendingPrefix)
}

// markerName is the counter that stands for one waiting change. Every batch
// that ends the change deletes it first and so fails, as a whole, when the
// change has already ended.
func markerName(token string) string { return pendingPrefix + token }

func mapName(chain string) string { return pendingPrefix + chain }

// headComment is the comment of the rule that dispatches to a waiting change.
const headComment = "a change that waits for confirmation"

// hanging is a waiting change as kernel objects.
type hanging struct {
	// added are the objects that come beside the live ones, without effect yet:
	// the wanted ruleset under new names, the empty maps that dispatch to it,
	// the marker, and base chains that do not exist yet, without rules.
	added *nftables.Ruleset
	// heads put the change in force, one for each base chain.
	heads []head
}

// head is the dispatch rule of a base chain and the map that it looks into.
type head struct {
	chain string
	rule  *nftables.Rule
	empty *nftables.Set // as it is in added
	full  []nftables.Element
}

func (h *hanging) chains() []string {
	var names []string
	for _, hd := range h.heads {
		names = append(names, hd.chain)
	}
	return names
}

// baseChain is a live base chain.
type baseChain struct {
	name, hook string
}

// hang makes the objects of a change that is in force for as long as wait says,
// on top of the live base chains. It refuses what cannot fall back.
func hang(r *nftables.Ruleset, live []baseChain, token, note string, wait time.Duration) (*hanging, error) {
	h := &hanging{added: renamed(r)}
	h.added.Counters = append(h.added.Counters, &nftables.Counter{Name: markerName(token), Comment: note})
	// An element's timeout has whole seconds; the guard and Confirm hold to the
	// exact deadline.
	seconds := uint32((wait + time.Second - 1) / time.Second)
	dispatch := func(chain string) {
		m := &nftables.Set{Name: mapName(chain), Key: []nftables.KeyType{nftables.NFProto}, Verdict: true, Expires: true, Comment: headComment}
		hd := head{chain: chain, empty: m, rule: &nftables.Rule{Stmts: []nftables.Stmt{nftables.VmapFamily{Map: m.Name}}, Comment: headComment}}
		for _, f := range []uint16{nfprotoIPv4, nfprotoIPv6} {
			hd.full = append(hd.full, nftables.Element{
				Keys: []nftables.KeyValue{{Num: f}}, Do: nftables.Goto, Chain: newPrefix + chain, Timeout: seconds,
			})
		}
		h.added.Sets = append(h.added.Sets, m)
		h.heads = append(h.heads, hd)
	}
	for _, c := range r.Chains {
		if c.Hook == "" {
			continue
		}
		switch i := slices.IndexFunc(live, func(b baseChain) bool { return b.name == c.Name }); {
		case i < 0:
			h.added.Chains = append(h.added.Chains, &nftables.Chain{Name: c.Name, Hook: c.Hook, Priority: c.Priority, Comment: c.Comment})
		case live[i].hook != c.Hook:
			return nil, &PolicyError{fmt.Sprintf("chain %s stands on the hook %s now and on %s in the new ruleset, so the change cannot fall back by itself: apply it without --confirm", c.Name, live[i].hook, c.Hook)}
		}
		dispatch(c.Name)
	}
	for _, b := range live {
		if slices.ContainsFunc(r.Chains, func(c *nftables.Chain) bool { return c.Name == b.name && c.Hook != "" }) {
			continue
		}
		// The new ruleset has no such chain: while it is in force the old rules
		// of the chain are passed by.
		h.added.Chains = append(h.added.Chains, &nftables.Chain{
			Name:  newPrefix + b.name,
			Rules: []*nftables.Rule{{Stmts: []nftables.Stmt{nftables.Verdict{Kind: nftables.Accept}}, Comment: "no rules in the new ruleset"}},
		})
		dispatch(b.name)
	}
	return h, nil
}

// Values of nfproto, linux/netfilter.h.
const (
	nfprotoIPv4 = 2
	nfprotoIPv6 = 10
)

// renamed is the ruleset with every name, and every reference to one, under
// newPrefix, and its base chains as plain chains.
func renamed(r *nftables.Ruleset) *nftables.Ruleset {
	out := &nftables.Ruleset{Comment: r.Comment}
	for _, c := range r.Counters {
		cc := *c
		cc.Name = newPrefix + c.Name
		out.Counters = append(out.Counters, &cc)
	}
	for _, s := range r.Sets {
		sc := *s
		sc.Name = newPrefix + s.Name
		if s.Verdict {
			sc.Elements = slices.Clone(s.Elements)
			for i := range sc.Elements {
				if sc.Elements[i].Chain != "" {
					sc.Elements[i].Chain = newPrefix + sc.Elements[i].Chain
				}
			}
		}
		out.Sets = append(out.Sets, &sc)
	}
	for _, c := range r.Chains {
		cc := &nftables.Chain{Name: newPrefix + c.Name, Comment: c.Comment}
		for _, rule := range c.Rules {
			rc := &nftables.Rule{Comment: rule.Comment}
			for _, s := range rule.Stmts {
				rc.Stmts = append(rc.Stmts, renamedStmt(s))
			}
			cc.Rules = append(cc.Rules, rc)
		}
		out.Chains = append(out.Chains, cc)
	}
	return out
}

func renamedStmt(s nftables.Stmt) nftables.Stmt {
	switch s := s.(type) {
	case nftables.MatchAddrSet:
		s.Set = newPrefix + s.Set
		return s
	case nftables.VmapProtoPort:
		s.Map = newPrefix + s.Map
		return s
	case nftables.VmapAddrProtoPort:
		s.Map = newPrefix + s.Map
		return s
	case nftables.VmapFamily:
		s.Map = newPrefix + s.Map
		return s
	case nftables.MeterConnections:
		s.Set = newPrefix + s.Set
		return s
	case nftables.MeterRate:
		s.Set = newPrefix + s.Set
		return s
	case nftables.CountPacket:
		s.Counter = newPrefix + s.Counter
		return s
	case nftables.Verdict:
		if s.Chain != "" {
			s.Chain = newPrefix + s.Chain
		}
		return s
	}
	return s
}

// batch adds the change in two transactions: first everything, without effect,
// then what sends packets to it. The kernel makes a set of ranges searchable
// only some time after the transaction that fills it has put its rules in
// force, so the second waits for the first.
func (h *hanging) batch() *nftables.Batch {
	b := nftables.Full(h.added)
	b.Cut()
	for _, hd := range h.heads {
		b.AddElements(hd.empty, hd.full)
		b.InsertRule(hd.chain, hd.rule, headComment)
	}
	return b
}

// takeDownBatch removes a waiting change, as live shows it. token is that of
// its marker, "" when the marker is gone. It is two transactions: what sends
// packets to the change goes first, so that none is under way in what is
// removed then.
func takeDownBatch(live *nftables.Snapshot, token string, install bool) *nftables.Batch {
	b := nftables.NewBatch(nil)
	if token != "" {
		b.DelCounter(markerName(token))
	}
	if install {
		b.DelTable()
		return b
	}
	var mine, created []string
	for i := range live.Objects {
		o := &live.Objects[i]
		switch {
		case o.Kind != "chain":
		case waits(o.Name):
			mine = append(mine, o.Name)
		default:
			for _, i := range o.Items {
				if belongs(o, i) {
					b.DelRule(o.Name, i.Handle)
				}
			}
			if isCreated(live, o) {
				created = append(created, o.Name)
			}
		}
	}
	b.Cut()
	// What refers goes before what is referred to: rules, then maps and sets,
	// then chains and counters. Older kernels do not let go of the chains of a
	// map that is deleted with its elements.
	for _, c := range mine {
		b.FlushChain(c)
	}
	for _, o := range live.Objects {
		if o.Kind == "set" && waits(o.Name) {
			if len(o.Items) > 0 {
				b.FlushSet(o.Name)
			}
			b.DelSet(o.Name)
		}
	}
	for _, c := range append(mine, created...) {
		b.DelChain(c)
	}
	for _, o := range live.Objects {
		if o.Kind == "counter" && waits(o.Name) && o.Name != markerName(token) {
			b.DelCounter(o.Name)
		}
	}
	return b
}

// isHead tells the dispatch rule of a waiting change: by the map it looks up,
// because a comment can be changed by anybody.
func isHead(i nftables.Item) bool { return strings.Contains(i.Text, " set=@"+pendingPrefix) }

// belongs reports whether a rule of a chain that stays is one of a waiting
// change: its dispatch, or the digest of one of its sets.
func belongs(chain *nftables.Object, i nftables.Item) bool {
	if chain.Name == digestChain {
		return strings.Contains(i.Comment, " of "+newPrefix)
	}
	return isHead(i)
}

// isCreated reports whether a chain was made by a waiting change and has no
// rules but the change's: no chain of a policy is empty.
func isCreated(live *nftables.Snapshot, chain *nftables.Object) bool {
	if slices.ContainsFunc(chain.Items, func(i nftables.Item) bool { return !belongs(chain, i) }) {
		return false
	}
	return chain.Name == digestChain || live.Object("set", mapName(chain.Name)) != nil
}
