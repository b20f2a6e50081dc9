package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Open answers ENOSYS: the kernel then opens every file by itself, keeps its
// pages, and never says again that a file was opened or closed. It has to for
// passthrough and [Options.CopyUpAtOpen].
func (f *FS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.count(opOpen)
	if f.upper != nil && f.opts.CopyUpAtOpen && in.Flags&unix.O_ACCMODE != unix.O_RDONLY {
		if err := f.copyUpOpened(in.NodeId); err != nil {
			return status(err)
		}
	}
	switch {
	case f.pass != nil:
		return f.openPassing(in, out)
	case f.upper != nil && f.opts.CopyUpAtOpen:
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
		return fuse.OK
	}
	return fuse.ENOSYS
}

func (f *FS) copyUpOpened(id uint64) error {
	n := f.node(id)
	switch {
	case n == nil:
		return unix.ESTALE
	case f.upper.metacopy:
		return f.copyUp(n, intact)
	}
	return f.copyUp(n, whole) // of a large file nothing either, where it may be partial
}

// OpenDir answers ENOSYS, with the same effect for directories.
func (f *FS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.count(opOpendir)
	return fuse.ENOSYS
}

// Flush answers ENOSYS: writes go through, there is nothing left at close.
func (f *FS) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	f.count(opFlush)
	return fuse.ENOSYS
}

// Access answers ENOSYS: either the kernel checks permissions, or everything
// is allowed.
func (f *FS) Access(_ <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	f.count(opAccess)
	return fuse.ENOSYS
}

// Release and ReleaseDir are only asked for what was opened before the kernel
// knew better, or is passed through.
func (f *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	f.count(opRelease)
	if n := f.node(in.NodeId); n != nil && f.pass != nil {
		f.pass.release(n)
	}
}

// ReleaseDir implements [fuse.RawFileSystem].
func (f *FS) ReleaseDir(in *fuse.ReleaseIn) { f.count(opReleasedir) }

// Readlink implements [fuse.RawFileSystem].
func (f *FS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	f.count(opReadlink)
	n := f.node(h.NodeId)
	if n == nil {
		return nil, fuse.Status(unix.ESTALE)
	}
	if !n.hasUpper() {
		b, err := f.lower.readlink(n.lower)
		return b, status(err)
	}
	var target []byte
	err := f.withUpper(n, func(p at) error {
		s, err := p.readlink()
		target = []byte(s)
		if isErrno(err, unix.EINVAL, unix.ENOENT) { // kept as a file by override_stat
			target, err = readAll(p, unix.PathMax)
		}
		return err
	})
	return target, status(err)
}

func readAll(p at, limit int) ([]byte, error) {
	fd, err := p.open(unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, limit)
	n, err := preadFull(fd, b, 0)
	return b[:n], err
}

// Read implements [fuse.RawFileSystem].
func (f *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f.count(opRead)
	n := f.node(in.NodeId)
	if n == nil {
		return nil, fuse.Status(unix.ESTALE)
	}
	done, err := f.readAt(n, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil {
		return nil, status(err)
	}
	return fuse.ReadResultData(buf[:done]), fuse.OK
}

func (f *FS) readAt(n *node, b []byte, off int64) (int, error) {
	if !n.hasUpper() {
		return f.lower.readAt(n.lower, b, off)
	}
	h, err := f.fileHandle(n, false)
	if err != nil {
		return 0, err
	}
	defer h.put()
	if p := n.partialOf(); p != nil {
		return f.readPartial(p, h.fd, b, off)
	}
	return preadFull(h.fd, b, off)
}

// writeAt is pwrite on n's upper file, whose descriptor fd is.
func (f *FS) writeAt(n *node, fd int, b []byte, off int64) (int, error) {
	if p := n.partialOf(); p != nil {
		return f.writePartial(p, fd, b, off)
	}
	return pwriteFull(fd, b, off)
}

// Write implements [fuse.RawFileSystem].
func (f *FS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f.count(opWrite)
	n, h, err := f.forWriting(in.NodeId, whole)
	if err != nil {
		return 0, status(err)
	}
	defer h.put()
	if f.upper.override && !n.up.Load().noCaps.Load() {
		if err := f.withUpper(n, func(p at) error { f.dropEncodedCaps(n, p); return nil }); err != nil {
			return 0, status(err)
		}
	}
	done, err := f.writeAt(n, h.fd, data, int64(in.Offset))
	if done > 0 && in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		if kerr := f.killSetID(n); err == nil {
			err = kerr
		}
	}
	if done > 0 {
		err = nil // what was written counts; the next write meets the error again
	}
	return uint32(done), status(err)
}

