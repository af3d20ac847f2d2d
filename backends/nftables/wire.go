package nftables

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Attribute numbers of linux/netfilter/nf_tables.h that golang.org/x/sys/unix
// does not name.
const (
	tableUserdata     = 6
	chainFlags        = 10
	chainUserdata     = 12
	setElemKeyEnd     = 10
	setElemExprs      = 11
	setExpr           = 17
	setExprs          = 18
	setBackend        = 19 // name of the kernel's set implementation, 6.16 and newer
	setCount          = 20 // number of elements, 6.16 and newer
	setDescConcat     = 2
	setFieldLen       = 1
	objHandle         = 6
	objUserdata       = 8
	setHandle         = 16
	flowtableTable    = 1
	flowtableName     = 2
	flowtableUse      = 4
	flowtableHandle   = 5
	setFlagEval       = 0x20
	setFlagConcat     = 0x80
	dataVerdictType   = 0xffffff00
	elemFlagEnd       = 0x1
	objTypeCounter    = 1
	maxAttrLen        = 0xffff
	attrTypeMask      = 0x3fff // without the nested and byte order bits
	nlaHeader         = 4
	nlmsgHeader       = 16
	nfgenHeader       = 4
	regVerdict        = 0
	reg1              = 1
	reg32First        = 8 // NFT_REG32_00, the same bytes as register 1
	connlimitOver     = 1
	hookPrerouting    = 0
	hookInput         = 1
	hookForward       = 2
	hookOutput        = 3
	hookPostrouting   = 4
	hookAttrNum       = 1
	hookAttrPriority  = 2
	nfnlSubsysNFT     = unix.NFNL_SUBSYS_NFTABLES
	nfnlMsgBatchBegin = unix.NFNL_MSG_BATCH_BEGIN
	nfnlMsgBatchEnd   = unix.NFNL_MSG_BATCH_END
)

func align4(n int) int { return (n + 3) &^ 3 }

// writer appends netlink attributes to a buffer. Numbers in nf_tables
// attributes are big endian; lengths and types are of the machine.
type writer struct {
	buf []byte
	// tooLong is set when an attribute did not fit its length field of 16 bits:
	// the kernel would read something else.
	tooLong bool
}

func (w *writer) header(typ uint16, size int) {
	w.tooLong = w.tooLong || nlaHeader+size > maxAttrLen
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(nlaHeader+size))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, typ)
}

func (w *writer) pad() {
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

func (w *writer) bytes(typ uint16, b []byte) {
	w.header(typ, len(b))
	w.buf = append(w.buf, b...)
	w.pad()
}

// str appends a string with its closing NUL.
func (w *writer) str(typ uint16, s string) {
	w.header(typ, len(s)+1)
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, 0)
	w.pad()
}

func (w *writer) u32(typ uint16, v uint32) {
	w.header(typ, 4)
	w.buf = binary.BigEndian.AppendUint32(w.buf, v)
}

func (w *writer) u64(typ uint16, v uint64) {
	w.header(typ, 8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, v)
}

// nest opens a nested attribute; end closes it.
func (w *writer) nest(typ uint16) int {
	at := len(w.buf)
	w.header(typ|unix.NLA_F_NESTED, 0)
	return at
}

func (w *writer) end(at int) {
	w.tooLong = w.tooLong || len(w.buf)-at > maxAttrLen
	binary.NativeEndian.PutUint16(w.buf[at:], uint16(len(w.buf)-at))
}

// attr is one netlink attribute as read.
type attr struct {
	typ  uint16 // without the flag bits
	data []byte
}

// readAttrs splits a run of attributes. The data share b's memory.
func readAttrs(b []byte) ([]attr, error) {
	var as []attr
	for len(b) > 0 {
		if len(b) < nlaHeader {
			return nil, fmt.Errorf("netlink attribute: %d bytes where a header of %d is due", len(b), nlaHeader)
		}
		size := int(binary.NativeEndian.Uint16(b))
		typ := binary.NativeEndian.Uint16(b[2:])
		if size < nlaHeader || size > len(b) {
			return nil, fmt.Errorf("netlink attribute %d: length %d in %d bytes", typ&attrTypeMask, size, len(b))
		}
		as = append(as, attr{typ & attrTypeMask, b[nlaHeader:size:size]})
		b = b[min(align4(size), len(b)):]
	}
	return as, nil
}

// get gives the data of the first attribute of a type, nil when there is none.
func get(as []attr, typ uint16) []byte {
	for _, a := range as {
		if a.typ == typ {
			return a.data
		}
	}
	return nil
}

func has(as []attr, typ uint16) bool {
	for _, a := range as {
		if a.typ == typ {
			return true
		}
	}
	return false
}

// cstr is an attribute as a string, without the closing NUL.
func cstr(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// be32 reads a number of four bytes; anything else is 0.
func be32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func be64(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// User data of tables, chains, rules, sets, objects and elements is a run of
// (type, length, value) with one byte each for type and length. The kernel
// stores it without looking; the types are a convention of libnftnl.
const (
	udataComment      = 0 // tables, chains, rules, objects, elements
	udataSetKeyOrder  = 0
	udataSetDataOrder = 1
	udataSetAutoMerge = 2
	udataSetComment   = 7
	byteorderUnknown  = 0
	byteorderHost     = 1
	byteorderBig      = 2
)

func udataString(b []byte, typ byte, s string) []byte {
	b = append(b, typ, byte(len(s)+1))
	b = append(b, s...)
	return append(b, 0)
}

// udataU32 appends a number in the machine's byte order, as libnftnl does.
func udataU32(b []byte, typ byte, v uint32) []byte {
	b = append(b, typ, 4)
	return binary.NativeEndian.AppendUint32(b, v)
}

// readUdata finds one entry; nil when it is not there or the data is broken.
func readUdata(b []byte, typ byte) []byte {
	for len(b) >= 2 {
		n := int(b[1])
		if len(b) < 2+n {
			return nil
		}
		if b[0] == typ {
			return b[2 : 2+n]
		}
		b = b[2+n:]
	}
	return nil
}
