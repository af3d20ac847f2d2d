package nftables

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Snapshot is what the kernel has under the name inet xfwc, in canonical form:
// [Compare] finds no difference between two snapshots exactly when the tables
// do the same. Both must come from the same kernel.
type Snapshot struct {
	// Exists is false when there is no such table; the rest is empty then.
	Exists bool
	// Generation of the namespace at which all of it was read.
	Generation uint32
	// Objects in the order of kind and name.
	Objects []Object
}

// Object is the table itself, a counter, a set or map, a chain, or something
// foreign that somebody put into the table.
type Object struct {
	// Kind is "table", "counter", "set" (also maps), "chain"; for foreign
	// things "flowtable", "quota", "limit", "ct helper" or "object N".
	Kind string
	Name string
	// Head is the definition in canonical form.
	Head string
	// Comment is the digest of a large set's elements, by which it is compared
	// where they are not read. "" for small sets and all else.
	Comment string
	// Note is the comment of the object. The kernel keeps it as long as the
	// object lives, which an update does not end for a comment's sake: it would
	// cost counts, or packets. So it may be older than the policy, is shown to
	// people and never compared.
	Note string
	// Items are the rules of a chain in their order, or the elements of a set in
	// the order of their keys.
	Items []Item
	// Count is the number of elements of a set: that of Items, or, when they
	// were not read, what the kernel counts. -1 is unknown: before 6.16, and for
	// an unread set of ranges that holds the highest address of all.
	Count int
	// Skipped is set when the elements were not read: of large sets by
	// DumpOptions, of dynamic sets always, for what rules put there is never
	// drift (Count is 0 then).
	Skipped bool
	// Raw are the attributes by which the object can be added again.
	Raw []byte
}

// Item is a rule or an element.
type Item struct {
	// Text is the canonical form, without the comment.
	Text string
	// Comment of a rule is the policy line it comes from.
	Comment string
	// Handle of a rule, by which it can be deleted.
	Handle uint64
	// Raw is all that is needed to add a rule, with its anonymous sets, or an
	// element again.
	Raw []byte
}

// Object finds an object of the snapshot, nil when it is not there.
func (s *Snapshot) Object(kind, name string) *Object {
	i, ok := slices.BinarySearchFunc(s.Objects, Object{Kind: kind, Name: name}, compareObjects)
	if !ok {
		return nil
	}
	return &s.Objects[i]
}

