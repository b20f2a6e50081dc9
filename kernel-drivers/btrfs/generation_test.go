package btrfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow/cowtest"
)

// wide is a layer of many files, one of which has so many names in one directory
// that they need an item of their own (INODE_EXTREF).
func wide() cowtest.Layer {
	l := cowtest.Layer{cowtest.Dir("links"), cowtest.File("links/first", "linked"), cowtest.Dir("elsewhere/deep"), cowtest.Dir("quiet")}
	for i := range 60 {
		l = append(l, cowtest.Hardlink(fmt.Sprintf("links/%s%d", strings.Repeat("n", 200), i), "links/first"))
	}
	l = append(l, cowtest.Hardlink("elsewhere/deep/last", "links/first"))
	for d := range 20 {
		for f := range 100 {
			l = append(l, cowtest.File(fmt.Sprintf("many/%d/%d", d, f), "content"))
		}
	}
	return l
}

func TestChangedInodes(t *testing.T) {
	d, s := made(t, wide())
	at := filepath.Join(s.Dir, volumeName)
	changed := func() map[uint64]bool {
		t.Helper()
		dir, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		got, err := changedInodes(t.Context(), int(dir.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := changed(); len(got) != 0 {
		t.Errorf("%d inodes have changed in a new snapshot", len(got))
	}
	// Of the same size and time as before: only the generation tells.
	name := filepath.Join(at, "many/7/7")
	before := inode(t, name)
	if err := os.WriteFile(name, []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Unix(before.Atim.Unix()), time.Unix(before.Mtim.Unix())); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(at, "many/3/3")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(filepath.Join(at, "links/first"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[uint64]bool{}
	for _, p := range []string{"", "many", "many/7", "many/7/7", "many/3", "links", "links/first", "elsewhere", "elsewhere/deep"} {
		want[inode(t, filepath.Join(at, p)).Ino] = true
	}
	if diff := cmp.Diff(want, changed()); diff != "" {
		t.Errorf("changed inodes (-want +got):\n%s", diff)
	}
	var got []string
	for c, err := range d.Changes(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.Path, "/links/nnn") {
			got = append(got, c.Kind.String()+" "+c.Path)
		}
	}
	if diff := cmp.Diff([]string{"C /elsewhere", "C /elsewhere/deep", "C /elsewhere/deep/last", "C /links", "C /links/first",
		"C /many", "C /many/3", "D /many/3/3", "C /many/7", "C /many/7/7"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// What a container puts into a subvolume of its own has inode numbers of its own.
func TestChangesInASubvolumeInside(t *testing.T) {
	d, s := made(t, wide())
	inner := filepath.Join(s.Dir, volumeName, "quiet", "inner")
	if err := subvolumeAt(inner); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "f"), []byte("f"), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for c, err := range d.Changes(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Kind.String()+" "+c.Path)
	}
	if diff := cmp.Diff([]string{"C /quiet", "A /quiet/inner", "A /quiet/inner/f"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
