package overlay2

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mounted is one attached overlay. It implements cow.Mount.
type mounted struct {
	target string        // immutable
	id     string        // immutable; the mount's in mountinfo, never given to another while it lives
	done   chan struct{} // closed when the mount is gone
	info   *os.File      // mountinfo of the namespace it is in; watch's alone
	wake   *os.File      // eventfd on which Unmount wakes the watcher, which closes it
	stack  *stack        // locks on the trees; the watcher's alone

	mu sync.Mutex // one Unmount at a time
}

// watch keeps st locked for as long as what is mounted at target stays there.
func watch(target string, st *stack) (*mounted, error) {
	id, err := mountID(target)
	if err != nil {
		return nil, err
	}
	// thread-self, as the caller's thread may be alone in its namespace. Later
	// the open file stands for that namespace on any thread.
	info, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		info.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	m := &mounted{target: target, id: id, done: make(chan struct{}), info: info, wake: os.NewFile(uintptr(wake), "eventfd"), stack: st}
	go m.wait()
	return m, nil
}

// Done implements cow.Mount.
func (m *mounted) Done() <-chan struct{} { return m.done }

// Unmount implements cow.Mount.
func (m *mounted) Unmount() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.done:
		return nil
	default:
	}
	if id, err := mountID(m.target); err == nil && id == m.id {
		err := again(func() error { return unix.Unmount(m.target, unix.UMOUNT_NOFOLLOW) })
		if err != nil {
			return fmt.Errorf("unmount %s: %w", m.target, err)
		}
	} else {
		// Another mount covers it, or it is gone and watch doesn't know yet.
		there, err := m.listed()
		if err != nil {
			return fmt.Errorf("unmount %s: %w", m.target, err)
		}
		if there {
			return fmt.Errorf("unmount %s: covered by another mount: %w", m.target, unix.EBUSY)
		}
	}
	// Written even when the kernel wakes the watcher by itself: it does so for
	// a change only, and that may have been seen already.
	m.wake.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only if the watcher is done
	<-m.done
	return nil
}

// wait closes done when the mount is gone from its namespace. mountinfo
// has an exceptional condition after every change (proc_pid_mounts(5)).
func (m *mounted) wait() {
	fds := []unix.PollFd{
		{Fd: int32(m.info.Fd()), Events: unix.POLLPRI},
		{Fd: int32(m.wake.Fd()), Events: unix.POLLIN},
	}
	for {
		if there, err := m.inNamespace(); err != nil || !there {
			break
		}
		unix.Poll(fds, -1) // on EINTR one look too many is taken
		if fds[1].Revents != 0 {
			break
		}
	}
	m.info.Close()
	m.wake.Close()
	m.stack.release()
	close(m.done)
}

// inNamespace looks for the mount in m.info.
func (m *mounted) inNamespace() (bool, error) {
	if _, err := m.info.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	data, err := io.ReadAll(m.info)
	return hasMount(string(data), m.id), err
}

// listed looks for the mount in the namespace of the caller.
func (m *mounted) listed() (bool, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	return hasMount(string(data), m.id), err
}

func hasMount(mountinfo, id string) bool {
	for line := range strings.Lines(mountinfo) {
		if first, _, _ := strings.Cut(line, " "); first == id {
			return true
		}
	}
	return false
}

// mountID is the ID of the topmost mount at dir, as mountinfo has it
// (proc_pid_fdinfo(5)).
func mountID(dir string) (string, error) {
	fd, err := open(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", errors.New("no mnt_id in fdinfo")
}
