package try

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"xfwc/compiler/ir"
)

// TestWindowsInTheKernel loads statements whose windows hold at this moment and
// others that do not, by day, by hour and by both, and sends packets: the kernel
// counts days and hours as the model does.
func TestWindowsInTheKernel(t *testing.T) {
	needPrivilege(t)
	now := ir.MomentOf(time.Now().Add(time.Minute)) // a test that starts at midnight has a minute
	day := func(n int) string { return ir.Moment{Day: (now.Day + n) % 7}.String()[:3] }
	hour := int(now.Minute / 60)
	clock := func(h int) string { return fmt.Sprintf("%02d:00", h) }
	soon := clock(max(hour-1, 0)) + "-" + clock(min(hour+2, 24))
	other := clock((hour+6)%24) + "-" + clock((hour+6)%24+1)
	windows := []struct {
		spans string
		holds bool
	}{
		{day(0) + " 00:00-24:00", true},
		{day(6) + "-" + day(1) + " 00:00-24:00", true},
		{day(3) + " 00:00-24:00", false},
		{day(2) + "-" + day(5) + " 00:00-24:00", false},
		{"mon-sun " + soon, true},
		{"mon-sun " + other, false},
		{day(6) + "-" + day(1) + " " + soon, true},
		{day(6) + "-" + day(1) + " " + other, false},
		{day(3) + " " + soon, false},
		{day(3) + " 00:00-24:00, " + day(0) + " " + soon, true},
	}
	src := `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10, 2001:db8::10 }
point box { role host of chat  interface eth0 faces internet  nftables }
`
	for i, w := range windows {
		src += fmt.Sprintf("window w%d = %s\nallow any to tcp/%d of box { during w%d }\n", i, w.spans, 7000+i, i)
	}
	o := Options{Policy: written(t, src), Path: "policy.xfw"}
	b, err := NewBed(o.Policy)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	state, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer state.remove()
	r := &runner{o: o, p: o.Policy, bed: b, state: state, res: &Result{}}
	r.enforce()
	if !r.inForce {
		t.Fatal(transcript(r.res))
	}
	for i, w := range windows {
		for _, to := range []string{"198.51.100.10", "2001:db8::10"} {
			dst := netip.MustParseAddr(to)
			from := netip.MustParseAddr("203.0.113.7")
			if dst.Is6() {
				from = netip.MustParseAddr("2001:db8:7::7")
			}
			p := &probe{witness: witness{Packet: Packet{Proto: ir.TCP, Src: from, Dst: dst, Port: uint16(7000 + i)}}}
			if p.model, err = b.Judge(o.Policy, p.Packet); err != nil {
				t.Fatal(err)
			}
			if (p.model.Verdict == ir.Allow) != w.holds {
				t.Errorf("window %q at %s: the model says %v", w.spans, now, p.model.Verdict)
			}
			r.send([]*probe{p}, quiet)
			if p.out.Reached != w.holds || p.out.Err != nil {
				t.Errorf("window %q at %s, to %s: reached %v, %v", w.spans, now, to, p.out.Reached, p.out.Err)
			}
		}
	}
}
