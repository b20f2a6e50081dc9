package attach

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Explain adds to err what the kernel has to say; the descriptor of a context
// is read for its messages, one a read, each with a letter in front (fsopen(2)).
func Explain(fs int, err error) error {
	buf := make([]byte, 1024)
	for {
		n, rerr := unix.Read(fs, buf)
		if rerr != nil || n == 0 {
			return err
		}
		if n > 2 && (buf[0] == 'e' || buf[0] == 'w') {
			err = fmt.Errorf("%w (%s)", err, string(buf[2:n]))
		}
	}
}

// maxString is the longest string that fsconfig(2) takes.
const maxString = 255

// Paths holds descriptors of what has a path that is too long for fsconfig(2).
type Paths struct{ fds []int }

// Short is a path of name that is short enough, valid until Close.
func (p *Paths) Short(name string) (string, error) {
	if len(name) <= maxString {
		return name, nil
	}
	return p.Link(name)
}

// Link is a path of name of a few characters, valid until Close.
func (p *Paths) Link(name string) (string, error) {
	fd, err := sys.Open(unix.AT_FDCWD, name, unix.O_PATH)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", name, err)
	}
	p.fds = append(p.fds, fd)
	return sys.ProcPath(fd), nil
}

// Close gives up the descriptors.
func (p *Paths) Close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}
