package unionfs

import (
	"fmt"
	"io"
	"sync/atomic"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// An exchange is the memory of one request at a time and of its reply, and how
// one becomes the other. A worker uses the same one for all its requests.
//
//	mem: ┌──────────┬───────────┬─ page ──────────────────┬─ page ─────────
//	     │          │ a request │ … its names, or the     │ the data of a
//	     │          │ (in)      │ data of a WRITE         │ READ's reply
//	     └──────────┴───────────┴─────────────────────────┴────────────────
//	     0          dataStart-80                          room()
//
// A WRITE's data begins on a page, after its 80 bytes of structures, and so
// does what a READ returns: the kernel then copies page to page. The reply's
// header is put right before the data, so that every reply is one piece and is
// written by one write(2).
type exchange struct {
	fs    fuse.RawFileSystem
	into  intoReader // fs, if it is one
	poll  *pollAnswer
	debug io.Writer
	// setxattrExt: SETXATTR's structure has flags of its own (FUSE_SETXATTR_EXT).
	setxattrExt bool

	mem    []byte
	status fuse.Status
	fixed  int    // bytes of out.data that are the reply
	data   []byte // what follows them: a part of mem, at room
	start  int    // where in mem data begins
	list   fuse.DirEntryList
	long   struct { // requests that are shorter on the wire
		rename   fuse.RenameIn
		setxattr fuse.SetXAttrIn
	}
	out struct {
		fuse.OutHeader
		data [36]uint64
	}
}

// An intoReader reads without an allocation for the result.
type intoReader interface {
	readInto(in *fuse.ReadIn, buf []byte) (int, fuse.Status)
}

const (
	pageSize   = 4096
	dataStart  = pageSize
	inStart    = dataStart - int(unsafe.Sizeof(fuse.WriteIn{}))
	minPayload = 32 * pageSize // what the kernel sends without FUSE_MAX_PAGES; no attribute is longer
)

// newExchange makes an exchange for requests and replies of at most maxWrite
// bytes of data. It must be closed.
func newExchange(fs fuse.RawFileSystem, maxWrite int, poll *pollAnswer, debug io.Writer) (*exchange, error) {
	size := 2*pageSize + (max(maxWrite, minPayload)+pageSize-1)&^(pageSize-1)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("memory for requests: %w", err)
	}
	x := &exchange{fs: fs, mem: mem, poll: poll, debug: debug}
	x.into, _ = fs.(intoReader)
	return x, nil
}

func (x *exchange) close() { _ = unix.Munmap(x.mem) }

// shrink gives back the memory of large requests.
func (x *exchange) shrink() { _ = unix.Madvise(x.mem[4*pageSize:], unix.MADV_DONTNEED) }

// space is where a request is to be read to.
func (x *exchange) space() []byte { return x.mem[inStart : len(x.mem)-pageSize] }

// answer handles the request of n bytes in space and returns the reply; nil
// when there is none. It is valid until the next request is read.
func (x *exchange) answer(n int) []byte {
	msg := x.space()[:n]
	h, msg := header(msg)
	if h == nil {
		if n < inHeaderSize {
			return nil // nobody to answer to
		}
		h = (*fuse.InHeader)(unsafe.Pointer(&x.mem[inStart]))
		x.fail(fuse.EIO)
		return x.reply(h)
	}
	if x.debug != nil {
		fmt.Fprintf(x.debug, "rx %d: %s n%d %d bytes p%d\n", h.Unique, opName(h.Opcode), h.NodeId, len(msg), h.Pid)
	}
	x.status, x.fixed, x.data = fuse.OK, 0, nil
	x.start = (inStart + len(msg) + 2*outHeaderSize + pageSize - 1) &^ (pageSize - 1)
	replies := true
	if h.NodeId == pollNode || x.poll.asked(h, msg) {
		replies = x.poll.answer(x, h)
	} else {
		replies = x.dispatch(h, msg)
	}
	if !replies {
		return nil
	}
	if x.debug != nil {
		fmt.Fprintf(x.debug, "tx %d:     %v, %d bytes\n", h.Unique, x.status, x.fixed+len(x.data))
	}
	return x.reply(h)
}

