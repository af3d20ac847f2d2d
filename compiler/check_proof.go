package compiler

import (
	"fmt"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Checks of what proves a peer's domain besides dialback: certificates of an
// authority, DANE and POSH (RFC 7712), and exceptions from them.

var proofChecks = []Check{
	{
		Code:      "fed-posh-no-https-egress",
		Severity:  diag.Error,
		Title:     "POSH is a proof, and the server may not fetch it",
		Why:       "The proof is a file on a web server of the peer's domain, fetched by HTTPS. Where that is closed, every peer that relies on it is refused.",
		Reference: "RFC 7711 §3, RFC 7712 §5.2",
		Remedy:    "Add `allow https to any` to the egress statement, or take posh from `identity`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network resolver = 192.0.2.53
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default  deny
  tls      required
  auth     external
  identity pkix, posh
  peer branch.example
}
egress of chat {
  default deny
  allow   dns to resolver
}
`,
		Good: `policy "p" { profile baseline }
network resolver = 192.0.2.53
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default  deny
  tls      required
  auth     external
  identity pkix, posh
  peer branch.example
}
egress of chat {
  default deny
  allow   dns to resolver
  allow   https to any
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				at := slices.IndexFunc(p.Policy.Egress, func(e *ir.EgressTerms) bool { return e.Server == fed.server })
				if at < 0 || p.fetches(p.Policy.Egress[at], len(fed.open) > 0) {
					continue
				}
				closed := label(p.Policy.Egress[at].Origin.Span, "what the server may call is stated here")
				if len(fed.open) > 0 && slices.Contains(fed.terms.Identity, "posh") {
					p.Report(fed.identityPlace("posh"), fmt.Sprintf("%s may not fetch the POSH files of the domains that it federates with", fed.server.Name), closed)
					continue
				}
				for _, r := range fed.peers {
					if slices.Contains(r.terms.Identity, "posh") {
						place, labels := r.identityPlace(fed, "posh")
						p.Report(place, fmt.Sprintf("%s may not fetch the POSH file of peer %s", fed.server.Name, r.domain()), append(labels, closed)...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-dane-no-dnssec",
		Severity:  diag.Error,
		Title:     "DANE is the only proof of a peer whose zone is not signed",
		Why:       "A TLSA record counts only where DNSSEC vouches for it, and for the SRV and address records that lead to it. Without that the peer cannot prove anything.",
		Reference: "RFC 7673 §3.4, §6, RFC 7712 §8",
		Remedy:    "Add pkix to `identity`, or ask the peer to sign its zone.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10  resolver validating }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default  deny
  tls      required
  auth     external
  identity dane
  peer unsigned.example  # xfwc.lock: insecure
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10  resolver validating }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default  deny
  tls      required
  auth     external
  identity dane
  peer signed.example
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					known := p.Lock.Peer(r.terms.Domain)
					if known != nil && known.DNSSEC == "insecure" && slices.Equal(r.terms.Identity, []string{"dane"}) {
						place, labels := r.identityPlace(fed, "dane")
						p.Report(place, fmt.Sprintf("peer %s is to be known by DANE, and its DNS answers are unsigned", r.domain()),
							append(labels, label(known.Span, "recorded here"))...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-dane-resolver",
		Severity:  diag.Error,
		Title:     "DANE rests on a resolver that does not validate",
		Why:       "A server that believes what such a resolver says of TLSA records lets whoever forges DNS answers be any peer. One that does not believe it has no use for them.",
		Reference: "RFC 7712 §8, RFC 7673 §3.4",
		Remedy:    "Run a validating resolver beside the server and state `resolver validating`, or take dane from `identity`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10  resolver plain }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default  deny
  tls      required
  auth     external
  identity pkix, dane
  peer branch.example
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10  resolver validating }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default  deny
  tls      required
  auth     external
  identity pkix, dane
  peer branch.example
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				if fed.server.Resolver == "validating" {
					continue
				}
				// A resolver of which nothing is said matters where there is no other proof.
				rests := func(identity []string) bool {
					return slices.Contains(identity, "dane") && (fed.server.Resolver == "plain" || len(identity) == 1)
				}
				used := diag.Span{}
				if rests(fed.terms.Identity) {
					used = fed.identityPlace("dane")
				}
				for _, r := range fed.peers {
					if !used.IsValid() && rests(r.terms.Identity) {
						used, _ = r.identityPlace(fed, "dane")
					}
				}
				switch {
				case !used.IsValid():
				case fed.server.Resolver == "":
					p.Report(used, fmt.Sprintf("peers of %s are known by DANE alone, and nothing says that its resolver validates", fed.server.Name),
						label(fed.server.Origin.Span, "server %s", fed.server.Name))
				default:
					p.Report(p.serverSetting(fed.server, "resolver"), fmt.Sprintf("the resolver of %s does not validate, and peers are known by DANE", fed.server.Name),
						label(used, "DANE is stated here"))
				}
			}
		},
	},
	{
		Code:      "fed-selfsigned-no-exception",
		Severity:  diag.Warning,
		Title:     "a peer with a self-signed certificate has to prove itself by it",
		Why:       "SASL EXTERNAL accepts a certificate that some authority signed, or that DANE or POSH vouches for. This peer has neither, so every stream to and from it fails.",
		Reference: "XEP-0220 §2.5, XEP-0178 §3, RFC 7590 §3.4",
		Remedy:    "State `auth dialback over tls` for this peer alone, or an `identity` that vouches for its certificate, and add the domain to the server's list of exceptions.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer signed.example { certificate self-signed }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  auth    external
  peer signed.example { certificate self-signed  auth dialback over tls }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					vouched := slices.Contains(r.terms.Identity, "dane") || slices.Contains(r.terms.Identity, "posh")
					// Where nothing is stated the certificate is the proof.
					certificate := r.any().Auth == "external" || r.any().Auth == ""
					if r.terms.Certificate == "self-signed" && certificate && r.any().TLS != "none" && !vouched {
						at, labels := r.authPlace(fed)
						if len(labels) == 0 && r.any().Auth != "" {
							labels = []diag.Label{label(at, "the certificate is the proof")}
						}
						p.Report(r.certificatePlace(), fmt.Sprintf("peer %s has a self-signed certificate, and is to be known by it", r.domain()), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "fed-exception-unused",
		Severity:  diag.Info,
		Title:     "a self-signed certificate is excepted where no certificate is ever shown",
		Why:       "Exceptions outlive their reason. One that nothing needs any more is a hole for the day on which something does.",
		Reference: "RFC 7590 §3.4",
		Remedy:    "Remove the `certificate` line, and the domain from the server's own list of exceptions.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer legacy.example { address 203.0.113.60  tls none  auth dialback  certificate self-signed }
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  peer signed.example { tls required  auth dialback over tls  certificate self-signed }
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.peers {
					if r.terms.Certificate == "self-signed" && r.any().TLS == "none" {
						at, labels := r.tlsPlace(fed)
						if len(labels) == 0 {
							labels = []diag.Label{label(at, "without TLS there is no certificate")}
						}
						p.Report(r.certificatePlace(), fmt.Sprintf("peer %s never shows the certificate that is excepted", r.domain()), labels...)
					}
				}
			}
		},
	},
}

// fetches reports whether a server may call web servers, of everybody or at
// least of somebody.
func (p *Pass) fetches(e *ir.EgressTerms, everybody bool) bool {
	allowed := e.Default == ir.Allow
	for _, f := range p.Policy.Flows {
		ours := f.Outbound && f.Server == e.Server || f.Kind == ir.Access && overlaps(f.From.Set, e.Server.Set)
		if !ours || !intersects(f.Ports, []ir.PortSpan{tcpPort(443)}) {
			continue
		}
		switch {
		case f.Verdict == ir.Deny && worldwide(f.To):
			return false
		case f.Verdict == ir.Allow && (worldwide(f.To) || !everybody):
			allowed = true
		}
	}
	return allowed
}

// identityPlace is where the federation states a proof.
func (d federation) identityPlace(proof string) diag.Span {
	for _, i := range d.decl.Body.Items {
		for _, w := range i.Identity {
			if w.Text == proof {
				return w.Span()
			}
		}
	}
	return header(d.decl, d.decl.Server)
}

// identityPlace is where the peer states a proof or, where it inherits it, its
// name and a label at what it inherits.
func (r peer) identityPlace(fed federation, proof string) (diag.Span, []diag.Label) {
	for _, l := range r.lines() {
		for _, w := range l.Identity {
			if w.Text == proof {
				return w.Span(), nil
			}
		}
	}
	return r.item.Domain.Span(), []diag.Label{label(fed.identityPlace(proof), "stated here for every peer")}
}

// certificatePlace is where the peer's certificate is described.
func (r peer) certificatePlace() diag.Span {
	for _, l := range r.lines() {
		if l.Certificate != nil {
			return l.Certificate.Span()
		}
	}
	return r.item.Domain.Span()
}

// serverSetting is where the value of a setting of a server is stated.
func (p *Pass) serverSetting(s *ir.Server, name string) diag.Span {
	for _, d := range decls(p, func(d *lang.Decl) *lang.ServerDecl { return d.Server }) {
		for _, i := range d.Body.Items {
			if d.Name.Text == s.Name && i.Setting != nil && i.Setting.Name == name {
				return i.Setting.Value.Span()
			}
		}
	}
	return s.Origin.Span
}
