package cow

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Apply makes the changes that a Diff lists to the tree in the directory dir, which
// is what they were made on: it is then the tree that they lead to. Whatever an entry
// says is there replaces what was. No symlink is followed. After an error dir is neither tree.
//
// Rootless carries on where the kernel refuses an owner, a device node or an extended
// attribute to a user namespace, and leaves it out.
func Apply(ctx context.Context, dir string, changes iter.Seq2[Entry, error], rootless bool) error {
	root, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, err)
	}
	defer unix.Close(root)
	a := &applying{ctx: ctx, root: root, parent: -1, rootless: rootless, links: map[uint64]string{}}
	defer a.leave()
	for e, err := range changes {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := a.entry(e); err != nil {
			return fmt.Errorf("applying %v %s: %w", e.Kind, e.Path, err)
		}
	}
	// What was made in them has moved the times of directories.
	for _, d := range slices.Backward(a.dirs) {
		if err := a.enter(path.Dir(d.Path)); err != nil {
			return err
		}
		name := path.Base(d.Path)
		if d.Path == "/" {
			name = "."
		}
		if err := setTime(a.parent, name, d.Attr); err != nil {
			return fmt.Errorf("setting the time of %s: %w", d.Path, err)
		}
	}
	return nil
}

// applying is one run of Apply.
type applying struct {
	ctx      context.Context
	root     int
	rootless bool
	at       string // directory that parent is opened on
	parent   int    // -1: none
	links    map[uint64]string
	dirs     []Entry // that were changed, in the order in which they came
}

// enter makes parent the directory at p.
func (a *applying) enter(p string) error {
	if a.parent >= 0 && a.at == p {
		return nil
	}
	a.leave()
	fd, err := openDir(a.root, ".")
	for name := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		var next int
		next, err = openDir(fd, name)
		unix.Close(fd)
		fd = next
	}
	if err != nil {
		return fmt.Errorf("opening directory %s: %w", p, err)
	}
	a.parent, a.at = fd, p
	return nil
}

func (a *applying) leave() {
	if a.parent >= 0 {
		unix.Close(a.parent)
		a.parent = -1
	}
}

func (a *applying) entry(e Entry) error {
	if !path.IsAbs(e.Path) || path.Clean(e.Path) != e.Path {
		return errors.New("no clean path within the root")
	}
	if e.Path == "/" {
		if e.Kind != Changed || !e.Attr.IsDir() {
			return errors.New("the root can't be replaced")
		}
		if err := a.enter("/"); err != nil {
			return err
		}
		a.dirs = append(a.dirs, e)
		return a.attributes(".", e)
	}
	name := path.Base(e.Path)
	if err := a.enter(path.Dir(e.Path)); err != nil {
		return err
	}
	if e.Kind == Deleted {
		return removeAll(a.parent, name)
	}
	if e.Attr.IsDir() {
		a.dirs = append(a.dirs, e)
		return a.directory(e, name)
	}
	if err := removeAll(a.parent, name); err != nil {
		return err
	}
	if first, ok := a.links[e.Inode]; ok && e.Inode != 0 {
		return a.link(first, name)
	}
	if e.Inode != 0 {
		a.links[e.Inode] = e.Path
	}
	return a.file(e, name)
}

// directory makes a directory, or keeps the one that is there with what it holds.
func (a *applying) directory(e Entry, name string) error {
	err := retry(func() error { return unix.Mkdirat(a.parent, name, 0o700) })
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := retry(func() error { return unix.Fstatat(a.parent, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			return err
		}
		if err = nil; st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if err := removeAll(a.parent, name); err != nil {
				return err
			}
			err = retry(func() error { return unix.Mkdirat(a.parent, name, 0o700) })
		}
	}
	if err != nil {
		return err
	}
	return a.attributes(name, e)
}

func (a *applying) link(first, name string) error {
	to, at := a.parent, a.at
	a.parent = -1 // kept open by to
	defer func() {
		a.leave()
		a.parent, a.at = to, at
	}()
	if err := a.enter(path.Dir(first)); err != nil {
		return err
	}
	return retry(func() error { return unix.Linkat(a.parent, path.Base(first), to, name, 0) })
}

