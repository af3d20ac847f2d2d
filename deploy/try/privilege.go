package try

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVariable marks, in the environment, a process that Reexec started.
const insideVariable = "XFWC_TRY_INSIDE"

// Privileged reports whether this process may make network namespaces: as root,
// or inside a user namespace of its own. It finds out by making one.
func Privileged() bool {
	s, err := newSpace("probe")
	if err != nil {
		return false
	}
	s.close()
	return true
}

// Reexec runs this program again with the same arguments, as root of a new user
// namespace, with the caller's standard streams, and gives its exit code. It is
// for callers that are not Privileged; in a process that Reexec itself started
// it returns a *PrivilegeError, because then the kernel refuses both ways.
//
// The other process cannot outlive this one.
func Reexec(args []string) (int, error) {
	what := "a user namespace"
	if os.Getenv(insideVariable) != "" {
		return 0, &PrivilegeError{What: "a network namespace inside a user namespace", Err: unix.EPERM}
	}
	// Pdeathsig is about the thread that forks: keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err := cmd.Start()
	if err != nil {
		var no syscall.Errno
		if errors.As(err, &no) {
			return 0, &PrivilegeError{What: what, Err: no}
		}
		return 0, fmt.Errorf("start again in a user namespace: %w", err)
	}
	err = cmd.Wait()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &ended) && ended.Exited():
		return ended.ExitCode(), nil
	}
	return 0, fmt.Errorf("the process in the user namespace ended: %w", err)
}
