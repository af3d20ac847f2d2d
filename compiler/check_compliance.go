package compiler

import (
	"fmt"
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
							p.Report(w.Span(), fmt.Sprintf("no framework is named %s: %sxfwc knows %s", quoted(w.Text), suggest(w.Text, known), strings.Join(known, " and ")))
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
}
