package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var federationChecks = []Check{
	{
		Code:      "fed-cleartext-peer",
		Severity:  diag.Error,
		Title:     "a named peer is spoken to without TLS",
		Why:       "Everything between the two servers can be read and changed on the way: messages, contacts, and the proof of who the peer is.",
		Reference: "RFC 6120 §13.14, RFC 9325 §3.2",
		Remedy:    "State `tls required` for the peer, or waive this with a date by which the peer has TLS.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer legacy.example { address 203.0.113.60  tls none  auth dialback }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer legacy.example { address 203.0.113.60  tls required  auth external }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					if r.any().TLS == "none" {
						at, labels := r.tlsPlace(fed)
						p.Report(at, fmt.Sprintf("peer %s is spoken to in clear text", r.domain()), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-cleartext-open",
		Severity:  diag.Error,
		Title:     "open federation goes without TLS",
		Why:       "Whoever sits between this server and any other one reads and changes what their users say. Servers that demand TLS, which is nearly all of them, refuse the stream.",
		Reference: "RFC 6120 §13.14, RFC 9325 §3.2",
		Remedy:    "State `tls required` for the federation, and `tls none` for the one peer that cannot.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     none
  auth    dialback
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
  auth    dialback over tls
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				if len(fed.open) > 0 && fed.open[0].TLS == "none" {
					at := header(fed.decl, fed.decl.Server)
					if w := fed.tls(); w != nil {
						at = w.Span()
					}
					p.Report(at, fmt.Sprintf("%s federates with everybody in clear text", fed.server.Name))
				}
			}
		},
	},
	{
		Code:      "fed-tls-optional",
		Severity:  diag.Error,
		Title:     "TLS between servers is optional",
		Why:       "An attacker on the path removes the offer of STARTTLS and the stream goes on in clear text, so optional is no better than none.",
		Reference: "RFC 9325 §3.2, RFC 7590 §3.1",
		Remedy:    "State `tls required`; keep a peer that cannot as an exception of its own.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     optional
  auth    dialback
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
  auth    dialback over tls
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				if len(fed.open) > 0 && fed.open[0].TLS == "optional" {
					at := header(fed.decl, fed.decl.Server)
					if w := fed.tls(); w != nil {
						at = w.Span()
					}
					p.Report(at, fmt.Sprintf("TLS is optional between %s and every other server", fed.server.Name))
				}
				for _, r := range fed.peers {
					if r.any().TLS == "optional" {
						at, labels := r.tlsPlace(fed)
						p.Report(at, fmt.Sprintf("TLS is optional between %s and peer %s", fed.server.Name, r.domain()), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-dialback-no-tls",
		Severity:  diag.Error,
		Title:     "dialback is the only proof of a peer, and it runs without TLS",
		Why:       "Dialback asks DNS where a domain lives and believes the answer; without TLS nothing protects that answer's use, nor the stream that follows.",
		Reference: "XEP-0220 §3",
		Remedy:    "State `tls required` and `auth external`, or `auth dialback over tls` where the peer has no usable certificate.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer legacy.example { address 203.0.113.60  tls none  auth dialback }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer legacy.example { address 203.0.113.60  tls required  auth external }
}
`,
		Run: func(p *Pass) {
			bare := func(f *ir.Flow) bool {
				return dialback(f) && (f.TLS == "none" || f.TLS == "optional")
			}
			for _, fed := range p.federations {
				if len(fed.open) > 0 && bare(fed.open[0]) {
					at := header(fed.decl, fed.decl.Server)
					if a := fed.auth(); a != nil {
						at = a.Span()
					}
					p.Report(at, fmt.Sprintf("%s believes dialback without TLS from everybody", fed.server.Name))
				}
				for _, r := range fed.peers {
					if bare(r.any()) {
						at, labels := r.authPlace(fed)
						p.Report(at, fmt.Sprintf("peer %s is known by dialback without TLS", r.domain()), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-dialback-valid-cert",
		Severity:  diag.Warning,
		Title:     "a named peer with TLS is known by dialback instead of its certificate",
		Why:       "With TLS on both sides a certificate proves the domain, and SASL EXTERNAL uses it. Dialback proves no more than that DNS pointed somewhere at that moment.",
		Reference: "XEP-0178 §3, XEP-0344 §2.4, RFC 7590 §3.4",
		Remedy:    "State `auth external` for the peer; if its certificate does not verify, ask its operator for one that does, or state `certificate self-signed`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20  auth dialback over tls }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20  auth external }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					// A certificate that no authority signed proves nothing by itself.
					if f := r.any(); dialback(f) && (f.TLS == "required" || f.TLS == "direct") && r.terms.Certificate != "self-signed" {
						at, labels := r.authPlace(fed)
						p.Report(at, fmt.Sprintf("peer %s has TLS, yet is known by dialback", r.domain()), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-dialback-no-dnssec",
		Severity:  diag.Warning,
		Title:     "dialback rests on DNS answers that nothing vouches for",
		Why:       "Dialback proves that a domain points at a host. Whoever can forge that answer, at the time of the lock or later, is the peer; DNSSEC is what keeps the answer honest.",
		Reference: "XEP-0220 §3, XEP-0344 §3.3",
		Remedy:    "State `auth external`. Where the peer has no usable certificate, ask it to sign its zone, or state its address in the policy and lock with a validating resolver.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer branch.example { auth dialback over tls }  # addresses from xfwc.lock, not validated
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer branch.example { auth external }  # addresses from xfwc.lock, not validated
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					if f := r.any(); dialback(f) && f.DNSSEC != "" && f.DNSSEC != "secure" {
						at, labels := r.authPlace(fed)
						how := "unsigned"
						if f.DNSSEC == "unknown" {
							how = "not validated"
						}
						p.Report(at, fmt.Sprintf("peer %s is known by dialback, and the DNS answers in xfwc.lock are %s", r.domain(), how), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-external-no-tls",
		Severity:  diag.Error,
		Title:     "a peer has to show a certificate on a stream that may go without TLS",
		Why:       "SASL EXTERNAL takes the certificate of the TLS handshake. Without TLS there is none: the peer either fails to authenticate or falls back to something weaker.",
		Reference: "XEP-0178 §3, RFC 6120 §13.14",
		Remedy:    "State `tls required` where `auth external` is stated.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer partner.example { address 203.0.113.20  tls optional  auth external }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer partner.example { address 203.0.113.20  tls required  auth external }
}
`,
		Run: func(p *Pass) {
			bare := func(f *ir.Flow) bool {
				return f.Auth == "external" && (f.TLS == "none" || f.TLS == "optional")
			}
			for _, fed := range p.federations {
				if len(fed.open) > 0 && bare(fed.open[0]) {
					at := header(fed.decl, fed.decl.Server)
					if a := fed.auth(); a != nil {
						at = a.Span()
					}
					p.Report(at, fmt.Sprintf("%s asks everybody for a certificate, and lets streams go without TLS", fed.server.Name))
				}
				for _, r := range fed.peers {
					// A peer that inherits how it proves itself has one thing wrong:
					// its TLS, of which another check speaks.
					at, labels := r.authPlace(fed)
					if bare(r.any()) && at != r.item.Domain.Span() {
						p.Report(at, fmt.Sprintf("peer %s has to show a certificate, and its streams may go without TLS", r.domain()), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-dialback-no-callback",
		Severity:  diag.Error,
		Title:     "dialback cannot call back",
		Why:       "In dialback the server that is asked to accept a domain opens a second connection, to the authoritative server of that domain. A peer that may connect in one direction only can never be verified.",
		Reference: "XEP-0220 §1.2, §1.4",
		Remedy:    "Remove the `direction` line or the rule that denies the call, or state `auth external`, which needs no second connection.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20  auth dialback over tls  direction in }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20  auth external }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					switch {
					case !dialback(r.any()):
					case len(r.out) == 0:
						p.Report(r.directionPlace(), fmt.Sprintf("peer %s is known by dialback, but %s may not open the connection that verifies it", r.domain(), fed.server.Name))
					case len(r.in) == 0:
						p.Report(r.directionPlace(), fmt.Sprintf("peer %s may not open the connection by which it verifies %s", r.domain(), fed.server.Name))
					default:
						if rule := p.callDenied(fed.server, r.out); rule != nil {
							p.Report(rule.Origin.Span, fmt.Sprintf("%s may not open the connection that verifies peer %s", fed.server.Name, r.domain()),
								label(r.item.Domain.Span(), "the peer is known by dialback"))
						}
					}
				}
				if calls := fed.calls(); len(calls) > 0 && dialback(calls[0]) {
					if rule := p.callDenied(fed.server, calls); rule != nil {
						p.Report(rule.Origin.Span, fmt.Sprintf("%s may not open the connections that verify others", fed.server.Name),
							label(header(fed.decl, fed.decl.Server), "everybody is known by dialback"))
					}
				}
			}
		},
	},
	{
		Code:      "fed-oneway-no-bidi",
		Severity:  diag.Warning,
		Title:     "a peer may connect in one direction only",
		Why:       "A stream between servers carries stanzas one way. Unless both servers speak bidirectional streams, answers need a connection in the other direction, which this policy denies.",
		Reference: "XEP-0220 §1.2, XEP-0288 §1",
		Remedy:    "Remove the `direction` line, or state `bidi on` when both servers are known to use XEP-0288.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer partner.example { address 203.0.113.20  direction out }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer partner.example { address 203.0.113.20 }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					switch {
					case dialback(r.any()): // fed-dialback-no-callback says more
					case r.terms.Bidi == "on": // one connection carries both directions
					case len(r.out) == 0:
						p.Report(r.directionPlace(), fmt.Sprintf("peer %s may connect to %s, but not the other way", r.domain(), fed.server.Name))
					case len(r.in) == 0:
						p.Report(r.directionPlace(), fmt.Sprintf("%s may connect to peer %s, but not the other way", fed.server.Name, r.domain()))
					}
				}
			}
		},
	},
	{
		Code:      "fed-ip-not-identity",
		Severity:  diag.Warning,
		Title:     "addresses are let in to federate without a domain",
		Why:       "Many domains share one host, and a host that is let in may speak for any domain it likes. An address is not an identity; a peer is a domain with a way to prove it.",
		Reference: "XEP-0220 §2.6",
		Remedy:    "Replace the allow statement by `peer` lines, which name the domain and how it proves itself; or let the server choose with `allow domains`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network partners = 203.0.113.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
allow network partners to federation of chat
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
  peer second.example  { address 203.0.113.5 }
}
`,
		Run: func(p *Pass) {
			for _, d := range p.accesses("allow") {
				for _, f := range p.flows(d) {
					for _, s := range p.machines(f) {
						if fed := p.federationOf(s); fed != nil && len(fed.open) == 0 && opensFederation(f, s) && !p.choosesDomains(fed) {
							p.Report(d.Span(), fmt.Sprintf("%s may federate with %s by its address alone", f.From.Label, s.Name),
								label(header(fed.decl, fed.decl.Server), "the peers are stated here"))
						}
					}
				}
			}
		},
	},
	{
		Code:      "fed-allowlist-empty",
		Severity:  diag.Warning,
		Title:     "federation is denied by default, and no peer is named",
		Why:       "The statement looks like an allow list but lets nobody in. If that is meant, no statement at all says so more clearly; if not, the peers were forgotten.",
		Reference: "RFC 6120 §13.14",
		Remedy:    "Name the peers, or state `default allow` where `allow domains` names who may federate; or remove the federation statement and switch federation off in the server.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				named := slices.ContainsFunc(fed.decl.Body.Items, func(i *lang.FederationItem) bool { return i.Peer != nil })
				for _, d := range p.accesses("allow") {
					for _, f := range p.flows(d) {
						named = named || overlaps(f.To.Set, fed.server.Set) && opensFederation(f, fed.server)
					}
				}
				if len(fed.open) == 0 && !named {
					var lists []diag.Label
					for _, r := range fed.rules() {
						if r.rule.Verdict == ir.Allow {
							lists = append(lists, label(r.decl.Span(), "the server chooses among those whose packets pass, and none do"))
						}
					}
					p.Report(header(fed.decl, fed.decl.Server), fmt.Sprintf("federation of %s is denied to everybody, and no peer is named", fed.server.Name), lists...)
				}
			}
		},
	},
	{
		Code:      "fed-s2s-module-off-port-open",
		Severity:  diag.Warning,
		Title:     "the federation port is opened without a federation statement",
		Why:       "Federation is optional, and a server that does not federate needs no such port. Where it is open all the same, either the port or the statement is a leftover.",
		Reference: "RFC 6120 §13.14",
		Remedy:    "Close the port, or write a federation statement that names the peers.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network partners = 203.0.113.0/28
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network partners to federation of chat
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
`,
		Run: func(p *Pass) {
			for _, d := range p.accesses("allow") {
				for _, f := range p.flows(d) {
					for _, s := range p.machines(f) {
						if opensFederation(f, s) && p.federationOf(s) == nil {
							p.Report(d.Span(), fmt.Sprintf("%s reaches the federation port of %s, which does not federate", f.From.Label, s.Name),
								label(s.Origin.Span, "no federation statement speaks of this server"))
						}
					}
				}
			}
		},
	},
	{
		Code:      "fed-blocklist-hits-self",
		Severity:  diag.Error,
		Title:     "a deny statement covers the policy's own addresses or domains",
		Why:       "Block lists get poisoned, and whoever puts this site's addresses on one that it uses cuts it off from itself: legs, components and checks come from these addresses.",
		Reference: "XEP-0205 §2",
		Remedy:    "Take the own addresses or domains out of the network, list or feed, and find out how they came there.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network drop = 198.51.100.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
`,
		Good: `policy "p" { profile baseline }
network drop = 203.0.113.128/25
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
deny network drop
`,
		Run: func(p *Pass) {
			for _, d := range p.denials() {
				if !d.whole() {
					continue // closing one service to one's own network is a policy, not a slip
				}
				for _, s := range p.Policy.Servers {
					if pfx, ok := shared(d.flow.From.Set, s.Set); ok {
						p.Report(d.decl.Span(), fmt.Sprintf("%s holds %s, an address of server %s", d.flow.From.Label, spell(pfx), s.Name),
							source(d.flow.From), label(s.Origin.Span, "server %s", s.Name))
					}
				}
				for _, pt := range p.Policy.Points {
					if pt.Server != nil {
						continue // its addresses are the server's
					}
					if pfx, ok := shared(d.flow.From.Set, pt.Set); ok {
						p.Report(d.decl.Span(), fmt.Sprintf("%s holds %s, an address of point %s", d.flow.From.Label, spell(pfx), pt.Name),
							source(d.flow.From), label(pt.Origin.Span, "point %s", pt.Name))
					}
				}
			}
			for _, fed := range p.federations {
				for _, r := range fed.rules() {
					for _, l := range r.rule.Lists {
						for _, own := range p.ownDomains() {
							if entry, ok := l.Covers(own.domain); ok && r.rule.Verdict == ir.Deny {
								p.Report(r.place(l), fmt.Sprintf("list %s holds %s, and so %s, a domain of %s", l.Name, entry, own.domain, own.of),
									label(l.Origin.Span, "the list"), label(own.at, "the domain"))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "fed-blocklist-hits-peer",
		Severity:  diag.Error,
		Title:     "a deny statement covers a named peer",
		Why:       "Deny comes before allow, so the peer is named and yet cut off. Poisoning a block list is a way to make two servers stop talking.",
		Reference: "XEP-0205 §2",
		Remedy:    "Take the peer's address or domain out of the network, list or feed, or remove the peer if it is denied on purpose.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network drop = 203.0.113.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
deny network drop
`,
		Good: `policy "p" { profile baseline }
network drop = 203.0.113.128/25
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
deny network drop
`,
		Run: func(p *Pass) {
			denials := p.denials()
			// Most peers are in no denial at all, so that is asked first.
			var parts [][]netip.Prefix
			anybody := false
			for _, d := range denials {
				if anybody = anybody || d.flow.From.Any; d.flow.From.Set != nil {
					parts = append(parts, d.flow.From.Set.Prefixes)
				}
			}
			all := union("denied", ir.Origin{}, parts...)
			for _, fed := range p.federations {
				rules := fed.rules()
				listed := deniedDomains(rules)
				for _, r := range fed.peers {
					near := denials
					if _, ok := shared(all, r.addresses()); !ok && !anybody {
						near = nil
					}
					for _, d := range near {
						hits := d.whole() || slices.ContainsFunc(r.in, d.speaksOf)
						if pfx, ok := d.overlap(r.addresses()); ok && hits {
							p.Report(d.decl.Span(), fmt.Sprintf("%s holds %s, an address of peer %s", d.flow.From.Label, spell(pfx), r.domain()),
								label(r.item.Domain.Span(), "the peer is named here"), source(d.flow.From))
						}
					}
					domains := append([]string{r.terms.Domain}, r.terms.More...)
					if !slices.ContainsFunc(domains, listed) {
						continue
					}
					for _, rule := range rules {
						for _, l := range rule.rule.Lists {
							for _, d := range domains {
								if entry, ok := l.Covers(d); ok && rule.rule.Verdict == ir.Deny {
									p.Report(rule.place(l), fmt.Sprintf("list %s holds %s, and so %s of a named peer", l.Name, entry, d),
										label(r.item.Domain.Span(), "the peer is named here"), label(l.Origin.Span, "the list"))
								}
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "fed-conn-limit-multidomain",
		Severity:  diag.Warning,
		Title:     "a connection limit is below what the number of domains needs",
		Why:       "Servers may open one connection for each pair of domains. A limit below the number of this server's domains cuts off well-behaved servers, and large hosts need more.",
		Reference: "XEP-0220 §2.6",
		Remedy:    "Raise the limit to at least the number of domain pairs, better twice that, since reconnecting overlaps.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org, muc.example.org, files.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20  limit connections 2 per peer }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org, muc.example.org, files.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20  limit connections 6 per peer }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				own := max(1, len(fed.server.Domains))
				if n := len(fed.terms.Domains); n > 0 {
					own = n
				}
				domains := label(fed.server.Origin.Span, "%s of %s", plural(own, "domain"), fed.server.Name)
				for _, f := range fed.open {
					if l := limitOf(f, ir.Connections, ir.PerSource); l != nil && !f.Outbound && uint64(l.Count) < uint64(own) {
						p.Report(l.Origin.Span, fmt.Sprintf("%s per source do not suffice for %s", plural(int(l.Count), "connection"), plural(own, "domain")), domains)
					}
				}
				for _, r := range fed.peers {
					for _, f := range r.in {
						pairs := own * (1 + len(r.terms.More))
						if l := limitOf(f, ir.Connections, ir.PerPeer, ir.PerSource); l != nil && uint64(l.Count) < uint64(pairs) {
							of := "peer " + r.domain()
							if n := len(r.terms.More); n > 0 {
								of = fmt.Sprintf("the %d domains of %s", n+1, of)
							}
							p.Report(l.Origin.Span, fmt.Sprintf("%s do not suffice for %s and %s", plural(int(l.Count), "connection"), of, plural(own, "domain")), domains)
						}
					}
				}
			}
		},
	},
	{
		Code:      "fed-unlimited-inbound",
		Severity:  diag.Warning,
		Title:     "every server may connect, and none is limited",
		Why:       "Open federation means that strangers connect. Without a limit for each source a single one takes all connections, and the connection attempts, that the server can bear.",
		Reference: "XEP-0205 §4.1, §4.2, RFC 6120 §13.12",
		Remedy:    "Add `limit connections N per source` and `limit attempts N/minute per source`, and their global fellows.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, f := range public(fed.open) {
					var lacking []string
					if limitOf(f, ir.Connections, ir.PerSource, ir.PerPeer) == nil {
						lacking = append(lacking, "connections")
					}
					if limitOf(f, ir.Attempts, ir.PerSource, ir.PerPeer) == nil {
						lacking = append(lacking, "attempts")
					}
					if len(lacking) > 0 {
						p.Report(header(fed.decl, fed.decl.Server), fmt.Sprintf("federation of %s is open to everybody without a limit on %s per source", fed.server.Name, strings.Join(lacking, " and ")))
					}
				}
			}
		},
	},
	{
		Code:      "fed-ip-pin-stale",
		Severity:  diag.Warning,
		Title:     "peer addresses are stated by hand, and DNS does not say the same",
		Why:       "A stated address does not follow the peer's DNS: when the peer moves, federation stops, and its old address stays open to whoever gets it next. Where xfwc.lock holds what DNS says, a move shows.",
		Reference: "RFC 6120 §3.2, §13.9.2",
		Remedy:    "Leave out the `address` lines and run `xfwc lock`; or keep them and run `xfwc lock --refresh` now and then, which records what DNS says of the peer.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer pinned.example { address 203.0.113.99 }  # not in xfwc.lock
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer partner.example { address 203.0.113.20 }  # xfwc.lock says the same
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				var places []diag.Label
				var names []string
				for _, r := range fed.peers {
					if !r.terms.Stated {
						continue
					}
					known, a, moved := r.elsewhere(p.Lock)
					switch {
					case moved && dialback(r.any()): // fed-dialback-auth-host-differs says more
					case moved:
						p.Report(r.addressPlace(), fmt.Sprintf("peer %s is at %s by DNS, and that is not among its stated addresses", r.domain(), a),
							label(known.Span, "recorded here"))
					case p.Lock.Peer(r.terms.Domain) == nil:
						places = append(places, label(r.addressPlace(), "peer %s", r.domain()))
						names = append(names, r.domain())
					}
				}
				if len(places) > 0 {
					has, is := "has its", "is"
					if len(names) > 1 {
						has, is = "have their", "are"
					}
					p.Report(places[0].Span, fmt.Sprintf("%s %s addresses stated by hand, and %s not in xfwc.lock: %s", plural(len(names), "peer"), has, is, strings.Join(names, ", ")), places[1:]...)
				}
			}
		},
	},
	{
		Code:      "fed-dialback-auth-host-differs",
		Severity:  diag.Warning,
		Title:     "a dialback peer is open where it connects from, and not where dialback asks",
		Why:       "Dialback asks the authoritative server of the peer's domain, which DNS names, and not the host that connected. Where the policy states another address alone, the question is denied and the peer is never verified.",
		Reference: "XEP-0220 §1.2, §1.4",
		Remedy:    "Leave out the `address` lines, so that the peer is at all addresses that DNS names; or state those too; or use `auth external`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    dialback over tls
  peer partner.example { address 203.0.113.99 }  # by DNS it is called at 203.0.113.20
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer partner.example { address 203.0.113.20, 203.0.113.99 }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					known, a, differs := r.elsewhere(p.Lock)
					if !differs || !dialback(r.any()) {
						continue
					}
					_, labels := r.authPlace(fed)
					p.Report(r.addressPlace(), fmt.Sprintf("dialback asks for peer %s at %s, which is not among its stated addresses", r.domain(), a),
						append(labels, label(known.Span, "DNS says so here"))...)
				}
			}
		},
	},
	{
		Code:      "fed-outbound-storm",
		Severity:  diag.Warning,
		Title:     "nothing bounds how often the server calls others",
		Why:       "One account that writes to made-up addresses makes the server look up and call ten thousand domains in a minute. Others then block the server, and its own queues fill.",
		Reference: "XEP-0205 §4.6",
		Remedy:    "Add `limit outgoing N/minute burst N global` to the federation statement: a few times what a busy hour needs.",
		Since:     "0.2",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10  port federation-tls 5270 }
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
				for _, f := range fed.open {
					// Named peers are few, and their number is the bound.
					if f.Outbound && limitOf(f, ir.Outgoing, ir.Global) == nil {
						p.Report(header(fed.decl, fed.decl.Server), fmt.Sprintf("%s may call any number of other servers at once", fed.server.Name))
					}
				}
			}
		},
	},
}

