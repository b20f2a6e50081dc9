package unionfs

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// With passthrough the kernel reads, writes and maps a file below by itself
// (Documentation/filesystems/fuse/fuse-passthrough.rst; Linux 6.9, root). For that
// it has to ask about every open, which costs a request where there is none
// otherwise, so it is an option for those who move much data through few files.
//
// What the kernel is handed is a descriptor, so it must be of the file that
// everybody else reads and writes: a whole file of the upper directory, or of a
// plain lower if nothing is ever written. A lower file under an upper directory
// is never handed out: a write would go to the lower, and whoever has it open
// for reading would not see what is written to the copy.
//
// All opens of a file at a time are of one kind (fs/fuse/iomode.c): the first
// decides. One that began on the lower stays with the server until the last
// close, also when it is copied up meanwhile.
type passthrough struct {
	device int // a descriptor of the connection

	mu   sync.Mutex
	open map[*node]*opening // protected by mu
}

// An opening is a file as long as anybody has it open.
type opening struct {
	count   int
	passed  bool
	backing int32 // the kernel's id of the descriptor, if passed
}

// errNoPassthrough is what the mount fails with where passthrough can't be had.
var errNoPassthrough = errors.New("passthrough needs root outside of user namespaces, and Linux 6.9")

// passedValid is for how long, in seconds, attributes of a file are good that is
// or was written to behind the server's back: a mapping may outlive the open.
const passedValid = 1

// newPassthrough keeps a copy of the connection's descriptor.
func newPassthrough(fd int) (*passthrough, error) {
	priv, err := privileges()
	if err != nil {
		return nil, err
	}
	if !priv.sysAdmin || !priv.initUserns {
		return nil, errNoPassthrough
	}
	device, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &passthrough{device: device, open: make(map[*node]*opening)}, nil
}

func (p *passthrough) close() { unix.Close(p.device) }

// backingMap is struct fuse_backing_map of linux/fuse.h.
type backingMap struct {
	fd, flags int32
	_         uint64
}

const (
	fuseDevIocBackingOpen  = 0x4010e501 // _IOW(229, 1, struct fuse_backing_map)
	fuseDevIocBackingClose = 0x4004e502 // _IOW(229, 2, uint32_t)
	backingDepth           = 1          // what is below is no stacked filesystem; one may be above
)

func (p *passthrough) register(fd int) (int32, error) {
	m := backingMap{fd: int32(fd)}
	id, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.device), fuseDevIocBackingOpen, uintptr(unsafe.Pointer(&m)))
	if errno != 0 {
		return 0, errno
	}
	return int32(id), nil
}

func (p *passthrough) unregister(id int32) {
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(p.device), fuseDevIocBackingClose, uintptr(unsafe.Pointer(&id)))
}

// openPassing answers OPEN.
func (f *FS) openPassing(in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := f.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	p := f.pass
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.open[n]
	if o == nil {
		o = new(opening)
		if h := f.passable(n); h != nil {
			id, err := p.register(h.fd)
			h.put()
			if err == nil { // else, on a stacked filesystem say, the server does the work
				o.passed, o.backing = true, id
			}
		}
		p.open[n] = o
	}
	o.count++
	switch up := n.up.Load(); {
	case o.passed:
		if up != nil && in.Flags&unix.O_ACCMODE != unix.O_RDONLY {
			up.passed.Store(true)
		}
		out.OpenFlags, out.BackingID = fuse.FOPEN_PASSTHROUGH|fuse.FOPEN_NOFLUSH, o.backing
	case up != nil && up.passed.Load(): // its pages may be from before
		out.OpenFlags = fuse.FOPEN_NOFLUSH
	default:
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	}
	return fuse.OK
}

// served counts an open of n that is the server's work.
func (p *passthrough) served(n *node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.open[n]; o != nil {
		o.count++
	} else {
		p.open[n] = &opening{count: 1}
	}
}

// release answers RELEASE.
func (p *passthrough) release(n *node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.open[n]
	if o == nil {
		return
	}
	if o.count--; o.count > 0 {
		return
	}
	delete(p.open, n)
	if o.passed {
		p.unregister(o.backing)
	}
}

// passable returns a descriptor of the file that all reads and writes of n are
// of, from now on; nil if there is none. The caller puts it.
func (f *FS) passable(n *node) *handle {
	if n.typ != unix.S_IFREG {
		return nil
	}
	if f.upper == nil {
		below, ok := f.lower.(interface {
			dataHandle(lowerRef) (*handle, error)
		})
		if !ok {
			return nil // a part of a layer's tar
		}
		h, err := below.dataHandle(n.lower)
		if err != nil {
			return nil // the read will say why
		}
		if h.below != nil { // a part is in another file
			h.put()
			return nil
		}
		return h
	}
	up := n.up.Load()
	if up == nil || n.partialOf() != nil || f.upper.override {
		return nil
	}
	h, err := f.fileHandle(n, true)
	if err != nil {
		return nil
	}
	return h
}

// attrValid is for how long the kernel may keep n's attributes, in seconds.
func (n *node) attrValid() uint64 {
	if up := n.up.Load(); up != nil && up.passed.Load() {
		return passedValid
	}
	return forever
}

// checkPassthrough says what is wrong with asking for passthrough.
func checkPassthrough(o *MountOptions) error {
	if _, ok := o.Transport.(Loop); o.Passthrough && !ok {
		return fmt.Errorf("passthrough: not with this transport: %w", unix.EINVAL)
	}
	return nil
}
