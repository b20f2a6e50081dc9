package unionfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// both runs a test on a packed lower and on a plain one, made by fill.
func both(t *testing.T, fill func(low string), fn func(t *testing.T, open func() Options, dir string)) {
	bothSpecs(t, fill, func(t *testing.T, c childSpec, dir string) {
		fn(t, func() Options {
			o := Options{LowerDirs: c.LowerDirs}
			if c.Chain != nil {
				var err error
				o, err = openBase(*c.Chain)
				must(t, err)
			}
			o.Upper, o.Work = c.Upper, c.Work
			return o
		}, dir)
	})
}

// bothSpecs is both for servers in processes of their own.
func bothSpecs(t *testing.T, fill func(low string), fn func(t *testing.T, c childSpec, dir string)) {
	needMount(t)
	for _, kind := range []string{"packed", "dirs"} {
		t.Run(kind, func(t *testing.T) {
			dir := scratch(t)
			low := dir + "/low"
			mkdirs(t, low, dir+"/upper", dir+"/work", dir+"/pk")
			fill(low)
			c := childSpec{Upper: dir + "/upper", Work: dir + "/work", AllowOther: true}
			if kind == "packed" {
				chain := packChain(t, dir+"/pk", low)
				c.Chain = &chain
			} else {
				c.LowerDirs = []string{low}
			}
			before := snapshot(t, low, snapshotOptions{ino: true, mtime: true})
			fn(t, c, dir)
			sameTree(t, "the lower", before, snapshot(t, low, snapshotOptions{ino: true, mtime: true}))
		})
	}
}

func stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st
}

func openFile(t testing.TB, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func pread(t testing.TB, fd, n int, off int64) string {
	t.Helper()
	b := make([]byte, n)
	k, err := unix.Pread(fd, b, off)
	must(t, err)
	return string(b[:k])
}

// TestNoRequests: what the kernel has cached costs no message at all.
func TestNoRequests(t *testing.T) {
	fill := func(low string) {
		for i := range 50 {
			write(t, fmt.Sprintf("%s/d%d/f%d", low, i%5, i), strings.Repeat("x", i*100))
		}
		must(t, os.Symlink("d0/f0", low+"/link"))
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		for _, mode := range []string{"ro", "rw"} {
			o := open()
			if mode == "ro" {
				o.Upper, o.Work = "", ""
			}
			mnt, srv := mount(t, o, MountOptions{AllowOther: true})
			// Not through os.File, which asks the runtime's poller.
			buf := make([]byte, 1<<16)
			use := func() {
				for i := range 50 {
					p := fmt.Sprintf("%s/d%d/f%d", mnt, i%5, i)
					var st unix.Stat_t
					must(t, unix.Lstat(p, &st))
					fd, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC, 0)
					must(t, err)
					for {
						n, err := unix.Read(fd, buf)
						must(t, err)
						if n == 0 {
							break
						}
					}
					unix.Close(fd)
				}
				if _, err := unix.Readlink(mnt+"/link", buf); err != nil {
					t.Fatal(err)
				}
				if err := unix.Access(mnt+"/nothing", unix.R_OK); err != unix.ENOENT {
					t.Fatal(err)
				}
			}
			use()
			use() // a read has made atime unknown; this asks for it again
			undisturbed(t, func() string {
				before := srv.FS().Requests()
				use()
				if d := cmp.Diff(before, srv.FS().Requests()); d != "" {
					return fmt.Sprintf("%s: a warm round sent requests (-before +after):\n%s", mode, d)
				}
				return ""
			})
			must(t, srv.Unmount())
		}
	})
}

