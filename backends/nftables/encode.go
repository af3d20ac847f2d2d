package nftables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// familyInet is the family of the table, as netlink and expr.Marshal want it.
const familyInet = unix.NFPROTO_INET

// key is an element's key on the wire: the first and the last value, both
// inclusive, and equal where it is no range.
type key struct{ from, to []byte }

// elementKey encodes the key of an element, and says why a value does not fit.
func (s *Set) elementKey(e *Element) (key, error) {
	var k key
	err := s.encodeKey(&k, e)
	return k, err
}

// encodeKey is elementKey into memory that is there: sets are long.
func (s *Set) encodeKey(k *key, e *Element) error {
	if len(e.Keys) != len(s.Key) {
		return fmt.Errorf("an element has %d values for a key of %d parts", len(e.Keys), len(s.Key))
	}
	k.from, k.to = k.from[:0], k.to[:0]
	for i := range e.Keys {
		v, at := &e.Keys[i], len(k.from)
		if err := v.encode(k, s.Key[i]); err != nil {
			return err
		}
		switch c := bytes.Compare(k.from[at:], k.to[at:]); {
		case c > 0:
			return fmt.Errorf("the range %s is empty", v.text(s.Key[i]))
		case c < 0 && !s.Interval:
			return fmt.Errorf("%s is a range, and the set is not declared to hold ranges", v.text(s.Key[i]))
		}
		if len(s.Key) > 1 {
			for len(k.from)%4 != 0 {
				k.from, k.to = append(k.from, 0), append(k.to, 0)
			}
		}
	}
	return nil
}

// encode appends a value, or both ends of a range, to a key.
func (v *KeyValue) encode(k *key, t KeyType) error {
	last := v.Num
	if v.NumTo != 0 {
		last = v.NumTo
	}
	switch t {
	case IPv4Addr, IPv6Addr:
		f := V4
		if t == IPv6Addr {
			f = V6
		}
		to := v.AddrTo
		if to == (netip.Addr{}) {
			to = v.Addr
		}
		if !fits(v.Addr, f) || !fits(to, f) {
			return fmt.Errorf("%s is no IPv%d address or range", v.text(t), f)
		}
		k.from, k.to = appendAddr(k.from, v.Addr), appendAddr(k.to, to)
	case InetProto, NFProto:
		if v.Num > 255 || last > 255 {
			return fmt.Errorf("%d is no protocol number", max(v.Num, last))
		}
		k.from, k.to = append(k.from, byte(v.Num)), append(k.to, byte(last))
	case InetService:
		k.from, k.to = binary.BigEndian.AppendUint16(k.from, v.Num), binary.BigEndian.AppendUint16(k.to, last)
	case Ifname:
		if err := checkInterface(v.Name, false); err != nil {
			return err
		}
		b := interfaceBytes(v.Name)
		k.from, k.to = append(k.from, b...), append(k.to, b...)
	default:
		return fmt.Errorf("unknown key type %d", t)
	}
	return nil
}

func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return append(b, v[:]...)
	}
	v := a.As16()
	return append(b, v[:]...)
}

