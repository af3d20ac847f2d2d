package main

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// apart runs f on a thread in a network namespace of its own. The thread ends
// with f, and the namespace with the thread.
func apart(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI has to run as root: cannot make a network namespace: %v", err)
		}
		t.Skipf("skipped: cannot make a network namespace: %v", err)
	}
}

// TestApplyAtTerminal answers the question that apply asks a person: no changes
// nothing, yes applies what was shown, and a policy in force is not asked about.
func TestApplyAtTerminal(t *testing.T) {
	const policy = "../../examples/prosody-host/policy.xfw"
	state := t.TempDir()
	apart(t, func() {
		command := func(answer string, want int, args ...string) (string, string) {
			w, out, stderr := machine("box.example")
			w.in, w.inTerminal = strings.NewReader(answer), true
			if got := run(append(args, "--state-dir", state), w); got != want {
				t.Errorf("xfwc %s, answered %q: exit code %d, want %d\n%s%s", strings.Join(args, " "), answer, got, want, out, stderr)
			}
			return out.String(), stderr.String()
		}
		apply := []string{"apply", policy, "--warm-up", "0s"}

		_, asked := command("n\n", 1, apply...)
		for _, text := range []string{"first install", "+ clients of chat", "apply this? [y/N]", "not applied"} {
			if !strings.Contains(asked, text) {
				t.Errorf("apply does not say %q:\n%s", text, asked)
			}
		}
		command("", 2, "plan", policy)
		command("", 1, apply...) // the end of the input is no answer

		said, _ := command("yes\n", 0, apply...)
		if said != "policy chat.example at point box: in force\n" {
			t.Errorf("apply prints %q", said)
		}
		command("", 0, "plan", policy)
		_, asked = command("", 0, apply...)
		if strings.Contains(asked, "[y/N]") {
			t.Errorf("apply asks although nothing changes: %s", asked)
		}
		command("", 0, "drift", policy)
	})
}
