package nftables

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Limits of the kernel and of nft.
const (
	maxName      = 255 // NFT_NAME_MAXLEN less the NUL
	maxComment   = 128 // NFTNL_UDATA_COMMENT_MAXLEN
	maxLogPrefix = 127 // NF_LOG_PREFIXLEN less the NUL
	maxInterface = 15  // IFNAMSIZ less the NUL
)

// reserved are the words that nft's scanner does not take as a name, in 1.0.6
// or in a newer release.
var reserved = strings.Fields(`
	accept add ah all arp auto-merge bridge bytes cgroup chain comment comp constant continue counter cpu
	create ct day dccp define delete describe destroy device devices dnat drop dst dup dynamic ecn element
	elements esp ether exists expires export exthdr fib flags flow flowtable flush frag fwd gc-interval geneve
	get goto gre gretap handle hbh hook hour ibriport ibrname icmp icmpv6 igmp iif iifgroup iifname iiftype
	import include index inet inner insert interval ip ip6 ipsec jhash jump last limit list ll log map mark
	masquerade meta meter mh missing monitor name netdev nftrace nh notrack numgen obriport obrname offload oif
	oifgroup oifname oiftype osf packets pkttype policy position priority queue quota random redefine redirect
	reject rename replace reset return rt rt0 rt2 rtclassid rule ruleset sctp secmark set size skgid skuid snat
	socket srh string symhash synproxy table tcp th time timeout tproxy type typeof udp udplite undefine update
	vlan vmap vxlan xt`)

// keyType is what nft and the kernel call a key type.
type keyType struct {
	name  string
	num   uint32 // nft's data type number, NFTA_SET_KEY_TYPE
	size  int    // bytes
	order uint32 // byte order in the set's user data, by which nft prints
}

var keyTypes = map[KeyType]keyType{
	IPv4Addr:    {"ipv4_addr", 7, 4, byteorderBig},
	IPv6Addr:    {"ipv6_addr", 8, 16, byteorderBig},
	InetProto:   {"inet_proto", 12, 1, byteorderUnknown},
	InetService: {"inet_service", 13, 2, byteorderBig},
	Ifname:      {"ifname", 41, 16, byteorderHost},
	NFProto:     {"nf_proto", 2, 1, byteorderUnknown},
}

// hooks are the places of base chains.
var hooks = map[string]uint32{
	"prerouting": hookPrerouting, "input": hookInput, "forward": hookForward, "output": hookOutput,
}

var l4Protos = map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58}

var units = map[string]uint64{"second": 1, "minute": 60, "hour": 3600, "day": 86400}

// Validate reports what nft or the kernel would refuse, or would take in
// another sense than the ruleset says: bad or repeated names, references to
// what is not there, values that do not fit a key, statements that contradict
// each other. It returns all problems, joined. A ruleset that comes from a
// checked policy has none.
func (r *Ruleset) Validate() error {
	v := &validator{sets: map[string]*Set{}, chains: map[string]*Chain{}, counters: map[string]bool{}}
	for _, c := range r.Counters {
		v.name("counter", c.Name, v.counters[c.Name])
		v.counters[c.Name] = true
	}
	for _, c := range r.Chains {
		v.name("chain", c.Name, v.chains[c.Name] != nil || c.Name == digestChain)
		v.chains[c.Name] = c
	}
	for _, s := range r.Sets {
		v.name("set", s.Name, v.sets[s.Name] != nil)
		v.sets[s.Name] = s
		v.set(s)
	}
	for _, c := range r.Chains {
		v.chain(c)
	}
	v.loops(r)
	return errors.Join(v.errs...)
}

type validator struct {
	sets     map[string]*Set
	chains   map[string]*Chain
	counters map[string]bool
	errs     []error
}

func (v *validator) addf(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validator) name(kind, name string, twice bool) {
	if err := checkName(name); err != nil {
		v.addf("%s %q: %w", kind, name, err)
	}
	if twice {
		v.addf("%s %q: there are two of this name", kind, name)
	}
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is needed")
	case len(name) > maxName:
		return fmt.Errorf("the name is longer than %d bytes", maxName)
	case slices.Contains(reserved, name):
		return errors.New("the name is a word of nft's language; choose another")
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '.')) {
			return errors.New("a name is letters, digits, '_', '-' and '.', and starts with a letter")
		}
	}
	return nil
}

