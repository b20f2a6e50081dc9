package unionfs

import (
	"fmt"
	"os"
	"sort"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dirsLower is a lower made of plain directories, merged while it is read.
// Whiteouts and opaque directories are honoured in every dialect of package
// whiteout; redirects as overlayfs writes them.
type dirsLower struct {
	paths    []string // topmost first
	roots    []int    // O_PATH, the same order
	devs     map[uint64]uint64
	override bool // override_stat is read
	handles  *handles
	top      *dirObj
}

// dirObj is an object of a dirsLower. It is made when its directory is read
// and lives as long as that is remembered.
type dirObj struct {
	id   uint64 // shown inode number
	slot uint64 // spreads descriptors over the cache
	typ  uint32
	locs []loc // where it may be, topmost first; only a directory has more than one. Immutable once its directory was read

	mu     sync.Mutex // protects what follows; held while a directory is read
	loaded bool
	list   []lowerEntry // sorted by name; off is the index + 3
}

// loc is a path in one of the lower directories.
type loc struct {
	layer int
	path  string // relative, "." for the root
}

func newDirsLower(paths []string, override bool) (_ *dirsLower, err error) {
	d := &dirsLower{paths: paths, devs: make(map[uint64]uint64), handles: newHandles(256), override: override}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if len(paths) == 0 {
		return nil, fmt.Errorf("union: no lower directory: %w", unix.EINVAL)
	}
	d.top = &dirObj{typ: unix.S_IFDIR}
	for i, p := range paths {
		fd, err := openDirPath(unix.AT_FDCWD, p)
		if err != nil {
			return nil, fmt.Errorf("lower directory %s: %w", p, err)
		}
		d.roots = append(d.roots, fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, fmt.Errorf("lower directory %s: %w", p, err)
		}
		d.device(st.Dev)
		if i == 0 {
			d.top.id = d.number(&st)
		}
		d.top.locs = append(d.top.locs, loc{i, "."})
	}
	return d, nil
}

// device gives each filesystem of the lowers a number of its own, in the order
// of the layers, so that it is the same at the next mount.
func (d *dirsLower) device(dev uint64) uint64 {
	n, ok := d.devs[dev]
	if !ok {
		n = uint64(len(d.devs))
		d.devs[dev] = n
	}
	return n
}

// number is the inode number shown for an object with that stat. A device that
// is none of the layers' (something is mounted in one) gets a number derived
// from its own.
func (d *dirsLower) number(st *unix.Stat_t) uint64 {
	n, ok := d.devs[st.Dev]
	if !ok {
		n = 0x1000 | st.Dev&0xfff
	}
	return (n<<48 ^ st.Ino) & (upperTag - 1)
}

func (d *dirsLower) identity() string {
	parts := make([]string, 0, len(d.roots))
	for _, fd := range d.roots {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			parts = append(parts, fmt.Sprint(st.Ino))
		}
	}
	return lowerIdentity(parts...)
}

func (d *dirsLower) root() lowerRef          { return lowerRef{obj: d.top} }
func (d *dirsLower) ino(r lowerRef) uint64   { return r.obj.id }
func (d *dirsLower) layer(r lowerRef) string { return d.paths[r.obj.locs[0].layer] }

// how says that a path of a lower is followed through directories only.
func how(flags int) *unix.OpenHow {
	return &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
}

func (d *dirsLower) openLoc(l loc, flags int) (int, error) {
	var fd int
	err := eintr(func() (err error) { fd, err = unix.Openat2(d.roots[l.layer], l.path, how(flags)); return err })
	return fd, err
}

// handle returns an O_PATH descriptor of r's topmost place, cached.
func (d *dirsLower) handle(r lowerRef) (*handle, error) {
	return d.cached(r.obj, r.obj, unix.O_PATH)
}

// dataHandle returns a descriptor to read a file, cached.
func (d *dirsLower) dataHandle(r lowerRef) (*handle, error) {
	return d.cached(r.obj, r.obj.id, unix.O_RDONLY)
}

