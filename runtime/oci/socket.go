package oci

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// inDir is a name for a file of a directory that is short enough for a socket's address,
// which has 108 bytes (unix(7)). It is good until the directory's descriptor is closed.
func inDir(dir, name string) (path string, done func(), err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), func() { unix.Close(fd) }, nil
}

// listen makes a listening socket. Only the owner of the directory gets at it.
func listen(dir, name string) (*os.File, error) {
	path, done, err := inDir(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", filepath.Join(dir, name), err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func connect(dir, name string) (*os.File, error) {
	path, done, err := inDir(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", filepath.Join(dir, name), err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// sendConsole sends a terminal's master to the socket at path, as runc's callers expect
// it: one message, its text the terminal's name, with the descriptor.
func sendConsole(path string, master *os.File) error {
	defer master.Close()
	short, done, err := inDir(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	defer done()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return fmt.Errorf("console socket %s: %w", path, err)
	}
	defer conn.Close()
	if _, _, err := conn.WriteMsgUnix([]byte("/dev/ptmx"), unix.UnixRights(int(master.Fd())), nil); err != nil {
		return fmt.Errorf("console socket %s: %w", path, err)
	}
	return nil
}
