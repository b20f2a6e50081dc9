package overlay2

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/whiteout"
)

func TestOptionsForUpper(t *testing.T) {
	both := []whiteout.Key{whiteout.KeyRedirect, whiteout.KeyMetacopy}
	for _, c := range []struct {
		o       settings
		dialect whiteout.Dialect
		want    string
		ignored []whiteout.Key
		fails   bool
	}{
		{settings{redirect: "auto", metacopy: "auto"}, whiteout.Trusted, "redirect_dir=on metacopy=on index=off", nil, false},
		{settings{redirect: "off", metacopy: "auto"}, whiteout.Trusted, "redirect_dir=off metacopy=off index=off", both, false},
		{settings{redirect: "auto", metacopy: "off", index: true, volatile: true}, whiteout.Trusted, "volatile= redirect_dir=on metacopy=off index=on", both[1:], false},
		{settings{redirect: "off", metacopy: "on"}, whiteout.Trusted, "", nil, true},
		{settings{redirect: "auto", metacopy: "auto"}, whiteout.User, "", both, false},
		{settings{redirect: "off", metacopy: "off", volatile: true}, whiteout.User, "volatile=", both, false},
		{settings{redirect: "auto", metacopy: "on"}, whiteout.User, "", nil, true},
		{settings{redirect: "auto", metacopy: "auto", index: true}, whiteout.User, "", nil, true},
	} {
		set, ignored, err := c.o.forUpper(c.dialect)
		var words []string
		for _, kv := range set {
			words = append(words, kv[0]+"="+kv[1])
		}
		var u *cow.Unusable
		if got := strings.Join(words, " "); got != c.want || !slices.Equal(ignored, c.ignored) || c.fails != errors.As(err, &u) {
			t.Errorf("%+v in %v: %q, without %v, %v", c.o, c.dialect, got, ignored, err)
		}
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	d := New(t.TempDir(), nil)
	for name, value := range map[string]string{optDataDir: "data", optMetacopy: "yes", optIndex: "auto", "xino": "on"} {
		if err := d.SetOptions(t.Context(), map[string]string{name: value}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

// set is a driver with options, and a mounted snapshot of a small image.
func set(t *testing.T, values map[string]string) (d *Driver, s cow.Snapshot, mount func() (cow.Mount, string, error)) {
	t.Helper()
	drivertest.NeedsRoot(t)
	d = New(t.TempDir(), nil)
	if err := d.SetOptions(t.Context(), values); err != nil {
		t.Fatal(err)
	}
	s = cow.Snapshot{Dir: t.TempDir(), Base: packChain(t, cowtest.Layer{cowtest.Dir("d"), cowtest.File("d/a", "a"), cowtest.Hardlink("d/b", "d/a")})}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return d, s, func() (cow.Mount, string, error) {
		target := t.TempDir()
		m, err := d.Mount(t.Context(), s, target, cow.MountOptions{})
		return m, target, err
	}
}

func mustMount(t *testing.T, mount func() (cow.Mount, string, error)) (cow.Mount, string) {
	t.Helper()
	m, target, err := mount()
	if err != nil {
		t.Fatal(err)
	}
	return m, target
}

func TestRedirectDirOff(t *testing.T) {
	d, s, mount := set(t, nil)
	m, target := mustMount(t, mount)
	if err := os.Rename(target+"/d", target+"/e"); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	// What has a redirect already can't be shown without.
	if err := d.SetOptions(t.Context(), map[string]string{optRedirect: "off"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := mount(); !errors.Is(err, ErrForeign) {
		t.Errorf("a redirect with redirect_dir=off: %v", err)
	}
	if err := d.Remove(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	m, target = mustMount(t, mount)
	if err := unix.Rename(target+"/d", target+"/e"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("renaming a directory with redirect_dir=off: %v", err)
	}
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
}

func TestMetacopyOff(t *testing.T) {
	for value, blocks := range map[string]bool{"on": false, "off": true} {
		_, s, mount := set(t, map[string]string{optMetacopy: value})
		m, target := mustMount(t, mount)
		if err := os.Chmod(target+"/d/a", 0o600); err != nil {
			t.Fatal(err)
		}
		unix.Sync()
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(s.Dir, upperName, "d", "a"), &st); err != nil {
			t.Fatal(err)
		}
		if (st.Blocks > 0) != blocks {
			t.Errorf("metacopy=%s: after chmod the upper has %d blocks of data", value, st.Blocks)
		}
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}
}

func TestIndexKeepsLinks(t *testing.T) {
	_, _, mount := set(t, map[string]string{optIndex: "on"})
	for _, want := range []string{"changed", "again"} {
		m, target := mustMount(t, mount)
		if err := os.WriteFile(target+"/d/a", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(target + "/d/b"); string(got) != want {
			t.Errorf("the other name has %q, %v", got, err)
		}
		if err := m.Unmount(); err != nil {
			t.Fatal(err)
		}
	}
}

// With an index an upper knows the inodes of its lowers.
func TestIndexIsTiedToItsTrees(t *testing.T) {
	d, s, _ := set(t, map[string]string{optIndex: "on"})
	d.noPacked = true
	mount := func() error {
		m, err := d.Mount(t.Context(), s, t.TempDir(), cow.MountOptions{})
		if err == nil {
			err = m.Unmount()
		}
		return err
	}
	if err := errors.Join(d.Remove(t.Context(), s), d.Create(t.Context(), s), mount()); err != nil {
		t.Fatal(err)
	}
	kept := drivertest.TempDir(t, filepath.Dir(d.home)) // so that no inode is used again
	if err := os.Rename(d.home, filepath.Join(kept, "home")); err != nil {
		t.Fatal(err)
	}
	if err := d.SetOptions(t.Context(), map[string]string{optIndex: "on"}); err != nil {
		t.Fatal(err)
	}
	var u *cow.Unusable
	if err := mount(); !errors.As(err, &u) || !strings.Contains(u.Hint, "index=") {
		t.Errorf("on trees that were extracted anew: %v", err)
	}
	if err := d.SetOptions(t.Context(), map[string]string{optIndex: ""}); err != nil {
		t.Fatal(err)
	}
	if err := mount(); err != nil {
		t.Errorf("without an index: %v", err)
	}
}

func TestVolatile(t *testing.T) {
	d, s, mount := set(t, map[string]string{optVolatile: "on"})
	for range 2 { // also again, though the kernel would not
		m, target := mustMount(t, mount)
		data, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, " "+target+" ") && !strings.Contains(line, "volatile") {
				t.Errorf("not volatile: %s", line)
			}
		}
		if err := m.Unmount(); err != nil {
			t.Fatal(err)
		}
	}
	// After a crash of the machine.
	if err := os.WriteFile(filepath.Join(s.Dir, bootName), []byte("another start\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var u *cow.Unusable
	if _, _, err := mount(); !errors.As(err, &u) || !strings.Contains(u.Hint, "incompat") {
		t.Errorf("after a crash: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, workName, "work", "incompat")); err != nil {
		t.Fatal(err)
	}
	if err := d.SetOptions(t.Context(), map[string]string{optVolatile: ""}); err != nil {
		t.Fatal(err)
	}
	m, _ := mustMount(t, mount)
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(s.Dir, bootName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a mount that is not volatile: %v", err)
	}
}
