package unionfs

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// indexDir, in the work directory, is the index that the kernel's overlayfs keeps
// hard links together with (overlayfs.rst, "Index"; index=on): of a lower
// hard-link group that was copied up it holds one more link to the copy, under
// the handle of the lower inode. A name of the group that still leads to the
// lower file shows the copy.
const indexDir = "index"

const (
	// markKernelOrigin holds the handle of the lower inode, see kernelHandle.
	markKernelOrigin = string(whiteout.KeyOrigin)
	// markImpure, of an upper directory, tells that it may hold objects with an
	// origin: y.
	markImpure = string(whiteout.KeyImpure)
	// markUpper, of the index, holds the handle of the upper directory.
	markUpper = string(whiteout.KeyUpper)
	// markNlink tells how many names of an inode in the index show: how many more
	// than it has links, U+N or U-N, or than the lower inode has, L+N or L-N
	// (fs/overlayfs/util.c, ovl_set_nlink_common).
	markNlink = string(whiteout.KeyNlink)
)

// linkIndex is the index as this mount knows it.
type linkIndex struct {
	dir   int // O_PATH
	lower handled

	// mu is held while an entry comes or goes together with what the nodes know
	// of it, and for reading to look one up.
	mu      sync.RWMutex
	entries map[string][]*indexEntry // by kernelHandle.inode
	inodes  map[uint64]*indexEntry   // by inode number in the upper
}

// indexEntry is an inode in the index. It is immutable.
type indexEntry struct {
	name string
	uuid fsUUID
	ino  uint64
}

// handled is a lower whose files have handles.
type handled interface {
	// handle returns the handle of a file that is no directory, and how many links
	// the inode has on its filesystem. The handle is nil for one with a single link.
	handle(r lowerRef) (h kernelHandle, links uint64, err error)
	// handles tells whether an index can be written for this lower.
	handles() error
	// rootHandle is that of the topmost layer.
	rootHandle() (kernelHandle, error)
}

