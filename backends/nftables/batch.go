package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Batch is a transaction of table inet xfwc: [Conn.Commit] sends it, and the
// kernel takes all of it or nothing. After Cut it is several transactions, sent
// one after another. The zero value is empty and ready.
//
// What cannot be encoded is remembered: Err gives the first reason, and Commit
// sends nothing then.
type Batch struct {
	part
	before []part // what stands before the last Cut
	// ranged are the maps whose keys hold ranges: a lookup of one has one more
	// expression.
	ranged map[string]bool
	err    error
}

// part is one transaction.
type part struct {
	w       writer
	msgs    []message
	lastSet uint32
	// undo takes back what the parts before have done, when this one is refused.
	undo *Batch
}

// message is what an error is traced to.
type message struct {
	at    int // offset in the batch
	label string
	op    string
	set   *Set // of an element list
}

// NewBatch makes an empty transaction that may name the sets of a ruleset
// without adding them.
func NewBatch(r *Ruleset) *Batch {
	b := &Batch{}
	if r != nil {
		for _, s := range r.Sets {
			b.know(s)
		}
	}
	return b
}

func (b *Batch) know(s *Set) {
	if b.ranged == nil {
		b.ranged = map[string]bool{}
	}
	b.ranged[s.Name] = s.Interval && len(s.Key) > 1
}

// Cut ends a transaction: what is added from now on is one of its own, made
// when the one before has been made. Where the kernel refuses it, the one before
// stays.
func (b *Batch) Cut() {
	if len(b.msgs) > 0 {
		b.before = append(b.before, b.part)
		b.part = part{}
	}
}

// then appends the transactions of another batch.
func (b *Batch) then(next *Batch) {
	b.Cut()
	b.fail("", next.err)
	b.before = append(b.before, next.before...)
	b.part = next.part
	if next.ranged != nil {
		b.ranged = next.ranged
	}
}

// parts are the transactions, in order.
func (b *Batch) parts() []part {
	if len(b.msgs) == 0 {
		return b.before
	}
	return append(slices.Clone(b.before), b.part)
}

// Len is the number of messages; 0 means that there is nothing to do.
func (b *Batch) Len() int {
	n := 0
	for _, p := range b.parts() {
		n += len(p.msgs)
	}
	return n
}

// Transactions is how many transactions the batch is.
func (b *Batch) Transactions() int { return len(b.parts()) }

// Bytes is the size of the batch on the wire, without its frames.
func (b *Batch) Bytes() int {
	n := 0
	for _, p := range b.parts() {
		n += len(p.w.buf)
	}
	return n
}

// Err is the first thing that could not be encoded.
func (b *Batch) Err() error { return b.err }

func (b *Batch) fail(label string, err error) {
	if b.err != nil || err == nil {
		return
	}
	if b.err = err; label != "" {
		b.err = fmt.Errorf("%s: %w", label, err)
	}
}

// begin opens a message; finish closes it.
func (b *Batch) begin(typ uint16, flags uint16, op, label string) {
	b.msgs = append(b.msgs, message{at: len(b.w.buf), label: label, op: op})
	b.w.buf = appendHeader(b.w.buf, nfnlSubsysNFT<<8|typ, unix.NLM_F_REQUEST|flags, uint32(len(b.msgs)), familyInet)
	b.w.str(unix.NFTA_TABLE_NAME, TableName) // attribute 1 of every kind of message
}

func (b *Batch) finish() {
	m := b.msgs[len(b.msgs)-1]
	binary.NativeEndian.PutUint32(b.w.buf[m.at:], uint32(len(b.w.buf)-m.at))
	if b.w.tooLong {
		b.fail(m.label, fmt.Errorf("it does not fit one netlink attribute of %d bytes", maxAttrLen))
	}
}

