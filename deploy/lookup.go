package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// PeerName is a domain that DNS is asked about.
type PeerName struct {
	Domain string
	Span   diag.Span // the policy line, for findings
	// Compared is set where the policy needs no answer: that of a peer whose
	// address it states, or of a domain of its own, which checks compare with it.
	Compared bool
	Own      bool // a domain of a server of the policy
}

// PeersToResolve lists the peers of a policy, in its order, each domain once.
func PeersToResolve(files []*lang.File) []PeerName {
	var peers []PeerName
	seen := map[string]int{}
	for _, f := range files {
		for _, d := range f.Decls {
			if d.Federation == nil {
				continue
			}
			for _, item := range d.Federation.Body.Items {
				p := item.Peer
				if p == nil || p.Domain == nil {
					continue
				}
				domain := domainOf(p.Domain)
				if i, ok := seen[domain]; ok {
					peers[i].Compared = peers[i].Compared && statesAddress(p)
					continue
				}
				seen[domain] = len(peers)
				peers = append(peers, PeerName{Domain: domain, Span: p.Domain.Span(), Compared: statesAddress(p)})
			}
		}
	}
	return peers
}

// OwnDomains lists the domains of the servers of a policy and of their
// components, in its order, each once.
func OwnDomains(files []*lang.File) []PeerName {
	var domains []PeerName
	seen := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			var words []*lang.Word
			switch {
			case d.Server != nil:
				for _, item := range d.Server.Body.Items {
					words = append(words, item.Domain...)
				}
			case d.Component != nil:
				for _, item := range d.Component.Body.Items {
					words = append(words, item.Domain...)
				}
			}
			for _, w := range words {
				if domain := domainOf(w); !seen[domain] {
					seen[domain] = true
					domains = append(domains, PeerName{Domain: domain, Span: w.Span(), Compared: true, Own: true})
				}
			}
		}
	}
	return domains
}

func domainOf(w *lang.Word) string { return strings.ToLower(strings.TrimSuffix(w.Text, ".")) }

func statesAddress(p *lang.PeerItem) bool {
	return p.Body != nil && slices.ContainsFunc(p.Body.Items, func(l *lang.PeerLine) bool { return len(l.Address) > 0 })
}

// ResolveOptions say whom to ask.
type ResolveOptions struct {
	// Resolvers are host:port each, asked in turn until one answers; empty
	// takes those of /etc/resolv.conf.
	Resolvers []string
	// Timeout of one question; 0 is three seconds.
	Timeout time.Duration
	// TrustAD believes a resolver that says it validated an answer (the AD bit,
	// RFC 4035 section 3.2.3). Without it only a resolver on the loopback
	// address is believed, because on the way from any other the bit can be
	// forged.
	TrustAD bool
}

// Resolve asks DNS where each peer takes federation, as RFC 6120 section 3.2
// and XEP-0368 say: the SRV records of both services, the addresses of their
// targets, and without any SRV record the addresses of the domain itself; of
// own domains also the records for clients. The result is sorted. A peer that
// cannot be resolved is left out and has a finding that names it; so has one
// that says it takes no federation, which stays in the result, and an address
// that no peer can have, which does not.
func Resolve(ctx context.Context, o ResolveOptions, peers []PeerName) ([]*lock.Peer, []diag.Finding) {
	r, err := newResolver(o)
	if err != nil {
		var found []diag.Finding
		for _, p := range peers {
			found = append(found, diag.New("lock-lookup", p.Span, fmt.Sprintf("peer %s: %v", p.Domain, err)))
		}
		return nil, found
	}
	// Every peer has its own place, so that the outcome does not depend on who
	// answers first.
	answers := make([]*lock.Peer, len(peers))
	findings := make([][]diag.Finding, len(peers))
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i], findings[i] = r.peer(ctx, p)
		})
	}
	wg.Wait()
	var out lock.File
	var found []diag.Finding
	for i := range peers {
		if answers[i] != nil {
			out.Peers = append(out.Peers, answers[i])
		}
		found = append(found, findings[i]...)
	}
	out.Sort()
	return out.Peers, found
}

type resolver struct {
	servers []string
	timeout time.Duration
	trustAD bool

	mu        sync.Mutex
	validates map[string]bool // by server: whether it is known to validate
}

const resolvConf = "/etc/resolv.conf"

func newResolver(o ResolveOptions) (*resolver, error) {
	r := &resolver{servers: o.Resolvers, timeout: cmp.Or(o.Timeout, 3*time.Second), trustAD: o.TrustAD, validates: map[string]bool{}}
	if len(r.servers) == 0 {
		conf, err := dns.ClientConfigFromFile(resolvConf)
		if err != nil {
			return nil, fmt.Errorf("no resolver: %w", err)
		}
		for _, s := range conf.Servers {
			r.servers = append(r.servers, net.JoinHostPort(s, conf.Port))
		}
		if text, err := os.ReadFile(resolvConf); err == nil && statesTrustAD(string(text)) {
			r.trustAD = true
		}
	}
	if len(r.servers) == 0 {
		return nil, errors.New("no resolver: " + resolvConf + " names none")
	}
	for _, s := range r.servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return nil, fmt.Errorf("resolver %q is not host:port", s)
		}
	}
	return r, nil
}

