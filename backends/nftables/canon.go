package nftables

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// This file turns the kernel's attributes into canonical text. Two tables whose
// text is equal do the same to every packet. Left out is only what the kernel
// or time changes: handles, use counts, counter values, remaining lifetimes,
// the names of anonymous sets. What this program does not know is never left
// out: it is kept as hexadecimal bytes.

// attrKind is how the data of an expression's attribute is shown.
type attrKind int

const (
	asHex attrKind = iota
	asNumber
	asString
	asData    // nested nft_data: a value or a verdict
	asExpr    // one nested expression
	asExprs   // a list of nested expressions
	asSet     // the name of a set, perhaps an anonymous one
	asNothing // changes by itself or holds for one transaction only
)

type attrName struct {
	name string
	kind attrKind
}

// exprAttrs names the attributes of the expressions that rulesets commonly
// hold, by their numbers in linux/netfilter/nf_tables.h.
var exprAttrs = map[string]map[uint16]attrName{
	"bitwise": {1: {"sreg", asNumber}, 2: {"dreg", asNumber}, 3: {"len", asNumber}, 4: {"mask", asData},
		5: {"xor", asData}, 6: {"op", asNumber}, 7: {"data", asData}},
	"byteorder": {1: {"sreg", asNumber}, 2: {"dreg", asNumber}, 3: {"op", asNumber}, 4: {"len", asNumber}, 5: {"size", asNumber}},
	"cmp":       {1: {"sreg", asNumber}, 2: {"op", asNumber}, 3: {"data", asData}},
	"connlimit": {1: {"count", asNumber}, 2: {"flags", asNumber}},
	"counter":   {1: {"bytes", asNothing}, 2: {"packets", asNothing}},
	"ct":        {1: {"dreg", asNumber}, 2: {"key", asNumber}, 3: {"direction", asHex}, 4: {"sreg", asNumber}},
	"dynset": {1: {"set", asSet}, 2: {"id", asNothing}, 3: {"op", asNumber}, 4: {"sreg_key", asNumber},
		5: {"sreg_data", asNumber}, 6: {"timeout", asHex}, 7: {"expr", asExpr}, 9: {"flags", asNumber}, 10: {"exprs", asExprs}},
	"fib":       {1: {"dreg", asNumber}, 2: {"result", asNumber}, 3: {"flags", asNumber}},
	"immediate": {1: {"dreg", asNumber}, 2: {"data", asData}},
	"last":      {1: {"set", asNothing}, 2: {"msecs", asNothing}},
	"limit": {1: {"rate", asHex}, 2: {"unit", asHex}, 3: {"burst", asNumber}, 4: {"type", asNumber},
		5: {"flags", asNumber}},
	"log": {1: {"group", asHex}, 2: {"prefix", asString}, 3: {"snaplen", asNumber}, 4: {"qthreshold", asHex},
		5: {"level", asNumber}, 6: {"flags", asNumber}},
	"lookup": {1: {"set", asSet}, 2: {"sreg", asNumber}, 3: {"dreg", asNumber}, 4: {"id", asNothing}, 5: {"flags", asNumber}},
	"meta":   {1: {"dreg", asNumber}, 2: {"key", asNumber}, 3: {"sreg", asNumber}},
	"objref": {1: {"type", asNumber}, 2: {"name", asString}, 3: {"sreg", asNumber}, 4: {"set", asSet}, 5: {"id", asNothing}},
	"payload": {1: {"dreg", asNumber}, 2: {"base", asNumber}, 3: {"offset", asNumber}, 4: {"len", asNumber},
		5: {"sreg", asNumber}, 6: {"csum_type", asNumber}, 7: {"csum_offset", asNumber}, 8: {"csum_flags", asNumber}},
	"quota":  {1: {"bytes", asHex}, 2: {"flags", asNumber}, 4: {"consumed", asNothing}},
	"range":  {1: {"sreg", asNumber}, 2: {"op", asNumber}, 3: {"from", asData}, 4: {"to", asData}},
	"reject": {1: {"type", asNumber}, 2: {"code", asHex}},
}

