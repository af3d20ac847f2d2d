package compiler

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

var clientChecks = []Check{
	{
		Code:      "c2s-plaintext",
		Severity:  diag.Error,
		Title:     "clients may log in without TLS",
		Why:       "Passwords and messages cross the network readable. Optional STARTTLS is no help: whoever sits on the path removes the offer.",
		Reference: "RFC 9325 §3.2, RFC 7590 §3.4",
		Remedy:    "State `starttls required`, and add `direct-tls`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls optional
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
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
		Run: func(p *Pass) {
			for _, d := range p.clients() {
				for _, f := range p.flows(d) {
					if f.Kind != ir.Clients || f.Leg || f.TLS != "optional" && f.TLS != "none" {
						continue
					}
					at := header(d, d.Server)
					for _, i := range d.Body.Items {
						if i.StartTLS != nil {
							at = i.StartTLS.Span()
						}
					}
					how := "optional"
					if f.TLS == "none" {
						how = "off"
					}
					p.Report(at, fmt.Sprintf("TLS is %s for clients of %s", how, d.Server.Text))
				}
			}
		},
	},
	{
		Code:      "c2s-direct-tls-absent",
		Severity:  diag.Warning,
		Title:     "clients have STARTTLS only",
		Why:       "A port that speaks TLS from the first byte has nothing that could be stripped, and where a protocol has both forms administrators have to prefer it.",
		Reference: "RFC 9325 §3.2, XEP-0368 §3",
		Remedy:    "Add `direct-tls` to the clients statement and publish its port as _xmpps-client.",
		Since:     "0.1",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
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
		Good: `policy "p" { profile strict }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
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
			for _, d := range p.clients() {
				direct := false
				for _, i := range d.Body.Items {
					direct = direct || i.DirectTLS != nil
				}
				if !direct && p.server(d.Server) != nil {
					p.Report(header(d, d.Server), fmt.Sprintf("clients of %s have no port with direct TLS", d.Server.Text))
				}
			}
		},
	},
}

// point finds a point by name, or nil.
func (p *Pass) point(name string) *ir.Point {
	for _, pt := range p.Policy.Points {
		if pt.Name == name {
			return pt
		}
	}
	return nil
}

// privateLeg reports whether traffic from the point to the server stays on one
// machine, or on a named network that an interface of the point faces and that
// is not the internet.
func privateLeg(pt *ir.Point, s *ir.Server) bool {
	if pt.Server == s {
		return true
	}
	if s.Set == nil || len(s.Set.Prefixes) == 0 {
		return false
	}
	var private []*ir.AddrSet
	for _, i := range pt.Interfaces {
		if i.Internet {
			continue
		}
		for _, n := range i.Networks {
			if n.Set != nil {
				private = append(private, n.Set)
			}
		}
	}
	for _, pfx := range s.Set.Prefixes {
		if loopback(pfx) {
			continue
		}
		behind := false
		for _, n := range private {
			behind = behind || holds(n, pfx)
		}
		if !behind {
			return false
		}
	}
	return true
}
