package cowtest

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

var renameCases = []Case{
	{"RenameFile", func(c *C) {
		c.start(small())
		c.must(unix.Rename(c.p("d/f"), c.p("moved")))
		c.must(unix.Rename(c.p("sym"), c.p("d/sym")))
		check := func() {
			c.Helper()
			c.gone("d/f")
			c.gone("sym")
			c.has("moved", "lower")
			if got, _ := os.Readlink(c.p("d/sym")); got != "d/f" {
				c.Errorf("the moved symlink points to %q", got)
			}
		}
		check()
		c.changes("C /d", "D /d/f", "A /d/sym", "A /moved", "D /sym")
		c.remount()
		check()
	}},
	{"RenameOverLower", func(c *C) {
		c.start(small())
		c.write("new", "new")
		c.must(unix.Rename(c.p("new"), c.p("f")))
		c.must(unix.Rename(c.p("d/f"), c.p("d/g")))
		c.wants("a file over a directory", unix.Rename(c.p("f"), c.p("d")), unix.EISDIR)
		c.wants("a directory over a file", unix.Rename(c.p("empty"), c.p("f")), unix.ENOTDIR)
		errno, err := unix.ENOTEMPTY, unix.Rename(c.p("empty"), c.p("d"))
		if c.limit(RenameDirEXDEV) {
			errno = unix.EXDEV
		} else if errors.Is(err, unix.EEXIST) {
			errno = unix.EEXIST // rename(2): "ENOTEMPTY or EEXIST"; XFS says the latter
		}
		c.wants("over a full directory", err, errno)
		check := func() {
			c.Helper()
			c.has("f", "new")
			c.has("d/g", "lower")
			c.names("d", "g", "sub")
		}
		check()
		c.changes("C /d", "D /d/f", "C /d/g", "C /f")
		c.remount()
		check()
	}},
	{"RenameNewDirectory", func(c *C) {
		c.start(small())
		c.must(os.Mkdir(c.p("new"), 0o755))
		c.write("new/f", "f")
		c.must(unix.Rename(c.p("new"), c.p("newer")))
		c.must(unix.Rename(c.p("newer"), c.p("empty"))) // an empty lower directory may be replaced
		c.has("empty/f", "f")
		c.names("empty", "f")
		c.changes("C /empty", "A /empty/f")
		c.remount()
		c.has("empty/f", "f")
		c.gone("new")
		c.gone("newer")
	}},
	{"RenameLowerDirectory", func(c *C) {
		c.start(small(), Layer{Dir("d"), File("d/top", "t")})
		err := unix.Rename(c.p("d"), c.p("e"))
		if c.limit(RenameDirEXDEV) {
			c.wants("rename of a lower directory", err, unix.EXDEV)
			c.has("d/f", "lower")
			c.gone("e")
			c.changes()
			return
		}
		c.must(err)
		check := func() {
			c.Helper()
			c.gone("d")
			c.names("e", "f", "g", "sub", "top")
			c.has("e/f", "lower")
			c.has("e/sub/deep", "deep")
		}
		check()
		c.changes("D /d", "A /e", "A /e/f", "A /e/g", "A /e/sub", "A /e/sub/deep", "A /e/top")
		c.remount()
		check()
		// Again, deeper, with what was there before made anew.
		c.must(os.Remove(c.p("e/g")))
		c.write("e/f", "upper")
		c.must(unix.Rename(c.p("e"), c.p("empty/e")))
		c.must(os.Mkdir(c.p("d"), 0o755))
		c.write("d/mine", "m")
		check = func() {
			c.Helper()
			c.names("d", "mine")
			c.names("empty/e", "f", "sub", "top")
			c.has("empty/e/f", "upper")
			c.has("empty/e/sub/deep", "deep")
		}
		check()
		c.remount()
		check()
		c.changes("C /d", "D /d/f", "D /d/g", "A /d/mine", "D /d/sub", "D /d/top",
			"C /empty", "A /empty/e", "A /empty/e/f", "A /empty/e/sub", "A /empty/e/sub/deep", "A /empty/e/top")
		c.must(os.RemoveAll(c.p("empty")))
		c.gone("empty")
	}},
	{"RenameFlags", func(c *C) {
		c.start(small())
		at := unix.AT_FDCWD
		c.wants("RENAME_NOREPLACE over a lower file", unix.Renameat2(at, c.p("d/f"), at, c.p("f"), unix.RENAME_NOREPLACE), unix.EEXIST)
		if c.limit(NoRenameFlags) {
			c.wants("RENAME_NOREPLACE", unix.Renameat2(at, c.p("d/f"), at, c.p("d/h"), unix.RENAME_NOREPLACE), unix.EINVAL)
			c.wants("RENAME_EXCHANGE", unix.Renameat2(at, c.p("d/f"), at, c.p("f"), unix.RENAME_EXCHANGE), unix.EINVAL)
			return
		}
		c.must(unix.Renameat2(at, c.p("d/f"), at, c.p("d/h"), unix.RENAME_NOREPLACE))
		c.must(unix.Renameat2(at, c.p("d/h"), at, c.p("f"), unix.RENAME_EXCHANGE))
		c.has("f", "lower")
		c.has("d/h", "lower file")
		c.remount()
		c.has("f", "lower")
		c.has("d/h", "lower file")
		c.gone("d/f")
	}},
}

