package deploy

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// This file says in nft's words what a rule of a snapshot does, as far as such
// rules go that this program writes or that people commonly add. Comparisons
// rest on the kernel's form alone; these words are for people.

// phrase is one thing that a rule says.
type phrase struct {
	aspect string // one of aspects
	text   string
}

// aspects of a rule's meaning, in the order in which they are told.
var aspects = []string{"match", "limit", "counter", "log", "verdict"}

// ruleText is a rule in one line.
func ruleText(canonical string) string {
	var parts []string
	for _, p := range phrasesOf(canonical) {
		parts = append(parts, p.text)
	}
	return strings.Join(parts, " ")
}

// phrasesOf reads the canonical form of a rule: expressions that load a value
// into a register, and expressions that use it.
func phrasesOf(canonical string) []phrase {
	regs := map[string]string{}
	var out []phrase
	say := func(aspect, format string, args ...any) {
		out = append(out, phrase{aspect, fmt.Sprintf(format, args...)})
	}
	for _, e := range splitExpressions(canonical) {
		name, rest, _ := strings.Cut(e, " ")
		f := fields(rest)
		reg := register(f["sreg"])
		switch {
		case f["dreg"] != "" && f["dreg"] != "0" && loaded(name, f, regs) != "":
			regs[register(f["dreg"])] = loaded(name, f, regs)
		case name == "cmp" && regs[reg] != "":
			say("match", "%s", compared(regs[reg], f["op"], f["data"]))
		case name == "range" && regs[reg] != "":
			op := " "
			if f["op"] == "1" {
				op = " != "
			}
			say("match", "%s%s%s-%s", regs[reg], op, valueText(regs[reg], f["from"]), valueText(regs[reg], f["to"]))
		case name == "lookup" && regs[reg] != "" && f["dreg"] == "0":
			say("verdict", "%s vmap %s", joined(regs, f["sreg"]), setText(f["set"]))
		case name == "lookup" && regs[reg] != "":
			op := " "
			if f["flags"] == "1" {
				op = " != "
			}
			say("match", "%s%s%s", joined(regs, f["sreg"]), op, setText(f["set"]))
		case name == "immediate" && f["dreg"] == "0":
			say("verdict", "%s", strings.TrimPrefix(rest, "dreg=0 data="))
		case name == "limit" || name == "connlimit":
			say("limit", "%s", limitText(name, f))
		case name == "dynset":
			inner := strings.TrimSuffix(strings.TrimPrefix(f["expr"]+f["exprs"], "{"), "}")
			in, inRest, _ := strings.Cut(inner, " ")
			key := regs[register(f["sreg_key"])]
			say("limit", "%s { %s %s }", f["set"], key, limitText(in, fields(inRest)))
		case name == "objref" && f["type"] == "1":
			say("counter", "counter %s", strings.Trim(f["name"], `"`))
		case name == "counter":
			say("counter", "counter")
		case name == "log":
			say("log", "log %s", strings.TrimSpace(strings.Replace(rest, "prefix=", "prefix ", 1)))
		case name == "reject":
			say("verdict", "reject")
		default:
			say("match", "%s", e)
			delete(regs, register(f["dreg"])) // it holds something else now
		}
	}
	return out
}

// splitExpressions cuts at "; " outside braces and quotes.
func splitExpressions(s string) []string {
	var out []string
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ';' && depth == 0 && strings.HasPrefix(s[i:], "; "):
			out = append(out, s[start:i])
			start = i + 2
		}
	}
	return append(out, s[start:])
}

// register brings the two numberings of the kernel's registers together: 1 to 4
// of 16 bytes are the same as every fourth of 8 to 23 of 4 bytes.
func register(n string) string {
	i, err := strconv.Atoi(n)
	if err == nil && i >= 8 && (i-8)%4 == 0 {
		return strconv.Itoa((i-8)/4 + 1)
	}
	return n
}

// joined names the parts of a concatenated key, which lie in registers from
// the first on.
func joined(regs map[string]string, first string) string {
	start, err := strconv.Atoi(first)
	if err != nil {
		return regs[first]
	}
	if start < 8 {
		start = (start-1)*4 + 8
	}
	var parts []string
	for n := start; n < 24; n++ {
		if text := regs[register(strconv.Itoa(n))]; text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " . ")
}

// Keys of meta and ct, and places in headers, linux/netfilter/nf_tables.h.
var (
	metaKeys    = map[string]string{"4": "iif", "5": "oif", "6": "iifname", "7": "oifname", "15": "nfproto", "16": "l4proto", "3": "mark", "31": "day", "32": "hour"}
	ctKeys      = map[string]string{"0": "ct state", "1": "ct direction", "2": "ct status", "3": "ct mark"}
	headerParts = map[[3]string]string{
		{"1", "12", "4"}: "ip saddr", {"1", "16", "4"}: "ip daddr", {"1", "8", "1"}: "ip ttl",
		{"1", "8", "16"}: "ip6 saddr", {"1", "24", "16"}: "ip6 daddr", {"1", "7", "1"}: "ip6 hoplimit",
		{"2", "0", "2"}: "sport", {"2", "2", "2"}: "dport", {"2", "13", "1"}: "tcp flags", {"2", "0", "1"}: "icmp type",
	}
)

