package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
)

// dispatch hands a request to the file system. It tells whether the kernel
// waits for a reply; what that is stands in x then. A request whose structure
// or names are not all there is answered with EIO.
func (x *exchange) dispatch(h *fuse.InHeader, msg []byte) bool {
	whole := true
	switch h.Opcode {
	case opForget:
		if in, _ := arg[fuse.ForgetIn](msg); in != nil {
			x.fs.Forget(h.NodeId, in.Nlookup)
		}
		return false
	case opBatchForget:
		x.forgetMany(msg)
		return false
	case opInterrupt, opNotifyReply:
		// Nothing here waits for what a signal could end, and the kernel is
		// content when the request itself is answered.
		return false
	case opDestroy:
	case opLookup, opUnlink, opRmdir, opSymlink, opRename, opRename2, opLink, opMknod, opMkdir, opCreate, opTmpfile:
		whole = x.dispatchName(h, msg)
	case opGetxattr, opListxattr, opSetxattr, opRemovexattr:
		whole = x.dispatchXattr(h, msg)
	case opGetattr, opSetattr, opReadlink, opStatfs, opStatx, opAccess:
		whole = x.dispatchNode(h, msg)
	default:
		whole = x.dispatchFile(h, msg)
	}
	if !whole {
		x.fail(fuse.EIO)
	}
	return true
}

func (x *exchange) forgetMany(msg []byte) {
	in, rest := arg[batchForgetIn](msg)
	if in == nil {
		return
	}
	for range in.count {
		var one *forgetOne
		if one, rest = arg[forgetOne](rest); one == nil {
			return
		}
		if one.node != pollNode {
			x.fs.Forget(one.node, one.lookups)
		}
	}
}

// dispatchName handles what is about a name in a directory.
func (x *exchange) dispatchName(h *fuse.InHeader, msg []byte) (whole bool) {
	switch h.Opcode {
	case opLookup:
		name, _, ok := nameIn(msg[inHeaderSize:])
		if !ok {
			return false
		}
		x.status = x.fs.Lookup(nil, h, name, result[fuse.EntryOut](x))
	case opUnlink, opRmdir:
		name, _, ok := nameIn(msg[inHeaderSize:])
		if !ok {
			return false
		}
		if h.Opcode == opUnlink {
			x.status = x.fs.Unlink(nil, h, name)
		} else {
			x.status = x.fs.Rmdir(nil, h, name)
		}
	case opSymlink:
		name, rest, ok := nameIn(msg[inHeaderSize:])
		target, _, ok2 := nameIn(rest)
		if !ok || !ok2 {
			return false
		}
		x.status = x.fs.Symlink(nil, h, target, name, result[fuse.EntryOut](x))
	case opRename, opRename2:
		return x.dispatchRename(h, msg)
	case opLink:
		in, rest := arg[fuse.LinkIn](msg)
		name, _, ok := nameIn(rest)
		if !ok {
			return false
		}
		x.status = x.fs.Link(nil, in, name, result[fuse.EntryOut](x))
	case opMknod:
		in, rest := arg[fuse.MknodIn](msg)
		name, _, ok := nameIn(rest)
		if !ok {
			return false
		}
		x.status = x.fs.Mknod(nil, in, name, result[fuse.EntryOut](x))
	case opMkdir:
		in, rest := arg[fuse.MkdirIn](msg)
		name, _, ok := nameIn(rest)
		if !ok {
			return false
		}
		x.status = x.fs.Mkdir(nil, in, name, result[fuse.EntryOut](x))
	case opCreate, opTmpfile:
		in, rest := arg[fuse.CreateIn](msg)
		name, _, ok := nameIn(rest)
		if !ok {
			return false
		}
		if h.Opcode == opTmpfile { // the name is always "/", and none
			x.status = x.fs.Tmpfile(nil, in, result[fuse.CreateOut](x))
		} else {
			x.status = x.fs.Create(nil, in, name, result[fuse.CreateOut](x))
		}
	}
	return true
}

func (x *exchange) dispatchRename(h *fuse.InHeader, msg []byte) bool {
	var in *fuse.RenameIn
	var rest []byte
	if h.Opcode == opRename {
		var short *rename1In
		if short, rest = arg[rename1In](msg); short == nil {
			return false
		}
		in = &x.long.rename
		*in = fuse.RenameIn{InHeader: *h, Newdir: short.newDir}
	} else {
		in, rest = arg[fuse.RenameIn](msg)
	}
	from, rest, ok := nameIn(rest)
	to, _, ok2 := nameIn(rest)
	if !ok || !ok2 {
		return false
	}
	x.status = x.fs.Rename(nil, in, from, to)
	return true
}

// dispatchXattr handles extended attributes. Without room in the request the
// answer is a size.
func (x *exchange) dispatchXattr(h *fuse.InHeader, msg []byte) (whole bool) {
	switch h.Opcode {
	case opGetxattr, opListxattr:
		in, rest := arg[fuse.GetXAttrIn](msg)
		if in == nil {
			return false
		}
		to := x.room(in.Size)
		if x.status != fuse.OK {
			return true
		}
		var n uint32
		if h.Opcode == opGetxattr {
			name, _, ok := xattrIn(rest)
			if !ok {
				return false
			}
			n, x.status = x.fs.GetXAttr(nil, h, name, to)
		} else {
			n, x.status = x.fs.ListXAttr(nil, h, to)
		}
		switch {
		case in.Size == 0:
			if x.status == fuse.ERANGE { // it was the size that was asked for
				x.status = fuse.OK
			}
			result[fuse.GetXAttrOut](x).Size = n
		case x.status == fuse.OK:
			x.send(to[:min(n, in.Size)])
		}
	case opSetxattr:
		short, rest := arg[setxattr1In](msg)
		if short == nil {
			return false
		}
		var flags uint32
		if x.setxattrExt {
			in, long := arg[fuse.SetXAttrIn](msg)
			if in == nil {
				return false
			}
			flags, rest = in.SetXAttrFlags, long
		}
		name, value, ok := xattrIn(rest)
		if !ok || uint64(short.size) > uint64(len(value)) {
			return false
		}
		in := &x.long.setxattr
		*in = fuse.SetXAttrIn{InHeader: *h, Size: short.size, Flags: short.flags, SetXAttrFlags: flags}
		x.status = x.fs.SetXAttr(nil, in, name, value[:short.size])
	case opRemovexattr:
		name, _, ok := xattrIn(msg[inHeaderSize:])
		if !ok {
			return false
		}
		x.status = x.fs.RemoveXAttr(nil, h, name)
	}
	return true
}

// dispatchNode handles what is about an inode as such.
func (x *exchange) dispatchNode(h *fuse.InHeader, msg []byte) (whole bool) {
	switch h.Opcode {
	case opGetattr:
		in, _ := arg[fuse.GetAttrIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.GetAttr(nil, in, result[fuse.AttrOut](x))
	case opSetattr:
		in, _ := arg[fuse.SetAttrIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.SetAttr(nil, in, result[fuse.AttrOut](x))
	case opReadlink:
		var target []byte
		target, x.status = x.fs.Readlink(nil, h)
		x.send(target)
	case opStatfs:
		x.status = x.fs.StatFs(nil, h, result[fuse.StatfsOut](x))
	case opStatx:
		in, _ := arg[fuse.StatxIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.Statx(nil, in, result[fuse.StatxOut](x))
	case opAccess:
		in, _ := arg[fuse.AccessIn](msg)
		if in == nil {
			return false
		}
		x.status = x.fs.Access(nil, in)
	}
	return true
}
