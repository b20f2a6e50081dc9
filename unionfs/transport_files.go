package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
)

// dispatchFile handles what is about the contents of files and directories.
// What nobody knows is answered with ENOSYS, after which the kernel does
// without it.
func (x *exchange) dispatchFile(h *fuse.InHeader, msg []byte) (whole bool) {
	switch h.Opcode {
	case opRead:
		return x.read(msg)
	case opWrite:
		in, data := arg[fuse.WriteIn](msg)
		if in == nil || uint64(in.Size) > uint64(len(data)) {
			return false
		}
		out := result[fuse.WriteOut](x)
		out.Size, x.status = x.fs.Write(nil, in, data[:in.Size])
	case opReaddir, opReaddirplus:
		return x.readdir(h, msg)
	case opLseek:
		in, _ := arg[fuse.LseekIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.Lseek(nil, in, result[fuse.LseekOut](x))
	case opCopyFileRange:
		in, _ := arg[fuse.CopyFileRangeIn](msg)
		if in == nil {
			return false
		}
		out := result[fuse.WriteOut](x)
		out.Size, x.status = x.fs.CopyFileRange(nil, in)
	case opFallocate:
		in, _ := arg[fuse.FallocateIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.Fallocate(nil, in)
	case opFsync, opFsyncdir:
		in, _ := arg[fuse.FsyncIn](msg)
		if in == nil {
			return false
		}
		if h.Opcode == opFsync {
			x.status = x.fs.Fsync(nil, in)
		} else {
			x.status = x.fs.FsyncDir(nil, in)
		}
	case opIoctl:
		return x.ioctl(msg)
	default:
		return x.dispatchHandle(h, msg)
	}
	return true
}

// dispatchHandle handles opening and closing, and locks.
func (x *exchange) dispatchHandle(h *fuse.InHeader, msg []byte) (whole bool) {
	switch h.Opcode {
	case opOpen, opOpendir:
		in, _ := arg[fuse.OpenIn](msg)
		if in == nil {
			return false
		}
		if h.Opcode == opOpen {
			x.status = x.fs.Open(nil, in, result[fuse.OpenOut](x))
		} else {
			x.status = x.fs.OpenDir(nil, in, result[fuse.OpenOut](x))
		}
	case opRelease, opReleasedir:
		in, _ := arg[fuse.ReleaseIn](msg)
		if in == nil {
			return false
		}
		if h.Opcode == opRelease {
			x.fs.Release(nil, in)
		} else {
			x.fs.ReleaseDir(in)
		}
	case opFlush:
		in, _ := arg[fuse.FlushIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.Flush(nil, in)
	case opGetlk, opSetlk, opSetlkw:
		in, _ := arg[fuse.LkIn](msg)
		if in == nil {
			return false
		}
		switch h.Opcode {
		case opGetlk:
			x.status = x.fs.GetLk(nil, in, result[fuse.LkOut](x))
		case opSetlk:
			x.status = x.fs.SetLk(nil, in)
		default:
			x.status = x.fs.SetLkw(nil, in)
		}
	default:
		x.fail(fuse.ENOSYS)
	}
	return true
}

func (x *exchange) read(msg []byte) (whole bool) {
	in, _ := arg[fuse.ReadIn](msg)
	if in == nil {
		return false
	}
	to := x.room(in.Size)
	if x.status != fuse.OK {
		return true
	}
	if x.into != nil {
		var n int
		n, x.status = x.into.readInto(in, to)
		x.send(to[:min(n, len(to))])
		return true
	}
	var r fuse.ReadResult
	if r, x.status = x.fs.Read(nil, in, to); x.status != fuse.OK || r == nil {
		return true
	}
	var b []byte
	b, x.status = r.Bytes(to)
	x.send(b[:min(len(b), len(to))])
	r.Done()
	return true
}

func (x *exchange) readdir(h *fuse.InHeader, msg []byte) (whole bool) {
	in, _ := arg[fuse.ReadIn](msg)
	if in == nil {
		return false
	}
	to := x.room(in.Size)
	if x.status != fuse.OK {
		return true
	}
	x.list = *fuse.NewDirEntryList(to, in.Offset)
	if h.Opcode == opReaddirplus {
		x.status = x.fs.ReadDirPlus(nil, in, &x.list)
	} else {
		x.status = x.fs.ReadDir(nil, in, &x.list)
	}
	x.send(x.list.Bytes())
	return true
}

func (x *exchange) ioctl(msg []byte) (whole bool) {
	in, data := arg[fuse.IoctlIn](msg)
	if in == nil || uint64(in.InSize) > uint64(len(data)) {
		return false
	}
	to := x.room(in.OutSize)
	if x.status != fuse.OK {
		return true
	}
	clear(to) // what an earlier request left there is nobody's to see
	if x.status = x.fs.Ioctl(nil, in, data[:in.InSize], result[fuse.IoctlOut](x), to); x.status == fuse.OK {
		x.send(to)
	}
	return true
}
