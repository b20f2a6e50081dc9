package layerpack

import (
	"bytes"
	"io/fs"

	"golang.org/x/sys/unix"
)

// A directory is a list of blocks, each an array of entries followed by their
// names. Names ascend bytewise over the whole directory, "." and ".." among
// them, so a name is found by two binary searches.

// dirBlock is one block of a directory.
type dirBlock struct {
	b []byte
	n int // entries
}

// directory reads inode n, which must be a directory, and counts its blocks.
func (x *Index) directory(n NID, i *inode) (blocks int, err error) {
	if err := x.inode(n, i); err != nil {
		return 0, err
	}
	if i.mode&unix.S_IFMT != unix.S_IFDIR {
		return 0, unix.ENOTDIR
	}
	if i.layout != layoutPlain && i.layout != layoutInline || uint64(i.size) > uint64(len(x.m)) {
		return 0, x.corrupt("directory %d has layout %d and size %d", n, i.layout, i.size)
	}
	return int((i.size + blockSize - 1) >> blockBits), nil
}

// block is block k of directory i.
func (x *Index) block(i *inode, k int) (dirBlock, error) {
	size := min(blockSize, i.size-int64(k)<<blockBits)
	at := (uint64(i.u) + uint64(k)) << blockBits
	if last := int64(k+1)<<blockBits >= i.size; last && i.layout == layoutInline {
		at = i.tail()
	}
	b, err := x.span(at, uint64(size), i.nid)
	if err != nil {
		return dirBlock{}, err
	}
	if len(b) < direntSize {
		return dirBlock{}, x.corrupt("directory %d: block %d is too short", i.nid, k)
	}
	names := int(le.Uint16(b[8:]))
	if names < direntSize || names%direntSize != 0 || names > len(b) {
		return dirBlock{}, x.corrupt("directory %d: block %d has its names at %d", i.nid, k, names)
	}
	return dirBlock{b, names / direntSize}, nil
}

// name is the name of entry j; ok is false if it isn't within the block.
func (d dirBlock) name(j int) (name []byte, ok bool) {
	from, to := int(le.Uint16(d.b[j*direntSize+8:])), len(d.b)
	if j+1 < d.n {
		to = int(le.Uint16(d.b[(j+1)*direntSize+8:]))
	}
	if from < d.n*direntSize || from >= to || to > len(d.b) {
		return nil, false
	}
	name = d.b[from:to:to]
	if j+1 == d.n {
		if z := bytes.IndexByte(name, 0); z >= 0 {
			name = name[:z:z]
		}
	}
	return name, len(name) > 0 && len(name) <= maxName
}

// entry fills e with entry j but for its Off.
func (d dirBlock) entry(j int, name []byte, e *Dirent) {
	b := d.b[j*direntSize:]
	e.Name = name
	e.NID = NID(le.Uint64(b))
	e.Type = unix.DT_UNKNOWN
	if t := b[10]; int(t) < len(direntTypes) {
		e.Type = direntTypes[t]
	}
}

// Lookup finds name in dir. It fails with [fs.ErrNotExist], unwrapped, where
// there is none.
func (x *Index) Lookup(dir NID, name []byte) (Dirent, error) {
	var i inode
	blocks, err := x.directory(dir, &i)
	if err != nil {
		return Dirent{}, err
	}
	// The last block whose first name is not above name.
	var at dirBlock
	found := -1
	for lo, hi := 0, blocks; lo < hi; {
		mid := int(uint(lo+hi) >> 1)
		d, err := x.block(&i, mid)
		if err != nil {
			return Dirent{}, err
		}
		first, ok := d.name(0)
		if !ok {
			return Dirent{}, x.corrupt("directory %d: block %d has a bad name", dir, mid)
		}
		if bytes.Compare(first, name) <= 0 {
			at, found, lo = d, mid, mid+1
		} else {
			hi = mid
		}
	}
	if found < 0 {
		return Dirent{}, fs.ErrNotExist
	}
	for lo, hi := 0, at.n; lo < hi; {
		mid := int(uint(lo+hi) >> 1)
		got, ok := at.name(mid)
		if !ok {
			return Dirent{}, x.corrupt("directory %d: block %d has a bad name", dir, found)
		}
		switch c := bytes.Compare(got, name); {
		case c == 0:
			var e Dirent
			at.entry(mid, got, &e)
			e.Off = next(found, mid, at.n)
			return e, nil
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return Dirent{}, fs.ErrNotExist
}

// next is the offset that follows entry j of n in block k.
func next(k, j, n int) uint64 {
	if j+1 == n {
		return uint64(k+1) << blockBits
	}
	return uint64(k)<<blockBits + uint64(j+1)*direntSize
}

// ReadDir calls fn for the entries of dir from offset off on, "." and ".."
// included, until it returns false. The entry is only valid during the call,
// its name until Close. Off 0 is the beginning.
func (x *Index) ReadDir(dir NID, off uint64, fn func(*Dirent) bool) error {
	var i inode
	blocks, err := x.directory(dir, &i)
	if err != nil {
		return err
	}
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	if off>>blockBits >= uint64(blocks) {
		return nil
	}
	j := int(off&(blockSize-1)+direntSize-1) / direntSize
	for k := int(off >> blockBits); k < blocks; k, j = k+1, 0 {
		d, err := x.block(&i, k)
		if err != nil {
			return err
		}
		for ; j < d.n; j++ {
			name, ok := d.name(j)
			if !ok {
				return x.corrupt("directory %d: block %d has a bad name", dir, k)
			}
			d.entry(j, name, &s.dirent)
			s.dirent.Off = next(k, j, d.n)
			if !fn(&s.dirent) {
				return nil
			}
		}
	}
	return nil
}
