package try

import (
	"net/netip"
	"testing"

	"xfwc/compiler/ir"
)

// TestPrefixLimitInTheKernel counts neighbours together: sources of one prefix
// share a limit per prefix, and those of another have their own.
func TestPrefixLimitInTheKernel(t *testing.T) {
	needPrivilege(t)
	p := written(t, `policy "p" { profile baseline }
server chat { software prosody 13.0  domain example.org  address 198.51.100.10, 2001:db8::10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from any  limit attempts 2/day burst 2 per prefix 26/48 }
`)
	b, err := NewBed(p)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	state, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer state.remove()
	r := &runner{o: Options{Policy: p, Path: "policy.xfw"}, p: p, bed: b, state: state, res: &Result{}}
	r.enforce()
	if !r.inForce {
		t.Fatal(transcript(r.res))
	}
	for _, sent := range []struct {
		from, to string
		passes   bool
	}{
		{"203.0.113.1", "198.51.100.10", true},
		{"203.0.113.60", "198.51.100.10", true},
		{"203.0.113.33", "198.51.100.10", false},
		{"203.0.113.64", "198.51.100.10", true}, // the next /26
		{"203.0.113.2", "198.51.100.10", false},
		{"2001:db8:7:1::1", "2001:db8::10", true},
		{"2001:db8:7:ffff::1", "2001:db8::10", true},
		{"2001:db8:7:2::1", "2001:db8::10", false},
		{"2001:db8:8:1::1", "2001:db8::10", true},
	} {
		pr := &probe{witness: witness{Packet: Packet{Proto: ir.TCP, Src: netip.MustParseAddr(sent.from), Dst: netip.MustParseAddr(sent.to), Port: 5222}}}
		r.send([]*probe{pr}, quiet)
		if pr.out.Err != nil || pr.out.Reached != sent.passes {
			t.Errorf("from %s: reached %v, want %v (%v)", sent.from, pr.out.Reached, sent.passes, pr.out.Err)
		}
	}
}