func compareObjects(a, b Object) int {
	return cmp.Or(cmp.Compare(kindRank(a.Kind), kindRank(b.Kind)), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
}

func kindRank(kind string) int {
	if i := slices.Index([]string{kindTable, kindCounter, kindSet, kindChain}, kind); i >= 0 {
		return i
	}
	return 99
}

// Kinds of objects.
const (
	kindTable     = "table"
	kindCounter   = "counter"
	kindSet       = "set"
	kindChain     = "chain"
	kindFlowtable = "flowtable"
)

// DumpOptions say what a dump leaves out.
type DumpOptions struct {
	// SkipElements reports whether to leave the elements of a set unread; size
	// is their number, or the declared size where the kernel does not count. nil
	// reads all. Reading is quadratic in the kernel: a million ranges take
	// minutes.
	SkipElements func(set string, size int) bool
}

// dumpTries is how often a dump is taken anew when the ruleset changed during
// it: tables of others change too.
const dumpTries = 20

// Dump reads table inet xfwc, consistent in itself: it starts anew when the
// generation changes meanwhile.
func (c *Conn) Dump(o DumpOptions) (*Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for try := range dumpTries {
		if try > 0 {
			time.Sleep(time.Duration(try) * time.Millisecond)
		}
		gen, err := c.generation()
		if err != nil {
			return nil, err
		}
		settled, err := c.settled(gen)
		if err != nil {
			return nil, fmt.Errorf("read table inet %s: %w", TableName, explainErrno(err))
		}
		if !settled {
			continue
		}
		t, err := c.read(o)
		if errors.Is(err, errDumpInterrupted) {
			continue
		}
		after, genErr := c.generation()
		if genErr != nil {
			return nil, genErr
		}
		if after != gen {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read table inet %s: %w", TableName, explainErrno(err))
		}
		s, err := t.snapshot()
		if err != nil {
			return nil, fmt.Errorf("read table inet %s: %w", TableName, err)
		}
		if try < believeAfter && t.moved(s) {
			continue
		}
		s.Generation = gen
		return s, nil
	}
	return nil, ErrInterrupted
}

// believeAfter is how often a dump is taken anew when it does not agree with the
// kernel's own counts. After that it is believed: a kernel may count otherwise.
const believeAfter = 5

// moved reports whether something was listed twice or left out. Dumps go on
// from one piece to the next by position, and positions change without a new
// generation: when somebody prepares a transaction in the table, or takes it
// back, and when the kernel grows or shrinks a hash table in the background.
func (t *tableDump) moved(s *Snapshot) bool {
	if !s.Exists {
		return false
	}
	as, err := readAttrs(t.table)
	if err != nil {
		return true
	}
	if use := get(as, unix.NFTA_TABLE_USE); len(use) == 4 {
		// Sets without a name belong to their rules; kernels differ in whether
		// they count for the table.
		all := len(t.objects) + len(t.flowtables) + len(t.sets) + len(t.chains)
		if n := int(be32(use)); n != all && n != all-t.anonymous() {
			return true
		}
	}
	for i := range s.Objects {
		o := &s.Objects[i]
		if i > 0 && compareObjects(s.Objects[i-1], *o) == 0 {
			return true
		}
		if o.Kind != kindChain {
			continue
		}
		handles := map[uint64]bool{}
		for _, it := range o.Items {
			if handles[it.Handle] {
				return true
			}
			handles[it.Handle] = true
		}
	}
	for _, b := range t.sets {
		h, err := readSet(b)
		if err != nil || h.anonymous() || h.dynamic() || h.count < 0 || h.shape.interval || h.flags&unix.NFT_SET_TIMEOUT != 0 {
			continue // not counted one by one, or elements come and go by themselves
		}
		if o := s.Object(kindSet, h.name); o != nil && !o.Skipped && len(o.Items) != h.count {
			return true
		}
	}
	return t.rulesMoved
}

// anonymous is the number of sets that belong to rules.
func (t *tableDump) anonymous() int {
	n := 0
	for _, b := range t.sets {
		if h, err := readSet(b); err == nil && h.anonymous() {
			n++
		}
	}
	return n
}

// tableDump holds the bodies of the kernel's answers.
type tableDump struct {
	table      []byte
	objects    [][]byte
	flowtables [][]byte
	sets       [][]byte
	chains     [][]byte
	rules      [][]byte
	// elements by set; no entry when they were not read.
	elements map[string][][]byte
	// open are unread sets that hold the highest value of all.
	open []string
	// rulesMoved is set when two lists of the rules differ.
	rulesMoved bool
}

func (c *Conn) read(o DumpOptions) (*tableDump, error) {
	t := &tableDump{elements: map[string][][]byte{}}
	inTable := func(w *writer) { w.str(unix.NFTA_TABLE_NAME, TableName) }
	err := c.ask(unix.NFT_MSG_GETTABLE, 0, familyInet, inTable, func(b []byte) error {
		t.table = bytes.Clone(b)
		return nil
	})
	if errors.Is(err, syscall.ENOENT) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	for _, q := range []struct {
		typ uint16
		to  *[][]byte
	}{
		{unix.NFT_MSG_GETOBJ, &t.objects},
		{unix.NFT_MSG_GETFLOWTABLE, &t.flowtables},
		{unix.NFT_MSG_GETSET, &t.sets},
		{unix.NFT_MSG_GETCHAIN, &t.chains},
		{unix.NFT_MSG_GETRULE, &t.rules},
	} {
		if *q.to, err = c.list(q.typ); err != nil {
			return nil, err
		}
	}
	size := 0
	for _, r := range t.rules {
		size += len(r)
	}
	if size > onePiece {
		// Nothing counts the rules of a table.
		again, err := c.list(unix.NFT_MSG_GETRULE)
		if err != nil {
			return nil, err
		}
		t.rulesMoved = !slices.EqualFunc(t.rules, again, sameHandle)
	}
	for _, b := range t.sets {
		h, err := readSet(b)
		if err != nil {
			return nil, err
		}
		size := h.count
		if size < 0 {
			size = int(h.size)
		}
		if h.dynamic() {
			continue
		}
		if !h.anonymous() && o.SkipElements != nil && o.SkipElements(h.name, size) {
			open, err := c.endsOpen(h)
			if err != nil {
				return nil, err
			}
			if open {
				t.open = append(t.open, h.name)
			}
			continue
		}
		lists := [][]byte{}
		err = c.ask(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, familyInet, func(w *writer) {
			w.str(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
			w.str(unix.NFTA_SET_ELEM_LIST_SET, h.name)
		}, func(b []byte) error {
			as, err := readAttrs(b)
			if list := get(as, unix.NFTA_SET_ELEM_LIST_ELEMENTS); list != nil {
				lists = append(lists, bytes.Clone(list))
			}
			return err
		})
		if errors.Is(err, syscall.ENOENT) {
			return nil, errDumpInterrupted // deleted since it was listed
		}
		if err != nil {
			return nil, err
		}
		t.elements[h.name] = lists
	}
	return t, nil
}

// onePiece is how much of a dump surely comes as one piece, which is consistent.
const onePiece = 2048

// list reads all of one kind that is in the table.
func (c *Conn) list(typ uint16) ([][]byte, error) {
	var out [][]byte
	err := c.ask(typ, unix.NLM_F_DUMP, familyInet,
		func(w *writer) { w.str(unix.NFTA_TABLE_NAME, TableName) },
		func(b []byte) error {
			// Attribute 1 is the table for all of them; some kernels list the
			// chains of every table.
			as, err := readAttrs(b)
			if err == nil && cstr(get(as, unix.NFTA_TABLE_NAME)) == TableName {
				out = append(out, bytes.Clone(b))
			}
			return err
		})
	return out, err
}

func sameHandle(a, b []byte) bool {
	x, errX := readAttrs(a)
	y, errY := readAttrs(b)
	return errX == nil && errY == nil && bytes.Equal(get(x, unix.NFTA_RULE_HANDLE), get(y, unix.NFTA_RULE_HANDLE))
}

// setHead is a set as the kernel lists it, without elements.
type setHead struct {
	name  string
	flags uint32
	attrs []attr
	size  uint32 // declared
	count int    // -1 when the kernel does not count
	shape setShape
}

func readSet(b []byte) (*setHead, error) {
	as, err := readAttrs(b)
	if err != nil {
		return nil, err
	}
	h := &setHead{name: cstr(get(as, unix.NFTA_SET_NAME)), flags: be32(get(as, unix.NFTA_SET_FLAGS)), attrs: as, count: -1}
	if b := get(as, setCount); len(b) == 4 {
		h.count = int(be32(b))
	}
	desc, err := readAttrs(get(as, unix.NFTA_SET_DESC))
	if err != nil {
		return nil, err
	}
	h.size = be32(get(desc, unix.NFTA_SET_DESC_SIZE))
	h.shape = setShape{keyType: be32(get(as, unix.NFTA_SET_KEY_TYPE)),
		interval: h.flags&unix.NFT_SET_INTERVAL != 0 && h.flags&setFlagConcat == 0 && !has(desc, setDescConcat)}
	return h, nil
}

func (h *setHead) dynamic() bool   { return h.flags&setFlagEval != 0 }
func (h *setHead) anonymous() bool { return h.flags&unix.NFT_SET_ANONYMOUS != 0 }

var setNames = map[uint16]attrName{
	unix.NFTA_SET_FLAGS: {"flags", asNumber}, unix.NFTA_SET_KEY_TYPE: {"key_type", asNumber},
	unix.NFTA_SET_KEY_LEN: {"key_len", asNumber}, unix.NFTA_SET_DATA_TYPE: {"data_type", asHex},
	unix.NFTA_SET_DATA_LEN: {"data_len", asNumber}, unix.NFTA_SET_POLICY: {"policy", asNumber},
	unix.NFTA_SET_TIMEOUT: {"timeout", asHex}, unix.NFTA_SET_GC_INTERVAL: {"gc_interval", asNumber},
	unix.NFTA_SET_OBJ_TYPE: {"object", asNumber}, setExpr: {"expr", asExpr}, setExprs: {"exprs", asExprs},
}

// headText is the definition. Of an anonymous set it leaves out the size too,
// which nft and the kernel count differently.
func (h *setHead) headText(anonymous func(string) string) (string, error) {
	text := headText(h.attrs, []uint16{unix.NFTA_SET_TABLE, unix.NFTA_SET_NAME, unix.NFTA_SET_ID, unix.NFTA_SET_DESC,
		unix.NFTA_SET_USERDATA, unix.NFTA_SET_PAD, setHandle, setBackend, setCount}, setNames, anonymous)
	desc, err := readAttrs(get(h.attrs, unix.NFTA_SET_DESC))
	if err != nil {
		return "", err
	}
	if h.size != 0 && !h.anonymous() {
		text += fmt.Sprintf(" size=%d", h.size)
	}
	for _, a := range desc {
		switch {
		case a.typ == setDescConcat:
			fields, err := readAttrs(a.data)
			if err != nil {
				return "", err
			}
			text += " fields="
			for i, f := range fields {
				fa, err := readAttrs(f.data)
				if err != nil {
					return "", err
				}
				if i > 0 {
					text += ","
				}
				text += fmt.Sprint(be32(get(fa, setFieldLen)))
			}
		case a.typ != unix.NFTA_SET_DESC_SIZE:
			text += fmt.Sprintf(" description%d=0x%x", a.typ, a.data)
		}
	}
	if merge := readUdata(h.userdata(), udataSetAutoMerge); !h.anonymous() && !isZero(merge) {
		text += " auto-merge"
	}
	return text, nil
}

func (h *setHead) userdata() []byte { return get(h.attrs, unix.NFTA_SET_USERDATA) }

var setKeep = []uint16{unix.NFTA_SET_FLAGS, unix.NFTA_SET_KEY_TYPE, unix.NFTA_SET_KEY_LEN, unix.NFTA_SET_DATA_TYPE,
	unix.NFTA_SET_DATA_LEN, unix.NFTA_SET_POLICY, unix.NFTA_SET_DESC, unix.NFTA_SET_TIMEOUT, unix.NFTA_SET_GC_INTERVAL,
	unix.NFTA_SET_USERDATA, unix.NFTA_SET_OBJ_TYPE, setExpr, setExprs}

// snapshot puts the answers into canonical form.
func (t *tableDump) snapshot() (*Snapshot, error) {
	s := &Snapshot{}
	if t.table == nil {
		return s, nil
	}
	s.Exists = true
	as, err := readAttrs(t.table)
	if err != nil {
		return nil, err
	}
	s.Objects = append(s.Objects, Object{
		Kind: kindTable, Name: TableName,
		Head: headText(as, []uint16{unix.NFTA_TABLE_NAME, unix.NFTA_TABLE_USE, 4 /* handle */, 5 /* pad */, tableUserdata},
			map[uint16]attrName{unix.NFTA_TABLE_FLAGS: {"flags", asNumber}}, nil),
		Note: cstr(readUdata(get(as, tableUserdata), udataComment)),
		Raw:  rawOf(as, []uint16{unix.NFTA_TABLE_FLAGS, tableUserdata}, nil),
	})
	content, raws, err := t.anonymousSets()
	if err != nil {
		return nil, err
	}
	err = cmp.Or(t.readObjects(s), t.readFlowtables(s), t.readSets(s, content), t.readChains(s, content, raws))
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.Objects, compareObjects)
	s.readDigests()
	return s, nil
}

// objectKinds names the types of stateful objects.
var objectKinds = map[uint32]string{1: kindCounter, 2: "quota", 3: "ct helper", 4: "limit", 5: "connlimit",
	6: "tunnel", 7: "ct timeout", 8: "secmark", 9: "ct expectation", 10: "synproxy"}

func objectKind(typ uint32) string {
	if k := objectKinds[typ]; k != "" {
		return k
	}
	return fmt.Sprintf("object %d", typ)
}

func (t *tableDump) readObjects(s *Snapshot) error {
	for _, b := range t.objects {
		as, err := readAttrs(b)
		if err != nil {
			return err
		}
		o := Object{Kind: objectKind(be32(get(as, unix.NFTA_OBJ_TYPE))), Name: cstr(get(as, unix.NFTA_OBJ_NAME)),
			Note: cstr(readUdata(get(as, objUserdata), udataComment)),
			Raw:  rawOf(as, []uint16{unix.NFTA_OBJ_TYPE, unix.NFTA_OBJ_DATA, objUserdata}, objNested)}
		without := []uint16{unix.NFTA_OBJ_TABLE, unix.NFTA_OBJ_NAME, unix.NFTA_OBJ_USE, objHandle, 7 /* pad */, objUserdata}
		if o.Kind == kindCounter {
			without = append(without, unix.NFTA_OBJ_DATA) // its values
		}
		names := map[uint16]attrName{unix.NFTA_OBJ_TYPE: {"type", asNumber}, unix.NFTA_OBJ_DATA: {"data", asHex}}
		o.Head = headText(as, without, names, nil)
		if o.Kind == "quota" {
			o.Head += " " + expression{name: "quota", attrs: quietAttrs(get(as, unix.NFTA_OBJ_DATA)), ok: true}.text(nil)
		}
		s.Objects = append(s.Objects, o)
	}
	return nil
}

func quietAttrs(b []byte) []attr {
	as, _ := readAttrs(b)
	return as
}

func (t *tableDump) readFlowtables(s *Snapshot) error {
	for _, b := range t.flowtables {
		as, err := readAttrs(b)
		if err != nil {
			return err
		}
		s.Objects = append(s.Objects, Object{Kind: kindFlowtable, Name: cstr(get(as, flowtableName)),
			Head: headText(as, []uint16{flowtableTable, flowtableName, flowtableUse, flowtableHandle, 6 /* pad */}, nil, nil),
			Raw:  rawOf(as, []uint16{3 /* hook */, 7 /* flags */}, []uint16{3})})
	}
	return nil
}

// anonymousSets gives anonymous sets by name: their content as a line, and what
// is needed to add them again.
func (t *tableDump) anonymousSets() (content map[string]string, raw map[string][]byte, err error) {
	content, raw = map[string]string{}, map[string][]byte{}
	for _, b := range t.sets {
		h, err := readSet(b)
		if err != nil {
			return nil, nil, err
		}
		if !h.anonymous() {
			continue
		}
		none := func(string) string { return "" }
		head, err := h.headText(none)
		if err != nil {
			return nil, nil, err
		}
		items, err := h.shape.elementsOf(t.elements[h.name], none)
		if err != nil {
			return nil, nil, err
		}
		var w writer
		def := w.nest(rawSetDefinition)
		w.buf = append(w.buf, rawOf(h.attrs, setKeep, setNested)...)
		w.end(def)
		texts := make([]string, len(items))
		for i, it := range items {
			texts[i] = it.Text
			at := w.nest(rawSetElement)
			w.buf = append(w.buf, it.Raw...)
			w.end(at)
		}
		content[h.name] = head + " " + strings.Join(texts, ", ")
		raw[h.name] = w.buf
	}
	return content, raw, nil
}

func (t *tableDump) readSets(s *Snapshot, content map[string]string) error {
	anonymous := func(name string) string { return content[name] }
	for _, b := range t.sets {
		h, err := readSet(b)
		if err != nil {
			return err
		}
		if h.anonymous() {
			continue
		}
		o := Object{Kind: kindSet, Name: h.name, Raw: rawOf(h.attrs, setKeep, setNested)}
		if o.Head, err = h.headText(anonymous); err != nil {
			return err
		}
		o.Note = cstr(readUdata(h.userdata(), udataSetComment))
		lists, read := t.elements[h.name]
		switch {
		case h.dynamic():
			o.Skipped = true
		case !read:
			o.Skipped, o.Count = true, h.count
			if slices.Contains(t.open, h.name) {
				o.Count = -1
			}
		default:
			if o.Items, err = h.shape.elementsOf(lists, anonymous); err != nil {
				return err
			}
			o.Count = len(o.Items)
		}
		s.Objects = append(s.Objects, o)
	}
	return nil
}

var chainNames = map[uint16]attrName{unix.NFTA_CHAIN_POLICY: {"policy", asNumber}, unix.NFTA_CHAIN_TYPE: {"type", asString},
	chainFlags: {"flags", asNumber}}

func (t *tableDump) readChains(s *Snapshot, content map[string]string, raws map[string][]byte) error {
	rules := map[string][]Item{}
	for _, b := range t.rules {
		as, err := readAttrs(b)
		if err != nil {
			return err
		}
		it, err := ruleItem(as, content, raws)
		if err != nil {
			return err
		}
		chain := cstr(get(as, unix.NFTA_RULE_CHAIN))
		rules[chain] = append(rules[chain], it)
	}
	for _, b := range t.chains {
		as, err := readAttrs(b)
		if err != nil {
			return err
		}
		o := Object{Kind: kindChain, Name: cstr(get(as, unix.NFTA_CHAIN_NAME)),
			Note: cstr(readUdata(get(as, chainUserdata), udataComment)),
			Raw: rawOf(as, []uint16{unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_POLICY, unix.NFTA_CHAIN_TYPE, chainFlags, chainUserdata},
				chainNested)}
		o.Head = headText(as, []uint16{unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_HANDLE, unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_USE,
			unix.NFTA_CHAIN_COUNTERS, unix.NFTA_CHAIN_PAD, 11 /* id */, unix.NFTA_CHAIN_HOOK, chainUserdata}, chainNames, nil)
		if hook := get(as, unix.NFTA_CHAIN_HOOK); hook != nil {
			text, err := hookText(hook)
			if err != nil {
				return err
			}
			o.Head = text + " " + o.Head
		}
		o.Items = rules[o.Name]
		delete(rules, o.Name)
		s.Objects = append(s.Objects, o)
	}
	if len(rules) > 0 {
		return errors.New("the kernel lists rules of a chain that it does not list")
	}
	return nil
}

var hookNames = map[uint32]string{hookPrerouting: "prerouting", hookInput: "input", hookForward: "forward",
	hookOutput: "output", hookPostrouting: "postrouting", 5: "ingress"}

func hookText(b []byte) (string, error) {
	as, err := readAttrs(b)
	if err != nil {
		return "", err
	}
	num := be32(get(as, hookAttrNum))
	name, ok := hookNames[num]
	if !ok {
		name = fmt.Sprint(num)
	}
	text := fmt.Sprintf("hook=%s priority=%d", name, int32(be32(get(as, hookAttrPriority))))
	for _, a := range as {
		if a.typ != hookAttrNum && a.typ != hookAttrPriority {
			text += fmt.Sprintf(" attribute%d=0x%x", a.typ, a.data)
		}
	}
	return text, nil
}

// The parts of the raw form of a rule: its own attributes, then each anonymous
// set under its name.
const (
	rawAnonymous     = 0x2f00
	rawSetName       = 0x2f01
	rawSetDefinition = 0x2f02
	rawSetElement    = 0x2f03
)

func ruleItem(as []attr, content map[string]string, raws map[string][]byte) (Item, error) {
	list := get(as, unix.NFTA_RULE_EXPRESSIONS)
	es, err := readExpressions(list)
	if err != nil {
		return Item{}, err
	}
	var used []string
	anonymous := func(name string) string {
		text, ok := content[name]
		if ok && !slices.Contains(used, name) {
			used = append(used, name)
		}
		return text
	}
	it := Item{
		Text:    exprsText(es, anonymous),
		Comment: cstr(readUdata(get(as, unix.NFTA_RULE_USERDATA), udataComment)),
		Handle:  be64(get(as, unix.NFTA_RULE_HANDLE)),
	}
	rest := headText(as, []uint16{unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN, unix.NFTA_RULE_HANDLE, unix.NFTA_RULE_EXPRESSIONS,
		unix.NFTA_RULE_POSITION, unix.NFTA_RULE_USERDATA, unix.NFTA_RULE_PAD, unix.NFTA_RULE_ID, 10, 11}, nil, nil)
	if rest != "" {
		it.Text += "; " + rest
	}
	w := writer{buf: rawOf(as, []uint16{unix.NFTA_RULE_EXPRESSIONS, unix.NFTA_RULE_COMPAT, unix.NFTA_RULE_USERDATA}, ruleNested)}
	for _, name := range used {
		at := w.nest(rawAnonymous)
		w.str(rawSetName, name)
		w.buf = append(w.buf, raws[name]...)
		w.end(at)
	}
	if w.tooLong {
		return Item{}, errors.New("a rule is larger than a netlink attribute")
	}
	it.Raw = w.buf
	return it, nil
}

// ForeignBaseChains lists base chains of other tables on the hooks that xfwc
// uses, for IPv4 and IPv6: their accept decides nothing for xfwc, their drop is
// final. Sorted; e.g. "ip filter INPUT: hook input, priority 0, policy drop".
func (c *Conn) ForeignBaseChains() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	families := map[byte]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_INET: "inet"}
	var out []string
	for try := range dumpTries {
		if try > 0 {
			time.Sleep(time.Duration(try) * time.Millisecond)
		}
		out = nil
		var err error
		for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6, unix.NFPROTO_INET} {
			err = c.ask(unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, family, nil, func(b []byte) error {
				as, err := readAttrs(b)
				if err != nil {
					return err
				}
				table := cstr(get(as, unix.NFTA_CHAIN_TABLE))
				hook, err := readAttrs(get(as, unix.NFTA_CHAIN_HOOK))
				if err != nil || len(hook) == 0 || family == familyInet && table == TableName {
					return err
				}
				num := be32(get(hook, hookAttrNum))
				if num > hookOutput {
					return nil
				}
				policy := "accept"
				if p := get(as, unix.NFTA_CHAIN_POLICY); p != nil && be32(p) == uint32(verdictCodes[Drop]) {
					policy = "drop"
				}
				out = append(out, fmt.Sprintf("%s %s %s: hook %s, priority %d, policy %s", families[family], cleanName(table),
					cleanName(cstr(get(as, unix.NFTA_CHAIN_NAME))), hookNames[num], int32(be32(get(hook, hookAttrPriority))), policy))
				return nil
			})
			if err != nil {
				break
			}
		}
		if errors.Is(err, errDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list chains: %w", explainErrno(err))
		}
		slices.Sort(out)
		return out, nil
	}
	return nil, ErrInterrupted
}

