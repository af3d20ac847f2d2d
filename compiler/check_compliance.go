package compiler

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Frameworks that a policy may name in comply: the checks that run only then,
// and the table of their controls that a report prints.

// Frameworks lists the names that comply knows, sorted.
func Frameworks() []string {
	out := make([]string, len(frameworks))
	for i, f := range frameworks {
		out[i] = f.name
	}
	return out
}

// ControlState says how a policy stands to a control.
type ControlState string

const (
	// ControlMet: the evidence shows it, and no finding speaks against it.
	ControlMet ControlState = "met"
	// ControlOpen: a finding says that it is not met.
	ControlOpen ControlState = "not met"
	// ControlWaived: every finding that speaks against it is set aside.
	ControlWaived ControlState = "waived"
	// ControlSilent: no statement of the policy shows it.
	ControlSilent ControlState = "not shown"
	// ControlOutside: a firewall policy cannot show it.
	ControlOutside ControlState = "outside the policy"
)

// Control is one demand of a framework that the policy names, and how the
// policy stands to it.
type Control struct {
	Framework string // as comply names it: "nist-800-41"
	Standard  string // its title: "NIST SP 800-41 Rev. 1"
	ID        string // the section or requirement: "4.1.3"
	Asks      string // in a sentence
	State     ControlState
	Says      string         // how the policy meets it, or what it cannot show
	Evidence  []ir.Origin    // the statements that meet it, in policy order
	Findings  []diag.Finding // those that speak against it, also the waived ones
}

// Controls gives the controls of every framework that the policy names, in the
// order of the policy and then of the standard. findings are all of a compile.
func Controls(p *ir.Policy, findings []diag.Finding) []Control {
	var out []Control
	for i, name := range p.Comply {
		at := slices.IndexFunc(frameworks, func(f framework) bool { return f.name == name })
		if at < 0 || slices.Contains(p.Comply[:i], name) {
			continue
		}
		for _, c := range frameworks[at].controls {
			out = append(out, c.judge(p, frameworks[at], findings))
		}
	}
	return out
}

// framework is a standard with those of its controls that a firewall takes part in.
type framework struct {
	name, standard string
	controls       []control
}

// control is one of them. Codes are the findings that speak against it; without
// evidence it is outside a firewall policy.
type control struct {
	id, asks, says string
	codes          []string
	evidence       func(*ir.Policy) []ir.Origin
}

func (c control) judge(p *ir.Policy, f framework, findings []diag.Finding) Control {
	out := Control{Framework: f.name, Standard: f.standard, ID: c.id, Asks: c.asks, Says: c.says, State: ControlMet}
	if c.evidence == nil {
		out.State = ControlOutside
		return out
	}
	open := false
	for _, d := range findings {
		if slices.Contains(c.codes, d.Code) {
			out.Findings = append(out.Findings, d)
			open = open || d.Waived == nil
		}
	}
	out.Evidence = distinctOrigins(c.evidence(p))
	switch {
	case open:
		out.State = ControlOpen
	case len(out.Findings) > 0:
		out.State = ControlWaived
	case len(out.Evidence) == 0:
		out.State = ControlSilent
	}
	return out
}

// distinctOrigins keeps the first of those that name one place.
func distinctOrigins(os []ir.Origin) []ir.Origin {
	seen := map[diag.Span]bool{}
	return slices.DeleteFunc(os, func(o ir.Origin) bool {
		again := seen[o.Span] || !o.Span.IsValid()
		seen[o.Span] = true
		return again
	})
}

// The codes that speak of one matter, and so for several controls.
var (
	forgedSources = []string{"gen-no-internet-interface", "gen-private-from-internet", "comply-anti-spoofing"}
	openInbound   = []string{"comply-default-deny", "adm-http-public", "adm-console", "comp-public", "cl-epmd", "cl-hazelcast"}
	clearText     = []string{
		"adm-clear-text", "adm-console", "bosh-backend-clear", "bosh-http-public", "c2s-plaintext", "comp-nonloopback",
		"comp-public", "fed-cleartext-open", "fed-cleartext-peer", "fed-dialback-no-tls", "fed-tls-optional", "ws-cleartext",
	}
)

