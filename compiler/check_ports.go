package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// What several statements want of one port, and what no program answers.

// lastSystemPort is the last of the ports that only the system's own services
// open (RFC 6335 section 6).
const lastSystemPort = 1023

// stunHost is a policy whose server has STUN.
const stunHost = `policy "p" { profile baseline }
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
`

var portChecks = []Check{
	{
		Code:      "gen-port-collision",
		Severity:  diag.Error,
		Title:     "two services have the same port of the same machine",
		Why:       "A packet shows its port and not the service it is meant for. Whoever one of the statements admits reaches the other service as well, past its `from` and its limits.",
		Reference: "RFC 6335 §3",
		Remedy:    "Give one of them another port. Clients and the web may share one behind `alpn at POINT`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat {
  software prosody 0.12
  domain   example.org
  address  198.51.100.10
  port     clients 5269
}
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
` + clientCaps + `}
federation of chat {
  default deny
  tls     required
  peer branch.example
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from     any
  starttls required
` + clientCaps + `}
federation of chat {
  default deny
  tls     required
  peer branch.example
}
`,
		Run: func(p *Pass) { p.portCollisions() },
	},
	{
		Code:      "proxy-without-engine",
		Severity:  diag.Warning,
		Title:     "clients are sent to a point where no proxy runs",
		Why:       "TLS that ends at a point, and a choice by ALPN, need a program that listens there. The port is opened, and nothing answers.",
		Reference: "",
		Remedy:    "Name the proxy in the block of the point, such as haproxy, or let the server end TLS.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: strings.Replace(atEdge, "  haproxy\n", "", 1) + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
`,
		Good: atEdge + `web of chat {
  from any
  tls  terminate at edge
  bosh "/http-bind" { body 64KiB }
` + webCaps + `}
`,
		Run: func(p *Pass) {
			none := func(pt *ir.Point, at diag.Span, what string) {
				if pt != nil && pt.Engine("haproxy") == nil && pt.Engine("nginx") == nil && pt.Engine("squid") == nil {
					p.Report(at, fmt.Sprintf("%s at point %s, and no proxy runs there", what, pt.Name), label(pt.Origin.Span, "the point"))
				}
			}
			for _, t := range p.Policy.Webs {
				none(t.Point, t.At["tls"], "TLS of "+t.Origin.Label+" ends")
			}
			for _, t := range p.Policy.Clients {
				at := t.At["direct-tls"]
				if t.Offload != nil {
					none(t.Offload, at, "direct TLS of "+t.Origin.Label+" ends")
				} else {
					none(t.ALPN, at, t.Origin.Label+" arrive with direct TLS")
				}
			}
		},
	},
	{
		Code:      "turn-relay-wide",
		Severity:  diag.Warning,
		Title:     "the ports of the relay hold those of other services",
		Why:       "The whole range is open to everybody who may use the relay, whatever listens there: DNS, VPNs and the server's own services among it.",
		Reference: "RFC 8656 §7.2",
		Remedy:    "Configure the relay for 49152-65535 or a part of it, and state that.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: stunHost + `media of chat {
  stun
  relay         1-65535
  auth          required
  private-peers deny
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
`,
		Good: stunHost + `media of chat {
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
				at := statedAt(m.At, m.Origin, "relay")
				if m.RelayFrom <= lastSystemPort {
					p.Report(at, fmt.Sprintf("the relay of %s opens UDP ports %d-%d, those of the system's own services among them", m.Server.Name, m.RelayFrom, m.RelayTo))
					continue
				}
				relay := []ir.PortSpan{{Proto: ir.UDP, From: m.RelayFrom, To: m.RelayTo}}
				for _, f := range p.Policy.Flows {
					if f.Verdict != ir.Allow || f.Outbound || f.Multicast || f.To.Any || !overlaps(f.To.Set, m.Server.Set) || slices.Equal(f.Ports, relay) {
						continue
					}
					if held := common(f.Ports, relay); len(held) > 0 {
						p.Report(at, fmt.Sprintf("the relay of %s has UDP port %d, which %s has too", m.Server.Name, held[0].From, f.Origin.Label), label(f.Origin.Span, "the other service"))
						break
					}
				}
			}
		},
	},
}

// portUse is a statement that lets people in to a port.
type portUse struct {
	flow    *ir.Flow
	service string
}

