package compiler

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// consolePort is a port on which whoever connects commands the server, without
// a password or in clear text.
type consolePort struct {
	software string
	port     uint16
	what     string
}

var consolePorts = []consolePort{
	{"openfire", 1099, "JMX"},
	{"openfire", 5005, "the Java debugger"},
	{"prosody", 5582, "the telnet console"},
}

// hazelcast is where the nodes of an Openfire cluster talk to each other: the
// first port and the ones it takes when that is in use.
var hazelcast = ir.PortSpan{Proto: ir.TCP, From: 5701, To: 5799}

// erlang is the port mapper and the fixed port that the ejabberd guide suggests
// for distribution.
var erlang = []ir.PortSpan{{Proto: ir.TCP, From: 4369, To: 4369}, {Proto: ir.TCP, From: 5210, To: 5210}}

var adminChecks = []Check{
	{
		Code:      "adm-http-public",
		Severity:  diag.Error,
		Title:     "everybody reaches the administration of a server",
		Why:       "Consoles and interfaces for administration have had holes that needed no password (CVE-2023-32315). Their makers say to keep them off the internet.",
		Reference: "Openfire Installation Guide: Firewall; CVE-2023-32315; ejabberd documentation, Administrator Guide: Security",
		Remedy:    "Name the network that administrators use in the allow statement.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network world = 0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network world to admin of im
`,
		Good: `policy "p" { profile baseline }
network ops = 192.0.2.32/27
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network ops to admin of im
`,
		Run: func(p *Pass) {
			for _, d := range p.accesses("allow") {
				for _, f := range public(p.flows(d)) {
					for _, s := range p.machines(f) {
						for _, l := range s.Listeners {
							if l.Service == "admin" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
								p.Report(d.Span(), fmt.Sprintf("%s, which is everybody, reaches the administration of %s on port %d", f.From.Label, s.Name, l.Port.From),
									source(f.From), label(s.Origin.Span, "port %d: %s", l.Port.From, l.Source))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "adm-console",
		Severity:  diag.Error,
		Title:     "a console without a password is reachable over the network",
		Why:       "Whoever connects to the telnet console, to JMX or to the debugger commands the server: there is no password, or it crosses in clear text.",
		Reference: "Prosody mod_admin_telnet; Java Platform, Monitoring and Management Using JMX",
		Remedy:    "Remove the statement; log in with ssh and use the console on the machine itself.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to tcp/5582 of chat
`,
		Good: `policy "p" { profile baseline }
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, d := range p.accesses("allow") {
				for _, f := range p.flows(d) {
					for _, s := range p.machines(f) {
						far, ok := p.crosses(f.From, s)
						if !ok {
							continue
						}
						for _, c := range consolePorts {
							if c.software == s.Software && intersects(f.Ports, []ir.PortSpan{{Proto: ir.TCP, From: c.port, To: c.port}}) {
								p.Report(d.Span(), fmt.Sprintf("%s reaches %s of %s on port %d (%s)", f.From.Label, c.what, s.Name, c.port, far))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "cl-epmd",
		Severity:  diag.Error,
		Title:     "Erlang distribution is reachable from beyond the site",
		Why:       "Whoever reaches the nodes' ports and knows the cookie runs any code in the server; the port mapper tells where to knock. Neither encrypts anything by default.",
		Reference: "ejabberd documentation, Administrator Guide: Security",
		Remedy:    "Admit the other nodes of the cluster only, over a private network.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network nodes = 203.0.113.0/28
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network nodes to cluster of chat
`,
		Good: `policy "p" { profile baseline }
network nodes = 10.20.0.0/28
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  interface eth1 faces nodes  nftables }
allow network nodes to cluster of chat
`,
		Run: func(p *Pass) { p.cluster("ejabberd", "Erlang distribution", erlang) },
	},
	{
		Code:      "cl-hazelcast",
		Severity:  diag.Error,
		Title:     "the cluster port of Openfire is reachable from beyond the site",
		Why:       "Nodes exchange sessions and caches there without a password and in clear text; whoever joins is a node.",
		Reference: "Openfire Hazelcast plugin; Openfire Installation Guide: Firewall",
		Remedy:    "Admit the other nodes of the cluster only, over a private network.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network nodes = 203.0.113.0/28
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network nodes to tcp/5701 of im
`,
		Good: `policy "p" { profile baseline }
network nodes = 10.20.0.0/28
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  interface eth1 faces nodes  nftables }
allow network nodes to tcp/5701 of im
`,
		Run: func(p *Pass) { p.cluster("openfire", "the cluster port", []ir.PortSpan{hazelcast}) },
	},
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
			for _, d := range p.accesses("allow") {
				for _, f := range public(p.flows(d)) {
					for _, s := range p.machines(f) {
						for _, l := range s.Listeners {
							if l.Service == "proxy65" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
								p.Report(d.Span(), fmt.Sprintf("%s, which is everybody, reaches the file transfer proxy of %s", f.From.Label, s.Name))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "adm-clear-text",
		Severity:  diag.Info,
		Title:     "administration is reached in clear text",
		Why:       "The password of the administrator crosses every network between his desk and the server readable.",
		Reference: "Openfire Installation Guide: Firewall; ejabberd documentation, Administrator Guide: Security",
		Remedy:    "Use the listener with TLS: open `tcp/PORT of SERVER` instead of `admin of SERVER`, or go through ssh.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network ops = 192.0.2.32/27
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network ops to admin of im
`,
		Good: `policy "p" { profile baseline }
network ops = 192.0.2.32/27
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables }
allow network ops to tcp/9091 of im
`,
		Run: func(p *Pass) {
			for _, d := range p.accesses("allow") {
				for _, f := range p.flows(d) {
					for _, s := range p.machines(f) {
						far, ok := p.crosses(f.From, s)
						if !ok {
							continue
						}
						for _, l := range s.Listeners {
							if l.Service == "admin" && l.Transport == "clear" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
								p.Report(d.Span(), fmt.Sprintf("%s reaches the administration of %s in clear text on port %d (%s)", f.From.Label, s.Name, l.Port.From, far),
									label(s.Origin.Span, "port %d: %s", l.Port.From, l.Source))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "adm-ssh-public",
		Severity:  diag.Warning,
		Title:     "everybody may try to log in with ssh",
		Why:       "Machines on the internet try passwords and stolen keys all day. A network for administrators takes them out of the log and an unpatched sshd out of reach.",
		Reference: "",
		Remedy:    "Name the network that administrators use, or waive this where they come from everywhere.",
		Since:     "0.1",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
network world = 0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network world to ssh of box
`,
		Good: `policy "p" { profile strict }
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, d := range p.accesses("allow") {
				for _, f := range public(p.flows(d)) {
					if intersects(f.Ports, []ir.PortSpan{{Proto: ir.TCP, From: 22, To: 22}}) {
						p.Report(d.Span(), fmt.Sprintf("%s, which is everybody, reaches ssh of %s", f.From.Label, f.To.Label))
					}
				}
			}
		},
	},
	{
		Code:      "adm-no-way-in",
		Severity:  diag.Warning,
		Title:     "a point denies all that is not stated, and nobody may administer it",
		Why:       "On an exclusive point the next apply ends every way in but a console. Established sessions live on, which hides the mistake until they close.",
		Reference: "",
		Remedy:    "Add `allow network … to ssh of POINT`, or leave out `exclusive`.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
`,
		Good: `policy "p" { profile baseline }
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
federation of chat {
  default deny
  tls     required
  peer partner.example { address 203.0.113.20 }
}
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, pt := range p.Policy.Points {
				if pt.Exclusive && pt.Engine("nftables") != nil && !p.administered(pt) {
					p.Report(pt.Origin.Span, fmt.Sprintf("point %s denies what is not stated, and no statement lets anybody administer it", pt.Name))
				}
			}
		},
	},
	{
		Code:      "adm-deny-hits-management",
		Severity:  diag.Error,
		Title:     "a deny statement covers those who administer",
		Why:       "Deny comes before allow. A block list that holds the administrators' network takes away the way to mend it.",
		Reference: "XEP-0205 §2, §5",
		Remedy:    "Take the addresses out of the network or feed, or out of the allow statement if they are denied on purpose.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network ops  = 192.0.2.32/27
network drop = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to ssh of box
deny  network drop
`,
		Good: `policy "p" { profile baseline }
network ops  = 192.0.2.32/27
network drop = 203.0.113.128/25
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to ssh of box
deny  network drop
`,
		Run: func(p *Pass) {
			denials := p.denials()
			for _, a := range p.accesses("allow") {
				for _, f := range p.flows(a) {
					if !p.management(f) {
						continue
					}
					for _, d := range denials {
						if pfx, ok := d.overlap(f.From.Set); ok && d.speaksOf(f) {
							p.Report(d.decl.Span(), fmt.Sprintf("%s holds %s of %s, who administer %s", d.flow.From.Label, spell(pfx), f.From.Label, f.To.Label),
								label(a.Span(), "they are admitted here"), source(d.flow.From))
						}
					}
				}
			}
		},
	},
}

// cluster reports access from beyond the site to ports that the nodes of a
// cluster use among themselves.
func (p *Pass) cluster(software, what string, ports []ir.PortSpan) {
	for _, d := range p.accesses("allow") {
		for _, f := range p.flows(d) {
			if !intersects(f.Ports, ports) {
				continue
			}
			for _, s := range p.machines(f) {
				if s.Software != software {
					continue
				}
				if far, ok := p.outside(f.From); ok {
					p.Report(d.Span(), fmt.Sprintf("%s reaches %s of %s (%s)", f.From.Label, what, s.Name, far))
				}
			}
		}
	}
}

// management reports whether a flow is how people administer a machine: ssh, or
// the administration port of a server.
func (p *Pass) management(f *ir.Flow) bool {
	if f.Kind != ir.Access || f.Verdict != ir.Allow {
		return false
	}
	if intersects(f.Ports, []ir.PortSpan{{Proto: ir.TCP, From: 22, To: 22}}) {
		return true
	}
	for _, s := range p.machines(f) {
		for _, l := range s.Listeners {
			if l.Service == "admin" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
				return true
			}
		}
	}
	return false
}

// administered reports whether a management flow ends at the point.
func (p *Pass) administered(pt *ir.Point) bool {
	for _, f := range p.Policy.Flows {
		if p.management(f) && (f.To.Any || overlaps(f.To.Set, pt.Set)) {
			return true
		}
	}
	return false
}
