package buildcontext

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// baseTree is a tree of layers.
type baseTree struct{ b cow.Base }

func (t baseTree) close() error { return nil }

func (t baseTree) stat(p string) (object, bool, error) {
	a, ok, err := t.b.Lookup(p)
	if err != nil || !ok {
		return object{}, false, err
	}
	o := object{name: path.Base(p), attr: a}
	if o.isDir() {
		o.attr.Size = 0
		return o, true, nil
	}
	ino, err := t.b.Inode(p)
	if err != nil {
		return object{}, false, err
	}
	if ino != 0 {
		o.link = fileKey{ino: ino}
	}
	if o.isFile() {
		sum := sha256.Sum256([]byte(p))
		o.id.dev, o.id.ino = binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
	}
	return o, true, nil
}

func (t baseTree) list(p string) ([]object, error) {
	names, err := t.b.ReadDir(p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	names = slices.Clone(names)
	slices.Sort(names)
	out := make([]object, 0, len(names))
	for _, name := range names {
		o, ok, err := t.stat(path.Join(p, name))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, o)
		}
	}
	return out, nil
}

func (t baseTree) readlink(p string) (string, error) { return t.b.Readlink(p) }

func (t baseTree) xattrs(p string) (map[string]string, error) {
	m, err := t.b.Xattrs(p)
	return carried(m), err
}

func (t baseTree) open(p string) (cow.Data, error) { return t.b.Open(p) }

// fileTree is a root directory with one file in it.
type fileTree struct {
	file object
	data func() (cow.Data, error)
}

func (t fileTree) close() error { return nil }

func (t fileTree) stat(p string) (object, bool, error) {
	switch strings.TrimPrefix(p, "/") {
	case "":
		return object{attr: cow.Attr{Mode: unix.S_IFDIR | 0o755}}, true, nil
	case t.file.name:
		return t.file, t.file.name != "", nil
	}
	return object{}, false, nil
}

func (t fileTree) list(string) ([]object, error) {
	if t.file.name == "" {
		return nil, nil
	}
	return []object{t.file}, nil
}

func (t fileTree) readlink(p string) (string, error) {
	return "", fmt.Errorf("readlink %s: %w", p, unix.EINVAL)
}

func (t fileTree) xattrs(string) (map[string]string, error) { return nil, nil }

func (t fileTree) open(string) (cow.Data, error) { return t.data() }