// expression is one expression of a rule, taken apart as far as needed.
type expression struct {
	name  string
	data  []byte // raw NFTA_EXPR_DATA
	attrs []attr
	ok    bool // attrs could be read
}

func readExpression(b []byte) expression {
	as, err := readAttrs(b)
	if err != nil {
		return expression{data: b}
	}
	e := expression{name: cstr(get(as, unix.NFTA_EXPR_NAME)), data: get(as, unix.NFTA_EXPR_DATA)}
	e.attrs, err = readAttrs(e.data)
	e.ok = err == nil && e.name != ""
	if !e.ok {
		e.data = b
	}
	return e
}

func readExpressions(list []byte) ([]expression, error) {
	as, err := readAttrs(list)
	if err != nil {
		return nil, err
	}
	es := make([]expression, len(as))
	for i, a := range as {
		es[i] = readExpression(a.data)
	}
	return es, nil
}

// num is a numeric attribute of the expression.
func (e expression) num(typ uint16) uint32 { return be32(get(e.attrs, typ)) }

const (
	cmpLte = 3
	cmpGte = 5
)

// text writes expressions in canonical form. anonymous gives the content of an
// anonymous set by name.
func exprsText(es []expression, anonymous func(name string) string) string {
	var parts []string
	for i := 0; i < len(es); i++ {
		e := es[i]
		switch {
		case e.ok && e.name == "byteorder" && e.num(5) > e.num(4) && e.num(1) == e.num(2):
			// Fewer bytes than one number: nothing is swapped. Some releases of
			// nft write it and some do not.
			continue
		case i+1 < len(es) && e.isCmp(cmpGte) && es[i+1].isCmp(cmpLte) && e.num(1) == es[i+1].num(1):
			// Older releases of nft write two comparisons where newer ones write
			// one range.
			parts = append(parts, fmt.Sprintf("range sreg=%d op=0 from=%s to=%s", e.num(1),
				dataText(get(e.attrs, 3)), dataText(get(es[i+1].attrs, 3))))
			i++
			continue
		}
		parts = append(parts, e.text(anonymous))
	}
	return strings.Join(parts, "; ")
}

func (e expression) isCmp(op uint32) bool { return e.ok && e.name == "cmp" && e.num(2) == op }

func (e expression) text(anonymous func(string) string) string {
	if !e.ok {
		return "opaque " + hex.EncodeToString(e.data)
	}
	names := exprAttrs[e.name]
	as := slices.Clone(e.attrs)
	slices.SortStableFunc(as, func(a, b attr) int { return cmp.Compare(a.typ, b.typ) })
	var b strings.Builder
	b.WriteString(cleanName(e.name))
	for _, a := range as {
		n, known := names[a.typ]
		if !known {
			if isPad(e.name, a) {
				continue
			}
			n = attrName{fmt.Sprintf("attribute%d", a.typ), asHex}
		}
		switch n.kind {
		case asNothing:
		case asNumber:
			if len(a.data) != 4 {
				fmt.Fprintf(&b, " %s=0x%x", n.name, a.data)
			} else {
				fmt.Fprintf(&b, " %s=%d", n.name, be32(a.data))
			}
		case asString:
			fmt.Fprintf(&b, " %s=%q", n.name, cstr(a.data))
		case asData:
			fmt.Fprintf(&b, " %s=%s", n.name, dataText(a.data))
		case asExpr:
			fmt.Fprintf(&b, " %s={%s}", n.name, readExpression(a.data).text(anonymous))
		case asExprs:
			fmt.Fprintf(&b, " %s={%s}", n.name, exprListText(a.data, anonymous))
		case asSet:
			name := cstr(a.data)
			if content := anonymous(name); content != "" {
				fmt.Fprintf(&b, " %s={%s}", n.name, content)
			} else {
				fmt.Fprintf(&b, " %s=@%s", n.name, cleanName(name))
			}
		default:
			fmt.Fprintf(&b, " %s=0x%x", n.name, a.data)
		}
	}
	return b.String()
}

// isPad recognizes the alignment attributes that some dumps have.
func isPad(expr string, a attr) bool {
	pad := map[string]uint16{"counter": 3, "limit": 6, "quota": 3, "dynset": 8, "last": 3}
	return len(a.data) == 0 && pad[expr] == a.typ
}

