package nftables

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Change is how a live object differs from the wanted one.
type Change string

// The three ways to differ.
const (
	Missing Change = "missing" // wanted, and not there
	Foreign Change = "foreign" // there, and not wanted
	Changed Change = "changed"
)

// Difference is one object in which a live table is not as wanted.
type Difference struct {
	Kind, Name string
	Change     Change
	Live, Want *Object // nil when not there
	// Of a changed object: Definition says that its own attributes differ, or
	// the digest of a large set; Lacks what should be in it and is not, Extra
	// what is in it and should not be, Reordered that the rules that both have
	// stand in another order. Of a set whose elements were not read, Elements
	// says that their number differs.
	Definition bool
	Elements   bool
	Lacks      []Item
	Extra      []Item
	Reordered  bool
}

// Compare lists what is not as wanted, in the order of kinds and names. Of a
// table that does not exist, or is not wanted at all, only the table is listed.
// nil means that the live table does exactly what is wanted.
func Compare(live, want *Snapshot) []Difference {
	switch {
	case !live.Exists && !want.Exists:
		return nil
	case !live.Exists:
		return []Difference{{Kind: kindTable, Name: TableName, Change: Missing, Want: want.Object(kindTable, TableName)}}
	case !want.Exists:
		return []Difference{{Kind: kindTable, Name: TableName, Change: Foreign, Live: live.Object(kindTable, TableName)}}
	}
	var ds []Difference
	pair(live, want, func(l, w *Object) {
		switch {
		case l == nil:
			ds = append(ds, Difference{Kind: w.Kind, Name: w.Name, Change: Missing, Want: w})
		case w == nil:
			ds = append(ds, Difference{Kind: l.Kind, Name: l.Name, Change: Foreign, Live: l})
		default:
			if d, differ := compareObject(l, w); differ {
				ds = append(ds, d)
			}
		}
	})
	return ds
}

// pair walks two snapshots in their common order; one side is nil where only
// the other has the object.
func pair(live, want *Snapshot, f func(l, w *Object)) {
	i, j := 0, 0
	for i < len(live.Objects) || j < len(want.Objects) {
		c := 0
		switch {
		case i == len(live.Objects):
			c = 1
		case j == len(want.Objects):
			c = -1
		default:
			c = compareObjects(live.Objects[i], want.Objects[j])
		}
		switch {
		case c < 0:
			f(&live.Objects[i], nil)
			i++
		case c > 0:
			f(nil, &want.Objects[j])
			j++
		default:
			f(&live.Objects[i], &want.Objects[j])
			i, j = i+1, j+1
		}
	}
}

func compareObject(l, w *Object) (Difference, bool) {
	d := Difference{Kind: w.Kind, Name: w.Name, Change: Changed, Live: l, Want: w}
	d.Definition = l.Head != w.Head || l.Comment != w.Comment
	if l.Skipped || w.Skipped {
		d.Elements = l.Count != w.Count && l.Count >= 0 && w.Count >= 0
		return d, d.Definition || d.Elements
	}
	d.Lacks, d.Extra = minus(w.Items, l.Items), minus(l.Items, w.Items)
	if w.Kind == kindChain {
		d.Reordered = !slices.EqualFunc(minus(l.Items, d.Extra), minus(w.Items, d.Lacks), sameItem)
	}
	return d, d.Definition || len(d.Lacks) > 0 || len(d.Extra) > 0 || d.Reordered
}

func sameItem(a, b Item) bool { return a.Text == b.Text && a.Comment == b.Comment }

// minus gives the items of a that b has not as often, the first ones kept out.
func minus(a, b []Item) []Item {
	type id struct{ text, comment string }
	n := make(map[id]int, len(b))
	for _, it := range b {
		n[id{it.Text, it.Comment}]++
	}
	var out []Item
	for _, it := range a {
		k := id{it.Text, it.Comment}
		if n[k] > 0 {
			n[k]--
			continue
		}
		out = append(out, it)
	}
	return out
}

