package imagecmd

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Whose the copies are.
const (
	ownerHere   = "here"   // whoever copies; programs don't get his rights
	ownerRoot   = "root"   // the tree's root
	ownerSource = "source" // as in the tar
)

// attributes gives to what f is opened on what the header says. The order matters: a
// change of owner clears setuid bits and capabilities.
func (u *unpacking) attributes(f *os.File, h *tar.Header) error {
	mode := uint32(h.Mode) & 0o7777
	uid, gid := h.Uid, h.Gid
	switch u.owner {
	case ownerHere:
		mode &^= unix.S_ISUID | unix.S_ISGID
	case ownerRoot:
		uid, gid = 0, 0
	}
	if u.owner != ownerHere {
		err := unix.Fchownat(int(f.Fd()), "", uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !(u.one && errors.Is(err, unix.EINVAL)) {
			return fmt.Errorf("owner %d:%d: %w", uid, gid, err)
		}
	}
	at := procPath(f)
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(at, mode); err != nil {
			return fmt.Errorf("mode %o: %w", mode, err)
		}
	}
	if v := h.PAXRecords[capabilityRecord]; v != "" && u.owner != ownerHere {
		err := unix.Setxattr(at, "security.capability", []byte(v), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("capabilities: %w", err)
		}
	}
	when := unix.NsecToTimespec(h.ModTime.UnixNano())
	if h.ModTime.Before(time.Unix(0, 0)) || h.ModTime.IsZero() {
		when = unix.Timespec{}
	}
	// The link leads to the object itself, also to a symlink.
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, at, []unix.Timespec{when, when}, 0); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	return nil
}
