package overlay2

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
)

// What a commit makes of a file whose names the kernel keeps together by its index
// has all of them, linked, on trees as on a packed image, mounted or not.
func TestIndexDiff(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed=%v", packed), func(t *testing.T) {
			d, _, _ := set(t, map[string]string{optIndex: "on"})
			d.noPacked = !packed
			s := cow.Snapshot{Dir: t.TempDir(), Base: packChain(t, cowtest.Layer{
				cowtest.Dir("d"), cowtest.File("d/a", "a"), cowtest.Hardlink("d/b", "d/a"), cowtest.Dir("x"), cowtest.Dir("x/y"), cowtest.Hardlink("x/y/c", "d/a"),
				cowtest.File("x/y/n", "n"), cowtest.Hardlink("x/y/m", "x/y/n"), cowtest.File("x/z", "z")})}
			if err := d.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			target := t.TempDir()
			m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(target+"/d/a", []byte("new"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(target+"/d", target+"/e"); err != nil {
				t.Fatal(err)
			}
			check := func(when string) {
				t.Helper()
				inodes := map[string]uint64{}
				var listed []string
				for e, err := range d.Diff(t.Context(), s) {
					if err != nil {
						t.Fatal(err)
					}
					listed = append(listed, fmt.Sprint(e.Kind, " ", e.Path))
					inodes[e.Path] = e.Inode
					if e.Open != nil && e.Attr.Size != 3 {
						t.Errorf("%s: %s has %d bytes", when, e.Path, e.Attr.Size)
					}
				}
				if want := []string{"D /d", "A /e", "A /e/a", "A /e/b", "C /x", "C /x/y", "C /x/y/c"}; !slices.Equal(listed, want) {
					t.Errorf("%s: %q, want %q", when, listed, want)
				}
				if i := inodes["/e/a"]; i == 0 || i != inodes["/e/b"] || i != inodes["/x/y/c"] {
					t.Errorf("%s: not linked: %v", when, inodes)
				}
			}
			check("mounted")
			if err := m.Unmount(); err != nil {
				t.Fatal(err)
			}
			check("unmounted")
			var u *cow.Unusable
			if err := d.Complete(t.Context(), s); !errors.As(err, &u) {
				t.Errorf("another driver is given what only the index keeps together: %v", err)
			}
			check("after that")
		})
	}
}
