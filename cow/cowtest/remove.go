package cowtest

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

var removeCases = []Case{
	{"UnlinkLower", func(c *C) {
		c.start(small())
		for _, name := range []string{"f", "d/f", "sym"} {
			c.must(unix.Unlink(c.p(name)))
			c.gone(name)
			c.wants("unlink again", unix.Unlink(c.p(name)), unix.ENOENT)
		}
		c.names("d", "g", "sub")
		c.changes("C /d", "D /d/f", "D /f", "D /sym")
		c.remount()
		c.gone("f")
		c.gone("d/f")
		c.names("d", "g", "sub")
		c.write("f", "back")
		c.has("f", "back")
		c.changes("C /d", "D /d/f", "C /f", "D /sym")
	}},
	{"UnlinkCopiedUp", func(c *C) {
		c.start(small())
		c.write("f", "upper")
		c.must(unix.Unlink(c.p("f")))
		c.gone("f")
		c.write("new", "n")
		c.must(unix.Unlink(c.p("new")))
		c.gone("new")
		c.changes("D /f")
		c.remount()
		c.gone("f")
	}},
	{"RmdirLower", func(c *C) {
		c.start(small())
		c.wants("rmdir of a full directory", unix.Rmdir(c.p("d")), unix.ENOTEMPTY)
		c.wants("rmdir of a file", unix.Rmdir(c.p("f")), unix.ENOTDIR)
		c.wants("unlink of a directory", unix.Unlink(c.p("empty")), unix.EISDIR)
		c.must(unix.Rmdir(c.p("empty")))
		c.gone("empty")
		c.must(os.RemoveAll(c.p("d")))
		c.gone("d")
		c.changes("D /d", "D /empty")
		c.remount()
		c.gone("d")
		c.gone("empty")
	}},
	{"MkdirOverWhiteoutIsEmpty", func(c *C) {
		c.start(small())
		c.must(os.RemoveAll(c.p("d")))
		c.must(os.Mkdir(c.p("d"), 0o755))
		c.names("d")
		c.write("d/g", "mine")
		check := func() {
			c.Helper()
			c.names("d", "g")
			c.has("d/g", "mine")
			c.gone("d/sub")
			c.changes("C /d", "D /d/f", "C /d/g", "D /d/sub")
		}
		check()
		c.remount()
		check()
		c.must(os.RemoveAll(c.p("d")))
		c.changes("D /d")
	}},
	{"FileInPlaceOfDirectory", func(c *C) {
		c.start(small())
		c.must(os.RemoveAll(c.p("d")))
		c.write("d", "file")
		c.must(os.Remove(c.p("f")))
		c.must(os.Mkdir(c.p("f"), 0o755))
		c.write("f/x", "x")
		c.changes("C /d", "C /f", "A /f/x")
		c.remount()
		c.has("d", "file")
		c.has("f/x", "x")
		c.must(os.Remove(c.p("d")))
		c.gone("d")
	}},
	{"OpenUnlinkedFile", func(c *C) {
		c.start(small())
		f, err := os.OpenFile(c.p("f"), os.O_RDWR, 0)
		c.must(err)
		defer f.Close()
		r, err := os.Open(c.p("d/f"))
		c.must(err)
		defer r.Close()
		c.must(unix.Unlink(c.p("f")))
		c.must(unix.Unlink(c.p("d/f")))
		_, err = f.WriteAt([]byte("UPPER"), 0)
		c.must(err)
		got, err := io.ReadAll(f)
		c.must(err)
		c.equal("an unlinked file", "UPPER file", string(got))
		got, err = io.ReadAll(r)
		c.must(err)
		c.equal("an unlinked file of a layer", "lower", string(got))
		var st unix.Stat_t
		c.must(unix.Fstat(int(f.Fd()), &st))
		if st.Size != 10 {
			c.Errorf("fstat of the unlinked file says %d bytes", st.Size)
		}
		c.write("f", "another")
		got = make([]byte, 5)
		_, err = f.ReadAt(got, 0)
		c.must(err)
		c.equal("the unlinked file beside its successor", "UPPER", string(got))
		c.has("f", "another")
	}},
	{"RemoveEverything", func(c *C) {
		c.start(rich()...)
		entries, err := os.ReadDir(c.dir)
		c.must(err)
		for _, e := range entries {
			c.must(os.RemoveAll(c.p(e.Name())))
		}
		c.names(".")
		c.remount()
		c.names(".")
		for ch, err := range c.drv.Changes(c.Context(), c.snap) {
			c.must(err)
			if ch.Kind.String() != "D" {
				c.Errorf("change %v %s of an emptied root", ch.Kind, ch.Path)
			}
		}
	}},
}