// openIndex opens what index the work directory has. It is nil if there is none,
// or none that could be about this lower; with make there always is one.
func (f *FS) openIndex(make bool) (*linkIndex, error) {
	low, ok := f.lower.(handled)
	if make && !ok {
		return nil, fmt.Errorf("index=on: packed layers have no file handles: %w", unix.EOPNOTSUPP)
	}
	if make {
		if err := f.canIndex(low); err != nil {
			return nil, fmt.Errorf("index=on: %w", err)
		}
	}
	d, err := openDirPath(f.upper.workdir, indexDir)
	if err == unix.ENOENT && (!make || !ok) || err == nil && !ok {
		if err == nil {
			unix.Close(d)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	x := &linkIndex{dir: d, lower: low}
	if err := x.load(); err != nil {
		unix.Close(d)
		return nil, err
	}
	return x, nil
}

// canIndex tells what an index can't be written for, makes its directory, and
// ties the upper directory to the lower, and the index to the upper directory, as
// the kernel does: it refuses them in another combination.
func (f *FS) canIndex(low handled) error {
	u := f.upper
	if u.marks != trustedMarks || !u.caps {
		return fmt.Errorf("needs root, outside of user namespaces, and no userxattr: %w", unix.EPERM)
	}
	if err := low.handles(); err != nil {
		return err
	}
	if err := unix.Mkdirat(u.workdir, indexDir, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	root, err := low.rootHandle()
	if err != nil {
		return err
	}
	if err := u.tie(at{u.root, ""}, markKernelOrigin, root); err != nil {
		return fmt.Errorf("the upper directory belongs to another lower directory: %w", err)
	}
	uuid, err := uuidOf(u.root)
	if err != nil {
		return fmt.Errorf("the UUID of the filesystem of the upper directory: %w", err)
	}
	up, err := handleOf(at{u.root, ""}, uuid, true)
	if err != nil {
		return fmt.Errorf("the filesystem of the upper directory has no file handles: %w", err)
	}
	d, err := openDirPath(u.workdir, indexDir)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	if err := u.tie(at{d, ""}, markUpper, up); err != nil {
		return fmt.Errorf("the work directory belongs to another upper directory: %w", err)
	}
	return nil
}

// tie writes a handle into a mark unless there is one; ESTALE if it is another.
func (u *upperDir) tie(p at, mark string, h kernelHandle) error {
	v, err := p.getxattr(u.marks + mark)
	if isErrno(err, unix.ENODATA) {
		return p.setxattr(u.marks+mark, h, 0)
	}
	if err == nil && string(v) != string(h) {
		err = unix.ESTALE
	}
	return err
}

// load reads the names of the index. Whiteouts, directories and names of other
// kinds, which exporting by NFS makes, are the kernel's own.
func (x *linkIndex) load() error {
	x.entries, x.inodes = make(map[string][]*indexEntry), make(map[uint64]*indexEntry)
	list, err := readNames(x.dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		h, ok := parseHandle(e.name)
		if !ok {
			continue
		}
		var st unix.Stat_t
		if err := (at{x.dir, e.name}).stat(&st); err != nil {
			return err
		}
		if typ := st.Mode & unix.S_IFMT; typ != unix.S_IFDIR && !(typ == unix.S_IFCHR && st.Rdev == 0) {
			x.add(h, st.Ino)
		}
	}
	return nil
}

// add requires mu, or that nobody else knows x.
func (x *linkIndex) add(h kernelHandle, ino uint64) *indexEntry {
	e := &indexEntry{name: h.name(), uuid: h.uuid(), ino: ino}
	x.entries[h.inode()] = append(x.entries[h.inode()], e)
	x.inodes[ino] = e
	return e
}

// find returns the entry of the inode with that handle, nil if there is none. A
// handle, here or there, may lack the UUID.
func (x *linkIndex) find(h kernelHandle) *indexEntry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var some *indexEntry
	all := x.entries[h.inode()]
	for _, e := range all {
		if e.uuid == h.uuid() {
			return e
		}
		if e.uuid == (fsUUID{}) || h.uuid() == (fsUUID{}) && len(all) == 1 {
			some = e
		}
	}
	return some
}

// of returns the entry of a lower file, nil if it has none.
func (x *linkIndex) of(r lowerRef) (*indexEntry, error) {
	x.mu.RLock()
	none := len(x.entries) == 0
	x.mu.RUnlock()
	if none {
		return nil, nil
	}
	h, _, err := x.lower.handle(r)
	if h == nil || err != nil {
		return nil, err
	}
	return x.find(h), nil
}

// with returns the entry of an inode of the upper, nil if it has none.
func (x *linkIndex) with(ino uint64) *indexEntry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.inodes[ino]
}

func (x *linkIndex) list() []*indexEntry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := make([]*indexEntry, 0, len(x.inodes))
	for _, e := range x.inodes {
		all = append(all, e)
	}
	return all
}

// remove takes an entry away. Requires mu, or that nobody else knows x.
func (x *linkIndex) remove(e *indexEntry) error {
	if err := unix.Unlinkat(x.dir, e.name, 0); err != nil && err != unix.ENOENT {
		return err
	}
	delete(x.inodes, e.ino)
	h, _ := parseHandle(e.name)
	if rest := keep(x.entries[h.inode()], func(o *indexEntry) bool { return o != e }); len(rest) > 0 {
		x.entries[h.inode()] = rest
	} else {
		delete(x.entries, h.inode())
	}
	return nil
}

func (x *linkIndex) at(e *indexEntry) at { return at{x.dir, e.name} }

// nlinkMark is the value of markNlink.
func nlinkMark(of byte, more int64) []byte { return fmt.Appendf(nil, "%c%+d", of, more) }

// parseNlink reads a markNlink: how many more names than what.
func parseNlink(s string) (of byte, more int64, ok bool) {
	if len(s) < 3 || s[0] != 'U' && s[0] != 'L' || s[1] != '+' && s[1] != '-' {
		return 0, 0, false
	}
	more, err := strconv.ParseInt(s[1:], 10, 32)
	return s[0], more, err == nil
}

// indexNode returns the node of what the index has in place of the lower's
// entry e in directory p; nil if it has nothing.
func (f *FS) indexNode(p *node, e *lowerEntry) (*node, error) {
	if f.index == nil || e.typ == unix.S_IFDIR {
		return nil, nil
	}
	x, err := f.index.of(e.ref)
	if x == nil || err != nil {
		return nil, err
	}
	var a fuse.Attr
	n, err := f.upperNodeAs(p, e.name, f.index.at(x), &a)
	if errors.Is(err, unix.ENOENT) {
		err = unix.ESTALE
	}
	return n, err
}
