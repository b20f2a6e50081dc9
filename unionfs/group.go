package unionfs

import (
	"fmt"
	"strconv"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// groupsDir, in the work directory, holds the copies of lower hard-link groups
// whose names are not all in the upper directory yet, named by the lower's
// inode number. It is empty unless a server was killed at that moment.
const groupsDir = "cfs-links"

// beginGroup keeps the copy at t in reach until endGroup.
func (u *upperDir) beginGroup(t at, ino uint64) error {
	if err := unix.Mkdirat(u.workdir, groupsDir, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	d, err := openDirPath(u.workdir, groupsDir)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	name := strconv.FormatUint(ino, 10)
	if err := unix.Unlinkat(d, name, 0); err != nil && err != unix.ENOENT {
		return err
	}
	return unix.Linkat(t.dirfd, t.name, d, name, 0)
}

func (u *upperDir) endGroup(ino uint64) {
	if d, err := openDirPath(u.workdir, groupsDir); err == nil {
		_ = unix.Unlinkat(d, strconv.FormatUint(ino, 10), 0)
		unix.Close(d)
	}
}

// completeGroups finishes, at mount, what a killed server began: every name of
// the group that still leads to the file below is linked to the copy.
func (f *FS) completeGroups() error {
	d, err := openDirPath(f.upper.workdir, groupsDir)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(d)
	list, err := readNames(d)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := f.completeGroup(at{d, e.name}); err != nil {
			return fmt.Errorf("completing the links of inode %s: %w", e.name, err)
		}
		if err := unix.Unlinkat(d, e.name, 0); err != nil {
			return err
		}
	}
	return nil
}

func (f *FS) completeGroup(c at) error {
	ino, err := strconv.ParseUint(c.name, 10, 64)
	if err != nil {
		return nil // not ours
	}
	var st unix.Stat_t
	if err := c.stat(&st); err != nil {
		return err
	}
	m, err := f.upper.readMarks(c)
	if err != nil {
		return err
	}
	if st.Nlink < 2 || m.origin != ino {
		return nil // killed before the first name, or a copy over another lower
	}
	var a fuse.Attr
	return f.walkLower(f.root, func(p *node, e *lowerEntry) error {
		if f.lower.ino(e.ref) != ino {
			return nil
		}
		n, err := f.lookup(p, e.name, &a)
		if err != nil {
			return err
		}
		defer f.unref(n, 1)
		if n.hasUpper() {
			return nil
		}
		if err := f.copyUp(p, whole); err != nil {
			return err
		}
		h, err := f.dirHandle(p)
		if err != nil {
			return err
		}
		defer h.put()
		if err := unix.Linkat(c.dirfd, c.name, h.fd, e.name, 0); err != nil {
			return err
		}
		p.dir.mu.Lock()
		p.dir.set(e.name, true, false)
		p.dir.mu.Unlock()
		return nil
	})
}
