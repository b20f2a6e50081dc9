package unionfs

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// FS is a union: a lower that never changes, and an upper directory, if it has
// one, that takes every change. It answers the kernel as a
// [fuse.RawFileSystem]. See the package comment for the order of its locks.
type FS struct {
	fuse.RawFileSystem // answers ENOSYS to what is not implemented here

	opts  Options
	marks whiteout.Namespace // of the union's own attributes; immutable
	lower lower
	upper *upperDir // nil: read-only
	uids  idMap
	gids  idMap

	nodes table
	ids   identities
	root  *node

	rootAliased atomic.Bool // whether the root is shown by its second id, see mount_detached.go

	pass *passthrough // nil: every read and write comes here. Set before the mount.

	files *handles // upper files
	dirs  *handles // upper directories, O_PATH

	places  sync.RWMutex // where directories are: read to find a path, written to rename one
	gone    goneRecords
	index   *linkIndex     // nil: hard links stay together without. Set before the mount.
	copying [64]sync.Mutex // one copy-up of a node at a time, by node id

	counts [opcodeCount]atomic.Uint64
	closed sync.Once

	// killSetgid: the flags of SETXATTR mean something (FUSE_SETXATTR_EXT).
	// Immutable once requests are answered.
	killSetgid bool
}

// New builds a union. Nothing is mounted yet.
func New(o Options) (*FS, error) {
	f := &FS{RawFileSystem: fuse.NewDefaultRawFileSystem(), opts: o}
	var id string
	ns, err := o.marksNamespace()
	f.marks = whiteout.Namespace(ns)
	dirs := new(privateDirs)
	if o.Index == nil {
		dirs = openPrivate(&o)
	}
	defer dirs.close()
	if o.Index != nil {
		if want := len(o.Index.Layers()); len(o.Tars) != want && !o.noData && err == nil {
			err = fmt.Errorf("union: %d tars for an index of %d layers", len(o.Tars), want)
		}
		f.lower = newPacked(o.Index, o.Tars)
		var ids []string
		for _, d := range o.Index.Layers() {
			ids = append(ids, d.String())
		}
		id = lowerIdentity(ids...)
	} else {
		d, derr := newDirsLower(dirs, o.LowerDirs, o.DataDirs, o.Override == OverrideAlways)
		if derr != nil {
			return nil, derr
		}
		f.lower, id = d, d.identity()
		d.userMarks = f.marks == whiteout.UserXattr
	}
	if err == nil {
		err = f.setup(id, dirs)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *FS) setup(lowerID string, dirs *privateDirs) error {
	if err := f.setupIDs(); err != nil {
		return err
	}
	limit := f.opts.MaxOpen
	if limit <= 0 {
		var r unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
			return err
		}
		limit = int(min(1024, r.Cur/4))
	}
	f.files, f.dirs = newHandles(limit), newHandles(limit)
	if f.opts.Upper != "" {
		var err error
		if f.upper, err = openUpper(dirs, &f.opts, lowerID); err != nil {
			return fmt.Errorf("union: %w", err)
		}
	}
	if err := f.setupRoot(); err != nil {
		return err
	}
	if f.upper != nil {
		if err := f.readGone(); err != nil {
			return fmt.Errorf("union: %w", err)
		}
		if err := f.setupIndex(); err != nil {
			return fmt.Errorf("union: %w", err)
		}
		if err := f.completeGroups(); err != nil {
			return fmt.Errorf("union: %w", err)
		}
	}
	return nil
}

func (f *FS) setupIDs() error {
	f.uids = idMap{ranges: f.opts.UIDMap, squash: -1}
	f.gids = idMap{ranges: f.opts.GIDMap, squash: -1}
	if id := f.opts.SquashUID; id != nil {
		f.uids.squash = int64(*id)
	}
	if id := f.opts.SquashGID; id != nil {
		f.gids.squash = int64(*id)
	}
	if f.opts.KeepUnmapped {
		return nil
	}
	var err error
	if f.uids.shown, err = knownIDs("/proc/self/uid_map"); err != nil {
		return err
	}
	f.gids.shown, err = knownIDs("/proc/self/gid_map")
	return err
}

