package cow

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// A DirBase is a [Base] made of directories, one a layer, in which
// deletions are written in one dialect. A whole tree is one of a single
// directory that is [whiteout.Plain]. Redirects in them are not followed. It is
// for one goroutine at a time.
//
// It keeps the directories open that lead to where it last looked, so that a
// depth-first walk opens each once.
type DirBase struct {
	// Data are directories of which a file's data are in the first that has them, if it has
	// none but says where they are; see openData.
	Data []string

	dialect whiteout.Dialect
	open    []baseDir // from the root down to the last directory looked at
}

// baseDir is one directory of the merged view.
type baseDir struct {
	name   string
	layers []baseLayer // topmost first
}

type baseLayer struct {
	fd   int
	xdir bool
	gone map[string]bool // removed by AUFS names
}

// OpenDirBase opens the layers' directories dirs, bottom first.
func OpenDirBase(dirs []string, d whiteout.Dialect) (*DirBase, error) {
	b := &DirBase{dialect: d}
	root := baseDir{name: "/"}
	for i := len(dirs) - 1; i >= 0; i-- {
		fd, err := openDir(unix.AT_FDCWD, dirs[i])
		if err != nil {
			b.open = append(b.open, root)
			b.Close()
			return nil, fmt.Errorf("opening layer directory %s: %w", dirs[i], err)
		}
		l, opaque, err := b.layer(fd)
		root.layers = append(root.layers, l)
		if err != nil {
			b.open = append(b.open, root)
			b.Close()
			return nil, fmt.Errorf("reading layer directory %s: %w", dirs[i], err)
		}
		if opaque && d.HasNames() {
			break // the kernel merges roots whatever they say
		}
	}
	b.open = []baseDir{root}
	return b, nil
}

// Close releases all descriptors.
func (b *DirBase) Close() error {
	b.keep(0)
	return nil
}

// keep closes all but the first n open directories.
func (b *DirBase) keep(n int) {
	for _, d := range b.open[n:] {
		for _, l := range d.layers {
			unix.Close(l.fd)
		}
	}
	b.open = b.open[:n]
}

// layer reads what a layer's directory says of the layers below it. It owns fd
// in any case.
func (b *DirBase) layer(fd int) (baseLayer, bool, error) {
	xattr := xattrReader(fdPath(fd), true)
	mark, _ := b.dialect.Read(whiteout.Object{Name: ".", Mode: unix.S_IFDIR, Xattr: xattr})
	l := baseLayer{fd: fd, xdir: b.dialect.XWhiteoutDir(xattr)}
	opaque := mark.Kind == whiteout.Opaque
	if !b.dialect.HasNames() {
		return l, opaque, nil
	}
	list, err := readNames(fd)
	_, gone, opaqueName := splitNames(list)
	l.gone = gone
	return l, opaque || opaqueName, err
}

