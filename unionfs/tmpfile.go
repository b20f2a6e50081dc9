package unionfs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Tmpfile implements [fuse.RawFileSystem]: a file without a name, which is
// reached by a descriptor until it is forgotten, or linked.
func (f *FS) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	f.count(opTmpfile)
	p := f.node(in.NodeId)
	if p == nil || !p.isDir() {
		return fuse.Status(unix.ESTALE)
	}
	if f.upper == nil {
		return fuse.EROFS
	}
	s := spec{typ: unix.S_IFREG, perm: in.Mode & 07777, umask: in.Umask}
	p.dir.mu.Lock()
	err := f.inherit(p, &in.InHeader, &s)
	p.dir.mu.Unlock()
	if err != nil {
		return status(err)
	}
	n, err := f.tmpfile(s, &out.EntryOut.Attr)
	if err != nil {
		return status(err)
	}
	fillEntry(n, &out.EntryOut)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	if f.pass != nil {
		f.pass.served(n)
	}
	return fuse.OK
}

func (f *FS) tmpfile(s spec, a *fuse.Attr) (*node, error) {
	fd, err := unix.Openat(f.upper.work, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	h := newHandle(fd, true)
	p := at{fd, ""}
	var st unix.Stat_t
	override, err := f.upper.dress(p, s, &st)
	if err == nil && override && s.access != nil {
		s.perm = withoutACL(s.perm, s.access)
		err = f.upper.writeOverride(p, s)
	} else if err == nil && !override {
		err = s.setInherited(p)
	}
	var m marks
	if err == nil {
		err = p.stat(&st)
	}
	if err == nil && override {
		m.override, err = f.readOverride(p)
	}
	n := &node{typ: s.typ}
	if err == nil {
		up := f.newUpperObj(n, &st, m)
		up.pin.Store(h)
		n.up.Store(up)
		n, err = f.adopt(n, up.key, nil, "")
	}
	if err != nil {
		h.put()
		return nil, err
	}
	f.fillAttr(n, n.up.Load(), &st, m.override, a)
	return n, nil
}