// setupRoot makes the root's node: id 1, with a reference that is never given back.
func (f *FS) setupRoot() error {
	r := &node{typ: unix.S_IFDIR, lower: f.lower.root(), dir: new(dirState)}
	r.refs.Store(1)
	if f.upper != nil {
		a := at{f.upper.root, ""}
		m, err := f.upper.readMarks(a)
		if err != nil {
			return fmt.Errorf("union: upper directory %s: %w", f.opts.Upper, err)
		}
		if m.opaque {
			r.lower = lowerRef{}
		}
		var st unix.Stat_t
		if err := a.stat(&st); err != nil {
			return fmt.Errorf("union: upper directory %s: %w", f.opts.Upper, err)
		}
		fd, err := unix.FcntlInt(uintptr(f.upper.root), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("union: upper directory %s: %w", f.opts.Upper, err)
		}
		up := f.newUpperObj(r, &st, m)
		up.pin.Store(newHandle(fd, false))
		r.dir.xwh = m.xwh
		r.up.Store(up)
		f.ids.put(up.key, r)
	} else {
		f.ids.put(f.lower.ino(r.lower), r)
	}
	f.nodes.next = fuse.FUSE_ROOT_ID
	f.nodes.add(r)
	f.nodes.alias(r)
	f.root = r
	return nil
}

// Nodes is the number of inodes the union keeps in memory.
func (f *FS) Nodes() int { return f.nodes.count() }

// Close closes every descriptor, those of the lower included. It is called by
// [Server] when the mount is gone; only a union that was never mounted needs
// it from elsewhere. Closing twice is no error.
func (f *FS) Close() error {
	var err error
	f.closed.Do(func() {
		if f.files != nil {
			f.files.purge()
			f.dirs.purge()
		}
		f.nodes.each(func(n *node) {
			if up := n.up.Load(); up != nil {
				if h := up.pin.Swap(nil); h != nil {
					h.put()
				}
			}
		})
		if f.upper != nil {
			f.upper.close()
		}
		if f.index != nil {
			unix.Close(f.index.dir)
		}
		if f.pass != nil {
			f.pass.close()
		}
		err = f.lower.close()
	})
	return err
}

// node returns the node of a request, nil when the kernel made its id up.
func (f *FS) node(id uint64) *node { return f.nodes.get(id) }

// unref gives back k references of n. The last one buries it, and gives back
// its reference on its parent.
func (f *FS) unref(n *node, k int64) {
	for n != nil && n.refs.Add(-k) == 0 {
		n, k = f.bury(n), 1
	}
}

// bury removes every trace of a dead node and returns its parent.
func (f *FS) bury(n *node) *node {
	if n.lower.ok() {
		f.ids.drop(f.lower.ino(n.lower), n)
	}
	if up := n.up.Load(); up != nil {
		f.ids.drop(up.key, n)
		f.files.drop(n.id, n)
		f.dirs.drop(n.id, n)
		if h := up.pin.Swap(nil); h != nil {
			h.put()
		}
	}
	f.nodes.remove(n)
	return n.parent
}

// adopt makes n known under key, with one reference for the caller. When
// another node has the key already, that one is returned and n is discarded.
// parent and name become n's place; parent is nil for what has no name.
func (f *FS) adopt(n *node, key uint64, parent *node, name string) (*node, error) {
	n.refs.Store(1)
	n.parent, n.name = parent, name
	if !f.nodes.add(n) {
		return nil, unix.ENFILE
	}
	if parent != nil {
		parent.refs.Add(1)
	}
	if old := f.ids.put(key, n); old != n {
		f.nodes.remove(n)
		if parent != nil {
			parent.refs.Add(-1)
		}
		return old, nil
	}
	return n, nil
}
