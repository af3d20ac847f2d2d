package try

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// update rewrites expected results instead of comparing with them.
var update = os.Getenv("XFWC_UPDATE") != ""

// compiled compiles files, of which name is the policy. Failed tests of the
// policy are no error: here they are judged by packets.
func compiled(files map[string][]byte, name string) (*ir.Policy, map[string][]byte, error) {
	read := func(path string) ([]byte, error) {
		if b, ok := files[path]; ok {
			return b, nil
		}
		return nil, os.ErrNotExist
	}
	parsed, sources, findings := lang.Load(name, lang.Source{
		Read: read,
		Glob: func(pattern string) ([]string, error) {
			var names []string
			for n := range files {
				if ok, err := filepath.Match(pattern, n); err != nil {
					return nil, err
				} else if ok {
					names = append(names, n)
				}
			}
			slices.Sort(names)
			return names, nil
		},
	})
	in := compiler.Input{Files: parsed, ReadFeed: read}
	if b := files[filepath.Join(filepath.Dir(name), "xfwc.lock")]; b != nil {
		var fs []diag.Finding
		in.Lock, fs = lock.Parse("xfwc.lock", b)
		findings = append(findings, fs...)
	}
	out := compiler.Compile(in)
	for _, f := range append(findings, out.Findings...) {
		if f.Severity == diag.Error && f.Code != "test-failed" && f.Waived == nil {
			return nil, nil, fmt.Errorf("%s:%d: %s: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Code, f.Summary)
		}
	}
	return out.Policy, sources, nil
}

// policy is compiled for tests.
func policy(t *testing.T, files map[string][]byte, name string) (*ir.Policy, map[string][]byte) {
	t.Helper()
	p, sources, err := compiled(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return p, sources
}

// written compiles a policy that a test states in full.
func written(t *testing.T, src string) *ir.Policy {
	t.Helper()
	p, _ := policy(t, map[string][]byte{"policy.xfw": []byte(src)}, "policy.xfw")
	return p
}

// example compiles one of the repository's examples.
func example(t *testing.T, name string) Options {
	t.Helper()
	dir := filepath.Join("..", "..", "examples", name)
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "policy.xfw")
	p, sources := policy(t, files, path)
	return Options{Policy: p, Path: path, Sources: sources, Lock: files[filepath.Join(dir, "xfwc.lock")]}
}

// needPrivilege skips a test that this process may not do.
func needPrivilege(t *testing.T) {
	t.Helper()
	if Privileged() {
		return
	}
	missing(t, "this process may not make network namespaces: run the tests as root")
}

// missing skips, except where everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip("skipped: " + why)
}

// TestLayout compares where the points of a policy stand, and which way packets
// go, with what testdata/layout/*.txtar expects.
func TestLayout(t *testing.T) {
	files, err := filepath.Glob("testdata/layout/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			given := map[string][]byte{}
			for _, f := range ar.Files {
				given[f.Name] = f.Data
			}
			p, _ := policy(t, given, "policy.xfw")
			l, err := newLayout(p)
			var got strings.Builder
			if err != nil {
				got.WriteString(err.Error() + "\n")
			} else {
				for at := range l.nodes {
					got.WriteString(l.describe(at) + "\n")
				}
				for _, n := range l.notes {
					got.WriteString("note: " + n + "\n")
				}
				for line := range strings.Lines(string(given["ways"])) {
					from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
					got.WriteString(from + " > " + to + ": " + way(l, from, to) + "\n")
				}
				checkRoutes(t, l)
			}
			for i, f := range ar.Files {
				if f.Name != "layout" {
					continue
				}
				if update {
					ar.Files[i].Data = []byte(got.String())
					if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if string(f.Data) != got.String() {
					t.Errorf("got:\n%swant:\n%s", got.String(), f.Data)
				}
				return
			}
			t.Error("the case has no section named layout")
		})
	}
}