// TestNegotiated: what the speed rests on was agreed to by this kernel.
func TestNegotiated(t *testing.T) {
	dir := scratch(t)
	_, srv := mount(t, Options{LowerDirs: []string{dir}}, MountOptions{})
	for name, bit := range map[string]uint64{
		"NO_OPEN_SUPPORT": fuse.CAP_NO_OPEN_SUPPORT, "NO_OPENDIR_SUPPORT": fuse.CAP_NO_OPENDIR_SUPPORT,
		"DO_READDIRPLUS": fuse.CAP_READDIRPLUS, "PARALLEL_DIROPS": fuse.CAP_PARALLEL_DIROPS,
		"CACHE_SYMLINKS": fuse.CAP_CACHE_SYMLINKS, "HANDLE_KILLPRIV_V2": fuse.CAP_HANDLE_KILLPRIV_V2,
		"EXPLICIT_INVAL_DATA": fuse.CAP_EXPLICIT_INVAL_DATA, "MAX_PAGES": fuse.CAP_MAX_PAGES,
	} {
		if srv.Capabilities()&bit == 0 {
			t.Errorf("%s was not negotiated", name)
		}
	}
	for name, bit := range map[string]uint64{
		"ATOMIC_O_TRUNC": fuse.CAP_ATOMIC_O_TRUNC, "WRITEBACK_CACHE": fuse.CAP_WRITEBACK_CACHE, "READDIRPLUS_AUTO": fuse.CAP_READDIRPLUS_AUTO,
	} {
		if srv.Capabilities()&bit != 0 {
			t.Errorf("%s was negotiated", name)
		}
	}
}

// TestWriteCosts: a write is one request, with no look at capabilities.
func TestWriteCosts(t *testing.T) {
	dir := scratch(t)
	mkdirs(t, dir+"/l", dir+"/u", dir+"/w")
	mnt, srv := mount(t, Options{LowerDirs: []string{dir + "/l"}, Upper: dir + "/u", Work: dir + "/w"}, MountOptions{AllowOther: true})
	fd := openFile(t, mnt+"/f", unix.O_CREAT|unix.O_WRONLY)
	_, err := unix.Write(fd, []byte("first"))
	must(t, err)
	before := srv.FS().Requests()
	for range 20 {
		_, err := unix.Write(fd, []byte("more"))
		must(t, err)
	}
	want := before
	want["WRITE"] += 20
	if d := cmp.Diff(want, srv.FS().Requests()); d != "" {
		t.Errorf("20 writes (-want +got):\n%s", d)
	}
}

