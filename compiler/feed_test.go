package compiler

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"xfwc/compiler/ir"
)

func TestParseFeed(t *testing.T) {
	tests := []struct {
		name, src string
		want      string // prefixes
		findings  []string
	}{
		{name: "empty"},
		{name: "only comments", src: "# nothing\n\n; nothing\n   \t\n"},
		{name: "addresses and prefixes", src: "192.0.2.7\n2001:db8::/32\n198.51.100.0/24\n", want: "192.0.2.7/32 198.51.100.0/24 2001:db8::/32"},
		{name: "no newline at the end", src: "192.0.2.7", want: "192.0.2.7/32"},
		{name: "carriage returns", src: "192.0.2.7\r\n\r\n192.0.2.8\r\n", want: "192.0.2.7/32 192.0.2.8/32"},
		{name: "comments behind", src: "192.0.2.0/25 ; SBL1\n192.0.2.200#x\n 192.0.2.201\t# y\n", want: "192.0.2.0/25 192.0.2.200/32 192.0.2.201/32"},
		{name: "duplicates and cover", src: "192.0.2.7\n192.0.2.7\n192.0.2.0/24\n", want: "192.0.2.0/24"},
		{name: "byte order mark", src: "\ufeff192.0.2.7\n", want: "192.0.2.7/32"},
		{name: "bad line between good ones", src: "192.0.2.7\n  192.0.2.300 # typo\n192.0.2.8\n", want: "192.0.2.7/32 192.0.2.8/32",
			findings: []string{`2:3-2:14 "192.0.2.300" is no address`}},
		{name: "host bits", src: "192.0.2.7/24\n", findings: []string{"1:1-1:13 192.0.2.7/24 has address bits set behind its length: the prefix is 192.0.2.0/24"}},
		{name: "whole families", src: "0.0.0.0/0\n::/0\n", findings: []string{
			"1:1-1:10 0.0.0.0/0 is every address there is, which no list can mean", "2:1-2:5 ::/0 is every address there is, which no list can mean"}},
		{name: "forms that are none", src: "192.0.2.1-192.0.2.9\nexample.org\n::ffff:192.0.2.1\nfe80::1%eth0\n192.0.2.010\n192.0.2.0/33\n::ffff:192.0.2.0/120\n1.2.3.4 5.6.7.8\n", findings: []string{
			`1:1-1:20 "192.0.2.1-192.0.2.9" is no address`,
			`2:1-2:12 "example.org" is no address`,
			"3:1-3:17 ::ffff:192.0.2.1 is an IPv4 address in IPv6 spelling: write it as 192.0.2.1",
			"4:1-4:13 fe80::1%eth0 names an interface behind %: leave it out",
			`5:1-5:12 "192.0.2.010" is no address`,
			`6:1-6:13 "192.0.2.0/33" is no prefix: its length is 32 at most`,
			"7:1-7:21 ::ffff:192.0.2.0/120 is an IPv4 prefix in IPv6 spelling: write it as IPv4",
			`8:1-8:16 "1.2.3.4 5.6.7.8" is no address`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps, found := ParseFeed("feed.txt", []byte(tt.src))
			var got []string
			for _, p := range ps {
				got = append(got, p.String())
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("prefixes %s, want %s", s, tt.want)
			}
			var msgs []string
			for _, f := range found {
				s, e := f.Span.Start, f.Span.End
				if f.Code != "feed-line" || s.Filename != "feed.txt" {
					t.Errorf("finding %s in %q", f.Code, s.Filename)
				}
				if got := tt.src[s.Offset:e.Offset]; strings.ContainsAny(got, "#\n") {
					t.Errorf("the span holds %q", got)
				}
				msgs = append(msgs, fmt.Sprintf("%d:%d-%d:%d %s", s.Line, s.Column, e.Line, e.Column, f.Summary))
			}
			if !slices.Equal(msgs, tt.findings) {
				t.Errorf("findings\n%s\nwant\n%s", strings.Join(msgs, "\n"), strings.Join(tt.findings, "\n"))
			}
		})
	}
}

func TestParseFeedCapsFindings(t *testing.T) {
	_, found := ParseFeed("feed.txt", bytes.Repeat([]byte("<html>\n"), 5000))
	if len(found) != maxFeedFindings {
		t.Fatalf("%d findings", len(found))
	}
	if last := found[len(found)-1].Summary; !strings.Contains(last, "4990 more") {
		t.Errorf("the last finding does not count the rest: %s", last)
	}
}

