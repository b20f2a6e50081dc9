package unionfs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/lostthread"
)

// indexed is a lower with hard-link groups, and an upper and a work directory for
// the kernel's overlayfs with an index and for cfs, in turns.
type indexed struct {
	t                       *testing.T
	dir, low, up, work, mnt string
}

func newIndexed(t *testing.T) *indexed {
	needMount(t)
	dir := scratch(t)
	x := &indexed{t: t, dir: dir, low: dir + "/low", up: dir + "/up", work: dir + "/work", mnt: dir + "/mnt"}
	mkdirs(t, x.low, x.up, x.work, x.mnt)
	return x
}

// kernel mounts the kernel's overlay with an index, runs fn in it, and returns the
// tree it shows in the end. That is done in a mount namespace of its own: as long
// as another one has a copy of the mount, the directories are in use (EBUSY).
func (x *indexed) kernel(fn func(root string)) (tree []string) {
	x.t.Helper()
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,index=on,redirect_dir=on,metacopy=on", x.low, x.up, x.work)
	done := make(chan struct{})
	lostthread.Go(func() {
		defer close(done)
		must(x.t, unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS))
		must(x.t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		if err := unix.Mount("overlay", x.mnt, "overlay", 0, data); err != nil {
			x.t.Errorf("the kernel's overlay with index=on: %v", err)
			return
		}
		defer func() { must(x.t, unix.Unmount(x.mnt, 0)) }()
		if fn != nil {
			fn(x.mnt)
		}
		tree = snapshot(x.t, x.mnt, snapshotOptions{mtime: true})
	})
	<-done
	if x.t.Failed() {
		x.t.FailNow()
	}
	return tree
}

// cfs is kernel for a union, which is completed for the kernel in the end.
func (x *indexed) cfs(on bool, fn func(root string)) []string {
	x.t.Helper()
	o := Options{LowerDirs: []string{x.low}, Upper: x.up, Work: x.work, LinkIndex: on}
	mnt, srv := mount(x.t, o, MountOptions{AllowOther: true})
	if fn != nil {
		fn(mnt)
	}
	tree := snapshot(x.t, mnt, snapshotOptions{mtime: true})
	must(x.t, srv.Unmount())
	fs, err := New(o)
	must(x.t, err)
	must(x.t, fs.Complete(context.Background(), false))
	must(x.t, fs.Close())
	return tree
}

// entries counts the inodes in the index; the kernel has its whiteout there, too.
func (x *indexed) entries() (n int) {
	all, err := os.ReadDir(x.work + "/" + indexDir)
	must(x.t, err)
	for _, e := range all {
		if _, ok := parseHandle(e.Name()); ok {
			n++
		}
	}
	return n
}

// group makes a lower file with several names.
func (x *indexed) group(data string, names ...string) {
	write(x.t, x.low+"/"+names[0], data)
	for _, n := range names[1:] {
		mkdirs(x.t, filepath.Dir(x.low+"/"+n))
		must(x.t, os.Link(x.low+"/"+names[0], x.low+"/"+n))
	}
}