// TestOneInode: copying up changes nothing for who has the file open or mapped,
// for its number, and for its other names, now and after a remount.
func TestOneInode(t *testing.T) {
	fill := func(low string) {
		write(t, low+"/a/file", "before copy-up")
		must(t, os.Link(low+"/a/file", low+"/second"))
		mkdirs(t, low+"/b/c")
		must(t, os.Link(low+"/a/file", low+"/b/c/third"))
	}
	bothSpecs(t, fill, func(t *testing.T, c childSpec, dir string) {
		srv := startChild(t, c)
		mnt := srv.mnt
		old := stat(t, mnt+"/a/file")
		fd, err := unix.Open(mnt+"/a/file", unix.O_RDONLY, 0)
		must(t, err)
		mm, err := unix.Mmap(fd, 0, 14, unix.PROT_READ, unix.MAP_SHARED)
		must(t, err)
		wr, err := unix.Open(mnt+"/second", unix.O_WRONLY|unix.O_APPEND, 0)
		must(t, err)
		if _, err := os.Lstat(dir + "/upper/a"); err == nil {
			t.Error("opening for writing has copied up")
		}
		_, err = unix.Write(wr, []byte(", after"))
		must(t, err)
		_, err = unix.Pwrite(wr, []byte("B"), 0) // O_APPEND: to the end
		must(t, err)
		for what, got := range map[string]string{
			"old descriptor": pread(t, fd, 100, 0), "third name": read(t, mnt+"/b/c/third"), "mapping": string(mm) + ", afterB",
		} {
			if want := "before copy-up, afterB"; got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		must(t, unix.Munmap(mm))
		check := func(when string) {
			for _, p := range []string{"/a/file", "/second", "/b/c/third"} {
				if st := stat(t, mnt+p); st.Ino != old.Ino || st.Nlink != 3 {
					t.Errorf("%s: %s: ino %d nlink %d, want %d and 3", when, p, st.Ino, st.Nlink, old.Ino)
				}
			}
		}
		check("live")
		unix.Close(fd)
		unix.Close(wr)
		srv.unmount()
		if st := stat(t, dir+"/upper/b/c/third"); st.Nlink < 3 {
			t.Errorf("in the upper: nlink %d", st.Nlink)
		}
		mnt = startChild(t, c).mnt
		check("after a remount")
	})
}

// TestParentTimes: a copy-up doesn't show in the times of the directory.
func TestParentTimes(t *testing.T) {
	fill := func(low string) {
		write(t, low+"/d/f", "x")
		tm := []unix.Timespec{{Sec: 1000, Nsec: 5}, {Sec: 2000, Nsec: 7}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, low+"/d", tm, 0))
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, low+"/d/f", tm, 0))
		must(t, unix.Setxattr(low+"/d/f", "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		mnt, _ := mount(t, open(), MountOptions{AllowOther: true})
		must(t, unix.Chmod(mnt+"/d/f", 0o600))
		if st := stat(t, mnt+"/d"); st.Mtim.Sec != 2000 || st.Mtim.Nsec != 7 {
			t.Errorf("directory's mtime: %v", st.Mtim)
		}
		if st := stat(t, mnt+"/d/f"); st.Mtim.Sec != 2000 || st.Mtim.Nsec != 7 || st.Mode&0o7777 != 0o600 {
			t.Errorf("file: mtime %v mode %o", st.Mtim, st.Mode)
		}
		if got := xattrs(t, mnt+"/d/f"); len(got) != 1 || !strings.HasPrefix(got[0], "security.capability=") {
			t.Errorf("file's xattrs: %v", got)
		}
	})
}

// TestUnlinked: files go on without a name, from below and from above, and get
// one again.
func TestUnlinked(t *testing.T) {
	both(t, func(low string) { write(t, low+"/lower", "from below") }, func(t *testing.T, open func() Options, dir string) {
		mnt, srv := mount(t, open(), MountOptions{AllowOther: true})
		write(t, mnt+"/upper", "from above")
		for _, name := range []string{"lower", "upper"} {
			fd, err := unix.Open(mnt+"/"+name, unix.O_RDWR, 0)
			must(t, err)
			must(t, unix.Unlink(mnt+"/"+name))
			if got := pread(t, fd, 100, 0); !strings.HasPrefix(got, "from") {
				t.Errorf("%s: read %q", name, got)
			}
			_, err = unix.Pwrite(fd, []byte("FROM"), 0)
			must(t, err)
			must(t, unix.Fchmod(fd, 0o711))
			var st unix.Stat_t
			must(t, unix.Fstat(fd, &st))
			if got := pread(t, fd, 4, 0); got != "FROM" || st.Mode&0o777 != 0o711 {
				t.Errorf("%s: read %q, mode %o", name, got, st.Mode)
			}
			write(t, mnt+"/"+name, "another")
			if got := pread(t, fd, 4, 0); got != "FROM" {
				t.Errorf("%s: the new file shows in the old one: %q", name, got)
			}
			unix.Close(fd)
		}
		fd, err := unix.Open(mnt, unix.O_TMPFILE|unix.O_RDWR, 0o640)
		must(t, err)
		_, err = unix.Write(fd, []byte("no name"))
		must(t, err)
		must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, mnt+"/named", unix.AT_SYMLINK_FOLLOW))
		unix.Close(fd)
		if got, st := read(t, mnt+"/named"), stat(t, mnt+"/named"); got != "no name" || st.Nlink != 1 {
			t.Errorf("O_TMPFILE linked: %q, nlink %d", got, st.Nlink)
		}
		must(t, srv.Unmount())
		if left := read(t, dir+"/upper/named"); left != "no name" {
			t.Errorf("upper: %q", left)
		}
	})
}

