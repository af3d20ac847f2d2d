package golden_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"xfwc/backends/nftables"
	"xfwc/compiler"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// TestTextEqualsNetlink loads what every policy of the goldens compiles to
// twice, by nft from the text and by netlink as apply does, each into a network
// namespace of its own: what `nft list table inet xfwc` prints must be the same.
func TestTextEqualsNetlink(t *testing.T) {
	rulesets := 0
	for _, name := range archives(t) {
		p, ok := compileCase(t, name)
		if !ok {
			continue // a case about findings has no artefact
		}
		for _, pt := range p.Policy.Points {
			if pt.Engine("nftables") == nil {
				continue
			}
			rulesets++
			t.Run(fmt.Sprintf("%s/%s", strings.TrimPrefix(name, "../"), pt.Name), func(t *testing.T) {
				r, _ := nftables.Build(p.Policy, pt)
				text := listed(t, func(*nftables.Conn) error { return nft(r.Text()) })
				netlink := listed(t, func(c *nftables.Conn) error { return c.Commit(nftables.Full(r), 0) })
				if text != netlink {
					t.Errorf("loaded by nft:\n%s\nloaded by netlink:\n%s", text, netlink)
				}
				if !strings.HasPrefix(text, "table inet xfwc {") {
					t.Errorf("nft lists %q", text)
				}
			})
		}
	}
	if rulesets < 20 {
		t.Errorf("only %d rulesets were compared", rulesets)
	}
}

// archives lists the example policies and every golden case with a policy.
func archives(t *testing.T) []string {
	t.Helper()
	names := policies(t)
	cases, err := filepath.Glob("*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return append(names, cases...)
}

// compileCase compiles an example or the policy.xfw of an archive; false when
// there is none or it has errors.
func compileCase(t *testing.T, name string) (compiler.Output, bool) {
	t.Helper()
	src, read, root := lang.OS(), os.ReadFile, name
	if strings.HasSuffix(name, ".txtar") {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, f := range ar.Files {
			files[f.Name] = f.Data
		}
		root = "policy.xfw"
		read = func(p string) ([]byte, error) {
			if b, ok := files[p]; ok {
				return b, nil
			}
			return nil, os.ErrNotExist
		}
		src = lang.Source{Read: read, Glob: func(pattern string) ([]string, error) {
			var found []string
			for _, f := range ar.Files {
				if ok, _ := filepath.Match(pattern, f.Name); ok {
					found = append(found, f.Name)
				}
			}
			return found, nil
		}}
		if _, ok := files[root]; !ok {
			return compiler.Output{}, false
		}
	}
	tree, _, fs := lang.Load(root, src)
	var l *lock.File
	if b, err := read(filepath.Join(filepath.Dir(root), "xfwc.lock")); err == nil {
		var more []diag.Finding
		l, more = lock.Parse("xfwc.lock", b)
		fs = append(fs, more...)
	}
	out := compiler.Compile(compiler.Input{Files: tree, Lock: l, ReadFeed: read})
	usable := !diag.HasErrors(fs)
	for _, f := range out.Findings {
		// Best-practice errors leave a policy that compiles; a failed stage does not.
		if f.Severity == diag.Error && f.Waived == nil && len(out.Policy.Guards) == 0 {
			usable = false
		}
	}
	return out, usable && len(out.Policy.Guards) > 0
}

// listed loads into a new namespace and gives nft's listing of the table.
func listed(t *testing.T, load func(*nftables.Conn) error) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skipOrFail(t, "root")
	}
	var out []byte
	err := nftables.Scratch(func(c *nftables.Conn) error {
		if err := load(c); err != nil {
			return err
		}
		var err error
		out, err = exec.Command("nft", "list", "table", "inet", "xfwc").Output()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// nft loads a text in the calling thread's namespace.
func nft(text []byte) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// skipOrFail skips where a person runs the tests, and fails in CI.
func skipOrFail(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("skipped: %s is missing", what)
}
