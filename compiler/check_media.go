package compiler

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

var mediaChecks = []Check{
	{
		Code:      "p65-open",
		Severity:  diag.Warning,
		Title:     "everybody reaches the file transfer proxy",
		Why:       "A SOCKS5 bytestream proxy relays what it is told to. Sessions that are opened and never activated cost it sockets, and strangers have no business there.",
		Reference: "XEP-0065 §11.3",
		Remedy:    "Admit the networks of your own users only, or use HTTP file upload (XEP-0363) instead.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network world = 0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network world to proxy65 of im
`,
		Good: `policy "p" { profile baseline }
network lan = 192.0.2.32/27
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network lan to proxy65 of im
`,
		Run: func(p *Pass) {
			for _, o := range p.openings(ir.Access, ir.Media) {
				if !worldwide(o.flow.From) {
					continue
				}
				for _, s := range p.machines(o.flow) {
					for _, l := range s.Listeners {
						// Where it relays for the server's own users it matters little who connects.
						if l.Service == "proxy65" && intersects(o.flow.Ports, []ir.PortSpan{l.Port}) && usual(s, "proxy65-access") != "local" {
							p.Report(o.at, fmt.Sprintf("%s, which is everybody, reaches the file transfer proxy of %s", o.flow.From.Label, s.Name))
						}
					}
				}
			}
		},
	},
	{
		Code:      "turn-range",
		Severity:  diag.Warning,
		Title:     "a relay is set up, and its ports stay closed",
		Why:       "The relay gives each call a port of its own range and tells both sides to send there. Where the range is closed, calls ring and stay silent, behind some routers only.",
		Reference: "RFC 8656 §7.2",
		Remedy:    "Add `relay 49152-65535`, or the range that the server is configured for; for STUN alone remove what speaks of the relay.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
media of chat {
  stun
  auth          required
  private-peers deny
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
media of chat {
  stun
  relay         49152-65535
  auth          required
  private-peers deny
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, m := range p.Policy.Media {
				if m.STUN && m.RelayFrom == 0 && (m.Auth == "required" || m.PrivatePeers == "deny") {
					p.Report(statedAt(m.At, m.Origin, "auth", "private-peers"), fmt.Sprintf("%s says how its relay is used, and opens no ports for one", m.Origin.Label))
				}
			}
		},
	},
	{
		Code:      "turn-anon",
		Severity:  diag.Error,
		Title:     "everybody may relay through the site without a password",
		Why:       "An open relay is found within hours. It carries whatever its finders want, to wherever they want, from this site's address and at its cost.",
		Reference: "RFC 8656 §7.2; ejabberd documentation, Listen Modules: ejabberd_stun",
		Remedy:    "Write `auth required`, and let the server ask for a password.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
media of chat {
  stun
  relay         49152-65535
  auth          none
  private-peers deny
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
media of chat {
  stun
  relay         49152-65535
  auth          required
  private-peers deny
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, m := range p.Policy.Media {
				if m.RelayFrom == 0 {
					continue
				}
				switch {
				case m.Auth == "none":
					p.Report(statedAt(m.At, m.Origin, "auth"), fmt.Sprintf("whoever reaches the relay of %s may use it", m.Server.Name), label(statedAt(m.At, m.Origin, "relay"), "the relay"))
				case m.Auth == "" && usual(m.Server, "turn-auth") == "anonymous":
					p.Report(statedAt(m.At, m.Origin, "relay"), fmt.Sprintf("%s %s asks users of its relay for no password unless its configuration says otherwise", m.Server.Software, m.Server.Version))
				}
			}
		},
	},
	{
		Code:      "turn-internal",
		Severity:  diag.Warning,
		Title:     "the relay reaches private networks",
		Why:       "A relay sends from inside. Whoever may use it can ask for a peer with a private address, and talks to machines that no packet filter at the border lets anybody reach.",
		Reference: "RFC 8656 §21; ejabberd documentation, Listen Modules: ejabberd_stun, turn_blacklist",
		Remedy:    "Write `private-peers deny`, and name the private networks in the server's list of denied peers.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
media of chat {
  stun
  relay 49152-65535
  auth  required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
media of chat {
  stun
  relay         49152-65535
  auth          required
  private-peers deny
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Run: func(p *Pass) {
			for _, m := range p.Policy.Media {
				if m.RelayFrom == 0 {
					continue
				}
				switch {
				case m.PrivatePeers == "allow":
					p.Report(statedAt(m.At, m.Origin, "private-peers"), fmt.Sprintf("the relay of %s reaches private networks", m.Server.Name))
				case m.PrivatePeers == "" && usual(m.Server, "turn-denied") == "loopback":
					p.Report(statedAt(m.At, m.Origin, "relay"), fmt.Sprintf("the relay of %s %s refuses its own machine only, and reaches private networks, unless its configuration says otherwise", m.Server.Software, m.Server.Version),
						label(m.Server.Origin.Span, "server %s", m.Server.Name))
				}
			}
		},
	},
}
