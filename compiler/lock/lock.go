package lock

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"

	"xfwc/lang/diag"
)

// Version is the one version of the format that this program reads and writes.
const Version = 1

// The services of RFC 6120 section 3.2.1 and XEP-0368 section 3.
const (
	Client    = "_xmpp-client"
	ClientTLS = "_xmpps-client"
	Server    = "_xmpp-server"
	ServerTLS = "_xmpps-server"
)

// FallbackPort is used for peers without an SRV answer (RFC 6120 section 3.2.2).
const FallbackPort = 5269

// SketchSize bounds the sketch of a feed.
const SketchSize = 128

// File is a whole lock. The zero value with Version set is an empty lock.
type File struct {
	Version int
	Peers   []*Peer // sorted by domain
	// Own is what DNS says of the domains of the policy's servers, sorted by
	// domain. Nothing is compiled from it: checks compare it with the policy.
	Own   []*Peer
	Feeds []*Feed // sorted by path
}

// Peer is what DNS said of one federation peer, or of a domain of the policy's own.
type Peer struct {
	Domain string // ASCII, lower case, without a dot at the end
	// SRV holds the records of both services between servers, and for an own
	// domain also of those of clients, sorted by service, priority, weight (the
	// heavier first), target and port.
	SRV []SRV
	// Fallback is set when servers have no SRV answer: Hosts holds the domain
	// itself if it has addresses, and the port is FallbackPort.
	Fallback bool
	Hosts    []Host // sorted by target
	// Connect is set for an own domain that still has the TXT records of
	// _xmppconnect, which XEP-0156 has removed as insecure.
	Connect bool
	DNSSEC  string // "secure", "insecure", "bogus" or "unknown"
	Span    diag.Span
}

// SRV is one service record (RFC 2782).
type SRV struct {
	Service  string // Server or ServerTLS
	Target   string // "." when the service is absent
	Port     uint16
	Priority uint16
	Weight   uint16
	TTL      uint32 // seconds
}

// Absent reports whether the record says that there is no such service.
func (s SRV) Absent() bool { return s.Target == "." }

// Host is a target with its addresses, sorted, IPv4 first.
type Host struct {
	Target    string
	Addresses []netip.Addr
}

// Feed is the state of a feed file when it was last accepted.
type Feed struct {
	Path    string // as the policy states it
	Digest  string // "sha256:…" over its merged prefixes
	Entries int    // that it lists: prefixes after merging, domains, texts
	// Date is the day on which the feed was accepted, YYYY-MM-DD; "" where
	// nothing in the policy or the feed depends on it.
	Date string
	// Sketch is a small likeness of the entries, by which a later feed can be
	// compared with this one: sorted, each value once, at most SketchSize of
	// them. nil where the policy sets no bound to changes.
	Sketch []uint64
	Span   diag.Span
}

// AddrPort is an address of a peer, the port it is reached on, and whether TLS
// comes first there (XEP-0368) or STARTTLS is negotiated.
type AddrPort struct {
	Addr      netip.Addr
	Port      uint16
	DirectTLS bool
}

// Peer returns the peer of that domain, or nil. f may be nil.
func (f *File) Peer(domain string) *Peer {
	if f == nil {
		return nil
	}
	return find(f.Peers, domain)
}

// find looks a domain up in a sorted list.
func find(ps []*Peer, domain string) *Peer {
	i, ok := slices.BinarySearchFunc(ps, domain, func(p *Peer, domain string) int { return cmp.Compare(p.Domain, domain) })
	if !ok {
		return nil
	}
	return ps[i]
}

// OwnDomain returns what DNS said of a domain of the policy's own, or nil. f may
// be nil.
func (f *File) OwnDomain(domain string) *Peer {
	if f == nil {
		return nil
	}
	return find(f.Own, domain)
}

// Feed returns the feed of that path, or nil. f may be nil.
func (f *File) Feed(path string) *Feed {
	if f == nil {
		return nil
	}
	for _, d := range f.Feeds {
		if d.Path == path {
			return d
		}
	}
	return nil
}

// Absent reports whether DNS says that the peer takes no federation: it has
// records, and every one of them names the root (RFC 6120 section 3.2.1).
func (p *Peer) Absent() bool {
	return len(p.SRV) > 0 && !slices.ContainsFunc(p.SRV, func(s SRV) bool { return !s.Absent() })
}

// Records lists the SRV records of a service, in their order.
func (p *Peer) Records(service string) []SRV {
	var out []SRV
	for _, s := range p.SRV {
		if s.Service == service {
			out = append(out, s)
		}
	}
	return out
}

// AddressesOf lists the addresses of a target.
func (p *Peer) AddressesOf(target string) []netip.Addr {
	for _, h := range p.Hosts {
		if h.Target == target {
			return h.Addresses
		}
	}
	return nil
}

