package compiler

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// What has just one right spelling, and the edits that write it.

// respell is the edit that writes another word in the place of w; none if the
// word is not known.
func respell(w *lang.Word, word string) []diag.Edit {
	if word == "" {
		return nil
	}
	return lang.Replace(w, word)
}

// respellPart is respell for a part of a word, such as the host of host:port.
func respellPart(w *lang.Word, part, word string) []diag.Edit {
	if word == "" {
		return nil
	}
	return lang.Replace(w, strings.Replace(w.Text, part, word, 1))
}

// rightPrefix spells an address or prefix that parsePrefix refuses, where it is
// clear which one it is: an IPv4 one in IPv6 spelling is written as IPv4, and
// bits behind the length of a prefix are cleared.
func rightPrefix(text string) string {
	if !strings.Contains(text, "/") {
		if a, err := netip.ParseAddr(text); err == nil && a.Is4In6() && a.Zone() == "" {
			return a.Unmap().String()
		}
		return ""
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return ""
	}
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if !p.IsValid() || p.Bits() == 0 || p.Masked().String() == text {
		return ""
	}
	return p.Masked().String()
}

// rightHost spells the address of a machine where a length was written behind
// it: one that leaves no other address, or the length of the network around it.
func rightHost(text string) string {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return rightPrefix(text)
	}
	if p == p.Masked() && !p.IsSingleIP() {
		return "" // the network itself, and no machine of it
	}
	return p.Addr().Unmap().String()
}

// again is the edit that removes a statement which says word for word what one
// before it in its block says; none if it says something else.
func (s *state) again(first diag.Span, n lang.Node) []diag.Edit {
	if file := fileOf(s.in.Files, n); file.Text(first) == file.Text(n.Span()) {
		return file.Remove(n)
	}
	return nil
}

// spelt reports a word that means what right does and is written in another way.
func (s *state) spelt(w *lang.Word, what, right string) {
	if right == w.Text {
		return
	}
	f := diag.New("value-spelling", w.Span(), fmt.Sprintf("%s is commonly spelt %s", what, right))
	f.Fix = respell(w, right)
	s.found = append(s.found, f)
}

// speltAddress is spelt for an address or prefix that was read (RFC 5952).
func (s *state) speltAddress(w *lang.Word, p netip.Prefix) {
	right := p.String()
	if !strings.Contains(w.Text, "/") {
		right = p.Addr().String()
	}
	s.spelt(w, "address "+w.Text, right)
}

// reportRepeated reports the entries that stand in a list before, unless what
// reads the list has reported them. Taking them out mends either.
func (s *state) reportRepeated() {
	reported := map[diag.Span]int{} // by place, as an index of the findings
	for i, f := range s.found {
		reported[f.Span] = i
	}
	for _, file := range s.in.Files {
		if file == nil {
			continue
		}
		lang.Lists(file, func(list []lang.Node) {
			first := make(map[string]lang.Node, len(list))
			for i, n := range list {
				key := entryKey(n)
				before, again := first[key]
				if !again {
					first[key] = n
					continue
				}
				at, known := reported[n.Span()]
				if !known {
					at = len(s.found)
					s.add("value-repeated", n.Span(), fmt.Sprintf("%s stands twice in this list", key),
						diag.Label{Span: before.Span(), Text: "it stands here"})
				}
				if f := &s.found[at]; f.Fix == nil && slices.Contains([]string{"value-conflict", "value-repeated"}, f.Code) {
					f.Fix = file.RemoveEntry(list[i-1], n)
				}
			}
		})
	}
}

// entryKey is the same for entries that mean the same: letter case never
// matters in the words of a list.
func entryKey(n lang.Node) string {
	switch n := n.(type) {
	case *lang.Str:
		return n.Raw
	case *lang.Word:
		if p, wrong := parsePrefix(n.Text); wrong == "" {
			return spell(p)
		}
		return strings.ToLower(n.Text)
	}
	return ""
}
