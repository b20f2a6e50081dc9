package cowtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// rich is a chain of three layers with most of what layers can say.
func rich() []Layer {
	caps := string([]byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // cap_net_bind_service=ep (linux/capability.h, revision 2)
	return []Layer{
		{
			Dir("."),
			Dir("bin"), File("bin/sh", strings.Repeat("#!", 3000)).Perm(0o755), File("bin/su", "su").Perm(0o4755),
			File("bin/wall", "wall").Perm(0o2755).Own(0, 5), File("bin/ping", "ping").Perm(0o755).Xattr("security.capability", caps),
			Dir("etc"), File("etc/passwd", "root:x:0:0::/:/bin/sh\n"), File("etc/shadow", "root:*::\n").Perm(0o640).Own(0, 42),
			File("etc/secret", "hush").Perm(0),
			Dir("home/user").Own(1000, 1000).Perm(0o700), File("home/user/.profile", "PS1=x\n").Own(1000, 1000).At(time.Unix(1_500_000_000, 123_456_789)),
			Dir("tmp").Perm(0o1777),
			Dir("dev"), Device("dev/null", 1, 3).Perm(0o666), Device("dev/zero", 1, 5).Perm(0o666), Fifo("dev/initctl"),
			Symlink("lib", "usr/lib"), Symlink("abs", "/etc/passwd"), Symlink("loop", "loop"), Symlink("dangling", "no/where"),
			Dir("usr"), Dir("usr/lib"), File("usr/lib/libc", strings.Repeat("c", 70_000)), File("usr/lib/empty", ""),
			File("usr/lib/one", "1"), Hardlink("usr/lib/two", "usr/lib/one"), Hardlink("usr/lib/three", "usr/lib/one"),
			File("attr", "a").Xattr("user.mime", "text/plain").Xattr("user.empty", ""), Dir("attrdir").Xattr("user.dir", "d"),
			Dir("odd"), File("odd/\xff\xfe\x80", "not utf-8"), File("odd/new\nline", "n"), File("odd/ leading", "l"),
			File("odd/"+strings.Repeat("n", 255), "long"), File("odd/back\\slash", "b"), File("odd/!x", "before the dot"),
			Dir("opq"), Dir("opq/sub"), File("opq/sub/f", "f"), File("opq/lower", "l"),
			Dir("gone"), File("gone/f", "f"), File("gonefile", "g"),
			Dir("file2dir"), File("dir2file", "was a file"), Symlink("link2dir", "etc"), Dir("dir2link"), File("dir2link/f", "f"),
		},
		{
			File("etc/passwd", "root:x:0:0::/root:/bin/sh\n"), // the directory is implied
			Whiteout("gone"), Whiteout("gonefile"), Whiteout("usr/lib/empty"),
			Dir("opq"), File("opq/before", "b"), Opaque("opq"), File("opq/after", "a"),
			Whiteout("file2dir"), File("file2dir", "now a file"),
			Whiteout("dir2file"), Dir("dir2file"), File("dir2file/in", "i"),
			Dir("link2dir"), File("link2dir/in", "i"),
			Symlink("dir2link", "etc"),
			Whiteout("usr/lib/three"),
			Hardlink("usr/lib/four", "usr/lib/libc"),
			Dir("home/user").Own(1001, 1001).Perm(0o755),
			Dir("implied/deep/er"), File("implied/other/f", "f"),
		},
		{
			Dir("gone"), File("gone/again", "a"), File("gonefile", "back"),
			Whiteout("dir2link"),
			Whiteout("etc/never-was"),
			Whiteout("link2dir"), Symlink("link2dir", "etc"),
			File("usr/lib/one", "one, rewritten"),
			Dir("bin").Perm(0o750).Own(3, 4),
		},
	}
}

// small is what most cases of writing start from.
func small() Layer {
	return Layer{
		Dir("d"), File("d/f", "lower"), File("d/g", "other"), Dir("d/sub"), File("d/sub/deep", "deep"),
		File("big", strings.Repeat("0123456789abcdef", 16<<10)), File("f", "lower file"), File("exec", "#!/bin/sh\n").Perm(0o755),
		Symlink("sym", "d/f"), Dir("empty"),
	}
}

// manyLayers is a chain of 60.
func manyLayers() []Layer {
	var layers []Layer
	for i := range 60 {
		l := Layer{
			File(fmt.Sprintf("own%d", i), fmt.Sprint(i)), File("shared", fmt.Sprint("layer ", i)),
			Dir("dir"), File(fmt.Sprintf("dir/f%d", i), "f"), Dir("deep/er"),
		}
		if i > 2 {
			l = append(l, Whiteout(fmt.Sprintf("own%d", i-2)))
		}
		if i%20 == 19 {
			l = append(l, Opaque("dir"))
		}
		layers = append(layers, l)
	}
	return layers
}

// viewCases need no snapshot.
var viewCases = []Case{
	{"ViewIsTheMerge", func(c *C) {
		layers := rich()
		c.view(layers...)
		c.same(Merge(layers...))
	}},
	{"ViewOfOneLayer", func(c *C) {
		c.view(small())
		c.same(Merge(small()))
	}},
	{"ViewRefusesWrites", func(c *C) {
		c.view(small(), Layer{File("top", "t")})
		_, err := os.OpenFile(c.p("f"), os.O_WRONLY, 0)
		c.wants("open for writing", err, unix.EROFS)
		_, err = os.Create(c.p("new"))
		c.wants("create", err, unix.EROFS)
		c.wants("mkdir", os.Mkdir(c.p("new"), 0o755), unix.EROFS)
		c.wants("unlink", unix.Unlink(c.p("f")), unix.EROFS)
		c.wants("rmdir", unix.Rmdir(c.p("empty")), unix.EROFS)
		c.wants("rename", unix.Rename(c.p("f"), c.p("g")), unix.EROFS)
		c.wants("chmod", unix.Chmod(c.p("f"), 0o600), unix.EROFS)
		c.wants("truncate", unix.Truncate(c.p("f"), 0), unix.EROFS)
		c.wants("setxattr", unix.Setxattr(c.p("f"), "user.x", nil, 0), unix.EROFS)
		c.wants("link", unix.Link(c.p("f"), c.p("h")), unix.EROFS)
		c.wants("symlink", unix.Symlink("f", c.p("s")), unix.EROFS)
		c.wants("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, c.p("f"), make([]unix.Timespec, 2), 0), unix.EROFS)
		c.has("f", "lower file")
		c.same(Merge(small(), Layer{File("top", "t")}))
	}},
	{"ViewOfManyLayers", func(c *C) {
		layers := manyLayers()
		c.view(layers...)
		c.same(Merge(layers...))
	}},
	{"ViewNosuidNodev", func(c *C) {
		c.view(small())
		c.unmount()
		c.nosuidNodev(true)
	}},
	{"ViewOfNoLayers", func(c *C) {
		c.view()
		c.names(".")
	}},
	{"ViewsAreShared", func(c *C) {
		c.view(small())
		other := mountPoint(c.T)
		m := c.attach(c.drv, c.snap, other, cow.MountOptions{ReadOnly: true})
		c.has("f", "lower file")
		c.must(m.Unmount())
		c.has("f", "lower file")
		c.has("d/f", "lower")
	}},
}

var mergeCases = []Case{
	{"SnapshotIsTheMerge", func(c *C) {
		layers := rich()
		c.start(layers...)
		c.same(Merge(layers...))
		c.changes()
	}},
	{"NoLayers", func(c *C) {
		c.start()
		c.names(".")
		c.write("f", "x")
		c.has("f", "x")
		c.changes("A /f")
	}},
	{"EmptyLayers", func(c *C) {
		c.start(Layer{}, small(), Layer{})
		c.same(Merge(small()))
	}},
	{"ManyLayers", func(c *C) {
		layers := manyLayers()
		c.start(layers...)
		want := Merge(layers...)
		c.same(want)
		c.write("dir/f59", "changed")
		c.must(os.Remove(c.p("shared")))
		c.changes("C /dir", "C /dir/f59", "D /shared")
	}},
	{"NosuidNodev", func(c *C) {
		c.start(small())
		c.unmount()
		c.nosuidNodev(false)
	}},
	{"Source", func(c *C) {
		c.start(small())
		c.unmount()
		dir := mountPoint(c.T)
		o := mountOptions(false, false)
		o.Source = "debian:12"
		c.m = c.attach(c.drv, c.snap, dir, o)
		if got := mountSource(c.T, dir); got != "debian:12" && !c.limit(SourceIsFilesystem) {
			c.Errorf("the source is shown as %q", got)
		}
	}},
}

// readOnlyCases are for drivers that have no snapshots.
var readOnlyCases = []Case{
	{"CreateIsRefused", func(c *C) {
		c.drv = c.h.New(c.T)
		c.snap = cow.Snapshot{Dir: c.h.scratch(c.T), Base: c.chain(small())}
		var u *cow.Unusable
		if err := c.drv.Create(c.Context(), c.snap); !errors.As(err, &u) || u.Hint == "" {
			c.Errorf("Create: %v, want one that says what to use instead", err)
		}
		if m, err := c.drv.Mount(c.Context(), c.snap, mountPoint(c.T), cow.MountOptions{}); !errors.As(err, &u) {
			c.Errorf("Mount to write: %v", err)
			if err == nil {
				c.must(m.Unmount())
			}
		}
		c.changes()
		c.must(c.drv.Remove(c.Context(), c.snap))
		c.emptySnapshot()
	}},
}

// nosuidNodev mounts the snapshot, or its chain, with each pair of the two options.
func (c *C) nosuidNodev(readOnly bool) {
	c.Helper()
	for _, o := range []struct {
		suid, dev bool
	}{{}, {suid: true}, {dev: true}, {true, true}} {
		dir := mountPoint(c.T)
		m := c.attach(c.drv, c.snap, dir, cow.MountOptions{ReadOnly: readOnly, Suid: o.suid, Dev: o.dev})
		var st unix.Statfs_t
		c.must(unix.Statfs(dir, &st))
		if nosuid := st.Flags&unix.ST_NOSUID != 0; nosuid == o.suid {
			c.Errorf("Suid %t: nosuid is %t", o.suid, nosuid)
		}
		if nodev := st.Flags&unix.ST_NODEV != 0; nodev == o.dev {
			if !(o.dev && c.limit(DevicesLeftOut)) {
				c.Errorf("Dev %t: nodev is %t", o.dev, nodev)
			}
		}
		c.must(m.Unmount())
	}
}
