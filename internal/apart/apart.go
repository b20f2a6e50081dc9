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
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/lostthread"
)

// Do runs fn on a thread of its own, with copies of the process's descriptors but for those
// of /dev/fuse. They are closed when Do returns, and what fn opened with them: a mount that
// one of them leads to isn't kept busy by a thread that has not ended yet.
func Do(fn func() error) error {
	return lostthread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			return fmt.Errorf("unshare descriptors: %w", err)
		}
		if err := closeThose(func(to string) bool { return to == "/dev/fuse" }); err != nil {
			return err
		}
		err := fn()
		return errors.Join(err, closeThose(notRuntimes))
	})
}

// notRuntimes tells the process's descriptors from those by which Go's runtime wakes its
// threads, which this one does until it has ended.
func notRuntimes(to string) bool {
	return to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]"
}

// closeThose closes the calling thread's descriptors by where /proc says that they lead.
func closeThose(which func(to string) bool) error {
	dir, err := unix.Open("/proc/thread-self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	buf := make([]byte, 8<<10)
	var names []string
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil {
			return fmt.Errorf("list descriptors: %w", err)
		}
		if n == 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd == dir {
			continue
		}
		if to, err := os.Readlink("/proc/thread-self/fd/" + name); err == nil && which(to) {
			unix.Close(fd)
		}
	}
	return nil
}
