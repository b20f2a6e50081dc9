// Package fdcopy copies between descriptors that belong to somebody else. They are
// used as they are, by poll(2): files shared with a person's shell must never be made
// non-blocking, as Go's own files are.
package fdcopy

import "golang.org/x/sys/unix"

// Until copies from src until its end, an error, or stop being readable or closed by its
// other end; stop may be -1, and so may dst, which then takes everything. What
// can't be written is read all the same: a writer in the container must not hang
// because the person's terminal is gone.
func Until(dst, src, stop int) {
	Each(src, stop, func(b []byte) bool {
		if dst >= 0 && Write(dst, b) != nil {
			dst = -1
		}
		return true
	})
}

// Each hands what is read from src to fn, until fn returns false, src ends, or stop is
// readable or closed by its other end; stop may be -1.
func Each(src, stop int, fn func(b []byte) bool) {
	buf := make([]byte, 32<<10)
	for {
		fds := []unix.PollFd{{Fd: int32(src), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(src, buf)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		if !fn(buf[:n]) {
			return
		}
	}
}

// Write writes all of b.
func Write(dst int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(dst, b)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN { // somebody else made it non-blocking
			unix.Poll([]unix.PollFd{{Fd: int32(dst), Events: unix.POLLOUT}}, -1)
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