// checkInterface holds an interface name to letters, digits and _ . @ -. The
// kernel refuses '/', ':' and white space in one (dev_valid_name); what else it
// takes could not stand in the text as it is (see safeText), and a name that is
// written as another one matches nothing. With wildcard a last '*' stands for
// every ending.
func checkInterface(name string, wildcard bool) error {
	base := name
	if wildcard {
		base = strings.TrimSuffix(name, "*")
	}
	if base == "" || len(base) > maxInterface || base == "." || base == ".." {
		return fmt.Errorf("interface %q: a name has 1 to %d characters", name, maxInterface)
	}
	for i := range len(base) {
		c := base[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_.@-", c) >= 0) {
			return fmt.Errorf("interface %q: the character %q cannot be in an interface name here", name, c)
		}
	}
	return nil
}

func (v *validator) set(s *Set) {
	if err := s.checkDefinition(); err != nil {
		v.addf("set %q: %w", s.Name, err)
		return
	}
	digested := !s.Dynamic && len(s.Elements) > digestAbove
	if digested && len(s.digestKind())+2*digestSize+len(digestOf)+len(s.Name) > maxComment {
		v.addf("set %q: the name is too long for a set of %d elements", s.Name, len(s.Elements))
	}
	if s.Size > 0 && len(s.Elements) > int(s.Size) {
		v.addf("set %q: %d elements do not fit its size of %d", s.Name, len(s.Elements), s.Size)
	}
	var k, last key   // last is the key of the element before
	var before []byte // its last value
	where := fmt.Sprintf("set %q", s.Name)
	for i := range s.Elements {
		e := &s.Elements[i]
		k, last = last, k
		if err := s.encodeKey(&k, e); err != nil {
			v.addf("set %q: %w", s.Name, err)
			continue
		}
		// What nft merges or refuses, and what the kernel counts once.
		if len(s.Key) == 1 && !s.Verdict && keyTypes[s.Key[0]].order == byteorderBig {
			if before != nil && bytes.Compare(k.from, before) <= 0 {
				v.addf("set %q: %s is out of order or overlaps the element before it", s.Name, s.elementText(e))
			}
			before = k.to
		}
		if s.Verdict {
			v.verdict(where, e.Do, e.Chain)
		} else if e.Do != "" || e.Chain != "" {
			v.addf("set %q: an element of a set that is no verdict map has a verdict", s.Name)
		}
	}
}

func (s *Set) checkDefinition() error {
	if len(s.Key) == 0 {
		return errors.New("a set needs a key type")
	}
	for _, k := range s.Key {
		if _, ok := keyTypes[k]; !ok {
			return fmt.Errorf("unknown key type %d", k)
		}
	}
	switch {
	case s.Dynamic && s.Size == 0:
		return errors.New("a dynamic set needs a size: without one the kernel takes 65535, and a full set lets packets pass")
	case s.Dynamic && s.Interval:
		return errors.New("a dynamic set cannot hold ranges")
	case s.Dynamic && len(s.Elements) > 0:
		return errors.New("a dynamic set is filled by rules and has no elements of its own")
	}
	return nil
}

func (v *validator) verdict(where string, k VerdictKind, chain string) {
	switch k {
	case Accept, Drop, Return:
		if chain != "" {
			v.addf("%s: the verdict %s has no chain", where, k)
		}
	case Jump, Goto:
		c := v.chains[chain]
		if c == nil {
			v.addf("%s: %s to chain %q, which is not there", where, k, chain)
		} else if c.Hook != "" {
			v.addf("%s: %s to the base chain %q", where, k, chain)
		}
	default:
		v.addf("%s: unknown verdict %q", where, k)
	}
}

func (v *validator) chain(c *Chain) {
	if _, ok := hooks[c.Hook]; c.Hook != "" && !ok {
		v.addf("chain %q: unknown hook %q", c.Name, c.Hook)
	}
	if c.Hook == "" && c.Priority != 0 {
		v.addf("chain %q: only a base chain has a priority", c.Name)
	}
	for i, r := range c.Rules {
		where := fmt.Sprintf("chain %q rule %d", c.Name, i+1)
		if r.Comment != "" {
			where += fmt.Sprintf(" (%s)", safeText(r.Comment, maxComment))
		}
		if len(r.Stmts) == 0 {
			v.addf("%s: a rule needs a statement", where)
		}
		in := ruleContext{}
		for j, s := range r.Stmts {
			if err := v.stmt(&in, s); err != nil {
				v.addf("%s: %w", where, err)
			}
			if _, last := s.(Verdict); last && j < len(r.Stmts)-1 {
				v.addf("%s: nothing can follow a verdict", where)
			}
		}
	}
}

// ruleContext is what the statements so far say about a packet: nft refuses a
// rule that contradicts itself, and both readers leave out a test that an
// earlier statement has made.
type ruleContext struct {
	family Family
	l4     string
}

func (in *ruleContext) needFamily(f Family) error {
	if in.family != 0 && in.family != f {
		return fmt.Errorf("the rule asks for IPv%d after IPv%d", f, in.family)
	}
	in.family = f
	return nil
}