// TestReaddirWhileChanging: whoever reads a directory in small steps while
// names go and come sees every name that stays exactly once.
func TestReaddirWhileChanging(t *testing.T) {
	fill := func(low string) {
		for i := range 300 {
			write(t, fmt.Sprintf("%s/d/lower%03d", low, i), "")
		}
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		mnt, _ := mount(t, open(), MountOptions{AllowOther: true})
		for i := range 300 {
			if i == 150 {
				// The second half is in the upper before it is ever listed.
				must(t, os.Remove(mnt+"/d/lower299"))
			}
			write(t, fmt.Sprintf("%s/d/upper%03d", mnt, i), "")
		}
		fd := openFile(t, mnt+"/d", unix.O_RDONLY|unix.O_DIRECTORY)
		seen := map[string]int{}
		buf := make([]byte, 700)
		for round := 0; ; round++ {
			n, err := unix.Getdents(fd, buf)
			must(t, err)
			if n == 0 {
				break
			}
			_, _, names := unix.ParseDirent(buf[:n], -1, nil)
			for i, name := range names {
				seen[name]++
				if i%2 == 0 {
					must(t, os.Remove(mnt+"/d/"+name))
				}
			}
			if round < 30 { // with one name a step it would never end
				write(t, fmt.Sprintf("%s/d/new%d", mnt, round), "")
			}
		}
		for kind, count := range map[string]int{"lower": 299, "upper": 300} {
			for i := range count {
				if name := fmt.Sprintf("%s%03d", kind, i); seen[name] != 1 {
					t.Errorf("%s was seen %d times", name, seen[name])
				}
			}
		}
		must(t, os.RemoveAll(mnt+"/d"))
		if _, err := os.Lstat(mnt + "/d"); !os.IsNotExist(err) {
			t.Errorf("after rm -r: %v", err)
		}
	})
}

// TestDialects: every way to say that something is gone, in plain lowers.
func TestDialects(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	low := func(i int) string { return fmt.Sprintf("%s/l%d", dir, i) }
	for _, d := range []string{"aufs", "device", "xwh", "opq", "opqx", "fopq", "redir/in"} {
		write(t, low(2)+"/"+d+"/gone", "bottom")
		write(t, low(2)+"/"+d+"/stays", "bottom")
		mkdirs(t, low(1)+"/"+d)
	}
	write(t, low(1)+"/aufs/.wh.gone", "")
	write(t, low(1)+"/aufs/.wh..wh.plnk", "")
	must(t, unix.Mknod(low(1)+"/device/gone", unix.S_IFCHR, 0))
	write(t, low(1)+"/xwh/gone", "")
	must(t, unix.Setxattr(low(1)+"/xwh", "user.overlay.opaque", []byte("x"), 0))
	must(t, unix.Setxattr(low(1)+"/xwh/gone", "user.overlay.whiteout", []byte("y"), 0))
	write(t, low(1)+"/opq/.wh..wh..opq", "")
	write(t, low(1)+"/opq/stays", "top")
	must(t, unix.Setxattr(low(1)+"/opqx", "trusted.overlay.opaque", []byte("y"), 0))
	must(t, unix.Setxattr(low(1)+"/fopq", "user.fuseoverlayfs.opaque", []byte("y"), 0))
	mkdirs(t, low(1)+"/moved")
	must(t, unix.Setxattr(low(1)+"/moved", "trusted.overlay.redirect", []byte("/redir/in"), 0))
	mnt, srv := mount(t, Options{LowerDirs: []string{low(1), low(2)}}, MountOptions{AllowOther: true})
	var got []string
	must(t, filepath.WalkDir(mnt, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(mnt, p)
			got = append(got, rel+" "+read(t, p))
		}
		return err
	}))
	want := []string{
		"aufs/stays bottom", "device/stays bottom", "moved/gone bottom", "moved/stays bottom",
		"opq/stays top", "redir/in/gone bottom", "redir/in/stays bottom", "xwh/stays bottom",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
	buf := make([]byte, 200)
	n, err := unix.Getxattr(mnt+"/opq/stays", LayerXattr, buf)
	if err != nil || string(buf[:n]) != low(1) {
		t.Errorf("%s: %q, %v", LayerXattr, buf[:max(n, 0)], err)
	}
	must(t, srv.Unmount())
}