// refuse is the reply EIO to the request that has been answered last.
func (x *exchange) refuse() []byte {
	x.fail(fuse.EIO)
	return x.reply((*fuse.InHeader)(unsafe.Pointer(&x.mem[inStart])))
}

// reply puts the parts of the reply together.
func (x *exchange) reply(h *fuse.InHeader) []byte {
	if x.status < 0 || x.status >= 512 { // the kernel knows no such errno
		x.status = fuse.EIO
	}
	if x.status != fuse.OK {
		x.fixed, x.data = 0, nil
	}
	size := outHeaderSize + x.fixed
	x.out.OutHeader = fuse.OutHeader{Length: uint32(size + len(x.data)), Status: -int32(x.status), Unique: h.Unique}
	front := unsafe.Slice((*byte)(unsafe.Pointer(&x.out)), size)
	if len(x.data) == 0 {
		return front
	}
	copy(x.mem[x.start-size:], front)
	return x.mem[x.start-size : x.start+len(x.data)]
}

// fail makes the reply an error.
func (x *exchange) fail(s fuse.Status) { x.status, x.fixed, x.data = s, 0, nil }

// result points at the zeroed structure T of the reply.
func result[T any](x *exchange) *T {
	x.fixed = int(unsafe.Sizeof(*new(T)))
	clear(x.out.data[:(x.fixed+7)/8])
	return (*T)(unsafe.Pointer(&x.out.data))
}

// room is the place for size bytes of data in the reply; nil, with the reply
// made an error, when the kernel asks for more than was agreed on.
func (x *exchange) room(size uint32) []byte {
	if int64(size) > int64(len(x.mem)-x.start) {
		x.fail(fuse.EINVAL)
		return nil
	}
	return x.mem[x.start : x.start+int(size) : x.start+int(size)]
}

// send makes b the data of the reply, wherever it lies.
func (x *exchange) send(b []byte) {
	if x.status != fuse.OK || len(b) == 0 {
		return
	}
	if to := x.room(uint32(len(b))); to != nil {
		if &to[0] != &b[0] {
			copy(to, b)
		}
		x.data = to
	}
}

// readInto implements intoReader.
func (f *FS) readInto(in *fuse.ReadIn, buf []byte) (int, fuse.Status) {
	f.count(opRead)
	n := f.node(in.NodeId)
	if n == nil {
		return 0, fuse.Status(unix.ESTALE)
	}
	done, err := f.readAt(n, buf, int64(in.Offset))
	return done, status(err)
}

// pollAnswer answers for a file that shows up once, at the beginning of a
// connection: see [loopSession.Ready].
type pollAnswer struct{ over atomic.Bool }

// pollNode is the node of that file, an id that no file system gives.
const pollNode = ^uint64(0)

// asked tells whether h looks that file up.
func (p *pollAnswer) asked(h *fuse.InHeader, msg []byte) bool {
	return h.Opcode == opLookup && h.NodeId == fuse.FUSE_ROOT_ID && !p.over.Load() &&
		string(msg[inHeaderSize:]) == pollName+"\x00"
}

func (p *pollAnswer) answer(x *exchange, h *fuse.InHeader) bool {
	attr := fuse.Attr{Ino: pollNode, Mode: unix.S_IFREG | 0o444, Nlink: 1}
	switch h.Opcode {
	case opLookup:
		*result[fuse.EntryOut](x) = fuse.EntryOut{NodeId: pollNode, Attr: attr}
	case opGetattr:
		result[fuse.AttrOut](x).Attr = attr
	case opOpen:
		result[fuse.OpenOut](x)
	case opPoll:
		p.over.Store(true)
		x.fail(fuse.ENOSYS)
	case opGetxattr: // who does not own it has the kernel ask for its ACL
		x.fail(fuse.ENODATA)
	case opFlush, opRelease:
	case opForget, opInterrupt:
		return false
	default:
		x.fail(fuse.EPERM) // not ENOSYS: the kernel would stop asking for any file
	}
	return true
}

// opName is the name of an opcode, for people.
func opName(op uint32) string {
	if op < opcodeCount && opNames[op] != "" {
		return opNames[op]
	}
	return fmt.Sprintf("opcode %d", op)
}
