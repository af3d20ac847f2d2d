package ir

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// MergePrefixes returns the same addresses as ps in the one form that an
// [AddrSet] holds: masked, sorted, without a prefix that another one covers.
// Two halves of a prefix become that prefix, but single addresses (/32, /128)
// stay as they are: engines keep hosts and prefixes in different structures,
// and a host that was listed should be found again as listed.
//
// IPv4-mapped IPv6 prefixes are the caller's to refuse; zones are dropped.
// Invalid prefixes are dropped. ps is not changed.
func MergePrefixes(ps []netip.Prefix) []netip.Prefix {
	// IPv4 sorts as plain integers: address above, length below.
	v4 := make([]uint64, 0, len(ps))
	var v6 []netip.Prefix
	for _, p := range ps {
		switch {
		case !p.IsValid():
		case p.Addr().Is4():
			m := p.Masked()
			b := m.Addr().As4()
			v4 = append(v4, uint64(binary.BigEndian.Uint32(b[:]))<<8|uint64(m.Bits()))
		default:
			v6 = append(v6, p.Masked())
		}
	}
	slices.Sort(v4)
	slices.SortFunc(v6, comparePrefixes)

	out := make([]netip.Prefix, 0, len(v4)+len(v6))
	n := 0
	for _, k := range v4 {
		addr, bits := uint32(k>>8), int(k&0xff)
		if n > 0 {
			top, topBits := uint32(v4[n-1]>>8), int(v4[n-1]&0xff)
			if uint64(addr)>>(32-topBits) == uint64(top)>>(32-topBits) {
				continue
			}
			for n > 0 && bits < 32 && bits > 0 {
				top, topBits = uint32(v4[n-1]>>8), int(v4[n-1]&0xff)
				half := uint32(1) << (32 - bits)
				if topBits != bits || top&half != 0 || top|half != addr {
					break
				}
				addr, bits = top, bits-1
				n--
			}
		}
		v4[n] = uint64(addr)<<8 | uint64(bits)
		n++
	}
	for _, k := range v4[:n] {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(k>>8))
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(b), int(k&0xff)))
	}
	first6 := len(out)
	for _, p := range v6 {
		if len(out) > first6 && out[len(out)-1].Overlaps(p) {
			continue // sorted: what overlaps is covered
		}
		for len(out) > first6 && p.Bits() < 128 && p.Bits() > 0 {
			top := out[len(out)-1]
			up := netip.PrefixFrom(top.Addr(), p.Bits()-1).Masked()
			if top.Bits() != p.Bits() || !up.Contains(p.Addr()) {
				break
			}
			p = up
			out = out[:len(out)-1]
		}
		out = append(out, p)
	}
	return slices.Clip(out)
}

// comparePrefixes orders IPv4 before IPv6, then by address, then the wider first.
func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// Covering returns the prefix of s that holds a.
func (s *AddrSet) Covering(a netip.Addr) (netip.Prefix, bool) {
	if s == nil {
		return netip.Prefix{}, false
	}
	// The last prefix that starts at or before a is the only one that can.
	i, exact := slices.BinarySearchFunc(s.Prefixes, a, func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	if !exact {
		i--
	}
	if i < 0 || !s.Prefixes[i].Contains(a) {
		return netip.Prefix{}, false
	}
	return s.Prefixes[i], true
}

// Contains reports whether a is in s.
func (s *AddrSet) Contains(a netip.Addr) bool {
	_, ok := s.Covering(a)
	return ok
}

// Overlap returns a prefix of addresses that s and o share: the first by order.
func (s *AddrSet) Overlap(o *AddrSet) (netip.Prefix, bool) {
	if s == nil || o == nil {
		return netip.Prefix{}, false
	}
	i, j := 0, 0
	for i < len(s.Prefixes) && j < len(o.Prefixes) {
		a, b := s.Prefixes[i], o.Prefixes[j]
		if a.Overlaps(b) {
			if a.Bits() > b.Bits() {
				return a, true
			}
			return b, true
		}
		if a.Addr().Less(b.Addr()) {
			i++
		} else {
			j++
		}
	}
	return netip.Prefix{}, false
}
