package unionfs

import "golang.org/x/sys/unix"

// whiteout puts a whiteout at q, where nothing is, in the upper part of
// directory p.
func (f *FS) whiteout(p *node, q at) error {
	err := f.upper.linkWhiteout(q)
	if isErrno(err, unix.EPERM, unix.EOPNOTSUPP) {
		return f.xwhiteout(p, q)
	}
	return err
}

// tempWhiteout makes a whiteout for directory p in the work directory.
func (f *FS) tempWhiteout(p *node) (at, error) {
	t := f.upper.temp()
	return t, f.whiteout(p, t)
}

// linkWhiteout makes a 0:0 character device at q. All of them are one inode
// for as long as the filesystem allows, as overlayfs has it: a whiteout then
// costs a name and no more.
func (u *upperDir) linkWhiteout(q at) error {
	u.whiteMu.Lock()
	defer u.whiteMu.Unlock()
	if u.white != "" {
		err := unix.Linkat(u.work, u.white, q.dirfd, q.name, 0)
		if err == nil || err == unix.EEXIST {
			return err
		}
		_ = unix.Unlinkat(u.work, u.white, 0) // too many links, or none allowed
		u.white = ""
	}
	t := u.temp()
	if err := unix.Mknodat(t.dirfd, t.name, unix.S_IFCHR, 0); err != nil {
		return err
	}
	if err := unix.Linkat(t.dirfd, t.name, q.dirfd, q.name, 0); err != nil {
		if err == unix.EEXIST {
			_ = unix.Unlinkat(t.dirfd, t.name, 0)
			return err
		}
		return renameat(t, q, unix.RENAME_NOREPLACE)
	}
	u.white = t.name
	return nil
}

// xwhiteout makes the other kind: an empty file with a mark, in a directory
// that says it may hold such files. It is for filesystems and kernels that
// refuse this process a 0:0 device.
func (f *FS) xwhiteout(p *node, q at) error {
	h, err := f.dirHandle(p)
	if err != nil {
		return err
	}
	defer h.put()
	if !p.dir.xwh {
		d := at{h.fd, ""}
		if v, err := d.getxattr(f.upper.marks + markOpaque); err != nil || string(v) != "x" {
			if err := d.setxattr(f.upper.marks+markOpaque, []byte("x"), 0); err != nil {
				return err
			}
		}
		p.dir.xwh = true
	}
	if err := unix.Mknodat(q.dirfd, q.name, unix.S_IFREG|0o600, 0); err != nil {
		return err
	}
	if err := q.setxattr(f.upper.marks+markWhiteout, []byte("y"), 0); err != nil {
		_ = unix.Unlinkat(q.dirfd, q.name, 0)
		return err
	}
	return nil
}
