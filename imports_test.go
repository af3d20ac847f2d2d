// Package xfwc_test holds the tests that speak of the repository as a whole.
package xfwc_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the import path that every package of this repository begins with.
const module = "xfwc"

// row allows one package, or every package below a folder, its imports.
type row struct {
	pkg     string
	imports []string
}

// mayImport says, for each package of this module, which others of the module
// its code (not its tests) may import directly. A trailing /* stands for every
// package below. The arrows run one way: cmd → deploy, backends, compiler →
// lang → lang/diag; a backend knows the ir and no other backend.
var mayImport = []row{
	{"lang/diag", nil},
	{"internal/*", nil}, // what tests share
	{"lang", []string{"lang/diag"}},
	{"compiler/ir", []string{"lang/diag"}},
	{"compiler/lock", []string{"lang/diag"}},
	{"compiler", []string{"lang", "lang/diag", "compiler/ir", "compiler/lock"}},
	// A report is made from what a compile gives; backends reach it as the ledger.
	{"report", []string{"compiler", "compiler/ir", "lang/diag"}},
	{"backends", []string{"backends/*", "compiler/ir"}},
	{"backends/*", []string{"compiler/ir", "lang/diag"}},
	{"deploy", []string{"backends/nftables", "compiler", "compiler/ir", "compiler/lock", "lang", "lang/diag"}},
	{"deploy/*", []string{"deploy", "backends/nftables", "compiler", "compiler/ir", "lang/diag"}},
	{"lsp", []string{"compiler", "compiler/ir", "lang", "lang/diag"}},
	{"cmd/*", []string{"backends", "backends/*", "compiler", "compiler/*", "deploy", "deploy/*", "lang", "lang/diag", "lsp", "report"}},
}

// heldBy names the packages of other modules that belong to one place, so that
// each can be replaced without touching the rest.
var heldBy = map[string]string{
	"github.com/spf13/cobra":              "cmd/*",
	"github.com/alecthomas/participle/v2": "lang",
	"github.com/google/nftables":          "backends/nftables",
	"github.com/sourcegraph/jsonrpc2":     "lsp",
}

// listed is what go list says of one package.
type listed struct {
	ImportPath string
	GoFiles    []string
	Imports    []string
}

// TestImportDirections holds every package to the table above.
func TestImportDirections(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		path, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours || len(p.GoFiles) == 0 {
			continue // the root holds tests alone
		}
		seen++
		i := slices.IndexFunc(mayImport, func(r row) bool { return covers(r.pkg, path) })
		if i < 0 {
			t.Errorf("package %s has no row in mayImport: say what it may import", path)
			continue
		}
		for _, imp := range p.Imports {
			if name, ours := strings.CutPrefix(imp, module+"/"); ours {
				if !slices.ContainsFunc(mayImport[i].imports, func(allowed string) bool { return covers(allowed, name) }) {
					t.Errorf("%s imports %s; it may import %s only", path, name, strings.Join(mayImport[i].imports, ", "))
				}
				continue
			}
			for foreign, home := range heldBy {
				if (imp == foreign || strings.HasPrefix(imp, foreign+"/")) && !covers(home, path) {
					t.Errorf("%s imports %s, which belongs to %s alone", path, imp, home)
				}
			}
		}
	}
	if seen < 5 {
		t.Fatalf("go list named %d packages of this module; the test looks at nothing", seen)
	}
}

// covers reports whether pattern, a path or a path with /*, names the package.
func covers(pattern, path string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(path, dir+"/")
	}
	return pattern == path
}

// packages asks the go command for every package of the module.
func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