func TestFeedDigest(t *testing.T) {
	a, _ := ParseFeed("a", []byte("192.0.2.7 # one\n198.51.100.0/24\n"))
	b, _ := ParseFeed("b", []byte("198.51.100.0/25\n198.51.100.128/25\r\n192.0.2.7/32\n"))
	c, _ := ParseFeed("c", []byte("192.0.2.7\n"))
	if FeedDigest(a) != FeedDigest(b) {
		t.Error("spelling changes the digest")
	}
	if FeedDigest(a) == FeedDigest(c) {
		t.Error("a missing prefix does not change the digest")
	}
	// printf '192.0.2.7/32\n' | sha256sum
	if got, want := FeedDigest(c), "sha256:955aa1bfa876b2f2c6a4f67ed262adb22a14dccf404a67dfbdffa55aad6ab598"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// bigFeed writes n lines from a fixed seed, of which a tenth are prefixes.
func bigFeed(n int) []byte {
	r := rand.New(rand.NewPCG(5222, 5269))
	var b bytes.Buffer
	for i := range n {
		v := r.Uint32()
		a := netip.AddrFrom4([4]byte{byte(v>>24)%200 + 11, byte(v >> 16), byte(v >> 8), byte(v)})
		switch {
		case i%10 == 0:
			fmt.Fprintf(&b, "%s ; SBL%d\n", netip.PrefixFrom(a, 24).Masked(), i)
		case i%10 == 1:
			var w [16]byte
			w[0], w[1] = 0x2a, byte(v)
			w[2], w[3], w[15] = byte(v>>8), byte(v>>16), byte(v>>24)
			fmt.Fprintf(&b, "%s\n", netip.AddrFrom16(w))
		default:
			fmt.Fprintf(&b, "%s\n", a)
		}
	}
	return b.Bytes()
}

// A feed of 100,000 lines leaves no garbage on each line.
func TestParseFeedAllocations(t *testing.T) {
	src := bigFeed(100_000)
	if ps, found := ParseFeed("feed.txt", src); len(found) != 0 || len(ps) < 95_000 {
		t.Fatalf("%d prefixes, %d findings", len(ps), len(found))
	}
	if got := testing.AllocsPerRun(1, func() { ParseFeed("feed.txt", src) }); got > 100 {
		t.Errorf("%v allocations for 100,000 lines: garbage on each line", got)
	}
}

func BenchmarkParseFeed(b *testing.B) {
	src := bigFeed(100_000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		ps, _ := ParseFeed("feed.txt", src)
		FeedDigest(ps)
	}
}

// No input panics, and what is read is in the normal form.
func FuzzParseFeed(f *testing.F) {
	f.Add([]byte("192.0.2.7\r\n2001:db8::/32 ; x\n# y\n198.51.100.0/24"))
	f.Add([]byte("\ufeff::1\n0.0.0.0/0\n1.2.3.4/8"))
	f.Fuzz(func(t *testing.T, src []byte) {
		ps, found := ParseFeed("feed.txt", src)
		if again := ir.MergePrefixes(ps); !slices.Equal(again, ps) {
			t.Fatalf("%v is not merged", ps)
		}
		var b bytes.Buffer
		for _, p := range ps {
			fmt.Fprintln(&b, p)
		}
		again, more := ParseFeed("feed.txt", b.Bytes())
		if len(more) != 0 && len(found) == 0 && !slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
			t.Fatalf("what was read does not read back: %s", more[0].Summary)
		}
		if len(more) == 0 && !slices.Equal(again, ps) {
			t.Fatalf("%v reads back as %v", ps, again)
		}
	})
}