// statesTrustAD looks for options trust-ad of resolv.conf(5).
func statesTrustAD(conf string) bool {
	for line := range strings.Lines(conf) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "options" && slices.Contains(f[1:], "trust-ad") {
			return true
		}
	}
	return false
}

// bogusError says that a validating resolver refuses an answer that exists.
type bogusError struct{ question string }

func (e *bogusError) Error() string { return e.question + " fails DNSSEC validation" }

// lookup gathers what is said about one peer.
type lookup struct {
	*resolver
	peer  PeerName
	found []diag.Finding
	// Every answer so far was validated, or at least asked of a resolver that
	// would have validated it.
	secure, asked bool
}

func (r *resolver) peer(ctx context.Context, name PeerName) (*lock.Peer, []diag.Finding) {
	l := &lookup{resolver: r, peer: name, secure: true, asked: true}
	p, err := l.resolve(ctx)
	var bogus *bogusError
	switch {
	case errors.As(err, &bogus):
		l.report("lock-bogus", err.Error())
		return nil, l.found
	case err != nil && name.Compared:
		l.report("lock-unanswered", err.Error())
		return nil, l.found
	case err != nil:
		l.report("lock-lookup", err.Error())
		return nil, l.found
	}
	return p, l.found
}

func (l *lookup) report(code, text string) {
	what := "peer "
	if l.peer.Own {
		what = "domain "
	}
	l.found = append(l.found, diag.New(code, l.peer.Span, what+l.peer.Domain+": "+text))
}

func (l *lookup) resolve(ctx context.Context) (*lock.Peer, error) {
	domain := strings.ToLower(strings.TrimSuffix(l.peer.Domain, "."))
	if _, ok := dns.IsDomainName(domain); !ok || domain == "" {
		return nil, fmt.Errorf("%q is not a domain name", l.peer.Domain)
	}
	p := &lock.Peer{Domain: domain, Span: l.peer.Span}
	plain, err := l.srv(ctx, lock.Server, domain)
	if err != nil {
		return nil, err
	}
	direct, err := l.srv(ctx, lock.ServerTLS, domain)
	if err != nil {
		return nil, err
	}
	// A lone "." for direct TLS says nothing about the other service, which
	// without records of its own is looked for at the domain.
	if len(plain) == 0 && len(direct) == 1 && direct[0].Absent() {
		direct = nil
	}
	p.SRV = append(plain, direct...)
	p.Fallback = len(p.SRV) == 0
	if l.peer.Own {
		return p, l.own(ctx, p)
	}
	if p.Absent() {
		l.report("lock-absent", "its SRV records name the root: it takes no federation")
		p.DNSSEC = l.dnssec()
		return p, nil
	}
	reachable, err := l.hosts(ctx, p)
	if err != nil {
		return nil, err
	}
	if reachable == 0 {
		if p.Fallback {
			return nil, errors.New("it has neither SRV nor address records")
		}
		return nil, errors.New("the targets of its SRV records have no addresses")
	}
	p.DNSSEC = l.dnssec()
	return p, nil
}

// own adds what is said of an own domain besides. That it has no records is an
// answer like any other.
func (l *lookup) own(ctx context.Context, p *lock.Peer) error {
	for _, service := range []string{lock.Client, lock.ClientTLS} {
		srv, err := l.srv(ctx, service, p.Domain)
		if err != nil {
			return err
		}
		p.SRV = append(p.SRV, srv...)
	}
	txt, err := l.ask(ctx, "_xmppconnect."+p.Domain, dns.TypeTXT)
	if err != nil {
		return err
	}
	// Other records are there where a zone has a wildcard.
	p.Connect = slices.ContainsFunc(txt, func(rr dns.RR) bool {
		return strings.Contains(strings.Join(rr.(*dns.TXT).Txt, ""), "_xmpp-client-")
	})
	_, err = l.hosts(ctx, p)
	p.DNSSEC = l.dnssec()
	return err
}

// hosts asks for the addresses of every target and, where servers fall back to
// it, of the domain itself. It returns how many addresses there are.
func (l *lookup) hosts(ctx context.Context, p *lock.Peer) (int, error) {
	var targets []string
	if p.Fallback {
		targets = append(targets, p.Domain)
	}
	for _, s := range p.SRV {
		if !s.Absent() && !slices.Contains(targets, s.Target) {
			targets = append(targets, s.Target)
		}
	}
	reachable := 0
	for _, t := range targets {
		addrs, err := l.addresses(ctx, t)
		if err != nil {
			return 0, err
		}
		p.Hosts = append(p.Hosts, lock.Host{Target: t, Addresses: addrs})
		reachable += len(addrs)
	}
	return reachable, nil
}

func (l *lookup) dnssec() string {
	switch {
	case l.secure:
		return "secure"
	case l.asked:
		return "insecure"
	}
	return "unknown"
}

