package cowtest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

var diffCases = []Case{
	{"DiffHasContents", func(c *C) {
		big := strings.Repeat("0123456789abcdef", 8<<10)
		c.start(Layer{Dir("d"), File("d/big", big), File("d/other", big), File("d/f", "lower"), Dir("gone"), File("gone/f", "")})
		f, err := os.OpenFile(c.p("d/big"), os.O_RDWR, 0)
		c.must(err)
		_, err = f.WriteAt([]byte("changed"), 70000)
		c.must(err)
		c.must(f.Close())
		c.must(unix.Chmod(c.p("d/other"), 0o600))
		c.must(os.RemoveAll(c.p("gone")))
		c.must(os.Mkdir(c.p("new"), 0o755))
		c.write("new/f", "new")
		c.must(unix.Lsetxattr(c.p("new/f"), "user.k", []byte("v"), 0))
		c.must(unix.Link(c.p("new/f"), c.p("new/g")))
		c.must(unix.Symlink("f", c.p("new/l")))
		c.must(unix.Mkfifo(c.p("new/p"), 0o644))
		c.diff()
		c.unmount()
		c.mount()
		c.diff()
	}},
	{"DiffOfRenamedDirectory", func(c *C) {
		c.start(small())
		err := unix.Rename(c.p("d"), c.p("e"))
		if c.limit(RenameDirEXDEV) {
			c.wants("rename of a lower directory", err, unix.EXDEV)
			return
		}
		c.must(err)
		c.write("e/f", "upper")
		c.diff()
	}},
	{"DiffKeepsLinksToOldFiles", func(c *C) {
		c.start(small())
		c.must(unix.Link(c.p("d/f"), c.p("linked")))
		all := c.diff()
		a, b := all["/d/f"], all["/linked"]
		if a.Inode == 0 || a.Inode != b.Inode {
			c.Errorf("/d/f is inode %d in the diff, and /linked %d", a.Inode, b.Inode)
		}
	}},
	{"DiffTellsOfTheRoot", func(c *C) {
		c.start(small())
		c.must(os.Chmod(c.dir, 0o711))
		c.must(unix.Setxattr(c.dir, "user.x", []byte("1"), 0))
		if e, ok := c.diff()["/"]; !ok || e.Attr.Mode&0o7777 != 0o711 {
			c.Errorf("the diff says of the root: %v, %o", ok, e.Attr.Mode)
		}
		c.changes()
		other := cow.Snapshot{Dir: c.h.scratch(c.T), Base: c.snap.Base}
		c.must(c.drv.Create(c.Context(), other))
		dir := mountPoint(c.T)
		c.attach(c.drv, other, dir, cow.MountOptions{})
		c.must(cow.Apply(c.Context(), dir, c.drv.Diff(c.Context(), c.snap), os.Getenv(rootlessEnv) != ""))
		c.dir = dir
		c.changes()
		if e := c.diff()["/"]; e.Attr.Mode&0o7777 != 0o711 || e.Xattrs["user.x"] != "1" {
			c.Errorf("the root after the diff was applied: %o, %q", e.Attr.Mode, e.Xattrs)
		}
	}},
	{"DiffStops", func(c *C) {
		c.start(small())
		c.write("f", "x")
		c.write("g", "x")
		before := len(descriptors(c, c.snap.Dir))
		n := 0
		for _, err := range c.drv.Diff(c.Context(), c.snap) {
			c.must(err)
			n++
			break
		}
		if now := len(descriptors(c, c.snap.Dir)); n != 1 || now != before {
			c.Errorf("%d entries, %d descriptors, %d before", n, now, before)
		}
	}},
}

// diff checks that every entry of the driver's diff says what the mount shows,
// and that all that Changes lists is in it; by path.
func (c *C) diff() map[string]cow.Entry {
	c.Helper()
	tree := c.walk(c.dir)
	all := map[string]cow.Entry{}
	names := map[uint64][]string{}
	for e, err := range c.drv.Diff(c.Context(), c.snap) {
		c.must(err)
		all[e.Path] = e
		at := strings.TrimPrefix(e.Path, "/")
		if at == "" {
			at = "."
		}
		n, there := tree[at]
		if there == (e.Kind == cow.Deleted) {
			c.Errorf("%v %s, and in the mount it is: %t", e.Kind, e.Path, there)
		}
		if e.Kind == cow.Deleted {
			continue
		}
		got := Node{
			Mode: e.Attr.Mode, UID: e.Attr.UID, GID: e.Attr.GID, Rdev: e.Attr.Rdev, Target: e.Target,
			Mtime: e.Attr.Mtime*1e9 + int64(e.Attr.MtimeNsec), Links: n.Links,
		}
		if !e.Attr.IsDir() {
			got.Size = e.Attr.Size
		}
		if t := e.Attr.Mode & unix.S_IFMT; t != unix.S_IFREG && t != unix.S_IFLNK {
			got.Size = n.Size
		}
		for k, v := range e.Xattrs {
			if k != "security.capability" && !strings.HasPrefix(k, "user.") {
				continue
			}
			if got.Xattrs == nil {
				got.Xattrs = map[string]string{}
			}
			got.Xattrs[k] = v
		}
		if e.Open != nil {
			data, err := c.content(e)
			c.must(err)
			got.Sum = sum(data)
		}
		if c.limit(OwnersSquashed) {
			got.UID, got.GID = n.UID, n.GID // those of the image
		}
		c.equal(e.Path, n, got)
		if e.Inode != 0 {
			names[e.Inode] = append(names[e.Inode], strings.TrimPrefix(e.Path, "/"))
		}
	}
	for ch, err := range c.drv.Changes(c.Context(), c.snap) {
		c.must(err)
		if e, ok := all[ch.Path]; !ok || e.Kind != ch.Kind {
			c.Errorf("%v %s is in the list of changes, and %v in the diff", ch.Kind, ch.Path, e.Kind)
		}
	}
	if c.limit(LinkMovesInode) {
		return all // the mount may not show them as linked yet
	}
	for _, list := range names {
		slices.Sort(list)
		if want := tree[list[0]].Links; len(list) > 1 && want != strings.Join(list, "|") {
			c.Errorf("the diff links %v, the mount %q", list, want)
		}
	}
	return all
}

func (c *C) content(e cow.Entry) (string, error) {
	d, err := e.Open()
	if err != nil {
		return "", err
	}
	defer d.Close()
	b, err := io.ReadAll(io.NewSectionReader(d, 0, e.Attr.Size))
	if err == nil && int64(len(b)) != e.Attr.Size {
		err = fmt.Errorf("%s: %d bytes of %d", e.Path, len(b), e.Attr.Size)
	}
	return string(b), err
}
