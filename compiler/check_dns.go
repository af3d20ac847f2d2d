package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Checks that compare the policy with what DNS says, of its own domains and of
// peers, as xfwc.lock records it. Where nothing is recorded they are silent.

var dnsChecks = []Check{
	{
		Code:      "fed-srv-port-mismatch",
		Severity:  diag.Error,
		Title:     "DNS names a port for federation that the policy does not open",
		Why:       "Servers connect to the port that the SRV record names, and do not try 5269 when that fails. The connection is denied, and federation stops without a word.",
		Reference: "RFC 6120 §3.2.1, §13.13",
		Remedy:    "Open the port that DNS names (`port federation N` for one's own server, `port N` for a peer, or no `port` at all), or correct the record and run `xfwc lock --refresh`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer branch.example { port 5270 }  # its SRV record names 5269
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer branch.example
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				if in := fed.inbound(); len(in) > 0 {
					for _, own := range p.ownRecords(fed.server) {
						for _, r := range present(own.Records(lock.Server), own.Records(lock.ServerTLS)) {
							if leadsTo(own, r, fed.server.Set) && !p.opens(fed.server, r.Port) {
								p.Report(p.domainPlace(fed.server, own.Domain), fmt.Sprintf("%s of %s names port %d, which is not open at %s", r.Service, own.Domain, r.Port, fed.server.Name),
									label(own.Span, "recorded here"), label(header(fed.decl, fed.decl.Server), "federation is opened here"))
							}
						}
					}
				}
				for _, r := range fed.peers {
					known := p.Lock.Peer(r.terms.Domain)
					if known == nil || len(r.out) == 0 {
						continue
					}
					if port, ok := r.closed(known); ok {
						p.Report(r.portPlace(), fmt.Sprintf("peer %s is called on port %d by DNS, and that is not open", r.domain(), port), label(known.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "fed-own-srv-dot",
		Severity:  diag.Warning,
		Title:     "DNS says that the domain does not federate, and the policy lets others in",
		Why:       "An SRV record with the target \".\" tells every other server to give up at once. So nobody comes through what is open, or the record is a leftover.",
		Reference: "RFC 6120 §3.2.1",
		Remedy:    "Remove the record, or the federation statement; then run `xfwc lock --refresh`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain silent.example  address 198.51.100.10 }  # _xmpp-server names "."
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer branch.example
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain published.example  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer branch.example
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				if len(fed.inbound()) == 0 {
					continue
				}
				for _, own := range p.ownRecords(fed.server) {
					if fed.speaksFor(own.Domain) && len(own.Records(lock.Server)) > 0 && len(present(own.Records(lock.Server), own.Records(lock.ServerTLS))) == 0 {
						p.Report(header(fed.decl, fed.decl.Server), fmt.Sprintf("others may federate with %s, and DNS of %s tells them not to try", fed.server.Name, own.Domain),
							label(p.domainPlace(fed.server, own.Domain), "the domain"), label(own.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "fed-subdomain-missing",
		Severity:  diag.Warning,
		Title:     "a subdomain of a domain that federates is out of other servers' reach",
		Why:       "Rooms, gateways and other services have domains of their own, and each needs its own records and its own place in the list. Otherwise people on other servers can talk to the users, and not enter the rooms.",
		Reference: "RFC 6120 §3.2.4",
		Remedy:    "Add the domain to the `domain` line of the federation, or an `_xmpp-server` record for it to DNS. Waive this for a service that is for one's own users alone.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org, rooms.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  domain  example.org
  peer branch.example
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org, rooms.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  domain  example.org, rooms.example.org
  peer branch.example
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, sub := range fed.server.Domains {
					if p.anonymous(sub) {
						continue // those users are to be kept at home (XEP-0175 section 3)
					}
					if !fed.speaksFor(sub) {
						if above := aboveOf(sub, fed.terms.Domains); above != "" {
							p.Report(fed.domainPlace(above), fmt.Sprintf("%s federates, and %s of the same server does not", above, sub),
								label(p.domainPlace(fed.server, sub), "the subdomain"))
						}
						continue
					}
					own := p.Lock.OwnDomain(sub)
					above := p.Lock.OwnDomain(aboveOf(sub, fed.server.Domains))
					if len(fed.inbound()) > 0 && own != nil && above != nil && takesFederation(above) && unpublished(own) {
						p.Report(p.domainPlace(fed.server, sub), fmt.Sprintf("DNS tells other servers where %s is, and not where %s is", above.Domain, sub),
							label(own.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "fed-direct-tls-absent",
		Severity:  diag.Info,
		Title:     "other servers can connect by STARTTLS only",
		Why:       "A port that speaks TLS from the first byte has nothing that could be stripped, and where a protocol has both forms administrators have to prefer it.",
		Reference: "RFC 9325 §3.2, XEP-0368 §3",
		Remedy:    "State `port federation-tls N` in the server block, let the server listen there, and publish the port as _xmpps-server.",
		Since:     "0.2",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
  auth    external
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Good: `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10  port federation-tls 5270 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
  auth    external
  limit outgoing 600/minute burst 300 global
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				if len(fed.open) == 0 || fed.terms.TLS == "none" {
					continue // named peers agree on their ports, and fed-cleartext-open says more
				}
				if !listens(fed.server, "federation-tls") {
					p.Report(header(fed.decl, fed.decl.Server), fmt.Sprintf("%s takes federation by STARTTLS only", fed.server.Name))
					continue
				}
				for _, own := range p.ownRecords(fed.server) {
					if fed.speaksFor(own.Domain) && len(present(own.Records(lock.Server))) > 0 && len(present(own.Records(lock.ServerTLS))) == 0 {
						p.Report(header(fed.decl, fed.decl.Server), fmt.Sprintf("DNS of %s does not tell other servers of the direct TLS port of %s", own.Domain, fed.server.Name),
							label(own.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "c2s-5223-no-alpn",
		Severity:  diag.Info,
		Title:     "DNS does not tell clients of the direct TLS port",
		Why:       "Clients find a direct TLS port by its _xmpps-client record alone. Without one the port is open, and everybody goes on using STARTTLS.",
		Reference: "XEP-0368 §3, RFC 9325 §3.8",
		Remedy:    "Publish the port as _xmpps-client, let the server answer the ALPN name xmpp-client there, and run `xfwc lock --refresh`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain starttls.example  address 198.51.100.10 }  # no _xmpps-client
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 5223
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain published.example  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from       any
  starttls   required
  direct-tls port 5223
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, c := range p.clientStatements() {
				if !c.terms.Direct || !c.public() {
					continue // one's own network can be told otherwise
				}
				for _, own := range p.ownRecords(c.terms.Server) {
					// Domains of rooms and gateways have no clients and no such records.
					if len(present(own.Records(lock.Client))) > 0 && len(present(own.Records(lock.ClientTLS))) == 0 {
						p.Report(c.direct().Span(), fmt.Sprintf("DNS of %s does not tell clients of the direct TLS port of %s", own.Domain, c.terms.Server.Name),
							label(own.Span, "recorded here"))
					}
				}
			}
		},
	},
	{
		Code:      "c2s-xmpps-srv-to-starttls",
		Severity:  diag.Error,
		Title:     "a record for direct TLS names a port that speaks STARTTLS",
		Why:       "Whoever follows the record begins with a TLS handshake, and the server waits for a stream header. Neither gets anywhere.",
		Reference: "XEP-0368 §3",
		Remedy:    "Let the record name the direct TLS port, or rename it to _xmpp-client or _xmpp-server; then run `xfwc lock --refresh`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain swapped.example  address 198.51.100.10 }  # _xmpps-client names 5222
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain published.example  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  direct-tls
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			p.eachOwnRecord(func(s *ir.Server, own *lock.Peer, r lock.SRV) {
				service, secure := "clients", r.Service == lock.ClientTLS || r.Service == lock.ServerTLS
				if r.Service == lock.ServerTLS {
					service = "federation"
				}
				if secure && leadsTo(own, r, s.Set) && listensOn(s, service, r.Port) && !listensOn(s, service+"-tls", r.Port) {
					p.Report(p.domainPlace(s, own.Domain), fmt.Sprintf("%s of %s names port %d, where %s speaks STARTTLS", r.Service, own.Domain, r.Port, s.Name),
						label(own.Span, "recorded here"))
				}
			})
		},
	},
	{
		Code:      "c2s-xmpp-srv-to-direct",
		Severity:  diag.Error,
		Title:     "a record for STARTTLS names a port that speaks direct TLS",
		Why:       "Whoever follows the record sends a stream header, and the server takes it for a broken TLS handshake and closes.",
		Reference: "XEP-0368 §3",
		Remedy:    "Let the record name the STARTTLS port, or rename it to _xmpps-client or _xmpps-server; then run `xfwc lock --refresh`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain direct.example  address 198.51.100.10 }  # _xmpp-client names 5223
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  direct-tls
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain published.example  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
  direct-tls
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			p.eachOwnRecord(func(s *ir.Server, own *lock.Peer, r lock.SRV) {
				service, clear := "clients", r.Service == lock.Client || r.Service == lock.Server
				if r.Service == lock.Server {
					service = "federation"
				}
				if !clear {
					return
				}
				direct := leadsTo(own, r, s.Set) && listensOn(s, service+"-tls", r.Port) && !listensOn(s, service, r.Port)
				for _, c := range p.clientStatements() {
					// A point in front of the server speaks nothing else on that port.
					for _, pt := range []*ir.Point{c.terms.ALPN, c.terms.Offload} {
						direct = direct || service == "clients" && c.terms.Server == s && pt != nil && r.Port == c.terms.DirectPort && leadsTo(own, r, pt.Set)
					}
				}
				if direct {
					p.Report(p.domainPlace(s, own.Domain), fmt.Sprintf("%s of %s names port %d, where %s has direct TLS", r.Service, own.Domain, r.Port, s.Name),
						label(own.Span, "recorded here"))
				}
			})
		},
	},
}

// ownRecords lists what DNS says of the domains of a server, where it is known.
func (p *Pass) ownRecords(s *ir.Server) []*lock.Peer {
	var out []*lock.Peer
	for _, d := range s.Domains {
		if own := p.Lock.OwnDomain(d); own != nil {
			out = append(out, own)
		}
	}
	return out
}

// eachOwnRecord calls f for every SRV record of the policy's own domains that
// names a target.
func (p *Pass) eachOwnRecord(f func(*ir.Server, *lock.Peer, lock.SRV)) {
	for _, s := range p.Policy.Servers {
		for _, own := range p.ownRecords(s) {
			for _, r := range present(own.SRV) {
				f(s, own, r)
			}
		}
	}
}

// present leaves out the records that say that a service is absent.
func present(records ...[]lock.SRV) []lock.SRV {
	return slices.DeleteFunc(slices.Concat(records...), lock.SRV.Absent)
}

// leadsTo reports whether the target of the record has an address in the set.
func leadsTo(own *lock.Peer, r lock.SRV, s *ir.AddrSet) bool {
	return s != nil && slices.ContainsFunc(own.AddressesOf(r.Target), func(a netip.Addr) bool {
		_, ok := s.Covering(a)
		return ok
	})
}

// listens reports whether the server has a port for the service.
func listens(s *ir.Server, service string) bool {
	return slices.ContainsFunc(s.Listeners, func(l ir.Listener) bool { return l.Service == service })
}

// listensOn reports whether the server has that TCP port for the service.
func listensOn(s *ir.Server, service string, port uint16) bool {
	return slices.ContainsFunc(s.Listeners, func(l ir.Listener) bool {
		return l.Service == service && intersects([]ir.PortSpan{l.Port}, []ir.PortSpan{tcpPort(port)})
	})
}

// opens reports whether anything in the policy lets somebody connect to that TCP
// port of the server.
func (p *Pass) opens(s *ir.Server, port uint16) bool {
	return slices.ContainsFunc(p.Policy.Flows, func(f *ir.Flow) bool {
		return f.Verdict == ir.Allow && !f.Outbound && overlaps(f.To.Set, s.Set) && intersects(f.Ports, []ir.PortSpan{tcpPort(port)})
	})
}

// inbound lists the flows that other servers open.
func (d federation) inbound() []*ir.Flow {
	in := slices.DeleteFunc(slices.Clone(d.open), func(f *ir.Flow) bool { return f.Outbound })
	for _, r := range d.peers {
		in = append(in, r.in...)
	}
	return in
}

// speaksFor reports whether a domain of the server federates.
func (d federation) speaksFor(domain string) bool {
	return len(d.terms.Domains) == 0 || slices.Contains(d.terms.Domains, domain)
}

// takesFederation reports whether DNS tells other servers where a domain is.
func takesFederation(own *lock.Peer) bool {
	return len(present(own.Records(lock.Server), own.Records(lock.ServerTLS))) > 0 || own.Fallback && len(own.AddressesOf(own.Domain)) > 0
}

// unpublished reports whether DNS says nothing of a domain: neither where it is
// nor that it takes no federation. Without records other servers look for it at
// its own address.
func unpublished(own *lock.Peer) bool { return own.Fallback && len(own.AddressesOf(own.Domain)) == 0 }

// closed finds a port that DNS names for an address of the peer and on which it
// may not be called. Where it may be called on another one that DNS names, the
// server gets there in the end.
func (r peer) closed(known *lock.Peer) (uint16, bool) {
	var closed uint16
	for _, e := range known.Endpoints() {
		for _, f := range r.out {
			if _, here := f.To.Set.Covering(e.Addr); !here {
				continue
			}
			if intersects(f.Ports, []ir.PortSpan{tcpPort(e.Port)}) {
				return 0, false
			}
			if closed == 0 {
				closed = e.Port
			}
		}
	}
	return closed, closed != 0
}

// portPlace is where the peer's port is stated or, where it is not, its addresses.
func (r peer) portPlace() diag.Span {
	for _, l := range r.lines() {
		if l.Port != nil {
			return l.Port.Span()
		}
	}
	return r.addressPlace()
}

// domainPlace is where a server states one of its domains.
func (p *Pass) domainPlace(s *ir.Server, domain string) diag.Span {
	for _, d := range decls(p, func(d *lang.Decl) *lang.ServerDecl { return d.Server }) {
		if d.Name.Text != s.Name {
			continue
		}
		for _, i := range d.Body.Items {
			for _, w := range i.Domain {
				if strings.EqualFold(w.Text, domain) {
					return w.Span()
				}
			}
		}
	}
	return s.Origin.Span
}

// domainPlace is where the federation states which domains of the server it is
// for.
func (d federation) domainPlace(domain string) diag.Span {
	for _, i := range d.decl.Body.Items {
		for _, w := range i.Domain {
			if strings.EqualFold(w.Text, domain) {
				return w.Span()
			}
		}
	}
	return header(d.decl, d.decl.Server)
}

// aboveOf finds the nearest of the domains that the given one lies below; "" is
// none of them.
func aboveOf(sub string, domains []string) string {
	best := ""
	for _, d := range domains {
		if strings.HasSuffix(sub, "."+d) && len(d) > len(best) {
			best = d
		}
	}
	return best
}

// anonymous reports whether a domain is for users without an account.
func (p *Pass) anonymous(domain string) bool {
	return slices.ContainsFunc(p.Policy.Anonymous, func(t *ir.AnonymousTerms) bool { return slices.Contains(t.Domains, domain) })
}