func (a *applying) file(e Entry, name string) error {
	var err error
	switch e.Attr.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = a.content(e, name)
	case unix.S_IFLNK:
		err = retry(func() error { return unix.Symlinkat(e.Target, a.parent, name) })
	default:
		err = retry(func() error {
			return unix.Mknodat(a.parent, name, e.Attr.Mode&unix.S_IFMT|0o600, int(e.Attr.Rdev))
		})
	}
	if device := e.Attr.is(unix.S_IFCHR) || e.Attr.is(unix.S_IFBLK); device && a.left(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.attributes(name, e)
}

// left tells whether err is of what is left out.
func (a *applying) left(err error) bool {
	return a.rootless && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOVERFLOW))
}

// content makes a regular file, with the holes it has.
func (a *applying) content(e Entry, name string) error {
	data, err := e.Open()
	if err != nil {
		return err
	}
	defer data.Close()
	runs, err := data.Extents()
	if err != nil {
		return err
	}
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Openat(a.parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := retry(func() error { return unix.Ftruncate(fd, e.Attr.Size) }); err != nil {
		return err
	}
	buf := make([]byte, min(1<<20, e.Attr.Size))
	for _, r := range runs {
		for off := r.Off; off < r.end(); off += int64(len(buf)) {
			if a.ctx.Err() != nil {
				return context.Cause(a.ctx)
			}
			b := buf[:min(int64(len(buf)), r.end()-off)]
			if err := readFull(data, b, off); err != nil {
				return err
			}
			if err := writeFull(fd, b, off); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeFull(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// attributes gives the object called name in parent what e says. The order
// matters: a change of owner clears setuid bits and capabilities.
func (a *applying) attributes(name string, e Entry) error {
	dir := a.parent
	at := fdPath(dir) + "/" + name
	err := retry(func() error {
		return unix.Fchownat(dir, name, int(e.Attr.UID), int(e.Attr.GID), unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil && !a.left(err) {
		return fmt.Errorf("chown to %d:%d: %w", e.Attr.UID, e.Attr.GID, err)
	}
	old, err := listXattrs(pathXattrs(at, false))
	if err != nil {
		return fmt.Errorf("listing extended attributes: %w", err)
	}
	for k := range old {
		if _, stays := e.Xattrs[k]; stays || !Carried(k) {
			continue
		}
		if err := retry(func() error { return unix.Lremovexattr(at, k) }); err != nil && !a.left(err) {
			return fmt.Errorf("removing %s: %w", k, err)
		}
	}
	for k, v := range e.Xattrs {
		if was, ok := old[k]; ok && was == v {
			continue
		}
		if err := retry(func() error { return unix.Lsetxattr(at, k, []byte(v), 0) }); err != nil && !a.left(err) {
			return fmt.Errorf("setting %s: %w", k, err)
		}
	}
	if !e.Attr.is(unix.S_IFLNK) {
		if err := retry(func() error { return unix.Fchmodat(dir, name, e.Attr.Mode&0o7777, 0) }); err != nil {
			return fmt.Errorf("chmod: %w", err)
		}
	}
	return setTime(dir, name, e.Attr)
}

func setTime(dir int, name string, a Attr) error {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: a.Mtime, Nsec: int64(a.MtimeNsec)}}
	return retry(func() error { return unix.UtimesNanoAt(dir, name, ts, unix.AT_SYMLINK_NOFOLLOW) })
}

// removeAll removes name in the directory dir, with what it holds. That it is
// not there is no error.
func removeAll(dir int, name string) error {
	err := retry(func() error { return unix.Unlinkat(dir, name, 0) })
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	fd, oerr := openDir(dir, name)
	if oerr != nil {
		return err // no directory: why unlink failed is what counts
	}
	defer unix.Close(fd)
	names, err := readNames(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAll(fd, n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return retry(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}