// wouldValidate reports whether a resolver that is believed validates at all:
// one that does vouches for the root, which is signed. Only then does an answer
// that it does not vouch for come from a zone that nobody signed.
func (l *lookup) wouldValidate(ctx context.Context, server string) bool {
	l.mu.Lock()
	known, ok := l.validates[server]
	l.mu.Unlock()
	if ok {
		return known
	}
	m, err := l.exchange(ctx, server, ".", dns.TypeSOA, false)
	known = err == nil && m.Rcode == dns.RcodeSuccess && m.AuthenticatedData
	l.mu.Lock()
	l.validates[server] = known
	l.mu.Unlock()
	return known
}

func (l *lookup) srv(ctx context.Context, service, domain string) ([]lock.SRV, error) {
	name := service + "._tcp." + domain
	rrs, err := l.ask(ctx, name, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	var out []lock.SRV
	for _, rr := range rrs {
		s := rr.(*dns.SRV)
		target := strings.ToLower(s.Target)
		if target != "." {
			target = strings.TrimSuffix(target, ".")
			if s.Port == 0 {
				continue // nothing can be reached on it
			}
		}
		out = append(out, lock.SRV{Service: service, Target: target, Port: s.Port, Priority: s.Priority, Weight: s.Weight, TTL: s.Hdr.Ttl})
	}
	// "." beside other targets is a mistake of the zone; the others count.
	if slices.ContainsFunc(out, func(s lock.SRV) bool { return !s.Absent() }) {
		out = slices.DeleteFunc(out, lock.SRV.Absent)
	}
	slices.SortFunc(out, func(a, b lock.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	return slices.CompactFunc(out, func(a, b lock.SRV) bool {
		a.TTL = b.TTL
		return a == b
	}), nil
}

func (l *lookup) addresses(ctx context.Context, target string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		rrs, err := l.ask(ctx, target, t)
		if err != nil {
			return nil, err
		}
		for _, rr := range rrs {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			a, ok := netip.AddrFromSlice(ip)
			if a = a.Unmap(); !ok || !canBePeer(a) {
				l.report("lock-address", fmt.Sprintf("%s has the address %s, which no peer can have", target, ip))
				continue
			}
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// canBePeer leaves out what can only be a mistake or a forgery: addresses of
// this very host, groups, and links. Private addresses stay: a site's own
// servers federate over them.
func canBePeer(a netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a != broadcast
}

// ask returns the records of the type for the name, following aliases within
// the answer. No such name or no such record is an empty answer.
func (l *lookup) ask(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	question := dns.TypeToString[qtype] + " " + name
	var last error
	for _, server := range l.servers {
		m, err := l.exchange(ctx, server, name, qtype, false)
		if err != nil {
			last = fmt.Errorf("%s: %w", question, err)
			continue
		}
		switch m.Rcode {
		case dns.RcodeSuccess, dns.RcodeNameError:
			believed := l.trustAD || isLoopback(server)
			if !m.AuthenticatedData || !believed {
				l.secure = false
				l.asked = l.asked && believed && l.wouldValidate(ctx, server)
			}
			return answersTo(m, dns.Fqdn(name), qtype), nil
		case dns.RcodeServerFailure:
			// A validator answers so when validation fails; without checking
			// the answer is then there (RFC 4035 section 3.2.2).
			if c, err := l.exchange(ctx, server, name, qtype, true); err == nil && c.Rcode == dns.RcodeSuccess {
				return nil, &bogusError{question}
			}
		}
		last = fmt.Errorf("%s: %s says %s", question, server, dns.RcodeToString[m.Rcode])
	}
	return nil, last
}

// exchange asks one resolver over UDP, and over TCP when the answer does not
// fit (RFC 7766 section 5). noCheck asks it not to validate.
func (l *lookup) exchange(ctx context.Context, server, name string, qtype uint16, noCheck bool) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.AuthenticatedData = true // asks for the bit in the answer, RFC 6840 section 5.7
	q.CheckingDisabled = noCheck
	q.SetEdns0(1232, false)
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, Timeout: l.timeout, UDPSize: 1232}
		m, _, err := c.ExchangeContext(ctx, q, server)
		if err != nil {
			return nil, err
		}
		if len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != qtype {
			return nil, fmt.Errorf("%s answers another question", server)
		}
		if !m.Truncated {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s cuts its answer short, also over TCP", server)
}

// answersTo picks the records of the type that belong to the name or to what it
// is an alias of. Records of other names are not believed.
func answersTo(m *dns.Msg, name string, qtype uint16) []dns.RR {
	names := []string{strings.ToLower(name)}
	for range len(m.Answer) { // at most one alias a record, so loops end
		grown := false
		for _, rr := range m.Answer {
			c, ok := rr.(*dns.CNAME)
			if !ok || !slices.Contains(names, strings.ToLower(c.Hdr.Name)) {
				continue
			}
			if t := strings.ToLower(c.Target); !slices.Contains(names, t) {
				names = append(names, t)
				grown = true
			}
		}
		if !grown {
			break
		}
	}
	var out []dns.RR
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype == qtype && h.Class == dns.ClassINET && slices.Contains(names, strings.ToLower(h.Name)) {
			out = append(out, rr)
		}
	}
	return out
}

func isLoopback(server string) bool {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