// portCollisions reports the ports that statements about different services
// share. Components and relays have checks of their own.
func (p *Pass) portCollisions() {
	reported := map[ir.PortSpan][]*ir.AddrSet{}
	judge := func(a, b portUse) {
		if !p.collide(a, b) {
			return
		}
		port := common(b.flow.Ports, a.flow.Ports)[0]
		machine := a.flow.To.Set
		if slices.ContainsFunc(reported[port], func(s *ir.AddrSet) bool { return overlaps(s, machine) }) {
			return
		}
		reported[port] = append(reported[port], machine)
		if a.service != b.service {
			p.Report(b.flow.Origin.Span, fmt.Sprintf("%s and %s both have %s port %d", a.flow.Origin.Label, b.flow.Origin.Label, port.Proto, port.From),
				label(a.flow.Origin.Span, "the other statement"))
			return
		}
		for _, t := range p.Policy.Clients {
			if t.Server == a.flow.Server {
				p.Report(statedAt(t.At, t.Origin, "direct-tls"), fmt.Sprintf("STARTTLS and direct TLS of %s both have port %d", t.Origin.Label, port.From),
					label(t.At["starttls"], "STARTTLS"))
			}
		}
	}
	single := map[ir.PortSpan][]portUse{} // by their ports
	var wide, all []portUse               // wide have ranges of ports
	meet := func(u portUse) {
		for _, span := range u.flow.Ports {
			others := single[span]
			if span.From != span.To {
				others = all
			}
			for _, o := range others {
				judge(o, u)
			}
		}
		for _, o := range wide {
			judge(o, u)
		}
	}
	var access []portUse
	for _, f := range p.Policy.Flows {
		if f.Verdict != ir.Allow || f.Outbound || f.Leg || f.To.Set == nil {
			continue
		}
		u := portUse{f, string(f.Kind)}
		switch f.Kind {
		case ir.Access:
			if u.service = namedService(f); u.service != "" {
				access = append(access, u)
			}
			continue
		case ir.Clients, ir.Federation, ir.Cluster:
		case ir.Web, ir.Admin:
			u.service = "web" // one listener serves both
		case ir.Media:
			if slices.ContainsFunc(f.Ports, func(s ir.PortSpan) bool { return s.From != s.To }) {
				continue // the relay
			}
		default:
			continue
		}
		meet(u)
		same := func(o portUse) bool {
			return o.service == u.service && o.flow.Block.Span == f.Block.Span && o.flow.TLS == f.TLS
		}
		for _, span := range f.Ports {
			if span.From != span.To {
				wide = append(wide, u)
			} else if old := single[span]; len(old) == 0 || !same(old[len(old)-1]) { // many peers are one statement
				single[span] = append(old, u)
			}
		}
		all = append(all, u)
	}
	for _, u := range access {
		meet(u)
	}
}

// collide reports whether two statements about different services have a port
// of one machine in common, and nothing that tells their people apart.
func (p *Pass) collide(a, b portUse) bool {
	f, g := a.flow, b.flow
	if a.service == b.service && !(a.service == "clients" && f.Block.Span == g.Block.Span && (f.TLS == "direct") != (g.TLS == "direct")) {
		return false
	}
	if !intersects(f.Ports, g.Ports) || !overlaps(f.To.Set, g.To.Set) {
		return false
	}
	if a.service == "web" {
		f, g = g, f
		a, b = b, a
	}
	if f.Kind != ir.Clients || f.TLS != "direct" || b.service != "web" || g.TLS == "none" {
		return true
	}
	// TLS from the first byte on both sides: ALPN tells them apart, at a router
	// of the policy, or at the server, which serves both to the same people.
	routed := slices.ContainsFunc(p.Policy.Clients, func(t *ir.ClientTerms) bool {
		return t.Server == f.Server && t.ALPN != nil && overlaps(t.ALPN.Set, g.To.Set)
	})
	alike := within(g.From, f.From) && (g.Kind == ir.Access || within(f.From, g.From))
	return !routed && !(f.Server == g.Server && alike)
}

// namedService is the service that an allow statement names; "" where it names a
// port, or a component, whose port is a matter of its own.
func namedService(f *ir.Flow) string {
	_, target, _ := strings.Cut(f.Origin.Label, " to ")
	service, _, _ := strings.Cut(target, " of ")
	switch {
	case strings.Contains(service, "/") || strings.HasPrefix(service, "component"):
		return ""
	case strings.HasPrefix(service, "clients"):
		return "clients"
	case strings.HasPrefix(service, "federation"):
		return "federation"
	case service == "proxy65" || service == "stun":
		return "media"
	case service == "admin" || service == "http" || service == "https" || strings.HasPrefix(service, "websocket"):
		return "web"
	}
	return service
}