// Update makes the batch that turns the live table into the wanted one; it has
// no messages when nothing differs. Committed with live's generation, a dump
// then equals want.
//
// It is made so that no packet meets less than the old or the new table: the
// table and its base chains stay, and with them sets, maps and counters as they
// are; chains that differ get their rules anew; sets get what they lack and
// lose what is too much. A set of another definition is replaced by a new one
// together with the rules that use it. What is not wanted is deleted last, also
// what others put into the table. Deleting and adding the table would let
// packets pass meanwhile.
//
// So would rules that change to a set of ranges in the transaction that fills
// it: the kernel looks into such a set only after the rules are in force. And so
// would a map that is deleted in the transaction that takes away the rules that
// use it, for packets that these are just judging. (Measured on 6.18: of a
// hundred thousand packets some pass.) Where there is one or the other the batch
// is several transactions, see between; on the way the live table judges, or
// the wanted one.
//
// A meter whose rule has another limit is emptied: what the kernel counts in it
// would keep the old limit.
//
// want must come from the kernel, by Desired or Dump. r is the ruleset that want
// was made from; it gives the elements of sets that want leaves unread, and may
// be nil when there are none. A set that is unread on either side is filled anew
// when its digest or its count differ.
func Update(live, want *Snapshot, r *Ruleset) *Batch {
	b := NewBatch(r)
	switch {
	case !want.Exists && live.Exists:
		b.DelTable()
		return b
	case !want.Exists:
		return b
	case !live.Exists:
		return transaction(&Snapshot{}, want, r, nil)
	}
	tables, standIns := between(live, want)
	first := transaction(live, tables[0], r, standIns)
	b.then(first)
	for i, from := range tables[:len(tables)-1] {
		next := transaction(from, tables[i+1], r, standIns)
		if i == 0 && first.Len() > 0 {
			next.undo = transaction(from, live, r, nil)
		}
		b.then(next)
	}
	return b
}

// standInPrefix begins the names of stand-ins.
const standInPrefix = "xfwc.next."

// between gives the tables on the way from the live to the wanted one, which is
// the last. Every step is a transaction; one that changes nothing is none.
//
//	filled    the live table and, beside it and unused, the new sets of ranges
//	switched  the wanted rules; maps that are not wanted any more are still there
//	cleared   those maps are gone
//	settled   rules use the sets themselves, no stand-ins
//	want      stand-ins are gone
//
// A map is not deleted in the step that switches the rules, because the kernel
// takes its elements out of force with the same transaction, and a packet that
// is just being judged by the old rules would find nothing in it.
//
// standIns gives the name of the set for that of its stand-in.
func between(live, want *Snapshot) (tables []*Snapshot, standIns map[string]string) {
	filled, switched := copied(live), copied(want)
	standIns = map[string]string{}
	names := map[string]string{}
	pair(live, want, func(l, w *Object) {
		switch {
		case l != nil && l.Kind != kindSet || w != nil && w.Kind != kindSet:
		case w == nil:
			if isMap(l) {
				switched.keep(l, live, want)
			}
		case l == nil:
			if isRanged(w) {
				filled.fill(*w, live, want)
			}
		case mustReplace(l, w) && (isMap(l) || isRanged(w)):
			standIn := *w
			standIn.Name = standInPrefix + w.Name
			// One that is there was left by somebody: the update removes it.
			if live.Object(kindSet, standIn.Name) != nil || !filled.fill(standIn, live, want) {
				return
			}
			standIns[standIn.Name], names[w.Name] = w.Name, standIn.Name
			if isMap(l) {
				switched.keep(l, live, want)
			}
		}
	})
	cleared, settled := want, want
	if len(names) > 0 {
		cleared, settled = copied(want), copied(want)
		for i := range switched.Objects {
			if o := &switched.Objects[i]; o.Kind == kindChain {
				o.Items = withStandIns(o.Items, names)
			}
		}
		for i := range cleared.Objects {
			if o := &cleared.Objects[i]; o.Kind == kindChain {
				o.Items = withStandIns(o.Items, names)
			}
		}
		for standIn := range standIns {
			o := *filled.Object(kindSet, standIn)
			switched.put(o)
			cleared.put(o)
			if isMap(&o) {
				settled.put(o)
			}
		}
	}
	return []*Snapshot{filled, switched, cleared, settled, want}, standIns
}

func copied(s *Snapshot) *Snapshot {
	return &Snapshot{Exists: true, Objects: slices.Clone(s.Objects)}
}

