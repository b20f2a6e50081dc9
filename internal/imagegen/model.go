package imagegen

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// Errors of [Model.Apply].
var (
	// ErrRefused: no layer may ask for this.
	ErrRefused = errors.New("refused")
	// ErrUnsaid: the specification leaves open what this means; a chain that
	// is compared must not have it.
	ErrUnsaid = errors.New("not said by the specification")
)

// maxLinks is how many symlinks one path may pass through, as path_resolution(7).
const maxLinks = 40

// A Model is a tree that layers are applied to, in the plainest way: names in
// maps, one object an inode.
type Model struct{ root *node }

type node struct {
	entry   Entry
	mode    uint32           // with the type
	kids    map[string]*node // of a directory
	implied bool             // no layer has an entry for it
}

// NewModel is the tree of no layers: a root that no layer has described.
func NewModel() *Model { return &Model{root: impliedDir()} }

func impliedDir() *node {
	return &node{mode: unix.S_IFDIR | 0o755, kids: map[string]*node{}, implied: true}
}

func (n *node) isDir() bool { return n.kids != nil }

// Apply applies one changeset: what it deletes, from the layers below only,
// then its entries in order.
func (m *Model) Apply(l Layer) error {
	for _, e := range l {
		dir, name, err := split(e.Name)
		if err != nil {
			return err
		}
		target, isWhiteout := strings.CutPrefix(name, ".wh.")
		if !isWhiteout {
			continue
		}
		parent, err := m.dir(dir, false)
		if err != nil {
			return err
		}
		switch {
		case target == ".wh..opq":
			if parent != nil {
				clear(parent.kids)
			}
		case target == "" || target == "." || target == "..":
			return fmt.Errorf("%w: whiteout %q names nothing", ErrRefused, e.Name)
		case strings.HasPrefix(target, ".wh."):
			return fmt.Errorf("%w: %q", ErrUnsaid, e.Name)
		case parent != nil:
			delete(parent.kids, target)
		}
	}
	for _, e := range l {
		if err := m.put(e); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) put(e Entry) error {
	dir, name, err := split(e.Name)
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, ".wh.") {
		return nil
	}
	if name == "" { // the root
		if e.Typeflag != tar.TypeDir {
			return fmt.Errorf("%w: the root as something other than a directory", ErrRefused)
		}
		m.root.describe(e)
		return nil
	}
	parent, err := m.dir(dir, true)
	if err != nil {
		return fmt.Errorf("%q: %w", e.Name, err)
	}
	if e.Typeflag == tar.TypeLink {
		target, err := m.find(e.Linkname)
		if err != nil {
			return fmt.Errorf("hard link %q to %q: %w", e.Name, e.Linkname, err)
		}
		parent.kids[name] = target
		return nil
	}
	n := parent.kids[name]
	if n == nil || !n.isDir() || e.Typeflag != tar.TypeDir {
		n = &node{}
		if e.Typeflag == tar.TypeDir {
			n.kids = map[string]*node{}
		}
		parent.kids[name] = n
	}
	n.describe(e)
	return nil
}

func (n *node) describe(e Entry) {
	types := map[byte]uint32{tar.TypeReg: unix.S_IFREG, tar.TypeDir: unix.S_IFDIR, tar.TypeSymlink: unix.S_IFLNK,
		tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}
	n.entry, n.implied = e, false
	n.mode = types[e.Typeflag] | uint32(e.Mode)&0o7777
	if e.Typeflag == tar.TypeSymlink {
		n.mode = unix.S_IFLNK | 0o777 // Linux knows no other
	}
}

// find is the inode at a path of the image, whose last component may be a symlink.
func (m *Model) find(path string) (*node, error) {
	dir, name, err := split(path)
	if err != nil {
		return nil, err
	}
	parent, err := m.dir(dir, false)
	if err != nil {
		return nil, err
	}
	if parent == nil || parent.kids[name] == nil {
		return nil, fmt.Errorf("%w: not in the image", ErrRefused)
	}
	if parent.kids[name].isDir() {
		return nil, fmt.Errorf("%w: a directory", ErrRefused)
	}
	return parent.kids[name], nil
}

