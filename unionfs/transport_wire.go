package unionfs

import (
	"bytes"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The messages of linux/fuse.h. A request is a header and, by its opcode, a
// structure, names that end with a zero byte, and data; all in the byte order
// and the alignment of the machine. go-fuse's exported types are those
// structures field by field, each with the header in front, so a request is
// read by pointing at it: the tests hold their sizes against the kernel's.

// Opcodes that are not counted; the others are beside opNames.
const (
	opGetlk       = 31
	opSetlk       = 32
	opSetlkw      = 33
	opInit        = 26
	opInterrupt   = 36
	opDestroy     = 38
	opIoctl       = 39
	opPoll        = 40
	opNotifyReply = 41
	opBatchForget = 42
	opRename2     = 45
)

const (
	inHeaderSize  = int(unsafe.Sizeof(fuse.InHeader{}))
	outHeaderSize = int(unsafe.Sizeof(fuse.OutHeader{}))
)

// rename1In is the structure of RENAME, which has no flags.
type rename1In struct {
	fuse.InHeader
	newDir uint64
}

// setxattr1In is the structure of SETXATTR without FUSE_SETXATTR_EXT.
type setxattr1In struct {
	fuse.InHeader
	size, flags uint32
}

// batchForgetIn is followed by count forgetOnes.
type batchForgetIn struct {
	fuse.InHeader
	count, _ uint32
}

type forgetOne struct{ node, lookups uint64 }

// header returns the header of a request and cuts off what is not to be looked
// at: an extension behind the request, which is never negotiated. It is nil
// when the message is not one, or not whole.
func header(msg []byte) (*fuse.InHeader, []byte) {
	h, _ := arg[fuse.InHeader](msg)
	if h == nil || int64(h.Length) != int64(len(msg)) {
		return nil, nil
	}
	ext := int(h.TotalExtlen) * 8
	if ext > len(msg)-inHeaderSize {
		return nil, nil
	}
	return h, msg[:len(msg)-ext]
}

// arg points at the structure T at the beginning of msg, and returns what
// follows it. It is nil when msg is too short. msg must be aligned to 8 bytes.
func arg[T any](msg []byte) (*T, []byte) {
	size := int(unsafe.Sizeof(*new(T)))
	if len(msg) < size {
		return nil, nil
	}
	return (*T)(unsafe.Pointer(&msg[0])), msg[size:]
}

// nameIn returns a copy of the name at the beginning of b, and what follows it.
// The copy is the file system's to keep.
func nameIn(b []byte) (name string, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+1:], true
}

// xattrIn is nameIn for names of extended attributes. Those that the kernel
// asks for by itself, again and again, are not copied.
func xattrIn(b []byte) (name string, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", nil, false
	}
	switch string(b[:i]) {
	case "security.capability":
		name = "security.capability"
	case "security.selinux":
		name = "security.selinux"
	case "security.ima":
		name = "security.ima"
	case "system.posix_acl_access":
		name = "system.posix_acl_access"
	case "system.posix_acl_default":
		name = "system.posix_acl_default"
	default:
		name = string(b[:i])
	}
	return name, b[i+1:], true
}