func exprListText(list []byte, anonymous func(string) string) string {
	es, err := readExpressions(list)
	if err != nil {
		return "opaque " + hex.EncodeToString(list)
	}
	return exprsText(es, anonymous)
}

// cleanName keeps foreign names from looking like something else in a line.
func cleanName(s string) string {
	if checkName(s) == nil || slices.Contains(reserved, s) || strings.HasPrefix(s, "__") {
		return s
	}
	return strconv.Quote(s)
}

// dataText writes nft_data: a value in hexadecimal, or a verdict.
func dataText(b []byte) string {
	as, err := readAttrs(b)
	if err == nil && len(as) == 1 {
		switch as[0].typ {
		case unix.NFTA_DATA_VALUE:
			return fmt.Sprintf("0x%x", as[0].data)
		case unix.NFTA_DATA_VERDICT:
			if v, _, ok := readVerdict(as[0].data); ok {
				return v
			}
		}
	}
	return fmt.Sprintf("opaque:%x", b)
}

// readVerdict gives a verdict's text and the chain that it names.
func readVerdict(b []byte) (text, chain string, ok bool) {
	as, err := readAttrs(b)
	if err != nil || len(get(as, unix.NFTA_VERDICT_CODE)) != 4 {
		return "", "", false
	}
	chain = cstr(get(as, unix.NFTA_VERDICT_CHAIN))
	code := int32(be32(get(as, unix.NFTA_VERDICT_CODE)))
	for _, k := range []VerdictKind{Accept, Drop, Return, Jump, Goto} {
		if verdictCodes[k] == code {
			if k == Jump || k == Goto {
				return string(k) + " " + cleanName(chain), chain, true
			}
			return string(k), "", true
		}
	}
	return fmt.Sprintf("verdict %d %s", code, chain), chain, true
}

// verdictChain is the chain that nft_data leads to, "" for none.
func verdictChain(b []byte) string {
	as, err := readAttrs(b)
	if err != nil {
		return ""
	}
	if v := get(as, unix.NFTA_DATA_VERDICT); v != nil {
		_, chain, _ := readVerdict(v)
		return chain
	}
	return ""
}

// setShape is what is needed to read the elements of a set.
type setShape struct {
	keyType  uint32
	interval bool // a range is two elements
}

// partName is nft's number of a part's type, and how to write a value of it.
type partName struct {
	num  uint32
	size int
	text func([]byte) string
}

var partNames = []partName{
	{7, 4, addrText},
	{8, 16, addrText},
	{12, 1, func(b []byte) string { return protoText(uint16(b[0])) }},
	{13, 2, func(b []byte) string { return strconv.Itoa(int(binary.BigEndian.Uint16(b))) }},
	{41, 16, func(b []byte) string { return strconv.Quote(cstr(b)) }},
	{2, 1, func(b []byte) string { return familyText(uint16(b[0])) }},
	{29, 1, func(b []byte) string { return strconv.Itoa(int(b[0])) }},
}