// interfaceBytes is a whole interface name, as the kernel compares it.
func interfaceBytes(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// keyLen is the length of a key on the wire, in bytes.
func (s *Set) keyLen() int {
	n := 0
	for _, k := range s.Key {
		if size := keyTypes[k].size; len(s.Key) > 1 {
			n += align4(size)
		} else {
			n += size
		}
	}
	return n
}

// keyTypeNumber is nft's number for a key: six bits for each part.
func (s *Set) keyTypeNumber() uint32 {
	var n uint32
	for _, k := range s.Key {
		n = n<<6 | keyTypes[k].num
	}
	return n
}

func (s *Set) flags() uint32 {
	var f uint32
	if s.Interval {
		f |= unix.NFT_SET_INTERVAL
		if len(s.Key) > 1 {
			f |= setFlagConcat
		}
	}
	if s.Verdict {
		f |= unix.NFT_SET_MAP
	}
	if s.expires() {
		f |= unix.NFT_SET_TIMEOUT
	}
	if s.Dynamic {
		f |= setFlagEval
	}
	return f
}

// writeDefinition appends everything of a set but table, name and id.
func (s *Set) writeDefinition(w *writer) {
	w.u32(unix.NFTA_SET_FLAGS, s.flags())
	w.u32(unix.NFTA_SET_KEY_TYPE, s.keyTypeNumber())
	w.u32(unix.NFTA_SET_KEY_LEN, uint32(s.keyLen()))
	if s.Verdict {
		w.u32(unix.NFTA_SET_DATA_TYPE, dataVerdictType)
		w.u32(unix.NFTA_SET_DATA_LEN, 0)
	}
	if s.Size > 0 || len(s.Key) > 1 {
		desc := w.nest(unix.NFTA_SET_DESC)
		if s.Size > 0 {
			w.u32(unix.NFTA_SET_DESC_SIZE, s.Size)
		}
		if len(s.Key) > 1 && s.Interval {
			// The lengths without padding, by which the kernel splits the key.
			concat := w.nest(setDescConcat)
			for _, k := range s.Key {
				field := w.nest(unix.NFTA_LIST_ELEM)
				w.u32(setFieldLen, uint32(keyTypes[k].size))
				w.end(field)
			}
			w.end(concat)
		}
		w.end(desc)
	}
	if s.Timeout > 0 {
		w.u64(unix.NFTA_SET_TIMEOUT, uint64(s.Timeout)*1000)
	}
	order := uint32(byteorderUnknown)
	if len(s.Key) == 1 {
		order = keyTypes[s.Key[0]].order
	}
	ud := udataU32(nil, udataSetKeyOrder, order)
	if s.Verdict {
		ud = udataU32(ud, udataSetDataOrder, byteorderUnknown)
	}
	if note := safeText(s.Comment, maxComment); note != "" {
		ud = udataString(ud, udataSetComment, note)
	}
	w.bytes(unix.NFTA_SET_USERDATA, ud)
}

// writeElement appends one element of an element list; k is memory for its key.
// An interval set without
// concatenation takes a range as two elements: its start, and the value after
// its end with a flag. The last range of all has no end.
func (s *Set) writeElement(w *writer, k *key, e *Element) error {
	if err := s.encodeKey(k, e); err != nil {
		return err
	}
	twoParts := s.Interval && len(s.Key) == 1
	elem := w.nest(unix.NFTA_LIST_ELEM)
	if e.Timeout > 0 {
		w.u64(unix.NFTA_SET_ELEM_TIMEOUT, uint64(e.Timeout)*1000)
	}
	writeData(w, unix.NFTA_SET_ELEM_KEY, k.from)
	if s.Interval && !twoParts {
		// Every element has both ends, also when they are equal.
		writeData(w, setElemKeyEnd, k.to)
	}
	if s.Verdict {
		data := w.nest(unix.NFTA_SET_ELEM_DATA)
		if err := writeVerdict(w, e.Do, e.Chain); err != nil {
			return err
		}
		w.end(data)
	}
	w.end(elem)
	if twoParts {
		if after, ok := increment(k.to); ok {
			end := w.nest(unix.NFTA_LIST_ELEM)
			w.u32(unix.NFTA_SET_ELEM_FLAGS, elemFlagEnd)
			writeData(w, unix.NFTA_SET_ELEM_KEY, after)
			w.end(end)
		}
	}
	return nil
}

// elementSize is about how many bytes an element takes on the wire.
func (s *Set) elementSize() int {
	size := 3*nlaHeader + align4(s.keyLen())
	if s.Interval {
		size = 2*size + nlaHeader
	}
	return size + 2
}

// count is the number of elements as a dump gives it that does not read them.
func (s *Set) count() int {
	if s.Interval && len(s.Key) == 1 {
		for i := range s.Elements {
			k, err := s.elementKey(&s.Elements[i])
			if err != nil {
				continue
			}
			if _, ok := increment(k.to); !ok {
				return -1
			}
		}
	}
	return len(s.Elements)
}

// increment makes a number the one that follows; false after the highest.
func increment(b []byte) ([]byte, bool) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i]++
		if b[i] != 0 {
			return b, true
		}
	}
	return nil, false
}

func writeData(w *writer, typ uint16, value []byte) {
	at := w.nest(typ)
	w.bytes(unix.NFTA_DATA_VALUE, value)
	w.end(at)
}

// verdictCodes are of linux/netfilter.h and nf_tables.h.
var verdictCodes = map[VerdictKind]int32{
	Drop: 0, Accept: 1,
	Return: unix.NFT_RETURN, Jump: unix.NFT_JUMP, Goto: unix.NFT_GOTO,
}

