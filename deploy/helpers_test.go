package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// TestMain makes the test binary also the processes that the tests start: a
// guard, an apply, an endless loop of applies.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if run, ok := helpers[os.Args[1]]; ok {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// helpers by their first argument. Each gets the state directory next.
var helpers = map[string]func(args []string) error{
	"helper-guard": func(args []string) error {
		return Guard(Options{StateDir: args[0]}, args[1])
	},
	// helper-apply DIR CONFIRM POLICY...: applies the policies in turn, and
	// prints the result of each as JSON.
	"helper-apply": func(args []string) error {
		wait, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		for _, path := range args[2:] {
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			w, err := compileWanted("policy.xfw", string(src))
			if err != nil {
				return err
			}
			out, err := Apply(context.Background(), Options{StateDir: args[0], Command: "apply", GuardCommand: guardCommand(args[0])}, w, ApplyOptions{Confirm: wait})
			if err != nil {
				return err
			}
			_ = json.NewEncoder(os.Stdout).Encode(out)
		}
		return nil
	},
}

func guardCommand(dir string) []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{exe, "helper-guard", dir}
}

// compileWanted compiles a policy text for its first point.
func compileWanted(name, src string) (*Wanted, error) {
	f, found := lang.Parse(name, []byte(src))
	if diag.HasErrors(found) {
		return nil, fmt.Errorf("%s: %+v", name, found)
	}
	out := compiler.Compile(compiler.Input{Files: []*lang.File{f}})
	for _, fd := range out.Findings {
		// The tests are about the packet filter: best practice may complain.
		if strings.HasPrefix(fd.Code, "name-") || strings.HasPrefix(fd.Code, "value-") || strings.HasPrefix(fd.Code, "syntax-") {
			return nil, fmt.Errorf("%s: %s: %s", name, fd.Code, fd.Summary)
		}
	}
	if out.Policy == nil || len(out.Policy.Points) == 0 {
		return nil, fmt.Errorf("%s: no policy: %+v", name, out.Findings)
	}
	return &Wanted{Policy: out.Policy, Point: out.Policy.Points[0], Path: name, Sources: map[string][]byte{name: []byte(src)}}, nil
}

func mustCompile(t *testing.T, src string) *Wanted {
	t.Helper()
	w, err := compileWanted("policy.xfw", src)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Two policies for the same machine: the second serves no clients, denies other
// networks, one of them in a set of ranges that the first does not have, and
// has another limit.
const (
	policyA = `policy "site" { owner "ops@example.org" }
network drop = 203.0.113.0/24, 198.51.100.7, 2001:db8:bad::/48
server chat {
  software prosody 13.0
  domain   example.org
  address  192.0.2.10, 2001:db8::10
}
point host {
  role host of chat
  nftables
}
clients of chat {
  from any
  starttls required
  limit connections 20 per source
  limit attempts 30/minute burst 10 per source
}
federation of chat {
  default deny
  tls required
  peer partner.example { address 192.0.2.99 }
}
deny network drop
`
	policyB = `policy "site" { owner "ops@example.org" }
network drop = 203.0.113.0/25, 2001:db8:bad::/48
network more = 10.66.0.0/16, 10.68.0.0/16
server chat {
  software prosody 13.0
  domain   example.org
  address  192.0.2.10, 2001:db8::10
}
point host {
  role host of chat
  nftables
}
federation of chat {
  default deny
  tls required
  limit attempts 50/second burst 50 global
  peer partner.example { address 192.0.2.99 }
  peer other.example   { address 192.0.2.98 }
}
deny network drop
deny network more
`
)

// newNamespace puts the test's goroutine into a network namespace of its own,
// for good: the thread ends with the goroutine.
func newNamespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		skipOrFail(t, "needs root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		skipOrFail(t, "no network namespaces: "+err.Error())
	}
	command(t, "ip", "link", "set", "lo", "up")
}

// long reports whether tests of many rounds are to take all of them.
func long() bool { return os.Getenv("XFWC_LONG") != "" || os.Getenv("CI") != "" }

// skipOrFail skips what the machine cannot run; in CI it must be able to.
func skipOrFail(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip("skipped: " + why)
}

// command runs a program in the test's namespace.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		skipOrFail(t, name+" is not installed")
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// options are for a new state directory, with the guard of this test binary.
func options(t *testing.T) Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	return Options{StateDir: dir, Command: "test", GuardCommand: guardCommand(dir)}
}

func mustApply(t *testing.T, o Options, w *Wanted, a ApplyOptions) *Applied {
	t.Helper()
	out, err := Apply(context.Background(), o, w, a)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return out
}

func mustDrift(t *testing.T, o Options, w *Wanted) *DriftReport {
	t.Helper()
	r, err := Drift(o, w)
	if err != nil {
		t.Fatalf("drift: %v", err)
	}
	return r
}

// texts are the sentences of differences, a line each.
func texts(cs []Change) string {
	var b strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&b, "%s\n", c.Text)
	}
	return b.String()
}