// put adds an object, or replaces the one of its kind and name.
func (s *Snapshot) put(o Object) {
	i, there := slices.BinarySearchFunc(s.Objects, o, compareObjects)
	if there {
		s.Objects[i] = o
		return
	}
	s.Objects = slices.Insert(s.Objects, i, o)
}

// fill adds a wanted set to the live table, with the chains that it leads to,
// as yet without rules. false when that cannot be.
func (s *Snapshot) fill(o Object, live, want *Snapshot) bool {
	var chains []Object
	for _, it := range o.Items {
		for _, r := range elementRefs(it.Raw) {
			to, now := want.Object(r.kind, r.name), live.Object(r.kind, r.name)
			switch {
			case to == nil || now != nil && mustReplace(now, to) || r.kind != kindChain:
				return false
			case now == nil:
				chain := *to
				chain.Items = nil
				chains = append(chains, chain)
			}
		}
	}
	for _, c := range chains {
		s.put(c)
	}
	s.put(o)
	return true
}

// keep leaves a live map in the wanted table, with the chains that it leads to,
// whose rules are gone. false when that cannot be.
func (s *Snapshot) keep(o *Object, live, want *Snapshot) bool {
	if o.Skipped {
		return false
	}
	var chains []Object
	for _, it := range o.Items {
		for _, r := range elementRefs(it.Raw) {
			to, now := want.Object(r.kind, r.name), live.Object(r.kind, r.name)
			switch {
			case now == nil || to != nil && mustReplace(now, to) || r.kind != kindChain:
				return false
			case to == nil:
				chain := *now
				chain.Items = nil
				chains = append(chains, chain)
			}
		}
	}
	for _, c := range chains {
		s.put(c)
	}
	s.put(*o)
	return true
}

func isMap(o *Object) bool { return setFlags(o)&(unix.NFT_SET_MAP|unix.NFT_SET_OBJECT) != 0 }

// isRanged reports whether the kernel keeps a set in a form for ranges.
func isRanged(o *Object) bool { return setFlags(o)&unix.NFT_SET_INTERVAL != 0 }

func setFlags(o *Object) uint32 {
	as, err := readAttrs(o.Raw)
	if err != nil {
		return 0
	}
	return be32(get(as, unix.NFTA_SET_FLAGS))
}

// ruleParts are the nested attributes of a rule's raw form.
var ruleParts = append([]uint16{rawAnonymous}, ruleNested...)

// withStandIns are rules that use stand-ins where they use the sets.
func withStandIns(items []Item, names map[string]string) []Item {
	out := slices.Clone(items)
	for i, it := range out {
		uses := slices.ContainsFunc(ruleRefs(it.Raw), func(r ref) bool { return r.kind == kindSet && names[r.name] != "" })
		if !uses {
			continue
		}
		as, err := readAttrs(it.Raw)
		if err != nil {
			continue
		}
		var w writer
		for _, a := range as {
			data := a.data
			if a.typ == unix.NFTA_RULE_EXPRESSIONS {
				if changed, err := rewrite(data, names, nil); err == nil {
					data = changed
				}
			}
			w.bytes(rawType(a, ruleParts), data)
		}
		out[i].Raw = w.buf
		out[i].Text += " (stand-in)"
	}
	return out
}

// transaction makes the one transaction from one table to another.
func transaction(live, want *Snapshot, r *Ruleset, standIns map[string]string) *Batch {
	u := &updater{b: NewBatch(r), r: r, standIns: standIns, replaced: map[ref]bool{}}
	u.run(live, want)
	return u.b
}

// ref names an object that rules and elements can use.
type ref struct{ kind, name string }

type updater struct {
	b        *Batch
	r        *Ruleset
	standIns map[string]string
	// replaced are objects that are deleted and added again: whoever uses one
	// must be made anew too.
	replaced map[ref]bool
}

