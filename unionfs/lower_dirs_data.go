package unionfs

import (
	"path"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Where the data of a file is: in the file itself; for a metacopy file
// (overlayfs.rst, "Metadata only copy up") in the file below that its redirect
// leads to, or that has its name, or in a data-only layer; for a partial file
// of ours in both. A partial file's handle has, in below, the one of the file
// below it; below bound, its holes are read from there, and whatever is at or
// above bound is its own:
//
//	handle{fd, bound} ─below─► handle{fd, bound} ─below─► handle{fd}
//
// Files of which nothing but attributes was copied have no handle in the chain.
// EIO: the data can't be found; zeros in its place would be a lie.

// dataHandle returns a descriptor to read a file, cached.
func (d *dirsLower) dataHandle(r lowerRef) (*handle, error) {
	if r.nid == 0 {
		return nil, unix.EISDIR
	}
	key := placeKey{r, 0}
	if h := d.files.get(key.slot(), key); h != nil {
		return h, nil
	}
	t, e := r.file()
	h, err := d.openData(t.locs[e.loc:], t.name(e))
	if err != nil {
		return nil, err
	}
	d.files.add(key.slot(), key, h)
	return h, nil
}

// openData opens the data of the file called name in the first of the places.
func (d *dirsLower) openData(places []loc, name string) (*handle, error) {
	fd, err := d.openLoc(places[0].child(name), unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	m, err := readFileMark(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if !m.metacopy && m.bound == 0 {
		return newHandle(fd, false), nil
	}
	if m.anyones && !d.userMarks {
		// Whoever owns the file could choose any other that root may read.
		unix.Close(fd)
		return nil, unix.EIO
	}
	below, err := d.openBelow(places, name, m.redirect)
	if err != nil || m.bound == 0 {
		unix.Close(fd)
		return below, err
	}
	h := newHandle(fd, false)
	h.below, h.bound = below, m.bound
	return h, nil
}

// openBelow opens what a file without its data stands on.
func (d *dirsLower) openBelow(places []loc, name, redirect string) (*handle, error) {
	from := places[0].layer + 1
	places = places[1:]
	abs := strings.HasPrefix(redirect, "/")
	if abs {
		dir, base := path.Split(redirect)
		var err error
		if places, err = d.dirAt(dir, from); err != nil {
			return nil, err
		}
		name = base
	} else if redirect != "" {
		name = redirect
	}
	for i, p := range places {
		pk, err := d.peek(p, name)
		if err != nil {
			return nil, err
		}
		if pk.typ == unix.S_IFREG {
			return d.openData(places[i:], name)
		}
		if pk.typ != 0 || pk.last {
			return nil, unix.EIO
		}
	}
	if abs {
		return d.openDataOnly(redirect[1:])
	}
	return nil, unix.EIO
}

// openDataOnly opens a file of the data-only layers (overlayfs.rst, "Data-only
// lower layers"): they are reached by absolute redirects alone.
func (d *dirsLower) openDataOnly(name string) (*handle, error) {
	for _, root := range d.data {
		h := how(unix.O_RDONLY | unix.O_NONBLOCK)
		h.Resolve |= unix.RESOLVE_NO_XDEV
		fd, err := unix.Openat2(root, name, h)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			return newHandle(fd, false), nil
		}
		unix.Close(fd)
	}
	return nil, unix.EIO
}

// dataBlocks corrects st_blocks of a file that looks sparse: the blocks of a
// metacopy file are those of its data.
func (d *dirsLower) dataBlocks(r lowerRef, p at, a *fuse.Attr) {
	if m, err := readLowerMark(p); err != nil || !m.metacopy && m.bound == 0 {
		return
	}
	h, err := d.dataHandle(r)
	if err != nil {
		return
	}
	defer h.put()
	var st unix.Stat_t
	a.Blocks = 0
	for x := h; x != nil; x = x.below {
		if unix.Fstat(x.fd, &st) == nil {
			a.Blocks += uint64(st.Blocks)
		}
	}
	a.Blocks = min(a.Blocks, (a.Size+511)/512+8)
}

func (d *dirsLower) readAt(r lowerRef, b []byte, off int64) (int, error) {
	h, err := d.dataHandle(r)
	if err != nil {
		return 0, err
	}
	defer h.put()
	if off == 0 {
		d.ahead.read(r)
	}
	return h.readData(b, off)
}

func (h *handle) size() (int64, error) {
	var st unix.Stat_t
	err := unix.Fstat(h.fd, &st)
	return st.Size, err
}

// readData reads as much of b as the file has.
func (h *handle) readData(b []byte, off int64) (int, error) {
	if h.below == nil {
		return preadFull(h.fd, b, off)
	}
	size, err := h.size()
	if err != nil || off >= size {
		return 0, err
	}
	b = b[:min(int64(len(b)), size-off)]
	end := off + int64(len(b))
	for at := off; at < end; {
		data, err := h.next(at, end, unix.SEEK_DATA)
		if err != nil {
			return int(at - off), err
		}
		if data > at { // a hole
			gap := b[at-off : data-off]
			var n int
			if at < h.bound {
				if n, err = h.below.readData(gap[:min(int64(len(gap)), h.bound-at)], at); err != nil {
					return int(at - off), err
				}
			}
			clear(gap[n:])
			at = data
			continue
		}
		hole, err := h.next(at, end, unix.SEEK_HOLE)
		if err != nil {
			return int(at - off), err
		}
		n, err := preadFull(h.fd, b[at-off:hole-off], at)
		if err == nil && int64(n) < hole-at {
			err = unix.EIO
		}
		if err != nil {
			return int(at-off) + n, err
		}
		at = hole
	}
	return len(b), nil
}

// next is lseek(2) with SEEK_DATA or SEEK_HOLE in h itself, at most end. The
// descriptor's own position is used by nobody.
func (h *handle) next(at, end int64, whence int) (int64, error) {
	p, err := unix.Seek(h.fd, at, whence)
	if err == unix.ENXIO {
		return end, nil
	}
	return min(p, end), err
}

func (d *dirsLower) seek(r lowerRef, off int64, whence int) (int64, error) {
	h, err := d.dataHandle(r)
	if err != nil {
		return 0, err
	}
	defer h.put()
	if h.below == nil {
		return unix.Seek(h.fd, off, whence)
	}
	size, err := h.size()
	if err != nil {
		return 0, err
	}
	if off < 0 || off >= size {
		return 0, unix.ENXIO
	}
	p, err := h.seekData(off, size, whence)
	if err == nil && p >= size && whence == unix.SEEK_DATA {
		err = unix.ENXIO
	}
	return p, err
}

// seekData is next for the file as it shows.
func (h *handle) seekData(at, end int64, whence int) (int64, error) {
	if size, err := h.size(); err != nil || at >= size {
		if whence == unix.SEEK_HOLE {
			return at, err
		}
		return end, err
	}
	p, err := h.next(at, end, whence)
	if h.below == nil || err != nil {
		return p, err
	}
	limit := min(h.bound, end)
	if whence == unix.SEEK_DATA {
		if at >= limit {
			return p, nil
		}
		q, err := h.below.seekData(at, limit, whence)
		if q < limit {
			p = min(p, q)
		}
		return p, err
	}
	for p < limit { // a hole of h's own, which may be data below
		q, err := h.below.seekData(p, limit, whence)
		if err != nil || q == p {
			return p, err
		}
		if p, err = h.next(q, end, whence); err != nil {
			return p, err
		}
		if p == q && q < limit {
			return p, nil
		}
	}
	return p, nil
}

func (d *dirsLower) copyTo(r lowerRef, dst int, size int64) error {
	h, err := d.dataHandle(r)
	if err != nil {
		return err
	}
	defer h.put()
	return h.copyData(dst, size)
}

// clone implements [cloner].
func (d *dirsLower) clone(r lowerRef, dst int) error {
	h, err := d.dataHandle(r)
	if err != nil {
		return err
	}
	defer h.put()
	if h.below != nil {
		return unix.EXDEV // its data is in more than one file
	}
	return unix.IoctlFileClone(dst, h.fd)
}

var _ cloner = (*dirsLower)(nil)

// copyData writes the file's data up to size to the empty file dst.
func (h *handle) copyData(dst int, size int64) error {
	if h.below != nil {
		// What is below first, and over it what the file has of its own.
		if err := h.below.copyData(dst, min(size, h.bound)); err != nil {
			return err
		}
		return copySparse(h.fd, dst, size)
	}
	own, err := h.size()
	if err != nil {
		return err
	}
	if size == own && unix.IoctlFileClone(dst, h.fd) == nil {
		return nil
	}
	return copySparse(h.fd, dst, size)
}
