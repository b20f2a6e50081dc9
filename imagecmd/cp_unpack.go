package imagecmd

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Whose the copies are.
const (
	ownerHere   = "here"   // whoever copies; programs don't get his rights
	ownerRoot   = "root"   // the tree's root
	ownerSource = "source" // as in the tar
)

// An unpacking writes the members of a tar into a tree that others may change meanwhile.
// What is on the way to a member is a directory: nothing follows a link below where the
// copy goes, except in a tar that a person made, whose members may lie behind links of
// the tree, but never outside of it.
type unpacking struct {
	root  rootedAt
	place cpPlace
	top   string // first part of the members' names, which gives way to the place's; "": a person's tar
	path  string // of the place's directory, for a person's tar
	owner string
	one   bool // there is no other owner than root
	dirs  []*tar.Header

	at     string // directory that parent is opened on
	parent *os.File
}

// unpack reads a tar to its end.
func (u *unpacking) unpack(r io.Reader) (err error) {
	defer u.leave()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // what pads it
		} else if err == nil {
			err = u.member(h, t)
			if err == nil {
				continue
			}
			err = fmt.Errorf("copying %s: %w", h.Name, err)
		}
		if err != nil {
			return err
		}
		// What was put into directories has changed their times, and perhaps could not
		// have been with their modes.
		for _, d := range slices.Backward(u.dirs) {
			if err := u.finish(d); err != nil {
				return fmt.Errorf("copying %s: %w", d.Name, err)
			}
		}
		return nil
	}
}

// target is where in the place's directory a member goes; "." is the directory itself.
func (u *unpacking) target(name string) (string, error) {
	clean := path.Clean(name)
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", errors.New("its name leads out of the directory")
	}
	if clean = strings.TrimPrefix(path.Clean("/"+name), "/"); clean == "" {
		clean = "."
	}
	if u.top == "" {
		return clean, nil
	}
	rest, ok := "", clean == u.top
	if u.top == "." {
		rest, ok = "/"+clean, true
	} else if !ok {
		rest, ok = strings.CutPrefix(clean, u.top+"/")
		rest = "/" + rest
	}
	if !ok {
		return "", fmt.Errorf("it is not part of %s", u.top)
	}
	return path.Join(u.place.name, rest), nil
}

// enter opens the directory that a target is in.
func (u *unpacking) enter(target string) (dir *os.File, base string, err error) {
	at, base := path.Split(target)
	if u.parent != nil && u.at == at {
		return u.parent, base, nil
	}
	u.leave()
	u.parent, err = u.open(at)
	u.at = at
	return u.parent, base, err
}

// open opens a directory below the place's.
func (u *unpacking) open(at string) (dir *os.File, err error) {
	if u.top == "" {
		return u.root.mkdirs(path.Join(u.path, at))
	}
	dir, err = openWithin(u.place.dir, at, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ELOOP) {
		err = errNotDir
	}
	return dir, err
}

func (u *unpacking) leave() {
	if u.parent != nil {
		u.parent.Close()
		u.parent = nil
	}
}

func (u *unpacking) member(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	target, err := u.target(h.Name)
	if err != nil {
		return err
	}
	if target == "." { // the directory itself
		if h.Typeflag != tar.TypeDir {
			return errCopyDir
		}
		u.dirs = append(u.dirs, h)
		return nil
	}
	dir, base, err := u.enter(target)
	if err != nil {
		return err
	}
	isDir := h.Typeflag == tar.TypeDir
	var st unix.Stat_t
	switch err := unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFDIR && !isDir:
		return fmt.Errorf("cannot overwrite directory %q with non-directory %q", "/"+target, path.Dir("/"+target))
	case st.Mode&unix.S_IFMT != unix.S_IFDIR && isDir:
		return fmt.Errorf("cannot overwrite non-directory %q with directory %q", "/"+target, path.Dir("/"+target))
	}
	if isDir {
		if err := unix.Mkdirat(int(dir.Fd()), base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		u.dirs = append(u.dirs, h)
		return nil
	}
	return u.replace(dir, base, h, content)
}

// replace makes an object beside the place and moves it there: what was there is there
// until it is whole.
func (u *unpacking) replace(dir *os.File, base string, h *tar.Header, content io.Reader) error {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	temp := ".cfs-cp-" + hex.EncodeToString(id[:])
	err := u.create(dir, temp, h, content)
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), base)
	}
	// Also after the rename of one name of an inode to another, which does nothing.
	if uerr := unix.Unlinkat(int(dir.Fd()), temp, 0); uerr != nil && !errors.Is(uerr, unix.ENOENT) {
		err = errors.Join(err, uerr)
	}
	return err
}

func (u *unpacking) create(dir *os.File, name string, h *tar.Header, content io.Reader) error {
	fd := int(dir.Fd())
	switch h.Typeflag {
	case tar.TypeReg:
		out, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(out), name)
		if err = fill(f, content); err == nil {
			err = u.attributes(f, h)
		}
		return errors.Join(err, f.Close())
	case tar.TypeLink:
		return u.link(dir, name, h)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, fd, name); err != nil {
			return err
		}
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		kind := map[byte]uint32{tar.TypeFifo: unix.S_IFIFO, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[h.Typeflag]
		if err := unix.Mknodat(fd, name, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a tar's member of type %q is not supported", h.Typeflag)
	}
	f, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	made := os.NewFile(uintptr(f), name)
	defer made.Close()
	return u.attributes(made, h)
}

// fill writes what it reads, and leaves holes where that is zeros.
func fill(f *os.File, content io.Reader) error {
	const block = 64 << 10
	var nothing [block]byte
	b := make([]byte, block)
	for size := int64(0); ; {
		n, err := content.Read(b)
		if !bytes.Equal(b[:n], nothing[:n]) {
			if _, err := f.WriteAt(b[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		switch {
		case err == io.EOF: // not one that comes too early
			return f.Truncate(size)
		case err != nil:
			return err
		}
	}
}

// link gives a member that came before another name.
func (u *unpacking) link(dir *os.File, name string, h *tar.Header) error {
	target, err := u.target(h.Linkname)
	if err != nil {
		return fmt.Errorf("link to %s: %w", h.Linkname, err)
	}
	at, base := path.Split(target)
	from, err := u.open(at)
	if err != nil {
		return fmt.Errorf("link to %s: %w", h.Linkname, err)
	}
	defer from.Close()
	if err := unix.Linkat(int(from.Fd()), base, int(dir.Fd()), name, 0); err != nil {
		return fmt.Errorf("link to %s: %w", h.Linkname, err)
	}
	return nil
}

// finish gives a directory its attributes.
func (u *unpacking) finish(h *tar.Header) error {
	target, err := u.target(h.Name)
	if err != nil {
		return err
	}
	dir := u.place.dir
	if target != "." {
		parent, base, err := u.enter(target)
		if err != nil {
			return err
		}
		if dir, err = openWithin(parent, base, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return err
		}
		defer dir.Close()
	}
	return u.attributes(dir, h)
}

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
