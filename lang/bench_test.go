package lang

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"xfwc/internal/longpolicy"
)

// lengths are the policies that benchmarks measure, in lines.
var lengths = []int{1_000, 10_000, 20_000}

// measure runs f on policies of several lengths, and reports what a line takes.
func measure(b *testing.B, f func(src []byte)) {
	for _, n := range lengths {
		b.Run(fmt.Sprintf("lines=%d", n), func(b *testing.B) {
			src := longpolicy.Lines(n)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				f(src)
			}
			b.ReportMetric(float64(allocated(f, src))/float64(n), "B/line")
		})
	}
}

// allocated is how many bytes f asks for.
func allocated(f func([]byte), src []byte) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f(src)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func parseBench(src []byte) {
	if _, findings := Parse("p", src); len(findings) > 0 {
		panic(pins(findings))
	}
}

func formatBench(src []byte) { Format(src) }

func BenchmarkParse(b *testing.B)  { measure(b, parseBench) }
func BenchmarkFormat(b *testing.B) { measure(b, formatBench) }

// BenchmarkParseFaults reads a policy whose every domain line has a misspelt
// keyword.
func BenchmarkParseFaults(b *testing.B) {
	src := bytes.ReplaceAll(longpolicy.Lines(10_000), []byte("limit"), []byte("limmit"))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, findings := Parse("p", src); len(findings) == 0 {
			b.Fatal("no findings")
		}
	}
}

// Twice the text takes no more than twice the memory. How long it takes is for
// the benchmarks.
func TestLongPolicies(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func([]byte)
	}{{"Parse", parseBench}, {"Format", formatBench}} {
		once, twice := allocated(test.f, longpolicy.Lines(10_000)), allocated(test.f, longpolicy.Lines(20_000))
		if ratio := float64(twice) / float64(once); ratio > 2.2 {
			t.Errorf("%s takes %.1f times the memory for twice the lines", test.name, ratio)
		}
	}
}

// What takes the grammar long, or the recovery from faults, is fed by the
// thousand: the time has to stay in proportion to the text.
func TestFaultsByTheThousand(t *testing.T) {
	const n = 20_000
	for _, text := range []string{
		"allow\n", "allow x to\n", "limit 1 ", "network a = feed, b\n", "deny x, ", "clients of ", "clients of x ", "server x { port ",
		"test \"x\" { allow tcp ", "federation of x { peer y { tls } ", "{ ", "} ", "\" ", "allow x { owner ", "content x { match a and ", "waive x on ",
		"network x = feed { max-age ", "\n  of ", "of\n", ", ",
	} {
		src := bytes.Repeat([]byte(text), n*6/len(text))
		start := time.Now()
		Parse("p", src)
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%q, %d bytes of it, took %v", text, len(src), d)
		}
	}
}