// TestIndexOfKernel: of a group that the kernel keeps together by its index all
// names show one file, without the option index=on as with it, and to the kernel's
// overlay and in the upper directory alone after.
func TestIndexOfKernel(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprintf("index=%v", on), func(t *testing.T) {
			x := newIndexed(t)
			x.group("old", "a", "d/b", "d/e/c")
			x.group(string(make([]byte, 200<<10)), "big", "d/big2")
			x.group("x", "gone1", "gone2")
			x.group("y", "left1", "left2", "left3")
			want := x.kernel(func(root string) {
				must(t, os.WriteFile(root+"/d/b", []byte("new content"), 0o644))
				must(t, os.Chmod(root+"/d/big2", 0o600)) // metacopy
				must(t, os.Remove(root+"/gone1"))
				must(t, os.Remove(root+"/gone2"))
				must(t, os.Remove(root+"/left2"))
				must(t, os.Link(root+"/left1", root+"/d/left4"))
				must(t, os.Rename(root+"/d/e", root+"/e"))
			})
			if n := x.entries(); n != 3 {
				t.Fatalf("the kernel's index has %d entries, not 3", n)
			}
			got := x.cfs(on, func(root string) {
				for _, name := range []string{"a", "d/b", "e/c"} {
					if s := read(t, root+"/"+name); s != "new content" {
						t.Errorf("%s is %q", name, s)
					}
				}
			})
			sameTree(t, "the kernel's overlay before, cfs after", want, got)
			if n := x.entries(); on && n != 3 || !on && n != 0 {
				t.Errorf("the index has %d entries", n)
			}
			if !on {
				if stat(t, x.up+"/a").Ino != stat(t, x.up+"/d/b").Ino {
					t.Error("the upper directory does not stand alone")
				}
			}
			sameTree(t, "the kernel's overlay before and after", want, x.kernel(nil))
			sameTree(t, "once more", want, x.cfs(on, nil))
		})
	}
}

// TestIndexForKernel: what cfs writes with index=on the kernel's overlay mounts,
// and shows as cfs does; and cfs after the kernel has changed it.
func TestIndexForKernel(t *testing.T) {
	x := newIndexed(t)
	x.group("old", "a", "d/b", "d/e/c")
	x.group("x", "gone1", "gone2")
	x.group("y", "left1", "left2", "left3")
	x.group("z", "over1", "over2")
	write(t, x.low+"/single", "s")
	before := snapshot(t, x.low, snapshotOptions{ino: true, mtime: true})
	want := x.cfs(true, func(root string) {
		must(t, os.WriteFile(root+"/d/b", []byte("new content"), 0o644))
		for _, name := range []string{"a", "d/b", "d/e/c"} {
			if s := read(t, root+"/"+name); s != "new content" {
				t.Errorf("%s is %q", name, s)
			}
			if st := stat(t, root+"/"+name); st.Nlink != 3 {
				t.Errorf("%s has %d links", name, st.Nlink)
			}
		}
		must(t, os.Remove(root+"/gone1"))
		must(t, os.Remove(root+"/gone2"))
		must(t, os.Remove(root+"/left2"))
		must(t, os.Link(root+"/left1", root+"/d/left4"))
		must(t, os.Rename(root+"/d/e", root+"/e"))
		must(t, os.Rename(root+"/single", root+"/over2"))
		must(t, os.Rename(root+"/a", root+"/a2"))
	})
	if n := x.entries(); n != 3 {
		t.Errorf("the index has %d entries, not 3", n)
	}
	if _, err := os.Lstat(x.up + "/e/c"); err == nil {
		t.Error("a name that nobody touched was copied up")
	}
	sameTree(t, "the lower", before, snapshot(t, x.low, snapshotOptions{ino: true, mtime: true}))
	sameTree(t, "cfs before, the kernel's overlay after", want, x.kernel(func(root string) {
		for _, dir := range []string{"", "/d", "/e"} {
			fd, err := unix.Open(root+dir, unix.O_PATH|unix.O_DIRECTORY, 0)
			must(t, err)
			list, err := readNames(fd)
			must(t, err)
			must(t, unix.Close(fd))
			for _, e := range list {
				if ino := stat(t, root+dir+"/"+e.name).Ino; e.ino != ino {
					t.Errorf("%s/%s: d_ino is %d, st_ino %d", dir, e.name, e.ino, ino)
				}
			}
		}
	}))
	want = x.kernel(func(root string) {
		must(t, os.WriteFile(root+"/e/c", []byte("of the kernel"), 0o644))
		must(t, os.Remove(root+"/left1"))
		must(t, os.Remove(root+"/over1"))
	})
	if n := x.entries(); n != 2 {
		t.Errorf("the index has %d entries, not 2", n)
	}
	sameTree(t, "the kernel's overlay before, cfs after", want, x.cfs(true, nil))
	sameTree(t, "the kernel's overlay before, cfs without an index after", want, x.cfs(false, nil))
	sameTree(t, "the kernel's overlay in the end", want, x.kernel(nil))
}

