package nftables

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// hosts is a ruleset with one denied set of n addresses, declared as feeds are;
// with ranges, of n networks that do not touch.
func hosts(n int, ranges bool) *Ruleset {
	s := &Set{Name: "feed4", Key: []KeyType{IPv4Addr}, Interval: ranges, Elements: make([]Element, n)}
	if !ranges {
		s.Size = uint32(n + n/4 + 1024)
	}
	for i := range n {
		v := uint32(1<<24 + i*8)
		a := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		k := KeyValue{Addr: a}
		if ranges {
			k.AddrTo = a.Next()
		}
		s.Elements[i] = Element{Keys: []KeyValue{k}}
	}
	return &Ruleset{Sets: []*Set{s}, Chains: []*Chain{{Name: "in", Hook: "input", Rules: []*Rule{
		{Stmts: []Stmt{MatchAddrSet{V4, Source, "feed4", false}, Verdict{Kind: Drop}}}}}}}
}

// BenchmarkLoad loads the same ruleset by netlink and by nft, in turns, so that
// what else the machine does is shared. The times include encoding and, for
// nft, its process; writing the text is not counted.
func BenchmarkLoad(b *testing.B) {
	needNft(b)
	for _, ranges := range []bool{false, true} {
		r := hosts(100_000, ranges)
		text := r.Text()
		name := "hosts"
		if ranges {
			name = "ranges"
		}
		b.Run(name, func(b *testing.B) {
			var direct, byText time.Duration
			for b.Loop() {
				scratch(b, func(c *Conn) error {
					start := time.Now()
					err := c.Commit(Full(r), 0)
					direct += time.Since(start)
					return err
				})
				scratch(b, func(*Conn) error {
					start := time.Now()
					err := loadText(text)
					byText += time.Since(start)
					return err
				})
			}
			b.ReportMetric(direct.Seconds()*1000/float64(b.N), "netlink-ms")
			b.ReportMetric(byText.Seconds()*1000/float64(b.N), "nft-ms")
			b.ReportMetric(byText.Seconds()/direct.Seconds(), "nft/netlink")
		})
	}
}

// BenchmarkEncode is the part of a load that is ours.
func BenchmarkEncode(b *testing.B) {
	r := hosts(100_000, false)
	b.ReportAllocs()
	for b.Loop() {
		if batch := Full(r); batch.Err() != nil || batch.Bytes() < 1_000_000 {
			b.Fatal(fmt.Sprint(batch.Err(), batch.Bytes()))
		}
	}
}

// BenchmarkPlan is what a plan costs: the wanted table in a namespace of its
// own, both dumps and the update between them.
func BenchmarkPlan(b *testing.B) {
	needKernel(b)
	r := everything()
	scratch(b, func(c *Conn) error {
		if err := c.Commit(Full(r), 0); err != nil {
			return err
		}
		for b.Loop() {
			want, err := Desired(r, DumpOptions{})
			if err != nil {
				return err
			}
			live, err := c.Dump(DumpOptions{})
			if err != nil {
				return err
			}
			if Update(live, want, r).Len() != 0 {
				return fmt.Errorf("the table differs from itself")
			}
		}
		return nil
	})
}
