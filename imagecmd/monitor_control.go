package imagecmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// containerControl is the socket by which other commands ask a container's
// monitor for what nobody else may do: only who shares its user namespace may
// so much as open the root that it has mounted. A connection is one request, a
// line, and its answer: an error, or nothing.
const containerControl = "control"

// controlFlush has the monitor write what programs have changed in memory that
// they map from files.
const controlFlush = "flush"

// controlLimit is how long a request may take, its answer included.
const controlLimit = time.Minute

// serveControl answers requests until stop is called. Without a socket, which
// not every filesystem has, the container runs all the same.
func (c *Container) serveControl(rootfs string) (stop func()) {
	var l net.Listener
	err := c.atControl(func(path string) error {
		_ = os.Remove(path)
		var err error
		l, err = net.Listen("unix", path)
		return err
	})
	if err != nil {
		return func() {}
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its path was a descriptor's
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerControl(conn, rootfs)
		}
	}()
	return func() { l.Close() }
}

func answerControl(conn net.Conn, rootfs string) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(controlLimit))
	line, err := bufio.NewReader(io.LimitReader(conn, 64)).ReadString('\n')
	if err != nil {
		return
	}
	switch request := strings.TrimSpace(line); request {
	case controlFlush:
		err = syncfs(rootfs)
	default:
		err = fmt.Errorf("unknown request %q", request)
	}
	if err != nil {
		fmt.Fprint(conn, err)
	}
}

// askControl asks the container's monitor for something.
func (c *Container) askControl(request string) error {
	var conn net.Conn
	err := c.atControl(func(path string) error {
		var err error
		conn, err = net.DialTimeout("unix", path, controlLimit)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask the container's monitor: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(controlLimit))
	_, err = fmt.Fprintln(conn, request)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(conn, 1<<12))
	}
	if err == nil && len(answer) > 0 {
		err = errors.New(string(answer))
	}
	if err != nil {
		return fmt.Errorf("ask the container's monitor to %s: %w", request, err)
	}
	return nil
}

// atControl calls f with a short path of the socket: that of the container may
// be longer than an address can be (unix(7)).
func (c *Container) atControl(f func(path string) error) error {
	dir, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(filepath.Join("/proc/self/fd", fmt.Sprint(dir.Fd()), containerControl))
}

// syncfs has the kernel write all that is dirty of the filesystem at a directory.
func syncfs(dir string) error {
	f, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
