package deploy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// nameServer answers from a zone in the master file format, over UDP and TCP on
// a loopback port.
type nameServer struct {
	records  []dns.RR
	rcode    map[string]int // by name: answer only with this code
	bogus    map[string]bool
	silent   map[string]bool
	wrong    map[string]bool // answers another question
	secure   bool            // sets the AD bit
	unsigned map[string]bool // answers without the AD bit even so
	tooLong  map[string]bool // truncated over UDP
	tcp      int             // questions that came over TCP
}

func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(strings.TrimSuffix(q.Question[0].Name, "."))
	_, overTCP := w.RemoteAddr().(*net.TCPAddr)
	if overTCP {
		n.tcp++
	}
	switch {
	case n.silent[name]:
		return
	case n.wrong[name]:
		m.Question[0].Name = "elsewhere.example."
	case n.bogus[name] && !q.CheckingDisabled:
		m.Rcode = dns.RcodeServerFailure
	case n.rcode[name] != 0:
		m.Rcode = n.rcode[name]
	default:
		m.AuthenticatedData = n.secure && !n.unsigned[name]
		m.Rcode = dns.RcodeNameError
		want := map[string]bool{name: true}
		for range 4 {
			for _, rr := range n.records {
				if c, ok := rr.(*dns.CNAME); ok && want[strings.TrimSuffix(c.Hdr.Name, ".")] {
					want[strings.TrimSuffix(c.Target, ".")] = true
				}
			}
		}
		for _, rr := range n.records {
			owner := strings.TrimSuffix(rr.Header().Name, ".")
			if !want[owner] {
				continue
			}
			m.Rcode = dns.RcodeSuccess
			if t := rr.Header().Rrtype; t == q.Question[0].Qtype || t == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
		}
		if n.tooLong[name] && !overTCP {
			m.Truncated = true
			m.Answer = nil
		}
	}
	_ = w.WriteMsg(m)
}

func (n *nameServer) start(t *testing.T, zone string) string {
	t.Helper()
	zp := dns.NewZoneParser(strings.NewReader(zone), ".", "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		n.records = append(n.records, rr)
	}
	if err := zp.Err(); err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: n}, {Listener: ln, Handler: n}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return pc.LocalAddr().String()
}

const zone = `
_xmpp-server._tcp.full.example.  3600 IN SRV 20 1 5299 b.full.example.
_xmpp-server._tcp.full.example.  3600 IN SRV 10 5 5269 A.full.example.
_xmpp-server._tcp.full.example.  3600 IN SRV 10 9 5269 c.full.example.
_xmpps-server._tcp.full.example. 60   IN SRV 5  0 5270 a.full.example.
a.full.example. 60 IN A    203.0.113.50
a.full.example. 60 IN AAAA 2001:db8:50::5
b.full.example. 60 IN A    203.0.113.52
b.full.example. 60 IN A    203.0.113.51
c.full.example. 60 IN CNAME d.full.example.
d.full.example. 60 IN A    203.0.113.53

small.example. 60 IN A 203.0.113.70

_xmpp-server._tcp.absent.example. 60 IN SRV 0 0 0 .
absent.example. 60 IN A 203.0.113.71

_xmpps-server._tcp.notls.example. 60 IN SRV 0 0 0 .
notls.example. 60 IN A 203.0.113.72

_xmpp-server._tcp.dangling.example. 60 IN SRV 0 0 5269 gone.dangling.example.

_xmpp-server._tcp.poisoned.example. 60 IN SRV 0 0 5269 x.poisoned.example.
x.poisoned.example. 60 IN A 127.0.0.1
x.poisoned.example. 60 IN A 203.0.113.80

_xmpp-server._tcp.forged.example. 60 IN SRV 0 0 5269 x.forged.example.
long.example. 60 IN A 203.0.113.90
`

