package unionfs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// forData completes a file whose attributes alone were copied up, when its data
// is to change and is not to be copied by and by.
func (f *FS) forData(n *node) error {
	if f.upper.partial || n.partialOf() == nil {
		return nil
	}
	return f.completeNode(n)
}

// writePartial is pwrite for a file that lacks data; fd is the upper file.
func (f *FS) writePartial(p *partial, fd int, b []byte, off int64) (int, error) {
	end := off + int64(len(b))
	p.mu.RLock()
	if p.done || p.marked && p.whole(off, end) && (end <= p.bound || p.closed()) {
		defer p.mu.RUnlock()
		return pwriteFull(fd, b, off)
	}
	p.mu.RUnlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return pwriteFull(fd, b, off)
	}
	if err := f.prepareWrite(p, fd, off, end); err != nil {
		return 0, err
	}
	n, err := pwriteFull(fd, b, off)
	for u := off / partialUnit; u*partialUnit < min(off+int64(n), p.bound); u++ {
		if u*partialUnit >= off && p.end(u) <= off+int64(n) {
			p.set(u)
		}
	}
	if err != nil {
		written := off + int64(n)
		p.uncover(fd, written, end)
		if u := written / partialUnit; written < p.bound && !p.has(u) {
			n = int(max(u*partialUnit-off, 0)) // the unit's beginning counts for nothing
		}
	}
	return n, err
}

// uncover makes those units of [off, end) holes again that are missing: a write
// that failed may have left blocks for what it didn't come to, filled with zeros
// (ext4 does when there is no space). Should that fail too, what the disk has is
// wrong from the next mount on; ext4 keeps blocks in reserve so that it doesn't.
// Requires p.mu for writing.
func (p *partial) uncover(fd int, off, end int64) {
	end = min(end, p.bound)
	for off = off / partialUnit * partialUnit; off < end; {
		there, to := p.run(off, end)
		to = (to + partialUnit - 1) / partialUnit * partialUnit
		if !there {
			_ = eintr(func() error {
				return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, to-off)
			})
		}
		off = to
	}
}

// prepareWrite marks the file as changed and brings those units of which
// [off, end) covers only a part. Requires p.mu for writing.
func (f *FS) prepareWrite(p *partial, fd int, off, end int64) error {
	if err := f.markChanged(p, fd); err != nil {
		return err
	}
	if end > p.bound {
		if err := f.closeBound(p, fd); err != nil {
			return err
		}
	}
	if off >= end || off >= p.bound {
		return nil
	}
	first, last := off/partialUnit, (min(end, p.bound)-1)/partialUnit
	if first*partialUnit < off || p.end(first) > end {
		if err := f.fillUnits(p, fd, first, first); err != nil {
			return err
		}
	}
	if last != first && p.end(last) > end {
		return f.fillUnits(p, fd, last, last)
	}
	return nil
}

// closeBound brings the unit in which the bound lies, so that the file may grow
// behind it. Requires p.mu for writing.
func (f *FS) closeBound(p *partial, fd int) error {
	if p.closed() {
		return nil
	}
	return f.fillUnits(p, fd, p.bound/partialUnit, p.bound/partialUnit)
}

// fillUnits copies those of the units first to last that are missing. Requires
// p.mu for writing.
func (f *FS) fillUnits(p *partial, fd int, first, last int64) error {
	var buf []byte
	limit := p.end(last)
	for off := first * partialUnit; off < limit; {
		there, end := p.run(off, limit)
		if there {
			off = end
			continue
		}
		if buf == nil {
			buf = make([]byte, min(end-off, 1<<20))
		}
		b := buf[:min(end-off, int64(len(buf)))]
		if err := f.fill(p, fd, b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// fill copies len(b) bytes, whole units but for the bound, by way of b.
func (f *FS) fill(p *partial, fd int, b []byte, off int64) error {
	n, err := f.lower.readAt(p.src, b, off)
	if err == nil && n < len(b) {
		err = unix.EIO
	}
	if err != nil {
		return err
	}
	end := off + int64(len(b))
	if n, err = pwriteFull(fd, b, off); err != nil {
		b = b[:n/partialUnit*partialUnit]
	}
	for u := off / partialUnit; u*partialUnit < off+int64(len(b)); u++ {
		p.set(u)
	}
	if err != nil {
		p.uncover(fd, off, end)
	}
	return err
}

// markChanged records that data or size are no longer the lower file's, before
// they change. Requires p.mu for writing.
func (f *FS) markChanged(p *partial, fd int) error {
	if p.marked || p.path == "" {
		p.marked = true
		return nil
	}
	if err := f.markBound(p, fd); err != nil {
		return err
	}
	if err := unix.Fsetxattr(fd, f.upper.marks+markRedirect, []byte(poison+p.path), 0); err != nil {
		return err
	}
	p.marked = true
	return nil
}

func (f *FS) markBound(p *partial, fd int) error {
	if p.path == "" {
		return nil
	}
	return unix.Fsetxattr(fd, f.upper.marks+markPartial, strconv.AppendInt(nil, p.bound, 10), 0)
}

// truncatePartial is ftruncate for a file that lacks data.
func (f *FS) truncatePartial(p *partial, fd int, size int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if !p.done && size != st.Size {
		if err := f.markChanged(p, fd); err != nil {
			return err
		}
		switch {
		case size < p.bound:
			if size%partialUnit != 0 {
				if err := f.fillUnits(p, fd, size/partialUnit, size/partialUnit); err != nil {
					return err
				}
			}
		case size > st.Size:
			if err := f.closeBound(p, fd); err != nil {
				return err
			}
		}
	}
	if err := eintr(func() error { return unix.Ftruncate(fd, size) }); err != nil {
		return err
	}
	if p.done || size >= p.bound {
		return nil
	}
	// A server killed here leaves a file that ends below the bound it has on
	// record; the next mount takes the lower of the two, before anything grows.
	for u := (size + partialUnit - 1) / partialUnit; u*partialUnit < p.bound; u++ {
		p.have[u>>6] &^= 1 << (u & 63)
	}
	p.bound = size
	if size == 0 {
		return f.unmark(p, fd)
	}
	return f.markBound(p, fd)
}

// allocatePartial is fallocate for a file that lacks data. What makes holes, or
// moves data, is done on the whole file.
func (f *FS) allocatePartial(n *node, p *partial, fd int, mode uint32, off, length int64) error {
	if mode&^(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_UNSHARE_RANGE) != 0 {
		if err := f.completeNode(n); err != nil {
			return err
		}
		return eintr(func() error { return unix.Fallocate(fd, mode, off, length) })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done && length > 0 {
		end := off + length
		if err := f.prepareWrite(p, fd, off, end); err != nil {
			return err
		}
		// Blocks that are allocated without being written are holes to some
		// filesystems and data to others.
		if off < p.bound {
			if err := f.fillUnits(p, fd, off/partialUnit, (min(end, p.bound)-1)/partialUnit); err != nil {
				return err
			}
		}
	}
	return eintr(func() error { return unix.Fallocate(fd, mode, off, length) })
}
