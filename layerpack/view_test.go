package layerpack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// indexView is the whole tree as the reader sees it, by path.
func indexView(t testing.TB, x *Index, layers []cow.Layer) map[string]view {
	t.Helper()
	var tars []*os.File
	for _, l := range layers {
		f, err := os.Open(l.Tar())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tars = append(tars, f)
	}
	tars = append(tars, x.File())
	all := make(map[string]view)
	first := make(map[NID]string)
	err := x.Walk(func(path []byte, d *Dirent, a *Attr) error {
		v := view{Mode: a.Mode, UID: a.UID, GID: a.GID, Nlink: a.Nlink, Rdev: a.Rdev, Size: a.Size, Mtime: a.Mtime, MtimeNsec: a.MtimeNsec, LayerKnown: a.Layer + 1}
		if a.NID != d.NID || uint32(d.Type)<<12 != a.Mode&unix.S_IFMT {
			t.Errorf("%q: entry %+v, inode %+v", path, d, a)
		}
		if f, ok := first[a.NID]; ok {
			v.SameInode = f
		} else {
			first[a.NID] = string(path)
		}
		switch a.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			v.Target = string(must(x.Readlink(a.NID)))
		case unix.S_IFREG:
			h := sha256.New()
			es, err := x.Extents(a.NID, 0, a.Size, nil)
			if err != nil {
				return err
			}
			for _, e := range es {
				if e.Layer < 0 {
					io.CopyN(h, zeros{}, e.Len)
				} else if _, err := io.Copy(h, io.NewSectionReader(tars[e.Layer], e.Off, e.Len)); err != nil {
					return err
				}
			}
			v.Data = hex.EncodeToString(h.Sum(nil))
		case unix.S_IFDIR:
			v.Size = 0
		}
		err := x.Xattrs(a.NID, func(name, value []byte) bool {
			if v.Xattrs == nil {
				v.Xattrs = make(map[string]string)
			}
			v.Xattrs[string(name)] = string(value)
			got, err := x.Xattr(a.NID, name)
			if err != nil || string(got) != string(value) {
				t.Errorf("%q: xattr %s: %q, %v", path, name, got, err)
			}
			return true
		})
		all[string(path)] = v
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// hostView is the tree below dir as the kernel sees it, by path.
func hostView(t testing.TB, dir string) map[string]view {
	t.Helper()
	all := make(map[string]view)
	first := make(map[uint64]string)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		v := view{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink), Rdev: st.Rdev, Size: st.Size, Mtime: st.Mtim.Sec, MtimeNsec: uint32(st.Mtim.Nsec)}
		if f, ok := first[st.Ino]; ok {
			v.SameInode = f
		} else {
			first[st.Ino] = rel
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			if v.Target, err = os.Readlink(path); err != nil {
				return err
			}
		case unix.S_IFREG:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, f)
			f.Close()
			if err != nil {
				return err
			}
			v.Data = hex.EncodeToString(h.Sum(nil))
		case unix.S_IFDIR:
			v.Size = 0
		}
		buf := make([]byte, 64<<10)
		n, err := unix.Llistxattr(path, buf)
		if err != nil && err != unix.ENOTSUP {
			return fmt.Errorf("listxattr %s: %w", path, err)
		}
		for _, name := range strings.Split(strings.TrimRight(string(buf[:max(n, 0)]), "\x00"), "\x00") {
			if name == "" {
				continue
			}
			val := make([]byte, 64<<10)
			n, err := unix.Lgetxattr(path, name, val)
			if err != nil {
				return fmt.Errorf("getxattr %s %s: %w", path, name, err)
			}
			if v.Xattrs == nil {
				v.Xattrs = make(map[string]string)
			}
			v.Xattrs[name] = string(val[:n])
		}
		all[rel] = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// without maps a view to one that lacks what the other side can't know.
func without(all map[string]view, drop func(path string, v *view)) map[string]view {
	out := make(map[string]view, len(all))
	for p, v := range all {
		drop(p, &v)
		out[p] = v
	}
	return out
}

func dropLayer(_ string, v *view) { v.LayerKnown = 0 }