// The sections are those of the standards; what they ask is in words of our own.
var frameworks = []framework{
	{"nist-800-41", "NIST SP 800-41 Rev. 1", []control{
		{"2.2", "Servers that matter have a packet filter of their own besides the one at the border.",
			"Hosts of servers are points with nftables.", nil,
			func(p *ir.Policy) []ir.Origin {
				return points(p, func(pt *ir.Point) bool { return pt.Role == ir.Host && pt.Server != nil })
			}},
		{"3.3", "Where there are several layers of firewalls, they agree.",
			"Gateways and hosts are compiled from one policy, and each guards what concerns it.", []string{"ledger-none"},
			func(p *ir.Policy) []ir.Origin { return points(p, func(*ir.Point) bool { return true }) }},
		{"4.1.1", "Packets whose source address cannot be true are blocked, on the way in and on the way out.",
			"Interfaces are bound to the networks they face; sources that cannot come from the internet are refused there (BCP 38).",
			forgedSources, internetFaces},
		{"4.1.2", "IPv6 is filtered by the same policy as IPv4.",
			"Every statement holds for both families; names hold prefixes of both.", []string{"gen-ipv6-twin", "sl-no-ipv6"},
			func(p *ir.Policy) []ir.Origin {
				return points(p, func(*ir.Point) bool { return true })
			}},
		{"4.1.3", "Incoming TCP and UDP are denied unless something allows them.",
			"Exclusive points deny whatever no statement allows.", openInbound,
			func(p *ir.Policy) []ir.Origin { return points(p, func(pt *ir.Point) bool { return pt.Exclusive }) }},
		{"4.1.4", "ICMP is filtered with care: what the network needs to work passes.",
			"Exclusive points let ICMP and ICMPv6 pass (RFC 4890), and filter everything else.", nil,
			func(p *ir.Policy) []ir.Origin { return points(p, func(pt *ir.Point) bool { return pt.Exclusive }) }},
		{"4.2", "Where packets do not tell enough, application traffic is inspected or goes through a proxy.",
			"Content rules read what is readable; proxies end TLS where the policy says so.", []string{"content-opaque", "content-drop-passive"}, inspection},
		{"4.4", "Connections that are idle, and sources that open too many, do not use up the site.",
			"Limits bound connections and attempts by source and for everybody.",
			[]string{"dos-no-conn-cap", "dos-no-attempt-cap", "dos-no-global-cap", "dos-access-unlimited", "fed-unlimited-inbound"}, limitOrigins},
		{"5.2.2", "The ruleset follows the firewall policy, and each rule says what it is for.",
			"Rules are compiled from statements; each carries the line it comes from.", []string{"comply-no-ticket"}, grants},
		{"5.2.3", "What is denied is logged, and somebody is told of what matters.",
			"Every denial is counted and logged at a limited rate, under the name of its statement.", nil,
			func(p *ir.Policy) []ir.Origin { return points(p, func(*ir.Point) bool { return true }) }},
		{"5.3", "The ruleset is tested before it is put in force.",
			"The policy carries tests; xfwc test runs them on the model and, with --kernel, with real packets.",
			[]string{"comply-no-tests", "test-failed"}, testOrigins},
		{"5.5", "The ruleset is kept current: changes are managed, rules are reviewed, and what is no longer needed goes.",
			"Statements have a last day, after which check reports them; drift reports what was changed by hand.",
			[]string{"comply-no-review", "statement-expired", "waive-expired", "name-unused"}, dated},
	}},
	{"pci-dss-4.0", "PCI DSS v4.0", []control{
		{"1.1.1", "Rules for how network security controls are run are written down and known.", "A matter of procedures.", nil, nil},
		{"1.1.2", "It is written down who is responsible for them.", "Statements and the policy name their owners.", []string{"comply-no-owner"}, owners},
		{"1.2.1", "There is a configuration standard for rulesets, and it is followed.",
			"The policy is that standard: rulesets are compiled from it, and drift compares them with what is in force.", nil,
			func(p *ir.Policy) []ir.Origin { return points(p, func(*ir.Point) bool { return true }) }},
		{"1.2.2", "Changes are approved and managed.", "A matter of procedures; xfwc diff and xfwc plan show what a change lets in.", nil, nil},
		{"1.2.3", "A network diagram is kept current.", "The report draws the points, interfaces and networks of the policy; wireless and other networks are not in it.", nil, nil},
		{"1.2.4", "A diagram shows where account data flows.", "The report draws the flows of the policy; which of them hold account data it cannot know.", nil, nil},
		{"1.2.5", "Every service, protocol and port that is allowed is known, approved and needed.",
			"Each opening is a statement with a ticket; everything else is closed.", []string{"comply-no-ticket", "name-unused"}, grants},
		{"1.2.6", "Services that are not secure by themselves are protected otherwise, and it is written down how.",
			"No readable service crosses a network, but those that are tunnelled.", append([]string{"comply-insecure-service"}, clearText...), tunnels},
		{"1.2.7", "The configuration is reviewed at least every six months.",
			"Statements have a last day, after which check reports them.", []string{"comply-no-review", "statement-expired", "waive-expired"}, dated},
		{"1.2.8", "Configuration files are protected, and what is in force is what they say.",
			"Protection of the files is a matter of the machines; xfwc drift compares what is in force with the policy.", nil, nil},
		{"1.3.1", "Only traffic that is needed comes in; all other is denied.",
			"Exclusive points deny whatever no statement allows.", openInbound,
			func(p *ir.Policy) []ir.Origin { return points(p, func(pt *ir.Point) bool { return pt.Exclusive }) }},
		{"1.3.2", "Only traffic that is needed goes out; all other is denied.",
			"Servers call only what their egress statement allows.", []string{"comply-egress-open"}, closedEgress},
		{"1.3.3", "Wireless networks are kept from the cardholder data by network security controls.",
			"Which networks are wireless a policy does not say.", nil, nil},
		{"1.4.1", "Network security controls stand between trusted and untrusted networks.",
			"Points with nftables face the internet.", []string{"gen-no-internet-interface", "ledger-none"}, internetFaces},
		{"1.4.2", "From untrusted networks come only conversations with what is meant to be public, and answers.",
			"What strangers may open is stated; established conversations pass, all other is denied.", openInbound, publicGrants},
		{"1.4.3", "Forged source addresses are detected and blocked.",
			"Interfaces are bound to the networks they face; sources that cannot come from the internet are refused there (BCP 38).",
			forgedSources, internetFaces},
		{"1.4.4", "What stores cardholder data cannot be reached from untrusted networks.",
			"Where cardholder data is stored a policy does not say.", nil, nil},
		{"1.4.5", "Internal addresses are not told to those who need not know them.",
			"Relays deny private peers, and no advertised URL holds an internal address.", []string{"comply-internal-address", "turn-internal"},
			func(p *ir.Policy) []ir.Origin { return points(p, func(*ir.Point) bool { return true }) }},
		{"1.5.1", "Devices that join both untrusted networks and the site are protected.", "A matter of those devices.", nil, nil},
	}},
}

