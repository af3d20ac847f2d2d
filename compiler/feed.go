package compiler

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang/diag"
)

// maxFeedFindings is how many bad lines of one feed are shown: a file of the
// wrong kind would otherwise bury every other finding.
const maxFeedFindings = 10

// feedKind is how the lines of a feed are read.
type feedKind[T comparable] struct {
	// comments are the characters that begin a comment, alone or behind an entry;
	// in a list of texts only a whole line is a comment.
	comments string
	whole    bool
	read     func(text string) (entry T, wrong string)
	remedy   string
}

// The three kinds of feeds. In all of them blank lines are skipped, lines may
// end in CR LF, and expires=2027-01-31 behind an entry is the last day that the
// entry is for.
var (
	addressFeed = feedKind[netip.Prefix]{comments: "#;", read: parseFeedEntry, remedy: "Write one address or prefix a line; # starts a comment."}
	domainFeed  = feedKind[string]{comments: "#;", read: parseFeedDomain, remedy: "Write one domain a line, in ASCII; # starts a comment."}
	wordFeed    = feedKind[string]{comments: "#", whole: true, read: parseFeedWord, remedy: "Write one text a line; a line that starts with # is a comment."}
)

// feedPlace is where an entry stands in its file.
type feedPlace struct{ line, column, from, to int }

func (p feedPlace) span(name string) diag.Span {
	start := diag.Pos{Filename: name, Offset: p.from, Line: p.line, Column: p.column}
	end := start
	end.Offset, end.Column = p.to, p.column+p.to-p.from
	return diag.Span{Start: start, End: end}
}

// scan reads a feed and calls visit with every entry and its last day, "" for
// none. There is a feed-line finding for every line that is wrong.
func (k feedKind[T]) scan(name string, src []byte, visit func(e T, until string, at feedPlace)) []diag.Finding {
	// One copy of the text lets every line be a slice of it.
	text := string(src)
	var found []diag.Finding
	bad := 0
	for line, start := 1, 0; start < len(text); line++ {
		end := strings.IndexByte(text[start:], '\n')
		next := start + end + 1
		if end < 0 {
			next = len(text)
			end = next - start
		}
		first := start
		if line == 1 && strings.HasPrefix(text, "\ufeff") {
			first += len("\ufeff") // a byte order mark, as some editors write it
		}
		if from, to := k.trim(text, first, start+end); from < to {
			at := feedPlace{line, from - start + 1, from, to}
			e, until, wrong := k.entry(text[from:to])
			if wrong == "" {
				visit(e, until, at)
			} else if bad++; bad <= maxFeedFindings {
				f := diag.New("feed-line", at.span(name), wrong)
				f.Remedy = k.remedy
				found = append(found, f)
			}
		}
		start = next
	}
	if more := bad - maxFeedFindings; more > 0 {
		last := &found[len(found)-1]
		last.Summary += fmt.Sprintf(" (and %d more lines of this feed are wrong)", more)
	}
	return found
}

// entry reads what a line says.
func (k feedKind[T]) entry(said string) (e T, until, wrong string) {
	if rest, date, ok := cutExpires(said); ok {
		said, until = rest, date
		if _, _, twice := cutExpires(said); twice {
			return e, "", quoted(said) + " states its last day twice"
		}
		switch {
		case said == "":
			return e, "", "expires=" + until + " stands behind no entry"
		case !validDate(until):
			return e, "", fmt.Sprintf("%s is no date; expires=2027-01-31 is the last day of an entry", quoted(until))
		}
	}
	e, wrong = k.read(said)
	return e, until, wrong
}

// cutExpires cuts expires=DATE off the end of a line.
func cutExpires(said string) (rest, date string, ok bool) {
	const mark = "expires="
	i := strings.LastIndexAny(said, " \t") + 1
	if len(said)-i < len(mark) || !strings.EqualFold(said[i:i+len(mark)], mark) {
		return "", "", false
	}
	return strings.TrimRight(said[:i], " \t"), said[i+len(mark):], true
}

// feedFile is what a feed lists: its entries in the order of the file, without
// the lines that are wrong.
type feedFile[T any] struct {
	entries []T
	dated   []datedEntry // those with a last day of their own
	found   []diag.Finding
}

// datedEntry is an entry, by its index, with its last day.
type datedEntry struct {
	entry int
	until string
	at    diag.Span
}

func (k feedKind[T]) parse(name string, src []byte) feedFile[T] {
	f := feedFile[T]{entries: make([]T, 0, bytes.Count(src, []byte{'\n'})+1)}
	f.found = k.scan(name, src, func(e T, until string, at feedPlace) {
		if until != "" {
			f.dated = append(f.dated, datedEntry{len(f.entries), until, at.span(name)})
		}
		f.entries = append(f.entries, e)
	})
	return f
}

// repeats are the entries of a feed that it lists again.
type repeats struct {
	count         int
	first, before diag.Span // the first of them, and where it stands before
}

func (k feedKind[T]) repeats(name string, src []byte) repeats {
	var r repeats
	seen := map[T]feedPlace{}
	k.scan(name, src, func(e T, _ string, at feedPlace) {
		old, again := seen[e]
		if !again {
			seen[e] = at
			return
		}
		if r.count++; r.count == 1 {
			r.first, r.before = at.span(name), old.span(name)
		}
	})
	return r
}