// TestLayerXattr: which layer a file of a packed lower came from.
func TestLayerXattr(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	write(t, dir+"/a/one", "1")
	write(t, dir+"/b/two", "2")
	mkdirs(t, dir+"/u", dir+"/w", dir+"/pk")
	chain := packChain(t, dir+"/pk", dir+"/a", dir+"/b")
	o, err := openBase(chain)
	must(t, err)
	o.Upper, o.Work = dir+"/u", dir+"/w"
	mnt, _ := mount(t, o, MountOptions{AllowOther: true})
	write(t, mnt+"/three", "3")
	for name, want := range map[string]string{
		"one": chain.Layers[0].DiffID.String(), "two": chain.Layers[1].DiffID.String(), "three": "upper",
	} {
		buf := make([]byte, 200)
		n, err := unix.Getxattr(mnt+"/"+name, LayerXattr, buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("%s: %q, %v; want %q", name, buf[:max(n, 0)], err, want)
		}
		if x := xattrs(t, mnt+"/"+name); len(x) != 0 {
			t.Errorf("%s lists %v", name, x)
		}
	}
	if err := unix.Setxattr(mnt+"/three", LayerXattr, []byte("y"), 0); err != unix.EOPNOTSUPP {
		t.Errorf("setting the layer: %v", err)
	}
}

// TestNamesAndSizes: what is long, strange, large or full of holes.
func TestNamesAndSizes(t *testing.T) {
	long, strange := strings.Repeat("n", 255), "a\xff\xfe\nb"
	const big = 5 << 30
	fill := func(low string) {
		write(t, low+"/"+long, "long")
		write(t, low+"/"+strange, "strange")
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		mnt, _ := mount(t, open(), MountOptions{AllowOther: true})
		for _, n := range []string{long, strange} {
			must(t, os.Rename(mnt+"/"+n, mnt+"/x"))
			must(t, os.Rename(mnt+"/x", mnt+"/"+n))
			_ = read(t, mnt+"/"+n)
		}
		if err := unix.Mkdir(mnt+"/"+long+"n", 0o755); err != unix.ENAMETOOLONG {
			t.Errorf("256 bytes: %v", err)
		}
		fd := openFile(t, mnt+"/big", unix.O_CREAT|unix.O_RDWR)
		_, err := unix.Pwrite(fd, []byte("end"), big)
		must(t, err)
		if got := pread(t, fd, 10, big); got != "end" {
			t.Errorf("beyond 4 GiB: %q", got)
		}
		if off, err := unix.Seek(fd, 0, unix.SEEK_DATA); err != nil || off == 0 || off > big {
			t.Errorf("SEEK_DATA: %d, %v", off, err)
		}
		if off, err := unix.Seek(fd, 0, unix.SEEK_HOLE); err != nil || off != 0 {
			t.Errorf("SEEK_HOLE: %d, %v", off, err)
		}
		if st := stat(t, mnt+"/big"); st.Blocks > 1000 {
			t.Errorf("the hole takes %d blocks", st.Blocks)
		}
	})
}

