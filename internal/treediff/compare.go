package treediff

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Ignore names what a comparison leaves out. The zero value leaves out nothing.
type Ignore struct {
	DirSize       bool     // sizes of directories: a matter of the filesystem
	DirNlink      bool     // link counts of directories: some filesystems say 1
	Nlink         bool     // link counts of everything; groups are still compared
	Mtime         bool     // all modification times
	MtimeOf       []string // modification times of these paths
	Owner         bool     // uid and gid
	Devices       bool     // paths that are devices in either tree
	XattrPrefixes []string // extended attributes whose names start so, e.g. "trusted."
}

// A Difference is one property of one path.
type Difference struct {
	Path  string // as in [Entry]
	Field string // "missing", "extra", "type", "mode", "owner", "size", "mtime", "nlink", "rdev", "link", "content", "group", "xattr NAME"
	Want  string // readable; empty for "extra"
	Got   string // readable; empty for "missing"
}

func (d Difference) String() string {
	switch d.Field {
	case "missing":
		return fmt.Sprintf("%q: missing, want %s", d.Path, d.Want)
	case "extra":
		return fmt.Sprintf("%q: not wanted, got %s", d.Path, d.Got)
	}
	return fmt.Sprintf("%q: %s: want %s, got %s", d.Path, d.Field, d.Want, d.Got)
}

// Format is a readable list of at most limit differences and how many more
// there are; empty when there is none.
func Format(ds []Difference, limit int) string {
	var b strings.Builder
	for i, d := range ds {
		if i == limit {
			fmt.Fprintf(&b, "… and %d more\n", len(ds)-limit)
			break
		}
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

// Compare lists how got differs from want, in byte order of the paths.
func Compare(want, got *Record, ign Ignore) []Difference {
	c := comparison{ign: ign}
	w, g := want.Entries, got.Entries
	for len(w) > 0 || len(g) > 0 {
		switch {
		case len(g) == 0 || len(w) > 0 && comparePaths(w[0].Path, g[0].Path) < 0:
			if !c.skip(w[0]) {
				c.out = append(c.out, Difference{w[0].Path, "missing", describe(w[0]), ""})
			}
			w = w[1:]
		case len(w) == 0 || comparePaths(w[0].Path, g[0].Path) > 0:
			if !c.skip(g[0]) {
				c.out = append(c.out, Difference{g[0].Path, "extra", "", describe(g[0])})
			}
			g = g[1:]
		default:
			if !c.skip(w[0]) && !c.skip(g[0]) {
				c.entry(w[0], g[0])
			}
			w, g = w[1:], g[1:]
		}
	}
	return c.out
}

type comparison struct {
	ign Ignore
	out []Difference
}

func (c *comparison) skip(e Entry) bool {
	t := e.Mode & unix.S_IFMT
	return c.ign.Devices && (t == unix.S_IFCHR || t == unix.S_IFBLK)
}

func (c *comparison) entry(w, g Entry) {
	put := func(field string, want, got any) {
		c.out = append(c.out, Difference{w.Path, field, fmt.Sprint(want), fmt.Sprint(got)})
	}
	if w.Mode&unix.S_IFMT != g.Mode&unix.S_IFMT {
		put("type", describe(w), describe(g))
		return // nothing else can be compared
	}
	dir := w.Mode&unix.S_IFMT == unix.S_IFDIR
	if w.Mode != g.Mode {
		put("mode", modeString(w.Mode), modeString(g.Mode))
	}
	if !c.ign.Owner && (w.UID != g.UID || w.GID != g.GID) {
		put("owner", fmt.Sprintf("%d:%d", w.UID, w.GID), fmt.Sprintf("%d:%d", g.UID, g.GID))
	}
	if w.Size != g.Size && !(dir && c.ign.DirSize) {
		put("size", w.Size, g.Size)
	}
	if (w.Sec != g.Sec || w.Nsec != g.Nsec) && !c.ign.Mtime && !slices.Contains(c.ign.MtimeOf, w.Path) {
		put("mtime", timeString(w), timeString(g))
	}
	if w.Nlink != g.Nlink && !c.ign.Nlink && !(dir && c.ign.DirNlink) {
		put("nlink", w.Nlink, g.Nlink)
	}
	if w.Rdev != g.Rdev {
		put("rdev", rdevString(w.Rdev), rdevString(g.Rdev))
	}
	if w.Link != g.Link {
		put("link", fmt.Sprintf("%q", w.Link), fmt.Sprintf("%q", g.Link))
	}
	if w.SHA256 != g.SHA256 {
		put("content", fmt.Sprintf("%.8x", w.SHA256), fmt.Sprintf("%.8x", g.SHA256))
	}
	if w.Group != g.Group {
		put("group", fmt.Sprintf("%q", w.Group), fmt.Sprintf("%q", g.Group))
	}
	c.xattrs(w, g)
}

func (c *comparison) xattrs(w, g Entry) {
	want, got := c.attrs(w), c.attrs(g)
	names := map[string]bool{}
	for n := range want {
		names[n] = true
	}
	for n := range got {
		names[n] = true
	}
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	for _, n := range sorted {
		a, inWant := want[n]
		b, inGot := got[n]
		if a != b || inWant != inGot {
			c.out = append(c.out, Difference{w.Path, fmt.Sprintf("xattr %q", n), attrString(a, inWant), attrString(b, inGot)})
		}
	}
}

func (c *comparison) attrs(e Entry) map[string]Xattr {
	m := make(map[string]Xattr, len(e.Xattrs))
	for _, x := range e.Xattrs {
		if !slices.ContainsFunc(c.ign.XattrPrefixes, func(p string) bool { return strings.HasPrefix(x.Name, p) }) {
			m[x.Name] = x
		}
	}
	return m
}

func attrString(x Xattr, there bool) string {
	switch {
	case !there:
		return "none"
	case x.Err != "":
		return "unreadable: " + x.Err
	}
	return fmt.Sprintf("%q", x.Value)
}

func describe(e Entry) string {
	s := modeString(e.Mode) + fmt.Sprintf(" %d:%d", e.UID, e.GID)
	switch e.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s += fmt.Sprintf(" %d bytes", e.Size)
	case unix.S_IFLNK:
		s += fmt.Sprintf(" -> %q", e.Link)
	case unix.S_IFCHR, unix.S_IFBLK:
		s += " " + rdevString(e.Rdev)
	}
	return s
}

// modeString is the type's letter as ls prints it and the octal permissions.
func modeString(m uint32) string {
	letter := map[uint32]string{unix.S_IFREG: "-", unix.S_IFDIR: "d", unix.S_IFLNK: "l", unix.S_IFCHR: "c",
		unix.S_IFBLK: "b", unix.S_IFIFO: "p", unix.S_IFSOCK: "s"}[m&unix.S_IFMT]
	if letter == "" {
		letter = "?"
	}
	return fmt.Sprintf("%s%04o", letter, m&^unix.S_IFMT)
}

func timeString(e Entry) string {
	return time.Unix(e.Sec, e.Nsec).UTC().Format("2006-01-02T15:04:05.000000000Z")
}

func rdevString(d uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(d), unix.Minor(d))
}