// loaded names the value that an expression puts into a register; "" when that
// is not known.
func loaded(name string, f map[string]string, regs map[string]string) string {
	switch name {
	case "meta":
		return metaKeys[f["key"]]
	case "ct":
		return ctKeys[f["key"]]
	case "payload":
		if part := headerParts[[3]string{f["base"], f["offset"], f["len"]}]; part != "" {
			return part
		}
		// nft loads only the bytes of a prefix that ends with a byte.
		for key, part := range headerParts {
			full, _ := strconv.Atoi(key[2])
			n, err := strconv.Atoi(f["len"])
			if err == nil && n > 0 && n < full && key[0] == f["base"] && key[1] == f["offset"] && strings.HasSuffix(part, "addr") {
				return part
			}
		}
		return ""
	case "bitwise":
		from := regs[register(f["sreg"])]
		if from == "" {
			return ""
		}
		return from + " & " + strings.TrimPrefix(f["mask"], "0x")
	}
	return ""
}

// compared writes a comparison; a masked value that must not be zero is a
// test for any of the mask's bits.
func compared(what, op, data string) string {
	base, mask, masked := strings.Cut(what, " & ")
	if masked && base == "ct state" && op == "1" && strings.Trim(data, "0x") == "" {
		return "ct state " + stateText(mask)
	}
	ops := map[string]string{"0": "", "1": "!= ", "2": "< ", "3": "<= ", "4": "> ", "5": ">= "}
	sign, ok := ops[op]
	if !ok {
		sign = "op" + op + " "
	}
	if masked {
		if bits, ok := prefixBits(mask); ok && strings.HasSuffix(base, "addr") {
			return fmt.Sprintf("%s %s%s/%d", base, sign, valueText(base, data), bits)
		}
		return fmt.Sprintf("%s & 0x%s %s%s", base, mask, sign, data)
	}
	return what + " " + sign + valueText(what, data)
}

// stateBits are those of ct state, linux/netfilter/nf_conntrack_common.h.
var stateBits = []struct {
	bit  uint32
	name string
}{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}}

func stateText(mask string) string {
	b, err := hex.DecodeString(mask)
	if err != nil || len(b) != 4 {
		return "0x" + mask
	}
	n := binary.NativeEndian.Uint32(b)
	var names []string
	for _, s := range stateBits {
		if n&s.bit != 0 {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ",")
}

// prefixBits is the length of a mask that is a prefix.
func prefixBits(mask string) (int, bool) {
	b, err := hex.DecodeString(mask)
	if err != nil {
		return 0, false
	}
	n, ended := 0, false
	for _, c := range b {
		for bit := 7; bit >= 0; bit-- {
			set := c>>bit&1 == 1
			if set && ended {
				return 0, false
			}
			if set {
				n++
			} else {
				ended = true
			}
		}
	}
	return n, true
}

var (
	protocols = map[byte]string{1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}
	families  = map[byte]string{2: "ipv4", 10: "ipv6"}
)

// valueText writes a value of the kind that what names.
func valueText(what, data string) string {
	b, err := hex.DecodeString(strings.TrimPrefix(data, "0x"))
	if err != nil || len(b) == 0 {
		return data
	}
	switch {
	case strings.HasSuffix(what, "addr"):
		full := 4
		if strings.HasPrefix(what, "ip6") {
			full = 16
		}
		bits := len(b) * 8
		for len(b) < full {
			b = append(b, 0)
		}
		a, ok := netip.AddrFromSlice(b)
		switch {
		case ok && bits < full*8:
			return netip.PrefixFrom(a, bits).String()
		case ok:
			return a.String()
		}
	case strings.HasSuffix(what, "port") && len(b) == 2:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case what == "l4proto" && len(b) == 1 && protocols[b[0]] != "":
		return protocols[b[0]]
	case what == "nfproto" && len(b) == 1 && families[b[0]] != "":
		return families[b[0]]
	case strings.HasSuffix(what, "ifname"):
		if name := strings.TrimRight(string(b), "\x00"); !strings.Contains(name, "\x00") {
			return strconv.Quote(name)
		}
	case len(b) == 1:
		return strconv.Itoa(int(b[0]))
	}
	return data
}

// setText names a set, or lists the members of one without a name.
func setText(set string) string {
	inner, ok := strings.CutPrefix(set, "{")
	if !ok {
		return set
	}
	// The definition comes first, as name=value words.
	words := strings.Fields(strings.TrimSuffix(inner, "}"))
	i := slices.IndexFunc(words, func(w string) bool { return !strings.Contains(w, "=") })
	if i < 0 {
		return set
	}
	return "{ " + strings.Join(words[i:], " ") + " }"
}

// rateUnits are the kernel's units of rates, in seconds.
var rateUnits = map[uint64]string{1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}

func limitText(name string, f map[string]string) string {
	over := ""
	switch name {
	case "connlimit":
		if f["flags"] == "1" {
			over = "over "
		}
		return "ct count " + over + f["count"]
	case "limit":
		rate, err1 := strconv.ParseUint(strings.TrimPrefix(f["rate"], "0x"), 16, 64)
		unit, err2 := strconv.ParseUint(strings.TrimPrefix(f["unit"], "0x"), 16, 64)
		if f["flags"] == "1" {
			over = "over "
		}
		if err1 == nil && err2 == nil && rateUnits[unit] != "" {
			return fmt.Sprintf("limit rate %s%d/%s burst %s packets", over, rate, rateUnits[unit], f["burst"])
		}
	}
	return strings.TrimSpace(name + " " + sortedFields(f))
}

func sortedFields(f map[string]string) string {
	var parts []string
	for k, v := range f {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
