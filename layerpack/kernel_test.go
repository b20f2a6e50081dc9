package layerpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// mountEROFS attaches the index at path with the kernel's own erofs, one file
// a device, and gives the directory it is at.
func mountEROFS(t testing.TB, path string, layers []cow.Layer) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: mounting erofs needs root")
	}
	fd, err := unix.Fsopen("erofs", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("NOT RUN: this kernel mounts no erofs: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	said := func() string {
		var lines []string
		b := make([]byte, 4096)
		for {
			n, err := unix.Read(fd, b)
			if err != nil {
				return strings.Join(lines, "; ")
			}
			lines = append(lines, string(b[:n]))
		}
	}
	set := func(key, value string) {
		if err := unix.FsconfigSetString(fd, key, value); err != nil {
			t.Fatalf("fsconfig %s=%s: %v: %s", key, value, err, said())
		}
	}
	set("source", path)
	for _, l := range layers {
		set("device", l.Tar())
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		if errors.Is(err, unix.ENOTBLK) {
			t.Skip("NOT RUN: this kernel mounts erofs from block devices only (needs 6.12)")
		}
		t.Fatalf("mount: %v: %s", err, said())
	}
	m, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		t.Fatalf("fsmount: %v: %s", err, said())
	}
	defer unix.Close(m)
	at := t.TempDir()
	if err := unix.MoveMount(m, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return at
}

// everything is a chain with all kinds of files and all layouts.
func everything(t testing.TB) []cow.Layer {
	big := strings.Repeat("0123456789abcdef", 5000)
	caps := file("bin/ping", "ELF")
	caps.Mode, caps.Uid = 0o4755, 70000
	caps.PAXRecords = map[string]string{
		"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"SCHILY.xattr.user.long":           strings.Repeat("v", 1500),
		"SCHILY.xattr.trusted.x":           "y",
	}
	old := file("old", "x")
	old.ModTime = when.AddDate(-100, 0, 0)
	nsec := dir("nsec/")
	nsec.Format, nsec.ModTime, nsec.Mode = tar.FormatPAX, when.Add(123456789), 0o1777
	lower := []tar.Header{
		dir("./"), dir("bin/"), caps, file("bin/big", big), file("bin/empty", ""), old, nsec,
		link("short", "bin"), link("long", strings.Repeat("x/", 400)+"y"),
		node0("null", tar.TypeChar, 1, 3), node0("disk", tar.TypeBlock, 259, 1<<20-1), node0("pipe", tar.TypeFifo, 0, 0),
		hard("bin/ping2", "bin/ping"), file("!before-dot", "a"), file("...", "b"), file("\xff\xfe", "not utf-8"),
		dir("many/"), file("gone", "x"),
	}
	for i := range 500 {
		lower = append(lower, file(fmt.Sprintf("many/%s-%d", strings.Repeat("n", i%200+1), i), fmt.Sprint(i)))
	}
	upper := []tar.Header{
		hard("bin/ping3", "bin/ping"), file("short/through-link", "c"), file(".wh.gone", ""),
		file("implied/a/b", "d"), file("bin/big", big[:70000]),
	}
	return packChain(t, tarOf(t, lower...), tarOf(t, upper...))
}

func TestKernelSeesTheSameTree(t *testing.T) {
	layers := everything(t)
	x, path := buildOpen(t, layers)
	at := mountEROFS(t, path, layers)
	want := hostView(t, at)
	got := without(indexView(t, x, layers), dropLayer)
	diff(t, "the reader's tree against the kernel's", want, got)
	if len(got) < 520 {
		t.Errorf("only %d paths", len(got))
	}
}

// TestTimesAreKept: whatever a tar can say, to the nanosecond.
func TestTimesAreKept(t *testing.T) {
	want := make(map[string]time.Time)
	var entries []tar.Header
	for _, s := range []int64{-1 << 33, -1 << 31, -86400, -1, 0, 1<<31 - 1, 1 << 31, 1 << 32, 15032385535, 253402300800} {
		for _, ns := range []int64{0, 1, 999999999} {
			name := fmt.Sprintf("%d.%d", s, ns)
			want[name] = time.Unix(s, ns)
			h := file(name, "")
			h.Format, h.ModTime = tar.FormatPAX, want[name]
			entries = append(entries, h)
		}
	}
	layers := packChain(t, tarOf(t, entries...))
	x, path := buildOpen(t, layers)
	got := indexView(t, x, layers)
	for name, at := range want {
		if v := got[name]; v.Mtime != at.Unix() || int(v.MtimeNsec) != at.Nanosecond() {
			t.Errorf("%s has the time %d.%d", name, v.Mtime, v.MtimeNsec)
		}
	}
	diff(t, "the kernel's erofs against the index", without(got, dropLayer), hostView(t, mountEROFS(t, path, layers)))
}

// TestKernelReadsUnpaddedTars: a tar that ends with its last byte of data is
// shorter than its last block.
func TestKernelReadsUnpaddedTars(t *testing.T) {
	for _, n := range []int{1, 511, 513, 5000, 100_000} {
		layers := packChain(t, tarOf(t, file("f", strings.Repeat("x", n)))[:512+n])
		x, path := buildOpen(t, layers)
		diff(t, "the kernel's erofs against the index", without(indexView(t, x, layers), dropLayer), hostView(t, mountEROFS(t, path, layers)))
	}
}
