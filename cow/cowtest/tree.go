package cowtest

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// A Node is all that can be seen of one path.
type Node struct {
	Mode   uint32 // st_mode
	UID    uint32
	GID    uint32
	Rdev   uint64
	Size   int64  // not of directories
	Sum    string // sha256 of a regular file's data
	Target string // of a symlink
	Mtime  int64  // nanoseconds since 1970; 0 where nobody set one
	Xattrs map[string]string
	Links  string // all names of a file that has several, joined by "|"
}

// A Tree is a root: its nodes by relative path, "." being the root.
type Tree map[string]Node

func typeBits(t byte) uint32 {
	switch t {
	case tar.TypeDir:
		return unix.S_IFDIR
	case tar.TypeSymlink:
		return unix.S_IFLNK
	case tar.TypeChar:
		return unix.S_IFCHR
	case tar.TypeBlock:
		return unix.S_IFBLK
	case tar.TypeFifo:
		return unix.S_IFIFO
	}
	return unix.S_IFREG
}

func sum(data string) string {
	s := sha256.Sum256([]byte(data))
	return hex.EncodeToString(s[:8])
}

// Merge is the model: the tree that layers, bottom first, come to. In each
// layer whiteouts come first and concern lower layers only (OCI image spec,
// layer.md, "Applying Changesets").
func Merge(layers ...Layer) Tree {
	t := Tree{".": {Mode: unix.S_IFDIR | 0o755}}
	group := map[string]string{} // path → first name of its hard link group
	for _, l := range layers {
		for _, e := range l {
			kind, target, _ := whiteout.Parse(path.Base(e.Path))
			switch kind {
			case whiteout.Remove:
				t.removeAll(path.Join(path.Dir(e.Path), target), group)
			case whiteout.Opaque:
				for p := range t {
					if dir := path.Dir(e.Path); p != "." && strings.HasPrefix(p, dir+"/") || dir == "." && p != "." {
						delete(t, p)
						delete(group, p)
					}
				}
			}
		}
		for _, e := range l {
			if kind, _, _ := whiteout.Parse(path.Base(e.Path)); kind != whiteout.Ordinary {
				continue // and makes no directory to be in
			}
			t.parents(path.Dir(e.Path), group)
			t.put(e, group)
		}
	}
	names := map[string][]string{}
	for p, g := range group {
		names[g] = append(names[g], p)
	}
	for _, list := range names {
		if len(list) > 1 {
			slices.Sort(list)
			for _, p := range list {
				n := t[p]
				n.Links = strings.Join(list, "|")
				t[p] = n
			}
		}
	}
	return t
}

func (t Tree) removeAll(p string, group map[string]string) {
	for q := range t {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(t, q)
			delete(group, q)
		}
	}
}

// parents makes the directories that lead to a path and that nobody made.
func (t Tree) parents(dir string, group map[string]string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if n, ok := t[dir]; !ok || n.Mode&unix.S_IFMT != unix.S_IFDIR {
			delete(group, dir)
			t[dir] = Node{Mode: unix.S_IFDIR | 0o755}
		}
	}
}

func (t Tree) put(e Entry, group map[string]string) {
	if old, ok := t[e.Path]; ok && (old.Mode&unix.S_IFMT != unix.S_IFDIR || e.Type != tar.TypeDir) {
		t.removeAll(e.Path, group)
	}
	if e.Type == tar.TypeLink {
		t[e.Path] = t[e.Target]
		group[e.Path] = group[e.Target]
		return
	}
	n := Node{Mode: typeBits(e.Type) | e.Mode, UID: uint32(e.UID), GID: uint32(e.GID), Mtime: e.Time.UnixNano(), Xattrs: e.Xattrs}
	switch e.Type {
	case tar.TypeReg:
		n.Size, n.Sum = int64(len(e.Data)), sum(e.Data)
	case tar.TypeSymlink:
		n.Size, n.Target = int64(len(e.Target)), e.Target
	case tar.TypeChar, tar.TypeBlock:
		n.Rdev = unix.Mkdev(uint32(e.Major), uint32(e.Minor))
	}
	t[e.Path] = n
	if e.Type != tar.TypeDir {
		// A new inode: no earlier group may claim it.
		group[e.Path] = fmt.Sprintf("%s#%d", e.Path, len(group)+len(t))
	}
}

// Walk reads the tree below root, following no symlink.
func Walk(root string) (Tree, error) {
	t := Tree{}
	inodes := map[uint64][]string{}
	var visit func(p string) error
	visit = func(p string) error {
		full := root + "/" + p
		var st unix.Stat_t
		if err := unix.Lstat(full, &st); err != nil {
			return fmt.Errorf("lstat %q: %w", p, err)
		}
		n := Node{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Mtime: st.Mtim.Nano()}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			n.Size, n.Sum = st.Size, sum(string(data))
			if int64(len(data)) != st.Size {
				return fmt.Errorf("%q: %d bytes could be read of %d", p, len(data), st.Size)
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(full)
			if err != nil {
				return err
			}
			n.Size, n.Target = st.Size, target
		case unix.S_IFCHR, unix.S_IFBLK:
			n.Rdev = st.Rdev
		}
		var err error
		if n.Xattrs, err = xattrs(full); err != nil {
			return fmt.Errorf("xattrs of %q: %w", p, err)
		}
		t[p] = n
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if st.Nlink > 1 {
				inodes[st.Ino] = append(inodes[st.Ino], p)
			}
			return nil
		}
		f, err := os.Open(full)
		if err != nil {
			return err
		}
		names, err := f.Readdirnames(-1)
		f.Close()
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, name := range names {
			if seen[name] {
				return fmt.Errorf("directory %q lists %q twice", p, name)
			}
			seen[name] = true
			if err := visit(path.Join(p, name)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := visit("."); err != nil {
		return nil, err
	}
	for _, list := range inodes {
		slices.Sort(list)
		for _, p := range list {
			n := t[p]
			n.Links = strings.Join(list, "|")
			if len(list) == 1 {
				n.Links = p + ", and other names that nobody can see"
			}
			t[p] = n
		}
	}
	return t, nil
}

// xattrs reads those that layers carry: user.*, and file capabilities.
func xattrs(p string) (map[string]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, buf)
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m map[string]string
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if name != "security.capability" && !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if m == nil {
			m = map[string]string{}
		}
		m[name] = string(value[:n])
	}
	return m, nil
}
