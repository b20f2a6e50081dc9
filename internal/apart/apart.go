// Package apart lets a process use a FUSE filesystem that it serves itself, and yet be
// killed at any time.
//
// A killed process waits for its requests that the server has read already. If it is the
// server there is nobody to answer, and the kernel would end the connection only when the
// last descriptor of /dev/fuse is closed, which that very thread holds open: the process
// could neither go on nor end (Documentation/filesystems/fuse.rst, "Deadlocks"). So what
// uses the mount does it on a thread whose table of descriptors has none of the device's.
package apart

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/lostthread"
)

// Do runs fn on a thread of its own, with copies of the process's descriptors but for those
// of /dev/fuse. They are closed when Do returns, so that a mount which one of them leads to
// isn't kept busy by a thread that has not ended yet. What fn opens it has to close.
func Do(fn func() error) error {
	return lostthread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			return fmt.Errorf("unshare descriptors: %w", err)
		}
		slots, err := tableSize()
		if err != nil {
			return err
		}
		keep := leave(slots)
		err = fn()
		closeOthers(keep)
		return err
	})
}

// leave closes the calling thread's descriptors of /dev/fuse, and returns those that Go's
// runtime wakes its threads by, which this thread does, too, until it has ended.
//
// All of them are open for reading and writing, as few others are: looking at each in /proc
// would take as long as the rest of a container's start where there are many layers. No
// file is asked for its kind, as it may be this process that would have to answer.
func leave(slots int) (runtimes []int) {
	for fd := range slots {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_PATH != 0 || flags&unix.O_ACCMODE != unix.O_RDWR {
			continue
		}
		switch to, _ := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(fd)); to {
		case "/dev/fuse":
			unix.Close(fd)
		case "anon_inode:[eventpoll]", "anon_inode:[eventfd]":
			runtimes = append(runtimes, fd)
		}
	}
	return runtimes
}

// closeOthers closes all of the calling thread's descriptors but those, in their order.
func closeOthers(keep []int) {
	from := 0
	for _, fd := range keep {
		if fd > from {
			_ = unix.CloseRange(uint(from), uint(fd-1), 0)
		}
		from = fd + 1
	}
	_ = unix.CloseRange(uint(from), math.MaxUint32, 0)
}

// tableSize is how many descriptors the calling thread may have open without its table
// growing (proc_pid_status(5), FDSize).
func tableSize() (int, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if n, ok := strings.CutPrefix(line, "FDSize:"); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, errors.New("/proc/thread-self/status: no FDSize")
}
