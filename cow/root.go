package cow

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Root is the root of the tree in the directory dir as an entry, whatever it is compared
// with: its attributes, and the extended ones that are carried. It has no path.
func Root(dir string) (Entry, error) {
	fd, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return Entry{}, fmt.Errorf("opening %s: %w", dir, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return Entry{}, fmt.Errorf("stat %s: %w", dir, err)
	}
	e := Entry{Change: Change{Kind: Added}, Attr: attrOf(&st)}
	all, err := listXattrs(fdXattrs(fd))
	if err != nil {
		return Entry{}, fmt.Errorf("listing extended attributes of %s: %w", dir, err)
	}
	for k, v := range all {
		if !Carried(k) {
			continue
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[k] = v
	}
	return e, nil
}
