package compiler

import (
	"net/netip"
	"slices"

	"xfwc/compiler/ir"
)

// Packet is one concrete packet as a point sees it: the first of a conversation
// unless Established is set.
type Packet struct {
	Proto            ir.Proto
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // SrcPort 0: an ephemeral port, equal to no service
	Iif, Oif         string // interface names; "" matches no interface condition
	// HopLimit is the IPv4 time to live or IPv6 hop limit; 0 is treated as 255
	// for multicast and link-local sources and as 64 otherwise.
	HopLimit    uint8
	Established bool // conntrack knows the conversation
	At          ir.Moment
}

// Decision is what a point does with a packet, and why.
type Decision struct {
	Verdict ir.Verdict
	// Entry decided; nil when a fixed step of the guard did (see Reason).
	Entry *ir.Entry
	// Service is the service whose key held the packet, or nil.
	Service *ir.ServiceGuard
	// Limits may deny the packet all the same, when there are too many: a
	// decision about one packet leaves rates and counts out.
	Limits []*ir.Limit
	Reason string // one sentence
	// Observed is set where the policy denies and the point only says so: the
	// verdict is then that the packet is left untouched.
	Observed bool
}

// Decide judges a packet on one hook of a point, exactly as [ir.Guard] says.
// A point without a packet filter leaves everything untouched.
func Decide(p *ir.Policy, pt *ir.Point, hook ir.Hook, pkt Packet) Decision {
	return decide(p, nil, pt, hook, pkt)
}

func decide(p *ir.Policy, m *model, pt *ir.Point, hook ir.Hook, pkt Packet) Decision {
	for _, g := range p.Guards {
		if g.Point == pt && g.Hook == hook {
			d := decideGuard(m, g, pkt)
			if d.Verdict == ir.Deny && pt.Observe != "" {
				d.Verdict, d.Observed = ir.Untouched, true
				d.Reason = "it would be denied (" + d.Reason + "), and the point only observes until " + pt.Observe
			}
			return d
		}
	}
	return Decision{Verdict: ir.Untouched, Reason: "no packet filter judges this hook"}
}

func decideGuard(m *model, g *ir.Guard, pkt Packet) Decision {
	if g.Hook != ir.Forward && (pkt.Iif == "lo" || pkt.Oif == "lo") {
		return Decision{Verdict: ir.Untouched, Reason: "the loopback interface is left alone"}
	}
	if e := m.confine(g, pkt); e != nil {
		return Decision{Verdict: e.Verdict, Entry: e, Reason: "confined, in every state of the conversation"}
	}
	if pkt.Established {
		return Decision{Verdict: ir.Allow, Reason: "the conversation is established"}
	}
	for _, s := range m.services(g, pkt) {
		if e := s.entry(pkt); e != nil {
			d := Decision{Verdict: e.Verdict, Entry: e, Service: s.ServiceGuard, Limits: e.Limits}
			d.Reason = "allowed by the policy"
			if e.Verdict == ir.Deny {
				d.Reason = "denied by the policy"
			}
			if e.ID == bogonsID {
				d.Reason = "a source that cannot come from the internet"
			}
			return d
		}
		if s.Rest.Verdict != ir.Untouched {
			return Decision{Verdict: s.Rest.Verdict, Entry: s.Rest, Service: s.ServiceGuard, Reason: "no statement allows it"}
		}
	}
	if g.Exclusive {
		return Decision{Verdict: ir.Deny, Reason: "the point is exclusive and no statement allows it"}
	}
	return Decision{Verdict: ir.Untouched, Reason: "no statement of the policy speaks of this port"}
}

func portIn(ps []ir.PortSpan, proto ir.Proto, port uint16) bool {
	if ps == nil {
		return true
	}
	return slices.ContainsFunc(ps, func(s ir.PortSpan) bool {
		return s.Proto == proto && s.From <= port && port <= s.To
	})
}

func matches(m ir.Match, pkt Packet) bool {
	if len(m.Iif) > 0 && !slices.Contains(m.Iif, pkt.Iif) {
		return false
	}
	if len(m.Oif) > 0 && !slices.Contains(m.Oif, pkt.Oif) {
		return false
	}
	if m.Src != nil && m.Src.Contains(pkt.Src) == m.SrcNot {
		return false
	}
	if m.Dst != nil && m.Dst.Contains(pkt.Dst) == m.DstNot {
		return false
	}
	if m.SrcPorts != nil && !portIn(m.SrcPorts, pkt.Proto, pkt.SrcPort) {
		return false
	}
	if m.DstPorts != nil && !portIn(m.DstPorts, pkt.Proto, pkt.DstPort) {
		return false
	}
	if !m.During.Holds(pkt.At) {
		return false
	}
	if m.HopLimit255 && pkt.hopLimit() != 255 {
		return false
	}
	if len(m.Groups) > 0 && !slices.Contains(m.Groups, pkt.Dst) {
		return false
	}
	return true
}

func (p Packet) hopLimit() uint8 {
	if p.HopLimit != 0 {
		return p.HopLimit
	}
	if p.Dst.IsMulticast() || p.Src.IsLinkLocalUnicast() {
		return 255
	}
	return 64
}
