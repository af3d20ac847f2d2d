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
						if l.Service == "proxy65" && intersects(o.flow.Ports, []ir.PortSpan{l.Port}) {
							p.Report(o.at, fmt.Sprintf("%s, which is everybody, reaches the file transfer proxy of %s", o.flow.From.Label, s.Name))
						}
					}
				}
			}
		},
	},
}
