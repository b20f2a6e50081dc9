package unionfs

import (
	"golang.org/x/sys/unix"
)

// how says that a path of a lower is followed through directories only.
func how(flags int) *unix.OpenHow {
	return &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
}

func (d *dirsLower) openLoc(l loc, flags int) (int, error) {
	var fd int
	err := eintr(func() (err error) { fd, err = unix.Openat2(d.roots[l.layer], l.path, how(flags)); return err })
	return fd, err
}

// placeKey names a descriptor: a directory in the i-th of its places, or a
// file's data.
type placeKey struct {
	r lowerRef
	i uint16
}

func (k placeKey) slot() uint64 { return k.r.obj.id + uint64(k.i) + uint64(k.r.nid) }

// dirHandle returns a descriptor of a directory in a place of it, cached.
func (d *dirsLower) dirHandle(o *dirObj, i uint16, l loc) (*handle, error) {
	key := placeKey{lowerRef{obj: o}, i}
	if h := d.dirs.get(key.slot(), key); h != nil {
		return h, nil
	}
	fd, err := d.openLoc(l, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	h := newHandle(fd, false)
	d.dirs.add(key.slot(), key, h)
	return h, nil
}

// with calls fn with the place of r, in its topmost layer.
func (d *dirsLower) with(r lowerRef, fn func(p at) error) error {
	h, p, err := d.reach(r)
	if err != nil {
		return err
	}
	defer h.put()
	return fn(p)
}

// reach returns where r is found, below a descriptor that the caller puts. A
// directory is found by its name as well: only what is looked into is opened.
func (d *dirsLower) reach(r lowerRef) (*handle, at, error) {
	o := r.obj
	if r.nid != 0 {
		t, e := r.file()
		h, err := d.dirHandle(o, e.loc, t.locs[e.loc])
		if err != nil {
			return nil, at{}, err
		}
		return h, at{h.fd, t.name(e)}, nil
	}
	if o.parent == nil {
		h, err := d.dirHandle(o, 0, o.locs[0])
		if err != nil {
			return nil, at{}, err
		}
		return h, at{h.fd, ""}, nil
	}
	h, err := d.dirHandle(o.parent, o.at, o.parent.table.Load().locs[o.at])
	if err != nil {
		return nil, at{}, err
	}
	return h, at{h.fd, o.name}, nil
}