func (in *ruleContext) needL4(proto string) error {
	if in.l4 != "" && in.l4 != proto {
		return fmt.Errorf("the rule asks for %s after %s", proto, in.l4)
	}
	in.l4 = proto
	return nil
}

func (v *validator) stmt(in *ruleContext, s Stmt) error {
	switch s := s.(type) {
	case MatchInterface:
		if len(s.Names) == 0 {
			return errors.New("an interface match needs a name")
		}
		for _, n := range s.Names {
			if err := checkInterface(n, len(s.Names) == 1); err != nil {
				return err
			}
		}
	case MatchAddrSet:
		if err := checkSide(s.Side); err != nil {
			return err
		}
		return errors.Join(familyKnown(in, s.Family), v.wantSet(s.Set, setIs{key: []KeyType{addrType(s.Family)}}))
	case MatchAddr:
		if err := checkSide(s.Side); err != nil {
			return err
		}
		if !fits(s.Addr, s.Family) {
			return fmt.Errorf("%s is no IPv%d address", s.Addr, s.Family)
		}
		return familyKnown(in, s.Family)
	case MatchFamily:
		return familyKnown(in, s.Family)
	case MatchL4Proto:
		if _, ok := l4Protos[s.Proto]; !ok {
			return fmt.Errorf("unknown protocol %q", s.Proto)
		}
		return in.needL4(s.Proto)
	case MatchPorts:
		if s.Proto != "tcp" && s.Proto != "udp" {
			return fmt.Errorf("ports of %q: only tcp and udp have ports here", s.Proto)
		}
		if err := checkSide(s.Side); err != nil {
			return err
		}
		if len(s.Ports) == 0 {
			return errors.New("a port match needs a port")
		}
		for _, p := range s.Ports {
			if p.To < p.From {
				return fmt.Errorf("the port range %d-%d is empty", p.From, p.To)
			}
		}
		return in.needL4(s.Proto)
	case MatchEstablished, MatchInvalid, MatchNew:
	case MatchSYN:
		return in.needL4("tcp")
	case MatchHopLimit255:
		return familyKnown(in, s.Family)
	case MatchDays:
		return s.check()
	case MatchHours:
		return s.check()
	case MatchNeighbourDiscovery:
		return errors.Join(in.needFamily(V6), in.needL4("ipv6-icmp"))
	case VmapProtoPort:
		return v.wantSet(s.Map, setIs{key: []KeyType{InetProto, InetService}, verdict: true})
	case VmapAddrProtoPort:
		if err := checkSide(s.Side); err != nil {
			return err
		}
		key := []KeyType{addrType(s.Family), InetProto, InetService}
		return errors.Join(familyKnown(in, s.Family), v.wantSet(s.Map, setIs{key: key, verdict: true}))
	case VmapFamily:
		return v.wantSet(s.Map, setIs{key: []KeyType{NFProto}, verdict: true})
	case MeterConnections:
		if err := v.meter(in, s.Family, s.Bits, s.Set); err != nil {
			return err
		}
		if v.sets[s.Set].Timeout != 0 {
			return fmt.Errorf("set %q is used with ct count and must have no timeout: the kernel refuses it", s.Set)
		}
	case MeterRate:
		if err := v.meter(in, s.Family, s.Bits, s.Set); err != nil {
			return err
		}
		return checkRate(s.Rate)
	case CountConnections:
	case LimitRate:
		return checkRate(s.Rate)
	case CountPacket:
		if !v.counters[s.Counter] {
			return fmt.Errorf("counter %q is not there", s.Counter)
		}
	case LogPacket:
	case Verdict:
		before := len(v.errs)
		v.verdict("verdict", s.Kind, s.Chain)
		if len(v.errs) > before {
			err := v.errs[before]
			v.errs = v.errs[:before]
			return err
		}
	default:
		return fmt.Errorf("unknown statement %T", s)
	}
	return nil
}

func familyKnown(in *ruleContext, f Family) error {
	if f != V4 && f != V6 {
		return fmt.Errorf("unknown address family %d", f)
	}
	return in.needFamily(f)
}

func checkSide(s Side) error {
	if s != Source && s != Dest {
		return fmt.Errorf("unknown side %q", s)
	}
	return nil
}

func checkRate(r Rate) error {
	if _, ok := units[r.Unit]; !ok {
		return fmt.Errorf("unknown unit of time %q", r.Unit)
	}
	if r.Count == 0 || r.Burst == 0 {
		return errors.New("a rate needs a count and a burst of at least 1")
	}
	if r.Count > 1<<32-1 {
		return fmt.Errorf("a rate of %d is more than the kernel counts", r.Count)
	}
	// The kernel counts tokens in nanoseconds, in 64 bits.
	if perToken := units[r.Unit] * 1e9 / r.Count; perToken > 0 && uint64(r.Burst) > math.MaxInt64/perToken {
		return fmt.Errorf("a burst of %d at %d/%s is more than the kernel counts", r.Burst, r.Count, r.Unit)
	}
	return nil
}