func writeVerdict(w *writer, k VerdictKind, chain string) error {
	code, ok := verdictCodes[k]
	if !ok {
		return fmt.Errorf("unknown verdict %q", k)
	}
	at := w.nest(unix.NFTA_DATA_VERDICT)
	w.u32(unix.NFTA_VERDICT_CODE, uint32(code))
	if k == Jump || k == Goto {
		w.str(unix.NFTA_VERDICT_CHAIN, chain)
	}
	w.end(at)
	return nil
}

// anonymousSet is a set that belongs to one rule.
type anonymousSet struct {
	typ      uint32
	size     int
	order    uint32
	interval bool
	elements []key
}

func (a *anonymousSet) count() int {
	n := len(a.elements)
	if a.interval {
		n *= 2 // starts and ends
	}
	return n
}

func (a *anonymousSet) writeDefinition(w *writer) {
	flags := uint32(unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT)
	if a.interval {
		flags |= unix.NFT_SET_INTERVAL
	}
	w.u32(unix.NFTA_SET_FLAGS, flags)
	w.u32(unix.NFTA_SET_KEY_TYPE, a.typ)
	w.u32(unix.NFTA_SET_KEY_LEN, uint32(a.size))
	desc := w.nest(unix.NFTA_SET_DESC)
	w.u32(unix.NFTA_SET_DESC_SIZE, uint32(a.count()))
	w.end(desc)
	w.bytes(unix.NFTA_SET_USERDATA, udataU32(nil, udataSetKeyOrder, a.order))
}

func (a *anonymousSet) writeElement(w *writer, k key) {
	elem := w.nest(unix.NFTA_LIST_ELEM)
	writeData(w, unix.NFTA_SET_ELEM_KEY, k.from)
	w.end(elem)
	if !a.interval {
		return
	}
	if after, ok := increment(k.to); ok {
		end := w.nest(unix.NFTA_LIST_ELEM)
		w.u32(unix.NFTA_SET_ELEM_FLAGS, elemFlagEnd)
		writeData(w, unix.NFTA_SET_ELEM_KEY, after)
		w.end(end)
	}
}

// ruleEncoder turns statements into the expressions that nft 1.0.6 makes of
// them: the same tests of family and protocol before an address or a port, and
// only where no earlier statement of the rule has made them.
type ruleEncoder struct {
	w   writer
	in  ruleContext
	err error
	// anonymous makes the sets of the rule and gives their ids.
	anonymous func(*anonymousSet) uint32
}

func (r *ruleEncoder) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// add appends an expression. Its bytes come from google/nftables.
func (r *ruleEncoder) add(e expr.Any) {
	b, err := expr.Marshal(familyInet, e)
	if err != nil {
		r.fail(err)
		return
	}
	r.w.bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b)
}

func (r *ruleEncoder) load(meta expr.MetaKey, reg uint32) {
	r.add(&expr.Meta{Key: meta, Register: reg})
}

func (r *ruleEncoder) payload(base expr.PayloadBase, offset, size, reg uint32) {
	r.add(&expr.Payload{DestRegister: reg, Base: base, Offset: offset, Len: size})
}

func (r *ruleEncoder) compare(op expr.CmpOp, value []byte) {
	r.add(&expr.Cmp{Op: op, Register: reg1, Data: value})
}

func equal(not bool) expr.CmpOp {
	if not {
		return expr.CmpOpNeq
	}
	return expr.CmpOpEq
}

func (r *ruleEncoder) and(mask []byte) {
	n := uint32(len(mask))
	r.add(&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: n, Mask: mask, Xor: make([]byte, n)})
}

func (r *ruleEncoder) lookupAnonymous(a *anonymousSet, not bool) {
	r.add(&expr.Lookup{SourceRegister: reg1, SetName: anonymousName, SetID: r.anonymous(a), Invert: not})
}

// anonymousName is the pattern by which the kernel names a set of one rule.
const anonymousName = "__set%d"

func (r *ruleEncoder) isFamily(f Family) {
	r.load(expr.MetaKeyNFPROTO, reg1)
	r.compare(expr.CmpOpEq, []byte{nfproto(f)})
}

