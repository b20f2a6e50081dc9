package objects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/whiteout"
)

// Sweep removes the objects in the directory own that nothing below trees refers to, which
// is where all trees are that may, those included that are being made. That there is no
// such directory is no error.
func Sweep(ctx context.Context, own, trees string, ns whiteout.Namespace) error {
	if _, err := os.Lstat(own); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := tree.Group{Dir: own}.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	m := marking{ctx: ctx, redirect: ns.Name(whiteout.KeyRedirect), used: map[string]bool{}, own: own}
	if err := m.dir(unix.AT_FDCWD, trees, trees); err != nil {
		return err
	}
	return m.remove()
}

type marking struct {
	ctx      context.Context
	redirect string // name of the extended attribute
	own      string
	used     map[string]bool // by path below own, with a slash before it
}

// dir finds out what the files below a directory refer to. What goes meanwhile refers to nothing.
func (m *marking) dir(parent int, name, path string) error {
	if path == m.own {
		return nil
	}
	if m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	fd, err := sys.OpenDir(parent, name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	names, err := sys.ReadNames(fd)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	value := make([]byte, unix.PathMax)
	for _, name := range names {
		var st unix.Stat_t
		err := sys.Again(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("stat %s/%s: %w", path, name, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			if err := m.dir(fd, name, filepath.Join(path, name)); err != nil {
				return err
			}
		case unix.S_IFREG:
			n, err := unix.Lgetxattr(sys.ProcPath(fd)+"/"+name, m.redirect, value)
			if err == nil {
				m.used[string(value[:n])] = true
			} else if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("read %s of %s/%s: %w", m.redirect, path, name, err)
			}
		}
	}
	return nil
}

// remove removes what is not used, and what killed processes left.
func (m *marking) remove() error {
	dirs, err := os.ReadDir(m.own)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		at := filepath.Join(m.own, d.Name())
		if strings.HasPrefix(d.Name(), tempPrefix) {
			if err := os.Remove(at); err != nil {
				return err
			}
			continue
		}
		files, err := os.ReadDir(at)
		if err != nil {
			return err
		}
		left := len(files)
		for _, f := range files {
			if m.used["/"+d.Name()+"/"+f.Name()] {
				continue
			}
			if err := os.Remove(filepath.Join(at, f.Name())); err != nil {
				return err
			}
			left--
		}
		if left == 0 {
			if err := os.Remove(at); err != nil {
				return err
			}
		}
	}
	return nil
}
