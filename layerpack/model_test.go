package layerpack

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// model is the image a chain describes, kept as naively as the rules can be
// written down: a map from resolved path to inode. It shares no code with the
// merge.
type model struct {
	fs    map[string]*mnode
	layer int
	ids   int
}

type mnode struct {
	view
	id   int  // the same in a clone; names of one inode have one
	kind byte // tar type; tar.TypeDir, tar.TypeSymlink, ...
}

func newModel() *model {
	return &model{fs: map[string]*mnode{"": {kind: tar.TypeDir, view: view{Mode: unix.S_IFDIR | 0o755}}}}
}

func (m *model) clone() *model {
	c := &model{fs: make(map[string]*mnode), layer: m.layer, ids: m.ids}
	same := make(map[*mnode]*mnode)
	for p, n := range m.fs {
		if same[n] == nil {
			k := *n
			same[n] = &k
		}
		c.fs[p] = same[n]
	}
	return c
}

var errModel = errors.New("refused")

// clean is the name relative to the root.
func clean(name string) (string, error) {
	name = strings.TrimLeft(name, "/")
	depth := 0
	for _, c := range strings.Split(name, "/") {
		switch c {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return "", errModel
			}
		default:
			depth++
		}
	}
	if p := path.Clean(name); p != "." {
		return p, nil
	}
	return "", nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// real follows p from the directory at to a directory.
func (m *model) real(at, p string, make *tar.Header, links *int) (string, bool, error) {
	if strings.HasPrefix(p, "/") {
		at = ""
	}
	for _, c := range strings.Split(p, "/") {
		if c == "" || c == "." {
			continue
		}
		if c == ".." {
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		next := join(at, c)
		n := m.fs[next]
		switch {
		case n == nil && make == nil:
			return "", false, nil
		case n == nil:
			m.fs[next] = &mnode{kind: tar.TypeDir, view: view{Mode: unix.S_IFDIR | 0o755, Mtime: make.ModTime.Unix(), LayerKnown: m.layer + 1}}
		case n.kind == tar.TypeSymlink:
			if *links++; *links > 40 {
				return "", false, errModel
			}
			to, ok, err := m.real(at, n.Target, make, links)
			if err != nil || !ok {
				return "", ok, err
			}
			next = to
		case n.kind != tar.TypeDir:
			if make == nil {
				return "", false, nil
			}
			return "", false, errModel
		}
		at = next
	}
	return at, true, nil
}

func (m *model) removeAll(p string) {
	for k := range m.fs {
		if k == p || strings.HasPrefix(k, p+"/") {
			delete(m.fs, k)
		}
	}
}

// apply puts a layer on top, or gives the entry that is refused.
func (m *model) apply(layer []tar.Header) (bad int, err error) {
	dirs := make(map[string]bool)
	for _, h := range layer {
		if p, err := clean(h.Name); err == nil && h.Typeflag == tar.TypeDir {
			dirs[p] = true
		}
	}
	for i, h := range layer {
		if err := m.whiteout(h, dirs); err != nil {
			return i, err
		}
	}
	for i, h := range layer {
		if err := m.entry(h); err != nil {
			return i, err
		}
	}
	m.layer++
	return -1, nil
}

func (m *model) whiteout(h tar.Header, dirs map[string]bool) error {
	p, err := clean(h.Name)
	if err != nil {
		return err
	}
	dir, base := path.Split(p)
	dir = strings.TrimSuffix(dir, "/")
	if !strings.HasPrefix(base, ".wh.") || strings.HasPrefix(base, ".wh..wh.") && base != ".wh..wh..opq" {
		return nil
	}
	if base == ".wh." || base == ".wh.." || base == ".wh..." {
		return errModel
	}
	at := ""
	for _, c := range strings.Split(dir, "/") {
		at = join(at, c)
		if n := m.fs[at]; n != nil && n.kind == tar.TypeSymlink {
			if dirs[at] {
				return nil
			}
			break
		}
	}
	links := 0
	to, ok, err := m.real("", dir, nil, &links)
	if err != nil || !ok {
		return err
	}
	if base != ".wh..wh..opq" {
		m.removeAll(join(to, base[4:]))
		return nil
	}
	for k := range m.fs {
		if k != "" && (to == "" || strings.HasPrefix(k, to+"/")) {
			delete(m.fs, k)
		}
	}
	return nil
}

func (m *model) entry(h tar.Header) error {
	p, err := clean(h.Name)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path.Base(p), ".wh.") {
		return nil
	}
	v := view{Mode: uint32(h.Mode), UID: uint32(h.Uid), GID: uint32(h.Gid), Mtime: h.ModTime.Unix(), LayerKnown: m.layer + 1}
	for k, x := range h.PAXRecords {
		if v.Xattrs == nil {
			v.Xattrs = make(map[string]string)
		}
		v.Xattrs[strings.TrimPrefix(k, "SCHILY.xattr.")] = x
	}
	if p == "" {
		if h.Typeflag != tar.TypeDir {
			return errModel
		}
		v.Mode |= unix.S_IFDIR
		m.fs[""].view = v
		return nil
	}
	dir, base := path.Split(p)
	links := 0
	to, _, err := m.real("", dir, &h, &links)
	if err != nil {
		return err
	}
	at := join(to, base)
	m.ids++
	n := &mnode{view: v, id: m.ids, kind: h.Typeflag}
	switch h.Typeflag {
	case tar.TypeDir:
		n.Mode |= unix.S_IFDIR
		if old := m.fs[at]; old != nil && old.kind == tar.TypeDir {
			old.view = n.view
			return nil
		}
	case tar.TypeReg:
		n.Mode |= unix.S_IFREG
		n.Size = h.Size
		s := sha256.Sum256([]byte(h.Uname))
		n.Data = hex.EncodeToString(s[:])
	case tar.TypeSymlink:
		n.Mode |= unix.S_IFLNK
		n.Target, n.Size = h.Linkname, int64(len(h.Linkname))
	case tar.TypeFifo:
		n.Mode |= unix.S_IFIFO
	case tar.TypeLink:
		t, err := clean(h.Linkname)
		if err != nil || t == "" {
			return errModel
		}
		tdir, tbase := path.Split(t)
		links := 0
		tto, ok, err := m.real("", tdir, nil, &links)
		if err != nil || !ok {
			return errModel
		}
		n = m.fs[join(tto, tbase)]
		if n == nil || n.kind == tar.TypeDir {
			return errModel
		}
		if m.fs[at] == n {
			return nil
		}
	default:
		panic(fmt.Sprint(h.Typeflag))
	}
	m.removeAll(at)
	m.fs[at] = n
	return nil
}

// view is the tree as indexView gives it, with names in walking order.
func (m *model) view(order func() []string) map[string]view {
	all := make(map[string]view)
	first := make(map[*mnode]string)
	names := make(map[*mnode]uint32)
	for p, n := range m.fs {
		names[n]++
		if n.kind == tar.TypeDir && p != "" {
			parent := path.Dir(p)
			if parent == "." {
				parent = ""
			}
			names[m.fs[parent]]++
		}
	}
	for _, p := range order() {
		n := m.fs[p]
		if n == nil {
			continue
		}
		v := n.view
		v.Nlink = names[n]
		if n.kind == tar.TypeDir {
			v.Nlink++
		}
		if f, ok := first[n]; ok {
			v.SameInode = f
		} else {
			first[n] = p
		}
		all[p] = v
	}
	for p, n := range m.fs {
		if _, ok := all[p]; !ok {
			all[p] = n.view
		}
	}
	return all
}
