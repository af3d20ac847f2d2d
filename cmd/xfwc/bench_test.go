package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"xfwc/internal/longpolicy"
)

// BenchmarkCheck is what xfwc check does with policies of several lengths: it
// reads, compiles, places, judges, and has every backend write.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 20_000} {
		b.Run(fmt.Sprintf("lines=%d", n), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "policy.xfw")
			if err := os.WriteFile(file, longpolicy.Lines(n), 0o644); err != nil {
				b.Fatal(err)
			}
			check := func() {
				src, err := compile(file, "2026-01-01", "")
				if err != nil {
					b.Fatal(err)
				}
				src.place("2026-01-01")
			}
			for b.Loop() {
				check()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			check()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n), "B/line")
		})
	}
}
