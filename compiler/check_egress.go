package compiler

import (
	"fmt"
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// DNS, and DNS over TLS (RFC 7858); HTTP and HTTPS; servers among each other,
// with STARTTLS and with direct TLS.
var (
	federationPorts = []ir.PortSpan{tcpPort(5269), tcpPort(5270)}
	dnsPorts        = []ir.PortSpan{{Proto: ir.UDP, From: 53, To: 53}, {Proto: ir.TCP, From: 853, To: 853}}
	httpPorts       = []ir.PortSpan{{Proto: ir.TCP, From: 80, To: 80}, {Proto: ir.TCP, From: 443, To: 443}}
)

var egressChecks = []Check{
	{
		Code:      "egress-no-dns",
		Severity:  diag.Warning,
		Title:     "a server that federates may not ask DNS",
		Why:       "Where another server is, its SRV and address records say. Without an answer nothing gets out, and dialback lets nothing in either.",
		Reference: "RFC 6120 §3.2.1, XEP-0220 §1.4",
		Remedy:    "Add `allow dns to` the addresses of the resolver.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer branch.example
}
egress of chat {
  default deny
  allow   https to any
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer branch.example
}
egress of chat {
  default deny
  allow   https to any
  allow   dns to 192.0.2.53
}
`,
		Run: func(p *Pass) {
			for _, e := range p.Policy.Egress {
				calls := slices.IndexFunc(p.Policy.Flows, func(f *ir.Flow) bool {
					return f.Kind == ir.Federation && f.Verdict == ir.Allow && f.Outbound && f.Server == e.Server
				})
				if e.Default == ir.Deny && calls >= 0 && !letsOut(e, dnsPorts) {
					p.Report(e.Origin.Span, fmt.Sprintf("%s calls other servers, and may not ask DNS where they are", e.Server.Name),
						label(p.Policy.Flows[calls].Origin.Span, "it federates here"))
				}
			}
		},
	},
	{
		Code:      "egress-no-web",
		Severity:  diag.Info,
		Title:     "a server reaches no web server at all",
		Why:       "Certificates are renewed over HTTPS (ACME), and block lists are fetched over it. Both fail weeks later, when nobody thinks of the packet filter.",
		Reference: "RFC 8555 §6.1",
		Remedy:    "Add `allow https to` those that renew certificates and publish the lists, or set this aside where another machine does that.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from 192.0.2.0/24 }
egress of chat {
  default deny
  allow   dns to 192.0.2.53
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from 192.0.2.0/24 }
egress of chat {
  default deny
  allow   dns to 192.0.2.53
  allow   https to any
}
`,
		Run: func(p *Pass) {
			for _, e := range p.Policy.Egress {
				posh := slices.ContainsFunc(p.Policy.Federations, func(f *ir.FederationTerms) bool {
					return f.Server == e.Server && (slices.Contains(f.Identity, "posh") ||
						slices.ContainsFunc(f.Peers, func(r *ir.PeerTerms) bool { return slices.Contains(r.Identity, "posh") }))
				})
				if e.Default == ir.Deny && !posh && !letsOut(e, httpPorts) { // POSH has a check of its own
					p.Report(e.Origin.Span, fmt.Sprintf("%s may call no web server, for certificates or for lists", e.Server.Name))
				}
			}
		},
	},
	{
		Code:      "egress-opens-federation",
		Severity:  diag.Warning,
		Title:     "a server may call every other server, though its federation is closed",
		Why:       "Federation with `default deny` calls its peers alone. An egress rule that opens the same ports to everybody lets the server call strangers after all, and what decides then is its own configuration.",
		Reference: "RFC 6120 §14.4",
		Remedy:    "Remove the port from the rule: peers are called without it. If every server is meant, state `default allow` in the federation.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer branch.example
}
egress of chat {
  default deny
  allow   dns to 192.0.2.53
  allow   https, tcp/5269 to any
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default deny
  tls     required
  peer branch.example
}
egress of chat {
  default deny
  allow   dns to 192.0.2.53
  allow   https to any
}
`,
		Run: func(p *Pass) {
			for _, e := range p.Policy.Egress {
				for _, t := range p.Policy.Federations {
					if t.Server != e.Server || t.Default != ir.Deny {
						continue
					}
					for _, f := range e.Flows {
						if held := common(federationPorts, f.Ports); f.Verdict == ir.Allow && worldwide(f.To) && len(held) > 0 {
							p.Report(f.Origin.Span, fmt.Sprintf("%s may call port %d of everybody, and federates with its peers alone", e.Server.Name, held[0].From),
								label(statedAt(t.At, t.Origin, "default"), "the federation is closed here"))
						}
					}
				}
			}
		},
	},
}

// letsOut reports whether an egress statement allows one of the ports.
func letsOut(e *ir.EgressTerms, ports []ir.PortSpan) bool {
	return slices.ContainsFunc(e.Flows, func(f *ir.Flow) bool { return f.Verdict == ir.Allow && intersects(f.Ports, ports) })
}

// privateNetworks are those of RFC 1918 and RFC 4193.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}

// reachesPrivate reports whether an egress statement lets the ports out to
// private networks.
func reachesPrivate(e *ir.EgressTerms, ports []ir.PortSpan) bool {
	return slices.ContainsFunc(privateNetworks, func(pfx netip.Prefix) bool {
		if pfx.Addr().Is6() {
			if _, v6 := families(e.Server.Set); !v6 {
				return false
			}
		}
		denied := slices.ContainsFunc(e.Flows, func(f *ir.Flow) bool {
			return f.Verdict == ir.Deny && covers(f.Ports, ports) && (f.To.Any || holds(f.To.Set, pfx))
		})
		allowed := e.Default == ir.Allow || slices.ContainsFunc(e.Flows, func(f *ir.Flow) bool {
			return f.Verdict == ir.Allow && intersects(f.Ports, ports) && (f.To.Any || setOverlapsPrefix(f.To.Set, pfx))
		})
		return allowed && !denied
	})
}