func dialback(f *ir.Flow) bool { return f.Auth == "dialback" || f.Auth == "dialback-tls" }

// addresses are the peer's own, whichever side opens the connection.
func (r peer) addresses() *ir.AddrSet {
	if len(r.in) > 0 {
		return r.in[0].From.Set
	}
	return r.out[0].To.Set
}

// ownDomain is a domain that the policy serves.
type ownDomain struct {
	domain, of string
	at         diag.Span
}

// ownDomains lists the domains of the policy's servers and components.
func (p *Pass) ownDomains() []ownDomain {
	var out []ownDomain
	for _, s := range p.Policy.Servers {
		for _, d := range s.Domains {
			out = append(out, ownDomain{d, "server " + s.Name, p.domainPlace(s, d)})
		}
	}
	for _, c := range p.Policy.Components {
		for _, d := range c.Domains {
			out = append(out, ownDomain{d, "component " + c.Name, c.Origin.Span})
		}
	}
	return out
}

// calls are the flows by which the server calls strangers.
func (d federation) calls() []*ir.Flow {
	return slices.DeleteFunc(slices.Clone(d.open), func(f *ir.Flow) bool { return !f.Outbound })
}

// callDenied finds a rule of the server's egress that denies every one of the
// flows; nil where one of them is left.
func (p *Pass) callDenied(s *ir.Server, calls []*ir.Flow) *ir.Flow {
	at := slices.IndexFunc(p.Policy.Egress, func(e *ir.EgressTerms) bool { return e.Server == s })
	if at < 0 {
		return nil
	}
	rules := p.Policy.Egress[at].Flows
	var rule *ir.Flow
	for _, f := range calls {
		denied := slices.IndexFunc(rules, func(d *ir.Flow) bool {
			return d.Verdict == ir.Deny && (d.Terms == nil || d.Terms.During == nil) &&
				!slices.ContainsFunc(f.Ports, func(span ir.PortSpan) bool { return !intersects(d.Ports, []ir.PortSpan{span}) }) &&
				(d.To.Any || f.To.Set != nil && f.To.Set.Within(d.To.Set))
		})
		if denied < 0 {
			return nil
		}
		rule = rules[denied]
	}
	return rule
}

