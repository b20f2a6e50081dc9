package unionfs

import (
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// load reads a directory of all its layers, once.
func (d *dirsLower) load(o *dirObj) ([]lowerEntry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.loaded {
		return o.list, nil
	}
	if o.typ != unix.S_IFDIR {
		return nil, unix.ENOTDIR
	}
	m := merge{d: d, locs: o.locs, names: make(map[string]*merging)}
	for i := 0; i < len(m.locs); i++ {
		opaque, err := m.layer(i)
		if err != nil {
			return nil, err
		}
		if opaque {
			break
		}
	}
	list := make([]lowerEntry, 0, len(m.names))
	for name, e := range m.names {
		if e.obj != nil {
			list = append(list, lowerEntry{name: name, ref: lowerRef{obj: e.obj}, typ: e.obj.typ})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	for i := range list {
		list[i].off = uint64(i) + 3
	}
	o.list, o.loaded = list, true
	return list, nil
}

// merge is a directory being read layer by layer, from the top.
type merge struct {
	d     *dirsLower
	locs  []loc // where it is read, in order
	names map[string]*merging
}

// merging is a name of it: obj is nil for a whiteout, closed once nothing from
// further below can add to it.
type merging struct {
	obj    *dirObj
	closed bool
}

// layer adds the names of one layer. It reports that nothing below shows.
func (m *merge) layer(i int) (opaque bool, err error) {
	l := m.locs[i]
	fd, err := m.d.openLoc(l, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false, fmt.Errorf("%s/%s: %w", m.d.paths[l.layer], l.path, err)
	}
	defer unix.Close(fd)
	dirMarks, err := lowerMarks(at{fd, ""})
	if err != nil {
		return false, err
	}
	opaque = dirMarks.opaque
	list, err := readNames(fd)
	if err != nil {
		return false, err
	}
	var gone []string
	for _, e := range list {
		kind, target, err := whiteout.Parse(e.name)
		if err != nil {
			continue // no name a layer may have: not shown
		}
		switch kind {
		case whiteout.Remove:
			gone = append(gone, target)
			continue
		case whiteout.Opaque:
			opaque = true
			continue
		case whiteout.Meta:
			continue
		}
		if err := m.name(l, fd, e, &dirMarks); err != nil && err != unix.ENOENT {
			return false, err
		}
	}
	// A name and its whiteout in one layer: the whiteout is for what is below.
	for _, name := range gone {
		if e := m.names[name]; e == nil {
			m.names[name] = &merging{closed: true}
		} else {
			e.closed = true
		}
	}
	if dirMarks.redirect != "" && !opaque {
		m.redirect(i, dirMarks.redirect)
	}
	return opaque, nil
}

// name adds one name of a layer.
func (m *merge) name(l loc, fd int, e rawEntry, dirMarks *marks) error {
	old := m.names[e.name]
	if old != nil && old.closed {
		return nil
	}
	p := at{fd, e.name}
	var st unix.Stat_t
	if err := p.stat(&st); err != nil {
		return err
	}
	typ := st.Mode & unix.S_IFMT
	white := whiteout.IsDevice(st.Mode, st.Rdev)
	if !white && dirMarks.xwh && typ == unix.S_IFREG && st.Size == 0 {
		own, err := lowerMarks(p)
		if err != nil {
			return err
		}
		white = own.whiteout
	}
	if old != nil {
		if !white && typ == unix.S_IFDIR {
			old.obj.locs = append(old.obj.locs, loc{l.layer, join(l.path, e.name)})
		} else {
			old.closed = true
		}
		return nil
	}
	if white {
		m.names[e.name] = &merging{closed: true}
		return nil
	}
	if m.d.override && typ == unix.S_IFREG {
		if v, err := p.getxattr(overrideXattr); err == nil {
			o, err := parseOverride(string(v))
			if err != nil {
				return err
			}
			typ = objType(&st, &o)
		}
	}
	m.names[e.name] = &merging{
		obj: &dirObj{
			id: m.d.number(&st), slot: st.Ino, typ: typ,
			locs: []loc{{l.layer, join(l.path, e.name)}},
		},
		closed: typ != unix.S_IFDIR,
	}
	return nil
}

// redirect makes the layers below the i-th place of the directory continue at
// another path.
func (m *merge) redirect(i int, to string) {
	l := m.locs[i]
	if strings.HasPrefix(to, "/") {
		to = strings.Trim(to, "/")
	} else if at := strings.LastIndexByte(l.path, '/'); at >= 0 {
		to = join(l.path[:at], to)
	}
	locs := m.locs[: i+1 : i+1]
	for below := l.layer + 1; below < len(m.d.roots); below++ {
		next := loc{below, to}
		if fd, err := m.d.openLoc(next, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			unix.Close(fd)
			locs = append(locs, next)
		}
	}
	m.locs = locs
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// lowerMarks reads the marks of an object of a lower, in any namespace. What
// this process may not read says nothing.
func lowerMarks(p at) (marks, error) {
	var m marks
	names, err := p.listxattr()
	if isErrno(err, unix.EACCES, unix.EPERM) {
		return m, nil
	}
	for _, name := range names {
		if name == whiteout.FuseOverlayOpaque {
			if v, err := p.getxattr(name); err == nil && string(v) == "y" {
				m.opaque = true
			}
			continue
		}
		mark, ok := strings.CutPrefix(name, trustedMarks)
		if !ok {
			mark, ok = strings.CutPrefix(name, userMarks)
		}
		if !ok {
			continue
		}
		v, err := p.getxattr(name)
		if err != nil {
			continue
		}
		switch mark {
		case markOpaque:
			m.opaque = m.opaque || string(v) == "y"
			m.xwh = m.xwh || string(v) == "x"
		case markWhiteout:
			m.whiteout = true
		case markRedirect:
			m.redirect = string(v)
		}
	}
	return m, err
}
