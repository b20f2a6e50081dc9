package layerpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Base is a chain as a [cow.Base], by its index; a tar is opened when data of it
// is asked for. It may be used by several goroutines.
type Base struct {
	x      *Index
	hidden func(name string) bool
	files  *fileSet // the tars, then the index: the numbers of extents
}

// OpenBase opens the index of c. Hidden, when not nil, tells which extended
// attributes of the image the union that stands on it doesn't show.
func OpenBase(c cow.Chain, hidden func(name string) bool) (*Base, error) {
	x, err := OpenIndex(c.Index)
	if err != nil {
		return nil, err
	}
	if len(x.Layers()) != len(c.Layers) {
		x.Close()
		return nil, fmt.Errorf("index %s has %d layers, its chain %d: %w", c.Index, len(x.Layers()), len(c.Layers), ErrCorrupt)
	}
	for i, id := range x.Layers() {
		if id != c.Layers[i].DiffID {
			x.Close()
			return nil, fmt.Errorf("index %s: layer %d is %s, its chain has %s: %w", c.Index, i, id, c.Layers[i].DiffID, ErrCorrupt)
		}
	}
	if hidden == nil {
		hidden = func(string) bool { return false }
	}
	return &Base{x: x, hidden: hidden, files: newFileSet(append(tarPaths(c.Layers), c.Index))}, nil
}

// Close ends the use of the base, but not of data opened from it.
func (b *Base) Close() error { return errors.Join(b.x.Close(), b.files.close()) }

func (b *Base) find(path string) (NID, Attr, bool, error) {
	nid := b.x.Root()
	var a Attr
	if err := b.x.Stat(nid, &a); err != nil {
		return 0, a, false, err
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		if a.Mode&unix.S_IFMT != unix.S_IFDIR {
			return 0, a, false, nil
		}
		e, err := b.x.Lookup(nid, []byte(part))
		if errors.Is(err, fs.ErrNotExist) {
			return 0, a, false, nil
		}
		if err == nil {
			nid = e.NID
			err = b.x.Stat(nid, &a)
		}
		if err != nil {
			return 0, a, false, err
		}
	}
	return nid, a, true, nil
}

// there is find for what has to be there.
func (b *Base) there(path string) (NID, Attr, error) {
	nid, a, ok, err := b.find(path)
	if err == nil && !ok {
		err = fmt.Errorf("%s in the image: %w", path, fs.ErrNotExist)
	}
	return nid, a, err
}

// Lookup implements [cow.Base].
func (b *Base) Lookup(path string) (cow.Attr, bool, error) {
	_, a, ok, err := b.find(path)
	if err != nil || !ok {
		return cow.Attr{}, false, err
	}
	return a.cow(), true, nil
}

func (a *Attr) cow() cow.Attr {
	return cow.Attr{Mode: a.Mode, UID: a.UID, GID: a.GID, Rdev: a.Rdev, Size: a.Size, Mtime: a.Mtime, MtimeNsec: a.MtimeNsec}
}

// ReadDir implements [cow.Base].
func (b *Base) ReadDir(path string) ([]string, error) {
	nid, _, err := b.there(path)
	if err != nil {
		return nil, err
	}
	var names []string
	err = b.x.ReadDir(nid, 0, func(e *Dirent) bool {
		if n := string(e.Name); n != "." && n != ".." {
			names = append(names, n)
		}
		return true
	})
	return names, err
}

// Xattrs implements [cow.Base].
func (b *Base) Xattrs(path string) (map[string]string, error) {
	nid, _, err := b.there(path)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string)
	err = b.x.Xattrs(nid, func(name, value []byte) bool {
		if n := string(name); !b.hidden(n) {
			m[n] = string(value)
		}
		return true
	})
	return m, err
}

// Readlink implements [cow.Base].
func (b *Base) Readlink(path string) (string, error) {
	nid, _, err := b.there(path)
	if err != nil {
		return "", err
	}
	t, err := b.x.Readlink(nid)
	return string(t), err
}

// Inode implements [cow.Base].
func (b *Base) Inode(path string) (uint64, error) {
	nid, a, err := b.there(path)
	if err != nil || a.Nlink < 2 {
		return 0, err
	}
	return uint64(nid), nil
}

