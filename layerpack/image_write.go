package layerpack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"io"

	"golang.org/x/sys/unix"
)

// write writes the image, front to back.
func (im *image) write(ctx context.Context, to io.Writer) error {
	w := &imageWriter{im: im, w: bufio.NewWriterSize(to, 256<<10)}
	w.bytes(im.head())
	w.pad(im.meta)
	var chunks []byte
	for k := range im.places {
		p := &im.places[k]
		w.pad(im.meta + uint64(p.nid)<<nidShift)
		w.inode(p)
		switch {
		case p.chunks > 0:
			w.pad(align(w.at, chunkIndexSize))
			chunks = im.appendChunks(p, chunks[:0])
			w.bytes(chunks)
		case p.inline:
			w.plain(p)
		}
	}
	for _, k := range im.data {
		p := &im.places[k]
		w.pad(uint64(p.block) << im.bits)
		w.plain(p)
	}
	for _, k := range im.composed {
		p := &im.places[k]
		w.pad(uint64(p.block) << im.bits)
		w.composed(ctx, p, im.layers[p.layer].data)
	}
	w.pad(uint64(im.blocks) << im.bits)
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}

// headSize is the size of the superblock's block and the device table, with
// the hole before them.
func (im *image) headSize() uint64 {
	return max(superOffset+blockSize, im.block(), uint64(slotsOffset+len(im.layers)*slotSize))
}

// head is these.
func (im *image) head() []byte {
	b := make([]byte, im.headSize())
	sb := b[superOffset:]
	le.PutUint32(sb[sbMagic:], superMagic)
	le.PutUint32(sb[sbCompat:], compatChecksum|compatMtime)
	sb[sbBlockBits] = byte(im.bits)
	le.PutUint16(sb[sbRootNID:], uint16(im.places[0].nid))
	le.PutUint64(sb[sbInodes:], uint64(len(im.places)))
	le.PutUint32(sb[sbBlocks:], im.blocks)
	le.PutUint32(sb[sbMetaBlock:], uint32(im.meta>>im.bits))
	copy(sb[sbVolume:sbVolume+volumeSize], volumeName)
	id := sha256.New()
	incompat := uint32(incompatChunks)
	for k, l := range im.layers {
		incompat |= incompatDevTable
		s := b[slotsOffset+k*slotSize:]
		copy(s[:64], l.hex)
		le.PutUint32(s[64:], uint32(im.count(uint64(l.size))))
		io.WriteString(id, l.hex)
	}
	copy(sb[sbUUID:sbUUID+16], id.Sum(nil))
	le.PutUint32(sb[sbIncompat:], incompat)
	le.PutUint16(sb[sbDevices:], uint16(len(im.layers)))
	le.PutUint16(sb[sbSlots:], slotsOffset/slotSize)
	covered := im.block() // the superblock's block, from the superblock on
	if covered > superOffset {
		covered -= superOffset
	}
	le.PutUint32(sb[sbChecksum:], superChecksum(sb[:covered]))
	return b
}

// imageWriter keeps the offset, and the first error.
type imageWriter struct {
	im  *image
	w   *bufio.Writer
	at  uint64
	err error

	zeros [blockSize]byte // never written to
	buf   [inodeSize]byte
	room  [4096]byte // of the largest block
	data  []byte
}

func (w *imageWriter) bytes(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
	w.at += uint64(len(b))
}

func (w *imageWriter) string(s string) {
	if w.err == nil {
		_, w.err = w.w.WriteString(s)
	}
	w.at += uint64(len(s))
}

// pad writes zeros up to offset at.
func (w *imageWriter) pad(at uint64) {
	for w.at < at && w.err == nil {
		w.bytes(w.zeros[:min(blockSize, at-w.at)])
	}
}

// inode writes an inode and its extended attributes.
func (w *imageWriter) inode(p *place) {
	b := w.buf[:]
	clear(b)
	layout, u, size := layoutPlain, uint32(0), p.plainSize()
	switch p.mode & unix.S_IFMT {
	case unix.S_IFREG:
		if size = p.size; size > 0 {
			layout, u = layoutChunks, uint32(chunkIndexed|(p.chunkBits-w.im.bits))
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		u = p.dev
	default:
		if u = p.block; p.inline {
			layout = layoutInline
		}
	}
	le.PutUint16(b[0:], uint16(layout<<1|1))
	if p.xattrSize > 0 {
		le.PutUint16(b[2:], uint16((p.xattrSize-xattrHeaderSize)/xattrEntrySize+1))
	}
	le.PutUint16(b[4:], uint16(p.mode))
	le.PutUint64(b[8:], uint64(size))
	le.PutUint32(b[16:], u)
	le.PutUint32(b[20:], uint32(p.nid))
	le.PutUint32(b[24:], p.uid)
	le.PutUint32(b[28:], p.gid)
	le.PutUint64(b[32:], uint64(p.mtime))
	le.PutUint32(b[40:], p.nsec)
	le.PutUint32(b[44:], p.nlink)
	le.PutUint32(b[layerField:], uint32(p.layer+1))
	w.bytes(b)
	if p.xattrSize == 0 {
		return
	}
	w.bytes(w.zeros[:xattrHeaderSize])
	for _, x := range p.xattrs() {
		index, rest := splitXattr(x.name)
		if index == 0 {
			continue
		}
		w.bytes([]byte{byte(len(rest)), index, byte(len(x.value)), byte(len(x.value) >> 8)})
		w.string(rest)
		w.string(x.value)
		w.pad(align(w.at, xattrEntrySize))
	}
}

// plain writes a link target or a directory.
func (w *imageWriter) plain(p *place) {
	if p.isDir() {
		w.directory(p.node)
		return
	}
	w.string(p.target())
}

// directory writes the blocks of a directory. The last one ends with its last
// name.
func (w *imageWriter) directory(n *node) {
	var batch []kid
	used := 0
	block := int(w.im.block())
	flush := func(last bool) {
		b := w.room[:block]
		clear(b)
		at := len(batch) * direntSize
		for j, k := range batch {
			le.PutUint64(b[j*direntSize:], uint64(k.nid))
			le.PutUint16(b[j*direntSize+8:], uint16(at))
			b[j*direntSize+10] = fileType(k.mode)
			at += copy(b[at:], k.name)
		}
		if !last {
			at = block
		}
		w.bytes(b[:at])
		batch, used = batch[:0], 0
	}
	i := 0
	for name := range dirNames(n.dir.sorted) {
		k := kid{name, n}
		switch {
		case i < len(n.dir.sorted) && n.dir.sorted[i].name == name:
			k.node = n.dir.sorted[i].node
			i++
		case name == "..":
			k.node = n.dir.parent
		}
		need := direntSize + len(name)
		if used+need > block {
			flush(false)
		}
		batch, used = append(batch, k), used+need
	}
	flush(true)
}
