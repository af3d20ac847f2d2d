package golden_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"xfwc/backends/nftables"
)

// feedPolicy copies examples/openfire-public with a deny feed of n addresses
// from a fixed seed.
func feedPolicy(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	src, err := os.ReadFile("../examples/openfire-public/policy.xfw")
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(174, 5222))
	seen := map[uint32]bool{}
	var feed bytes.Buffer
	for len(seen) < n {
		a := rng.Uint32()
		if top := a >> 24; top < 11 || top > 222 || top == 100 || top == 127 || top == 169 || top == 172 || top == 192 || top == 198 || top == 203 || seen[a] {
			continue
		}
		seen[a] = true
		fmt.Fprintf(&feed, "%d.%d.%d.%d\n", a>>24, a>>16&255, a>>8&255, a&255)
	}
	if err := os.MkdirAll(filepath.Join(dir, "feeds"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "feeds", "drop.txt"), feed.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	policy := filepath.Join(dir, "policy.xfw")
	if err := os.WriteFile(policy, src, 0o644); err != nil {
		b.Fatal(err)
	}
	return policy
}

// BenchmarkCompileFeed is the whole command `xfwc compile` for a public server
// with a deny feed of 100,000 addresses.
func BenchmarkCompileFeed(b *testing.B) {
	policy := feedPolicy(b, 100_000)
	out := filepath.Join(b.TempDir(), "out")
	for b.Loop() {
		if msg, err := exec.Command(xfwc, "compile", policy, "-o", out).CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, msg)
		}
	}
}

// BenchmarkApplyFeed puts that policy in force in an empty namespace, by the
// whole command `xfwc apply` and by `nft -f` of the same table, one after the
// other in each turn: ratio is the median of the paired ratios of wall time, so
// that a noisy machine slows both.
func BenchmarkApplyFeed(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("skipped: root is missing")
	}
	policy := feedPolicy(b, 100_000)
	dir := b.TempDir()
	out := filepath.Join(dir, "out")
	if msg, err := exec.Command(xfwc, "compile", policy, "-o", out).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, msg)
	}
	text := filepath.Join(out, "im1", "nftables", "xfwc.nft")
	timed := func(name string, args ...string) (d time.Duration) {
		err := nftables.Scratch(func(*nftables.Conn) error {
			begin := time.Now()
			msg, err := exec.Command(name, args...).CombinedOutput()
			d = time.Since(begin)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", name, err, msg)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	var apply, load []time.Duration
	var ratios []float64
	for i := 0; b.Loop(); i++ {
		state := filepath.Join(dir, fmt.Sprintf("state%d", i))
		a := timed(xfwc, "apply", policy, "--point", "im1", "--yes", "--state-dir", state)
		l := timed("nft", "-f", text)
		apply, load = append(apply, a), append(load, l)
		ratios = append(ratios, a.Seconds()/l.Seconds())
	}
	slices.Sort(apply)
	slices.Sort(load)
	slices.Sort(ratios)
	b.ReportMetric(float64(apply[len(apply)/2].Milliseconds()), "apply-ms")
	b.ReportMetric(float64(load[len(load)/2].Milliseconds()), "nft-ms")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(0, "ns/op")
}