func TestResolve(t *testing.T) {
	n := &nameServer{
		rcode:   map[string]int{"_xmpp-server._tcp.refused.example": dns.RcodeRefused},
		bogus:   map[string]bool{"_xmpp-server._tcp.forged.example": true},
		silent:  map[string]bool{"_xmpp-server._tcp.silent.example": true},
		wrong:   map[string]bool{"_xmpp-server._tcp.wrong.example": true},
		tooLong: map[string]bool{"long.example": true},
	}
	server := n.start(t, zone)
	tests := []struct {
		domain string
		want   string // endpoints, "absent", or "" when it is left out
		find   string // code and a part of the summary
	}{
		{"full.example", "203.0.113.50:5269 203.0.113.50:5270/tls 203.0.113.51:5299 203.0.113.52:5299 203.0.113.53:5269 [2001:db8:50::5]:5269 [2001:db8:50::5]:5270/tls", ""},
		{"small.example", "203.0.113.70:5269", ""},
		{"absent.example", "absent", "lock-absent peer absent.example: its SRV records name the root"},
		{"notls.example", "203.0.113.72:5269", ""},
		{"dangling.example", "", "lock-lookup peer dangling.example: the targets of its SRV records have no addresses"},
		{"nowhere.example", "", "lock-lookup peer nowhere.example: it has neither SRV nor address records"},
		{"poisoned.example", "203.0.113.80:5269", "lock-address peer poisoned.example: x.poisoned.example has the address 127.0.0.1"},
		{"forged.example", "", "lock-bogus peer forged.example: SRV _xmpp-server._tcp.forged.example fails DNSSEC validation"},
		{"refused.example", "", "lock-lookup peer refused.example: SRV _xmpp-server._tcp.refused.example: " + server + " says REFUSED"},
		{"silent.example", "", "lock-lookup peer silent.example: SRV _xmpp-server._tcp.silent.example: "},
		{"wrong.example", "", "lock-lookup peer wrong.example: SRV _xmpp-server._tcp.wrong.example: " + server + " answers another question"},
		{"long.example", "203.0.113.90:5269", ""},
		{"two..dots", "", `lock-lookup peer two..dots: "two..dots" is not a domain name`},
	}
	var peers []PeerName
	for i, tt := range tests {
		peers = append(peers, PeerName{Domain: tt.domain, Span: diag.Span{Start: diag.Pos{Filename: "p.xfw", Line: i + 1}}})
	}
	o := ResolveOptions{Resolvers: []string{server}, Timeout: 300 * time.Millisecond}
	got, found := Resolve(context.Background(), o, peers)
	if !slices.IsSortedFunc(got, func(a, b *lock.Peer) int { return strings.Compare(a.Domain, b.Domain) }) {
		t.Error("the peers are not sorted")
	}
	file := lock.File{Peers: got}
	for i, tt := range tests {
		text := ""
		if p := file.Peer(tt.domain); p != nil {
			text = endpointsText(p)
			if p.DNSSEC != "unknown" {
				t.Errorf("%s: dnssec %q without validation", tt.domain, p.DNSSEC)
			}
		}
		if text != tt.want {
			t.Errorf("%s: %q, want %q", tt.domain, text, tt.want)
		}
		said := ""
		for _, f := range found {
			if f.Span.Start.Line == i+1 {
				said += f.Code + " " + f.Summary
			}
		}
		if tt.find == "" && said != "" || !strings.HasPrefix(said, tt.find) {
			t.Errorf("%s: finding %q, want %q", tt.domain, said, tt.find)
		}
	}
	if n.tcp == 0 {
		t.Error("a truncated answer was not asked for over TCP")
	}
	again, _ := Resolve(context.Background(), o, peers)
	a, b := lock.File{Version: 1, Peers: got}, lock.File{Version: 1, Peers: again}
	if string(a.Format()) != string(b.Format()) {
		t.Error("two resolutions of the same zone differ")
	}
}

