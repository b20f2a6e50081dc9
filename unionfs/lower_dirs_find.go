package unionfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// What a redirect leads to is looked up name by name in the layers below the
// one that has it, as if they alone were a union (ovl_lookup in
// fs/overlayfs/namei.c). An absolute redirect goes on from the roots of the
// layers further below, a relative one in the places of the parent directory:
// either way the search only ever goes down, and so ends.

// peeked is what a layer has under a name.
type peeked struct {
	typ  uint32 // S_IFMT bits; 0: nothing
	mark lowerMark
	last bool // nothing of that name shows from below
}

// peek looks for a name in a place of its directory.
func (d *dirsLower) peek(dir loc, name string) (pk peeked, err error) {
	if strings.HasPrefix(name, whiteout.Prefix) {
		return pk, nil
	}
	l := dir.child(name)
	if fd, err := d.openLoc(dir.child(whiteout.Prefix+name), unix.O_PATH); err == nil {
		unix.Close(fd)
		pk.last = true
	}
	fd, err := d.openLoc(l, unix.O_PATH)
	switch {
	case isErrno(err, unix.ENOENT, unix.ENAMETOOLONG):
		return pk, nil
	case isErrno(err, unix.ENOTDIR, unix.ELOOP):
		pk.last = true
		return pk, nil
	case err != nil:
		return pk, err
	}
	defer unix.Close(fd)
	p := at{fd, ""}
	var st unix.Stat_t
	if err := p.stat(&st); err != nil {
		return pk, err
	}
	pk.typ = st.Mode & unix.S_IFMT
	if whiteout.IsDevice(st.Mode, st.Rdev) {
		pk.typ, pk.last = 0, true
		return pk, nil
	}
	if pk.typ != unix.S_IFDIR {
		pk.last = true
		if pk.typ == unix.S_IFREG && st.Size == 0 {
			if pk.mark, err = readLowerMark(p); err == nil && pk.mark.whiteout {
				pk.typ = 0
			}
		}
		return pk, err
	}
	if pk.mark, err = readLowerMark(p); err != nil {
		return pk, err
	}
	if fd, err := d.openLoc(l.child(whiteout.OpaqueName), unix.O_PATH); err == nil {
		unix.Close(fd)
		pk.mark.opaque = true
	}
	pk.last = pk.last || pk.mark.opaque
	return pk, nil
}

// dirBelow finds the places of the directory called name, in a directory whose
// places are parent. None: there is no such directory.
func (d *dirsLower) dirBelow(parent []loc, name string) (places []loc, err error) {
	for _, p := range parent {
		pk, err := d.peek(p, name)
		if err != nil {
			return nil, err
		}
		if pk.typ != 0 && pk.typ != unix.S_IFDIR {
			break
		}
		if pk.typ == unix.S_IFDIR {
			places = append(places, p.child(name))
		}
		to := pk.mark.redirect
		if strings.HasPrefix(to, "/") && !pk.mark.opaque {
			rest, err := d.dirAt(to, p.layer+1)
			return append(places, rest...), err
		}
		if pk.last {
			break
		}
		if to != "" {
			name = to
		}
	}
	return places, nil
}

// dirAt finds the places of a directory by its path, in the layers from the
// given one on.
func (d *dirsLower) dirAt(path string, from int) ([]loc, error) {
	places := make([]loc, 0, len(d.roots)-from)
	for i := from; i < len(d.roots); i++ {
		places = append(places, loc{i, "."})
	}
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		var err error
		if places, err = d.dirBelow(places, name); err != nil || len(places) == 0 {
			return nil, err
		}
	}
	return places, nil
}

// redirected finds where a directory o that says so at l continues.
func (d *dirsLower) redirected(o *dirObj, l loc, to string) ([]loc, error) {
	if strings.HasPrefix(to, "/") {
		return d.dirAt(to, l.layer+1)
	}
	if o.parent == nil {
		return nil, nil
	}
	parent := o.parent.table.Load().locs
	for i, p := range parent {
		if p.layer > l.layer {
			return d.dirBelow(parent[i:], to)
		}
	}
	return nil, nil
}