// points gives the points with a packet filter that satisfy want.
func points(p *ir.Policy, want func(*ir.Point) bool) []ir.Origin {
	var out []ir.Origin
	for _, pt := range p.Points {
		if pt.Engine("nftables") != nil && want(pt) {
			out = append(out, pt.Origin)
		}
	}
	return out
}

func internetFaces(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, pt := range p.Points {
		for _, i := range pt.Interfaces {
			if i.Internet && pt.Engine("nftables") != nil {
				out = append(out, i.Origin)
			}
		}
	}
	return out
}

func inspection(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, c := range p.Content {
		out = append(out, c.Origin)
	}
	for _, r := range p.Routes {
		if r.Point != nil {
			out = append(out, r.Origin)
		}
	}
	return out
}

func limitOrigins(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, f := range p.Flows {
		for _, l := range f.Limits {
			out = append(out, l.Origin)
		}
	}
	return out
}

// grants are the statements that open something.
func grants(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, f := range p.Flows {
		if f.Verdict == ir.Allow {
			out = append(out, f.Origin)
		}
	}
	return out
}

func publicGrants(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, f := range public(p.Flows) {
		out = append(out, f.Origin)
	}
	return out
}

func tunnels(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, c := range p.Components {
		if c.Tunnel != "" {
			out = append(out, c.Origin)
		}
	}
	return append(out, points(p, func(*ir.Point) bool { return true })...)
}

