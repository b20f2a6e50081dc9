package overlay2

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/packed"
)

// needsPacked skips t where images can't be mounted packed.
func needsPacked(t *testing.T) {
	t.Helper()
	drivertest.NeedsRoot(t)
	if u := packed.Probe(t.TempDir()); u != nil {
		t.Skip("SKIPPED: ", u.Reason)
	}
}

// view mounts c and tells whether it is packed.
func view(t *testing.T, d *Driver, c cow.Chain) (target string, isPacked bool) {
	t.Helper()
	st, err := d.stack(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	isPacked = st.packed != nil
	st.release()
	target = t.TempDir()
	m, err := d.Mount(t.Context(), cow.Snapshot{Base: c}, target, cow.MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return target, isPacked
}

func TestPackedImageIsNotExtracted(t *testing.T) {
	needsPacked(t)
	d := New(t.TempDir(), nil)
	target, isPacked := view(t, d, packChain(t, append(twoLayers(), cowtest.Layer{cowtest.File("overlay.css", "a name is no mark"), cowtest.Hardlink("link", "b")})...))
	if !isPacked {
		t.Error("the image is not mounted packed")
	}
	if got, err := os.ReadFile(target + "/d/c"); string(got) != "two" {
		t.Errorf("d/c is %q, %v", got, err)
	}
	var a, b unix.Stat_t
	if err := unix.Stat(target+"/b", &a); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(target+"/link", &b); err != nil {
		t.Fatal(err)
	}
	if a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("a link across layers: inodes %d and %d, %d links", a.Ino, b.Ino, a.Nlink)
	}
	if got := trees(t, d); len(got) > 1 { // an empty directory: a view needs two lowers
		t.Errorf("extracted: %q", got)
	}
}

// What overlayfs would take for a mark of its own has to be escaped, which takes a tree.
func TestImageWithMarksIsExtracted(t *testing.T) {
	needsPacked(t)
	d := New(t.TempDir(), nil)
	target, isPacked := view(t, d, packChain(t, cowtest.Layer{
		cowtest.Dir("d").Xattr("trusted.overlay.opaque", "y"), cowtest.File("d/f", "f"),
	}))
	if isPacked {
		t.Error("an image with overlayfs's own attributes is mounted packed")
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(target+"/d", "trusted.overlay.opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("the image's attribute is %q, %v", value[:max(n, 0)], err)
	}
}

func TestExtractedTreesAreUsed(t *testing.T) {
	needsPacked(t)
	home := t.TempDir()
	c := packChain(t, twoLayers()...)
	st, err := onTrees(home).stack(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	st.release()
	if _, isPacked := view(t, New(home, nil), c); isPacked {
		t.Error("an image whose layers are extracted is mounted packed: its pages would be in memory twice")
	}
}

// A snapshot made on one form is mounted on the other.
func TestSnapshotOnBothForms(t *testing.T) {
	needsPacked(t)
	home := t.TempDir()
	s := cow.Snapshot{Dir: t.TempDir(), Base: packChain(t, twoLayers()...)}
	target := t.TempDir()
	for i, d := range []*Driver{New(filepath.Join(home, "other"), nil), onTrees(home), New(filepath.Join(home, "other"), nil)} {
		if err := d.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0:
			err = os.Rename(target+"/d", target+"/e")
		case 1:
			err = os.Chmod(target+"/b", 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(target + "/e/c"); string(got) != "two" {
			t.Errorf("%d: e/c is %q, %v", i, got, err)
		}
		if got, err := os.ReadFile(target + "/b"); string(got) != "b" {
			t.Errorf("%d: b is %q, %v", i, got, err)
		}
		if err := m.Unmount(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for c, err := range d.Changes(t.Context(), s) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.Kind.String()+" "+c.Path)
		}
		if i == 2 && len(got) != 4 {
			t.Errorf("changes: %q, want b changed, d deleted, e and e/c added", got)
		}
	}
}

// As on Linux before 6.15: the image is attached while the overlay is made, and no
// longer.
func TestPackedImageIsAttachedMeanwhile(t *testing.T) {
	needsPacked(t)
	d := New(t.TempDir(), nil)
	s := cow.Snapshot{Dir: t.TempDir(), Base: packChain(t, twoLayers()...)}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, fails := range []bool{true, false} {
		st, err := d.stack(t.Context(), s.Base)
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.plan(st, s, cow.MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.attached = int(st.packed.Fd())
		target := t.TempDir()
		if fails {
			p.options = append(p.options, [2]string{"nonesuch", "on"})
		}
		if err := p.attach(target); (err != nil) != fails {
			t.Fatalf("attach: %v", err)
		}
		st.release()
		if !fails {
			if got, err := os.ReadFile(target + "/d/c"); string(got) != "two" {
				t.Errorf("d/c is %q, %v", got, err)
			}
			if err := os.WriteFile(target+"/d/new", nil, 0o644); err != nil {
				t.Error(err)
			}
			if err := unix.Unmount(target, 0); err != nil {
				t.Error(err)
			}
		}
		if err := unix.Unmount(target, 0); err == nil {
			t.Errorf("the image stayed attached (the mount was to fail: %t)", fails)
		}
	}
}
