package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"

	"xfwc/backends/nftables"
	"xfwc/compiler/ir"
)

// savedRuleset is a ruleset that prints as JSON and can be read back: the
// statements of a rule are behind an interface, so each is kept with the name
// of its type.
type savedRuleset struct{ *nftables.Ruleset }

// statementTypes lists every type of statement by its name. A test compares the
// list with the ruleset model.
var statementTypes = func() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for _, s := range []nftables.Stmt{
		nftables.MatchInterface{}, nftables.MatchAddrSet{}, nftables.MatchAddr{}, nftables.MatchFamily{},
		nftables.MatchL4Proto{}, nftables.MatchPorts{}, nftables.MatchDays{}, nftables.MatchHours{}, nftables.MatchEstablished{}, nftables.MatchInvalid{},
		nftables.MatchNew{}, nftables.MatchSYN{}, nftables.MatchHopLimit255{}, nftables.MatchNeighbourDiscovery{},
		nftables.VmapProtoPort{}, nftables.VmapAddrProtoPort{}, nftables.VmapFamily{}, nftables.MeterConnections{},
		nftables.MeterRate{}, nftables.CountConnections{}, nftables.LimitRate{}, nftables.CountPacket{},
		nftables.LogPacket{}, nftables.Verdict{},
	} {
		t := reflect.TypeOf(s)
		types[t.Name()] = t
	}
	return types
}()

type savedChain struct {
	nftables.Chain
	Rules []savedRule
}

type savedRule struct {
	Comment string
	Stmts   []savedStmt
}

type savedStmt struct{ nftables.Stmt }

// MarshalJSON writes {"TypeName": {fields}}.
func (s savedStmt) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{reflect.TypeOf(s.Stmt).Name(): s.Stmt})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *savedStmt) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	if len(fields) != 1 {
		return fmt.Errorf("a statement has %d types instead of one", len(fields))
	}
	for name, raw := range fields {
		t, ok := statementTypes[name]
		if !ok {
			return fmt.Errorf("statement type %q is unknown to this xfwc", name)
		}
		v := reflect.New(t)
		if err := json.Unmarshal(raw, v.Interface()); err != nil {
			return err
		}
		s.Stmt = v.Elem().Interface().(nftables.Stmt)
	}
	return nil
}

type savedTable struct {
	Comment  string
	Counters []*nftables.Counter
	Sets     []savedSet
	Chains   []savedChain
}

// savedSet keeps plain addresses and ranges as one text, with spaces between
// them: feeds are long.
type savedSet struct {
	nftables.Set
	Elements []nftables.Element `json:",omitempty"`
	Addrs    string             `json:",omitempty"`
}

func saveSet(s *nftables.Set) savedSet {
	out := savedSet{Set: *s}
	out.Set.Elements = nil
	var text strings.Builder
	text.Grow(16 * len(s.Elements))
	one := make([]byte, 0, 128)
	for i := range s.Elements {
		one = one[:0]
		if i > 0 {
			one = append(one, ' ')
		}
		var ok bool
		if one, ok = appendAddrElement(one, &s.Elements[i]); !ok {
			out.Elements = s.Elements
			return out
		}
		text.Write(one)
	}
	out.Addrs = text.String()
	return out
}

// appendAddrElement writes an element that is an address or a range and nothing
// else.
func appendAddrElement(text []byte, e *nftables.Element) ([]byte, bool) {
	if len(e.Keys) != 1 || e.Do != "" || e.Chain != "" || e.Timeout != 0 {
		return text, false
	}
	k := &e.Keys[0]
	if !k.Addr.IsValid() || k.Num != 0 || k.NumTo != 0 || k.Name != "" {
		return text, false
	}
	text = k.Addr.AppendTo(text)
	if k.AddrTo.IsValid() {
		text = k.AddrTo.AppendTo(append(text, '-'))
	}
	return text, true
}

func (s savedSet) set() (*nftables.Set, error) {
	out := s.Set
	out.Elements = s.Elements
	if s.Addrs != "" {
		out.Elements = make([]nftables.Element, 0, strings.Count(s.Addrs, " ")+1)
	}
	for text := range strings.FieldsSeq(s.Addrs) {
		from, to, ranged := strings.Cut(text, "-")
		var k nftables.KeyValue
		var err error
		if k.Addr, err = netip.ParseAddr(from); err != nil {
			return nil, err
		}
		if ranged {
			if k.AddrTo, err = netip.ParseAddr(to); err != nil {
				return nil, err
			}
		}
		out.Elements = append(out.Elements, nftables.Element{Keys: []nftables.KeyValue{k}})
	}
	return &out, nil
}

