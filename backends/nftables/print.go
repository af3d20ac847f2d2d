package nftables

import (
	"bytes"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"
)

const textHeader = `# This packet filter was written by xfwc, for nft -f (1.0.6 or newer).
#
# It owns the table inet xfwc and touches no other. It is one transaction: all
# of it comes into force, or nothing. Loading it again gives the same table; the
# table and its base chains stay in place meanwhile, so that no packet passes
# unjudged. Meters start to count anew, counters go on. Where an older table has
# a set of the same name and of another kind, nft refuses the whole file and
# nothing changes: xfwc apply can make that change.

`

// Text is the artefact xfwc.nft. It has four parts: what must exist, what is
// emptied, the elements, the rules. nft puts them in force as one transaction.
//
// Names and values are written as they are: Validate says what nft would
// refuse. Comments and log prefixes are made safe, as the netlink writer does.
func (r *Ruleset) Text() []byte {
	r = r.withDigests()
	p := &printer{}
	p.WriteString(textHeader)
	p.declare(r)
	p.flush(r)
	p.elements(r)
	p.rules(r)
	return p.Bytes()
}

type printer struct{ bytes.Buffer }

func (p *printer) linef(depth int, format string, args ...any) {
	for range depth {
		p.WriteByte('\t')
	}
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

func (p *printer) comment(depth int, s string) {
	if s = safeText(s, maxComment); s != "" {
		p.linef(depth, "comment \"%s\"", s)
	}
}

func (p *printer) declare(r *Ruleset) {
	p.linef(0, "table inet %s {", TableName)
	p.comment(1, r.Comment)
	for _, c := range r.Counters {
		p.linef(1, "counter %s {", safeName(c.Name))
		p.comment(2, c.Comment)
		p.linef(1, "}")
	}
	for _, s := range r.Sets {
		p.linef(1, "%s %s {", s.kind(), safeName(s.Name))
		typ := make([]string, len(s.Key))
		for i, k := range s.Key {
			typ[i] = keyTypes[k].name
		}
		verdict := ""
		if s.Verdict {
			verdict = " : verdict"
		}
		p.linef(2, "type %s%s", strings.Join(typ, " . "), verdict)
		if s.Size > 0 {
			p.linef(2, "size %d", s.Size)
		}
		var flags []string
		if s.Dynamic {
			flags = append(flags, "dynamic")
		}
		if s.Interval {
			flags = append(flags, "interval")
		}
		if s.expires() {
			flags = append(flags, "timeout")
		}
		if len(flags) > 0 {
			p.linef(2, "flags %s", strings.Join(flags, ","))
		}
		if s.Timeout > 0 {
			p.linef(2, "timeout %s", seconds(s.Timeout))
		}
		p.comment(2, s.Comment)
		p.linef(1, "}")
	}
	for _, c := range r.Chains {
		p.linef(1, "chain %s {", safeName(c.Name))
		if c.Hook != "" {
			p.linef(2, "type filter hook %s priority %d; policy accept;", safeName(c.Hook), c.Priority)
		}
		p.comment(2, c.Comment)
		p.linef(1, "}")
	}
	p.linef(0, "}")
}

func (p *printer) flush(r *Ruleset) {
	p.linef(0, "")
	p.linef(0, "flush table inet %s", TableName)
	metered := r.metered()
	for _, s := range r.Sets {
		// A dynamic set that no rule fills belongs to who fills it from outside.
		if !s.Dynamic || metered[s.Name] {
			p.linef(0, "flush %s inet %s %s", s.kind(), TableName, safeName(s.Name))
		}
	}
}

// metered are the sets that rules fill. What counts in an element keeps the
// limit that it was made with, so a changed limit needs an empty set.
func (r *Ruleset) metered() map[string]bool {
	m := map[string]bool{}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			for _, s := range rule.Stmts {
				switch s := s.(type) {
				case MeterConnections:
					m[s.Set] = true
				case MeterRate:
					m[s.Set] = true
				}
			}
		}
	}
	return m
}