func testOrigins(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, t := range p.Tests {
		out = append(out, t.Origin)
	}
	return out
}

func dated(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, s := range p.Statements {
		if s.Terms.Expires != "" {
			out = append(out, s.Origin)
		}
	}
	return out
}

func owners(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	if p.Owner != "" {
		out = append(out, p.Origin)
	}
	for _, s := range p.Statements {
		if s.Terms.Owner != "" {
			out = append(out, s.Origin)
		}
	}
	return out
}

func closedEgress(p *ir.Policy) []ir.Origin {
	var out []ir.Origin
	for _, e := range p.Egress {
		if e.Default == ir.Deny {
			out = append(out, e.Origin)
		}
	}
	return out
}

var complianceChecks = []Check{
	{
		Code:      "comply-unknown",
		Severity:  diag.Warning,
		Title:     "the policy names a framework that xfwc does not know",
		Why:       "No check runs for it and the report has no table of its controls, which looks like a site that meets all of them.",
		Reference: "",
		Remedy:    "Name one of the frameworks that xfwc knows, or leave it out.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" {
  profile baseline
  comply  pci-dss-3.2
}
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
allow 192.0.2.7 to ssh of box
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
allow 192.0.2.7 to ssh of box
`,
		Run: func(p *Pass) {
			for _, d := range decls(p, func(d *lang.Decl) *lang.PolicyDecl { return d.Policy }) {
				for _, i := range d.Body.Items {
					for _, w := range i.Comply {
						if known := Frameworks(); !slices.Contains(known, w.Text) {
							p.Report(w.Span(), fmt.Sprintf("no framework is named %s: %sxfwc knows %s", quoted(w.Text), suggest(w.Text, known), strings.Join(known, " and "))).Fix = respell(w, diag.Meant(w.Text, known))
						}
					}
				}
			}
		},
	},
	{
		Code:       "comply-default-deny",
		Severity:   diag.Warning,
		Title:      "a point leaves open what no statement speaks of",
		Why:        "The frameworks that the policy names ask for the opposite: what is not needed is denied. A service that somebody installs later is reachable from the day on.",
		Reference:  "NIST SP 800-41 Rev. 1 §4.1.3; PCI DSS v4.0 1.3.1, 1.4.2",
		Remedy:     "State `exclusive` at the point, after statements for everything that it is to serve, ssh included.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"nist-800-41", "pci-dss-4.0"},
		Bad: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
allow network ops to ssh of box
`,
		Good: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, pt := range p.Policy.Points {
				switch {
				case pt.Engine("nftables") == nil:
				case !pt.Exclusive:
					p.Report(pt.Origin.Span, fmt.Sprintf("point %s leaves untouched what no statement speaks of", pt.Name))
				case pt.Observe != "":
					p.Report(pt.ObserveAt, fmt.Sprintf("point %s only says what it would deny, until %s", pt.Name, pt.Observe))
				}
			}
		},
	},
	{
		Code:       "comply-anti-spoofing",
		Severity:   diag.Warning,
		Title:      "a point cannot tell forged source addresses",
		Why:        "An address is easily forged, the interface that it comes in by is not. Where nothing says what is behind the interfaces, whoever takes an admitted address is admitted.",
		Reference:  "NIST SP 800-41 Rev. 1 §4.1.1; PCI DSS v4.0 1.4.3",
		Remedy:     "State what the interfaces of the point face: `interface eth0 faces internet`.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"nist-800-41", "pci-dss-4.0"},
		Bad: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
point box { role host  address 198.51.100.10  exclusive  nftables }
allow network ops to ssh of box
`,
		Good: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
point box { role host  address 198.51.100.10  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, pt := range p.Policy.Points {
				if pt.Engine("nftables") == nil || len(pt.Interfaces) > 0 || p.sheltered(pt) {
					continue
				}
				if _, other := p.unfaced(pt); !other {
					p.Report(pt.Origin.Span, fmt.Sprintf("point %s takes every source address by every interface", pt.Name))
				}
			}
		},
	},
	{
		Code:       "comply-egress-open",
		Severity:   diag.Warning,
		Title:      "a server may call anybody",
		Why:        "Whoever gets into a server takes out what he finds by the way out that is open. What a server has to call is a short list.",
		Reference:  "PCI DSS v4.0 1.3.2",
		Remedy:     "Add `egress of SERVER` with `default deny` and what it has to call: dns, ntp, https.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"pci-dss-4.0"},
		Bad: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box
`,
		Good: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, s := range p.Policy.Servers {
				at := slices.IndexFunc(p.Policy.Egress, func(e *ir.EgressTerms) bool { return e.Server == s })
				switch {
				case at < 0:
					p.Report(s.Origin.Span, fmt.Sprintf("server %s may call anybody: no egress statement speaks of it", s.Name))
				case p.Policy.Egress[at].Default != ir.Deny:
					e := p.Policy.Egress[at]
					p.Report(statedAt(e.At, e.Origin, "default"), fmt.Sprintf("server %s may call whomever its egress statement does not name", s.Name))
				}
			}
		},
	},
	{
		Code:       "comply-insecure-service",
		Severity:   diag.Warning,
		Title:      "a service that is not secure by itself is opened over the network",
		Why:        "What it carries, passwords among it, is readable on every network between. The framework asks for a protection that is written down, or for another service.",
		Reference:  "PCI DSS v4.0 1.2.6",
		Remedy:     "Open the form of the service with TLS instead, or set this aside with a `waive` statement that says how it is protected.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"pci-dss-4.0"},
		Bad: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box, mqtt of chat
`,
		Good: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box, tcp/8883 of chat
`,
		Run: func(p *Pass) {
			for _, o := range p.openings(ir.Access) {
				what, ok := insecure(o.flow)
				for _, s := range p.machines(o.flow) {
					if ok {
						break
					}
					for _, l := range s.Listeners {
						if slices.Contains(clearServices, l.Service) && l.Transport == "clear" && singles(o.flow.Ports, l.Port) {
							what, ok = fmt.Sprintf("%s of %s (%s)", l.Service, s.Name, ir.Ports([]ir.PortSpan{l.Port})), true
						}
					}
				}
				if ok && !p.staysWithin(o.flow) {
					p.Report(o.at, fmt.Sprintf("%s reaches %s, which is clear text", o.flow.From.Label, what))
				}
			}
		},
	},
	{
		Code:       "comply-internal-address",
		Severity:   diag.Warning,
		Title:      "an internal address is advertised to everybody",
		Why:        "It tells strangers how the site is built, and leads nobody anywhere: the address cannot be reached from where it is read.",
		Reference:  "PCI DSS v4.0 1.4.5",
		Remedy:     "Advertise the name that clients reach the service by.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"pci-dss-4.0"},
		Bad: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
web of chat {
  from ops
  tls  required
  host-meta "/.well-known/host-meta" { advertise "https://10.0.0.5/http-bind" }
}
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box
`,
		Good: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
web of chat {
  from ops
  tls  required
  host-meta "/.well-known/host-meta" { advertise "https://example.org/http-bind" }
}
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			for _, r := range p.Policy.Routes {
				for _, text := range r.Advertise {
					if a, ok := hostAddress(text); ok && localPrefix(netip.PrefixFrom(a, a.BitLen())) {
						p.Report(statedAt(r.At, r.Origin, "advertise"), fmt.Sprintf("%s tells everybody the internal address %s", r.Origin.Label, a))
					}
				}
			}
		},
	},
	{
		Code:       "comply-no-owner",
		Severity:   diag.Warning,
		Title:      "the policy names nobody who answers for it",
		Why:        "The framework asks that responsibilities are assigned. A rule that nobody owns is one that nobody dares to take away.",
		Reference:  "PCI DSS v4.0 1.1.2",
		Remedy:     "Add `owner` to the policy, or to every statement that lets somebody in.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"pci-dss-4.0"},
		Bad: `policy "p" {
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box
`,
		Good: `policy "p" {
  owner   "netops@example.org"
  ticket  "NET-1"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
}
allow network ops to ssh of box
`,
		Run: func(p *Pass) {
			p.undocumented(p.Policy.Owner, "an owner", func(t ir.Terms) string { return t.Owner }, func(*ir.Flow) bool { return true })
		},
	},
	{
		Code:       "comply-no-ticket",
		Severity:   diag.Warning,
		Title:      "nothing says where it was agreed that a service is open",
		Why:        "Each service, protocol and port that is open has to be known, approved and needed. The ticket is where a reviewer finds who asked for it and why.",
		Reference:  "PCI DSS v4.0 1.2.5",
		Remedy:     "Add `ticket` to the statement; a ticket of the policy stands for all that have none.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"pci-dss-4.0"},
		Bad: `policy "p" {
  owner   "netops@example.org"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
  ticket  "NET-3"
}
allow network ops to ssh of box
`,
		Good: `policy "p" {
  owner   "netops@example.org"
  profile baseline
  comply  pci-dss-4.0
}
network ops = 192.0.2.32/27
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  exclusive  nftables }
egress of chat {
  default deny
  allow   dns, ntp, https to any
  ticket  "NET-3"
}
allow network ops to ssh of box { ticket "NET-2" }
`,
		Run: func(p *Pass) {
			p.undocumented(p.Policy.Ticket, "a ticket", func(t ir.Terms) string { return t.Ticket }, func(*ir.Flow) bool { return true })
		},
	},
	{
		Code:       "comply-no-review",
		Severity:   diag.Info,
		Title:      "nothing brings a statement up for review",
		Why:        "Rules outlive their reasons. A last day makes check ask, before the day, whether the statement is still needed.",
		Reference:  "NIST SP 800-41 Rev. 1 §5.5; PCI DSS v4.0 1.2.7",
		Remedy:     "Add `expires` to the statement, with a day in the coming half year.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"nist-800-41", "pci-dss-4.0"},
		Bad: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
point box { role host  address 198.51.100.10  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box
`,
		Good: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
point box { role host  address 198.51.100.10  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box { expires 2026-05-31 }
`,
		Run: func(p *Pass) {
			p.undocumented("", "a last day", func(t ir.Terms) string { return t.Expires }, func(f *ir.Flow) bool { return f.Kind == ir.Access })
		},
	},
	{
		Code:       "comply-no-tests",
		Severity:   diag.Info,
		Title:      "the policy carries no tests",
		Why:        "A ruleset has to be tested before it is put in force. What a policy says of its own meaning is tested at every check, and with real packets by xfwc test --kernel.",
		Reference:  "NIST SP 800-41 Rev. 1 §5.3",
		Remedy:     "Add a `test` block: who has to get in, and who never may.",
		Since:      "0.2",
		Profile:    "baseline",
		Frameworks: []string{"nist-800-41"},
		Bad: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
point box { role host  address 198.51.100.10  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box
`,
		Good: `policy "p" {
  profile baseline
  comply  nist-800-41
}
network ops = 192.0.2.32/27
point box { role host  address 198.51.100.10  interface eth0 faces internet  exclusive  nftables }
allow network ops to ssh of box
test "only administrators get in" {
  deny tcp any -> box:22 except ops
}
`,
		Run: func(p *Pass) {
			if len(p.Policy.Tests)+len(p.Policy.Cases) == 0 {
				p.Report(p.Policy.Origin.Span, "no test says what the policy has to mean")
			}
		},
	},
}