// TestIndexModel does random operations on a union with an index, on the kernel's
// overlay with one, and on a plain directory, in turns, and compares.
func TestIndexModel(t *testing.T) {
	for _, seed := range modelSeeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			x := newIndexed(t)
			r := rand.New(rand.NewPCG(seed, 3))
			seedTree(t, x.low, r, 60)
			for i := range 6 {
				x.group(string(pattern(r)), fmt.Sprint("g", i), fmt.Sprintf("h%d/g", i), fmt.Sprintf("h%d/i/g", i))
			}
			plain := x.dir + "/plain"
			mkdirs(t, plain)
			run(t, "cp", "-a", x.low+"/.", plain)
			before := snapshot(t, x.low, snapshotOptions{ino: true, mtime: true})
			for round := range 6 {
				by := x.kernel
				if round%2 == 0 {
					by = func(fn func(string)) []string { return x.cfs(true, fn) }
				}
				by(func(mnt string) {
					if round%2 == 0 {
						model(t, mnt, plain, r, *modelOps/2)
						sameTree(t, fmt.Sprintf("round %d", round), snapshot(t, plain, snapshotOptions{}), snapshot(t, mnt, snapshotOptions{}))
						return
					}
					// The kernel's is not a plain directory in all; what it has made counts.
					for range *modelOps / 10 {
						_ = randomOp(mnt, r).do(mnt)
					}
					must(t, os.RemoveAll(plain))
					mkdirs(t, plain)
					run(t, "cp", "-a", mnt+"/.", plain)
				})
				if t.Failed() {
					return
				}
				want := x.cfs(true, nil)
				sameTree(t, "as the kernel's overlay sees it", want, x.kernel(nil))
			}
			want := x.kernel(nil)
			sameTree(t, "the upper alone", want, x.cfs(false, nil))
			sameTree(t, "the lower", before, snapshot(t, x.low, snapshotOptions{ino: true, mtime: true}))
		})
	}
}

