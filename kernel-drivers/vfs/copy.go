package vfs

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// copying is one run of copyTree. Both trees are this driver's own: nobody else
// changes them meanwhile.
type copying struct {
	ctx   context.Context
	to    int               // root of the copy
	links map[uint64]string // where an inode with several names is in the copy
	files sys.Copier
}

// copyTree copies the tree at from into the empty directory to: data, holes, owners,
// modes, times, extended attributes and hard links. All is on disk when it returns.
func copyTree(ctx context.Context, from, to string) error {
	src, err := sys.OpenDir(unix.AT_FDCWD, from)
	if err != nil {
		return fmt.Errorf("open %s: %w", from, err)
	}
	defer unix.Close(src)
	dst, err := sys.OpenDir(unix.AT_FDCWD, to)
	if err != nil {
		return fmt.Errorf("open %s: %w", to, err)
	}
	defer unix.Close(dst)
	c := &copying{ctx: ctx, to: dst, links: map[uint64]string{}}
	if err := c.dir(src, dst, ""); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := sys.Again(func() error { return unix.Syncfs(dst) }); err != nil {
		return fmt.Errorf("sync %s: %w", to, err)
	}
	return nil
}

// dir copies what the directory src holds into dst, and then its attributes. Path
// is where it is, empty for the root.
func (c *copying) dir(src, dst int, path string) error {
	names, err := sys.ReadNames(src)
	if err != nil {
		return fmt.Errorf("read %s/: %w", path, err)
	}
	for _, name := range names {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if err := c.name(src, dst, name, path+"/"+name); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := sys.Again(func() error { return unix.Fstat(src, &st) }); err != nil {
		return fmt.Errorf("stat %s/: %w", path, err)
	}
	return c.attributes(sys.ProcPath(src), sys.ProcPath(dst), &st, path)
}

// name copies one object.
func (c *copying) name(src, dst int, name, path string) error {
	var st unix.Stat_t
	if err := sys.Again(func() error { return unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.subdir(src, dst, name, path)
	}
	if st.Nlink > 1 {
		if first, ok := c.links[st.Ino]; ok {
			if err := c.link(first, dst, name); err != nil {
				return fmt.Errorf("link %s to %s: %w", path, first, err)
			}
			return nil
		}
		c.links[st.Ino] = path
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return c.file(src, dst, name, path, &st)
	case unix.S_IFLNK:
		err = c.symlink(src, dst, name)
	default:
		err = sys.Again(func() error { return unix.Mknodat(dst, name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev)) })
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return c.special(src, dst, name, path, &st)
}

func (c *copying) subdir(src, dst int, name, path string) error {
	from, err := sys.OpenDir(src, name)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(from)
	if err := sys.Again(func() error { return unix.Mkdirat(dst, name, 0o700) }); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	to, err := sys.OpenDir(dst, name)
	if err != nil {
		return fmt.Errorf("open the copy of %s: %w", path, err)
	}
	defer unix.Close(to)
	return c.dir(from, to, path)
}

func (c *copying) symlink(src, dst int, name string) error {
	buf := make([]byte, unix.PathMax)
	var n int
	err := sys.Again(func() (err error) {
		n, err = unix.Readlinkat(src, name, buf)
		return err
	})
	if err != nil {
		return err
	}
	return sys.Again(func() error { return unix.Symlinkat(string(buf[:n]), dst, name) })
}

// link gives the inode at path first of the copy the name in dst.
func (c *copying) link(first string, dst int, name string) error {
	parts := strings.Split(strings.TrimPrefix(first, "/"), "/")
	at := c.to
	for _, p := range parts[:len(parts)-1] {
		next, err := sys.Open(at, p, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if at != c.to {
			unix.Close(at)
		}
		if err != nil {
			return err
		}
		at = next
	}
	err := sys.Again(func() error { return unix.Linkat(at, parts[len(parts)-1], dst, name, 0) })
	if at != c.to {
		unix.Close(at)
	}
	return err
}

// file copies a regular file.
func (c *copying) file(src, dst int, name, path string, st *unix.Stat_t) error {
	in, err := sys.Open(src, name, unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(in)
	var out int
	err = sys.Again(func() (err error) {
		out, err = unix.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	defer unix.Close(out)
	if err := c.files.Copy(c.ctx, in, out, st.Size); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return c.attributes(sys.ProcPath(in), sys.ProcPath(out), st, path)
}

// special gives what can't be opened its attributes. The link in /proc leads to
// the inode itself, also to that of a symbolic link.
func (c *copying) special(src, dst int, name, path string, st *unix.Stat_t) error {
	in, err := sys.Open(src, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(in)
	out, err := sys.Open(dst, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("open the copy of %s: %w", path, err)
	}
	defer unix.Close(out)
	return c.attributes(sys.ProcPath(in), sys.ProcPath(out), st, path)
}

// attributes gives to what from has. The order matters: a change of owner clears
// setuid bits and capabilities, and every change moves times.
func (c *copying) attributes(from, to string, st *unix.Stat_t, path string) error {
	err := sys.Again(func() error { return unix.Chown(to, int(st.Uid), int(st.Gid)) })
	if err != nil {
		return fmt.Errorf("chown the copy of %s: %w", path, err)
	}
	if err := sys.CopyXattrs(from, to, nil); err != nil {
		return fmt.Errorf("copy of %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := sys.Again(func() error { return unix.Chmod(to, st.Mode&0o7777) }); err != nil {
			return fmt.Errorf("chmod the copy of %s: %w", path, err)
		}
	}
	ts := []unix.Timespec{st.Atim, st.Mtim}
	if err := sys.Again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, to, ts, 0) }); err != nil {
		return fmt.Errorf("set times of the copy of %s: %w", path, err)
	}
	return nil
}
