package unionfs

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// A merge is a directory being read: the names of all its layers are gathered
// as they come, sorted by name and layer, and each name's run then says what
// shows. Its memory is used again for the next directory.
type merge struct {
	d     *dirsLower
	o     *dirObj
	locs  []loc
	found bool // a redirect was followed: locs are final
	names []byte
	recs  []mergeRec
}

// mergeRec is a name in one layer.
type mergeRec struct {
	ino   uint64 // shown inode number; directories: not yet known
	off   uint32 // in merge.names
	loc   uint16 // index in merge.locs
	len   uint8
	typ   uint8 // S_IFMT bits >> 12
	white bool
	stays bool // a whiteout for what is below only (.wh.NAME beside NAME)
}

var merges = sync.Pool{New: func() any { return new(merge) }}

func (m *merge) name(r *mergeRec) []byte { return m.names[r.off : r.off+uint32(r.len)] }

// load reads a directory of all its layers, once.
func (d *dirsLower) load(dir lowerRef) (*dirTable, error) {
	o := dir.obj
	if dir.nid != 0 {
		return nil, unix.ENOTDIR
	}
	if t := o.table.Load(); t != nil {
		return t, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.table.Load(); t != nil {
		return t, nil
	}
	m := merges.Get().(*merge)
	defer merges.Put(m)
	m.d, m.o, m.locs, m.found, m.names, m.recs = d, o, o.locs, false, m.names[:0], m.recs[:0]
	if cap(m.names) > 1<<20 {
		m.names, m.recs = nil, nil
	}
	for i := 0; i < len(m.locs); i++ {
		opaque, err := m.layer(i)
		if err != nil {
			l := m.locs[min(i, len(m.locs)-1)]
			return nil, fmt.Errorf("%s/%s: %w", d.paths[l.layer], l.path, err)
		}
		if opaque {
			m.locs = m.locs[:i+1]
			break
		}
	}
	t, err := m.table()
	m.d, m.o, m.locs = nil, nil, nil
	if err != nil {
		return nil, err
	}
	o.table.Store(t)
	return t, nil
}

// layer gathers the names of one layer. It reports that nothing below shows.
func (m *merge) layer(i int) (opaque bool, err error) {
	l := m.locs[i]
	fd, err := m.d.openLoc(l, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	h := newHandle(fd, false)
	defer h.put()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	fs := m.d.inodes.of(st.Dev, fd)
	mark, err := readFileMark(fd)
	if err != nil {
		return false, err
	}
	opaque = mark.opaque
	before := len(m.recs)
	err = eachName(fd, func(name []byte, typ uint8, ino uint64) error {
		r := mergeRec{loc: uint16(i), typ: typ, ino: fs.number(ino)}
		kind, target, err := whiteout.Parse(name)
		switch {
		case err != nil: // no name a layer may have: not shown
			return nil
		case kind == whiteout.Opaque:
			opaque = true
			return nil
		case kind == whiteout.Meta:
			return nil
		case kind == whiteout.Remove:
			name, r.white, r.stays = target, true, true
		case typ == unix.DT_UNKNOWN || typ == unix.DT_CHR || !fs.ino || mark.xwh && typ == unix.DT_REG:
			if err := m.look(at{fd, string(name)}, &r, mark.xwh); err != nil {
				if err == unix.ENOENT {
					return nil
				}
				return err
			}
		}
		r.off, r.len = uint32(len(m.names)), uint8(len(name))
		m.names = append(m.names, name...)
		m.recs = append(m.recs, r)
		return nil
	})
	if err != nil {
		return false, err
	}
	if len(m.recs) > before {
		key := placeKey{lowerRef{obj: m.o}, uint16(i)}
		m.d.dirs.add(key.slot(), key, h)
	}
	if mark.redirect != "" && !opaque && !m.found {
		m.found = true
		rest, err := m.d.redirected(m.o, l, mark.redirect)
		if err != nil {
			return false, err
		}
		m.locs = append(m.locs[:i+1:i+1], rest...)
	}
	return opaque, nil
}

// look asks for what the directory didn't tell of a name.
func (m *merge) look(p at, r *mergeRec, xwh bool) error {
	var st unix.Stat_t
	if err := p.stat(&st); err != nil {
		return err
	}
	r.typ, r.ino = uint8(st.Mode>>12), m.d.inodes.number(&st)
	r.white = whiteout.IsDevice(st.Mode, st.Rdev)
	if xwh && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 {
		mark, err := readLowerMark(p)
		if err != nil {
			return err
		}
		r.white = mark.whiteout
	}
	return nil
}

// table makes the table of what was gathered.
func (m *merge) table() (*dirTable, error) {
	slices.SortFunc(m.recs, func(a, b mergeRec) int {
		if c := bytes.Compare(m.name(&a), m.name(&b)); c != 0 {
			return c
		}
		if a.loc != b.loc || a.stays == b.stays {
			return cmp.Compare(a.loc, b.loc)
		}
		if a.stays { // a name and its whiteout in one layer: the whiteout is for what is below
			return 1
		}
		return -1
	})
	var shown, size, dirs, places int
	m.runs(func(run []mergeRec) {
		shown++
		size += int(run[0].len)
		if run[0].typ == unix.DT_DIR {
			dirs++
			places += len(run)
		}
	})
	t := &dirTable{locs: m.locs, list: make([]dirName, 0, shown), dirs: make([]dirObj, dirs)}
	locs := make([]loc, 0, places)
	var names strings.Builder
	names.Grow(size)
	m.runs(func(run []mergeRec) {
		r := &run[0]
		e := dirName{ino: r.ino, off: uint32(names.Len()), loc: r.loc, len: r.len, typ: r.typ}
		names.Write(m.name(r))
		if r.typ == unix.DT_DIR {
			dirs--
			e.ino = uint64(dirs)
			first := len(locs)
			name := string(m.name(r))
			for _, r := range run {
				l := m.locs[r.loc].child(name)
				if n := len(locs); n > first && locs[n-1].path == l.path {
					l.path = locs[n-1].path
				}
				locs = append(locs, l)
			}
			o := &t.dirs[dirs]
			o.parent, o.at, o.locs = m.o, r.loc, locs[first:len(locs):len(locs)]
		}
		t.list = append(t.list, e)
	})
	t.names = names.String()
	return t, m.complete(t)
}

// runs calls fn for every name that shows, with the layers that make it up:
// one, or several of a directory.
func (m *merge) runs(fn func(run []mergeRec)) {
	for i := 0; i < len(m.recs); {
		first, end := i, i
		for i++; i < len(m.recs) && bytes.Equal(m.name(&m.recs[i]), m.name(&m.recs[first])); i++ {
		}
		if m.recs[first].white {
			continue
		}
		for end = first + 1; end < i && m.recs[first].typ == unix.DT_DIR; end++ {
			if r := &m.recs[end]; r.white || r.typ != unix.DT_DIR {
				break
			}
		}
		fn(m.recs[first:end])
	}
}

// complete asks for what only shown objects need: the numbers of directories
// (they may be mounts, or subvolumes), and types kept in override_stat.
func (m *merge) complete(t *dirTable) error {
	for i := range t.list {
		e := &t.list[i]
		over := m.d.over[m.locs[e.loc].layer]
		if e.typ != unix.DT_DIR && (over == "" || e.typ != unix.DT_REG) {
			continue
		}
		h, err := m.d.dirHandle(m.o, e.loc, m.locs[e.loc])
		if err != nil {
			return err
		}
		p := at{h.fd, t.name(e)}
		if e.typ == unix.DT_DIR {
			var st unix.Stat_t
			if err = p.stat(&st); err == nil {
				o := &t.dirs[e.ino]
				o.id, o.name = m.d.inodes.number(&st), p.name
			}
		} else {
			var o *overrideStat
			if o, err = readOverrideStat(p, over); o != nil {
				st := unix.Stat_t{Mode: unix.S_IFREG}
				e.typ = uint8(objType(&st, o)>>12) | overridden
			}
		}
		h.put()
		if err != nil {
			return err
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
