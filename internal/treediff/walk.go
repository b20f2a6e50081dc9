package treediff

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Options says what a walk records.
type Options struct {
	// NoContent leaves file contents unread and SHA256 empty.
	NoContent bool
	// OneFileSystem records a mount point below the root as the directory it
	// is but does not go into it.
	OneFileSystem bool
}

// Walk records the tree at root, a directory. The last component of root may be
// a symlink; no other link is followed. It fails on the first thing that cannot
// be read, naming it.
func Walk(root string, o Options) (*Record, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("walk %q: %w", root, err)
	}
	defer unix.Close(fd)
	w := &walker{opts: o, rec: new(Record), ids: map[inode]uint64{}, sums: map[uint64]string{}, buf: make([]byte, 1<<20)}
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("walk %q: stat: %w", root, err)
	}
	w.dev = st.Dev
	e := entryOf(Root, &st)
	if e.Xattrs, err = xattrs(fmt.Sprintf("/proc/self/fd/%d/.", fd)); err != nil {
		return nil, fmt.Errorf("walk %q: %w", root, err)
	}
	w.add(e, &st)
	if err := w.dir(fd, ""); err != nil {
		return nil, fmt.Errorf("walk %q: %w", root, err)
	}
	w.rec.Sort(w.inodes)
	return w.rec, nil
}

type inode struct{ dev, ino uint64 }

type walker struct {
	opts   Options
	rec    *Record
	dev    uint64            // of the root
	ids    map[inode]uint64  // dense number of an inode
	inodes []uint64          // number of each entry of rec, in the order of adding
	sums   map[uint64]string // content of files with several names, read once
	buf    []byte
}

func (w *walker) add(e Entry, st *unix.Stat_t) {
	w.rec.Entries = append(w.rec.Entries, e)
	w.inodes = append(w.inodes, w.id(st))
}

func (w *walker) id(st *unix.Stat_t) uint64 {
	key := inode{st.Dev, st.Ino}
	n, ok := w.ids[key]
	if !ok {
		n = uint64(len(w.ids) + 1)
		w.ids[key] = n
	}
	return n
}

// dir records what the directory fd holds; prefix is its path with a trailing
// slash, or empty for the root.
func (w *walker) dir(fd int, prefix string) error {
	names, err := readNames(fd)
	if err != nil {
		return fmt.Errorf("%q: readdir: %w", prefix, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.name(fd, name, prefix+name); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) name(dir int, name, path string) error {
	var st unix.Stat_t
	if _, err := retry(func() (int, error) {
		return 0, unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	}); err != nil {
		return fmt.Errorf("%q: stat: %w", path, err)
	}
	e := entryOf(path, &st)
	var err error
	// listxattr has no *at form before Linux 6.13; the magic link is the
	// directory itself, and the l-calls don't follow the last component.
	if e.Xattrs, err = xattrs(fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		if e.Link, err = readlink(dir, name); err != nil {
			return fmt.Errorf("%q: readlink: %w", path, err)
		}
	case unix.S_IFREG:
		if !w.opts.NoContent {
			if e.SHA256, err = w.content(dir, name, &st); err != nil {
				return fmt.Errorf("%q: %w", path, err)
			}
		}
	}
	w.add(e, &st)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || w.opts.OneFileSystem && st.Dev != w.dev {
		return nil
	}
	sub, err := retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return fmt.Errorf("%q: open: %w", path, err)
	}
	defer unix.Close(sub)
	return w.dir(sub, path+"/")
}

func entryOf(path string, st *unix.Stat_t) Entry {
	e := Entry{Path: path, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Size: st.Size,
		Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec, Nlink: uint64(st.Nlink)}
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		e.Rdev = uint64(st.Rdev)
	}
	return e
}

// content hashes a file, or takes the hash another of its names had.
func (w *walker) content(dir int, name string, st *unix.Stat_t) (string, error) {
	id := w.id(st)
	if sum, ok := w.sums[id]; ok {
		return sum, nil
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, w.buf)
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	if n != st.Size {
		return "", fmt.Errorf("read %d bytes of a file whose size is %d", n, st.Size)
	}
	sum := string(h.Sum(nil))
	if st.Nlink > 1 {
		w.sums[id] = sum
	}
	return sum, nil
}

// readNames is all names of a directory but the dots.
func readNames(fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 64<<10)
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(fd, buf) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return names, nil
		}
		for rest := buf[:n]; len(rest) > 0; {
			var used int
			used, _, names = unix.ParseDirent(rest, -1, names)
			rest = rest[used:]
		}
	}
}

func readlink(dir int, name string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := retry(func() (int, error) { return unix.Readlinkat(dir, name, buf) })
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

func fstat(fd int, st *unix.Stat_t) error {
	_, err := retry(func() (int, error) { return 0, unix.Fstat(fd, st) })
	return err
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
