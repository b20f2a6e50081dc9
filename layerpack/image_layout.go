package layerpack

import (
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// Where everything lies in an image:
//
//	0       nothing
//	1024    superblock
//	1152    one slot a layer, 128 bytes each
//	meta    inodes, the root first, then the children of one directory after
//	        the other, depth first; each followed by its extended attributes
//	        and by its link target, short directory or chunk indexes
//	data    the directories and link targets that don't fit behind their inode,
//	        then the composed chunks of sparse files
//
// Metadata that is used together lies together: a directory's children are one
// run of inodes.

// A place is where an inode goes.
type place struct {
	*node
	xattrSize int
	inline    bool
	block     uint32 // of plain data, or of the composed chunks
	chunkBits int
	chunks    int64
	composed  int64 // blocks of its composed chunks
}

// image is a merged tree with a place for everything.
type image struct {
	bits   int // of a block: blockBits, but for tests of the format
	layers []tarRef
	places []place // in the order of the image
	meta   uint64  // offset, bytes
	next   uint64  // while placing: end of the last inode, from meta
	blocks uint32  // all of the image's
	data   []int32 // places whose data has blocks of its own, in order
	chunks int64

	composed       []int32 // places with composed chunks, in order
	composedBlocks int64   // of them all
	storedBytes    int64   // of them all, in their tars
}

// tarRef is one layer as the device table names it.
type tarRef struct {
	hex  string      // 64 digits of the diff ID
	size int64       // of the tar, bytes
	data io.ReaderAt // the tar, for what must be composed
}

// layout finds a place for root and all below it.
func layout(root *node, layers []tarRef, bits int) (*image, error) {
	im := &image{bits: bits, layers: layers, next: nidSize} // nid 0 stays free
	im.meta = align(im.headSize(), im.block())
	if err := im.directory(root); err != nil {
		return nil, err
	}
	if err := im.place(root); err != nil {
		return nil, err
	}
	if err := im.children(root); err != nil {
		return nil, err
	}
	at := im.count(im.meta + im.next)
	for _, k := range im.data {
		p := &im.places[k]
		p.block = uint32(at)
		at += im.count(uint64(p.plainSize()))
		if at >= nullBlock {
			return nil, fmt.Errorf("%w: the index is larger than 2 TiB", ErrInvalid)
		}
	}
	for _, k := range im.composed {
		p := &im.places[k]
		p.block = uint32(at)
		if at += uint64(p.composed); at >= nullBlock {
			return nil, fmt.Errorf("%w: the index is larger than 2 TiB", ErrInvalid)
		}
	}
	im.blocks = uint32(at)
	return im, nil
}

// block is the size of a block, count the blocks that n bytes take.
func (im *image) block() uint64         { return 1 << im.bits }
func (im *image) count(n uint64) uint64 { return (n + im.block() - 1) >> im.bits }

// children places what dir holds, then what its subdirectories hold.
func (im *image) children(dir *node) error {
	for _, k := range dir.dir.sorted {
		if k.isDir() {
			if err := im.directory(k.node); err != nil {
				return err
			}
			dir.nlink++
		} else {
			k.nlink++
		}
		if k.nid == 0 {
			if err := im.place(k.node); err != nil {
				return fmt.Errorf("%q: %w", k.name, err)
			}
		}
	}
	for _, k := range dir.dir.sorted {
		if k.isDir() {
			if err := im.children(k.node); err != nil {
				return err
			}
		}
	}
	return nil
}

// directory sorts the names of n and sums up the size they take.
func (im *image) directory(n *node) error {
	d := n.dir
	n.nlink = 2
	d.sorted = d.names()
	full, used := int64(0), 0
	for name := range dirNames(d.sorted) {
		need := direntSize + len(name)
		if used+need > int(im.block()) {
			full, used = full+1, 0
		}
		used += need
	}
	d.size = full<<im.bits + int64(used)
	return nil
}

// dirNames are the names that a directory with these children lists, in order.
func dirNames(kids []kid) func(func(string) bool) {
	return func(yield func(string) bool) {
		extra := [...]string{".", ".."}
		e := 0
		for _, k := range kids {
			for e < len(extra) && extra[e] < k.name {
				if !yield(extra[e]) {
					return
				}
				e++
			}
			if !yield(k.name) {
				return
			}
		}
		for ; e < len(extra); e++ {
			if !yield(extra[e]) {
				return
			}
		}
	}
}

// plainSize is the size of what the inode holds besides chunks.
func (p *place) plainSize() int64 {
	switch {
	case p.isDir():
		return p.dir.size
	case p.isLink():
		return int64(len(p.target()))
	}
	return 0
}

// place finds room for the inode n and what follows it.
func (im *image) place(n *node) error {
	p := place{node: n, xattrSize: xattrRoom(n.xattrs())}
	if (p.xattrSize-xattrHeaderSize)/xattrEntrySize+1 > 0xffff {
		return fmt.Errorf("%w: %d bytes of extended attributes", ErrInvalid, p.xattrSize)
	}
	head := uint64(inodeSize + p.xattrSize)
	tail := uint64(p.plainSize())
	at := align(im.next, nidSize)
	if at&(im.block()-1)+inodeSize > im.block() {
		at = align(at, im.block())
	}
	switch {
	case n.mode&unix.S_IFMT == unix.S_IFREG && n.size > 0:
		im.chunk(&p)
		if im.chunks += p.chunks; im.chunks > maxChunkIndexes {
			return fmt.Errorf("%w: sparse files in too many pieces", ErrBomb)
		}
		if p.composed > 0 {
			if err := im.compose(&p); err != nil {
				return err
			}
		}
		head = align(head, chunkIndexSize)
		tail = uint64(p.chunks) * chunkIndexSize
	case tail > 0:
		if fit, ok := im.inlineAt(at, head, tail); ok {
			p.inline, at = true, fit
		} else {
			im.data, tail = append(im.data, int32(len(im.places))), 0
		}
	}
	n.nid = NID(at >> nidShift)
	im.next = at + head + tail
	im.places = append(im.places, p)
	return nil
}

// inlineAt is the first offset from at on where an inode with its attributes
// can lie so that tail doesn't cross the end of a block.
func (im *image) inlineAt(at, head, tail uint64) (uint64, bool) {
	block := im.block()
	for end := at + block; at < end; at += nidSize {
		t := (at + head) & (block - 1)
		if at&(block-1)+inodeSize <= block && t+tail <= block {
			return at, true
		}
	}
	return 0, false
}

// xattrRoom is the size of the attributes behind an inode, header included.
func xattrRoom(xs []xattr) int {
	room := 0
	for _, x := range xs {
		if index, rest := splitXattr(x.name); index != 0 {
			room += int(align(uint64(xattrEntrySize+len(rest)+len(x.value)), xattrEntrySize))
		}
	}
	if room > 0 {
		room += xattrHeaderSize
	}
	return room
}

// sortXattrs orders attributes by name, so that equal layers make equal images.
func sortXattrs(xs []xattr) {
	slices.SortFunc(xs, func(a, b xattr) int {
		if a.name < b.name {
			return -1
		} else if a.name > b.name {
			return 1
		}
		return 0
	})
}
