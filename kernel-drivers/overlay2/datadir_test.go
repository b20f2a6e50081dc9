package overlay2

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/objects"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/whiteout"
)

// withData is a driver with option datadir, which t is skipped without.
func withData(t testing.TB, home, value string) *Driver {
	t.Helper()
	d := New(home, nil)
	if err := d.SetOptions(t.Context(), map[string]string{optDataDir: value}); err != nil {
		t.Fatal(err)
	}
	if err := (dataOnly{value: value, dialect: dialect(), metacopy: true}).usable(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	return d
}

func TestConformanceOnSharedData(t *testing.T) {
	drivertest.NeedsRoot(t)
	onData(t, harness())
}

// onData runs the suite on trees that are one for a chain, and so keep links across layers.
func onData(t *testing.T, h cowtest.Harness) {
	h.New = func(t testing.TB) cow.Driver { return withData(t, filepath.Join(t.TempDir(), "home"), sharedData) }
	cowtest.Run(t, h)
}

func TestConformanceOnSharedDataRootless(t *testing.T) {
	cowtest.Rootless(t, func(t *testing.T) {
		onData(t, rootlessHarness())
	})
}

// Contents of two images are kept once, also if the files differ otherwise; and they are gone with
// the last that has them.
func TestDataIsShared(t *testing.T) {
	drivertest.NeedsRoot(t)
	d := withData(t, t.TempDir(), sharedData)
	big, small := strings.Repeat("data of both\n", 10000), strings.Repeat("of one\n", 3000)
	first := packChain(t, cowtest.Layer{cowtest.File("a", big), cowtest.Hardlink("b", "a"), cowtest.File("tiny", "x")})
	second := packChain(t, cowtest.Layer{cowtest.Dir("d"), cowtest.File("d/c", big), cowtest.File("d/e", small)})
	for _, c := range []cow.Chain{first, second} {
		looked(t, d, c, func(root string) {
			for _, name := range []string{"a", "b", "d/c"} {
				if got, err := os.ReadFile(filepath.Join(root, name)); err == nil && string(got) != big {
					t.Errorf("%s has %d bytes", name, len(got))
				} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
		})
	}
	if got := objectsOf(t, d); len(got) != 2 {
		t.Errorf("there are %v, want two objects", got)
	}
	for _, c := range []struct {
		keep []cow.Chain
		want int
	}{{[]cow.Chain{first, second}, 2}, {[]cow.Chain{first}, 1}, {nil, 0}} {
		if err := d.Prune(t.Context(), c.keep); err != nil {
			t.Fatal(err)
		}
		if got := objectsOf(t, d); len(got) != c.want {
			t.Errorf("with %d images there are %v, want %d objects", len(c.keep), got, c.want)
		}
	}
}

// What somebody else keeps is used, and left alone.
func TestDataOfOthers(t *testing.T) {
	drivertest.NeedsRoot(t)
	content := strings.Repeat("kept elsewhere ", 5000)
	dir := t.TempDir()
	digest, err := objects.Digest(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(dir, digest[:2], digest[2:])
	if err := os.Mkdir(filepath.Dir(object), 0o755); err != nil {
		t.Fatal(err)
	}
	c := packChain(t, cowtest.Layer{cowtest.File("a", content), cowtest.File("b", content[1:])})
	for _, test := range []struct {
		object string
		taken  bool
	}{{content, true}, {strings.ToUpper(content), false}, {"", false}} {
		if err := os.WriteFile(object, []byte(test.object), 0o644); err != nil {
			t.Fatal(err)
		}
		d := withData(t, t.TempDir(), dir)
		looked(t, d, c, func(root string) {
			for name, want := range map[string]string{"a": content, "b": content[1:]} {
				if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
					t.Errorf("%s has %d bytes: %v", name, len(got), err)
				}
			}
		})
		st, err := d.stack(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		n, err := unix.Lgetxattr(filepath.Join(st.top(), "a"), whiteout.TrustedXattr.Name(whiteout.KeyMetacopy), nil)
		if taken := n == 0 && err == nil; taken != test.taken {
			t.Errorf("of %d bytes there it was taken: %v, %v", len(test.object), taken, err)
		}
		if _, err := unix.Lgetxattr(filepath.Join(st.top(), "b"), whiteout.TrustedXattr.Name(whiteout.KeyMetacopy), nil); err == nil {
			t.Error("b has no content")
		}
		st.release()
		if err := d.Prune(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(object); err != nil || string(got) != test.object {
			t.Errorf("the object has %d bytes: %v", len(got), err)
		}
	}
}

func TestDataDirIsChecked(t *testing.T) {
	for _, value := range []string{"data", "/there/is/none", "/etc/passwd", "shared:shared", "shared:", ":"} {
		if err := New(t.TempDir(), nil).SetOptions(t.Context(), map[string]string{optDataDir: value}); err == nil || !strings.Contains(err.Error(), optDataDir) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// What can't be had is refused: a kernel, options, a directory that went.
func TestDataDirIsRefused(t *testing.T) {
	for _, c := range []struct {
		data dataOnly
		ok   bool
	}{
		{dataOnly{}, true},
		{dataOnly{value: sharedData, dialect: whiteout.Trusted, metacopy: true}, sys.KernelIs(6, 5)},
		{dataOnly{value: sharedData, dialect: whiteout.Trusted}, sys.KernelIs(6, 16)},
		{dataOnly{value: sharedData, dialect: whiteout.User, metacopy: true}, sys.KernelIs(6, 16)},
		{dataOnly{value: "/gone", store: objects.Store{Dirs: []string{"/there/is/none"}}, metacopy: true}, false},
	} {
		err := c.data.usable()
		var u *cow.Unusable
		if (err == nil) != c.ok || err != nil && !errors.As(err, &u) {
			t.Errorf("%+v: %v", c.data, err)
		}
	}
}

// looked calls f with the root of a read-only mount of c.
func looked(t *testing.T, d *Driver, c cow.Chain, f func(root string)) {
	t.Helper()
	at := t.TempDir()
	m, err := d.Mount(t.Context(), cow.Snapshot{Base: c}, at, cow.MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	f(at)
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
}

// objectsOf are the objects that the driver keeps, and what is left of the making of others.
func objectsOf(t *testing.T, d *Driver) (out []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(d.home, "trusted", ownData), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
