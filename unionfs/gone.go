package unionfs

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// goneRecords remembers, over mounts, how many names of which lower hard-link
// group were removed while the group stayed below: otherwise st_nlink would grow
// back. Each removal is an empty file INO.N in the work directory, in a
// directory that belongs to this lower.
type goneRecords struct {
	mu    sync.Mutex
	dir   string            // below the work directory
	count map[uint64]uint32 // by inode number of the lower
}

// readGone reads the records at mount.
func (f *FS) readGone() error {
	g := &f.gone
	g.dir = "cfs-gone-" + f.upper.lowerID
	g.count = make(map[uint64]uint32)
	d, err := openDirPath(f.upper.workdir, g.dir)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.dir, err)
	}
	defer unix.Close(d)
	list, err := readNames(d)
	for _, e := range list {
		num, _, _ := strings.Cut(e.name, ".")
		if ino, err := strconv.ParseUint(num, 10, 64); err == nil {
			g.count[ino]++
		}
	}
	return err
}

// goneFrom is how many names of a group went at earlier mounts and this one.
func (f *FS) goneFrom(ino uint64) uint32 {
	if f.upper == nil {
		return 0
	}
	f.gone.mu.Lock()
	defer f.gone.mu.Unlock()
	return f.gone.count[ino]
}

// lostName is told that a name of a lower object went. A record that can't be
// written costs a right link count after the next mount, and nothing else.
func (f *FS) lostName(n *node) {
	var a fuse.Attr
	if n.isDir() || f.lower.attr(n.lower, &a) != nil || a.Nlink < 2 {
		return
	}
	ino := f.lower.ino(n.lower)
	g := &f.gone
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count[ino]++
	if err := unix.Mkdirat(f.upper.workdir, g.dir, 0o700); err != nil && err != unix.EEXIST {
		return
	}
	if d, err := openDirPath(f.upper.workdir, g.dir); err == nil {
		_ = unix.Mknodat(d, fmt.Sprintf("%d.%d", ino, g.count[ino]), unix.S_IFREG|0o600, 0)
		unix.Close(d)
	}
}