// Endpoints lists where the peer is reached, sorted by address and port,
// without duplicates. Targets without addresses contribute nothing.
func (p *Peer) Endpoints() []AddrPort {
	var out []AddrPort
	add := func(target string, port uint16, direct bool) {
		for _, a := range p.AddressesOf(target) {
			out = append(out, AddrPort{a, port, direct})
		}
	}
	if p.Fallback {
		add(p.Domain, FallbackPort, false)
	}
	for _, s := range p.SRV {
		if !s.Absent() {
			add(s.Target, s.Port, s.Service == ServerTLS)
		}
	}
	slices.SortFunc(out, func(a, b AddrPort) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), boolCompare(a.DirectTLS, b.DirectTLS))
	})
	return slices.Compact(out)
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Sort puts everything into the order of the file.
func (f *File) Sort() {
	slices.SortFunc(f.Peers, func(a, b *Peer) int { return cmp.Compare(a.Domain, b.Domain) })
	slices.SortFunc(f.Feeds, func(a, b *Feed) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(f.Own, func(a, b *Peer) int { return cmp.Compare(a.Domain, b.Domain) })
	for _, p := range slices.Concat(f.Peers, f.Own) {
		slices.SortFunc(p.SRV, func(a, b SRV) int {
			return cmp.Or(
				cmp.Compare(a.Service, b.Service),
				cmp.Compare(a.Priority, b.Priority),
				cmp.Compare(b.Weight, a.Weight),
				cmp.Compare(a.Target, b.Target),
				cmp.Compare(a.Port, b.Port),
				cmp.Compare(a.TTL, b.TTL),
			)
		})
		slices.SortFunc(p.Hosts, func(a, b Host) int { return cmp.Compare(a.Target, b.Target) })
		for _, h := range p.Hosts {
			slices.SortFunc(h.Addresses, netip.Addr.Compare)
		}
	}
}

// Format writes the lock: sorted, one record a line, the same bytes for the
// same facts. Parse reads it back without loss.
func (f *File) Format() []byte {
	f.Sort()
	var b bytes.Buffer
	b.WriteString("{\n  \"version\": ")
	b.WriteString(strconv.Itoa(f.Version))
	b.WriteString(",\n  \"peers\": ")
	domains(&b, f.Peers)
	if len(f.Own) > 0 {
		b.WriteString(",\n  \"own\": ")
		domains(&b, f.Own)
	}
	b.WriteString(",\n  \"feeds\": ")
	object(&b, "  ", len(f.Feeds), func(i int) {
		d := f.Feeds[i]
		str(&b, d.Path)
		b.WriteString(": {\"digest\": ")
		str(&b, d.Digest)
		number(&b, ", \"entries\": ", uint64(d.Entries))
		if d.Date != "" {
			b.WriteString(", \"date\": ")
			str(&b, d.Date)
		}
		if d.Sketch != nil {
			var raw []byte
			for _, h := range d.Sketch {
				raw = binary.BigEndian.AppendUint64(raw, h)
			}
			b.WriteString(", \"sketch\": ")
			str(&b, base64.StdEncoding.EncodeToString(raw))
		}
		b.WriteString("}")
	})
	b.WriteString("\n}\n")
	return b.Bytes()
}

// domains writes what DNS said of domains.
func domains(b *bytes.Buffer, ps []*Peer) {
	object(b, "  ", len(ps), func(i int) {
		p := ps[i]
		str(b, p.Domain)
		b.WriteString(": {\n")
		if p.Fallback {
			b.WriteString("      \"fallback\": true,\n")
		}
		if len(p.SRV) > 0 {
			b.WriteString("      \"srv\": [\n")
			for j, s := range p.SRV {
				b.WriteString("        {\"service\": ")
				str(b, s.Service)
				b.WriteString(", \"target\": ")
				str(b, s.Target)
				number(b, ", \"port\": ", uint64(s.Port))
				number(b, ", \"priority\": ", uint64(s.Priority))
				number(b, ", \"weight\": ", uint64(s.Weight))
				number(b, ", \"ttl\": ", uint64(s.TTL))
				b.WriteString("}" + comma(j, len(p.SRV)) + "\n")
			}
			b.WriteString("      ],\n")
		}
		b.WriteString("      \"addresses\": ")
		object(b, "      ", len(p.Hosts), func(j int) {
			h := p.Hosts[j]
			str(b, h.Target)
			b.WriteString(": [")
			for k, a := range h.Addresses {
				if k > 0 {
					b.WriteString(", ")
				}
				str(b, a.String())
			}
			b.WriteString("]")
		})
		if p.Connect {
			b.WriteString(",\n      \"xmppconnect\": true")
		}
		b.WriteString(",\n      \"dnssec\": ")
		str(b, p.DNSSEC)
		b.WriteString("\n    }")
	})
}

// object writes n members, each on lines of its own below indent.
func object(b *bytes.Buffer, indent string, n int, member func(i int)) {
	if n == 0 {
		b.WriteString("{}")
		return
	}
	b.WriteString("{\n")
	for i := range n {
		b.WriteString(indent + "  ")
		member(i)
		b.WriteString(comma(i, n) + "\n")
	}
	b.WriteString(indent + "}")
}

func comma(i, n int) string {
	if i < n-1 {
		return ","
	}
	return ""
}

func number(b *bytes.Buffer, before string, n uint64) {
	b.WriteString(before)
	b.WriteString(strconv.FormatUint(n, 10))
}

func str(b *bytes.Buffer, s string) {
	q, err := json.Marshal(s)
	if err != nil {
		panic("lock: a string cannot be written: " + err.Error()) // json.Marshal never fails on strings
	}
	b.Write(q)
}