func (p *printer) elements(r *Ruleset) {
	for _, s := range r.Sets {
		if len(s.Elements) == 0 {
			continue
		}
		p.linef(0, "")
		p.linef(0, "add element inet %s %s {", TableName, safeName(s.Name))
		perLine := s.perLine()
		p.Grow(len(s.Elements) * 18)
		for i, e := range s.inOrder(s.Elements) {
			switch {
			case i == 0:
				p.WriteString("\t")
			case i%perLine == 0:
				p.WriteString(",\n\t")
			default:
				p.WriteString(", ")
			}
			p.Write(s.appendElement(p.AvailableBuffer(), e))
		}
		p.linef(0, "")
		p.linef(0, "}")
	}
}

// perLine is how many elements stand on a line: few enough that a changed
// element is easily seen in a diff.
func (s *Set) perLine() int {
	switch {
	case s.Verdict || len(s.Key) != 1:
		return 1
	case s.Key[0] == IPv4Addr:
		return 4
	case s.Key[0] == IPv6Addr:
		return 2
	}
	return 8
}

// inOrder gives the elements of a verdict map in the order of their keys, and
// those of a set as they are: the compiler has sorted them. Both readers write
// them in this order, in which nft lists keys with ranges.
func (s *Set) inOrder(elements []Element) iter.Seq2[int, *Element] {
	if !s.Verdict {
		return func(yield func(int, *Element) bool) {
			for i := range elements {
				if !yield(i, &elements[i]) {
					return
				}
			}
		}
	}
	es := make([]*Element, len(elements))
	for i := range elements {
		es[i] = &elements[i]
	}
	slices.SortStableFunc(es, func(a, b *Element) int {
		ka, errA := s.elementKey(a)
		kb, errB := s.elementKey(b)
		if errA != nil || errB != nil {
			return 0
		}
		if c := bytes.Compare(ka.from, kb.from); c != 0 {
			return c
		}
		return bytes.Compare(ka.to, kb.to)
	})
	return slices.All(es)
}

func (s *Set) elementText(e *Element) string { return string(s.appendElement(nil, e)) }

// appendElement appends the text of an element.
func (s *Set) appendElement(b []byte, e *Element) []byte {
	for i := range e.Keys {
		if i > 0 {
			b = append(b, " . "...)
		}
		if i >= len(s.Key) {
			continue
		}
		v := &e.Keys[i]
		if k := s.Key[i]; (k == IPv4Addr || k == IPv6Addr) && !v.AddrTo.IsValid() && v.Addr.IsValid() {
			b = v.Addr.AppendTo(b)
		} else {
			b = append(b, v.text(k)...)
		}
	}
	if e.Timeout > 0 {
		b = append(append(b, " timeout "...), seconds(e.Timeout)...)
	}
	if s.Verdict {
		b = append(append(b, " : "...), verdictText(e.Do, e.Chain)...)
	}
	return b
}

func (v KeyValue) text(k KeyType) string {
	switch k {
	case IPv4Addr, IPv6Addr:
		if !v.AddrTo.IsValid() || v.AddrTo == v.Addr {
			return v.Addr.String()
		}
		return rangeText(v.Addr, v.AddrTo)
	case Ifname:
		return quoteInterface(v.Name)
	}
	one := func(n uint16) string { return strconv.Itoa(int(n)) }
	switch k {
	case InetProto:
		one = protoText
	case NFProto:
		one = familyText
	}
	if v.NumTo == 0 || v.NumTo == v.Num {
		return one(v.Num)
	}
	return one(v.Num) + "-" + one(v.NumTo)
}

// rangeText writes a range of addresses as a prefix if it is one.
func rangeText(from, to netip.Addr) string {
	for bits := range from.BitLen() + 1 {
		p, err := from.Prefix(bits)
		if err == nil && p.Addr() == from && netipx.PrefixLastIP(p) == to {
			return p.String()
		}
	}
	return from.String() + "-" + to.String()
}

// protoText names a protocol with the words of nft's own grammar, which need no
// /etc/protocols.
func protoText(n uint16) string {
	switch n {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	}
	return strconv.Itoa(int(n))
}

