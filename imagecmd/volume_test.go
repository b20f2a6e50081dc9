package imagecmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// fixtureRoot is a root with a directory that a volume can be filled with.
func fixtureRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "data/sub/deep"), 0o750),
		os.WriteFile(filepath.Join(root, "data/one"), []byte("one\n"), 0o4755),
		os.WriteFile(filepath.Join(root, "data/sub/two"), []byte("two\n"), 0o600),
		os.Link(filepath.Join(root, "data/one"), filepath.Join(root, "data/sub/hard")),
		os.Symlink("../../etc", filepath.Join(root, "data/sub/link")),
		unix.Mkfifo(filepath.Join(root, "data/pipe"), 0o622),
		unix.Setxattr(filepath.Join(root, "data"), "user.of", []byte("root"), 0),
		unix.Setxattr(filepath.Join(root, "data/one"), "user.of", []byte("one"), 0),
		os.Symlink("data", filepath.Join(root, "to")),
		os.Symlink("/../../../../../../etc", filepath.Join(root, "out")),
	} {
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			t.Fatal(err)
		}
	}
	return root
}

// newTestVolume makes a volume in a store of its own.
func newTestVolume(t *testing.T) *Volume {
	t.Helper()
	vs := OpenVolumes(t.TempDir())
	if made, err := vs.make(Volume{Name: "vol"}); err != nil || !made {
		t.Fatal(made, err)
	}
	v, err := vs.Find("vol")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantTree compares a volume with what it was filled with, but for some times.
func wantTree(t *testing.T, v *Volume, root string, timesOf ...string) {
	t.Helper()
	walk := func(dir string) *treediff.Record {
		r, err := treediff.Walk(dir, treediff.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if ds := treediff.Compare(walk(filepath.Join(root, "data")), walk(v.Mountpoint()), treediff.Ignore{DirSize: true, DirNlink: true, MtimeOf: timesOf}); len(ds) > 0 {
		t.Errorf("the volume differs from what it was filled with:\n%s", treediff.Format(ds, 20))
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 { // its configuration and its data
		t.Errorf("left behind: %v", entries)
	}
}

func TestFillVolume(t *testing.T) {
	root := fixtureRoot(t)
	ctx := context.Background()
	for name, from := range map[string]string{"plain": "/data", "link": "/to", "link and dots": "/../to/../data/."} {
		t.Run(name, func(t *testing.T) {
			v := newTestVolume(t)
			if err := v.fill(ctx, root, from, os.Geteuid() != 0); err != nil {
				t.Fatal(err)
			}
			wantTree(t, v, root)
		})
	}
	for name, from := range map[string]string{"missing": "/nosuch", "file": "/data/one", "outside": "/out", "below a file": "/data/one/x"} {
		t.Run(name, func(t *testing.T) {
			v := newTestVolume(t)
			if err := v.fill(ctx, root, from, false); err != nil {
				t.Fatal(err)
			}
			if !v.empty() {
				t.Error("something was copied")
			}
		})
	}
	t.Run("not empty", func(t *testing.T) {
		v := newTestVolume(t)
		if err := os.WriteFile(filepath.Join(v.Mountpoint(), "mine"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := v.fill(ctx, root, "/data", false); err != nil {
			t.Fatal(err)
		}
		if names, _ := os.ReadDir(v.Mountpoint()); len(names) != 1 {
			t.Errorf("%v", names)
		}
	})
}

// A volume whose filling was killed is filled, or brought to an end, by who has it next;
// what somebody put there meanwhile stays.
func TestFillVolumeKilled(t *testing.T) {
	root := fixtureRoot(t)
	ctx := context.Background()
	t.Run("while it was copied", func(t *testing.T) {
		v := newTestVolume(t)
		half := filepath.Join(v.dir, volumeFilling, "sub")
		if err := os.MkdirAll(half, 0o700); err != nil {
			t.Fatal(err)
		}
		if v.begun() || !v.empty() {
			t.Fatal("half of it counts")
		}
		if err := v.fill(ctx, root, "/data", false); err != nil {
			t.Fatal(err)
		}
		wantTree(t, v, root)
	})
	t.Run("while it was moved", func(t *testing.T) {
		v := newTestVolume(t)
		if err := copyInto(ctx, v.dir, volumeFilled, filepath.Join(root, "data"), false); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(v.dir, volumeFilled, "sub"), filepath.Join(v.Mountpoint(), "sub")); err != nil {
			t.Fatal(err)
		}
		if !v.begun() {
			t.Fatal("nobody would see that it is not done")
		}
		if err := v.fill(ctx, root, "", false); err != nil { // by a container that would not fill it
			t.Fatal(err)
		}
		wantTree(t, v, root, ".")
	})
	t.Run("while others had it", func(t *testing.T) {
		v := newTestVolume(t)
		if err := copyInto(ctx, v.dir, volumeFilled, filepath.Join(root, "data"), false); err != nil {
			t.Fatal(err)
		}
		mine := filepath.Join(v.Mountpoint(), "one")
		if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := v.fill(ctx, root, "/data", false); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(mine); string(b) != "mine" {
			t.Errorf("%q %v", b, err)
		}
		if _, err := os.Lstat(filepath.Join(v.Mountpoint(), "sub/deep")); err != nil {
			t.Error(err)
		}
	})
}

// Many that want one volume at once: it is made once, and filled once.
func TestVolumeAtOnce(t *testing.T) {
	root := fixtureRoot(t)
	store := t.TempDir()
	cs, vs := OpenContainers(store), OpenVolumes(store)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := cs.Create(Container{Options: ContainerOptions{ShapeOptions: ShapeOptions{Mounts: []MountOption{{Type: "volume", Source: "shared", Target: "/data"}}}}})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			v, err := vs.Find("shared")
			if err == nil {
				err = v.fill(context.Background(), root, "/data", false)
			}
			if err == nil {
				err = vs.remove("shared")
			}
			if !errors.Is(err, ErrVolumeInUse) || !strings.Contains(err.Error(), c.ID) {
				t.Errorf("removed, while %s has it: %v", c.ID, err)
			}
		})
	}
	wg.Wait()
	v, err := vs.Find("shared")
	if err != nil {
		t.Fatal(err)
	}
	wantTree(t, v, root)
}

// What a killed process left of a volume it was making or deleting is swept.
func TestSweepVolumes(t *testing.T) {
	v := newTestVolume(t)
	vs := OpenVolumes(filepath.Dir(filepath.Dir(v.dir)))
	for _, left := range []string{".new-other/_data", ".gone-0123/_data/x"} {
		if err := os.MkdirAll(filepath.Join(vs.dir(), left), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := vs.List(); len(all) != 1 || err != nil {
		t.Fatal(all, err)
	}
	if made, err := vs.make(Volume{Name: "other"}); !made || err != nil {
		t.Fatal(made, err)
	}
	if err := vs.sweep(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(vs.dir())
	if err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
}
