package compiler

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// maxFeedFindings is how many bad lines of one feed are shown: a file of the
// wrong kind would otherwise bury every other finding.
const maxFeedFindings = 10

// ParseFeed reads an address list: one address or prefix a line. Blank lines
// are skipped, and # or ; starts a comment, alone or behind an address, as the
// public lists write it. Lines may end in CR LF.
//
// It returns the listed addresses in the form of [ir.MergePrefixes], and a
// feed-line finding for every line that is no address, has host bits set, or
// spans a whole address family. Lines that are wrong are left out.
func ParseFeed(name string, src []byte) ([]netip.Prefix, []diag.Finding) {
	// One copy of the text lets every line be a slice of it.
	text := string(src)
	ps := make([]netip.Prefix, 0, strings.Count(text, "\n")+1)
	var fs []diag.Finding
	bad := 0
	for line, start := 1, 0; start < len(text); line++ {
		end := strings.IndexByte(text[start:], '\n')
		next := start + end + 1
		if end < 0 {
			next = len(text)
			end = next - start
		}
		from, to := trimLine(text, start, start+end)
		if line == 1 && strings.HasPrefix(text[from:to], "\ufeff") {
			from += len("\ufeff") // a byte order mark, as some editors write it
		}
		if from < to {
			p, wrong := parseFeedEntry(text[from:to])
			if wrong == "" {
				ps = append(ps, p)
			} else {
				if bad++; bad <= maxFeedFindings {
					pos := diag.Pos{Filename: name, Offset: from, Line: line, Column: from - start + 1}
					stop := pos
					stop.Offset += to - from
					stop.Column += to - from
					fs = append(fs, diag.New("feed-line", diag.Span{Start: pos, End: stop}, wrong))
				}
			}
		}
		start = next
	}
	if more := bad - maxFeedFindings; more > 0 {
		last := &fs[len(fs)-1]
		last.Summary += fmt.Sprintf(" (and %d more lines of this feed are wrong)", more)
	}
	return ir.MergePrefixes(ps), fs
}

// trimLine bounds what a line says: without comment and white space.
func trimLine(text string, from, to int) (int, int) {
	for i := from; i < to; i++ {
		if c := text[i]; c == '#' || c == ';' {
			to = i
			break
		}
	}
	for from < to && isBlank(text[from]) {
		from++
	}
	for from < to && isBlank(text[to-1]) {
		to--
	}
	return from, to
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' }

// parseFeedEntry reads an address or prefix; wrong says what is the matter.
func parseFeedEntry(s string) (p netip.Prefix, wrong string) {
	p, wrong = parsePrefix(s)
	if wrong == "" && p.Bits() == 0 {
		return p, fmt.Sprintf("%s is every address there is, which no list can mean", s)
	}
	return p, wrong
}

// parsePrefix reads an address or prefix as policies and feeds may write it;
// wrong says what is the matter with it, naming it.
func parsePrefix(s string) (p netip.Prefix, wrong string) {
	if strings.IndexByte(s, '/') < 0 {
		a, wrong := parseAddr(s)
		if wrong != "" {
			return netip.Prefix{}, wrong
		}
		return netip.PrefixFrom(a, a.BitLen()), ""
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Sprintf("%s is no address or prefix", quoted(s))
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Sprintf("%s is an IPv4 prefix in IPv6 spelling: write it as IPv4", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Sprintf("%s has address bits set behind its length: the prefix is %s", s, p.Masked())
	}
	return p, ""
}

// parseAddr reads one address.
func parseAddr(s string) (a netip.Addr, wrong string) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Sprintf("%s is no address", quoted(s))
	case a.Zone() != "":
		return netip.Addr{}, fmt.Sprintf("%s names an interface behind %%: leave it out", s)
	case a.Is4In6():
		return netip.Addr{}, fmt.Sprintf("%s is an IPv4 address in IPv6 spelling: write it as %s", s, a.Unmap())
	}
	return a, ""
}

// quoted shows a text from outside in a message: in quotes and not too long.
func quoted(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// FeedDigest is the identity of an address list: "sha256:" and the digest of
// its merged prefixes, one a line. Comments, order and spelling do not change it.
func FeedDigest(ps []netip.Prefix) string {
	text := make([]byte, 0, len(ps)*20)
	for _, p := range ps {
		text = p.AppendTo(text)
		text = append(text, '\n')
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}