// find is the topmost layer of d that says something of name, and false when
// it says that there is nothing, or none says anything.
func (b *DirBase) find(d *baseDir, name string) (int, Attr, bool, error) {
	for i, l := range d.layers {
		var st unix.Stat_t
		err := retry(func() error { return unix.Fstatat(l.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
		if errors.Is(err, unix.ENOENT) {
			if l.gone[name] {
				return 0, Attr{}, false, nil
			}
			continue
		}
		if err != nil {
			return 0, Attr{}, false, fmt.Errorf("looking at %s in a layer: %w", name, err)
		}
		mark, err := b.dialect.Read(whiteout.Object{
			Name: name, Mode: st.Mode, Rdev: st.Rdev, Size: st.Size,
			Xattr: xattrReader(fdPath(l.fd)+"/"+name, false), InXDir: l.xdir,
		})
		if err != nil || mark.Kind == whiteout.Remove || mark.Kind == whiteout.Meta {
			return 0, Attr{}, false, err
		}
		return i, attrOf(&st), true, nil
	}
	return 0, Attr{}, false, nil
}

// dir makes the directory at p the last of b.open; nil if there is none.
func (b *DirBase) dir(p string) (*baseDir, error) {
	var elems []string
	if p != "/" {
		elems = strings.Split(strings.TrimPrefix(p, "/"), "/")
	}
	n := 0
	for n < len(elems) && n+1 < len(b.open) && b.open[n+1].name == elems[n] {
		n++
	}
	for _, name := range elems[n:] {
		b.keep(n + 1)
		sub, err := b.sub(&b.open[n], name)
		if sub == nil || err != nil {
			return nil, err
		}
		b.open = append(b.open, *sub)
		n++
	}
	return &b.open[n], nil
}

// sub merges the directories called name of parent's layers.
func (b *DirBase) sub(parent *baseDir, name string) (*baseDir, error) {
	top, a, ok, err := b.find(parent, name)
	if err != nil || !ok || !a.IsDir() {
		return nil, err
	}
	d := &baseDir{name: name}
	for i := top; i < len(parent.layers); i++ {
		below := baseDir{layers: parent.layers[i : i+1]}
		_, a, ok, err := b.find(&below, name)
		if err == nil && !ok {
			if b.silent(parent.layers[i], name) {
				continue
			}
			break // a whiteout: nothing shines through it
		}
		if err == nil && !a.IsDir() {
			break
		}
		var fd int
		if err == nil {
			fd, err = openDir(parent.layers[i].fd, name)
		}
		if err != nil {
			for _, l := range d.layers {
				unix.Close(l.fd)
			}
			return nil, fmt.Errorf("opening %s in a layer: %w", name, err)
		}
		l, opaque, err := b.layer(fd)
		d.layers = append(d.layers, l)
		if err != nil {
			for _, l := range d.layers {
				unix.Close(l.fd)
			}
			return nil, fmt.Errorf("reading %s in a layer: %w", name, err)
		}
		if opaque {
			break
		}
	}
	return d, nil
}

// silent tells that a layer has nothing called name, not even a whiteout.
func (b *DirBase) silent(l baseLayer, name string) bool {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(l.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return errors.Is(err, unix.ENOENT) && !l.gone[name]
}

// Lookup implements [Base].
func (b *DirBase) Lookup(p string) (Attr, bool, error) {
	if p == "/" {
		if len(b.open[0].layers) == 0 {
			return Attr{Mode: unix.S_IFDIR | 0o755}, true, nil
		}
		var st unix.Stat_t
		err := retry(func() error { return unix.Fstat(b.open[0].layers[0].fd, &st) })
		return attrOf(&st), err == nil, err
	}
	d, err := b.dir(path.Dir(p))
	if d == nil || err != nil {
		return Attr{}, false, err
	}
	_, a, ok, err := b.find(d, path.Base(p))
	return a, ok, err
}

// ReadDir implements [Base].
func (b *DirBase) ReadDir(p string) ([]string, error) {
	d, err := b.dir(p)
	if d == nil || err != nil {
		return nil, err
	}
	said := map[string]bool{} // by a higher layer
	var out []string
	for i, l := range d.layers {
		list, err := readNames(l.fd)
		if err != nil {
			return nil, fmt.Errorf("reading %s in a layer: %w", p, err)
		}
		for _, n := range list {
			if said[n] {
				continue
			}
			if kind, _, err := whiteout.Parse(n); b.dialect.HasNames() && (err != nil || kind != whiteout.Ordinary) {
				continue
			}
			said[n] = true
			only := baseDir{layers: d.layers[i : i+1]}
			if _, _, ok, err := b.find(&only, n); err != nil {
				return nil, err
			} else if ok {
				out = append(out, n)
			}
		}
		for n := range l.gone {
			said[n] = true
		}
	}
	return out, nil
}

// Xattrs implements [Base].
func (b *DirBase) Xattrs(p string) (map[string]string, error) {
	at, follow := "", false
	if p == "/" {
		if len(b.open[0].layers) == 0 {
			return nil, nil
		}
		at, follow = fdPath(b.open[0].layers[0].fd), true
	} else {
		dir, name, err := b.locate(p)
		if err != nil {
			return nil, err
		}
		at = fdPath(dir) + "/" + name
	}
	m, err := listXattrs(pathXattrs(at, follow))
	if err != nil {
		return nil, fmt.Errorf("listing extended attributes of %s in a layer: %w", p, err)
	}
	u := Upper{Dialect: b.dialect}
	return u.shown(m), nil
}

// locate is the directory of a layer that has what is at p, and its name there.
func (b *DirBase) locate(p string) (dir int, name string, err error) {
	d, err := b.dir(path.Dir(p))
	if err != nil {
		return -1, "", err
	}
	name = path.Base(p)
	if d != nil {
		i, _, ok, err := b.find(d, name)
		if err != nil {
			return -1, "", err
		}
		if ok {
			return d.layers[i].fd, name, nil
		}
	}
	return -1, "", fmt.Errorf("%s in the layers: %w", p, unix.ENOENT)
}

// Handles implements [HandleBase].
func (b *DirBase) Handles(p string) ([]string, error) {
	dir, name, err := b.locate(p)
	if err != nil {
		return nil, err
	}
	h, err := HandleOf(dir, name, UUID{}, false)
	if err != nil {
		return nil, fmt.Errorf("file handle of %s: %w", p, err)
	}
	return []string{h.Inode()}, nil
}

// Readlink implements [Base].
func (b *DirBase) Readlink(p string) (string, error) {
	dir, name, err := b.locate(p)
	if err != nil {
		return "", err
	}
	return readlink(dir, name)
}

// Open implements [Base].
func (b *DirBase) Open(p string) (Data, error) {
	dir, name, err := b.locate(p)
	if err != nil {
		return nil, err
	}
	f := fileData{}
	err = retry(func() (err error) {
		f.fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s of a layer: %w", p, err)
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		f.Close()
		return nil, err
	}
	f.size = st.Size
	if err := b.openData(&f); err != nil {
		f.Close()
		return nil, fmt.Errorf("opening %s of a layer: %w", p, err)
	}
	return &f, nil
}

// Inode implements [Base].
func (b *DirBase) Inode(p string) (uint64, error) {
	dir, name, err := b.locate(p)
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return 0, err
	}
	if st.Nlink < 2 {
		return 0, nil
	}
	return st.Ino, nil
}

var _ HandleBase = (*DirBase)(nil)
