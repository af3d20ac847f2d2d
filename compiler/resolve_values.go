package compiler

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// What words can say: addresses, ports, rates, sizes, domains, dates. Each
// reports a word that says something else, and returns false.

// host reads an address that a machine can have.
func (s *state) host(w *lang.Word) (netip.Addr, bool) {
	a, wrong := parseAddr(w.Text)
	switch {
	case wrong != "" && strings.Contains(w.Text, "/"):
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no address", quoted(w.Text)), "Write one address, without a length.").Fix = respell(w, rightHost(w.Text))
		return a, false
	case wrong != "":
		s.addRemedy("value-invalid", w.Span(), wrong, "Write an IPv4 or IPv6 address.").Fix = respell(w, rightPrefix(w.Text))
		return a, false
	}
	if kind := noHost(netip.PrefixFrom(a, a.BitLen())); kind != "" {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s cannot be the address of a machine on a network: it is %s", a, kind), "Write the address that others reach it by.")
		return a, false
	}
	s.speltAddress(w, netip.PrefixFrom(a, a.BitLen()))
	return a, true
}

// noHosts are the blocks of addresses that no other machine on a network has.
var noHosts = []struct {
	block netip.Prefix
	kind  string
}{
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast (RFC 919 section 7)"},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified (RFC 1122 section 3.2.1.3)"},
	{netip.MustParsePrefix("127.0.0.0/8"), ownMachine},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("::/128"), "unspecified (RFC 4291 section 2.5.2)"},
	{netip.MustParsePrefix("::1/128"), ownMachine},
	{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291 section 2.7)"},
}

const ownMachine = "loopback, which is every machine's own"

// noHost says what kind of addresses p has that no other machine on a network
// can have; "" is a prefix of hosts, or one so wide that it holds others too.
func noHost(p netip.Prefix) string {
	for _, n := range noHosts {
		if n.block.Bits() <= p.Bits() && n.block.Contains(p.Addr()) {
			return n.kind
		}
	}
	return ""
}

// whole says why a prefix of length 0 cannot be written where a list of
// addresses stands.
func whole(p netip.Prefix) string {
	family := "IPv4"
	if p.Addr().Is6() {
		family = "IPv6"
	}
	return fmt.Sprintf("%s is every %s address there is, which no list has to name", p, family)
}

// peerAddress reads a word that stands for the addresses of a peer: a server
// has some, and not a part of the internet.
func (s *state) peerAddress(w *lang.Word) (placeWord, bool) {
	a, ok := s.address(w)
	if !ok {
		return a, false
	}
	for _, p := range a.prefixes {
		widest := 16
		if p.Addr().Is6() {
			widest = 32
		}
		switch kind := noHost(p); {
		case kind != "":
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s cannot be the address of a peer: it is %s", spell(p), kind), "Write the address that the peer's server is reached by.")
			return placeWord{}, false
		case p.Bits() < widest:
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is wider than /%d: a peer is a server, and not a part of the internet", p, widest),
				"Write the addresses of the peer's server; where every server may federate, write default allow.")
			return placeWord{}, false
		}
	}
	return a, true
}

// componentAddresses reports words that stand for addresses which no component
// can have. Loopback it has where it runs on the server's machine.
func (s *state) componentAddresses(ws []*lang.Word) bool {
	ok := true
	for _, w := range ws {
		p, wrong := parsePrefix(w.Text)
		if _, name := s.names[w.Text]; name || wrong != "" {
			continue
		}
		if kind := noHost(p); kind != "" && kind != ownMachine {
			s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s cannot be the address of a component: it is %s", spell(p), kind), "Write the address of the machine that the component runs on.")
			ok = false
		}
	}
	return ok
}

// hosts reads a list of machine addresses without repetition.
func (s *state) hosts(have []netip.Addr, ws []*lang.Word) []netip.Addr {
	for _, w := range ws {
		a, ok := s.host(w)
		if !ok {
			continue
		}
		for _, b := range have {
			if a == b {
				s.add("value-conflict", w.Span(), fmt.Sprintf("address %s is stated twice", a))
				ok = false
			}
		}
		if ok {
			have = append(have, a)
		}
	}
	return have
}

