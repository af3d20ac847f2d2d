package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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
	{"metronome", 5582, "the telnet console"},
	{"openfire", 1099, "JMX"},
	{"openfire", 5005, "the Java debugger"},
	{"prosody", 5582, "the telnet console"},
	{"tigase", 5005, "the Java debugger"},
	{"tigase", 9050, "JMX"},
}

// console tells what an outsider gets on the port if it is one that asks for no
// password: a console, or a listener for JMX or metrics.
func console(s *ir.Server, ports []ir.PortSpan) (what string, port uint16, ok bool) {
	for _, c := range consolePorts {
		if c.software == s.Software && intersects(ports, []ir.PortSpan{tcpPort(c.port)}) {
			return c.what, c.port, true
		}
	}
	for _, l := range s.Listeners {
		words := map[string]string{"jmx": "JMX", "metrics": "the metrics"}[l.Service]
		if words != "" && intersects(ports, []ir.PortSpan{l.Port}) {
			return words, l.Port.From, true
		}
	}
	return "", 0, false
}

// hazelcast is where the nodes of an Openfire cluster talk to each other: the
// first port and the ones it takes when that is in use, and the group by which
// they find each other (224.2.2.3).
var hazelcast = []ir.PortSpan{{Proto: ir.TCP, From: 5701, To: 5800}, {Proto: ir.UDP, From: 54327, To: 54327}}

// erlang is the port mapper and the fixed port that the ejabberd guide suggests
// for distribution.
var erlang = []ir.PortSpan{{Proto: ir.TCP, From: 4369, To: 4369}, {Proto: ir.TCP, From: 5210, To: 5210}}

