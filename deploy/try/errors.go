package try

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"xfwc/lang/diag"
)

// PrivilegeError says that the kernel refuses this process what the test bed
// is made of.
type PrivilegeError struct {
	What string
	Err  error
}

func (e *PrivilegeError) Error() string {
	s := fmt.Sprintf("cannot make %s: %v. ", e.What, e.Err)
	if errors.Is(e.Err, unix.ENOSPC) || errors.Is(e.Err, unix.EUSERS) {
		return s + "The machine's limit of namespaces is reached: raise user.max_net_namespaces and user.max_user_namespaces"
	}
	return s + "Run as root, or allow user namespaces on this machine (kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
}

func (e *PrivilegeError) Unwrap() error { return e.Err }

// BedError says that a policy's points cannot be laid out as a test bed.
type BedError struct {
	Span diag.Span
	Text string
}

func (e *BedError) Error() string {
	if e.Span.IsValid() {
		return fmt.Sprintf("%s:%d: %s", e.Span.Start.Filename, e.Span.Start.Line, e.Text)
	}
	return e.Text
}