// A domain means what is below it anyway, and a text may hold # and blanks.
func TestFeedKinds(t *testing.T) {
	domains := domainFeed.parse("d", []byte("\ufeffBad.example # comment\n*.worse.example;x\n\nxn--bcher-kva.example\n"))
	if want := []string{"bad.example", "worse.example", "xn--bcher-kva.example"}; !slices.Equal(domains.entries, want) || len(domains.found) > 0 {
		t.Errorf("domains %q, findings %v", domains.entries, domains.found)
	}
	bad := domainFeed.parse("d", []byte("bücher.example\na..example\n192.0.2.7\nhttps://bad.example/\n*.*.example\na.example b.example\n"))
	if len(bad.entries) > 0 || len(bad.found) != 6 {
		t.Errorf("domains %q, %d findings", bad.entries, len(bad.found))
	}
	words := wordFeed.parse("w", []byte("# not a text\n  Wire #1 Transfer; \r\nÄrger expires=soon\nexpires=2027-01-31\nx expires=2027-01-31\n\xff\na\x00b\n"))
	if want := []string{"wire #1 transfer;", "x"}; !slices.Equal(words.entries, want) {
		t.Errorf("words %q, want %q", words.entries, want)
	}
	if len(words.dated) != 1 || words.dated[0].entry != 1 || words.dated[0].until != "2027-01-31" {
		t.Errorf("dated %v", words.dated)
	}
	var said []string
	for _, f := range words.found {
		said = append(said, fmt.Sprintf("%d:%d %s", f.Span.Start.Line, f.Span.Start.Column, f.Summary))
	}
	if want := []string{
		`3:1 "soon" is no date; expires=2027-01-31 is the last day of an entry`,
		`4:1 expires=2027-01-31 stands behind no entry`,
		`6:1 "\xff" is not UTF-8`, `7:1 "a\x00b" holds a control character`,
	}; !slices.Equal(said, want) {
		t.Errorf("findings %q", said)
	}
}

func TestFeedRepeats(t *testing.T) {
	r := addressFeed.repeats("f", []byte("192.0.2.1\n192.0.2.0/31\n192.0.2.1/32 # again\n2001:db8::1\n192.0.2.1 expires=2027-01-31\n2001:DB8::1\n"))
	if r.count != 3 || r.first.Start.Line != 3 || r.before.Start.Line != 1 {
		t.Errorf("%+v", r)
	}
}

// TestChanged compares lists of known difference by their sketches: exactly
// while they are short, and to within a few percent when they are long.
func TestChanged(t *testing.T) {
	list := func(from, to int) []byte {
		var b []byte
		for i := from; i < to; i++ {
			b = fmt.Appendf(b, "host%d.example\n", i)
		}
		return b
	}
	for _, c := range []struct{ from, to, from2, to2, want, near int }{
		{0, 100, 0, 100, 0, 0},
		{0, 100, 10, 110, 10, 0},
		{0, 100, 0, 50, 50, 0},
		{0, 100, 0, 0, 100, 0},
		{0, 40, 0, 80, 100, 0},
		{0, 0, 0, 5, 100, 0},
		{0, 0, 0, 0, 0, 0},
		{0, 120, 0, 150, 25, 8},
		{0, 20_000, 0, 20_000, 0, 0},
		{0, 20_000, 2_000, 22_000, 10, 7},
		{0, 20_000, 10_000, 30_000, 50, 10},
		{0, 20_000, 0, 10, 100, 1},
		{0, 20_000, 20_000, 40_000, 100, 0},
		{0, 20_000, 0, 60_000, 200, 20},
	} {
		got := changed(sketch(list(c.from, c.to)), sketch(list(c.from2, c.to2)), c.to-c.from, c.to2-c.from2)
		if got < c.want-c.near || got > c.want+c.near {
			t.Errorf("%+v: %d%%", c, got)
		}
	}
}

// FuzzFeedLists holds the lists of domains and texts to what the addresses are
// held to: nothing panics, every finding has its line, and what is read reads
// back.
func FuzzFeedLists(f *testing.F) {
	f.Add([]byte("bad.example\n*.Worse.example # x\nbücher.example"))
	f.Add([]byte("Wire transfer expires=2027-01-31\n# x\r\n\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, kind := range []feedKind[string]{domainFeed, wordFeed} {
			first := kind.parse("f", src)
			for _, x := range first.found {
				if x.Span.Start.Offset > x.Span.End.Offset || x.Span.End.Offset > len(src) {
					t.Fatalf("%s at %v", x.Summary, x.Span)
				}
			}
			again := kind.parse("f", listing(distinct(first.entries), appendText))
			if !slices.Equal(again.entries, distinct(first.entries)) || len(again.found) > 0 {
				t.Fatalf("%q reads back as %q", first.entries, again.entries)
			}
		}
	})
}