// trim bounds what a line says: without comment and white space.
func (k feedKind[T]) trim(text string, from, to int) (int, int) {
	if !k.whole {
		for i := from; i < to; i++ {
			if strings.IndexByte(k.comments, text[i]) >= 0 {
				to = i
				break
			}
		}
	}
	for from < to && isBlank(text[from]) {
		from++
	}
	for from < to && isBlank(text[to-1]) {
		to--
	}
	if k.whole && from < to && strings.IndexByte(k.comments, text[from]) >= 0 {
		from = to
	}
	return from, to
}

// without gives the entries whose last day does not lie before day; "" leaves
// none out.
func (f *feedFile[T]) without(day string) []T {
	gone := map[int]bool{}
	for _, d := range f.dated {
		if day != "" && d.until < day { // both are YYYY-MM-DD
			gone[d.entry] = true
		}
	}
	if len(gone) == 0 {
		return f.entries
	}
	kept := make([]T, 0, len(f.entries))
	for i, e := range f.entries {
		if !gone[i] {
			kept = append(kept, e)
		}
	}
	return kept
}

// ParseFeed reads an address list: one address or prefix a line. Blank lines
// are skipped, and # or ; starts a comment, alone or behind an address, as the
// public lists write it.
//
// It returns the listed addresses in the form of [ir.MergePrefixes], and a
// feed-line finding for every line that is no address, has host bits set, or
// spans a whole address family. Lines that are wrong are left out.
func ParseFeed(name string, src []byte) ([]netip.Prefix, []diag.Finding) {
	f := addressFeed.parse(name, src)
	return ir.MergePrefixes(f.entries), f.found
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

// parseFeedDomain reads a domain. *. before it changes nothing: an entry means
// what is below it in any event.
func parseFeedDomain(s string) (d, wrong string) {
	d = strings.TrimPrefix(strings.ToLower(s), "*.")
	if wrong = wrongDomain(d); wrong != "" {
		wrong = fmt.Sprintf("%s is no domain: %s", quoted(s), wrong)
		if !isASCII(s) {
			wrong = fmt.Sprintf("%s is an international domain: write its xn-- form", quoted(s))
		}
	}
	return d, wrong
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// parseFeedWord reads a text.
func parseFeedWord(s string) (word, wrong string) {
	if wrong = wrongText(s); wrong != "" {
		return "", quoted(s) + " " + wrong
	}
	return lowerASCII(s), ""
}

// maxText bounds a text to find, in bytes.
const maxText = 500

// wrongText says what keeps a text from being one to look for; "" is a text.
func wrongText(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "is empty"
	case len(s) > maxText:
		return fmt.Sprintf("is longer than %d bytes", maxText)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "holds a control character"
	}
	return ""
}

// lowerASCII is strings.ToLower for ASCII letters alone: other letters match as
// they are written.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
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
		host, length, _ := strings.Cut(s, "/")
		a, noAddr := netip.ParseAddr(host)
		if n, noLength := strconv.Atoi(length); cmp.Or(noAddr, noLength) == nil && n > a.BitLen() {
			return netip.Prefix{}, fmt.Sprintf("%s is no prefix: its length is %d at most", quoted(s), a.BitLen())
		}
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
func FeedDigest(ps []netip.Prefix) string { return digest(listing(ps, netip.Prefix.AppendTo)) }

// listing writes entries one a line.
func listing[T any](entries []T, write func(T, []byte) []byte) []byte {
	text := make([]byte, 0, len(entries)*20)
	for _, e := range entries {
		text = append(write(e, text), '\n')
	}
	return text
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sketch is a small likeness of a listing: the smallest of the 64-bit digests of
// its lines, each once, sorted. From two of them follows how much two listings
// have in common (bottom-k sketches, Cohen and Kaplan 2007): exactly as long as
// both are no longer than a sketch, else to a few percent.
func sketch(listing []byte) []uint64 {
	out := []uint64{}
	for line := range bytes.Lines(listing) {
		sum := sha256.Sum256(line)
		h := binary.BigEndian.Uint64(sum[:])
		if len(out) == lock.SketchSize && h >= out[len(out)-1] {
			continue
		}
		if i, known := slices.BinarySearch(out, h); !known {
			out = slices.Insert(out, i, h)
			out = out[:min(len(out), lock.SketchSize)]
		}
	}
	return out
}

// changed estimates, from the sketches and the numbers of entries of two lists,
// how many percent of the old one's entries were taken away or added, whichever
// is more.
func changed(old, new []uint64, oldCount, newCount int) int {
	if oldCount == 0 {
		return cmp.Compare(newCount, 0) * 100
	}
	union := slices.Concat(old, new)
	slices.Sort(union)
	union = slices.Compact(union)
	if !(oldCount <= len(old) && newCount <= len(new)) {
		union = union[:min(len(union), lock.SketchSize)]
	}
	both := 0
	for _, h := range union {
		_, inOld := slices.BinarySearch(old, h)
		if _, inNew := slices.BinarySearch(new, h); inOld && inNew {
			both++
		}
	}
	// Of all entries of both lists, the share both/len(union) is in both of them.
	common := 0
	if len(union) > 0 {
		common = both * (oldCount + newCount) / (len(union) + both)
	}
	common = min(common, oldCount, newCount)
	return max(oldCount-common, newCount-common) * 100 / oldCount
}
