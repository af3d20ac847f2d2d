package nftables

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// The kernel can neither list a large set in reasonable time nor change the
// comment of one that exists. So what large sets hold is written down where an
// update can change it together with the elements: as the comments of rules, in
// a chain of its own that no packet reaches.
const digestChain = "xfwc.digests"

// digestAbove is the number of elements above which a set has a digest. Below,
// reading is a matter of milliseconds.
const digestAbove = 4096

// digest names what a set holds, so that two sets of the same digest hold the
// same; "" for sets that are small, or not filled from here.
func (s *Set) digest() string {
	if s.Dynamic || len(s.Elements) <= digestAbove {
		return ""
	}
	h := sha256.New()
	var k key
	lines := make([]byte, 0, 4096)
	for _, e := range s.inOrder(s.Elements) {
		if s.encodeKey(&k, e) != nil {
			return "" // Validate and the writers say why
		}
		// Keys of one set are of one length, so that no two lists of elements
		// give the same bytes.
		lines = append(append(lines, k.from...), k.to...)
		lines = binary.BigEndian.AppendUint32(lines, e.Timeout)
		lines = append(append(append(append(lines, e.Do...), 0), e.Chain...), 0)
		if len(lines) > 3072 {
			h.Write(lines)
			lines = lines[:0]
		}
	}
	h.Write(lines)
	return fmt.Sprintf("%s%x", s.digestKind(), h.Sum(nil)[:digestSize])
}

// digestSize is the length of a digest in bytes, before it is written in hex.
const digestSize = 16

// digestKind is how the digest begins.
func (s *Set) digestKind() string {
	if strings.HasPrefix(s.Comment, "feed ") {
		return "feed elements sha256:"
	}
	return "elements sha256:"
}

const digestOf = " of "

// withDigests is the ruleset with the chain that holds the digests of its large
// sets, or the same when it has none.
func (r *Ruleset) withDigests() *Ruleset {
	c := &Chain{Name: digestChain, Comment: "what large sets hold; no packet comes here"}
	for _, s := range r.Sets {
		if d := s.digest(); d != "" {
			c.Rules = append(c.Rules, &Rule{Stmts: []Stmt{Verdict{Kind: Return}}, Comment: d + digestOf + s.Name})
		}
	}
	if len(c.Rules) == 0 {
		return r
	}
	with := *r
	with.Chains = append([]*Chain{c}, r.Chains...)
	return &with
}

// readDigests moves the digests to the sets that they are of.
func (s *Snapshot) readDigests() {
	c := s.Object(kindChain, digestChain)
	if c == nil {
		return
	}
	for _, it := range c.Items {
		if digest, set, ok := strings.Cut(it.Comment, digestOf); ok {
			if o := s.Object(kindSet, set); o != nil {
				o.Comment = digest
			}
		}
	}
}