// TestData does what fsx does, to a file that begins below: writes, mappings,
// holes and truncations, against a copy in memory.
func TestData(t *testing.T) {
	const size = 200_000
	bothSpecs(t, func(low string) { write(t, low+"/f", strings.Repeat("0123456789", size/10)) }, func(t *testing.T, c childSpec, dir string) {
		srv := startChild(t, c)
		mnt := srv.mnt
		model := []byte(strings.Repeat("0123456789", size/10))
		r := rand.New(rand.NewPCG(7, 7))
		fd, err := unix.Open(mnt+"/f", unix.O_RDWR, 0)
		must(t, err)
		grow := func(n int) {
			if n > len(model) {
				model = append(model, make([]byte, n-len(model))...)
			}
		}
		for i := range 1500 {
			off, n := r.IntN(size), 1+r.IntN(9000)
			switch r.IntN(6) {
			case 0, 1:
				b := bytes.Repeat([]byte{byte(i)}, n)
				_, err := unix.Pwrite(fd, b, int64(off))
				must(t, err)
				grow(off + n)
				copy(model[off:], b)
			case 2:
				must(t, unix.Ftruncate(fd, int64(off)))
				grow(off)
				model = model[:off:off]
			case 3:
				if len(model) == 0 {
					continue
				}
				m, err := unix.Mmap(fd, 0, len(model), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
				must(t, err)
				if !bytes.Equal(m, model) {
					t.Fatalf("step %d: mapping differs", i)
				}
				at := r.IntN(len(model))
				for j := at; j < min(len(model), at+n); j++ {
					m[j], model[j] = byte(j), byte(j)
				}
				must(t, unix.Munmap(m))
			case 4:
				must(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)))
				if off < len(model) {
					clear(model[off:min(len(model), off+n)])
				}
			case 5:
				to := r.IntN(size)
				if off+n > len(model) || off < to+n && to < off+n {
					continue
				}
				so, do := int64(off), int64(to)
				k, err := unix.CopyFileRange(fd, &so, fd, &do, n, 0)
				must(t, err)
				grow(to + k)
				copy(model[to:to+k], bytes.Clone(model[off:off+k]))
			}
			if i%20 == 0 {
				if got := pread(t, fd, len(model)+1, 0); got != string(model) {
					t.Fatalf("step %d: content differs (%d bytes, want %d)", i, len(got), len(model))
				}
			}
		}
		must(t, unix.Fsync(fd))
		unix.Close(fd)
		srv.unmount()
		if read(t, dir+"/upper/f") != string(model) {
			t.Error("the upper file differs")
		}
	})
}

// TestRenameDirectory: a directory from below moves with all it holds, and
// nothing of it is copied.
func TestRenameDirectory(t *testing.T) {
	fill := func(low string) {
		write(t, low+"/a/sub/f", "deep")
		write(t, low+"/other/g", "g")
	}
	both(t, fill, func(t *testing.T, open func() Options, dir string) {
		mnt, srv := mount(t, open(), MountOptions{AllowOther: true})
		must(t, os.Rename(mnt+"/a", mnt+"/other/b"))
		must(t, os.Rename(mnt+"/other/b/sub", mnt+"/c"))
		must(t, os.Mkdir(mnt+"/a", 0o755))
		write(t, mnt+"/c/new", "n")
		if _, err := os.Lstat(dir + "/upper/c/f"); err == nil {
			t.Error("the file was copied")
		}
		must(t, srv.Unmount())
		mnt, srv = mount(t, open(), MountOptions{AllowOther: true})
		if got := read(t, mnt+"/c/f") + read(t, mnt+"/c/new"); got != "deepn" {
			t.Errorf("after a remount: %q", got)
		}
		for _, p := range []string{"/a/sub", "/other/b/sub"} {
			if _, err := os.Lstat(mnt + p); !os.IsNotExist(err) {
				t.Errorf("%s: %v", p, err)
			}
		}
		must(t, srv.Unmount())
		o := open()
		o.NoRedirect = true
		mnt, _ = mount(t, o, MountOptions{AllowOther: true})
		if err := unix.Rename(mnt+"/other", mnt+"/elsewhere"); err != unix.EXDEV {
			t.Errorf("without redirects: %v", err)
		}
	})
}