func (u *updater) run(live, want *Snapshot) {
	pair(live, want, func(l, w *Object) {
		if l != nil && w != nil && mustReplace(l, w) {
			u.replaced[ref{w.Kind, w.Name}] = true
		}
	})

	// What is new and uses nothing.
	pair(live, want, func(l, w *Object) {
		if w == nil {
			return
		}
		switch {
		case w.Kind == kindTable:
			if l == nil || l.Head != w.Head {
				u.addRaw(w)
			}
		case w.Kind != kindSet && w.Kind != kindChain && l == nil:
			u.addRaw(w)
		}
	})
	// What goes, from users to used: rules, elements, then what is replaced.
	pair(live, want, func(l, w *Object) {
		if l != nil && l.Kind == kindChain && len(l.Items) > 0 && u.newRules(l, w) {
			u.b.FlushChain(l.Name)
		}
	})
	pair(live, want, func(l, w *Object) {
		if l != nil && l.Kind == kindSet {
			u.removeElements(l, w)
		}
	})
	for _, kind := range []func(string) bool{isSet, isChain, isOther} {
		pair(live, want, func(l, w *Object) {
			if l != nil && w != nil && kind(w.Kind) && u.replaced[ref{w.Kind, w.Name}] {
				u.del(l)
			}
		})
	}
	// What comes, from used to users.
	for _, kind := range []func(string) bool{isOther, isChain, isSet} {
		pair(live, want, func(l, w *Object) {
			if w == nil || !kind(w.Kind) {
				return
			}
			again := u.replaced[ref{w.Kind, w.Name}]
			policy := l != nil && w.Kind == kindChain && l.Head != w.Head
			if again || policy || l == nil && !isOther(w.Kind) {
				u.addRaw(w)
			}
		})
	}
	meters, wanted := meterTexts(live), meterTexts(want)
	pair(live, want, func(l, w *Object) {
		if w == nil || w.Kind != kindSet {
			return
		}
		u.addElements(l, w)
		if l != nil && !u.replaced[ref{kindSet, w.Name}] && meters[w.Name] != wanted[w.Name] {
			u.b.FlushSet(w.Name)
		}
	})
	pair(live, want, func(l, w *Object) {
		if w == nil || w.Kind != kindChain || l != nil && !u.newRules(l, w) {
			return
		}
		for _, it := range w.Items {
			u.addRule(w.Name, it)
		}
	})
	// What is not wanted, from users to used.
	for _, kind := range []func(string) bool{isSet, isChain, isOther} {
		pair(live, want, func(l, w *Object) {
			if w == nil && kind(l.Kind) {
				u.del(l)
			}
		})
	}
}

func isSet(kind string) bool   { return kind == kindSet }
func isChain(kind string) bool { return kind == kindChain }
func isOther(kind string) bool { return kind != kindSet && kind != kindChain && kind != kindTable }

// mustReplace reports whether an object that both have must be made anew.
func mustReplace(l, w *Object) bool {
	switch w.Kind {
	case kindTable:
		return false
	case kindChain:
		// The policy is all that changes in place.
		return !bytes.Equal(withoutPolicy(l.Raw), withoutPolicy(w.Raw))
	case kindSet:
		return setChange(l, w) == replaceSet
	}
	return l.Head != w.Head
}

// The ways to bring a set that exists to what it should be.
const (
	keepSet    = iota // its elements are right, or nobody's business
	deltaSet          // some elements differ
	refillSet         // it is emptied and filled, which packets do not see
	replaceSet        // it is deleted and added under the same name
)

func setChange(l, w *Object) int {
	if l.Head != w.Head {
		return replaceSet
	}
	if l.Skipped || w.Skipped {
		d, _ := compareObject(l, w)
		switch {
		case !d.Definition && !d.Elements:
			return keepSet
		case isRanged(w) && declaredSize(w) == 0:
			return refillSet
		}
		return replaceSet
	}
	lacks, extra := minus(w.Items, l.Items), minus(l.Items, w.Items)
	// Deleted elements count against the declared size until the transaction
	// is done.
	if size := declaredSize(w); size != 0 && len(l.Items)+len(lacks) > size {
		return replaceSet
	}
	// Deleting an element that has just run out would fail the transaction.
	if slices.ContainsFunc(extra, func(it Item) bool { return strings.Contains(it.Text, " timeout ") }) {
		return refillSet
	}
	return deltaSet
}

// declaredSize is the largest number of elements, 0 for no limit.
func declaredSize(o *Object) int {
	as, err := readAttrs(o.Raw)
	if err != nil {
		return 0
	}
	desc, err := readAttrs(get(as, unix.NFTA_SET_DESC))
	if err != nil {
		return 0
	}
	return int(be32(get(desc, unix.NFTA_SET_DESC_SIZE)))
}

