package unionfs

import (
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// upperCookies is the first cookie of names that only the upper directory has.
// Below it are the cookies of the lower, which never change.
const upperCookies = 1 << 48

// dirState is what a directory's node knows of its part in the upper directory.
// Once loaded it follows every change, so that cookies stay what they were
// while names come and go, and a name that isn't there costs no system call.
type dirState struct {
	// mu is the directory's lock: held to read or change the upper directory's
	// names. The fields below are protected by it.
	mu     sync.RWMutex
	loaded bool
	heir   *heritage // nil: not known
	xwh    bool      // regular files may be xwhiteouts
	names  map[string]upperName
	order  []cookieName // names that the lower doesn't have, by cookie
	next   uint64       // cookies handed out
}

// upperName is a name in the upper directory.
type upperName struct {
	cookie   uint64 // 0: it stands where the lower has the name
	whiteout bool
}

type cookieName struct {
	cookie uint64
	name   string
}

// set records that name leads to an object of the upper, or to a whiteout.
// Requires mu.
func (d *dirState) set(name string, inLower, whiteout bool) {
	if !d.loaded {
		return
	}
	old, had := d.names[name]
	e := upperName{whiteout: whiteout}
	if !inLower && !whiteout {
		if had && old.cookie != 0 {
			e.cookie = old.cookie
		} else {
			d.next++
			e.cookie = upperCookies + d.next
			d.order = append(d.order, cookieName{e.cookie, name})
		}
	}
	d.names[name] = e
}

// remove records that the upper directory has no such name. Requires mu.
func (d *dirState) remove(name string) {
	if !d.loaded {
		return
	}
	delete(d.names, name)
	if len(d.order) > 64 && len(d.order) > 2*len(d.names) {
		live := d.order[:0]
		for _, c := range d.order {
			if d.names[c.name].cookie == c.cookie {
				live = append(live, c)
			}
		}
		clear(d.order[len(live):])
		d.order = live
	}
}

// empty makes the state that of a directory just made.
func (d *dirState) empty() {
	d.loaded, d.names, d.order = true, make(map[string]upperName), nil
	d.next = max(d.next, 2) // 1 and 2 are "." and ".."
}

// after is the index in order of the first name past cookie.
func (d *dirState) after(cookie uint64) int {
	return sort.Search(len(d.order), func(i int) bool { return d.order[i].cookie > cookie })
}

// load reads the upper directory of n unless that has been done. Requires
// n.dir.mu for writing.
func (f *FS) load(n *node) error {
	d := n.dir
	if d.loaded || !n.hasUpper() {
		return nil
	}
	h, err := f.dirHandle(n)
	if err != nil {
		return err
	}
	defer h.put()
	list, err := readNames(h.fd)
	if err != nil {
		return err
	}
	d.empty()
	for _, e := range list {
		kind, err := e.kind(h.fd)
		var white bool
		if err == nil {
			white, err = f.isWhiteout(at{h.fd, e.name}, kind, d.xwh)
		}
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			d.loaded = false
			return err
		}
		inLower, err := f.inLower(n, e.name)
		if err != nil {
			d.loaded = false
			return err
		}
		d.set(e.name, inLower, white)
	}
	return nil
}

// isWhiteout tells whether the upper object at p is a whiteout.
func (f *FS) isWhiteout(p at, kind uint32, xwh bool) (bool, error) {
	switch {
	case kind == unix.S_IFCHR:
		var st unix.Stat_t
		err := p.stat(&st)
		return st.Rdev == 0, err
	case kind == unix.S_IFREG && xwh:
		_, err := p.getxattr(f.upper.marks + markWhiteout)
		if isErrno(err, unix.ENODATA, unix.EOPNOTSUPP) {
			return false, nil
		}
		return err == nil, err
	}
	return false, nil
}

// inLower tells whether the lower has that name where n is merged with it.
func (f *FS) inLower(n *node, name string) (bool, error) {
	if !n.lower.ok() {
		return false, nil
	}
	_, err := f.lower.lookup(n.lower, name)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, err
}

// loadShared returns with n.dir.mu held for reading and the state loaded.
func (f *FS) loadShared(n *node) error {
	n.dir.mu.RLock()
	if n.dir.loaded || !n.hasUpper() {
		return nil
	}
	n.dir.mu.RUnlock()
	n.dir.mu.Lock()
	err := f.load(n)
	n.dir.mu.Unlock()
	n.dir.mu.RLock()
	if err != nil {
		n.dir.mu.RUnlock()
	}
	return err
}

// isEmpty tells whether nothing shows in a directory. Requires n.dir.mu for
// writing.
func (f *FS) isEmpty(n *node) (bool, error) {
	if err := f.load(n); err != nil {
		return false, err
	}
	for _, e := range n.dir.names {
		if !e.whiteout {
			return false, nil
		}
	}
	if !n.lower.ok() {
		return true, nil
	}
	empty := true
	err := f.lower.readdir(n.lower, 0, func(e *lowerEntry) bool {
		if !e.ref.ok() || e.name == "." || e.name == ".." {
			return true
		}
		_, hidden := n.dir.names[e.name]
		empty = hidden
		return empty
	})
	return empty, err
}