// setIs is what a statement asks of the set that it names.
type setIs struct {
	key     []KeyType
	verdict bool
	dynamic bool
}

func (v *validator) wantSet(name string, want setIs) error {
	s := v.sets[name]
	switch {
	case s == nil:
		return fmt.Errorf("set %q is not there", name)
	case !slices.Equal(s.Key, want.key):
		return fmt.Errorf("set %q has another key than the statement", name)
	case s.Verdict != want.verdict:
		return fmt.Errorf("set %q: a verdict map is looked up with a verdict, a set without", name)
	case want.dynamic && !s.Dynamic:
		return fmt.Errorf("set %q is filled by a rule and must be dynamic", name)
	}
	return nil
}

// check reports a range of days that the kernel does not have, or that says
// nothing.
func (m MatchDays) check() error {
	if m.From > m.To || m.To > 6 || m.From == 0 && m.To == 6 {
		return fmt.Errorf("the days %d-%d are no part of a week", m.From, m.To)
	}
	return nil
}

// check reports a range of seconds that no day has.
func (m MatchHours) check() error {
	if m.From >= m.To || m.To >= 86400 {
		return fmt.Errorf("the seconds %d-%d are no part of a day", m.From, m.To)
	}
	return nil
}

func (v *validator) meter(in *ruleContext, f Family, bits uint8, set string) error {
	if f == 0 && bits != 0 || f == V4 && bits > 32 || f == V6 && bits > 128 {
		return fmt.Errorf("no address of family %d has %d bits", f, bits)
	}
	key := InetProto
	if f != 0 {
		key = addrType(f)
		if err := familyKnown(in, f); err != nil {
			return err
		}
	}
	return v.wantSet(set, setIs{key: []KeyType{key}, dynamic: true})
}

func addrType(f Family) KeyType {
	if f == V6 {
		return IPv6Addr
	}
	return IPv4Addr
}

func fits(a netip.Addr, f Family) bool {
	return f == V4 && a.Is4() || f == V6 && a.Is6() && a.Zone() == ""
}

// loops finds chains that reach themselves, which the kernel answers with
// ELOOP, or EMLINK when the path is deeper than 16 jumps.
func (v *validator) loops(r *Ruleset) {
	next := map[string][]string{}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			for _, s := range rule.Stmts {
				switch s := s.(type) {
				case Verdict:
					next[c.Name] = append(next[c.Name], s.Chain)
				case VmapProtoPort:
					next[c.Name] = append(next[c.Name], v.targets(s.Map)...)
				case VmapAddrProtoPort:
					next[c.Name] = append(next[c.Name], v.targets(s.Map)...)
				case VmapFamily:
					next[c.Name] = append(next[c.Name], v.targets(s.Map)...)
				}
			}
		}
	}
	const open, done = 1, 2
	state := map[string]int{}
	var walk func(name string)
	walk = func(name string) {
		if name == "" || state[name] == done {
			return
		}
		if state[name] == open {
			v.addf("chain %q: packets that reach it come back to it without end", name)
			return
		}
		state[name] = open
		for _, n := range next[name] {
			walk(n)
		}
		state[name] = done
	}
	for _, c := range r.Chains {
		walk(c.Name)
	}
}

func (v *validator) targets(set string) []string {
	s := v.sets[set]
	if s == nil {
		return nil
	}
	var names []string
	for i := range s.Elements {
		names = append(names, s.Elements[i].Chain)
	}
	return names
}

// safeText makes a string fit to stand between quotes in an nft file, in the
// same way for the text and for netlink: nft has no escape in quoted strings,
// and takes '$' in a log prefix for a variable. Everything but printable ASCII
// without '"', '$', '`' and '\' is replaced; at most max bytes are kept.
func safeText(s string, max int) string {
	plain := len(s) <= max
	for i := 0; plain && i < len(s); i++ {
		c := s[i]
		plain = c >= ' ' && c <= '~' && c != '"' && c != '`' && c != '$' && c != '\\'
	}
	if plain {
		return s // as nearly all are
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '`':
			r = '\''
		case r == '\t' || r == '\n' || r == '\r':
			r = ' '
		case r < ' ' || r > '~' || r == '$' || r == '\\':
			r = '?'
		}
		b.WriteByte(byte(r))
	}
	s = b.String()
	if len(s) > max {
		s = s[:max-3] + "..."
	}
	return s
}
