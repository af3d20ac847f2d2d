package nftables

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"go4.org/netipx"
	"golang.org/x/sys/unix"
)

// messages cuts a batch into its message bodies, with the kind of each: the
// same attributes as in a dump.
func messages(b *Batch) (typs []uint16, bodies [][]byte) {
	answers, err := splitAnswers(b.w.buf)
	if err != nil {
		panic(err)
	}
	for _, a := range answers {
		typs = append(typs, a.typ&0xff)
		bodies = append(bodies, a.body[nfgenHeader:])
	}
	return typs, bodies
}

// dumpOf reads a made-up dump: for each message its kind, its length in two
// bytes and its body.
func dumpOf(b []byte) *tableDump {
	t := &tableDump{elements: map[string][][]byte{}}
	for len(b) >= 3 {
		typ, n := b[0], int(binary.BigEndian.Uint16(b[1:]))
		b = b[3:]
		body := b[:min(n, len(b))]
		b = b[len(body):]
		switch typ {
		case unix.NFT_MSG_NEWTABLE:
			t.table = body
		case unix.NFT_MSG_NEWOBJ:
			t.objects = append(t.objects, body)
		case unix.NFT_MSG_NEWFLOWTABLE:
			t.flowtables = append(t.flowtables, body)
		case unix.NFT_MSG_NEWSET:
			t.sets = append(t.sets, body)
		case unix.NFT_MSG_NEWCHAIN:
			t.chains = append(t.chains, body)
		case unix.NFT_MSG_NEWRULE:
			t.rules = append(t.rules, body)
		case unix.NFT_MSG_NEWSETELEM:
			if as, err := readAttrs(body); err == nil {
				name := cstr(get(as, unix.NFTA_SET_ELEM_LIST_SET))
				t.elements[name] = append(t.elements[name], get(as, unix.NFTA_SET_ELEM_LIST_ELEMENTS))
			}
		}
	}
	return t
}

// FuzzDump: whatever the kernel answers, reading it does not panic; what can be
// read equals itself, needs no update against itself, and can be written again.
func FuzzDump(f *testing.F) {
	frame := func(only int) []byte {
		var seed []byte
		typs, bodies := messages(Full(everything()))
		for i, typ := range typs {
			if only < 0 || i == 0 || i == only {
				seed = append(seed, byte(typ))
				seed = binary.BigEndian.AppendUint16(seed, uint16(len(bodies[i])))
				seed = append(seed, bodies[i]...)
			}
		}
		return seed
	}
	f.Add(frame(-1))
	for i := range Full(everything()).Len() {
		f.Add(frame(i))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := dumpOf(b).snapshot()
		if err != nil {
			return
		}
		// A kernel lists no object twice.
		for i := 1; i < len(s.Objects); i++ {
			if compareObjects(s.Objects[i-1], s.Objects[i]) == 0 {
				return
			}
		}
		if ds := Compare(s, s); ds != nil {
			t.Fatalf("differs from itself:%s", showDifferences(ds))
		}
		if n := Update(s, s, nil).Len(); n != 0 && !crowded(s) {
			t.Fatalf("an update to itself has %d messages", n)
		}
		Update(&Snapshot{}, s, nil)
		empty := &Snapshot{Exists: true, Objects: []Object{{Kind: kindTable, Name: TableName}}}
		Update(s, empty, nil)
		Update(empty, s, nil)
	})
}

// crowded snapshots hold more elements than the set declares, which a kernel
// does not do; such a set is replaced.
func crowded(s *Snapshot) bool {
	for i := range s.Objects {
		if o := &s.Objects[i]; o.Kind == kindSet && setChange(o, o) == replaceSet {
			return true
		}
	}
	return false
}

// FuzzAnswers: splitting what the socket gives does not panic.
func FuzzAnswers(f *testing.F) {
	b := &Batch{}
	b.AddTable("x")
	f.Add(b.w.buf)
	f.Add(append(appendHeader(nil, unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, 1, 0), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		answers, err := splitAnswers(b)
		if err != nil {
			return
		}
		for _, a := range answers {
			a.errnoOf()
			batch := Full(everything())
			_ = batch.failure(a, a.errnoOf()).String()
		}
	})
}

// FuzzText: a ruleset that Validate takes is a text that nft takes, whatever
// names, comments and prefixes it has; one that it refuses makes no panic.
func FuzzText(f *testing.F) {
	f.Add("clients", "policy.xfw:1 \"x\"", "xfwc $x: ", "eth0", "192.0.2.0/24", uint16(22), uint16(0))
	f.Add("ip", "}\ninclude \"/etc/passwd\"", "\\", "wg*", "2001:db8::-2001:db8::5", uint16(0), uint16(65535))
	f.Add("a-b.c", strings.Repeat("é", 200), strings.Repeat("x", 300), "lo;", "255.255.255.255", uint16(65535), uint16(65535))
	_, err := exec.LookPath("nft")
	kernel := err == nil && os.Geteuid() == 0
	f.Fuzz(func(t *testing.T, name, comment, prefix, link, addr string, from, to uint16) {
		var v KeyValue
		if p, err := netip.ParsePrefix(addr); err == nil {
			v = KeyValue{Addr: p.Masked().Addr(), AddrTo: netipx.PrefixLastIP(p.Masked())}
		} else if a, b, ok := strings.Cut(addr, "-"); ok {
			v.Addr, _ = netip.ParseAddr(a)
			v.AddrTo, _ = netip.ParseAddr(b)
		} else {
			v.Addr, _ = netip.ParseAddr(addr)
		}
		family := V4
		if v.Addr.Is6() {
			family = V6
		}
		r := &Ruleset{
			Comment:  comment,
			Counters: []*Counter{{Name: name, Comment: comment}},
			Sets:     []*Set{{Name: name, Key: []KeyType{addrType(family)}, Interval: true, Comment: comment, Elements: []Element{{Keys: []KeyValue{v}}}}},
			Chains: []*Chain{{Name: name, Comment: comment, Rules: []*Rule{
				{Stmts: []Stmt{LogPacket{Prefix: prefix}}, Comment: comment},
				{Stmts: []Stmt{MatchInterface{Names: []string{link}}, CountPacket{name}}},
				{Stmts: []Stmt{MatchAddrSet{family, Source, name, false}, MatchPorts{"tcp", Dest, []PortRange{{from, to}}}}},
			}}},
		}
		text := r.Text()
		Full(r)
		if !utf8.Valid(text) {
			t.Fatalf("not text: %q", text)
		}
		if r.Validate() != nil || !kernel {
			return
		}
		if err := threeLoads(r); err != nil {
			t.Fatal(err)
		}
	})
}