// erlangSoftware runs on Erlang nodes.
var erlangSoftware = []string{"ejabberd", "mongooseim"}

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
			for _, o := range p.openings(ir.Access, ir.Admin) {
				if !worldwide(o.flow.From) {
					continue
				}
				for _, s := range p.machines(o.flow) {
					var ports []string
					labels := []diag.Label{source(o.flow.From)}
					for _, l := range s.Listeners {
						if administers(l) && intersects(o.flow.Ports, []ir.PortSpan{l.Port}) {
							ports = append(ports, strconv.Itoa(int(l.Port.From)))
							labels = append(labels, label(s.Origin.Span, "port %d: %s", l.Port.From, l.Source))
						}
					}
					if ports != nil {
						p.Report(o.at, fmt.Sprintf("%s, which is everybody, reaches the administration of %s on port %s", o.flow.From.Label, s.Name, strings.Join(ports, " and ")), labels...)
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
			for _, o := range p.openings(ir.Access, ir.Admin) {
				for _, s := range p.machines(o.flow) {
					if what, port, ok := console(s, o.flow.Ports); ok {
						if far, away := p.crosses(o.flow.From, s); away {
							p.Report(o.at, fmt.Sprintf("%s reaches %s of %s on port %d (%s)", o.flow.From.Label, what, s.Name, port, far))
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
		Run: func(p *Pass) { p.cluster(erlangSoftware, "Erlang distribution", erlang) },
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
		Run: func(p *Pass) { p.cluster([]string{"openfire"}, "the cluster port", hazelcast) },
	},
	{
		Code:      "cl-dist",
		Severity:  diag.Error,
		Title:     "ports of Erlang distribution are reachable from beyond the site",
		Why:       "Without a fixed port a node takes a free one, so that people open a range: all that listens there is open with it, and behind the cookie is a shell.",
		Reference: "ejabberd documentation, Administrator Guide: Security",
		Remedy:    "Bind distribution to one port and one interface (ERL_DIST_PORT, INET_DIST_INTERFACE), and admit the other nodes only, over a private network.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network nodes = 203.0.113.0/28
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network nodes to tcp/32768-60999 of chat
`,
		Good: `policy "p" { profile baseline }
network nodes = 10.20.0.0/28
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  interface eth1 faces nodes  nftables }
allow network nodes to tcp/9100 of chat
`,
		Run: func(p *Pass) {
			for _, o := range p.openings(ir.Access, ir.Cluster) {
				if intersects(o.flow.Ports, erlang) {
					continue // cl-epmd reports that
				}
				for _, s := range p.machines(o.flow) {
					ports, ok := distribution(o.flow, s)
					if !ok || !slices.Contains(erlangSoftware, s.Software) {
						continue
					}
					if far, away := p.strangers(o.flow); away {
						p.Report(o.at, fmt.Sprintf("%s reaches the Erlang distribution of %s on %s (%s)", o.flow.From.Label, s.Name, ports, far))
					}
				}
			}
		},
	},
	{
		Code:      "cl-tigase",
		Severity:  diag.Error,
		Title:     "the cluster port of Tigase is reachable from beyond the site",
		Why:       "Nodes exchange stanzas and sessions there, in clear text. Whoever is taken for a node speaks for every user.",
		Reference: "Tigase Administration Guide: Network Instructions",
		Remedy:    "Admit the other nodes of the cluster only, over a private network.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network nodes = 203.0.113.0/28
server chat { software tigase 8.4  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network nodes to cluster of chat
`,
		Good: `policy "p" { profile baseline }
network nodes = 10.20.0.0/28
server chat { software tigase 8.4  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  interface eth1 faces nodes  nftables }
allow network nodes to cluster of chat
`,
		Run: func(p *Pass) { p.cluster([]string{"tigase"}, "the cluster port", []ir.PortSpan{tcpPort(5277)}) },
	},
	{
		Code:      "adm-clear-text",
		Severity:  diag.Info,
		Title:     "administration is reached in clear text",
		Why:       "The password of the administrator crosses every network between his desk and the server readable.",
		Reference: "Openfire Installation Guide: Firewall; ejabberd documentation, Administrator Guide: Security",
		Remedy:    "Open the listener with TLS alone: a statement `admin of SERVER` with `tls required` does so. Or go through ssh.",
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
			for _, o := range p.openings(ir.Access, ir.Admin) {
				for _, s := range p.machines(o.flow) {
					var ports []string
					var labels []diag.Label
					for _, l := range s.Listeners {
						clear := o.flow.TLS == "none" || o.flow.TLS != "required" && l.Transport == "clear"
						if !administers(l) || !clear || !intersects(o.flow.Ports, []ir.PortSpan{l.Port}) {
							continue
						}
						if o.flow.Kind == ir.Admin && l.Bind == "loopback" && !l.Stated {
							continue // a statement for all of its ports, and nobody gets to this one
						}
						if _, _, worse := console(s, []ir.PortSpan{l.Port}); !worse {
							ports = append(ports, strconv.Itoa(int(l.Port.From)))
							labels = append(labels, label(s.Origin.Span, "port %d: %s", l.Port.From, l.Source))
						}
					}
					if far, away := p.crosses(o.flow.From, s); away && ports != nil {
						p.Report(o.at, fmt.Sprintf("%s reaches the administration of %s in clear text on port %s (%s)", o.flow.From.Label, s.Name, strings.Join(ports, " and "), far), labels...)
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
			for _, o := range p.openings(ir.Access) {
				if worldwide(o.flow.From) && intersects(o.flow.Ports, []ir.PortSpan{tcpPort(sshPort)}) {
					p.Report(o.at, fmt.Sprintf("%s, which is everybody, reaches ssh of %s", o.flow.From.Label, o.flow.To.Label))
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
			index := newSetIndex(p.denyFlows(), sourceOf)
			var hit []*ir.Flow
			admitted := map[*ir.Flow][]diag.Label{}
			first := map[*ir.Flow]string{}
			for _, o := range p.openings(ir.Access, ir.Admin) {
				if o.flow.From.Set == nil || !p.management(o.flow) {
					continue
				}
				for _, f := range index.meeting(sourceOf(o.flow)) {
					d := denial{flow: f}
					pfx, ok := d.overlap(o.flow.From.Set)
					if !ok || !d.speaksOf(o.flow) {
						continue
					}
					if admitted[f] == nil {
						hit = append(hit, f)
						first[f] = fmt.Sprintf("%s holds %s of %s, who administer %s", f.From.Label, spell(pfx), o.flow.From.Label, o.flow.To.Label)
					}
					admitted[f] = append(admitted[f], label(o.at, "they are admitted here"))
				}
			}
			for _, f := range hit {
				p.Report(f.Origin.Span, first[f], append(admitted[f], source(f.From))...)
			}
		},
	},
}

// opening is a flow by which somebody is let in, and where that is stated.
type opening struct {
	at   diag.Span
	flow *ir.Flow
}

// openings lists the allowed conversations of the kinds, in policy order.
func (p *Pass) openings(kinds ...ir.FlowKind) []opening {
	if p.fromLines == nil {
		p.fromLines = map[*ir.Flow]diag.Span{}
		place := func(flows []*ir.Flow, at diag.Span) {
			for _, f := range flows {
				p.fromLines[f] = at
			}
		}
		for _, t := range p.Policy.Admins {
			place(t.Flows, statedAt(t.At, t.Origin, "from"))
		}
		for _, t := range p.Policy.Clusters {
			place(t.Flows, statedAt(t.At, t.Origin, "with"))
		}
		for _, t := range p.Policy.Media {
			place(t.Flows, statedAt(t.At, t.Origin, "from"))
		}
	}
	var out []opening
	for _, f := range p.Policy.Flows {
		if f.Verdict != ir.Allow || f.Outbound || !slices.Contains(kinds, f.Kind) {
			continue
		}
		at, ok := p.fromLines[f]
		if !ok {
			at = f.Origin.Span
		}
		out = append(out, opening{at, f})
	}
	return out
}

// statedAt is where the first of the keywords is stated, or the statement.
func statedAt(at map[string]diag.Span, o ir.Origin, keywords ...string) diag.Span {
	for _, k := range keywords {
		if span, ok := at[k]; ok {
			return span
		}
	}
	return o.Span
}

// administers reports whether people with power over others use the listener.
func administers(l ir.Listener) bool { return l.Service == "admin" }

// strangers finds sources of the flow that are beyond the site. A single host in
// a cluster statement is a node that somebody named; a network has neighbours.
func (p *Pass) strangers(f *ir.Flow) (string, bool) {
	if f.Kind != ir.Cluster || f.From.Any || f.From.Set == nil {
		return p.outside(f.From)
	}
	networks := slices.DeleteFunc(slices.Clone(f.From.Set.Prefixes), netip.Prefix.IsSingleIP)
	return p.outside(ir.Endpoint{Set: &ir.AddrSet{Prefixes: networks}})
}

// cluster reports who reaches from beyond the site ports that the nodes of a
// cluster use among themselves.
func (p *Pass) cluster(software []string, what string, ports []ir.PortSpan) {
	for _, o := range p.openings(ir.Access, ir.Cluster) {
		if !intersects(o.flow.Ports, ports) {
			continue
		}
		for _, s := range p.machines(o.flow) {
			if !slices.Contains(software, s.Software) {
				continue
			}
			if far, ok := p.strangers(o.flow); ok {
				p.Report(o.at, fmt.Sprintf("%s reaches %s of %s (%s)", o.flow.From.Label, what, s.Name, far))
			}
		}
	}
}

// distribution tells by which ports a flow reaches the nodes' own conversations:
// those that the policy states for it, or a range in which a node picks one.
func distribution(f *ir.Flow, s *ir.Server) (string, bool) {
	const picked = 1000 // a range that wide is opened for a port that nobody knows
	for _, l := range s.Listeners {
		if l.Service == "cluster" && intersects(f.Ports, []ir.PortSpan{l.Port}) {
			return ir.Ports([]ir.PortSpan{l.Port}), true
		}
	}
	for _, span := range f.Ports {
		if span.Proto == ir.TCP && (f.Kind == ir.Cluster || span.To-span.From >= picked) {
			return ir.Ports([]ir.PortSpan{span}), true
		}
	}
	return "", false
}

// management reports whether a flow is how people administer a machine: ssh, or
// the administration port of a server.
func (p *Pass) management(f *ir.Flow) bool {
	if f.Verdict != ir.Allow {
		return false
	}
	if f.Kind != ir.Access {
		return f.Kind == ir.Admin
	}
	if intersects(f.Ports, []ir.PortSpan{tcpPort(sshPort)}) {
		return true
	}
	for _, s := range p.machines(f) {
		for _, l := range s.Listeners {
			if administers(l) && intersects(f.Ports, []ir.PortSpan{l.Port}) {
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
