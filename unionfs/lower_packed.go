package unionfs

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/layerpack"
)

// packed is a lower made of packed layers: the merged index answers for names
// and attributes, the tars hold the data, and the index that of some sparse
// files. One descriptor a layer and one of the index, no more.
type packed struct {
	index *layerpack.Index
	tars  []*os.File // bottom first
	fds   []int      // of the tars, then of the index: the numbers of extents
	bufs  sync.Pool  // *[]layerpack.Extent
}

func newPacked(index *layerpack.Index, tars []*os.File) *packed {
	p := &packed{index: index, tars: tars}
	for _, t := range tars {
		p.fds = append(p.fds, int(t.Fd()))
	}
	p.fds = append(p.fds, int(index.File().Fd()))
	p.bufs.New = func() any { s := make([]layerpack.Extent, 0, 16); return &s }
	return p
}

func (p *packed) root() lowerRef { return lowerRef{nid: p.index.Root()} }

func (p *packed) ino(r lowerRef) uint64 { return uint64(r.nid) }

func (p *packed) attr(r lowerRef, a *fuse.Attr) error {
	var at layerpack.Attr
	if err := p.index.Stat(r.nid, &at); err != nil {
		return err
	}
	*a = fuse.Attr{
		Ino: uint64(r.nid), Size: uint64(at.Size), Mode: at.Mode, Nlink: at.Nlink,
		Owner: fuse.Owner{Uid: at.UID, Gid: at.GID}, Rdev: uint32(at.Rdev),
		Mtime: uint64(at.Mtime), Mtimensec: at.MtimeNsec, Blksize: 4096,
	}
	// A tar carries one time; it stands for all three.
	a.Atime, a.Atimensec, a.Ctime, a.Ctimensec = a.Mtime, a.Mtimensec, a.Mtime, a.Mtimensec
	if at.Mode&unix.S_IFMT == unix.S_IFREG {
		a.Blocks = (a.Size + 511) / 512
		if at.Chunks > 1 && at.Chunks <= countedChunks || at.Chunks == 1 && at.Size >= holesFrom {
			a.Blocks = 0
			return p.extents(r, 0, at.Size, func(e layerpack.Extent) error {
				if e.Layer >= 0 {
					a.Blocks += uint64(e.Len+511) / 512
				}
				return nil
			})
		}
	}
	return nil
}

// Holes count for st_blocks, by which programs tell whether to look for them. They
// are looked for themselves in files of several chunks, unless these are so many that
// a stat would take milliseconds, and in large files of one, which may be all hole.
const (
	countedChunks = 1 << 18
	holesFrom     = 64 << 10
)

func (p *packed) lookup(dir lowerRef, name string) (lowerEntry, error) {
	e, err := p.index.Lookup(dir.nid, unsafe.Slice(unsafe.StringData(name), len(name)))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return lowerEntry{}, unix.ENOENT
		}
		return lowerEntry{}, err
	}
	return lowerEntry{name: mapped(e.Name), ref: lowerRef{nid: e.NID}, typ: uint32(e.Type) << 12, off: e.Off}, nil
}

// mapped is a string over memory of the index, which outlives every node.
func mapped(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (p *packed) readdir(dir lowerRef, off uint64, fn func(e *lowerEntry) bool) error {
	var le lowerEntry
	return p.index.ReadDir(dir.nid, off, func(e *layerpack.Dirent) bool {
		le = lowerEntry{name: mapped(e.Name), typ: uint32(e.Type) << 12, off: e.Off}
		if le.name != "." && le.name != ".." {
			le.ref.nid = e.NID
		}
		return fn(&le)
	})
}

func (p *packed) readlink(r lowerRef) ([]byte, error) { return p.index.Readlink(r.nid) }

func (p *packed) getxattr(r lowerRef, name string) ([]byte, error) {
	v, err := p.index.Xattr(r.nid, unsafe.Slice(unsafe.StringData(name), len(name)))
	if errors.Is(err, layerpack.ErrNoXattr) {
		return nil, unix.ENODATA
	}
	return v, err
}

func (p *packed) listxattr(r lowerRef, fn func(name string)) error {
	return p.index.Xattrs(r.nid, func(name, _ []byte) bool { fn(string(name)); return true })
}

func (p *packed) escaped() bool { return false }

// extents calls fn for each run of [off, off+length) that lies in the file.
func (p *packed) extents(r lowerRef, off, length int64, fn func(e layerpack.Extent) error) error {
	bp := p.bufs.Get().(*[]layerpack.Extent)
	defer p.bufs.Put(bp)
	ext, err := p.index.Extents(r.nid, off, length, (*bp)[:0])
	*bp = ext[:0]
	if err != nil {
		return err
	}
	for _, e := range ext {
		if e.Layer >= len(p.fds) {
			return layerpack.ErrCorrupt
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *packed) readAt(r lowerRef, b []byte, off int64) (int, error) {
	var done int
	err := p.extents(r, off, int64(len(b)), func(e layerpack.Extent) error {
		dst := b[done:min(len(b), done+int(e.Len))]
		if e.Layer < 0 {
			clear(dst)
			done += len(dst)
			return nil
		}
		n, err := preadFull(p.fds[e.Layer], dst, e.Off)
		done += n
		if err == nil && n < len(dst) {
			return layerpack.ErrCorrupt // the tar is shorter than the index says
		}
		return err
	})
	return done, err
}

func (p *packed) seek(r lowerRef, off int64, whence int) (int64, error) {
	var a layerpack.Attr
	if err := p.index.Stat(r.nid, &a); err != nil {
		return 0, err
	}
	if off < 0 || off >= a.Size {
		return 0, unix.ENXIO
	}
	at, found := off, int64(-1)
	err := p.extents(r, off, a.Size-off, func(e layerpack.Extent) error {
		if found < 0 && (e.Layer < 0) == (whence == unix.SEEK_HOLE) {
			found = at
		}
		at += e.Len
		return nil
	})
	if err != nil {
		return 0, err
	}
	if found < 0 {
		if whence == unix.SEEK_DATA {
			return 0, unix.ENXIO
		}
		found = a.Size // the end of a file is a hole
	}
	return found, nil
}

func (p *packed) copyTo(r lowerRef, dst int, size int64) error {
	var at int64
	err := p.extents(r, 0, size, func(e layerpack.Extent) error {
		if e.Layer >= 0 {
			if err := copyRange(p.fds[e.Layer], e.Off, dst, at, e.Len); err != nil {
				return err
			}
		}
		at += e.Len
		return nil
	})
	if err != nil {
		return err
	}
	return unix.Ftruncate(dst, size)
}

func (p *packed) layer(r lowerRef) string {
	var a layerpack.Attr
	if err := p.index.Stat(r.nid, &a); err != nil || a.Layer < 0 {
		return ""
	}
	if ids := p.index.Layers(); a.Layer < len(ids) {
		return ids[a.Layer].String()
	}
	return ""
}

func (p *packed) statfs(out *fuse.StatfsOut) error {
	if len(p.tars) == 0 {
		out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(p.fds[0], &st); err != nil {
		return err
	}
	fillStatfs(out, &st)
	return nil
}

func (p *packed) close() error {
	var errs []error
	for _, t := range p.tars {
		errs = append(errs, t.Close())
	}
	return errors.Join(append(errs, p.index.Close())...)
}