func withoutPolicy(raw []byte) []byte {
	as, err := readAttrs(raw)
	if err != nil {
		return raw
	}
	return rawOf(as, []uint16{unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_TYPE, chainFlags}, chainNested)
}

// newRules reports whether the rules of a live chain must go: because the chain
// is not wanted or replaced, its rules differ, or they use what is replaced.
func (u *updater) newRules(l, w *Object) bool {
	if w == nil || u.replaced[ref{kindChain, w.Name}] || !slices.EqualFunc(l.Items, w.Items, sameItem) {
		return true
	}
	return slices.ContainsFunc(w.Items, func(it Item) bool { return u.usesReplaced(ruleRefs(it.Raw)) })
}

func (u *updater) usesReplaced(refs []ref) bool {
	return slices.ContainsFunc(refs, func(r ref) bool { return u.replaced[r] })
}

// delta gives the elements to delete from and to add to a set that stays.
func (u *updater) delta(l, w *Object) (del, add []Item) {
	del, add = minus(l.Items, w.Items), minus(w.Items, l.Items)
	for _, it := range l.Items {
		if u.usesReplaced(elementRefs(it.Raw)) && !containsItem(del, it) {
			del, add = append(del, it), append(add, it)
		}
	}
	return del, add
}

func containsItem(items []Item, it Item) bool {
	return slices.ContainsFunc(items, func(o Item) bool { return sameItem(o, it) })
}

func (u *updater) removeElements(l, w *Object) {
	if w == nil || u.replaced[ref{kindSet, l.Name}] {
		// Older kernels do not let go of what a map leads to when it is deleted.
		if isMap(l) {
			u.b.FlushSet(l.Name)
		}
		return
	}
	switch setChange(l, w) {
	case refillSet:
		u.b.FlushSet(l.Name)
	case deltaSet:
		del, _ := u.delta(l, w)
		u.rawElements(unix.NFT_MSG_DELSETELEM, 0, l.Name, del)
	}
}

func (u *updater) addElements(l, w *Object) {
	if l != nil && !u.replaced[ref{kindSet, w.Name}] {
		switch setChange(l, w) {
		case keepSet:
			return
		case deltaSet:
			_, add := u.delta(l, w)
			u.rawElements(unix.NFT_MSG_NEWSETELEM, create, w.Name, add)
			return
		}
	}
	if !w.Skipped {
		u.rawElements(unix.NFT_MSG_NEWSETELEM, create, w.Name, w.Items)
		return
	}
	if s := u.set(w.Name); s != nil {
		u.b.AddElements(s, s.Elements)
	} else if w.Count != 0 {
		u.b.fail("set "+w.Name, errors.New("its elements are needed and are not known: they were not read"))
	}
}

// set gives a set of the ruleset by name, a stand-in under its own.
func (u *updater) set(name string) *Set {
	if u.r == nil {
		return nil
	}
	real := name
	if of := u.standIns[name]; of != "" {
		real = of
	}
	i := slices.IndexFunc(u.r.Sets, func(s *Set) bool { return s.Name == real })
	if i < 0 {
		return nil
	}
	s := *u.r.Sets[i]
	s.Name = name
	return &s
}

func (u *updater) rawElements(typ, flags uint16, set string, items []Item) {
	l := u.b.list(typ, flags, set, "set "+set, 0, nil)
	for _, it := range items {
		raw := it.Raw
		if typ == unix.NFT_MSG_DELSETELEM {
			raw = keysOnly(raw)
		}
		l.add(func(w *writer) { w.buf = append(w.buf, raw...) })
	}
	l.close()
}

// keysOnly reduces list entries to what names the elements.
func keysOnly(raw []byte) []byte {
	entries, err := readAttrs(raw)
	if err != nil {
		return raw
	}
	var w writer
	for _, e := range entries {
		as, err := readAttrs(e.data)
		if err != nil {
			return raw
		}
		at := w.nest(unix.NFTA_LIST_ELEM)
		w.buf = append(w.buf, rawOf(as, []uint16{unix.NFTA_SET_ELEM_KEY, setElemKeyEnd, unix.NFTA_SET_ELEM_FLAGS}, elementNested)...)
		w.end(at)
	}
	return w.buf
}

