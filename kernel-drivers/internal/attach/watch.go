package attach

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// A Mounted is one attached mount. It implements cow.Mount.
type Mounted struct {
	target string        // immutable
	id     string        // immutable; the mount's in mountinfo, never given to another while it lives,
	place  string        // immutable; but soon after: what it is of and where, as mountinfo has it
	done   chan struct{} // closed when the mount is gone
	info   *os.File      // mountinfo of the namespace it is in; watch's alone
	wake   *os.File      // eventfd on which Unmount wakes the watcher, which closes it
	end    func()        // called once when the mount is gone; the watcher's alone

	mu sync.Mutex // one Unmount at a time
}

var _ cow.Mount = (*Mounted)(nil)

// Watch calls end when what is mounted at target now is there no more, whoever
// unmounted it. After an error end is not called, and the mount is still there.
func Watch(target string, end func()) (*Mounted, error) {
	id, err := mountID(target)
	if err != nil {
		return nil, err
	}
	// thread-self, as the caller's thread may be alone in its namespace. Later
	// the open file stands for that namespace on any thread. Not os.Open: Go would
	// poll the file too, and the kernel tells a change to one who polls only.
	const mountinfo = "/proc/thread-self/mountinfo"
	fd, err := sys.Open(unix.AT_FDCWD, mountinfo, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", mountinfo, err)
	}
	info := os.NewFile(uintptr(fd), mountinfo)
	data, err := io.ReadAll(info)
	place, there := placeOf(string(data), id)
	if err == nil && !there {
		err = fmt.Errorf("the mount at %s is gone already", target)
	}
	if err != nil {
		info.Close()
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		info.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	m := &Mounted{
		target: target, id: id, place: place, done: make(chan struct{}), info: info,
		wake: os.NewFile(uintptr(wake), "eventfd"), end: end,
	}
	go m.wait()
	return m, nil
}

// Done implements cow.Mount.
func (m *Mounted) Done() <-chan struct{} { return m.done }

// Unmount implements cow.Mount.
func (m *Mounted) Unmount() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.done:
		return nil
	default:
	}
	if id, err := mountID(m.target); err == nil && id == m.id {
		err := sys.Again(func() error { return unix.Unmount(m.target, unix.UMOUNT_NOFOLLOW) })
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
func (m *Mounted) wait() {
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
	m.end()
	close(m.done)
}

// inNamespace looks for the mount in m.info.
func (m *Mounted) inNamespace() (bool, error) {
	if _, err := m.info.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	data, err := io.ReadAll(m.info)
	return m.in(string(data)), err
}

// listed looks for the mount in the namespace of the caller.
func (m *Mounted) listed() (bool, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	return m.in(string(data)), err
}

// in tells whether the mount is in mountinfo. Its number alone tells nothing: the
// next mount that anybody makes may have it.
func (m *Mounted) in(mountinfo string) bool {
	place, ok := placeOf(mountinfo, m.id)
	return ok && place == m.place
}

// placeOf is the device, root and mount point of the mount with a number
// (proc_pid_mountinfo(5): ID, parent's ID, device, root, mount point).
func placeOf(mountinfo, id string) (string, bool) {
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 && f[0] == id {
			return strings.Join(f[2:5], " "), true
		}
	}
	return "", false
}

// mountID is the ID of the topmost mount at dir, as mountinfo has it
// (proc_pid_fdinfo(5)).
func mountID(dir string) (string, error) {
	fd, err := sys.Open(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
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
