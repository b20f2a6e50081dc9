package buildcontext

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// dirTree is a directory of the host. The kernel follows no symbolic link in it.
type dirTree struct {
	dir  string
	root int // its descriptor

	mu   sync.Mutex
	free []*cow.DirBase // not in use; guarded by mu
}

func openDirTree(dir string) (*dirTree, error) {
	t := &dirTree{dir: dir}
	err := retry(func() (err error) {
		t.root, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return t, nil
}

func (t *dirTree) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.free {
		b.Close()
	}
	t.free = nil
	return unix.Close(t.root)
}

// openat opens what is at p.
func (t *dirTree) openat(p string, flags int) (fd int, err error) {
	if p = strings.TrimPrefix(p, "/"); p == "" {
		p = "."
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	err = retry(func() (err error) { fd, err = unix.Openat2(t.root, p, &how); return err })
	return fd, err
}

func (t *dirTree) stat(p string) (object, bool, error) {
	fd, err := t.openat(p, unix.O_PATH)
	if isGone(err) {
		return object{}, false, nil
	}
	if err != nil {
		return object{}, false, fmt.Errorf("stat %s: %w", p, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return object{}, false, fmt.Errorf("stat %s: %w", p, err)
	}
	return statObject(p[strings.LastIndexByte(p, '/')+1:], &st), true, nil
}

func statObject(name string, st *unix.Stat_t) object {
	o := object{name: name, attr: cow.Attr{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Size: st.Size, Mtime: st.Mtim.Sec, MtimeNsec: uint32(st.Mtim.Nsec),
	}}
	o.id = fileID{fileKey{st.Dev, st.Ino}, st.Ctim.Nano()}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		o.attr.Rdev = st.Rdev
	case unix.S_IFDIR:
		o.attr.Size = 0
		return o
	}
	if st.Nlink > 1 {
		o.link = o.id.fileKey
	}
	return o
}

func (t *dirTree) list(p string) ([]object, error) {
	fd, err := t.openat(p, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p, err)
	}
	defer unix.Close(fd)
	names, err := readNames(fd)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	slices.Sort(names)
	out := make([]object, 0, len(names))
	for _, name := range names {
		var st unix.Stat_t
		err := retry(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
		if err == unix.ENOENT {
			continue // it vanished since it was named
		}
		if err != nil {
			return nil, fmt.Errorf("stat %s/%s: %w", strings.TrimSuffix(p, "/"), name, err)
		}
		out = append(out, statObject(name, &st))
	}
	return out, nil
}

var direntBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// readNames lists the directory fd, which has not been read from.
func readNames(fd int) ([]string, error) {
	b := direntBuffers.Get().(*[]byte)
	defer direntBuffers.Put(b)
	buf := *b
	var names []string
	for {
		var n int
		err := retry(func() (err error) { n, err = unix.Getdents(fd, buf); return err })
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// with calls fn with a base of the directory that nobody else uses meanwhile.
func (t *dirTree) with(fn func(b *cow.DirBase) error) error {
	t.mu.Lock()
	var b *cow.DirBase
	if n := len(t.free); n > 0 {
		b, t.free = t.free[n-1], t.free[:n-1]
	}
	t.mu.Unlock()
	if b == nil {
		var err error
		// By the descriptor: the path may lead elsewhere by now.
		if b, err = cow.OpenTree(fmt.Sprintf("/proc/self/fd/%d/.", t.root)); err != nil {
			return err
		}
	}
	err := fn(b)
	t.mu.Lock()
	t.free = append(t.free, b)
	t.mu.Unlock()
	return err
}

func (t *dirTree) readlink(p string) (target string, err error) {
	err = t.with(func(b *cow.DirBase) error { target, err = b.Readlink(p); return err })
	return target, err
}

func (t *dirTree) xattrs(p string) (m map[string]string, err error) {
	err = t.with(func(b *cow.DirBase) error { m, err = b.Xattrs(p); return err })
	return carried(m), err
}

func (t *dirTree) open(p string) (d cow.Data, err error) {
	err = t.with(func(b *cow.DirBase) error { d, err = b.Open(p); return err })
	return d, err
}

// carried are those of the attributes that a layer carries.
func carried(m map[string]string) map[string]string {
	for name := range m {
		if !cow.Carried(name) {
			delete(m, name)
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// retry repeats f while it is interrupted. EAGAIN is openat2's: a rename raced with it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR && err != unix.EAGAIN {
			return err
		}
	}
}
