package exact

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/internal/treediff"
)

// debianTar is the Debian root and what tar makes of it as root.
func debianTar(t *testing.T) (tar string, want *treediff.Record) {
	t.Helper()
	needRealMachine(t)
	tar, err := debianroot.Tar(t.Context())
	if errors.Is(err, debianroot.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	cmd := exec.Command("tar", "--extract", "--file", tar, "--directory", root, "--numeric-owner", "--same-owner", "--same-permissions",
		"--xattrs", "--xattrs-include=*")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar x: %v\n%s", err, out)
	}
	want, err = treediff.Walk(root, treediff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Entries) < 5000 {
		t.Fatalf("the Debian root has %d paths: that is none", len(want.Entries))
	}
	return tar, want
}

// readable copies files where the plain user can read them.
func readable(t *testing.T, dir string, tars [][]byte) []string {
	t.Helper()
	var names []string
	for i, b := range tars {
		name := filepath.Join(dir, fmt.Sprintf("%d.tar", i))
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func expectSame(t *testing.T, want, got *treediff.Record, ign treediff.Ignore) {
	t.Helper()
	if ds := treediff.Compare(want, got, ign); len(ds) > 0 {
		t.Errorf("%d differences in %d paths:\n%s", len(ds), len(want.Entries), treediff.Format(ds, 30))
	}
	t.Logf("%d paths", len(want.Entries))
}

// hidden is what the kernel shows to nobody but the host's root (xattr(7)).
var hidden = []string{"trusted."}

// users are who mounts and walks, with what they can't see.
var users = []struct {
	name string
	id   int
	ign  treediff.Ignore
}{
	{"ordinary user", nobody, treediff.Ignore{DirSize: true, XattrPrefixes: hidden}},
	{"root", 0, treediff.Ignore{DirSize: true}},
}

func TestDebianRootIsTheImage(t *testing.T) {
	tar, want := debianTar(t)
	for _, u := range users {
		t.Run(u.name, func(t *testing.T) {
			dir := userDir(t)
			linkReadable(t, tar, dir)
			got := decode(t, asUser(t, u.id, "library", dir, filepath.Join(dir, "image.tar")))
			expectSame(t, want, got, u.ign)
		})
	}
}

// linkReadable gives the plain user a copy of a file that may be out of its reach.
func linkReadable(t *testing.T, file, dir string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "image.tar"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSixtyLayersAreWhatTheyComeTo(t *testing.T) {
	needRealMachine(t)
	for seed := range uint64(3) {
		layers := imagegen.Chain(seed, 60)
		want, implied, err := imagegen.Expect(layers)
		if err != nil {
			t.Fatal(err)
		}
		c := []imagegen.Compression{imagegen.Plain, imagegen.Gzip, imagegen.Zstd}[seed]
		var tars [][]byte
		for _, l := range layers {
			tars = append(tars, c.Compress(l.Tar()))
		}
		for _, u := range users {
			t.Run(fmt.Sprintf("seed %d/%s", seed, u.name), func(t *testing.T) {
				dir := userDir(t)
				files := readable(t, dir, tars)
				got := decode(t, asUser(t, u.id, "library", append([]string{dir}, files...)...))
				ign := u.ign
				ign.MtimeOf = implied
				expectSame(t, want, got, ign)
			})
		}
	}
}