// TestIndexRefused: what an index can't be written for is said.
func TestIndexRefused(t *testing.T) {
	x := newIndexed(t)
	x.group("x", "a", "b")
	mkdirs(t, x.dir+"/pk", x.dir+"/other")
	upper := Options{LowerDirs: []string{x.low}, Upper: x.up, Work: x.work, LinkIndex: true}
	x.cfs(true, func(root string) { must(t, os.Chmod(root+"/a", 0o600)) })
	for name, c := range map[string]struct {
		o    Options
		want error
	}{
		"packed layers":   {func() Options { o := pack(t, x.dir+"/pk", x.low)(); o.Upper, o.Work = x.up, x.work; return o }(), unix.EOPNOTSUPP},
		"marks of a user": {func() Options { o := upper; o.Xattr = XattrUser; return o }(), unix.EPERM},
		"another lower":   {func() Options { o := upper; o.LowerDirs = []string{x.dir + "/other"}; return o }(), unix.ESTALE},
		"another upper":   {func() Options { o := upper; o.Upper = x.dir + "/other"; return o }(), unix.ESTALE},
	} {
		c.o.LinkIndex = true
		fs, err := New(c.o)
		if err == nil {
			fs.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// Without the option another lower is no error, and the index stays what it is.
	o := upper
	o.LowerDirs, o.LinkIndex = []string{x.dir + "/other"}, false
	fs, err := New(o)
	must(t, err)
	must(t, fs.Close())
	if n := x.entries(); n != 1 {
		t.Errorf("the index has %d entries, not 1", n)
	}
}

// TestIndexSteps: the states that a server killed between two steps leaves.
func TestIndexSteps(t *testing.T) {
	x := newIndexed(t)
	x.group("old", "a", "d/b", "d/c")
	x.cfs(true, func(root string) {
		must(t, os.WriteFile(root+"/a", []byte("new"), 0o644))
		must(t, os.Chmod(root+"/d", 0o711)) // is in the upper directory
	})
	var entry string
	all, err := os.ReadDir(x.work + "/" + indexDir)
	must(t, err)
	for _, e := range all {
		entry = x.work + "/" + indexDir + "/" + e.Name()
	}
	mark := func(v string) { must(t, unix.Setxattr(entry, trustedMarks+markNlink, []byte(v), 0)) }
	check := func(what string) {
		t.Helper()
		x.cfs(true, func(root string) {
			for _, name := range []string{"a", "d/b", "d/c"} {
				if st := stat(t, root+"/"+name); st.Nlink != 3 || read(t, root+"/"+name) != "new" {
					t.Errorf("%s: %s has %d links and %q", what, name, st.Nlink, read(t, root+"/"+name))
				}
			}
		})
		if v := getMark(t, entry, markNlink); v[0] != 'U' {
			t.Errorf("%s: the mark is %s", what, v)
		}
	}
	mark("L+0")
	check("before a link")
	mark("L+0")
	must(t, os.Link(entry, x.up+"/d/b"))
	check("after a link")
	must(t, os.Remove(x.up+"/a"))
	must(t, os.Remove(x.up+"/d/b"))
	for _, name := range []string{"a", "d/b", "d/c"} {
		must(t, unix.Mknod(x.up+"/"+name, unix.S_IFCHR, 0))
	}
	mark("U-1")
	x.cfs(true, nil)
	if n := x.entries(); n != 0 {
		t.Errorf("an entry without a name is kept: %d", n)
	}
}

// getMark is the value of a mark.
func getMark(t *testing.T, path, mark string) string {
	t.Helper()
	b := make([]byte, 256)
	n, err := unix.Lgetxattr(path, trustedMarks+mark, b)
	must(t, err)
	return string(b[:n])
}

// TestIndexKilled kills the server with SIGKILL while it works on groups in the
// index: after a remount every file has the names that its count says, the
// kernel's overlay agrees, and nothing below has changed.
func TestIndexKilled(t *testing.T) {
	x := newIndexed(t)
	const groups = 30
	for i := range groups {
		x.group(fmt.Sprint("group ", i), fmt.Sprint("g/a", i), fmt.Sprint("h/b", i), fmt.Sprint("h/j/c", i))
	}
	before := snapshot(t, x.low, snapshotOptions{ino: true, mtime: true})
	c := childSpec{LowerDirs: []string{x.low}, Upper: x.up, Work: x.work, AllowOther: true, LinkIndex: true}
	r := rand.New(rand.NewPCG(7, 7))
	for round := range 8 {
		os.RemoveAll(x.up)
		os.RemoveAll(x.work)
		mkdirs(t, x.up, x.work)
		srv := startChild(t, c)
		w := exec.Command("sh", "-c", fmt.Sprintf(`cd %s && for i in $(seq 0 %d); do
printf X >> g/a$i && rm h/b$i && mv h/j/c$i h/j/m$i && ln h/j/m$i h/n$i && mv h/n$i g/a$(((i+1)%%%d)) || exit; done; rm -r h g`, srv.mnt, groups-1, groups))
		must(t, w.Start())
		time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
		srv.kill()
		_ = w.Wait()
		_ = unix.Unmount(srv.mnt, 0)
		tree := x.cfs(true, func(root string) {
			names := make(map[uint64]uint64)
			links := make(map[uint64]uint64)
			must(t, filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					st := stat(t, p)
					names[st.Ino]++
					links[st.Ino] = uint64(st.Nlink)
				}
				return err
			}))
			for ino, n := range names {
				if links[ino] != n {
					t.Errorf("round %d: inode %d has %d names and counts %d", round, ino, n, links[ino])
				}
			}
		})
		sameTree(t, fmt.Sprintf("round %d: as the kernel's overlay sees it", round), tree, x.kernel(nil))
	}
	sameTree(t, "the lower", before, snapshot(t, x.low, snapshotOptions{ino: true, mtime: true}))
}
