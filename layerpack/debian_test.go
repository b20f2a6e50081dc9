package layerpack

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/whiteout"
)

// TestRealRoot compares a real root with what tar makes of it: the reader, the
// kernel's erofs and the overlay of extracted trees.
func TestRealRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	path, err := debianroot.Tar(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("", "root")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	layers := []cow.Layer{packLayer(t, base, b)}
	plain := filepath.Join(base, "tar")
	os.Mkdir(plain, 0o755)
	cmd := exec.Command("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", path, "-C", plain)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	x, index := buildOpen(t, layers)
	want := hostView(t, plain)
	got := indexView(t, x, layers)
	diff(t, "the index against tar's tree", without(want, impliedRoot), without(without(got, dropLayer), impliedRoot))
	diff(t, "the kernel's erofs against the index", without(got, dropLayer), hostView(t, mountEROFS(t, index, layers)))
	diff(t, "the extracted tree against the index", without(got, dropDirLinks), without(hostView(t, mountOverlay(t, layers, whiteout.Trusted)), dropDirLinks))
	t.Logf("%d paths", len(got))
}

// impliedRoot leaves out the attributes of a root that the tar may not name.
func impliedRoot(path string, v *view) {
	dropDirLinks(path, v)
	if path == "" {
		*v = view{}
	}
}

// dropDirLinks leaves out the link counts of directories, which filesystems
// count differently.
func dropDirLinks(_ string, v *view) {
	v.LayerKnown = 0
	if v.Mode&unix.S_IFMT == unix.S_IFDIR {
		v.Nlink = 0
	}
}