func (d *dirsLower) cached(o *dirObj, key any, flags int) (*handle, error) {
	if h := d.handles.get(o.slot, key); h != nil {
		return h, nil
	}
	fd, err := d.openLoc(o.locs[0], flags)
	if err != nil {
		return nil, err
	}
	if flags == unix.O_RDONLY {
		if err := hasData(fd); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	h := newHandle(fd, false)
	d.handles.add(o.slot, key, h)
	return h, nil
}

func (d *dirsLower) with(r lowerRef, fn func(p at) error) error {
	h, err := d.handle(r)
	if err != nil {
		return err
	}
	defer h.put()
	return fn(at{h.fd, ""})
}

func (d *dirsLower) attr(r lowerRef, a *fuse.Attr) error {
	return d.with(r, func(p at) error {
		var st unix.Stat_t
		if err := p.stat(&st); err != nil {
			return err
		}
		statAttr(&st, a)
		a.Ino = r.obj.id
		if len(r.obj.locs) > 1 {
			a.Nlink = 1
		}
		if d.override {
			if v, err := p.getxattr(overrideXattr); err == nil {
				o, err := parseOverride(string(v))
				if err != nil {
					return err
				}
				o.apply(a)
			}
		}
		return nil
	})
}

func (d *dirsLower) lookup(dir lowerRef, name string) (lowerEntry, error) {
	list, err := d.load(dir.obj)
	if err != nil {
		return lowerEntry{}, err
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].name >= name })
	if i == len(list) || list[i].name != name {
		return lowerEntry{}, unix.ENOENT
	}
	return list[i], nil
}

func (d *dirsLower) readdir(dir lowerRef, off uint64, fn func(e *lowerEntry) bool) error {
	list, err := d.load(dir.obj)
	if err != nil {
		return err
	}
	for i, dot := range []string{".", ".."} {
		if off <= uint64(i) && !fn(&lowerEntry{name: dot, typ: unix.S_IFDIR, off: uint64(i) + 1}) {
			return nil
		}
	}
	start := 0
	if off > 2 {
		start = int(min(off-2, uint64(len(list))))
	}
	for i := start; i < len(list); i++ {
		e := list[i]
		if !fn(&e) {
			break
		}
	}
	return nil
}

func (d *dirsLower) readlink(r lowerRef) ([]byte, error) {
	var s string
	err := d.with(r, func(p at) error {
		var st unix.Stat_t
		err := p.stat(&st)
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			s, err = p.readlink()
			return err
		}
		b, err := os.ReadFile(p.path()) // kept as a file by override_stat
		s = string(b)
		return err
	})
	return []byte(s), err
}

func (d *dirsLower) getxattr(r lowerRef, name string) (v []byte, err error) {
	err = d.with(r, func(p at) error { v, err = p.getxattr(name); return err })
	if isErrno(err, unix.EOPNOTSUPP) {
		err = unix.ENODATA
	}
	return v, err
}

func (d *dirsLower) listxattr(r lowerRef, fn func(name string)) error {
	return d.with(r, func(p at) error {
		names, err := p.listxattr()
		for _, name := range names {
			fn(name)
		}
		return err
	})
}

// hasData refuses a file whose data the kernel's overlay left in a layer below
// (metacopy): its zeros would be a lie. Such a file occupies no blocks.
func hasData(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Size == 0 || st.Blocks > 0 {
		return nil
	}
	for _, namespace := range []string{trustedMarks, userMarks} {
		if _, err := unix.Fgetxattr(fd, namespace+markMetacopy, nil); err == nil {
			return unix.EIO
		}
	}
	return nil
}

func (d *dirsLower) readAt(r lowerRef, b []byte, off int64) (int, error) {
	h, err := d.dataHandle(r)
	if err != nil {
		return 0, err
	}
	defer h.put()
	return preadFull(h.fd, b, off)
}

func (d *dirsLower) seek(r lowerRef, off int64, whence int) (int64, error) {
	h, err := d.dataHandle(r)
	if err != nil {
		return 0, err
	}
	defer h.put()
	return unix.Seek(h.fd, off, whence)
}

func (d *dirsLower) copyTo(r lowerRef, dst int, size int64) error {
	fd, err := d.openLoc(r.obj.locs[0], unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := hasData(fd); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if size == st.Size && unix.IoctlFileClone(dst, fd) == nil {
		return nil
	}
	return copySparse(fd, dst, size)
}

func (d *dirsLower) statfs(out *fuse.StatfsOut) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.roots[0], &st); err != nil {
		return err
	}
	fillStatfs(out, &st)
	return nil
}

func (d *dirsLower) close() error {
	d.handles.purge()
	for _, fd := range d.roots {
		unix.Close(fd)
	}
	d.roots = nil
	return nil
}
