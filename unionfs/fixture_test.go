package unionfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// needMount skips a test where nothing can be mounted.
func needMount(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount and to make device nodes")
	}
	if err := NewDriver(nil).Probe(context.Background()); err != nil {
		t.Skipf("needs FUSE: %v", err)
	}
}

// scratch is a directory on a filesystem with extended attributes, in memory
// where there is one.
func scratch(t testing.TB) string {
	t.Helper()
	base := ""
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "unionfs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func mkdirs(t testing.TB, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t testing.TB, path, data string) {
	t.Helper()
	mkdirs(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run executes a program and fails the test if that fails.
func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// pack makes packed layers of directories, bottom first, and returns how a
// union is made of them.
func pack(t testing.TB, work string, dirs ...string) func() Options {
	t.Helper()
	chain := packChain(t, work, dirs...)
	return func() Options {
		o, err := openBase(chain)
		must(t, err)
		return o
	}
}

func packChain(t testing.TB, work string, dirs ...string) cow.Chain {
	t.Helper()
	chain := cow.Chain{Index: filepath.Join(work, "index")}
	for i, dir := range dirs {
		cmd := exec.Command("tar", "--xattrs", "--xattrs-include=*", "--format=pax", "-cf", "-", "-C", dir, ".")
		tar, err := cmd.Output()
		must(t, err)
		dst := filepath.Join(work, fmt.Sprint("layer", i))
		mkdirs(t, dst)
		p, err := layerpack.Pack(context.Background(), bytes.NewReader(tar), dst, layerpack.PackOptions{})
		must(t, err)
		chain.Layers = append(chain.Layers, cow.Layer{DiffID: p.DiffID, Dir: dst})
	}
	must(t, layerpack.BuildIndex(context.Background(), chain.Index, chain.Layers))
	return chain
}

// passthroughVar has every mount of the tests pass files through.
const passthroughVar = "CFS_TEST_PASSTHROUGH"

// mount mounts a union at a fresh directory and unmounts it when the test ends.
func mount(t testing.TB, o Options, mo MountOptions) (string, *Server) {
	t.Helper()
	needMount(t)
	fs, err := New(o)
	must(t, err)
	dir, err := os.MkdirTemp("", "unionfs-mnt")
	must(t, err)
	mo.Suid, mo.Dev = true, true
	mo.Passthrough = mo.Passthrough || os.Getenv(passthroughVar) != ""
	s, err := Mount(fs, dir, mo)
	if err != nil {
		fs.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
		os.Remove(dir)
	})
	return dir, s
}

// undisturbed wants look to find nothing, and lets it look a few times: somebody
// else on the machine may have the kernel drop its caches in between.
func undisturbed(t testing.TB, look func() string) {
	t.Helper()
	var found string
	for range 5 {
		if found = look(); found == "" {
			return
		}
	}
	t.Error(found)
}

// snapshotOptions say what a tree's description holds.
type snapshotOptions struct {
	ino, mtime bool
	noLinks    bool // the kernel's overlayfs counts names that were removed above
}

// snapshot describes every object of a tree in one line each.
func snapshot(t testing.TB, root string, o snapshotOptions) []string {
	t.Helper()
	var lines []string
	var walk func(rel string)
	walk = func(rel string) {
		p := filepath.Join(root, rel)
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			t.Errorf("lstat %s: %v", rel, err)
			return
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%q %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
		if o.ino {
			fmt.Fprintf(&b, " ino=%d", st.Ino)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if !o.noLinks {
				fmt.Fprintf(&b, " links=%d", st.Nlink)
			}
			if o.mtime {
				fmt.Fprintf(&b, " mtime=%d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
			}
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(p)
			if err != nil {
				t.Errorf("read %s: %v", rel, err)
			}
			fmt.Fprintf(&b, " size=%d sha=%x", st.Size, sha256.Sum256(data))
		case unix.S_IFLNK:
			l, _ := os.Readlink(p)
			fmt.Fprintf(&b, " -> %q", l)
		case unix.S_IFCHR, unix.S_IFBLK:
			fmt.Fprintf(&b, " dev=%d", st.Rdev)
		}
		for _, x := range xattrs(t, p) {
			b.WriteString(" " + x)
		}
		lines = append(lines, b.String())
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return
		}
		ents, err := os.ReadDir(p)
		if err != nil {
			t.Errorf("readdir %s: %v", rel, err)
		}
		for _, e := range ents {
			walk(filepath.Join(rel, e.Name()))
		}
	}
	walk(".")
	sort.Strings(lines)
	return lines
}

func xattrs(t testing.TB, p string) []string {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(p, buf)
	if err != nil {
		t.Errorf("listxattr %s: %v", p, err)
		return nil
	}
	var out []string
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if name == "" || strings.HasPrefix(name, trustedMarks) {
			continue
		}
		v := make([]byte, 4096)
		n, err := unix.Lgetxattr(p, name, v)
		if err != nil {
			t.Errorf("getxattr %s %s: %v", p, name, err)
		}
		out = append(out, fmt.Sprintf("%s=%x", name, v[:max(n, 0)]))
	}
	sort.Strings(out)
	return out
}

func sameTree(t testing.TB, what string, want, got []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
