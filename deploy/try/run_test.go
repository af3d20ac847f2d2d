package try

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"xfwc/compiler/ir"
)

// helperVariable makes the test binary do something else than run tests: what
// it names, in a process of its own.
const helperVariable = "XFWC_TRY_TEST_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperVariable); what != "" {
		os.Exit(help(what))
	}
	os.Exit(m.Run())
}

// help is the body of the helper processes: "run" goes the whole way, "hold"
// lays out the bed and waits. The policy is in the current directory; the test
// binary has no flags of its own there.
func help(what string) int {
	if !Privileged() {
		code, err := Reexec(nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	files := map[string][]byte{}
	names, _ := filepath.Glob("*")
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil {
			files[n] = b
		}
	}
	p, sources, err := compiled(files, "policy.xfw")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if what == "hold" {
		b, err := NewBed(p)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for _, s := range b.spaces {
			s.do(func() error {
				ns, err := os.Readlink("/proc/thread-self/ns/net")
				fmt.Println(ns)
				return err
			})
		}
		fmt.Println("ready")
		time.Sleep(time.Hour)
	}
	res, err := Run(context.Background(), Options{Policy: p, Path: "policy.xfw", Sources: sources, Lock: files["xfwc.lock"]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, e := range res.Events {
		WriteEvent(os.Stdout, e)
	}
	res.WriteSummary(os.Stdout)
	if !res.OK() {
		return 1
	}
	return 0
}

// transcript renders a run for messages.
func transcript(res *Result) string {
	var b bytes.Buffer
	for _, e := range res.Events {
		WriteEvent(&b, e)
	}
	res.WriteSummary(&b)
	return b.String()
}

// TestExamples goes the whole way with every example of the repository.
func TestExamples(t *testing.T) {
	needPrivilege(t)
	dirs, err := filepath.Glob("../../examples/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			o := example(t, name)
			var told []Event
			o.Progress = func(e Event) { told = append(told, e) }
			res, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if !res.OK() {
				t.Fatal(transcript(res))
			}
			t.Log("\n" + transcript(res))
			count := map[Step]int{}
			for _, e := range res.Events {
				if e.Status == Passed {
					count[e.Step]++
				}
			}
			points := 0
			for _, pt := range o.Policy.Points {
				if pt.Engine("nftables") != nil {
					points++
				}
			}
			for step, want := range map[Step]int{Control: 1, Plan: points, Apply: points, Test: len(o.Policy.Tests), Drift: 2 * points} {
				if count[step] != want {
					t.Errorf("%d checks passed in step %s, want %d", count[step], step, want)
				}
			}
			if len(told) != len(res.Events) {
				t.Errorf("%d events were told as they happened, want all %d", len(told), len(res.Events))
			}
			families := map[bool]int{}
			for _, tr := range res.Tests() {
				if tr.Packets == 0 && tr.Test.At == nil { // the clock is what it is
					t.Errorf("%s: no packet was sent", tr.Line)
				}
				for _, w := range witnesses(o.Policy, mustLayout(t, o.Policy), tr.Test) {
					families[w.Src.Is6()]++
				}
			}
			if families[false] == 0 || families[true] == 0 {
				t.Errorf("%d IPv4 and %d IPv6 packets, want both", families[false], families[true])
			}
		})
	}
}

func mustLayout(t *testing.T, p *ir.Policy) *layout {
	t.Helper()
	l, err := newLayout(p)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const wrong = `policy "wrong" { profile baseline }
network home = 192.0.2.0/28, 2001:db8:40::/64
server chat {
  software prosody 13.0
  domain   chat.example
  address  198.51.100.20, 2001:db8::20
}
point box {
  role      host of chat
  interface eth0 faces internet
  nftables
}
clients of chat {
  from any
  starttls required
  limit attempts 2/minute burst 2 global
}
allow network home to ssh of box
test "right" {
  allow tcp any -> chat:5222
  allow tcp home -> chat:5222
}
test "wrong" {
  deny  tcp any -> chat:5222
  allow tcp any -> chat:5269
}
test "right again" {
  deny tcp home -> chat:5269
}
test "wrong, and hidden by the limit that the first wrong one uses up" {
  deny tcp home -> chat:5222
}
`

// TestWrongTests holds failed expectations to their lines. The policy's limit of
// two attempts a minute must neither fail what is right nor hide what is wrong.
func TestWrongTests(t *testing.T) {
	needPrivilege(t)
	p := written(t, wrong)
	res, err := Run(context.Background(), Options{Policy: p, Path: "policy.xfw", Sources: map[string][]byte{"policy.xfw": []byte(wrong)}, TestsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tr := range res.Tests() {
		got = append(got, fmt.Sprintf("%s %v", tr.Line, tr.OK))
		for _, f := range tr.Failures {
			if f.Disagrees {
				t.Errorf("%s: the kernel and the model disagree about %s", tr.Line, f.Packet)
			}
		}
	}
	want := "policy.xfw:20 true; policy.xfw:21 true; policy.xfw:24 false; policy.xfw:25 false; policy.xfw:28 true; policy.xfw:31 false"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s\nwant %s\n%s", s, want, transcript(res))
	}
	var lines []string
	for _, f := range res.Findings() {
		lines = append(lines, fmt.Sprintf("%s:%d", f.Code, f.Span.Start.Line))
		if len(f.Labels) == 0 || !f.Labels[0].Span.IsValid() {
			t.Errorf("the finding of line %d does not name the policy line behind it", f.Span.Start.Line)
		}
	}
	if s := strings.Join(lines, " "); s != "test-failed:24 test-failed:25 test-failed:31" {
		t.Errorf("findings %s", s)
	}
	if !strings.Contains(transcript(res), "clients of chat") {
		t.Errorf("the transcript does not name the statement that lets the packets in:\n%s", transcript(res))
	}
	for _, e := range res.Events {
		if e.Step == Plan && e.Status != Passed || e.Step == Drift {
			t.Errorf("a run of the tests alone has the event %v", e)
		}
	}
	if _, err := json.Marshal(res); err != nil {
		t.Error(err)
	}
}

// TestControl breaks the bed: packets that do not arrive without a policy must
// not count as denied by it.
func TestControl(t *testing.T) {
	needPrivilege(t)
	src := `policy "plain" { profile baseline }
server chat { software prosody 13.0  domain chat.example  address 198.51.100.20 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from any  starttls required }
test "closed" { deny tcp any -> chat:5347 }
`
	p := written(t, src)
	b, err := NewBed(p)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.Do(p.Points[0], func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{p: p, bed: b, res: &Result{}, inForce: true}
	r.control()
	r.tests()
	if len(r.res.Events) != 2 || r.res.Events[0].Status != Failed || r.res.Events[1].Status != Failed {
		t.Errorf("control and test on a broken bed:\n%s", transcript(r.res))
	}
}

// TestNothingLeft counts what this process holds before and after a run.
func TestNothingLeft(t *testing.T) {
	needPrivilege(t)
	o := example(t, "prosody-host")
	run := func() {
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled run gives %v", err)
		}
	}
	run() // the runtime opens its own descriptors at first use
	before, fdsBefore := held(t)
	run()
	deadline := time.Now().Add(5 * time.Second)
	for {
		after, fds := held(t)
		if len(after) <= len(before) && fds <= fdsBefore {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("namespaces %v before and %v after, descriptors %d and %d", before, after, fdsBefore, fds)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// helper prepares this test binary as a process of its own, as root or as
// nobody, with the files in its current directory.
func helper(t *testing.T, what string, asRoot bool, files map[string][]byte) *exec.Cmd {
	t.Helper()
	if !asRoot && os.Getuid() != 0 {
		missing(t, "only root can become somebody else; run the tests as root")
	}
	// Unlike the tests' own temporary directory, nobody may read this one.
	dir, err := os.MkdirTemp("", "xfwc-try-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "helper"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "helper"))
	cmd.Dir = dir
	cmd.Env = []string{helperVariable + "=" + what, "HOME=/"}
	if !asRoot {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// noUserNamespaces skips the test if this is what the helper complains of.
func noUserNamespaces(t *testing.T, out string) {
	t.Helper()
	if strings.Contains(out, "allow user namespaces") {
		missing(t, "this machine has no user namespaces for ordinary users: "+out)
	}
}

// TestNothingLeftAfterKill kills a process that holds a bed: as root, and as an
// ordinary user, where the bed is held by a child in a user namespace.
func TestNothingLeftAfterKill(t *testing.T) {
	needPrivilege(t)
	for _, asRoot := range []bool{true, false} {
		t.Run(fmt.Sprintf("root=%v", asRoot), func(t *testing.T) {
			cmd := helper(t, "hold", asRoot, map[string][]byte{"policy.xfw": []byte(wrong)})
			var complaint bytes.Buffer
			cmd.Stderr = &complaint
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			spaces := map[string]bool{}
			ready := false
			for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
				ready = lines.Text() == "ready"
				spaces[lines.Text()] = true
			}
			if !ready {
				cmd.Wait()
				noUserNamespaces(t, complaint.String())
				t.Fatalf("the helper lays out no bed: %s", complaint.String())
			}
			if who := holders(t, spaces); len(spaces) < 3 || len(who) == 0 {
				t.Fatalf("the helper holds %v, seen at %v: the test looks at nothing", spaces, who)
			}
			cmd.Process.Kill()
			out.Close()
			cmd.Process.Wait()
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				who := holders(t, spaces)
				if len(who) == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("after the kill the namespaces are still held at %v", who)
				}
			}
		})
	}
}

// holders lists threads and descriptors, of the whole machine, that keep one of
// the namespaces alive.
func holders(t *testing.T, spaces map[string]bool) []string {
	t.Helper()
	var who []string
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if ns, err := os.Readlink(path); err == nil && spaces[ns] {
				who = append(who, path)
			}
		}
	}
	return who
}

// TestWithoutRoot runs a whole example as nobody.
func TestWithoutRoot(t *testing.T) {
	needPrivilege(t)
	o := example(t, "office")
	files := map[string][]byte{"xfwc.lock": o.Lock}
	for name, b := range o.Sources {
		files[filepath.Base(name)] = b
	}
	out, err := helper(t, "run", false, files).CombinedOutput()
	if err != nil {
		noUserNamespaces(t, string(out))
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("everything holds")) {
		t.Errorf("as nobody:\n%s", out)
	}
}

// TestScratchIsNowhere holds the state directory to being out of sight.
func TestScratchIsNowhere(t *testing.T) {
	needPrivilege(t)
	s, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer s.remove()
	if s.mount < 0 {
		missing(t, "this kernel has no detached mounts, fsmount(2)")
	}
	path := filepath.Join(s.path, "point", "file")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), s.path) {
		t.Error("the state directory is mounted where others see it")
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.path, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("the state directory is on file system %x: %v", fs.Type, err)
	}
}