func addrText(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

// parts splits a key type number into the types of its parts; nil when one of
// them is not known here.
func (sh setShape) parts() []partName {
	var ps []partName
	for n := sh.keyType; n > 0; n >>= 6 {
		i := slices.IndexFunc(partNames, func(p partName) bool { return p.num == n&0x3f })
		if i < 0 {
			return nil
		}
		ps = append(ps, partNames[i])
	}
	slices.Reverse(ps)
	return ps
}

// keyText writes a key, or the range from one key to another.
func (sh setShape) keyText(from, to []byte) string {
	parts := sh.parts()
	total := 0
	for _, p := range parts {
		if len(parts) == 1 {
			total += p.size
		} else {
			total += align4(p.size)
		}
	}
	if parts == nil || total != len(from) || to != nil && total != len(to) {
		if to != nil {
			return fmt.Sprintf("0x%x-0x%x", from, to)
		}
		return fmt.Sprintf("0x%x", from)
	}
	var b strings.Builder
	at := 0
	for i, p := range parts {
		if i > 0 {
			b.WriteString(" . ")
		}
		f := from[at : at+p.size]
		switch {
		case to == nil || bytes.Equal(f, to[at:at+p.size]):
			b.WriteString(p.text(f))
		case p.size == 4 && p.num == 7, p.size == 16 && p.num == 8:
			x, _ := netip.AddrFromSlice(f)
			y, _ := netip.AddrFromSlice(to[at : at+p.size])
			b.WriteString(rangeText(x, y))
		default:
			b.WriteString(p.text(f) + "-" + p.text(to[at:at+p.size]))
		}
		if at += p.size; len(parts) > 1 {
			at = align4(at)
		}
	}
	return b.String()
}

// elementName names an encoded element for an error.
func (s *Set) elementName(b []byte) string {
	as, err := readAttrs(b)
	if err != nil {
		return ""
	}
	sh := setShape{keyType: s.keyTypeNumber()}
	return sh.keyText(dataValue(get(as, unix.NFTA_SET_ELEM_KEY)), dataValue(get(as, setElemKeyEnd)))
}

func dataValue(b []byte) []byte {
	as, err := readAttrs(b)
	if err != nil {
		return nil
	}
	return get(as, unix.NFTA_DATA_VALUE)
}

// elementsOf turns the elements of a set, as the kernel lists them, into items
// in the order of their keys.
func (sh setShape) elementsOf(lists [][]byte, anonymous func(string) string) ([]Item, error) {
	type raw struct {
		key, to []byte
		end     bool
		attrs   []attr
		raw     []byte
	}
	var elems []raw
	for _, list := range lists {
		as, err := readAttrs(list)
		if err != nil {
			return nil, err
		}
		for _, a := range as {
			ea, err := readAttrs(a.data)
			if err != nil {
				return nil, err
			}
			elems = append(elems, raw{
				key: dataValue(get(ea, unix.NFTA_SET_ELEM_KEY)), to: dataValue(get(ea, setElemKeyEnd)),
				end:   be32(get(ea, unix.NFTA_SET_ELEM_FLAGS))&elemFlagEnd != 0,
				attrs: ea, raw: elementRaw(ea),
			})
		}
	}
	// An end stands before the start of what follows it directly.
	slices.SortStableFunc(elems, func(a, b raw) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		if a.end != b.end {
			if a.end {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.to, b.to)
	})
	var items []Item
	for i := 0; i < len(elems); i++ {
		e := elems[i]
		var it Item
		var text string
		switch {
		case sh.interval && e.end:
			if isZero(e.key) {
				continue // nft's mark that nothing is in the set below the first range
			}
			text = "end " + sh.keyText(e.key, nil)
			it.Raw = e.raw
		case sh.interval:
			it.Raw = e.raw
			last := bytes.Repeat([]byte{0xff}, len(e.key))
			if i+1 < len(elems) && elems[i+1].end {
				last = decrement(elems[i+1].key)
				it.Raw = slices.Concat(it.Raw, elems[i+1].raw)
				i++
			} else if i+1 < len(elems) {
				// A start without an end reaches up to the next start.
				last = decrement(elems[i+1].key)
			}
			text = sh.keyText(e.key, last)
		default:
			text = sh.keyText(e.key, e.to)
			it.Raw = e.raw
		}
		it.Text = text + elementRest(e.attrs, anonymous)
		it.Comment = cstr(readUdata(get(e.attrs, unix.NFTA_SET_ELEM_USERDATA), udataComment))
		items = append(items, it)
	}
	// A set holds nothing twice; what is listed twice was moved meanwhile.
	return slices.CompactFunc(items, sameItem), nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func decrement(b []byte) []byte {
	b = slices.Clone(b)
	for i := len(b) - 1; i >= 0; i-- {
		b[i]--
		if b[i] != 0xff {
			break
		}
	}
	return b
}

// elementRest writes what an element has besides its key.
func elementRest(as []attr, anonymous func(string) string) string {
	var b strings.Builder
	as = slices.Clone(as)
	slices.SortStableFunc(as, func(x, y attr) int { return cmp.Compare(x.typ, y.typ) })
	verdict := ""
	for _, a := range as {
		switch a.typ {
		case unix.NFTA_SET_ELEM_KEY, setElemKeyEnd, unix.NFTA_SET_ELEM_EXPIRATION, unix.NFTA_SET_ELEM_PAD,
			unix.NFTA_SET_ELEM_USERDATA:
		case unix.NFTA_SET_ELEM_DATA:
			verdict = " : " + dataText(a.data)
		case unix.NFTA_SET_ELEM_FLAGS:
			if f := be32(a.data) &^ elemFlagEnd; f != 0 {
				fmt.Fprintf(&b, " flags=%d", f)
			}
		case unix.NFTA_SET_ELEM_TIMEOUT:
			fmt.Fprintf(&b, " timeout %s", time.Duration(be64(a.data))*time.Millisecond)
		case unix.NFTA_SET_ELEM_EXPR:
			fmt.Fprintf(&b, " {%s}", readExpression(a.data).text(anonymous))
		case setElemExprs:
			fmt.Fprintf(&b, " {%s}", exprListText(a.data, anonymous))
		case unix.NFTA_SET_ELEM_OBJREF:
			verdict = " : object " + cleanName(cstr(a.data))
		default:
			fmt.Fprintf(&b, " attribute%d=0x%x", a.typ, a.data)
		}
	}
	return b.String() + verdict
}

// elementRaw is a list entry by which the element can be added again: without
// its remaining lifetime, which starts anew.
func elementRaw(as []attr) []byte {
	var w writer
	at := w.nest(unix.NFTA_LIST_ELEM)
	for _, a := range as {
		if a.typ != unix.NFTA_SET_ELEM_EXPIRATION && a.typ != unix.NFTA_SET_ELEM_PAD {
			w.bytes(rawType(a, elementNested), a.data)
		}
	}
	w.end(at)
	return w.buf
}

// Which attributes are nested: the kernel wants the bit when they are added and
// leaves it out when it lists them.
var (
	elementNested = []uint16{unix.NFTA_SET_ELEM_KEY, setElemKeyEnd, unix.NFTA_SET_ELEM_DATA, unix.NFTA_SET_ELEM_EXPR, setElemExprs}
	setNested     = []uint16{unix.NFTA_SET_DESC, setExpr, setExprs}
	chainNested   = []uint16{unix.NFTA_CHAIN_HOOK}
	objNested     = []uint16{unix.NFTA_OBJ_DATA}
	ruleNested    = []uint16{unix.NFTA_RULE_EXPRESSIONS, unix.NFTA_RULE_COMPAT}
)

func rawType(a attr, nested []uint16) uint16 {
	if slices.Contains(nested, a.typ) {
		return a.typ | unix.NLA_F_NESTED
	}
	return a.typ
}

// rawOf copies the attributes by which an object is added again.
func rawOf(as []attr, keep, nested []uint16) []byte {
	var w writer
	for _, a := range as {
		if slices.Contains(keep, a.typ) {
			w.bytes(rawType(a, nested), a.data)
		}
	}
	return w.buf
}

// headText writes the attributes of an object, in the order of their numbers,
// without those listed. known attributes get their name.
func headText(as []attr, without []uint16, names map[uint16]attrName, anonymous func(string) string) string {
	as = slices.Clone(as)
	slices.SortStableFunc(as, func(x, y attr) int { return cmp.Compare(x.typ, y.typ) })
	var parts []string
	for _, a := range as {
		if slices.Contains(without, a.typ) {
			continue
		}
		n, ok := names[a.typ]
		if !ok {
			n = attrName{fmt.Sprintf("attribute%d", a.typ), asHex}
		}
		switch {
		case n.kind == asNumber && len(a.data) == 4:
			parts = append(parts, fmt.Sprintf("%s=%d", n.name, be32(a.data)))
		case n.kind == asString:
			parts = append(parts, n.name+"="+cleanName(cstr(a.data)))
		case n.kind == asExpr:
			parts = append(parts, fmt.Sprintf("%s={%s}", n.name, readExpression(a.data).text(anonymous)))
		case n.kind == asExprs:
			parts = append(parts, fmt.Sprintf("%s={%s}", n.name, exprListText(a.data, anonymous)))
		default:
			parts = append(parts, fmt.Sprintf("%s=0x%x", n.name, a.data))
		}
	}
	return strings.Join(parts, " ")
}