// dir follows a path and the symlinks on it, none of which leads out of the
// root. What is missing is made, or gives nil.
func (m *Model) dir(path []string, create bool) (*node, error) {
	at := []*node{m.root}
	links := 0
	for len(path) > 0 {
		here, name := at[len(at)-1], path[0]
		path = path[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(1, len(at)-1)]
			continue
		}
		next := here.kids[name]
		if next == nil {
			if !create {
				return nil, nil
			}
			next = impliedDir()
			here.kids[name] = next
		}
		switch {
		case next.isDir():
			at = append(at, next)
		case next.mode&unix.S_IFMT == unix.S_IFLNK:
			if links++; links > maxLinks {
				return nil, fmt.Errorf("%w: too many symlinks", ErrRefused)
			}
			if strings.HasPrefix(next.entry.Linkname, "/") {
				at = at[:1]
			}
			path = append(strings.Split(next.entry.Linkname, "/"), path...)
		default:
			return nil, fmt.Errorf("%w: %q on the way is no directory", ErrUnsaid, name)
		}
	}
	return at[len(at)-1], nil
}

// split takes an entry's name apart: absolute names are taken as relative to
// the root, and ".." may not leave it.
func split(name string) (dir []string, base string, err error) {
	var parts []string
	for p := range strings.SplitSeq(name, "/") {
		switch p {
		case "", ".":
		case "..":
			if len(parts) == 0 {
				return nil, "", fmt.Errorf("%w: %q leaves the root", ErrRefused, name)
			}
			parts = parts[:len(parts)-1]
		default:
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return nil, "", nil
	}
	return parts[:len(parts)-1], parts[len(parts)-1], nil
}

// Record is the tree as a walk of it must find it. Sizes of directories are 0,
// as they are a filesystem's own matter.
func (m *Model) Record() *treediff.Record {
	r := new(treediff.Record)
	var ids []uint64
	id, names := map[*node]uint64{}, map[*node]uint64{}
	var visit func(n *node, path string)
	visit = func(n *node, path string) {
		if id[n] == 0 {
			id[n] = uint64(len(id) + 1)
		}
		names[n]++
		r.Entries = append(r.Entries, n.record(path))
		ids = append(ids, id[n])
		for _, name := range slices.Sorted(maps.Keys(n.kids)) {
			visit(n.kids[name], strings.TrimPrefix(path+"/"+name, treediff.Root+"/"))
		}
	}
	visit(m.root, treediff.Root)
	byID := make([]uint64, len(id)+1)
	for n, i := range id {
		byID[i] = names[n]
	}
	for i := range r.Entries {
		if r.Entries[i].Mode&unix.S_IFMT != unix.S_IFDIR {
			r.Entries[i].Nlink = byID[ids[i]]
		}
	}
	r.Sort(ids)
	return r
}

func (n *node) record(path string) treediff.Entry {
	h := n.entry.Header
	e := treediff.Entry{Path: path, Mode: n.mode, UID: uint32(h.Uid), GID: uint32(h.Gid)}
	if !n.implied {
		e.Sec, e.Nsec = h.ModTime.Unix(), int64(h.ModTime.Nanosecond())
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrRecord); ok {
			e.Xattrs = append(e.Xattrs, treediff.Xattr{Name: name, Value: v})
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b treediff.Xattr) int { return strings.Compare(a.Name, b.Name) })
	switch n.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.Nlink = 2
		for _, k := range n.kids {
			if k.isDir() {
				e.Nlink++
			}
		}
	case unix.S_IFREG:
		sum := sha256.Sum256(n.entry.Content)
		e.Size, e.SHA256 = int64(len(n.entry.Content)), string(sum[:])
	case unix.S_IFLNK:
		e.Size, e.Link = int64(len(h.Linkname)), h.Linkname
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Rdev = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	}
	return e
}

// Implied lists the directories that no layer has an entry for: only their
// being there is said, not their times.
func (m *Model) Implied() []string {
	var out []string
	var visit func(n *node, path string)
	visit = func(n *node, path string) {
		if n.implied {
			out = append(out, path)
		}
		for _, name := range slices.Sorted(maps.Keys(n.kids)) {
			if n.kids[name].isDir() {
				visit(n.kids[name], strings.TrimPrefix(path+"/"+name, treediff.Root+"/"))
			}
		}
	}
	visit(m.root, treediff.Root)
	return out
}
