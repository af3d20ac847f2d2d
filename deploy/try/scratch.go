package try

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// scratch is a directory for the state of the bed's points.
type scratch struct {
	path  string
	mount int // descriptor of the detached file system, or -1
}

// newScratch makes a directory in memory that is mounted nowhere: it is reached
// through its descriptor and vanishes with the process, however that ends.
// Where the kernel refuses that, it is an ordinary temporary directory.
func newScratch() (*scratch, error) {
	if fd, err := detached(); err == nil {
		return &scratch{path: fmt.Sprintf("/proc/self/fd/%d", fd), mount: fd}, nil
	}
	dir, err := os.MkdirTemp("", "xfwc-try-")
	if err != nil {
		return nil, err
	}
	return &scratch{path: dir, mount: -1}, nil
}

// detached makes a tmpfs without attaching it, fsmount(2).
func detached() (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "mode", "0700"); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

func (s *scratch) remove() {
	if s.mount >= 0 {
		unix.Close(s.mount)
		return
	}
	os.RemoveAll(s.path)
}