func hostPrefixes(as []netip.Addr) []netip.Prefix {
	ps := make([]netip.Prefix, len(as))
	for i, a := range as {
		ps[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return ps
}

// looksNumeric tells a misspelt address from a misspelt name.
func looksNumeric(text string) bool {
	return text != "" && (text[0] >= '0' && text[0] <= '9' || strings.Contains(text, ":"))
}

// place is where addresses come from: a name or a literal.
type placeWord struct {
	label    string
	prefixes []netip.Prefix
	set      *ir.AddrSet // the set of the name; nil for a literal
	network  *ir.Network
}

// address reads a word that stands for addresses: the name of a network, zone,
// server or point, an address, or a prefix.
func (s *state) address(w *lang.Word) (placeWord, bool) {
	if n, ok := s.names[w.Text]; ok {
		n.used = true
		set := n.set()
		if set == nil {
			return placeWord{}, false // its own statement has been reported
		}
		if len(set.Prefixes) == 0 && n.kind != "network" {
			s.addRemedy("value-missing", w.Span(), fmt.Sprintf("%s %s states no address", n.kind, w.Text), "State its address, or write the address here.",
				diag.Label{Span: n.word.Span(), Text: "stated here"})
			return placeWord{}, false
		}
		return placeWord{n.kind + " " + w.Text, set.Prefixes, set, n.net}, true
	}
	if looksNumeric(w.Text) {
		p, wrong := parsePrefix(w.Text)
		if wrong != "" {
			s.addRemedy("value-invalid", w.Span(), wrong, "Write an address such as 192.0.2.7, or a prefix such as 2001:db8::/32.").Fix = respell(w, rightPrefix(w.Text))
			return placeWord{}, false
		}
		if p.Bits() == 0 {
			s.addRemedy("value-invalid", w.Span(), whole(p), "Write any for every address; an interface faces internet, and a peer has addresses of its own.")
			return placeWord{}, false
		}
		s.speltAddress(w, p)
		return placeWord{label: w.Text, prefixes: []netip.Prefix{p}}, true
	}
	if w.Text == "internet" {
		s.addRemedy("value-invalid", w.Span(), "internet is only what an interface faces", "Write any for every address.")
		return placeWord{}, false
	}
	s.addRemedy("name-unknown", w.Span(), fmt.Sprintf("no network, zone, server or point is named %s", quoted(w.Text)),
		suggest(w.Text, s.namesOf(addressKinds...))+"Define the name, or correct its spelling.").Fix =
		respell(w, diag.MeantName(w.Text, s.namesOf(addressKinds...)))
	return placeWord{}, false
}

// endpoint reads a list of words as one side of a flow. set names the set of a
// list that is more than one name; "" forbids the word any.
func (s *state) endpoint(ws []*lang.Word, set string, anyway bool, o ir.Origin) (ir.Endpoint, bool) {
	var labels []string
	var ps []netip.Prefix
	var only *ir.AddrSet
	var members []*ir.AddrSet
	ok := true
	for _, w := range ws {
		if w.Text == "any" {
			if !anyway {
				s.addRemedy("value-invalid", w.Span(), "any cannot stand here", "Name networks, addresses or prefixes.")
				return ir.Endpoint{}, false
			}
			if len(ws) > 1 {
				s.addRemedy("value-conflict", w.Span(), "any holds every other address of this list", "Keep any, or the others.")
				return ir.Endpoint{}, false
			}
			return ir.Endpoint{Label: "any", Any: true}, true
		}
		a, good := s.address(w)
		if !good {
			ok = false
			continue
		}
		labels = append(labels, a.label)
		if len(ws) > 1 || a.set == nil {
			ps = append(ps, a.prefixes...) // else a copy of what may be a long feed
		}
		only = a.set
		members = append(members, a.set)
	}
	if !ok || len(ws) == 0 {
		return ir.Endpoint{}, false
	}
	if len(ws) > 1 || only == nil {
		only = s.addrSet(set, o, ps, members...)
	}
	return ir.Endpoint{Label: origin(diag.Span{}, strings.Join(labels, ", ")).Label, Set: only}, true
}

// port reads one port.
func (s *state) port(w *lang.Word) (uint16, bool) {
	n, err := strconv.ParseUint(w.Text, 10, 16)
	if err != nil || n == 0 {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no port", quoted(w.Text)), "Write a number from 1 to 65535.")
		return 0, false
	}
	return uint16(n), true
}

// parsePorts reads a port or a range of ports.
func parsePorts(text string) (from, to uint16, ok bool) {
	a, b, isRange := strings.Cut(text, "-")
	if !isRange {
		b = a
	}
	f, errF := strconv.ParseUint(a, 10, 16)
	t, errT := strconv.ParseUint(b, 10, 16)
	if errF != nil || errT != nil || f == 0 || f > t {
		return 0, 0, false
	}
	return uint16(f), uint16(t), true
}

// domain reads a domain in ASCII (RFC 5890 section 2.3.1), in lower case.
func (s *state) domain(w *lang.Word) (string, bool) {
	d := strings.ToLower(w.Text)
	if wrong := wrongDomain(d); wrong != "" {
		s.addRemedy("value-invalid", w.Span(), fmt.Sprintf("%s is no domain: %s", quoted(w.Text), wrong), "Write the domain in ASCII, an international one as its xn-- form.")
		return "", false
	}
	s.spelt(w, "domain "+w.Text, d)
	return d, true
}

// wrongDomain says what keeps a text from being a host name of RFC 1123
// section 2.1; "" is a domain.
func wrongDomain(d string) string {
	if len(d) > 253 {
		return "it is longer than 253 characters"
	}
	labels := strings.Split(d, ".")
	for _, l := range labels {
		switch {
		case l == "":
			return "a part of it is empty"
		case len(l) > 63:
			return "a part of it is longer than 63 characters"
		case l[0] == '-' || l[len(l)-1] == '-':
			return "a part of it starts or ends with -"
		}
		for i := range len(l) {
			if c := l[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return fmt.Sprintf("it holds %q", c)
			}
		}
	}
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' && strings.Trim(last, "0123456789") == "" {
		return "it ends in a number"
	}
	return ""
}

// size reads a number of bytes: 65536, 64KiB, 1MiB, 500kB.
func (s *state) size(w *lang.Word) (uint64, bool) {
	n, wrong := parseSize(w.Text)
	if wrong != "" {
		s.addRemedy("value-invalid", w.Span(), wrong, "Write a size such as 64KiB, 1MiB or 500kB.")
	}
	return n, wrong == ""
}

// parseSize reads a number of bytes; otherwise it says what is wrong.
func parseSize(text string) (n uint64, wrong string) {
	digits := strings.TrimRight(text, "KMGkiB")
	factor, known := map[string]uint64{
		"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || !known || n == 0 || n > math.MaxInt64/factor {
		return 0, fmt.Sprintf("%s is no size", quoted(text))
	}
	return n * factor, ""
}

// duration reads a time: 30s, 10m, 2h, 7d.
func (s *state) duration(w *lang.Word) (uint64, bool) {
	n, wrong := parseDuration(w.Text)
	if wrong != "" {
		s.addRemedy("value-invalid", w.Span(), wrong, "Write a time such as 30s, 10m, 2h or 7d.")
	}
	return n, wrong == ""
}

// parseDuration reads a time in seconds; otherwise it says what is wrong.
func parseDuration(text string) (n uint64, wrong string) {
	digits := strings.TrimRight(text, "smhdin")
	factor, known := map[string]uint64{"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 32)
	const most = 10 * 366 * 86400
	switch {
	case err != nil || !known || n == 0:
		return 0, fmt.Sprintf("%s is no time", quoted(text))
	case n*factor > most:
		return 0, fmt.Sprintf("%s is longer than ten years", quoted(text))
	}
	return n * factor, ""
}

// validDate reports whether text is a date of the form YYYY-MM-DD.
func validDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil && len(text) == len(time.DateOnly)
}
