package deploy

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// What MakePlan and Drift may call outside this package, of the packages that
// could change a machine. Desired writes into a network namespace of its own,
// which ends with it.
var readOnlyCalls = map[string][]string{
	"os":                             {"ReadFile", "Open", "Close", "Getenv", "Getuid"},
	"xfwc/backends/nftables":         {"Open", "Close", "Dump", "HasElements", "ForeignBaseChains", "Desired", "Build", "Validate", "Text", "Object"},
	"golang.org/x/sys/unix":          {"ClockGettime", "Nano"},
	"syscall":                        {},
	"os/exec":                        {},
	"os/signal":                      {},
	"net":                            {},
	"path/filepath":                  {"Join", "Base"},
	"github.com/vishvananda/netlink": {"RouteGet", "LinkByIndex", "Attrs"},
}

// Drift and MakePlan cannot write: every function that they can reach in this
// package, through static calls and through the interface Reader, calls only
// what reads. The interface Machine, with its transactions, is out of their
// reach but for the conversion to Reader.
func TestDriftCannotWrite(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
	}, ".")
	if err != nil || len(pkgs) != 1 || len(pkgs[0].Errors) > 0 {
		t.Fatalf("load: %v %+v", err, pkgs)
	}
	pkg := pkgs[0]
	bodies := map[*types.Func]*ast.FuncDecl{}
	for _, file := range pkg.Syntax {
		for _, d := range file.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Body != nil {
				bodies[pkg.TypesInfo.Defs[fd.Name].(*types.Func)] = fd
			}
		}
	}
	scope := pkg.Types.Scope()
	reader := scope.Lookup("Reader").Type().Underlying().(*types.Interface)
	real := scope.Lookup("thisMachine").Type()

	var todo []*types.Func
	for _, name := range []string{"Drift", "MakePlan"} {
		todo = append(todo, scope.Lookup(name).(*types.Func))
	}
	seen := map[*types.Func]bool{}
	names := []string{}
	for len(todo) > 0 {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[f] {
			continue
		}
		seen[f] = true
		fd := bodies[f]
		if fd == nil {
			t.Fatalf("%s has no body", f.FullName())
		}
		names = append(names, f.Name())
		ast.Inspect(fd.Body, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			// Any mention counts, a call or a value that could be called later.
			callee, ok := pkg.TypesInfo.Uses[id].(*types.Func)
			if !ok || callee.Pkg() == nil {
				return true
			}
			callee = callee.Origin()
			recv := callee.Type().(*types.Signature).Recv()
			switch {
			case recv != nil && types.IsInterface(recv.Type()) && callee.Pkg() == pkg.Types:
				if !has(reader, callee.Name()) {
					t.Errorf("%s calls %s, which is not a method of Reader", f.Name(), callee.FullName())
					return true
				}
				m, _, _ := types.LookupFieldOrMethod(real, true, pkg.Types, callee.Name())
				todo = append(todo, m.(*types.Func))
			case callee.Pkg() == pkg.Types:
				todo = append(todo, callee)
			default:
				allowed, watched := readOnlyCalls[callee.Pkg().Path()]
				if watched && !slices.Contains(allowed, callee.Name()) {
					t.Errorf("%s calls %s", f.Name(), callee.FullName())
				}
			}
			return true
		})
	}
	// The walk came where it had to come.
	for _, want := range []string{"drift", "examine", "compare", "readRecord", "Dump", "Missing", "makePlan", "Sessions"} {
		if !slices.Contains(names, want) {
			t.Errorf("the walk did not reach %s: %s", want, strings.Join(names, " "))
		}
	}
	for _, never := range []string{"openWriter", "writeFile", "log", "replace", "hang", "takeDown", "commit", "recover"} {
		if slices.Contains(names, never) {
			t.Errorf("the walk reached %s", never)
		}
	}
}

func has(i *types.Interface, method string) bool {
	for m := range i.Methods() {
		if m.Name() == method {
			return true
		}
	}
	return false
}
