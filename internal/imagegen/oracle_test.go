package imagegen

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// The model is checked against a program that has nothing in common with it.
func TestModelAgreesWithUmoci(t *testing.T) {
	umoci, err := exec.LookPath("umoci")
	if err != nil {
		t.Skip("no umoci to compare the model with")
	}
	if os.Getuid() != 0 {
		t.Skip("umoci needs root to give files their owners and devices")
	}
	for _, seed := range []uint64{1, 2, 3} {
		layers := Chain(seed, 60)
		want, implied, err := Expect(layers)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		layout, root := filepath.Join(dir, "layout"), filepath.Join(dir, "root")
		if err := WriteOCILayout(layout, NewImage("t", Gzip, layers)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(umoci, "raw", "unpack", "--image", layout+":t", root).CombinedOutput(); err != nil {
			t.Fatalf("umoci: %v\n%s", err, out)
		}
		got, err := treediff.Walk(root, treediff.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ds := treediff.Compare(want, got, treediff.Ignore{DirSize: true, MtimeOf: implied})
		ds = slices.DeleteFunc(ds, func(d treediff.Difference) bool { return artefact(d, want, implied) })
		if len(ds) > 0 {
			t.Errorf("seed %d: %d differences in %d paths:\n%s", seed, len(ds), len(want.Entries), treediff.Format(ds, 40))
		}
	}
}

// artefact tells what umoci's way of extracting, layer upon layer into one
// directory, makes of a tree, and no layer says.
func artefact(d treediff.Difference, want *treediff.Record, implied []string) bool {
	e, _ := want.Lookup(d.Path)
	switch d.Field {
	case "mtime": // removing a name changes its directory's
		return e.Mode&unix.S_IFMT == unix.S_IFDIR
	case "mode", "owner": // mkdir in a setgid directory
		return slices.Contains(implied, d.Path)
	}
	return strings.HasPrefix(d.Field, "xattr") && d.Want == `""` // empty values are dropped
}
