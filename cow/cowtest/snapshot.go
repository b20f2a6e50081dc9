package cowtest

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

func (c *C) equal(what string, want, got any) {
	c.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var snapshotCases = []Case{
	{"TwoSnapshotsOfOneChain", func(c *C) {
		c.start(small())
		one, dirOne := c.snap, c.dir
		c.snap = cow.Snapshot{Dir: c.h.scratch(c.T), Base: one.Base}
		c.must(c.drv.Create(c.Context(), c.snap))
		c.mount()
		c.write("f", "two")
		c.write("d/only", "two")
		c.must(os.Remove(c.p("d/g")))
		c.changes("C /d", "D /d/g", "A /d/only", "C /f")
		c.dir, c.snap = dirOne, one
		c.has("f", "lower file")
		c.gone("d/only")
		c.has("d/g", "other")
		c.changes()
		v := mountPoint(c.T)
		c.attach(c.drv, cow.Snapshot{Base: one.Base}, v, cow.MountOptions{ReadOnly: true})
		c.dir = v
		c.same(Merge(small()))
	}},
	{"ViewOfASnapshotIsItsChain", func(c *C) {
		c.start(small())
		c.write("f", "upper")
		dir := mountPoint(c.T)
		c.attach(c.drv, c.snap, dir, cow.MountOptions{ReadOnly: true})
		c.dir = dir
		c.has("f", "lower file")
	}},
	{"DiffAppliesToAnother", func(c *C) {
		c.start(append(rich(), small())...)
		c.write("new", "n")
		c.write("d/g", "OTHER") // of the same size
		c.must(unix.Mkfifo(c.p("d/pipe"), 0o620))
		c.must(os.Symlink("/etc/passwd", c.p("d/link")))
		c.must(unix.Link(c.p("d/f"), c.p("d/sub/second")))
		c.must(unix.Link(c.p("new"), c.p("tmp/new")))
		c.must(os.Remove(c.p("etc/secret")))
		c.must(os.RemoveAll(c.p("odd")))
		c.must(os.RemoveAll(c.p("opq")))
		c.write("opq", "a file now")
		c.must(os.Remove(c.p("f")))
		c.must(os.Mkdir(c.p("f"), 0o711))
		c.write("f/in", "in a directory that was a file")
		c.must(unix.Chmod(c.p("bin/sh"), 0o4711))
		c.must(unix.Chmod(c.p("home/user"), 0o2770))
		c.must(unix.Setxattr(c.p("attr"), "user.more", []byte("m"), 0))
		c.must(unix.Removexattr(c.p("attr"), "user.mime"))
		c.must(unix.Removexattr(c.p("attrdir"), "user.dir"))
		c.must(os.Truncate(c.p("usr/lib/libc"), 10_000_000))
		if err := unix.Rename(c.p("implied"), c.p("renamed")); err != nil && !c.limit(RenameDirEXDEV) {
			c.Error(err)
		}
		c.remount()
		was, err := Walk(c.dir)
		c.must(err)
		other := cow.Snapshot{Dir: c.h.scratch(c.T), Base: c.snap.Base}
		c.must(c.drv.Create(c.Context(), other))
		dir := mountPoint(c.T)
		c.attach(c.drv, other, dir, cow.MountOptions{Suid: true, Dev: true})
		c.must(cow.Apply(c.Context(), dir, c.drv.Diff(c.Context(), c.snap), os.Getenv(rootlessEnv) != ""))
		is, err := Walk(dir)
		c.must(err)
		root := is["."]
		root.Mtime = was["."].Mtime // a diff doesn't list it for that
		is["."] = root
		if diff := cmp.Diff(was, is); diff != "" {
			c.Errorf("the tree to which a diff was applied (-want +got):\n%s", diff)
		}
	}},
	{"ChangesWhileUnmounted", func(c *C) {
		c.start(small())
		c.write("d/sub/new", "n")
		c.must(os.Remove(c.p("f")))
		want := []string{"C /d", "C /d/sub", "A /d/sub/new", "D /f"}
		c.changes(want...)
		c.unmount()
		c.changes(want...)
		c.drv = c.h.New(c.T) // as another process sees it
		c.changes(want...)
	}},
	{"ChangesAsDockerPrintsThem", func(c *C) {
		// The session in which docker's own output was recorded.
		c.start(Layer{Dir("bin"), File("bin/ls", "ls").Perm(0o755), Dir("etc"), File("etc/passwd", "p\n"), File("etc/group", "g\n"),
			Dir("home"), Dir("usr"), Dir("var/www/html"), File("var/www/html/i", "i")})
		c.write("new", "n")
		c.must(os.Mkdir(c.p("d"), 0o755))
		c.write("d/f", "x")
		c.must(os.Remove(c.p("etc/group")))
		c.write("etc/passwd", "p\nz\n")
		c.must(os.RemoveAll(c.p("var/www")))
		c.must(os.Chmod(c.p("home"), 0o700))
		c.must(os.Symlink("a", c.p("sl")))
		c.must(os.Mkdir(c.p("usr/x"), 0o755))
		c.must(os.Remove(c.p("usr/x")))
		c.must(os.Rename(c.p("bin/ls"), c.p("bin/ls2")))
		c.changes("C /bin", "D /bin/ls", "A /bin/ls2", "A /d", "A /d/f", "C /etc", "D /etc/group", "C /etc/passwd",
			"C /home", "A /new", "A /sl", "C /var", "D /var/www")
	}},
}

var lifeCases = []Case{
	{"CreateTwice", func(c *C) {
		c.start(small())
		c.write("f", "kept")
		c.unmount()
		if err := c.drv.Create(c.Context(), c.snap); err == nil {
			c.mount()
			c.has("f", "kept") // a Create that succeeds has lost nothing
		}
	}},
	{"UnmountWhileInUse", func(c *C) {
		c.start(small())
		f, err := os.Open(c.p("d/f"))
		c.must(err)
		c.wants("unmounting while a file is open", c.m.Unmount(), unix.EBUSY)
		c.has("f", "lower file")
		c.write("f", "still works")
		c.must(f.Close())
		c.unmount()
		c.names(".")
	}},
	{"NothingIsLeft", func(c *C) {
		layers := append(rich(), small())
		before := len(descriptors(c, "/dev/fuse"))
		c.start(layers...)
		dirs := []string{c.snap.Dir, c.dir}
		for _, l := range c.snap.Base.Layers {
			dirs = append(dirs, l.Dir)
		}
		if c.snap.Base.Index != "" {
			dirs = append(dirs, c.snap.Base.Index)
		}
		_, err := Walk(c.dir)
		c.must(err)
		for _, name := range []string{"f", "d/f", "big"} {
			f, err := os.OpenFile(c.p(name), os.O_RDWR, 0)
			c.must(err)
			_, err = f.WriteAt([]byte("x"), 0)
			c.must(err)
			c.must(os.Remove(c.p(name)))
			c.must(f.Close())
		}
		c.unmount()
		if left := descriptors(c, dirs...); left != nil {
			c.Errorf("open after Unmount: %v", left)
		}
		if now := len(descriptors(c, "/dev/fuse")); now != before {
			c.Errorf("%d descriptors of /dev/fuse are open, %d before", now, before)
		}
		for _, dir := range dirs {
			if left := mountLines(c, dir); left != nil {
				c.Errorf("mounted after Unmount: %v", left)
			}
		}
	}},
	{"FailedMountLeavesNothing", func(c *C) {
		c.start(small())
		c.unmount()
		m, err := c.drv.Mount(c.Context(), c.snap, filepath.Join(c.T.TempDir(), "none"), mountOptions(true, true))
		if err == nil {
			m.Unmount()
			c.Fatal("mounting on a directory that is not there works")
		}
		if left := descriptors(c, c.snap.Dir, c.snap.Base.Index); left != nil {
			c.Errorf("open after a Mount that failed: %v", left)
		}
	}},
	{"Remove", func(c *C) {
		c.start(small())
		c.must(os.MkdirAll(c.p("locked/in"), 0o755))
		c.write("locked/in/f", "f")
		c.must(os.Chmod(c.p("locked/in"), 0))
		c.must(os.Chmod(c.p("locked"), 0))
		c.must(os.RemoveAll(c.p("d")))
		c.unmount()
		c.must(c.drv.Remove(c.Context(), c.snap))
		c.emptySnapshot()
		c.must(c.drv.Remove(c.Context(), c.snap))
		c.must(os.RemoveAll(c.snap.Dir))
		c.must(c.drv.Remove(c.Context(), c.snap))
	}},
	{"RemoveWhatWasNeverMounted", func(c *C) {
		c.drv = c.h.New(c.T)
		c.snap = cow.Snapshot{Dir: c.h.scratch(c.T), Base: c.chain(small())}
		c.must(c.drv.Remove(c.Context(), c.snap))
		c.must(c.drv.Create(c.Context(), c.snap))
		c.must(c.drv.Remove(c.Context(), c.snap))
		c.emptySnapshot()
	}},
	{"RemoveAfterKill", func(c *C) {
		c.drv = c.h.New(c.T)
		c.snap = cow.Snapshot{Dir: c.h.scratch(c.T), Base: c.chain(rich()...)}
		c.must(c.drv.Create(c.Context(), c.snap))
		c.killedChild()
		// What it had written may be there or not, but it can be mounted,
		c.mount()
		c.has("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
		c.unmount()
		// and removed.
		c.must(c.drv.Remove(c.Context(), c.snap))
		c.emptySnapshot()
	}},
	{"Done", func(c *C) {
		c.start(small())
		c.must(unmountByHand(c.dir))
		<-c.m.Done()
		if err := c.m.Unmount(); err != nil {
			c.Errorf("Unmount after umount(8): %v", err)
		}
		c.mount()
		c.has("f", "lower file")
	}},
}

// emptySnapshot checks that Remove has left nothing.
func (c *C) emptySnapshot() {
	c.Helper()
	entries, err := os.ReadDir(c.snap.Dir)
	if os.IsNotExist(err) {
		return
	}
	c.must(err)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if left != nil {
		c.Errorf("Remove left %s", strings.Join(left, ", "))
	}
}