// choosesDomains reports whether the server itself holds a list of the domains
// that may federate, whatever addresses they come from.
func (p *Pass) choosesDomains(fed *federation) bool {
	return p.filters(fed.server) && slices.ContainsFunc(fed.terms.Rules, func(r *ir.DomainRule) bool { return r.Verdict == ir.Allow })
}

// federationOf finds the federation statement of a server, or nil.
func (p *Pass) federationOf(s *ir.Server) *federation {
	for i := range p.federations {
		if p.federations[i].server == s {
			return &p.federations[i]
		}
	}
	return nil
}

// opensFederation reports whether an access flow reaches a port on which the
// server federates.
func opensFederation(f *ir.Flow, s *ir.Server) bool {
	for _, l := range s.Listeners {
		if strings.HasPrefix(l.Service, "federation") && intersects(f.Ports, []ir.PortSpan{l.Port}) {
			return true
		}
	}
	return false
}

// denial is a deny statement with what it means.
type denial struct {
	decl *lang.AccessDecl
	flow *ir.Flow
}

func (p *Pass) denials() []denial {
	var out []denial
	for _, d := range p.accesses("deny") {
		for _, f := range p.flows(d) {
			if f.Verdict == ir.Deny {
				out = append(out, denial{d, f})
			}
		}
	}
	return out
}