func endpointsText(p *lock.Peer) string {
	if p.Absent() {
		return "absent"
	}
	var parts []string
	for _, e := range p.Endpoints() {
		s := fmt.Sprint(e.Addr, ":", e.Port)
		if e.Addr.Is6() {
			s = fmt.Sprintf("[%v]:%d", e.Addr, e.Port)
		}
		if e.DirectTLS {
			s += "/tls"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

// A resolver on this host that validates is believed, and a second resolver is
// asked when the first is not there.
func TestResolveTrustAndTurns(t *testing.T) {
	n := &nameServer{secure: true}
	server := n.start(t, zone)
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	o := ResolveOptions{Resolvers: []string{dead.LocalAddr().String(), server}, Timeout: 200 * time.Millisecond}
	got, found := Resolve(context.Background(), o, []PeerName{{Domain: "small.example"}})
	if len(found) != 0 || len(got) != 1 || got[0].DNSSEC != "secure" {
		t.Errorf("peers %+v, findings %+v", got, found)
	}
	_, found = Resolve(context.Background(), ResolveOptions{Resolvers: []string{"127.0.0.1"}}, []PeerName{{Domain: "small.example"}})
	if len(found) != 1 || !strings.Contains(found[0].Summary, "is not host:port") {
		t.Errorf("findings of a resolver without a port: %+v", found)
	}
}

// What a validating resolver does not vouch for comes from a zone that is not
// signed. One that vouches for nothing, or that is not believed, tells nothing.
func TestResolveUnsigned(t *testing.T) {
	root := ". 60 IN SOA a.root. b.root. 1 60 60 60 60\n"
	for _, tt := range []struct {
		server nameServer
		want   string
	}{
		{nameServer{secure: true}, "secure"},
		{nameServer{secure: true, unsigned: map[string]bool{"small.example": true}}, "insecure"},
		{nameServer{}, "unknown"},
		{nameServer{secure: true, unsigned: map[string]bool{"": true, "small.example": true}}, "unknown"},
	} {
		server := tt.server.start(t, zone+root)
		got, found := Resolve(context.Background(), ResolveOptions{Resolvers: []string{server}}, []PeerName{{Domain: "small.example"}})
		if len(found) != 0 || len(got) != 1 || got[0].DNSSEC != tt.want {
			t.Errorf("peers %+v, findings %+v, want %s", got, found, tt.want)
		}
	}
}

// An own domain has the records of clients besides; that it has none, or that
// nothing answers, is no reason to fail.
func TestResolveOwn(t *testing.T) {
	n := &nameServer{silent: map[string]bool{"_xmpp-client._tcp.silent.example": true}}
	server := n.start(t, zone+`
_xmpp-client._tcp.small.example.  60 IN SRV 5 5 5222 chat.small.example.
_xmpps-client._tcp.small.example. 60 IN SRV 5 5 5223 chat.small.example.
chat.small.example. 60 IN A 203.0.113.73
_xmppconnect.small.example.   60 IN TXT "_xmpp-client-xbosh=" "http://small.example/http-bind"
_xmppconnect.nowhere.example. 60 IN TXT "v=spf1 -all"
`)
	var names []PeerName
	for _, d := range []string{"small.example", "absent.example", "nowhere.example", "silent.example"} {
		names = append(names, PeerName{Domain: d, Compared: true, Own: true})
	}
	got, found := Resolve(context.Background(), ResolveOptions{Resolvers: []string{server}, Timeout: 300 * time.Millisecond}, names)
	want := `{
  "version": 1,
  "peers": {},
  "own": {
    "absent.example": {
      "srv": [
        {"service": "_xmpp-server", "target": ".", "port": 0, "priority": 0, "weight": 0, "ttl": 60}
      ],
      "addresses": {},
      "dnssec": "unknown"
    },
    "nowhere.example": {
      "fallback": true,
      "addresses": {
        "nowhere.example": []
      },
      "dnssec": "unknown"
    },
    "small.example": {
      "fallback": true,
      "srv": [
        {"service": "_xmpp-client", "target": "chat.small.example", "port": 5222, "priority": 5, "weight": 5, "ttl": 60},
        {"service": "_xmpps-client", "target": "chat.small.example", "port": 5223, "priority": 5, "weight": 5, "ttl": 60}
      ],
      "addresses": {
        "chat.small.example": ["203.0.113.73"],
        "small.example": ["203.0.113.70"]
      },
      "xmppconnect": true,
      "dnssec": "unknown"
    }
  },
  "feeds": {}
}
`
	file := lock.File{Version: lock.Version, Own: got}
	if text := string(file.Format()); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if _, bad := lock.Parse("xfwc.lock", []byte(want)); len(bad) != 0 {
		t.Errorf("does not read back: %+v", bad)
	}
	if len(found) != 1 || found[0].Code != "lock-unanswered" || !strings.HasPrefix(found[0].Summary, "domain silent.example: ") {
		t.Errorf("findings %+v", found)
	}
}

func TestPeersToResolve(t *testing.T) {
	src := `policy "p" { owner "o@example" }
server chat { software prosody 13.0  domain a.example, muc.a.example  address 192.0.2.1 }
server old { software prosody 13.0  domain A.example  address 192.0.2.2 }
component irc of chat { domain irc.a.example  from 127.0.0.1 }
federation of chat {
  default deny
  peer stated.example { address 203.0.113.1 }
  peer Branch.example { limit connections 20 per peer }
  peer plain.example
}
`
	f, found := lang.Parse("p.xfw", []byte(src))
	if diag.HasErrors(found) {
		t.Fatalf("findings: %+v", found)
	}
	var got []string
	for _, p := range PeersToResolve([]*lang.File{f}) {
		got = append(got, fmt.Sprintf("%d %s %v", p.Span.Start.Line, p.Domain, p.Compared))
	}
	for _, p := range OwnDomains([]*lang.File{f}) {
		got = append(got, fmt.Sprintf("%d %s", p.Span.Start.Line, p.Domain))
	}
	want := []string{"7 stated.example true", "8 branch.example false", "9 plain.example false", "2 a.example", "2 muc.a.example", "4 irc.a.example"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTrustAD(t *testing.T) {
	for conf, want := range map[string]bool{
		"nameserver 192.0.2.1\n":                       false,
		"options edns0 trust-ad\nnameserver 192.0.2.1": true,
		"# options trust-ad\n":                         false,
	} {
		if got := statesTrustAD(conf); got != want {
			t.Errorf("%q: %v", conf, got)
		}
	}
}