// Writev lets Write do the work: the data comes in one piece here.
func (f *FS) Writev(_ <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

// forWriting returns the node of a request, copied up, with a descriptor.
func (f *FS) forWriting(id uint64, size int64) (*node, *handle, error) {
	n := f.node(id)
	if n == nil {
		return nil, nil, unix.ESTALE
	}
	if err := f.copyUp(n, size); err != nil {
		return nil, nil, err
	}
	if err := f.forData(n); err != nil {
		return nil, nil, err
	}
	h, err := f.fileHandle(n, true)
	return n, h, err
}

// Lseek implements [fuse.RawFileSystem]: SEEK_DATA and SEEK_HOLE.
func (f *FS) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	f.count(opLseek)
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if w := int(in.Whence); w != unix.SEEK_DATA && w != unix.SEEK_HOLE {
		return fuse.EINVAL
	}
	var off int64
	var err error
	if !n.hasUpper() {
		off, err = f.lower.seek(n.lower, int64(in.Offset), int(in.Whence))
	} else {
		var h *handle
		if h, err = f.fileHandle(n, false); err == nil {
			// The descriptor's own position is used by nobody.
			if p := n.partialOf(); p != nil {
				off, err = f.seekPartial(p, h.fd, int64(in.Offset), int(in.Whence))
			} else {
				off, err = unix.Seek(h.fd, int64(in.Offset), int(in.Whence))
			}
			h.put()
		}
	}
	out.Offset = uint64(off)
	return status(err)
}

// Fallocate implements [fuse.RawFileSystem], in every mode that the filesystem
// under the upper directory knows.
func (f *FS) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	f.count(opFallocate)
	n, h, err := f.forWriting(in.NodeId, whole)
	if err != nil {
		return status(err)
	}
	defer h.put()
	if p := n.partialOf(); p != nil {
		return status(f.allocatePartial(n, p, h.fd, in.Mode, int64(in.Offset), int64(in.Length)))
	}
	return status(eintr(func() error { return unix.Fallocate(h.fd, in.Mode, int64(in.Offset), int64(in.Length)) }))
}

// CopyFileRange implements [fuse.RawFileSystem].
func (f *FS) CopyFileRange(_ <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	f.count(opCopyFileRange)
	src := f.node(in.NodeId)
	if src == nil {
		return 0, fuse.Status(unix.ESTALE)
	}
	n, dst, err := f.forWriting(in.NodeIdOut, whole)
	if err != nil {
		return 0, status(err)
	}
	defer dst.put()
	length := int(min(in.Len, 1<<30))
	if src.hasUpper() && src.partialOf() == nil && n.partialOf() == nil {
		h, err := f.fileHandle(src, false)
		if err != nil {
			return 0, status(err)
		}
		defer h.put()
		so, do := int64(in.OffIn), int64(in.OffOut)
		done, err := unix.CopyFileRange(h.fd, &so, dst.fd, &do, length, int(in.Flags))
		return uint32(max(done, 0)), status(err)
	}
	// Shared blocks could be holes, which must not come to a file that lacks data.
	buf := make([]byte, min(length, 1<<20))
	done, err := f.readAt(src, buf, int64(in.OffIn))
	if err == nil {
		done, err = f.writeAt(n, dst.fd, buf[:done], int64(in.OffOut))
	}
	if done > 0 {
		err = nil
	}
	return uint32(done), status(err)
}

// Fsync implements [fuse.RawFileSystem].
func (f *FS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f.count(opFsync)
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if !n.hasUpper() || f.upper.volatile || n.typ != unix.S_IFREG {
		return fuse.OK
	}
	h, err := f.fileHandle(n, false)
	if err != nil {
		return status(err)
	}
	defer h.put()
	return status(eintr(func() error {
		if in.FsyncFlags&1 != 0 { // FUSE_FSYNC_FDATASYNC
			return unix.Fdatasync(h.fd)
		}
		return unix.Fsync(h.fd)
	}))
}

// FsyncDir implements [fuse.RawFileSystem].
func (f *FS) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f.count(opFsyncdir)
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if !n.hasUpper() || f.upper.volatile {
		return fuse.OK
	}
	return status(f.withUpper(n, func(p at) error {
		fd, err := unix.Openat(p.dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return eintr(func() error { return unix.Fsync(fd) })
	}))
}

// StatFs implements [fuse.RawFileSystem].
func (f *FS) StatFs(_ <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f.count(opStatfs)
	if f.upper == nil {
		return status(f.lower.statfs(out))
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(f.upper.root, &st); err != nil {
		return status(err)
	}
	fillStatfs(out, &st)
	return fuse.OK
}

func fillStatfs(out *fuse.StatfsOut, st *unix.Statfs_t) {
	*out = fuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), Frsize: uint32(st.Frsize), NameLen: uint32(min(st.Namelen, unix.NAME_MAX)),
	}
}
