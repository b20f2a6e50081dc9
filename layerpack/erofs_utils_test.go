package layerpack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

// imageOf is the image of a chain with blocks of some size, by the writer of
// indexes.
func imageOf(t testing.TB, layers []cow.Layer, bits int) string {
	t.Helper()
	m, refs, err := mergeChain(context.Background(), layers)
	if err != nil {
		t.Fatal(err)
	}
	im, err := layout(m.root, refs, bits)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := im.write(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.erofs")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func erofsTool(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	t.Logf("%s: %v\n%s", strings.Join(args, " "), err, out)
	return string(out), err
}

// TestErofsUtils: erofs-utils accept what the writer of indexes writes. Before
// 1.6 they know blocks of 4096 bytes only; then the same writer is asked for
// these. Data that lies on no such block of its tar is then in the image.
func TestErofsUtils(t *testing.T) {
	for _, tool := range []string{"fsck.erofs", "dump.erofs"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT RUN: needs %s", tool)
		}
	}
	layers := append(everything(t), packChain(t, sparseTar(t, "1.0", "sparse", 100_000, []int64{100, 50_000}, []string{"x", strings.Repeat("y", 10_000)}))...)
	path := imageOf(t, layers, blockBits)
	if said, err := erofsTool(t, "fsck.erofs", path); err != nil {
		if !strings.Contains(said, "blksize 512 isn't supported") {
			t.Fatalf("fsck.erofs: %v: %s", err, said)
		}
		path = imageOf(t, layers, 12)
	}
	var devices []string
	for _, l := range layers {
		devices = append(devices, "--device="+l.Tar())
	}
	with := func(args ...string) []string { return append(append(args, devices...), path) }
	if _, err := erofsTool(t, with("fsck.erofs")...); err != nil {
		t.Errorf("fsck.erofs: %v", err)
	}
	said, err := erofsTool(t, with("dump.erofs", "-s")...)
	if err != nil {
		t.Errorf("dump.erofs: %v", err)
	}
	x, _ := buildOpen(t, layers)
	for _, want := range []string{`features:.* sb_csum.* chunked_file device_table`, fmt.Sprintf(`inode count:\s+%d\n`, x.Inodes())} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("dump.erofs says nothing of %q", want)
		}
	}
	said, err = erofsTool(t, with("dump.erofs", "--path=/bin/ping")...)
	if err != nil || !strings.Contains(said, "Access: 0755/rwxr-xr-x") || !strings.Contains(said, "Uid: 70000") || !strings.Contains(said, "Links: 3") {
		t.Errorf("dump.erofs: %v", err)
	}
	// What it extracts has every byte, but 1.5 leaves out holes, and bits of
	// modes beyond the permissions.
	out := filepath.Join(t.TempDir(), "out")
	if _, err := erofsTool(t, with("fsck.erofs", "--extract="+out)...); err != nil {
		t.Errorf("fsck.erofs --extract: %v", err)
	}
	data := func(path string, v *view) {
		*v = view{Mode: v.Mode &^ 0o7000, Size: v.Size, Data: v.Data, Target: v.Target}
		if path == "sparse" {
			v.Size, v.Data = 0, ""
		}
	}
	diff(t, "what it extracts", without(indexView(t, x, layers), data), without(hostView(t, out), data))
}