// table is the whole ruleset in the form that is written.
func (s savedRuleset) table() *savedTable {
	if s.Ruleset == nil {
		return nil
	}
	t := &savedTable{Comment: s.Comment, Counters: s.Counters}
	for _, set := range s.Sets {
		t.Sets = append(t.Sets, saveSet(set))
	}
	for _, c := range s.Chains {
		sc := savedChain{Chain: *c}
		for _, r := range c.Rules {
			sr := savedRule{Comment: r.Comment}
			for _, st := range r.Stmts {
				sr.Stmts = append(sr.Stmts, savedStmt{st})
			}
			sc.Rules = append(sc.Rules, sr)
		}
		t.Chains = append(t.Chains, sc)
	}
	return t
}

// UnmarshalJSON reads what table gives.
func (s *savedRuleset) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var t savedTable
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	s.Ruleset = &nftables.Ruleset{Comment: t.Comment, Counters: t.Counters}
	for _, saved := range t.Sets {
		set, err := saved.set()
		if err != nil {
			return err
		}
		s.Sets = append(s.Sets, set)
	}
	for _, sc := range t.Chains {
		c := sc.Chain
		c.Rules = nil
		for _, sr := range sc.Rules {
			r := &nftables.Rule{Comment: sr.Comment}
			for _, st := range sr.Stmts {
				r.Stmts = append(r.Stmts, st.Stmt)
			}
			c.Rules = append(c.Rules, r)
		}
		s.Chains = append(s.Chains, &c)
	}
	return nil
}

// savedGuards are the decisions of a policy at one point, for asking later what
// it would have said about a session. Address sets are kept once each, however
// many entries use them.
type savedGuards struct {
	Point  *ir.Point   `json:"point,omitempty"`
	Guards []*ir.Guard `json:"guards,omitempty"`
	Sets   addrSetList `json:"sets,omitempty"`
}

// addrSetList are address sets, each written with its prefixes as one text.
type addrSetList []*ir.AddrSet

type savedAddrSet struct {
	Name     string
	Prefixes string `json:",omitempty"`
	Origin   ir.Origin
}

// written is the list in the form that is written.
func (l addrSetList) written() []savedAddrSet {
	out := make([]savedAddrSet, len(l))
	for i, s := range l {
		var text strings.Builder
		text.Grow(16 * len(s.Prefixes))
		one := make([]byte, 0, 128)
		for j, p := range s.Prefixes {
			one = one[:0]
			if j > 0 {
				one = append(one, ' ')
			}
			if p.IsSingleIP() {
				one = p.Addr().AppendTo(one)
			} else {
				one = p.AppendTo(one)
			}
			text.Write(one)
		}
		out[i] = savedAddrSet{s.Name, text.String(), s.Origin}
	}
	return out
}

