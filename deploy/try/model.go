package try

import (
	"fmt"
	"time"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// Judge is what the policy's model says of a packet, hop by hop, on the way that
// the packet takes in this bed: by the interfaces that it really crosses. It is
// compiler.Explain for packets whose source is forged as well. A packet to a
// group is judged at every point of the sender's link.
func (b *Bed) Judge(p *ir.Policy, k Packet) (compiler.Explanation, error) {
	ex := compiler.Explanation{Verdict: ir.Untouched}
	from, err := b.origin(k)
	if err != nil {
		return ex, err
	}
	hops := int(k.hopLimit())
	ex.Packet = compiler.Packet{Proto: k.Proto, Src: k.Src, Dst: k.Dst, SrcPort: k.SrcPort, DstPort: k.Port, HopLimit: k.hopLimit(), At: ir.MomentOf(time.Now())}
	judge := func(at int, hook ir.Hook, iif, oif string) {
		q := ex.Packet
		q.Iif, q.Oif, q.HopLimit = iif, oif, uint8(max(hops, 1))
		pt := b.layout.nodes[at].point
		d := compiler.Decide(p, pt, hook, q)
		ex.Hops = append(ex.Hops, compiler.Hop{Point: pt, Hook: hook, Iif: iif, Oif: oif, Decision: d})
		switch {
		case d.Verdict == ir.Deny:
			ex.Verdict = ir.Deny
		case d.Verdict == ir.Allow && ex.Verdict == ir.Untouched:
			ex.Verdict = ir.Allow
		}
	}
	if k.Dst.IsMulticast() {
		for _, link := range b.layout.nodes[from].links {
			near, far := b.layout.endsAt(link, from)
			if b.layout.nodes[from].point != nil {
				judge(from, ir.Output, "", near.dev)
			}
			if b.layout.nodes[far.node].point != nil {
				judge(far.node, ir.Input, far.dev, "")
			}
		}
		return ex, nil
	}
	to := b.layout.homeOf(k.Dst)
	way := b.layout.path(from, to)
	if way == nil {
		return ex, fmt.Errorf("packet %s: no way leads there", k)
	}
	next := b.layout.towards(to)
	iif := ""
	for i, at := range way {
		oif, far := "", &end{}
		if at != to {
			var near *end
			near, far = b.layout.endsAt(next[at], at)
			oif = near.dev
		}
		if i > 0 && at != to {
			hops-- // a router takes its hop before its forward hook
		}
		if b.layout.nodes[at].point != nil {
			switch {
			case len(way) == 1:
				judge(at, ir.Input, "lo", "")
			case i == 0:
				judge(at, ir.Output, "", oif)
			case at == to:
				judge(at, ir.Input, iif, "")
			default:
				judge(at, ir.Forward, iif, oif)
			}
		}
		iif = far.dev
	}
	return ex, nil
}