// appendHeader appends a netlink header, whose length finish writes, and the
// header of netfilter.
func appendHeader(buf []byte, typ, flags uint16, seq uint32, family byte) []byte {
	buf = binary.NativeEndian.AppendUint32(buf, 0)
	buf = binary.NativeEndian.AppendUint16(buf, typ)
	buf = binary.NativeEndian.AppendUint16(buf, flags)
	buf = binary.NativeEndian.AppendUint32(buf, seq)
	buf = binary.NativeEndian.AppendUint32(buf, 0) // the kernel fills in the sender
	buf = append(buf, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(buf, 0)
}

const create = unix.NLM_F_CREATE

// AddTable adds the table, or wakes it when it is there and dormant. The
// kernel keeps the comment of a table that exists.
func (b *Batch) AddTable(comment string) {
	b.begin(unix.NFT_MSG_NEWTABLE, create, "add table", TableName)
	b.w.u32(unix.NFTA_TABLE_FLAGS, 0)
	b.comment(tableUserdata, comment)
	b.finish()
}

// comment appends a comment as user data of anything but a set.
func (b *Batch) comment(typ uint16, s string) {
	if s = safeText(s, maxComment); s != "" {
		b.w.bytes(typ, udataString(nil, udataComment, s))
	}
}

// DelTable deletes the table and all that is in it.
func (b *Batch) DelTable() {
	b.begin(unix.NFT_MSG_DELTABLE, 0, "delete table", TableName)
	b.finish()
}

// AddCounter adds a named counter; one that exists keeps its value and comment.
func (b *Batch) AddCounter(c *Counter) {
	b.begin(unix.NFT_MSG_NEWOBJ, create, "add counter", "counter "+c.Name)
	b.w.str(unix.NFTA_OBJ_NAME, c.Name)
	b.w.u32(unix.NFTA_OBJ_TYPE, objTypeCounter)
	b.comment(objUserdata, c.Comment)
	at := b.w.nest(unix.NFTA_OBJ_DATA)
	b.w.u64(unix.NFTA_COUNTER_BYTES, 0)
	b.w.u64(unix.NFTA_COUNTER_PACKETS, 0)
	b.w.end(at)
	b.finish()
}

// DelCounter deletes a named counter that no rule uses any more.
func (b *Batch) DelCounter(name string) { b.delObject(objTypeCounter, "counter", name) }

func (b *Batch) delObject(typ uint32, kind, name string) {
	b.begin(unix.NFT_MSG_DELOBJ, 0, "delete "+kind, kind+" "+name)
	b.w.str(unix.NFTA_OBJ_NAME, name)
	b.w.u32(unix.NFTA_OBJ_TYPE, typ)
	b.finish()
}

// AddSet adds a set or map without its elements. Where one of the name exists,
// the kernel refuses other flags.
func (b *Batch) AddSet(s *Set) {
	b.know(s)
	b.fail("set "+s.Name, s.checkDefinition())
	b.newSet(s.Name, "set "+s.Name, s.writeDefinition)
}

func (b *Batch) newSet(name, label string, definition func(*writer)) uint32 {
	b.lastSet++
	b.begin(unix.NFT_MSG_NEWSET, create, "add set", label)
	b.w.str(unix.NFTA_SET_NAME, name)
	b.w.u32(unix.NFTA_SET_ID, b.lastSet)
	definition(&b.w)
	b.finish()
	return b.lastSet
}

// DelSet deletes a set or map with its elements.
func (b *Batch) DelSet(name string) {
	b.begin(unix.NFT_MSG_DELSET, 0, "delete set", "set "+name)
	b.w.str(unix.NFTA_SET_NAME, name)
	b.finish()
}

// FlushSet empties a set or map.
func (b *Batch) FlushSet(name string) {
	b.begin(unix.NFT_MSG_DELSETELEM, 0, "flush set", "set "+name)
	b.w.str(unix.NFTA_SET_ELEM_LIST_SET, name)
	b.finish()
}

// AddElements adds elements to a set or map.
func (b *Batch) AddElements(s *Set, es []Element) {
	b.elementLists(unix.NFT_MSG_NEWSETELEM, create, s, es)
}

// DelElements deletes elements, which must be there.
func (b *Batch) DelElements(s *Set, es []Element) {
	b.elementLists(unix.NFT_MSG_DELSETELEM, 0, s, es)
}

func (b *Batch) elementLists(typ, flags uint16, s *Set, es []Element) {
	l := b.list(typ, flags, s.Name, "set "+s.Name, 0, s)
	b.w.buf = slices.Grow(b.w.buf, len(es)*s.elementSize())
	var k key
	var e *Element
	write := func(w *writer) {
		if err := s.writeElement(w, &k, e); err != nil {
			b.fail("set "+s.Name, err)
		}
	}
	for _, e = range s.inOrder(es) {
		l.add(write)
	}
	l.close()
}

// elementList writes elements in as many messages as their length needs.
type elementList struct {
	b          *Batch
	typ, flags uint16
	name       string
	label      string
	id         uint32 // of a set of this transaction that has no name
	set        *Set
	open       bool
	nest       int
	first, n   int
}

func (b *Batch) list(typ, flags uint16, name, label string, id uint32, s *Set) *elementList {
	return &elementList{b: b, typ: typ, flags: flags, name: name, label: label, id: id, set: s}
}

// add appends what write writes: whole list entries that belong together.
func (l *elementList) add(write func(*writer)) {
	w := &l.b.w
	if !l.open {
		l.start()
	}
	at := len(w.buf)
	write(w)
	if len(w.buf)-l.nest > maxAttrLen && at > l.nest+nlaHeader {
		entry := append([]byte(nil), w.buf[at:]...)
		w.buf = w.buf[:at]
		l.close()
		l.start()
		w.buf = append(w.buf, entry...)
	}
	l.n++
}

func (l *elementList) start() {
	op := "add elements"
	if l.typ == unix.NFT_MSG_DELSETELEM {
		op = "delete elements"
	}
	l.first = l.n
	l.b.begin(l.typ, l.flags, op, l.label)
	l.b.msgs[len(l.b.msgs)-1].set = l.set
	l.b.w.str(unix.NFTA_SET_ELEM_LIST_SET, l.name)
	if l.id != 0 {
		l.b.w.u32(unix.NFTA_SET_ELEM_LIST_SET_ID, l.id)
	}
	l.nest = l.b.w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	l.open = true
}

func (l *elementList) close() {
	if !l.open {
		return
	}
	l.b.w.end(l.nest)
	l.b.finish()
	m := &l.b.msgs[len(l.b.msgs)-1]
	m.label = fmt.Sprintf("%s elements %d to %d", l.label, l.first+1, l.n)
	l.open = false
}

// AddChain adds a chain. Of a base chain that exists only the policy changes.
func (b *Batch) AddChain(c *Chain) {
	b.begin(unix.NFT_MSG_NEWCHAIN, create, "add chain", "chain "+c.Name)
	b.w.str(unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != "" {
		num, ok := hooks[c.Hook]
		if !ok {
			b.fail("chain "+c.Name, fmt.Errorf("unknown hook %q", c.Hook))
		}
		hook := b.w.nest(unix.NFTA_CHAIN_HOOK)
		b.w.u32(hookAttrNum, num)
		b.w.u32(hookAttrPriority, uint32(int32(c.Priority)))
		b.w.end(hook)
		b.w.str(unix.NFTA_CHAIN_TYPE, "filter")
		b.w.u32(unix.NFTA_CHAIN_POLICY, uint32(verdictCodes[Accept]))
	}
	b.comment(chainUserdata, c.Comment)
	b.finish()
}

// DelChain deletes a chain that has no rules and that nothing goes to.
func (b *Batch) DelChain(name string) {
	b.begin(unix.NFT_MSG_DELCHAIN, 0, "delete chain", "chain "+name)
	b.w.str(unix.NFTA_CHAIN_NAME, name)
	b.finish()
}

// FlushChain deletes the rules of a chain.
func (b *Batch) FlushChain(name string) {
	b.begin(unix.NFT_MSG_DELRULE, 0, "flush chain", "chain "+name)
	b.w.str(unix.NFTA_RULE_CHAIN, name)
	b.finish()
}

// AddRule puts a rule at the end of a chain. The label names it in errors; the
// rule's comment is used when it is empty.
func (b *Batch) AddRule(chain string, r *Rule, label string) {
	b.rule(unix.NLM_F_APPEND, chain, r, label)
}

// InsertRule puts a rule at the beginning of a chain.
func (b *Batch) InsertRule(chain string, r *Rule, label string) {
	b.rule(0, chain, r, label)
}

func (b *Batch) rule(flags uint16, chain string, r *Rule, label string) {
	if label == "" {
		label = ruleLabel(chain, r.Comment)
	}
	enc := &ruleEncoder{anonymous: func(a *anonymousSet) uint32 {
		id := b.newSet(anonymousName, label, a.writeDefinition)
		l := b.list(unix.NFT_MSG_NEWSETELEM, create, anonymousName, label, id, nil)
		for _, k := range a.elements {
			l.add(func(w *writer) { a.writeElement(w, k) })
		}
		l.close()
		return id
	}}
	if len(r.Stmts) == 0 {
		b.fail(label, errors.New("a rule needs a statement"))
	}
	enc.stmts(r.Stmts, func(set string) bool { return b.ranged[set] })
	b.fail(label, enc.err)
	b.newRule(flags, chain, label, func(w *writer) {
		at := w.nest(unix.NFTA_RULE_EXPRESSIONS)
		w.buf = append(w.buf, enc.w.buf...)
		w.end(at)
		if note := safeText(r.Comment, maxComment); note != "" {
			w.bytes(unix.NFTA_RULE_USERDATA, udataString(nil, udataComment, note))
		}
	})
}

func ruleLabel(chain, comment string) string {
	if comment == "" {
		return "rule of chain " + chain
	}
	return fmt.Sprintf("rule of chain %s, %s", chain, safeText(comment, maxComment))
}

func (b *Batch) newRule(flags uint16, chain, label string, write func(*writer)) {
	b.begin(unix.NFT_MSG_NEWRULE, create|flags, "add rule", label)
	b.w.str(unix.NFTA_RULE_CHAIN, chain)
	write(&b.w)
	b.finish()
}

// DelRule deletes the rule of a handle, which a dump gives.
func (b *Batch) DelRule(chain string, handle uint64) {
	b.begin(unix.NFT_MSG_DELRULE, 0, "delete rule", fmt.Sprintf("rule %d of chain %s", handle, chain))
	b.w.str(unix.NFTA_RULE_CHAIN, chain)
	b.w.u64(unix.NFTA_RULE_HANDLE, handle)
	b.finish()
}

// Full adds a whole ruleset to a namespace that has no table inet xfwc.
func Full(r *Ruleset) *Batch { return full(r.withDigests()) }

func full(r *Ruleset) *Batch {
	b := NewBatch(r)
	b.AddTable(r.Comment)
	// Chains come before elements and rules, which may go to them.
	for _, c := range r.Chains {
		b.AddChain(c)
	}
	for _, c := range r.Counters {
		b.AddCounter(c)
	}
	for _, s := range r.Sets {
		b.AddSet(s)
		b.AddElements(s, s.Elements)
	}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			b.AddRule(c.Name, rule, "")
		}
	}
	return b
}
