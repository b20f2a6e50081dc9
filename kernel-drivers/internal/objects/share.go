package objects

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/whiteout"
)

// least is how large a file has to be, in bytes, to be shared. A smaller one has one block, as a
// reference has its marks.
const least = block

// Share makes references of the files in the tree at root whose content is an object, and with
// s.Own of all. The tree is nobody else's yet. All is on disk when it returns.
func (s Store) Share(ctx context.Context, root string, ns whiteout.Namespace) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	fd, err := sys.OpenDir(unix.AT_FDCWD, root)
	if err != nil {
		return fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(fd)
	w := sharing{ctx: ctx, store: s, ns: ns, done: map[uint64]bool{}}
	if err := w.dir(fd, ""); err != nil {
		return fmt.Errorf("share contents of %s: %w", root, err)
	}
	// The directory of the objects is on the same filesystem, as the lock of it has to be.
	return sys.Again(func() error { return unix.Syncfs(fd) })
}

// sharing is one run of Share.
type sharing struct {
	ctx   context.Context
	store Store
	ns    whiteout.Namespace
	files sys.Copier
	done  map[uint64]bool // inodes with several names
}

func (w *sharing) dir(fd int, path string) error {
	names, err := sys.ReadNames(fd)
	if err != nil {
		return fmt.Errorf("read %s/: %w", path, err)
	}
	for _, name := range names {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		var st unix.Stat_t
		if err := sys.Again(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			return fmt.Errorf("stat %s/%s: %w", path, name, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			sub, err := sys.OpenDir(fd, name)
			if err != nil {
				return fmt.Errorf("open %s/%s: %w", path, name, err)
			}
			err = w.dir(sub, path+"/"+name)
			unix.Close(sub)
			if err != nil {
				return err
			}
		case unix.S_IFREG:
			if st.Size < least || w.done[st.Ino] {
				continue
			}
			w.done[st.Ino] = st.Nlink > 1
			if err := w.file(fd, name, &st); err != nil {
				return fmt.Errorf("%s/%s: %w", path, name, err)
			}
		}
	}
	return nil
}

// capability is the extended attribute that a file loses, as its setuid bits, when it is truncated.
const capability = "security.capability"

// file makes a reference of one file, which keeps all but its content.
func (w *sharing) file(dir int, name string, st *unix.Stat_t) error {
	fd, err := sys.Open(dir, name, unix.O_RDWR|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	object, err := w.store.object(w.ctx, &w.files, fd, st.Size)
	if object == "" || err != nil {
		return err
	}
	kept := make([]byte, 64)
	n, err := unix.Fgetxattr(fd, capability, kept)
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("read %s: %w", capability, err)
	}
	has := err == nil
	steps := []func() error{
		func() error { return unix.Ftruncate(fd, 0) },
		func() error { return unix.Ftruncate(fd, st.Size) },
		func() error { return unix.Fsetxattr(fd, w.ns.Name(whiteout.KeyRedirect), []byte(object), 0) },
		func() error { return unix.Fsetxattr(fd, w.ns.Name(whiteout.KeyMetacopy), nil, 0) },
		func() error {
			if !has {
				return nil
			}
			return unix.Fsetxattr(fd, capability, kept[:n], 0)
		},
		func() error { return unix.Fchmod(fd, st.Mode&0o7777) },
		func() error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, sys.ProcPath(fd), []unix.Timespec{st.Atim, st.Mtim}, 0)
		},
	}
	for _, step := range steps {
		if err := sys.Again(step); err != nil {
			return fmt.Errorf("make a reference: %w", err)
		}
	}
	return nil
}