func nfproto(f Family) byte {
	if f == V6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

func (r *ruleEncoder) needFamily(f Family) {
	known := r.in.family == f
	if err := familyKnown(&r.in, f); err != nil {
		r.fail(err)
	}
	if !known {
		r.isFamily(f)
	}
}

func (r *ruleEncoder) isL4(proto string) {
	r.load(expr.MetaKeyL4PROTO, reg1)
	r.compare(expr.CmpOpEq, []byte{l4Protos[proto]})
}

func (r *ruleEncoder) needL4(proto string) {
	known := r.in.l4 == proto
	if err := r.in.needL4(proto); err != nil {
		r.fail(err)
	}
	if !known {
		r.isL4(proto)
	}
}

// address loads an address, RFC 791 section 3.1 and RFC 8200 section 3.
func (r *ruleEncoder) address(f Family, side Side, reg uint32) {
	r.needFamily(f)
	offset, size := uint32(12), uint32(4)
	if f == V6 {
		offset, size = 8, 16
	}
	if side == Dest {
		offset += size
	}
	r.payload(expr.PayloadBaseNetworkHeader, offset, size, reg)
}

// state matches connection tracking states by a bit mask.
func (r *ruleEncoder) state(bits uint32) {
	r.add(&expr.Ct{Register: reg1, Key: expr.CtKeySTATE})
	r.and(binary.NativeEndian.AppendUint32(nil, bits))
	r.compare(expr.CmpOpNeq, make([]byte, 4))
}

// vmap ends a lookup of a verdict map.
func (r *ruleEncoder) vmap(name string) {
	r.add(&expr.Lookup{SourceRegister: reg1, DestRegister: regVerdict, IsDestRegSet: true, SetName: name})
}

// protoAndPort loads protocol and destination port into two 32-bit registers
// beside each other, of which reg is the first, and looks the key up.
func (r *ruleEncoder) protoAndPort(reg uint32, set string, ranges bool) {
	r.load(expr.MetaKeyL4PROTO, reg)
	if ranges {
		// One byte has no byte order, so this does nothing; nft 1.0.6 writes it
		// for keys with ranges, and its listing expects it.
		r.add(&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: 1, Size: 2})
	}
	r.payload(expr.PayloadBaseTransportHeader, 2, 2, reg+1)
	r.vmap(set)
}

// Keys of meta for time, linux/netfilter/nf_tables.h (NFT_META_TIME_DAY and
// NFT_META_TIME_HOUR, kernel 5.4).
const (
	metaTimeDay  = expr.MetaKey(31)
	metaTimeHour = expr.MetaKey(32)
)

// between compares the register with both ends of a range, as nft does.
func (r *ruleEncoder) between(from, to []byte) {
	if bytes.Equal(from, to) {
		r.compare(expr.CmpOpEq, from)
		return
	}
	r.compare(expr.CmpOpGte, from)
	r.compare(expr.CmpOpLte, to)
}

func (r *ruleEncoder) meter(f Family, bits uint8, set string, op uint32, e expr.Any) {
	switch f {
	case 0:
		r.load(expr.MetaKeyL4PROTO, reg1)
	default:
		r.address(f, Source, reg1)
	}
	if mask := meterMask(f, bits); mask.IsValid() {
		r.and(mask.AsSlice())
	}
	r.add(&expr.Dynset{SrcRegKey: reg1, SetName: set, Operation: op, Exprs: []expr.Any{e}})
}

func limitExpr(rate Rate, over bool) *expr.Limit {
	return &expr.Limit{
		Type: expr.LimitTypePkts, Rate: rate.Count, Over: over,
		Unit: expr.LimitTime(units[rate.Unit]), Burst: rate.Burst,
	}
}

func (r *ruleEncoder) stmts(stmts []Stmt, ranged func(set string) bool) {
	for i := 0; i < len(stmts); i++ {
		if ports, ok := portPair(stmts, i); ok {
			// nft compares two ports that lie beside each other at once.
			r.needL4(stmts[i].(MatchPorts).Proto)
			r.payload(expr.PayloadBaseTransportHeader, 0, 4, reg1)
			r.compare(expr.CmpOpEq, ports)
			i++
			continue
		}
		r.stmt(stmts[i], ranged)
	}
}