func way(l *layout, from, to string) string {
	var names []string
	for _, at := range l.path(l.homeOf(netip.MustParseAddr(from)), l.homeOf(netip.MustParseAddr(to))) {
		names = append(names, l.nodes[at].name)
	}
	return strings.Join(names, " > ")
}

// checkRoutes follows the routing tables from every node to an address of every
// other node: they have to lead there in as many steps as the shortest way.
func checkRoutes(t *testing.T, l *layout) {
	t.Helper()
	tables := make([][]route, len(l.nodes))
	for at := range l.nodes {
		tables[at] = l.routes(at)
	}
	var dsts []netip.Addr
	for a := range l.owner {
		dsts = append(dsts, a)
	}
	for _, n := range l.nodes {
		for _, w := range n.networks {
			for _, p := range w.Set.Prefixes {
				dsts = append(dsts, middleOf(p))
			}
		}
	}
	dsts = append(dsts, netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8:ffff::77"))
	for _, dst := range dsts {
		target := l.homeOf(dst)
		for from := range l.nodes {
			at, steps := from, 0
			for at != target && steps <= len(l.nodes) {
				best := route{link: -1}
				bits := -1
				for _, r := range tables[at] {
					if r.dst.Contains(dst) && r.dst.Bits() > bits {
						best, bits = r, r.dst.Bits()
					}
				}
				if best.local || best.link < 0 {
					break
				}
				at = l.across(best.link, at)
				steps++
			}
			want := l.path(from, target)
			if at != target || steps != len(want)-1 {
				t.Errorf("from %s to %s: the routes end at %s after %d steps, want %d", l.nodes[from].name, dst, l.nodes[at].name, steps, len(want)-1)
			}
		}
	}
}

// TestMembers holds the choice of witnesses to what a test's author expects:
// the borders of a prefix and something inside.
func TestMembers(t *testing.T) {
	for _, c := range []struct {
		set  []string
		six  bool
		want string
	}{
		{[]string{"192.0.2.7/32"}, false, "192.0.2.7"},
		{[]string{"192.0.2.0/24"}, false, "192.0.2.0 192.0.2.255 192.0.2.129"},
		{[]string{"192.0.2.4/31"}, false, "192.0.2.4 192.0.2.5"},
		{[]string{"0.0.0.0/0"}, false, "0.0.0.0 255.255.255.255 128.0.0.1"},
		{[]string{"10.0.0.0/8", "192.0.2.0/30"}, false, "10.0.0.0 192.0.2.0 10.255.255.255 192.0.2.3 10.128.0.1"},
		{[]string{"10.0.0.0/8"}, true, ""},
		{[]string{"10.0.0.0/8", "2001:db8::/32"}, true, "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:8000::1"},
	} {
		var ps []netip.Prefix
		for _, s := range c.set {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		var got []string
		for _, a := range members(&ir.AddrSet{Prefixes: ps}, c.six) {
			got = append(got, a.String())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("members of %v (IPv6 %v): %s, want %s", c.set, c.six, s, c.want)
		}
	}
	var long []netip.Prefix
	for i := range 5000 {
		long = append(long, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 1}), 32))
	}
	if got := members(&ir.AddrSet{Prefixes: long}, false); len(got) != mostPrefixes || got[0] != long[0].Addr() || got[len(got)-1] != long[len(long)-1].Addr() {
		t.Errorf("of 5000 hosts: %v, want %d of them with the first and the last", got, mostPrefixes)
	}
}

// held lists the namespaces that this process's threads are in, and counts its
// open descriptors: where a leak would show.
func held(t *testing.T) (namespaces map[string]bool, descriptors int) {
	t.Helper()
	runtime.GC()
	namespaces = map[string]bool{}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, task := range tasks {
		if ns, err := os.Readlink(task); err == nil { // threads come and go
			namespaces[ns] = true
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return namespaces, len(fds)
}