// elementRefs are the chains and objects that an element uses.
func elementRefs(raw []byte) []ref {
	entries, err := readAttrs(raw)
	if err != nil {
		return nil
	}
	var refs []ref
	for _, e := range entries {
		as, err := readAttrs(e.data)
		if err != nil {
			continue
		}
		if chain := verdictChain(get(as, unix.NFTA_SET_ELEM_DATA)); chain != "" {
			refs = append(refs, ref{kindChain, chain})
		}
		if name := cstr(get(as, unix.NFTA_SET_ELEM_OBJREF)); name != "" {
			for _, kind := range objectKinds {
				refs = append(refs, ref{kind, name})
			}
		}
	}
	return refs
}

// ruleRefs are the sets, chains, objects and flow tables that a rule uses.
func ruleRefs(raw []byte) []ref {
	as, err := readAttrs(raw)
	if err != nil {
		return nil
	}
	es, err := readExpressions(get(as, unix.NFTA_RULE_EXPRESSIONS))
	if err != nil {
		return nil
	}
	var refs []ref
	for _, e := range es {
		switch e.name {
		case "lookup", "dynset":
			refs = append(refs, ref{kindSet, cstr(get(e.attrs, 1))})
		case "objref":
			if name := get(e.attrs, unix.NFTA_OBJREF_SET_NAME); name != nil {
				refs = append(refs, ref{kindSet, cstr(name)})
			} else {
				refs = append(refs, ref{objectKind(e.num(unix.NFTA_OBJREF_IMM_TYPE)), cstr(get(e.attrs, unix.NFTA_OBJREF_IMM_NAME))})
			}
		case "immediate":
			if chain := verdictChain(get(e.attrs, unix.NFTA_IMMEDIATE_DATA)); chain != "" {
				refs = append(refs, ref{kindChain, chain})
			}
		case "flow_offload":
			refs = append(refs, ref{kindFlowtable, cstr(get(e.attrs, 1))})
		}
	}
	for _, a := range as {
		if a.typ != rawAnonymous {
			continue
		}
		parts, err := readAttrs(a.data)
		if err != nil {
			continue
		}
		for _, p := range parts {
			if p.typ == rawSetElement {
				refs = append(refs, elementRefs(p.data)...)
			}
		}
	}
	return refs
}

// meterTexts gives, for each set, what rules count in its elements.
func meterTexts(s *Snapshot) map[string]string {
	texts := map[string][]string{}
	for _, o := range s.Objects {
		if o.Kind != kindChain {
			continue
		}
		for _, it := range o.Items {
			as, err := readAttrs(it.Raw)
			if err != nil {
				continue
			}
			es, _ := readExpressions(get(as, unix.NFTA_RULE_EXPRESSIONS))
			for _, e := range es {
				if e.name != "dynset" {
					continue
				}
				set := cstr(get(e.attrs, 1))
				for _, a := range e.attrs {
					if a.typ == 7 || a.typ == 10 { // one expression, or a list
						texts[set] = append(texts[set], hex.EncodeToString(a.data))
					}
				}
			}
		}
	}
	joined := map[string]string{}
	for set, ts := range texts {
		slices.Sort(ts)
		joined[set] = strings.Join(slices.Compact(ts), " ")
	}
	return joined
}

// addRaw adds an object with the attributes that a dump gave.
func (u *updater) addRaw(o *Object) {
	b := u.b
	add := func(typ uint16, nameAttr uint16) {
		b.begin(typ, create, "add "+o.Kind, o.Kind+" "+o.Name)
		if nameAttr != 0 {
			b.w.str(nameAttr, o.Name)
		}
		b.w.buf = append(b.w.buf, o.Raw...)
		b.finish()
	}
	switch o.Kind {
	case kindTable:
		add(unix.NFT_MSG_NEWTABLE, 0)
	case kindSet:
		b.newSet(o.Name, "set "+o.Name, func(w *writer) { w.buf = append(w.buf, o.Raw...) })
	case kindChain:
		add(unix.NFT_MSG_NEWCHAIN, unix.NFTA_CHAIN_NAME)
	case kindFlowtable:
		add(unix.NFT_MSG_NEWFLOWTABLE, flowtableName)
	default:
		add(unix.NFT_MSG_NEWOBJ, unix.NFTA_OBJ_NAME)
	}
}

