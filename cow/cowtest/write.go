package cowtest

import (
	"bytes"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bigData is what file "big" of small holds.
func bigData() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 16<<10) }

var writeCases = []Case{
	{"WriteNew", func(c *C) {
		c.start(small())
		c.write("new", "n")
		c.must(os.Mkdir(c.p("nd"), 0o750))
		c.write("nd/\xff", "n")
		c.must(os.Symlink("target", c.p("ns")))
		c.must(unix.Mkfifo(c.p("nf"), 0o600))
		check := func() {
			c.has("new", "n")
			c.has("nd/\xff", "n")
			if got, _ := os.Readlink(c.p("ns")); got != "target" {
				c.Errorf("the new symlink points to %q", got)
			}
			if mode := c.stat("nf").Mode; mode != unix.S_IFIFO|0o600 {
				c.Errorf("the pipe's mode is %o", mode)
			}
		}
		check()
		c.changes("A /nd", "A /nd/\xff", "A /new", "A /nf", "A /ns")
		c.remount()
		check()
	}},
	{"WriteOverLower", func(c *C) {
		c.start(small(), Layer{Dir("d"), File("d/top", "t")})
		f, err := os.OpenFile(c.p("d/f"), os.O_WRONLY, 0)
		c.must(err)
		_, err = f.WriteAt([]byte("UPP"), 1)
		c.must(err)
		c.must(f.Close())
		c.has("d/f", "lUPPr")
		c.has("d/g", "other")
		if mode := c.stat("d/f").Mode; mode != unix.S_IFREG|0o644 {
			c.Errorf("copy-up made the mode %o", mode)
		}
		c.changes("C /d", "C /d/f")
		c.remount()
		c.has("d/f", "lUPPr")
	}},
	{"WriteInsideBigFile", func(c *C) {
		c.start(small())
		want := bigData()
		f, err := os.OpenFile(c.p("big"), os.O_RDWR, 0)
		c.must(err)
		for _, off := range []int64{5, 4095, 100_000, int64(len(want)) - 1} {
			copy(want[off:], "XYZ")
			n := min(3, len(want)-int(off))
			_, err = f.WriteAt([]byte("XYZ")[:n], off)
			c.must(err)
		}
		got, err := io.ReadAll(f)
		c.must(err)
		if !bytes.Equal(got, want) {
			c.Error("what is read back through the same descriptor is not what was written")
		}
		c.must(f.Close())
		c.has("big", string(want))
		c.remount()
		c.has("big", string(want))
	}},
	{"Append", func(c *C) {
		c.start(small())
		for _, s := range []string{" and", " more"} {
			f, err := os.OpenFile(c.p("f"), os.O_WRONLY|os.O_APPEND, 0)
			c.must(err)
			_, err = io.WriteString(f, s)
			c.must(err)
			c.must(f.Close())
		}
		c.has("f", "lower file and more")
		c.remount()
		c.has("f", "lower file and more")
	}},
	{"Truncate", func(c *C) {
		c.start(small())
		c.must(os.Truncate(c.p("f"), 5))
		c.has("f", "lower")
		f, err := os.OpenFile(c.p("d/f"), os.O_WRONLY|os.O_TRUNC, 0)
		c.must(err)
		c.must(f.Close())
		c.has("d/f", "")
		c.must(os.Truncate(c.p("big"), 300_000))
		want := append(bigData(), make([]byte, 300_000-len(bigData()))...)
		c.has("big", string(want))
		c.must(os.Truncate(c.p("big"), 20))
		c.must(os.Truncate(c.p("big"), 40))
		c.has("big", string(want[:20])+strings.Repeat("\x00", 20))
		c.remount()
		c.has("big", string(want[:20])+strings.Repeat("\x00", 20))
		c.changes("C /big", "C /d", "C /d/f", "C /f")
	}},
	{"MmapWrite", func(c *C) {
		c.start(small())
		// In a process of its own: a fault on a mount that this process serves
		// would stop the thread that could serve it.
		c.inChild("mmap", c.p("big"))
		want := bigData()
		copy(want[5000:], "mapped")
		c.has("big", string(want))
		c.remount()
		c.has("big", string(want))
		if !c.limit(MappedWritesUnseen) {
			c.changes("C /big")
		}
	}},
	{"OpenForWritingChangesNothing", func(c *C) {
		c.start(small())
		f, err := os.OpenFile(c.p("d/f"), os.O_RDWR, 0)
		c.must(err)
		c.must(f.Close())
		c.has("d/f", "lower")
		c.changes()
	}},
	{"DescriptorSeesLaterWrites", func(c *C) {
		c.start(small())
		r, err := os.Open(c.p("f"))
		c.must(err)
		defer r.Close()
		c.write("f", "upper file")
		got := make([]byte, 5)
		_, err = r.ReadAt(got, 0)
		c.must(err)
		want := "upper"
		if c.limit(StaleDescriptors) {
			want = "lower"
		}
		if string(got) != want {
			c.Errorf("a descriptor opened before copy-up reads %q, want %q", got, want)
		}
	}},
	{"Chmod", func(c *C) {
		c.start(small())
		before := c.stat("d/f")
		c.must(unix.Chmod(c.p("d/f"), 0o4711))
		c.must(unix.Chmod(c.p("d/sub"), 0o1700))
		check := func() {
			c.Helper()
			st := c.stat("d/f")
			if st.Mode != unix.S_IFREG|0o4711 || st.Size != before.Size || st.Mtim != before.Mtim {
				c.Errorf("after chmod: mode %o, size %d, mtime %v", st.Mode, st.Size, st.Mtim)
			}
			if mode := c.stat("d/sub").Mode; mode != unix.S_IFDIR|0o1700 {
				c.Errorf("after chmod: mode of the directory %o", mode)
			}
			c.has("d/f", "lower")
			c.has("d/sub/deep", "deep")
		}
		check()
		c.changes("C /d", "C /d/f", "C /d/sub")
		c.remount()
		check()
	}},
	{"Chown", func(c *C) {
		c.start(small())
		if c.limit(OwnersSquashed) {
			if err := unix.Lchown(c.p("f"), 1234, 4321); err == nil {
				c.Error("chown to another user works: the limit is out of date")
			}
			c.must(unix.Lchown(c.p("f"), os.Getuid(), os.Getgid()))
			return
		}
		for _, name := range []string{"f", "d/sub", "sym"} {
			c.must(unix.Lchown(c.p(name), 1234, 4321))
		}
		check := func() {
			c.Helper()
			for _, name := range []string{"f", "d/sub", "sym"} {
				if st := c.stat(name); st.Uid != 1234 || st.Gid != 4321 {
					c.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
				}
			}
			c.has("f", "lower file")
			c.has("sym", "lower")
		}
		check()
		c.changes("C /d", "C /d/sub", "C /f", "C /sym")
		c.remount()
		check()
	}},
	{"Utimes", func(c *C) {
		c.start(small())
		ts := []unix.Timespec{{Sec: 1_000_000_000, Nsec: 1}, {Sec: 1_100_000_000, Nsec: 987_654_321}}
		for _, name := range []string{"f", "d/sub", "sym"} {
			c.must(unix.UtimesNanoAt(unix.AT_FDCWD, c.p(name), ts, unix.AT_SYMLINK_NOFOLLOW))
		}
		c.changes("C /f", "C /sym")
		c.remount()
		for _, name := range []string{"f", "d/sub", "sym"} {
			if got := c.stat(name).Mtim; got != ts[1] {
				c.Errorf("mtime of %s is %v, want %v", name, got, ts[1])
			}
		}
	}},
	{"Xattrs", func(c *C) {
		c.start(Layer{File("f", "f").Xattr("user.keep", "k").Xattr("user.drop", "d"), Dir("d").Xattr("user.dir", "x")})
		c.must(unix.Setxattr(c.p("f"), "user.new", []byte("n"), unix.XATTR_CREATE))
		c.wants("creating an xattr that is there", unix.Setxattr(c.p("f"), "user.keep", nil, unix.XATTR_CREATE), unix.EEXIST)
		c.wants("replacing one that is not", unix.Setxattr(c.p("f"), "user.none", nil, unix.XATTR_REPLACE), unix.ENODATA)
		c.must(unix.Removexattr(c.p("f"), "user.drop"))
		c.wants("removing it again", unix.Removexattr(c.p("f"), "user.drop"), unix.ENODATA)
		c.must(unix.Setxattr(c.p("d"), "user.dir", []byte("y"), 0))
		check := func() {
			c.Helper()
			got, err := xattrs(c.p("f"))
			c.must(err)
			c.equal("xattrs of f", map[string]string{"user.keep": "k", "user.new": "n"}, got)
			got, err = xattrs(c.p("d"))
			c.must(err)
			c.equal("xattrs of d", map[string]string{"user.dir": "y"}, got)
			c.has("f", "f")
		}
		check()
		c.changes("C /d", "C /f")
		c.remount()
		check()
	}},
	{"Excl", func(c *C) {
		c.start(small())
		_, err := os.OpenFile(c.p("f"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		c.wants("O_EXCL on a lower file", err, unix.EEXIST)
		c.wants("mkdir over a lower directory", os.Mkdir(c.p("d"), 0o755), unix.EEXIST)
		c.must(os.Remove(c.p("f")))
		f, err := os.OpenFile(c.p("f"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		c.must(err)
		c.must(f.Close())
		c.has("f", "")
		c.changes("C /f")
	}},
	{"MtimeOfDirectory", func(c *C) {
		c.start(small())
		before := c.stat("d").Mtim
		time.Sleep(5 * time.Millisecond)
		c.write("d/new", "n")
		if after := c.stat("d").Mtim; after.Nano() <= before.Nano() {
			c.Errorf("creating a file moved its directory's mtime from %v to %v", before, after)
		}
	}},
}