// Handles implements [cow.HandleBase]: those that a mounted index's files have,
// of Linux 6.13 (fs/erofs/super.c, erofs_encode_fh), and before (fs/libfs.c,
// generic_encode_ino32_fh). Generations are 0.
func (b *Base) Handles(path string) ([]string, error) {
	nid, _, err := b.there(path)
	if err != nil {
		return nil, err
	}
	const ino32, ino64 = 0x01, 0x81 // enum fid_type of include/linux/exportfs.h
	u32 := binary.NativeEndian.AppendUint32
	return []string{
		string(u32(u32(u32([]byte{ino64}, uint32(nid>>32)), uint32(nid)), 0)),
		string(u32(u32([]byte{ino32}, uint32(nid)), 0)),
	}, nil
}

// Open implements [cow.Base].
func (b *Base) Open(path string) (cow.Data, error) {
	nid, a, err := b.there(path)
	if err != nil {
		return nil, err
	}
	es, err := b.x.Extents(nid, 0, a.Size, nil)
	if err != nil {
		return nil, err
	}
	d := &packedData{files: b.files.use(), size: a.Size}
	at := int64(0)
	for _, e := range es {
		if e.Layer >= 0 {
			d.runs = append(d.runs, packedRun{run{at, e.Len, e.Off}, e.Layer})
		}
		at += e.Len
	}
	return d, nil
}

// fileSet are files with packed data, opened when they are needed and closed
// when nobody uses the set any more.
type fileSet struct {
	paths []string
	mu    sync.Mutex
	users int
	files []*os.File // nil: not open
}

func newFileSet(paths []string) *fileSet {
	return &fileSet{paths: paths, users: 1, files: make([]*os.File, len(paths))}
}

func tarPaths(layers []cow.Layer) []string {
	var paths []string
	for _, l := range layers {
		paths = append(paths, l.Tar())
	}
	return paths
}

func (s *fileSet) use() *fileSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	return s
}

func (s *fileSet) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	var err error
	for _, f := range s.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

func (s *fileSet) file(i int) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i >= len(s.files) {
		return nil, fmt.Errorf("%w: data in file %d of %d", ErrCorrupt, i, len(s.files))
	}
	if s.files[i] == nil {
		f, err := os.Open(s.paths[i])
		if err != nil {
			return nil, err
		}
		s.files[i] = f
	}
	return s.files[i], nil
}

// A packedRun is a run of a file's data in one of a set's files.
type packedRun struct {
	run
	file int
}

// packedData is a file of packed layers as [cow.Data].
type packedData struct {
	files *fileSet
	size  int64
	runs  []packedRun // of data, ascending
}

func (d *packedData) ReadAt(b []byte, off int64) (int, error) {
	if off >= d.size {
		return 0, io.EOF
	}
	short := off+int64(len(b)) > d.size
	if short {
		b = b[:d.size-off]
	}
	done, end := int64(0), int64(len(b))
	for _, r := range d.runs {
		if r.off+r.len <= off+done {
			continue
		}
		if r.off >= off+end {
			break
		}
		if hole := r.off - (off + done); hole > 0 {
			clear(b[done : done+hole])
			done += hole
		}
		in := off + done - r.off
		part := b[done:min(end, done+r.len-in)]
		f, err := d.files.file(r.file)
		if err != nil {
			return int(done), err
		}
		n, err := f.ReadAt(part, r.tar+in)
		done += int64(n)
		if n < len(part) {
			return int(done), fmt.Errorf("%s: %w: the file is too short: %w", f.Name(), ErrCorrupt, err)
		}
		if done == end {
			break
		}
	}
	clear(b[done:])
	if short {
		return len(b), io.EOF
	}
	return len(b), nil
}

// Extents implements [cow.Data].
func (d *packedData) Extents() ([]cow.Extent, error) {
	var out []cow.Extent
	for _, r := range d.runs {
		if n := len(out); n > 0 && out[n-1].Off+out[n-1].Len == r.off {
			out[n-1].Len += r.len
			continue
		}
		out = append(out, cow.Extent{Off: r.off, Len: r.len})
	}
	return out, nil
}

func (d *packedData) Close() error { return d.files.close() }

var _ cow.HandleBase = (*Base)(nil)