// UnmarshalJSON reads what written gives.
func (l *addrSetList) UnmarshalJSON(b []byte) error {
	var saved []savedAddrSet
	if err := json.Unmarshal(b, &saved); err != nil {
		return err
	}
	for _, s := range saved {
		set := &ir.AddrSet{Name: s.Name, Origin: s.Origin}
		if s.Prefixes != "" {
			set.Prefixes = make([]netip.Prefix, 0, strings.Count(s.Prefixes, " ")+1)
		}
		for text := range strings.FieldsSeq(s.Prefixes) {
			if strings.Contains(text, "/") {
				p, err := netip.ParsePrefix(text)
				if err != nil {
					return err
				}
				set.Prefixes = append(set.Prefixes, p)
				continue
			}
			a, err := netip.ParseAddr(text)
			if err != nil {
				return err
			}
			set.Prefixes = append(set.Prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
		*l = append(*l, set)
	}
	return nil
}

// saveGuards copies what the point decides, without the flows, which decide
// nothing.
func saveGuards(p *ir.Policy, pt *ir.Point) savedGuards {
	saved := savedGuards{Point: &ir.Point{Name: pt.Name, Role: pt.Role, Exclusive: pt.Exclusive, Observe: pt.Observe}}
	seen := map[*ir.AddrSet]int{}
	// ref stands for a set by its place in Sets.
	ref := func(s *ir.AddrSet) *ir.AddrSet {
		if s == nil {
			return nil
		}
		i, ok := seen[s]
		if !ok {
			i = len(saved.Sets)
			seen[s] = i
			saved.Sets = append(saved.Sets, &ir.AddrSet{Name: s.Name, Prefixes: s.Prefixes, Origin: s.Origin})
		}
		return &ir.AddrSet{Name: fmt.Sprint(i)}
	}
	entry := func(e *ir.Entry) *ir.Entry {
		if e == nil {
			return nil
		}
		c := *e
		c.Flow = nil
		c.Match.Src, c.Match.Dst = ref(e.Match.Src), ref(e.Match.Dst)
		return &c
	}
	saved.Point.Set = ref(pt.Set)
	for _, g := range p.Guards {
		if g.Point != pt {
			continue
		}
		c := *g
		c.Point, c.Confine, c.Services = nil, nil, nil
		sg := &c
		for _, e := range g.Confine {
			sg.Confine = append(sg.Confine, entry(e))
		}
		for _, s := range g.Services {
			c := *s
			c.Addrs, c.Rest, c.Entries = ref(s.Addrs), entry(s.Rest), nil
			for _, e := range s.Entries {
				c.Entries = append(c.Entries, entry(e))
			}
			sg.Services = append(sg.Services, &c)
		}
		saved.Guards = append(saved.Guards, sg)
	}
	return saved
}

// policy gives the guards back in the form that the decision function takes;
// false when there are none, or they are damaged.
func (s savedGuards) policy() (*ir.Policy, *ir.Point, bool) {
	if s.Point == nil {
		return nil, nil, false
	}
	sound := true
	deref := func(set *ir.AddrSet) *ir.AddrSet {
		if set == nil {
			return nil
		}
		var i int
		if _, err := fmt.Sscan(set.Name, &i); err != nil || i < 0 || i >= len(s.Sets) {
			sound = false
			return nil
		}
		return s.Sets[i]
	}
	entry := func(e *ir.Entry) *ir.Entry {
		if e == nil {
			return nil
		}
		c := *e
		c.Match.Src, c.Match.Dst = deref(e.Match.Src), deref(e.Match.Dst)
		return &c
	}
	point := *s.Point
	point.Set = deref(s.Point.Set)
	p := &ir.Policy{Points: []*ir.Point{&point}}
	for _, g := range s.Guards {
		c := *g
		c.Point, c.Confine, c.Services = &point, nil, nil
		pg := &c
		for _, e := range g.Confine {
			pg.Confine = append(pg.Confine, entry(e))
		}
		for _, sv := range g.Services {
			c := *sv
			c.Addrs, c.Rest, c.Entries = deref(sv.Addrs), entry(sv.Rest), nil
			for _, e := range sv.Entries {
				c.Entries = append(c.Entries, entry(e))
			}
			pg.Services = append(pg.Services, &c)
		}
		p.Guards = append(p.Guards, pg)
	}
	return p, &point, sound
}

// later is a part of a record that is read when it is needed: most reads want
// only what stands before it.
type later[T any] struct {
	value T
	known bool
	raw   json.RawMessage
}

func known[T any](v T) later[T] { return later[T]{value: v, known: true} }

// UnmarshalJSON keeps the text.
func (l *later[T]) UnmarshalJSON(b []byte) error {
	l.raw = append(json.RawMessage(nil), b...)
	return nil
}

func (l *later[T]) get() (T, error) {
	if !l.known {
		if err := json.Unmarshal(l.raw, &l.value); err != nil {
			return l.value, err
		}
		l.known = true
	}
	return l.value, nil
}

// encode writes the record. The large parts are plain structs here: what a
// MarshalJSON of their own would give is read once more at every level that it
// stands below.
func (r *record) encode(w io.Writer) error {
	out := struct {
		*record
		Ruleset any `json:"ruleset"`
		Guards  any `json:"guards"`
	}{r, r.Ruleset.raw, r.Guards.raw}
	if r.Ruleset.known {
		out.Ruleset = r.Ruleset.value.table()
	}
	if r.Guards.known {
		g := r.Guards.value
		out.Guards = struct {
			savedGuards
			Sets []savedAddrSet `json:"sets,omitempty"`
		}{g, g.Sets.written()}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// target is the recorded ruleset as what a machine is compared with.
func (r *record) target() (*target, error) {
	rules, err := r.Ruleset.get()
	if err == nil && rules.Ruleset == nil {
		err = errors.New("it holds no ruleset")
	}
	if err != nil {
		return nil, fmt.Errorf("the record of policy %s is damaged: %w; run xfwc apply to write it anew", r.Policy, err)
	}
	// Without them policy lines and witnesses are missing, no more.
	var d decisions
	if guards, err := r.Guards.get(); err == nil {
		if p, pt, ok := guards.policy(); ok {
			d = decisions{p, pt}
		}
	}
	return newTarget(rules.Ruleset, d), nil
}