// HasElements looks elements up one by one and returns those that are not in
// the set: for samples of large sets, at some microseconds each. In a set of
// ranges it asks whether the first value of each element is covered. Verdicts
// are not compared.
func (c *Conn) HasElements(s *Set, es []Element) (missing []Element, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range es {
		k, err := s.elementKey(&es[i])
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", s.Name, err)
		}
		found, err := c.has(s.Name, func(w *writer) {
			writeData(w, unix.NFTA_SET_ELEM_KEY, k.from)
			if s.Interval && len(s.Key) > 1 {
				writeData(w, setElemKeyEnd, k.to)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("look up in set %s: %w", s.Name, explainErrno(err))
		}
		if !found {
			missing = append(missing, es[i])
		}
	}
	return missing, nil
}

// has looks one element up.
func (c *Conn) has(set string, element func(*writer)) (bool, error) {
	err := c.ask(unix.NFT_MSG_GETSETELEM, 0, familyInet, func(w *writer) {
		w.str(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
		w.str(unix.NFTA_SET_ELEM_LIST_SET, set)
		list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		elem := w.nest(unix.NFTA_LIST_ELEM)
		element(w)
		w.end(elem)
		w.end(list)
	}, func([]byte) error { return nil })
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// endsOpen reports whether an unread set of ranges holds the highest value. The
// kernel counts starts and ends and halves the sum. A range up to the highest
// value has no end, and sometimes nft marks the lowest value as an end; so the
// count of such a set may be one too small, or not.
func (c *Conn) endsOpen(h *setHead) (bool, error) {
	size := int(be32(get(h.attrs, unix.NFTA_SET_KEY_LEN)))
	if h.count < 0 || !h.shape.interval || size < 1 || size > 64 {
		return false, nil
	}
	return c.has(h.name, func(w *writer) {
		writeData(w, unix.NFTA_SET_ELEM_KEY, bytes.Repeat([]byte{0xff}, size))
	})
}

// SetCount is the number of elements that a set holds now, also of a dynamic
// one. ok is false when the kernel does not count them for listeners (before
// 6.16); a set that is not there is an error.
func (c *Conn) SetCount(set string) (n int, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.ask(unix.NFT_MSG_GETSET, 0, familyInet, func(w *writer) {
		w.str(unix.NFTA_SET_TABLE, TableName)
		w.str(unix.NFTA_SET_NAME, set)
	}, func(b []byte) error {
		h, err := readSet(b)
		if err == nil && h.count >= 0 {
			n, ok = h.count, true
		}
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("count set %s: %w", set, explainErrno(err))
	}
	return n, ok, nil
}
