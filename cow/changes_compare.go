package cow

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// compare lists p, of which the view has now and the base had old, and calls
// inside for directories.
func (w *changeWalk) compare(p string, now *object, old Attr, was bool, inside func() error) error {
	s := step{Change: Change{Path: p, Kind: Added}, now: now, before: old}
	listed := !was
	if was {
		var err error
		s.Kind = Changed
		if listed, err = w.differs(p, now, old); err != nil {
			return fmt.Errorf("comparing %s: %w", p, err)
		}
	}
	if listed {
		if err := w.list(s); err != nil {
			return err
		}
	}
	if !now.attr.IsDir() {
		return nil
	}
	if listed {
		return inside()
	}
	w.pending = append(w.pending, s)
	err := inside()
	// Either list has emptied pending, or p is its last element still.
	if n := len(w.pending); n > 0 {
		w.pending = w.pending[:n-1]
	}
	return err
}

// differs tells whether the object now at p is another than the base's there.
func (w *changeWalk) differs(p string, now *object, old Attr) (bool, error) {
	if differ(now.attr, old) {
		return true, nil
	}
	nx, err := w.xattrs(now)
	if err != nil {
		return false, err
	}
	ox, err := w.u.Base.Xattrs(p)
	if err != nil || !maps.Equal(compared(nx), compared(ox)) {
		return true, err
	}
	switch {
	case old.is(unix.S_IFLNK):
		nt, err := w.target(now)
		if err != nil {
			return false, err
		}
		ot, err := w.u.Base.Readlink(p)
		if err != nil || nt != ot {
			return true, err
		}
	case old.is(unix.S_IFREG) && (w.u.Dialect != whiteout.Plain || w.u.Same != nil):
		same, err := w.sameContent(p, now)
		if err != nil || !same {
			return true, err
		}
	}
	if w.linked != nil && now.dir != nil && now.links > 1 && !old.IsDir() {
		return w.linked(now)
	}
	return false, nil
}

// differ tells whether two objects differ, as `docker diff` sees it: sizes and
// times of directories tell nothing.
func differ(a, b Attr) bool {
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.Rdev != b.Rdev {
		return true
	}
	return !a.IsDir() && (a.Size != b.Size || a.Mtime != b.Mtime || a.MtimeNsec != b.MtimeNsec)
}

// sameContent tells whether the view's file now holds what the base's at p
// does. Their sizes are the same.
func (w *changeWalk) sameContent(p string, now *object) (bool, error) {
	if now.attr.Size == 0 {
		return true, nil
	}
	a, err := w.content(now)
	if err != nil {
		return false, err
	}
	defer a.Close()
	look := []Extent{{0, now.attr.Size}}
	if part, ok := a.(*partialData); ok && part.from == p {
		look = part.held // the rest is the base's own
	}
	if len(look) == 0 {
		return true, nil
	}
	b, err := w.u.Base.Open(p)
	if err != nil {
		return false, err
	}
	defer b.Close()
	buf := make([]byte, 2*min(256<<10, now.attr.Size))
	x, y := buf[:len(buf)/2], buf[len(buf)/2:]
	for _, e := range look {
		for off := e.Off; off < e.end(); off += int64(len(x)) {
			n := min(int64(len(x)), e.end()-off)
			if err := readFull(a, x[:n], off); err != nil {
				return false, err
			}
			if err := readFull(b, y[:n], off); err != nil {
				return false, err
			}
			if !bytes.Equal(x[:n], y[:n]) {
				return false, nil
			}
		}
	}
	return true, nil
}

// readFull reads all of b, of which r has that much.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return fmt.Errorf("%w: %d bytes at %d, of %d", io.ErrUnexpectedEOF, n, off, len(b))
	}
	return err
}

// compared leaves those xattrs that belong to the file and can be read by
// whoever may read the file: labels are the host's, and trusted.* is hidden
// from all but the host's root.
func compared(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		if k == "security.capability" || strings.HasPrefix(k, "user.") || strings.HasPrefix(k, "system.posix_acl_") {
			out[k] = v
		}
	}
	return out
}