// portPair gives the bytes of a source and a destination port that stand side
// by side in a rule, each as one number.
func portPair(stmts []Stmt, i int) ([]byte, bool) {
	if i+1 >= len(stmts) {
		return nil, false
	}
	a, okA := stmts[i].(MatchPorts)
	b, okB := stmts[i+1].(MatchPorts)
	if !okA || !okB || a.Proto != b.Proto || a.Side == b.Side {
		return nil, false
	}
	pa, pb := normalPorts(a.Ports), normalPorts(b.Ports)
	if len(pa) != 1 || len(pb) != 1 || pa[0].From != pa[0].To || pb[0].From != pb[0].To {
		return nil, false
	}
	if a.Side == Dest {
		pa, pb = pb, pa
	}
	bytes := binary.BigEndian.AppendUint16(nil, pa[0].From)
	return binary.BigEndian.AppendUint16(bytes, pb[0].From), true
}

func (r *ruleEncoder) stmt(s Stmt, ranged func(set string) bool) {
	switch s := s.(type) {
	case MatchInterface:
		r.interfaces(s)
	case MatchAddrSet:
		r.address(s.Family, s.Side, reg1)
		r.add(&expr.Lookup{SourceRegister: reg1, SetName: s.Set, Invert: s.Not})
	case MatchAddr:
		if !fits(s.Addr, s.Family) {
			r.fail(fmt.Errorf("%s is no IPv%d address", s.Addr, s.Family))
			return
		}
		r.address(s.Family, s.Side, reg1)
		r.compare(equal(s.Not), s.Addr.AsSlice())
	case MatchFamily:
		if err := familyKnown(&r.in, s.Family); err != nil {
			r.fail(err)
		}
		r.isFamily(s.Family)
	case MatchL4Proto:
		if _, ok := l4Protos[s.Proto]; !ok {
			r.fail(fmt.Errorf("unknown protocol %q", s.Proto))
			return
		}
		if err := r.in.needL4(s.Proto); err != nil {
			r.fail(err)
		}
		r.isL4(s.Proto)
	case MatchPorts:
		r.ports(s)
	case MatchEstablished:
		r.state(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	case MatchInvalid:
		r.state(expr.CtStateBitINVALID)
	case MatchNew:
		r.state(expr.CtStateBitNEW)
	case MatchSYN:
		r.needL4("tcp")
		r.payload(expr.PayloadBaseTransportHeader, 13, 1, reg1)
		r.and([]byte{0x17}) // fin, syn, rst, ack: RFC 9293 section 3.1
		r.compare(expr.CmpOpEq, []byte{0x02})
	case MatchHopLimit255:
		r.needFamily(s.Family)
		offset := uint32(8)
		if s.Family == V6 {
			offset = 7
		}
		r.payload(expr.PayloadBaseNetworkHeader, offset, 1, reg1)
		r.compare(expr.CmpOpEq, []byte{255})
	case MatchDays:
		if err := s.check(); err != nil {
			r.fail(err)
			return
		}
		r.load(metaTimeDay, reg1)
		r.between([]byte{s.From}, []byte{s.To})
	case MatchHours:
		if err := s.check(); err != nil {
			r.fail(err)
			return
		}
		r.load(metaTimeHour, reg1)
		// The kernel keeps seconds in its own byte order, and compares bytes.
		r.add(&expr.Byteorder{SourceRegister: reg1, DestRegister: reg1, Op: expr.ByteorderHton, Len: 4, Size: 4})
		r.between(binary.BigEndian.AppendUint32(nil, s.From), binary.BigEndian.AppendUint32(nil, s.To))
	case MatchNeighbourDiscovery:
		r.neighbourDiscovery()
	case VmapProtoPort:
		r.protoAndPort(reg32First, s.Map, ranged(s.Map))
	case VmapAddrProtoPort:
		r.address(s.Family, s.Side, reg1)
		next := uint32(reg32First + 1)
		if s.Family == V6 {
			next = reg32First + 4
		}
		r.protoAndPort(next, s.Map, ranged(s.Map))
	case VmapFamily:
		r.load(expr.MetaKeyNFPROTO, reg1)
		r.vmap(s.Map)
	case MeterConnections:
		r.meter(s.Family, s.Bits, s.Set, unix.NFT_DYNSET_OP_ADD, &expr.Connlimit{Count: s.Over, Flags: connlimitOver})
	case MeterRate:
		if err := checkRate(s.Rate); err != nil {
			r.fail(err)
			return
		}
		r.meter(s.Family, s.Bits, s.Set, unix.NFT_DYNSET_OP_UPDATE, limitExpr(s.Rate, true))
	case CountConnections:
		r.add(&expr.Connlimit{Count: s.Over, Flags: connlimitOver})
	case LimitRate:
		if err := checkRate(s.Rate); err != nil {
			r.fail(err)
			return
		}
		r.add(limitExpr(s.Rate, s.Over))
	case CountPacket:
		r.add(&expr.Objref{Type: objTypeCounter, Name: s.Counter})
	case LogPacket:
		log := &expr.Log{Level: expr.LogLevelInfo, Key: 1 << unix.NFTA_LOG_LEVEL}
		if prefix := safeText(s.Prefix, maxLogPrefix); prefix != "" {
			log.Key |= 1 << unix.NFTA_LOG_PREFIX
			log.Data = []byte(prefix)
		}
		r.add(log)
	case Verdict:
		code, ok := verdictCodes[s.Kind]
		if !ok {
			r.fail(fmt.Errorf("unknown verdict %q", s.Kind))
			return
		}
		r.add(&expr.Verdict{Kind: expr.VerdictKind(code), Chain: s.Chain})
	default:
		r.fail(fmt.Errorf("unknown statement %T", s))
	}
}

func (r *ruleEncoder) interfaces(s MatchInterface) {
	names := unique(s.Names)
	if len(names) == 0 {
		r.fail(errors.New("an interface match needs a name"))
		return
	}
	for _, n := range names {
		if err := checkInterface(n, len(names) == 1); err != nil {
			r.fail(err)
			return
		}
	}
	meta := expr.MetaKeyIIFNAME
	if s.Out {
		meta = expr.MetaKeyOIFNAME
	}
	r.load(meta, reg1)
	if len(names) == 1 {
		value := interfaceBytes(names[0])
		if prefix, ok := strings.CutSuffix(names[0], "*"); ok {
			value = []byte(prefix)
		}
		r.compare(equal(s.Not), value)
		return
	}
	ifname := keyTypes[Ifname]
	set := &anonymousSet{typ: ifname.num, size: ifname.size, order: ifname.order}
	for _, n := range names {
		set.elements = append(set.elements, key{from: interfaceBytes(n), to: interfaceBytes(n)})
	}
	r.lookupAnonymous(set, s.Not)
}

func (r *ruleEncoder) ports(s MatchPorts) {
	ports := normalPorts(s.Ports)
	if len(ports) == 0 {
		r.fail(errors.New("a port match needs a port"))
		return
	}
	if s.Proto != "tcp" && s.Proto != "udp" {
		r.fail(fmt.Errorf("ports of %q: only tcp and udp have ports here", s.Proto))
		return
	}
	r.needL4(s.Proto)
	offset := uint32(0)
	if s.Side == Dest {
		offset = 2
	}
	r.payload(expr.PayloadBaseTransportHeader, offset, 2, reg1)
	be := func(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
	if len(ports) == 1 {
		if p := ports[0]; p.From == p.To {
			r.compare(expr.CmpOpEq, be(p.From))
		} else {
			r.compare(expr.CmpOpGte, be(p.From))
			r.compare(expr.CmpOpLte, be(p.To))
		}
		return
	}
	service := keyTypes[InetService]
	set := &anonymousSet{typ: service.num, size: service.size, order: service.order}
	for _, p := range ports {
		if p.From != p.To {
			set.interval = true
		}
		set.elements = append(set.elements, key{from: be(p.From), to: be(p.To)})
	}
	r.lookupAnonymous(set, false)
}

// neighbourDiscovery matches the five messages of RFC 4861 section 4.
func (r *ruleEncoder) neighbourDiscovery() {
	if r.in.l4 == "" {
		r.needFamily(V6)
	}
	r.needL4("ipv6-icmp")
	r.payload(expr.PayloadBaseTransportHeader, 0, 1, reg1)
	const icmpv6Type = 29 // nft's data type number
	set := &anonymousSet{typ: icmpv6Type, size: 1, order: byteorderBig}
	for t := byte(133); t <= 137; t++ {
		set.elements = append(set.elements, key{from: []byte{t}, to: []byte{t}})
	}
	r.lookupAnonymous(set, false)
}