// undocumented reports the statements that open something and lack what the
// terms should have. Where none of them has it, that is one finding: nobody
// has begun. whole is what the policy itself says for all of them.
func (p *Pass) undocumented(whole, what string, has func(ir.Terms) string, asked func(*ir.Flow) bool) {
	if whole != "" {
		return
	}
	stated := map[diag.Span]bool{}
	for _, s := range p.Policy.Statements {
		stated[s.Origin.Span] = stated[s.Origin.Span] || has(s.Terms) != ""
	}
	var lack []ir.Origin
	some := false
	for _, f := range p.Policy.Flows {
		if f.Verdict != ir.Allow || !asked(f) {
			continue
		}
		if f.Terms != nil && has(*f.Terms) != "" || stated[f.Origin.Span] || stated[f.Block.Span] {
			some = true
			continue
		}
		lack = append(lack, f.Block)
	}
	lack = distinctOrigins(lack)
	switch {
	case len(lack) == 0:
	case some:
		for _, o := range lack {
			p.Report(o.Span, fmt.Sprintf("%s does not state %s", o.Label, what))
		}
	default:
		p.Report(p.Policy.Origin.Span, fmt.Sprintf("no statement that opens something states %s", what), label(lack[0].Span, "the first of them"))
	}
}

// clearServices are services of a server whose default form anybody on the way
// can read, and that no other check asks about.
var clearServices = []string{"graphql", "http", "mqtt", "websocket"}

