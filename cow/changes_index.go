package cow

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// indexName, in a work directory, is where the kernel's overlayfs with index=on
// keeps hard links of lowers together (overlayfs.rst, "Index"): one more link to
// the copy of a lower inode, under that inode's handle. Names that still lead to
// the lower inode show the copy.
const indexName = "index"

// A HandleBase is a [Base] whose files have file handles: what an [Upper] with a
// Work that holds an index has to stand on.
type HandleBase interface {
	Base
	// Handles are the handles, as [FileHandle.Inode] has them, that a kernel may know
	// the file at path by. The file is one with several names.
	Handles(path string) ([]string, error)
}

// linkAliases are the names in the base that show an object of the index.
type linkAliases struct {
	fd    int
	entry map[string]string   // name in the index, by path in the base
	below map[string][]string // names in a directory of the base that are such a path, or lead to one
}

// openAliases reads the index, and finds the names by a walk over the base. It is
// nil if the index keeps nothing together.
func (w *changeWalk) openAliases() (err error) {
	if w.u.Work == "" {
		return nil
	}
	fd, err := openDir(unix.AT_FDCWD, path.Join(w.u.Work, indexName))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the index of %s: %w", w.u.Work, err)
	}
	x := &linkAliases{fd: fd, entry: map[string]string{}, below: map[string][]string{}}
	defer func() {
		if err != nil || w.aliases == nil {
			unix.Close(fd)
		}
	}()
	entries, err := indexEntries(fd)
	if err != nil || len(entries) == 0 {
		return err
	}
	base, ok := w.u.Base.(HandleBase)
	if !ok {
		return fmt.Errorf("hard links that the index of %s keeps together: what is below has no file handles", w.u.Work)
	}
	if _, err := x.find(base, "/", entries); err != nil {
		return fmt.Errorf("looking for the names of hard links: %w", err)
	}
	w.aliases = x
	return nil
}

// indexEntries are the names of the index's files, by their handles without the
// filesystem.
func indexEntries(fd int) (map[string]string, error) {
	names, err := readNames(fd)
	if err != nil {
		return nil, err
	}
	entries := map[string]string{}
	for _, n := range names {
		h, ok := ParseHandle(n)
		if !ok {
			continue
		}
		var st unix.Stat_t
		if err := retry(func() error { return unix.Fstatat(fd, n, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			if err == unix.ENOENT {
				continue
			}
			return nil, err
		}
		if typ := st.Mode & unix.S_IFMT; typ == unix.S_IFDIR || typ == unix.S_IFCHR && st.Rdev == 0 {
			continue // of exporting by NFS
		}
		if _, twice := entries[h.Inode()]; twice {
			return nil, fmt.Errorf("two filesystems have the file handle %s", n)
		}
		entries[h.Inode()] = n
	}
	return entries, nil
}

// HasIndex tells whether the index in a work directory keeps hard links together,
// so that the upper directory alone is not what was seen.
func HasIndex(work string) (bool, error) {
	fd, err := openDir(unix.AT_FDCWD, path.Join(work, indexName))
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	entries, err := indexEntries(fd)
	return len(entries) > 0, err
}

// find looks through directory dir of the base, and tells whether it has found any name.
func (x *linkAliases) find(base HandleBase, dir string, entries map[string]string) (any bool, err error) {
	names, err := base.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, n := range names {
		p := path.Join(dir, n)
		a, ok, err := base.Lookup(p)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		var here bool
		if a.IsDir() {
			here, err = x.find(base, p, entries)
		} else {
			here, err = x.match(base, p, entries)
		}
		if err != nil {
			return false, err
		}
		if here {
			x.below[dir] = append(x.below[dir], n)
			any = true
		}
	}
	return any, nil
}

// match tells whether the file at p of the base has an entry.
func (x *linkAliases) match(base HandleBase, p string, entries map[string]string) (bool, error) {
	ino, err := base.Inode(p)
	if err != nil || ino == 0 {
		return false, err
	}
	handles, err := base.Handles(p)
	if err != nil {
		return false, err
	}
	for _, h := range handles {
		if e, ok := entries[h]; ok {
			x.entry[p] = e
			return true, nil
		}
	}
	return false, nil
}

func (x *linkAliases) close() {
	if x != nil {
		unix.Close(x.fd)
	}
}

// under are the names in directory dir of the base that show objects of the
// index, and the directories that hold such.
func (x *linkAliases) under(dir string) []string {
	if x == nil {
		return nil
	}
	return x.below[dir]
}

// alias is what path from of the base shows of the index; nil if it shows the
// base's own.
func (w *changeWalk) alias(from string) (*object, error) {
	if w.aliases == nil {
		return nil, nil
	}
	e, ok := w.aliases.entry[from]
	if !ok {
		return nil, nil
	}
	o, err := w.object(&upperDir{fd: w.aliases.fd, merge: path.Dir(from)}, e)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // its last name vanished since the index was read
	}
	if err == nil {
		o.from = from
	}
	return o, err
}