func familyText(n uint16) string {
	switch n {
	case 2:
		return "ipv4"
	case 10:
		return "ipv6"
	}
	return strconv.Itoa(int(n))
}

// seconds writes a time as nft reads it, in the largest units that fit.
func seconds(s uint32) string {
	var b strings.Builder
	for _, u := range []struct {
		name string
		n    uint32
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if s >= u.n {
			fmt.Fprintf(&b, "%d%s", s/u.n, u.name)
			s %= u.n
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

func (p *printer) rules(r *Ruleset) {
	p.linef(0, "")
	p.linef(0, "table inet %s {", TableName)
	first := true
	for _, c := range r.Chains {
		if len(c.Rules) == 0 {
			continue
		}
		if !first {
			p.linef(0, "")
		}
		first = false
		p.linef(1, "chain %s {", safeName(c.Name))
		for _, rule := range c.Rules {
			words := make([]string, 0, len(rule.Stmts)+1)
			for _, s := range rule.Stmts {
				words = append(words, stmtText(s))
			}
			if note := safeText(rule.Comment, maxComment); note != "" {
				words = append(words, fmt.Sprintf("comment \"%s\"", note))
			}
			p.linef(2, "%s", strings.Join(words, " "))
		}
		p.linef(1, "}")
	}
	p.linef(0, "}")
}

// stmtText is a statement in nft's language.
func stmtText(s Stmt) string {
	switch s := s.(type) {
	case MatchInterface:
		names := slices.Clone(s.Names)
		for i, n := range names {
			names[i] = quoteInterface(n)
		}
		key := "iifname"
		if s.Out {
			key = "oifname"
		}
		return key + not(s.Not) + anonymous(unique(names))
	case MatchAddrSet:
		return addrKeyText(s.Family, s.Side) + not(s.Not) + "@" + safeName(s.Set)
	case MatchAddr:
		return addrKeyText(s.Family, s.Side) + not(s.Not) + s.Addr.String()
	case MatchFamily:
		return fmt.Sprintf("meta nfproto ipv%d", s.Family)
	case MatchL4Proto:
		return "meta l4proto " + protoText(uint16(l4Protos[s.Proto]))
	case MatchPorts:
		ports := []string{}
		for _, r := range normalPorts(s.Ports) {
			ports = append(ports, r.String())
		}
		return safeName(s.Proto) + " " + string(s.Side) + "port " + anonymous(ports)
	case MatchEstablished:
		return "ct state established,related"
	case MatchInvalid:
		return "ct state invalid"
	case MatchNew:
		return "ct state new"
	case MatchSYN:
		return "tcp flags & (fin|syn|rst|ack) == syn"
	case MatchHopLimit255:
		if s.Family == V4 {
			return "ip ttl 255"
		}
		return "ip6 hoplimit 255"
	case MatchDays:
		if s.From == s.To {
			return fmt.Sprintf("meta day %d", s.From)
		}
		return fmt.Sprintf("meta day %d-%d", s.From, s.To)
	case MatchHours:
		return fmt.Sprintf("meta hour %d-%d", s.From, s.To)
	case MatchNeighbourDiscovery:
		return "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect }"
	case VmapProtoPort:
		return "meta l4proto . th dport vmap @" + safeName(s.Map)
	case VmapAddrProtoPort:
		return addrKeyText(s.Family, s.Side) + " . meta l4proto . th dport vmap @" + safeName(s.Map)
	case VmapFamily:
		return "meta nfproto vmap @" + safeName(s.Map)
	case MeterConnections:
		return fmt.Sprintf("add @%s { %s ct count over %d }", safeName(s.Set), meterKeyText(s.Family, s.Bits), s.Over)
	case MeterRate:
		return fmt.Sprintf("update @%s { %s limit rate over %s }", safeName(s.Set), meterKeyText(s.Family, s.Bits), s.Rate)
	case CountConnections:
		return fmt.Sprintf("ct count over %d", s.Over)
	case LimitRate:
		if s.Over {
			return "limit rate over " + s.Rate.String()
		}
		return "limit rate " + s.Rate.String()
	case CountPacket:
		return fmt.Sprintf("counter name \"%s\"", safeName(s.Counter))
	case LogPacket:
		if prefix := safeText(s.Prefix, maxLogPrefix); prefix != "" {
			return fmt.Sprintf("log prefix \"%s\" level info", prefix)
		}
		return "log level info"
	case Verdict:
		return verdictText(s.Kind, s.Chain)
	}
	return fmt.Sprintf("unknown-statement-%T", s)
}

func verdictText(k VerdictKind, chain string) string {
	if k == Jump || k == Goto {
		return string(k) + " " + safeName(chain)
	}
	return safeName(string(k))
}

// String is the rate as nft writes it, with the burst always stated.
func (r Rate) String() string {
	return fmt.Sprintf("%d/%s burst %d packets", r.Count, safeName(r.Unit), r.Burst)
}

// String is one port, or a range as from-to.
func (r PortRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(int(r.From))
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

func addrKeyText(f Family, side Side) string {
	family := "ip"
	if f == V6 {
		family = "ip6"
	}
	if side == Dest {
		return family + " daddr"
	}
	return family + " saddr"
}

// meterKeyText is what a meter counts by: a prefix of the source address, or
// everybody.
func meterKeyText(f Family, bits uint8) string {
	if f == 0 {
		return "meta l4proto"
	}
	text := addrKeyText(f, Source)
	if mask := meterMask(f, bits); mask.IsValid() {
		text += " & " + mask.String()
	}
	return text
}

// meterMask is the mask of the prefix that counts as one source: without bits
// one IPv4 address, which needs none, and one IPv6 /64 (RFC 4291 section 2.5.4:
// one subnet, the least that one user has).
func meterMask(f Family, bits uint8) netip.Addr {
	ones := netip.AddrFrom16([16]byte(bytes.Repeat([]byte{0xff}, 16)))
	if f == V4 {
		ones = netip.AddrFrom4([4]byte{0xff, 0xff, 0xff, 0xff})
	} else if bits == 0 {
		bits = 64
	}
	if f == 0 || bits == 0 || int(bits) >= ones.BitLen() {
		return netip.Addr{}
	}
	return netip.PrefixFrom(ones, int(bits)).Masked().Addr()
}

func not(n bool) string {
	if n {
		return " != "
	}
	return " "
}

// anonymous writes one value plainly and more as an anonymous set.
func anonymous(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return "{ " + strings.Join(values, ", ") + " }"
}

// unique drops repeated values and keeps the order.
func unique(values []string) []string {
	out := values[:0:0]
	for _, v := range values {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// normalPorts sorts ports and drops repeated ones. When there is a range, what
// overlaps or touches is merged: nft does so in anonymous sets, and the kernel
// then has the same elements whoever wrote them.
func normalPorts(ports []PortRange) []PortRange {
	ps := slices.Clone(ports)
	slices.SortFunc(ps, func(a, b PortRange) int {
		if a.From != b.From {
			return int(a.From) - int(b.From)
		}
		return int(a.To) - int(b.To)
	})
	ps = slices.Compact(ps)
	if !slices.ContainsFunc(ps, func(r PortRange) bool { return r.From != r.To }) {
		return ps
	}
	out := ps[:0]
	for _, r := range ps {
		if n := len(out); n > 0 && int(r.From) <= int(out[n-1].To)+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (s *Set) kind() string {
	if s.Verdict {
		return "map"
	}
	return "set"
}

// expires reports whether elements may have a timeout.
func (s *Set) expires() bool {
	return s.Expires || s.Timeout > 0 ||
		slices.ContainsFunc(s.Elements, func(e Element) bool { return e.Timeout > 0 })
}

// safeName keeps a bad name from ending the place it stands in: Validate has
// refused it, and nft will.
func safeName(s string) string {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		c := s[i]
		plain = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
	}
	if plain {
		return s // as nearly all are
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune("\"'`{}();#$\\&|<>,", r) {
			return '?'
		}
		return r
	}, s)
}

func quoteInterface(name string) string {
	return `"` + strings.ReplaceAll(safeText(name, maxComment), `"`, "?") + `"`
}
