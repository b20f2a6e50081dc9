package imagecmd

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// A rootedAt is a directory, by descriptor, that is "/" for every name: no symlink and
// no ".." leads out of it, also while somebody in it moves them about, and none through
// a magic link such as /proc/self/fd/3 (openat2(2)).
type rootedAt int

// open opens a name. The flags are those of open(2); O_CLOEXEC is added.
func (r rootedAt) open(name string, flags int) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(r), "./"+path.Clean("/"+name), &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // a rename raced with the resolution of ".."
			continue
		}
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
}
