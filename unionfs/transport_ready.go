package unionfs

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pollName is a name that go-fuse's server answers for by itself, and [Loop] once.
const pollName = ".go-fuse-epoll-hack"

// Ready implements [Session].
func (s *goFuseSession) Ready(target string) error { return pollOnce(target) }

// pollOnce waits for an answer of the mount at target. Besides, it has the
// kernel learn that files there can't be polled: Go's runtime polls the files
// it opens, in a system call that it believes not to block, and a program that
// opens files of its own mount could otherwise block the thread that was to
// answer (see go-fuse's poll.go).
func pollOnce(target string) error {
	var fd int
	err := eintr(func() (err error) {
		fd, err = unix.Open(filepath.Join(target, pollName), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if err == unix.EINTR {
		err = nil
	}
	return err
}