func (u *updater) del(o *Object) {
	b := u.b
	switch o.Kind {
	case kindSet:
		b.DelSet(o.Name)
	case kindChain:
		b.DelChain(o.Name)
	case kindFlowtable:
		b.begin(unix.NFT_MSG_DELFLOWTABLE, 0, "delete flowtable", "flowtable "+o.Name)
		b.w.str(flowtableName, o.Name)
		b.finish()
	default:
		as, err := readAttrs(o.Raw)
		if err != nil {
			b.fail(o.Kind+" "+o.Name, err)
			return
		}
		b.delObject(be32(get(as, unix.NFTA_OBJ_TYPE)), o.Kind, o.Name)
	}
}

// addRule adds a rule from its raw form, with its anonymous sets.
func (u *updater) addRule(chain string, it Item) {
	b, label := u.b, ruleLabel(chain, it.Comment)
	as, err := readAttrs(it.Raw)
	if err != nil {
		b.fail(label, err)
		return
	}
	ids := map[string]uint32{}
	var own []attr
	for _, a := range as {
		if a.typ != rawAnonymous {
			own = append(own, a)
			continue
		}
		parts, err := readAttrs(a.data)
		if err != nil {
			b.fail(label, err)
			return
		}
		definition := get(parts, rawSetDefinition)
		id := b.newSet(anonymousName, label, func(w *writer) { w.buf = append(w.buf, definition...) })
		ids[cstr(get(parts, rawSetName))] = id
		l := b.list(unix.NFT_MSG_NEWSETELEM, create, anonymousName, label, id, nil)
		for _, p := range parts {
			if p.typ == rawSetElement {
				l.add(func(w *writer) { w.buf = append(w.buf, p.data...) })
			}
		}
		l.close()
	}
	b.newRule(unix.NLM_F_APPEND, chain, label, func(w *writer) {
		for _, a := range own {
			data := a.data
			if a.typ == unix.NFTA_RULE_EXPRESSIONS {
				if data, err = rewrite(data, nil, ids); err != nil {
					b.fail(label, err)
				}
			}
			w.bytes(rawType(a, ruleNested), data)
		}
	})
}

// setAttrs are the attributes by which expressions name a set, and by which they
// name one of the same transaction.
var setAttrs = map[string][2]uint16{
	"lookup": {unix.NFTA_LOOKUP_SET, unix.NFTA_LOOKUP_SET_ID},
	"dynset": {unix.NFTA_DYNSET_SET_NAME, unix.NFTA_DYNSET_SET_ID},
	"objref": {unix.NFTA_OBJREF_SET_NAME, unix.NFTA_OBJREF_SET_ID},
}

// rewrite turns the expressions of a dump into ones that the kernel takes. It
// gives sets other names, and points to the anonymous sets that the transaction
// adds by id, since the kernel gives them names of its own. It leaves out the
// timeout of 0 that the kernel lists, but refuses, where a set has no timeouts.
func rewrite(list []byte, names map[string]string, ids map[string]uint32) ([]byte, error) {
	entries, err := readAttrs(list)
	if err != nil {
		return nil, err
	}
	var w writer
	for _, entry := range entries {
		e := readExpression(entry.data)
		at, known := setAttrs[e.name]
		if !e.ok || !known {
			w.bytes(entry.typ|unix.NLA_F_NESTED, entry.data)
			continue
		}
		name := cstr(get(e.attrs, at[0]))
		id, mine := ids[name]
		elem := w.nest(unix.NFTA_LIST_ELEM)
		w.str(unix.NFTA_EXPR_NAME, e.name)
		data := w.nest(unix.NFTA_EXPR_DATA)
		for _, a := range e.attrs {
			switch {
			case a.typ == at[0] && mine:
				w.str(at[0], anonymousName)
				w.u32(at[1], id)
			case a.typ == at[0] && names[name] != "":
				w.str(at[0], names[name])
			case a.typ == at[1]:
			case e.name == "dynset" && a.typ == unix.NFTA_DYNSET_TIMEOUT && isZero(a.data):
			default:
				w.bytes(a.typ, a.data)
			}
		}
		w.end(data)
		w.end(elem)
	}
	if w.tooLong {
		return nil, errors.New("a rule is larger than a netlink attribute")
	}
	return w.buf, nil
}