// insecurePorts are well-known services without encryption.
var insecurePorts = []struct {
	port ir.PortSpan
	name string
}{
	{ir.PortSpan{Proto: ir.TCP, From: 20, To: 21}, "FTP"},
	{tcpPort(23), "telnet"},
	{ir.PortSpan{Proto: ir.UDP, From: 69, To: 69}, "TFTP"},
	{tcpPort(110), "POP3"},
	{tcpPort(143), "IMAP"},
	{ir.PortSpan{Proto: ir.UDP, From: 161, To: 162}, "SNMP"},
	{ir.PortSpan{Proto: ir.TCP, From: 512, To: 514}, "the r commands"},
}

func insecure(f *ir.Flow) (string, bool) {
	for _, s := range insecurePorts {
		if singles(f.Ports, s.port) {
			return s.name, true
		}
	}
	return "", false
}

// singles reports whether ports speak of a service: by its port, or by a range
// that is not much wider.
func singles(ports []ir.PortSpan, service ir.PortSpan) bool {
	const narrow = 16
	return slices.ContainsFunc(ports, func(s ir.PortSpan) bool {
		return s.To-s.From < narrow && intersects([]ir.PortSpan{s}, []ir.PortSpan{service})
	})
}

// staysWithin reports whether both ends of the flow are one machine.
func (p *Pass) staysWithin(f *ir.Flow) bool {
	return f.From.Set != nil && !slices.ContainsFunc(f.From.Set.Prefixes, func(pfx netip.Prefix) bool { return !loopback(pfx) }) ||
		staysWithin(p.Policy, f)
}

// sheltered reports whether a gateway of the policy stands between the point and
// the internet.
func (p *Pass) sheltered(pt *ir.Point) bool {
	return slices.ContainsFunc(p.Policy.Points, func(g *ir.Point) bool {
		return g != pt && g.Role == ir.Gateway && g.Engine("nftables") != nil &&
			slices.ContainsFunc(g.Interfaces, func(i ir.Interface) bool { return i.Internet }) && faces(g, pt.Set)
	})
}

// hostAddress reads the address out of a URL that names one.
func hostAddress(text string) (netip.Addr, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return a, err == nil
}
