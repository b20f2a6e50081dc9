package unionfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// waysToList are the calls that find the attributes of a name in a directory.
var waysToList = map[string]func(dirfd int, name string, buf []byte) (int, error){
	"listxattrat": listxattrat,
	"proc": func(dirfd int, name string, buf []byte) (int, error) {
		return unix.Llistxattr(at{dirfd, name}.path(), buf)
	},
}

// TestListxattrat: both ways find the same, and neither follows a symlink.
func TestListxattrat(t *testing.T) {
	if !hasListxattrat() {
		t.Skip("no listxattrat(2): it needs Linux 6.13")
	}
	dir := scratch(t)
	must(t, os.WriteFile(filepath.Join(dir, "marked"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "plain"), nil, 0o644))
	must(t, unix.Setxattr(filepath.Join(dir, "marked"), "user.a", []byte("1"), 0))
	must(t, unix.Setxattr(filepath.Join(dir, "marked"), "user.b", []byte("2"), 0))
	must(t, os.Symlink("marked", filepath.Join(dir, "link")))
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)

	type found struct {
		Names string
		Err   error
	}
	for _, name := range []string{"marked", "plain", "link", "missing"} {
		for _, size := range []int{0, 5, 512} {
			got := make(map[string]found)
			for way, list := range waysToList {
				buf := make([]byte, size)
				n, err := list(fd, name, buf)
				got[way] = found{string(buf[:max(0, min(n, size))]), err}
			}
			if d := cmp.Diff(got["proc"].Names, got["listxattrat"].Names); d != "" || got["proc"].Err != got["listxattrat"].Err {
				t.Errorf("%s, %d bytes: %v", name, size, got)
			}
		}
	}
	names, err := at{fd, "marked"}.listxattr()
	must(t, err)
	slices.Sort(names)
	if d := cmp.Diff([]string{"user.a", "user.b"}, names); d != "" {
		t.Error(d)
	}
}

// BenchmarkListxattr is what the marks of a lower object without any cost.
func BenchmarkListxattr(b *testing.B) {
	dir := scratch(b)
	must(b, os.WriteFile(filepath.Join(dir, "plain"), nil, 0o644))
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(b, err)
	defer unix.Close(fd)
	for way, list := range waysToList {
		b.Run(way, func(b *testing.B) {
			var buf [512]byte
			before := cpuTime()
			for b.Loop() {
				if _, err := list(fd, "plain", buf[:]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