var linkCases = []Case{
	{"LinkLowerFile", func(c *C) {
		c.start(small())
		c.must(unix.Link(c.p("d/f"), c.p("linked")))
		moves := c.limit(LinkMovesInode)
		check := func() {
			c.Helper()
			a, b := c.stat("d/f"), c.stat("linked")
			if a.Ino != b.Ino && !moves || a.Nlink != 2 || b.Nlink != 2 {
				c.Errorf("linked names have inodes %d and %d, %d links", a.Ino, b.Ino, a.Nlink)
			}
		}
		check()
		c.write("linked", "both")
		c.has("d/f", "both")
		check()
		c.remount()
		moves = false
		check()
		c.has("d/f", "both")
		c.changes("C /d", "C /d/f", "A /linked")
		c.must(unix.Unlink(c.p("d/f")))
		c.has("linked", "both")
		if n := c.stat("linked").Nlink; n != 1 {
			c.Errorf("%d links after one of two was removed", n)
		}
		c.wants("link to a directory", unix.Link(c.p("d"), c.p("dd")), unix.EPERM)
		c.wants("link over a lower file", unix.Link(c.p("linked"), c.p("f")), unix.EEXIST)
	}},
	{"LowerHardLinks", func(c *C) {
		c.start(Layer{Dir("d"), File("d/a", "one"), Hardlink("d/b", "d/a"), Hardlink("c", "d/a")})
		if n := c.stat("c").Nlink; n != 3 {
			c.Errorf("a group of three has %d links", n)
		}
		c.write("d/b", "changed")
		if c.limit(LinksBreakAtCopyUp) {
			c.has("d/a", "one")
			c.has("d/b", "changed")
			return
		}
		c.has("d/a", "changed")
		c.has("c", "changed")
		c.must(unix.Unlink(c.p("d/a")))
		check := func() {
			c.Helper()
			c.has("c", "changed")
			a, b := c.stat("c"), c.stat("d/b")
			if a.Ino != b.Ino || a.Nlink != 2 {
				c.Errorf("the other two: inodes %d and %d, %d links", a.Ino, b.Ino, a.Nlink)
			}
		}
		check()
		c.remount()
		check()
	}},
	{"InodeNumbers", func(c *C) {
		c.start(small())
		before := map[string]uint64{}
		all := []string{"f", "d/f", "d/g", "d", "d/sub", "sym", "big"}
		seen := map[uint64]string{}
		for _, name := range all {
			before[name] = c.stat(name).Ino
			if other := seen[before[name]]; other != "" {
				c.Errorf("%s and %s have the same st_ino", name, other)
			}
			seen[before[name]] = name
		}
		c.must(unix.Chmod(c.p("f"), 0o600))
		c.write("d/f", "upper")
		c.must(unix.Lchown(c.p("sym"), os.Getuid(), os.Getgid()))
		if !c.limit(InodeMovesAtCopyUp) {
			for _, name := range all {
				if got := c.stat(name).Ino; got != before[name] {
					c.Errorf("st_ino of %s moved at copy-up from %d to %d", name, before[name], got)
				}
			}
		}
		for _, name := range all {
			before[name] = c.stat(name).Ino
		}
		c.remount()
		if !c.limit(InodeMovesAtRemount) {
			for _, name := range all {
				if got := c.stat(name).Ino; got != before[name] {
					c.Errorf("st_ino of %s moved at remount from %d to %d", name, before[name], got)
				}
			}
		}
	}},
}
