package layerpack

import "golang.org/x/sys/unix"

// Extents appends to buf where the bytes [off, off+length) of the regular file
// n lie, in order and without gaps, cut off at the file's end. Neighbours that
// lie side by side are one extent.
func (x *Index) Extents(n NID, off, length int64, buf []Extent) ([]Extent, error) {
	var i inode
	if err := x.inode(n, &i); err != nil {
		return buf, err
	}
	if i.mode&unix.S_IFMT != unix.S_IFREG || off < 0 || length < 0 {
		return buf, unix.EINVAL
	}
	if off >= i.size || length == 0 {
		return buf, nil
	}
	end := i.size
	if length < i.size-off {
		end = off + length
	}
	format := i.u & 0xffff
	if i.layout != layoutChunks || format&^chunkBitsMask != chunkIndexed {
		return buf, x.corrupt("file %d has layout %d, format %#x", n, i.layout, format)
	}
	bits := blockBits + format&chunkBitsMask
	table := align(i.tail(), chunkIndexSize)
	first := len(buf)
	for k := off >> bits; off < end; k++ {
		if uint64(k) > uint64(len(x.m)) {
			return buf[:first], x.corrupt("file %d is larger than its chunks", n)
		}
		c, err := x.span(table+uint64(k)*chunkIndexSize, chunkIndexSize, n)
		if err != nil {
			return buf[:first], err
		}
		from := k << bits // of the chunk
		till := end
		if next := from + 1<<bits; next > 0 && next < end {
			till = next
		}
		e := Extent{Layer: -1, Len: till - off}
		if block := le.Uint32(c[4:]); block != nullBlock {
			e.Off = int64(block)<<blockBits + off - from
			room := int64(len(x.m))
			if device := int(le.Uint16(c[2:])); device == 0 {
				e.Layer = len(x.tars)
			} else if e.Layer = device - 1; e.Layer < len(x.tars) {
				room = x.tars[e.Layer]
			} else {
				room = 0
			}
			if e.Off+e.Len > room {
				return buf[:first], x.corrupt("file %d points outside of its layer", n)
			}
		}
		if l := len(buf) - 1; l >= first && buf[l].Layer == e.Layer && (e.Layer < 0 || buf[l].Off+buf[l].Len == e.Off) {
			buf[l].Len += e.Len
		} else {
			buf = append(buf, e)
		}
		off = till
	}
	return buf, nil
}