// whole reports whether the denial is from everything that the policy guards.
func (d denial) whole() bool { return d.flow.To.Any && len(d.flow.Ports) == 0 }

// speaksOf reports whether the denial decides about conversations of the flow,
// which somebody else opens.
func (d denial) speaksOf(f *ir.Flow) bool {
	if len(d.flow.Ports) > 0 && !intersects(d.flow.Ports, f.Ports) {
		return false
	}
	return d.flow.To.Any || overlaps(d.flow.To.Set, f.To.Set)
}

// deniedDomains tells of a domain whether a list of a rule that denies holds it.
func deniedDomains(rules []domainRule) func(string) bool {
	all := &ir.DomainList{}
	for _, r := range rules {
		if r.rule.Verdict == ir.Deny {
			for _, l := range r.rule.Lists {
				all.Domains = append(all.Domains, l.Domains...)
			}
		}
	}
	slices.Sort(all.Domains)
	return func(domain string) bool {
		_, ok := all.Covers(domain)
		return ok
	}
}

// overlap finds addresses of the set that the denial speaks of.
func (d denial) overlap(s *ir.AddrSet) (netip.Prefix, bool) {
	if d.flow.From.Any && s != nil && len(s.Prefixes) > 0 {
		return s.Prefixes[0], true
	}
	return shared(d.flow.From.Set, s)
}

// source points at where the addresses of an endpoint are stated.
func source(e ir.Endpoint) diag.Label {
	if e.Set == nil {
		return diag.Label{}
	}
	return label(e.Set.Origin.Span, "the addresses come from here")
}
