package layerpack

import "golang.org/x/sys/unix"

// inode is an inode as it lies in the image.
type inode struct {
	nid    NID
	at     uint64 // its offset in the image
	layout uint8
	xattrs uint16 // i_xattr_icount
	mode   uint32
	size   int64
	u      uint32 // i_u: first block, device number or chunk format
}

// inode reads inode n.
func (x *Index) inode(n NID, i *inode) error {
	at := x.meta + uint64(n)<<nidShift
	if uint64(n) >= uint64(len(x.m))>>nidShift || at+inodeSize > uint64(len(x.m)) {
		return x.corrupt("inode %d lies outside of the file", n)
	}
	b := x.m[at : at+inodeSize]
	format := le.Uint16(b)
	i.nid, i.at = n, at
	i.layout = uint8(format >> 1 & 7)
	i.xattrs = le.Uint16(b[2:])
	i.mode = uint32(le.Uint16(b[4:]))
	i.size = int64(le.Uint64(b[8:]))
	i.u = le.Uint32(b[16:])
	if format&^0xe != 1 {
		return x.corrupt("inode %d has the unknown format %#x", n, format)
	}
	if i.size < 0 {
		return x.corrupt("inode %d has a negative size", n)
	}
	return nil
}

// tail is the offset of what follows the inode and its extended attributes.
func (i *inode) tail() uint64 { return i.at + inodeSize + i.xattrSize() }

// xattrSize is the room of the extended attributes, in bytes.
func (i *inode) xattrSize() uint64 {
	if i.xattrs == 0 {
		return 0
	}
	return xattrHeaderSize + xattrEntrySize*(uint64(i.xattrs)-1)
}

// Stat fills a with what the index knows of n.
func (x *Index) Stat(n NID, a *Attr) error {
	var i inode
	if err := x.inode(n, &i); err != nil {
		return err
	}
	b := x.m[i.at : i.at+inodeSize]
	*a = Attr{
		NID:       n,
		Mode:      i.mode,
		UID:       le.Uint32(b[24:]),
		GID:       le.Uint32(b[28:]),
		Nlink:     le.Uint32(b[44:]),
		Size:      i.size,
		Mtime:     int64(le.Uint64(b[32:])),
		MtimeNsec: le.Uint32(b[40:]),
		Layer:     int(le.Uint32(b[layerField:])) - 1,
	}
	switch t := i.mode & unix.S_IFMT; {
	case t == unix.S_IFCHR || t == unix.S_IFBLK:
		a.Rdev = decodeDev(i.u)
	case t == unix.S_IFREG && i.layout == layoutChunks && i.size > 0:
		bits := blockBits + i.u&chunkBitsMask
		a.Chunks = (i.size-1)>>bits + 1
	}
	return nil
}

// Readlink is the target of the symbolic link n. It aliases the map.
func (x *Index) Readlink(n NID) ([]byte, error) {
	var i inode
	if err := x.inode(n, &i); err != nil {
		return nil, err
	}
	if i.mode&unix.S_IFMT != unix.S_IFLNK {
		return nil, unix.EINVAL
	}
	if i.size > maxTarget {
		return nil, x.corrupt("link %d is too long", n)
	}
	at := i.tail()
	if i.layout == layoutPlain {
		at = uint64(i.u) << blockBits
	} else if i.layout != layoutInline {
		return nil, x.corrupt("link %d has the layout %d", n, i.layout)
	}
	return x.span(at, uint64(i.size), n)
}

// span is the n bytes at offset at, which belong to inode owner.
func (x *Index) span(at, n uint64, owner NID) ([]byte, error) {
	if at > uint64(len(x.m)) || n > uint64(len(x.m))-at {
		return nil, x.corrupt("the data of inode %d lies outside of the file", owner)
	}
	return x.m[at : at+n : at+n], nil
}
