package ir

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"
)

func prefixes(s string) []netip.Prefix {
	var out []netip.Prefix
	for _, w := range strings.Fields(s) {
		out = append(out, netip.MustParsePrefix(w))
	}
	return out
}

func TestMergePrefixes(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"hosts stay hosts", "10.0.0.1/32 10.0.0.0/32", "10.0.0.0/32 10.0.0.1/32"},
		{"hosts stay hosts in IPv6", "2001:db8::1/128 2001:db8::/128", "2001:db8::/128 2001:db8::1/128"},
		{"a wider prefix covers hosts", "10.0.0.1/32 10.0.0.0/24 10.0.0.255/32", "10.0.0.0/24"},
		{"duplicates", "10.0.0.1/32 10.0.0.1/32 2001:db8::/32 2001:db8::/32", "10.0.0.1/32 2001:db8::/32"},
		{"halves", "10.0.1.0/24 10.0.0.0/24", "10.0.0.0/23"},
		{"halves of halves", "10.0.0.0/24 10.0.1.0/24 10.0.2.0/23", "10.0.0.0/22"},
		{"neighbours that are no halves", "10.0.1.0/24 10.0.2.0/24", "10.0.1.0/24 10.0.2.0/24"},
		{"the whole of IPv4", "0.0.0.0/1 128.0.0.0/1", "0.0.0.0/0"},
		{"the whole covers all", "0.0.0.0/0 10.0.0.0/8 255.255.255.255/32", "0.0.0.0/0"},
		{"IPv6 halves", "2001:db8:1::/48 2001:db8::/48", "2001:db8::/47"},
		{"the whole of IPv6", "::/1 8000::/1", "::/0"},
		{"host bits", "10.0.0.7/24", "10.0.0.0/24"},
		{"families", "2001:db8::/32 10.0.0.0/8", "10.0.0.0/8 2001:db8::/32"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := MergePrefixes(prefixes(tt.in))
			if want := prefixes(tt.want); !slices.Equal(got, want) {
				t.Errorf("MergePrefixes(%s) = %v, want %v", tt.in, got, want)
			}
		})
	}
}

func genPrefix(t *rapid.T) netip.Prefix {
	// A small world, so that prefixes meet.
	if rapid.Bool().Draw(t, "v4") {
		a := netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "b") & 3, rapid.Byte().Draw(t, "c")})
		return netip.PrefixFrom(a, rapid.IntRange(20, 32).Draw(t, "bits")).Masked()
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	b[14], b[15] = rapid.Byte().Draw(t, "b")&3, rapid.Byte().Draw(t, "c")
	return netip.PrefixFrom(netip.AddrFrom16(b), rapid.IntRange(116, 128).Draw(t, "bits")).Masked()
}

// The merged form holds the same addresses as an independent library says, is
// sorted, disjoint and a fixed point.
func TestMergePrefixesMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Custom(genPrefix), 0, 40).Draw(t, "in")
		got := MergePrefixes(in)
		if !slices.IsSortedFunc(got, comparePrefixes) {
			t.Fatalf("not sorted: %v", got)
		}
		for i := 1; i < len(got); i++ {
			if got[i-1].Overlaps(got[i]) {
				t.Fatalf("%v overlaps %v", got[i-1], got[i])
			}
		}
		if again := MergePrefixes(got); !slices.Equal(again, got) {
			t.Fatalf("again: %v, was %v", again, got)
		}
		want, have := ipset(in), ipset(got)
		if !want.Equal(have) {
			t.Fatalf("MergePrefixes(%v) = %v: another meaning", in, got)
		}
		s := &AddrSet{Prefixes: got}
		probe := genPrefix(t).Addr()
		if s.Contains(probe) != want.Contains(probe) {
			t.Fatalf("Contains(%v) = %v in %v", probe, s.Contains(probe), got)
		}
		other := MergePrefixes(rapid.SliceOfN(rapid.Custom(genPrefix), 0, 5).Draw(t, "other"))
		shared, ok := s.Overlap(&AddrSet{Prefixes: other})
		if ok != want.Overlaps(ipset(other)) {
			t.Fatalf("Overlap(%v, %v) = %v", got, other, ok)
		}
		if ok && !(want.ContainsPrefix(shared) && ipset(other).ContainsPrefix(shared)) {
			t.Fatalf("Overlap(%v, %v) gives %v", got, other, shared)
		}
	})
}

func ipset(ps []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range ps {
		b.AddPrefix(p)
	}
	s, err := b.IPSet()
	if err != nil {
		panic(err)
	}
	return s
}
