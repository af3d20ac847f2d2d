package deploy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"xfwc/backends/nftables"
	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// DefaultWarmUp is the time for ApplyOptions.WarmUp that suits XMPP: clients
// and servers send a keepalive about once a minute.
const DefaultWarmUp = 60 * time.Second

// warmPoll is how often the connection table is read while it warms up.
const warmPoll = 500 * time.Millisecond

// warmRuleset makes the kernel track connections and decides nothing.
func warmRuleset() *nftables.Ruleset {
	r := &nftables.Ruleset{Comment: "connection tracking warms up for the first install"}
	for _, hook := range []string{"input", "output", "forward"} {
		r.Chains = append(r.Chains, &nftables.Chain{
			Name: "warm_" + hook, Hook: hook, Priority: 10,
			Rules: []*nftables.Rule{{
				Stmts:   []nftables.Stmt{nftables.MatchEstablished{}, nftables.Verdict{Kind: nftables.Accept}},
				Comment: "connection tracking warms up",
			}},
		})
	}
	return r
}

// endangered reports whether a packet of the session would be denied if it came
// first: so it is judged when the kernel did not track the session before. A
// session that the machine opened and in which the other side speaks next looks
// like one that the other side opens.
func endangered(p *ir.Policy, pt *ir.Point, s Session, at ir.Moment) bool {
	in := compiler.Packet{Proto: ir.TCP, Src: s.Remote.Addr(), Dst: s.Local.Addr(), SrcPort: s.Remote.Port(), DstPort: s.Local.Port(), Iif: s.Interface, At: at}
	out := compiler.Packet{Proto: ir.TCP, Src: s.Local.Addr(), Dst: s.Remote.Addr(), SrcPort: s.Local.Port(), DstPort: s.Remote.Port(), Oif: s.Interface, At: at}
	return compiler.Decide(p, pt, ir.Input, in).Verdict == ir.Deny || compiler.Decide(p, pt, ir.Output, out).Verdict == ir.Deny
}

// warmUp lets the kernel learn the sessions that the first install endangers,
// and reports whether it had to: then a table is there now.
func (ap *applying) warmUp(sit *situation) (bool, error) {
	sessions, err := ap.m.Sessions()
	if err != nil {
		return false, err
	}
	now := ir.MomentOf(ap.m.Now().Wall)
	sessions = slices.DeleteFunc(sessions, func(s Session) bool { return !endangered(ap.wanted.Policy, ap.wanted.Point, s, now) })
	if len(sessions) == 0 {
		return false, nil
	}
	sessions, err = ap.m.untracked(sessions)
	if err != nil || len(sessions) == 0 {
		return false, err
	}
	r := warmRuleset()
	want, err := ap.m.Desired(r, func(string, int) bool { return false })
	if err != nil {
		return false, kernelError("prepare", err)
	}
	if err := ap.m.replace(sit.live, want, r); err != nil {
		return false, kernelError("change", err)
	}
	deadline := ap.m.Now().Boot + ap.a.WarmUp
	ap.a.say("waiting for open sessions to show themselves to connection tracking")
	for len(sessions) > 0 && ap.m.Now().Boot < deadline {
		select {
		case <-ap.ctx.Done():
			return true, ap.ctx.Err()
		case <-time.After(warmPoll):
		}
		if sessions, err = ap.m.untracked(sessions); err != nil {
			return true, err
		}
	}
	return true, nil
}

// coolDown removes the table that warmUp made, when the apply goes no further.
func (ap *applying) coolDown() {
	live, err := ap.m.Dump(nil)
	if err == nil && live.Object("chain", "warm_input") != nil {
		_ = ap.m.takeDown(live, "", true)
	}
}

// untracked returns the sessions that the kernel's connection table lacks.
func (thisMachine) untracked(sessions []Session) ([]Session, error) {
	type ends struct{ a, b netip.AddrPort }
	tracked := map[ends]bool{}
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		if err != nil {
			continue // no connection tracking in this kernel yet: nothing is tracked
		}
		for _, f := range flows {
			if f.Forward.Protocol != unix.IPPROTO_TCP {
				continue
			}
			src, ok1 := netip.AddrFromSlice(f.Forward.SrcIP)
			dst, ok2 := netip.AddrFromSlice(f.Forward.DstIP)
			if !ok1 || !ok2 {
				continue
			}
			a, b := netip.AddrPortFrom(src.Unmap(), f.Forward.SrcPort), netip.AddrPortFrom(dst.Unmap(), f.Forward.DstPort)
			// Which side the kernel takes for the opener depends on who spoke
			// first after tracking began.
			tracked[ends{a, b}], tracked[ends{b, a}] = true, true
		}
	}
	return slices.DeleteFunc(slices.Clone(sessions), func(s Session) bool { return tracked[ends{s.Local, s.Remote}] }), nil
}
