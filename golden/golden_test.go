// Package golden_test compiles every example with the xfwc program and compares
// what it writes with examples/, byte for byte; the real programs judge the
// same files. XFWC_UPDATE=1 rewrites the goldens.
package golden_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// xfwc is the program under test, built once.
var xfwc string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "xfwc-golden-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		xfwc = filepath.Join(dir, "xfwc")
		if out, err := exec.Command("go", "build", "-o", xfwc, "../cmd/xfwc").CombinedOutput(); err != nil {
			os.Stderr.Write(out)
			return 1
		}
		// The programs that judge artefacts are in sbin.
		os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
		return m.Run()
	}())
}

// policies lists the example policies.
func policies(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../examples/*/policy.xfw")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 4 {
		t.Fatalf("found %d examples", len(found))
	}
	return found
}

// goldenOf is the folder of an example's goldens.
func goldenOf(policy string) string {
	return filepath.Join("examples", filepath.Base(filepath.Dir(policy)))
}

// compile runs xfwc compile into a new directory.
func compile(t *testing.T, policy string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(xfwc, "compile", policy, "-o", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("xfwc compile %s: %v\n%s", policy, err, stderr.String())
	}
	return dir
}

// tree reads every file below a directory, by slash-separated path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// TestExamples compares what the examples compile to with their goldens: the
// same files, the same bytes.
func TestExamples(t *testing.T) {
	for _, policy := range policies(t) {
		t.Run(filepath.Base(filepath.Dir(policy)), func(t *testing.T) {
			got := compile(t, policy)
			if os.Getenv("XFWC_UPDATE") != "" {
				if err := os.RemoveAll(goldenOf(policy)); err != nil {
					t.Fatal(err)
				}
				if err := os.CopyFS(goldenOf(policy), os.DirFS(got)); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, have := tree(t, goldenOf(policy)), tree(t, got)
			for name := range want {
				if _, ok := have[name]; !ok {
					t.Errorf("%s is a golden that nothing compiles to any more", name)
				}
			}
			for name, text := range have {
				if golden, ok := want[name]; !ok {
					t.Errorf("%s has no golden; run make golden", name)
				} else if golden != text {
					out, _ := exec.Command(xfwc, "compile", policy, "--check", goldenOf(policy)).Output()
					t.Fatalf("%s differs from its golden; run make golden if it should:\n%s", name, out)
				}
			}
		})
	}
}

// TestSameBytes compiles twice, from another folder the second time: neither
// the run nor the place of the policy may show in the artefacts.
func TestSameBytes(t *testing.T) {
	for _, policy := range policies(t) {
		t.Run(filepath.Base(filepath.Dir(policy)), func(t *testing.T) {
			elsewhere := filepath.Join(t.TempDir(), "moved")
			if err := os.CopyFS(elsewhere, os.DirFS(filepath.Dir(policy))); err != nil {
				t.Fatal(err)
			}
			first := tree(t, compile(t, policy))
			second := tree(t, compile(t, filepath.Join(elsewhere, "policy.xfw")))
			if len(first) == 0 || len(first) != len(second) {
				t.Fatalf("%d and %d files", len(first), len(second))
			}
			for name, text := range first {
				if second[name] != text {
					t.Errorf("%s is not the same the second time", name)
				}
			}
		})
	}
}

// judge runs a real program on an artefact. A missing program is a failure in
// CI and a skip elsewhere.
func judge(t *testing.T, dir string, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing: run scripts/install-tools.sh", program)
		}
		t.Skipf("skipped: %s is missing: run scripts/install-tools.sh", program)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestNftables lets nft judge every golden ruleset in a network namespace of
// its own: it is accepted, and loading it twice gives the same as once.
func TestNftables(t *testing.T) {
	for _, file := range artefacts(t, "nftables/xfwc.nft") {
		t.Run(filepath.ToSlash(strings.TrimPrefix(file, "examples/")), func(t *testing.T) {
			const script = `set -e
nft -c -f "$1"
nft -f "$1"; nft -s list ruleset >once
nft -f "$1"; nft -s list ruleset >twice
cmp once twice`
			path, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := exec.LookPath("nft"); err != nil {
				judge(t, "", "nft") // says that it is missing
				return
			}
			namespace := []string{"-n"}
			if os.Getuid() != 0 {
				namespace = []string{"-r", "-n"}
			}
			dir := t.TempDir()
			judge(t, dir, "unshare", append(namespace, "sh", "-c", script, "sh", path)...)
			once, err := os.ReadFile(filepath.Join(dir, "once"))
			if err == nil && !bytes.Contains(once, []byte("table inet xfwc")) {
				t.Errorf("nothing was loaded:\n%s", once)
			}
		})
	}
}

// TestHAProxy lets haproxy judge every golden configuration; a warning counts as
// an error.
func TestHAProxy(t *testing.T) {
	for _, file := range artefacts(t, "haproxy/haproxy.cfg") {
		t.Run(filepath.ToSlash(strings.TrimPrefix(file, "examples/")), func(t *testing.T) {
			point := filepath.Base(filepath.Dir(filepath.Dir(file)))
			tls := t.TempDir()
			if err := os.WriteFile(filepath.Join(tls, point+".pem"), certificate(t), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("XFWC_TLS_DIR", tls)
			judge(t, filepath.Dir(file), "haproxy", "-c", "-dW", "-f", "haproxy.cfg")
		})
	}
}

// certificate makes a key with a certificate that it signed itself.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.org"}}
	signed, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

// TestSuricata lets suricata judge every golden rule file. It accepts a rule
// file that it could not use at all, so the rules that it loaded are counted.
func TestSuricata(t *testing.T) {
	for _, file := range artefacts(t, "suricata/xfwc.rules") {
		t.Run(filepath.ToSlash(strings.TrimPrefix(file, "examples/")), func(t *testing.T) {
			rules, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := regexp.MustCompile(`^# (\d+) rules `).FindSubmatch(rules)
			if m == nil || string(m[1]) == "0" {
				t.Fatalf("the first line promises no rules: %.80s", rules)
			}
			out := judge(t, filepath.Dir(file), "suricata", "-T", "-v", "-c", "xfwc.yaml", "-S", "xfwc.rules", "-l", t.TempDir())
			if want := string(m[1]) + " rules successfully loaded, 0 rules failed"; !strings.Contains(out, want) {
				t.Errorf("suricata does not say %q:\n%s", want, out)
			}
		})
	}
}

// The transcript of make demo stands in README.md between these lines.
const (
	demoBegin = "<!-- demo: written by `make golden` -->\n```\n$ make demo\n"
	demoEnd   = "```\n<!-- end of demo -->\n"
)

// TestReadmeDemo runs what make demo runs and compares it with the transcript in
// README.md, apart from how long it took.
func TestReadmeDemo(t *testing.T) {
	cmd := exec.Command("scripts/demo.sh")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "XFWC="+xfwc)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if os.Getenv("CI") == "" && strings.Contains(stderr.String(), "namespace") {
			t.Skipf("skipped: no namespaces here: %s", stderr.String())
		}
		t.Fatalf("make demo: %v\n%s%s", err, out, stderr.String())
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(readme), demoBegin)
	shown, tail, ok2 := strings.Cut(rest, demoEnd)
	if !ok || !ok2 {
		t.Fatal("README.md has no place for the demo")
	}
	seconds := regexp.MustCompile(`[0-9.]+ s\)`)
	if seconds.ReplaceAllString(shown, "") == seconds.ReplaceAllString(string(out), "") {
		return
	}
	if os.Getenv("XFWC_UPDATE") == "" {
		t.Fatalf("README.md does not show what make demo prints; run make golden. It prints:\n%s", out)
	}
	if err := os.WriteFile("../README.md", []byte(head+demoBegin+string(out)+demoEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// artefacts lists the goldens of one engine.
func artefacts(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("examples", "*", "*", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no golden %s", path)
	}
	return found
}
