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
	// added are the objects that come beside the live ones: the wanted ruleset
	// under new names, the maps that dispatch to it, the marker, and base chains
	// that do not exist yet, with their dispatch rule.
	added *nftables.Ruleset
	// heads are the dispatch rules for the base chains that exist.
	heads []head
	// chains are all base chains that dispatch.
	chains []string
}

type head struct {
	chain string
	rule  *nftables.Rule
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
	dispatch := func(chain string) *nftables.Rule {
		m := &nftables.Set{Name: mapName(chain), Key: []nftables.KeyType{nftables.NFProto}, Verdict: true, Expires: true, Comment: headComment}
		for _, f := range []uint16{nfprotoIPv4, nfprotoIPv6} {
			m.Elements = append(m.Elements, nftables.Element{
				Keys: []nftables.KeyValue{{Num: f}}, Do: nftables.Goto, Chain: newPrefix + chain, Timeout: seconds,
			})
		}
		h.added.Sets = append(h.added.Sets, m)
		h.chains = append(h.chains, chain)
		return &nftables.Rule{Stmts: []nftables.Stmt{nftables.VmapFamily{Map: m.Name}}, Comment: headComment}
	}
	for _, c := range r.Chains {
		if c.Hook == "" {
			continue
		}
		i := slices.IndexFunc(live, func(b baseChain) bool { return b.name == c.Name })
		if i < 0 {
			h.added.Chains = append(h.added.Chains, &nftables.Chain{
				Name: c.Name, Hook: c.Hook, Priority: c.Priority, Comment: c.Comment,
				Rules: []*nftables.Rule{dispatch(c.Name)},
			})
			continue
		}
		if live[i].hook != c.Hook {
			return nil, &PolicyError{fmt.Sprintf("chain %s stands on the hook %s now and on %s in the new ruleset, so the change cannot fall back by itself: apply it without --confirm", c.Name, live[i].hook, c.Hook)}
		}
		h.heads = append(h.heads, head{c.Name, dispatch(c.Name)})
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
		h.heads = append(h.heads, head{b.name, dispatch(b.name)})
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

// batch is the transaction that adds the change.
func (h *hanging) batch() *nftables.Batch {
	b := nftables.Full(h.added)
	for _, hd := range h.heads {
		b.InsertRule(hd.chain, hd.rule, headComment)
	}
	return b
}

// takeDownBatch removes a waiting change, as live shows it. token is that of
// its marker, "" when the marker is gone.
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
	for _, o := range live.Objects {
		switch {
		case o.Kind != "chain":
		case waits(o.Name):
			mine = append(mine, o.Name)
		default:
			heads := 0
			for _, i := range o.Items {
				if isHead(i) {
					b.DelRule(o.Name, i.Handle)
					heads++
				}
			}
			if heads > 0 && heads == len(o.Items) {
				created = append(created, o.Name)
			}
		}
	}
	// What refers goes before what is referred to: rules, then maps and sets,
	// then chains and counters.
	for _, c := range mine {
		b.FlushChain(c)
	}
	for _, o := range live.Objects {
		if o.Kind == "set" && waits(o.Name) {
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
