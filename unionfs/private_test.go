package unionfs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// tmpfs mounts memory at dir, and unmounts it when the test ends, if it is there.
func tmpfs(t *testing.T, dir string) {
	t.Helper()
	mkdirs(t, dir)
	must(t, unix.Mount("none", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
}

// TestLowerCanBeUnmounted: the mounts that lowers, upper and work directory lie
// on are not in use, and the union goes on without them.
func TestLowerCanBeUnmounted(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	tmpfs(t, dir+"/a")
	tmpfs(t, dir+"/b")
	write(t, dir+"/a/low/f", "data")
	write(t, dir+"/a/low/d/g", "more")
	write(t, dir+"/b/low/h", "other")
	mkdirs(t, dir+"/a/u", dir+"/a/w")
	mnt, srv := mount(t, Options{
		LowerDirs: []string{dir + "/a/low", dir + "/b/low", dir + "/b/low"}, Upper: dir + "/a/u", Work: dir + "/a/w",
	}, MountOptions{AllowOther: true})
	must(t, unix.Unmount(dir+"/a", 0))
	must(t, unix.Unmount(dir+"/b", 0))
	if got := read(t, mnt+"/f") + read(t, mnt+"/h"); got != "dataother" {
		t.Errorf("read %q", got)
	}
	write(t, mnt+"/d/g", "changed")
	must(t, os.Rename(mnt+"/d", mnt+"/e"))
	must(t, os.Remove(mnt+"/f"))
	if got := read(t, mnt+"/e/g"); got != "changed" {
		t.Errorf("read %q", got)
	}
	must(t, srv.Unmount())
}

// TestMountedBelow: what is mounted below a lower shows, also where the other
// lowers of that filesystem have nothing mounted in them.
func TestMountedBelow(t *testing.T) {
	needMount(t)
	dir := scratch(t)
	tmpfs(t, dir+"/a")
	write(t, dir+"/a/one/f", "1")
	write(t, dir+"/a/two/g", "2")
	tmpfs(t, dir+"/a/one/sub")
	write(t, dir+"/a/one/sub/h", "3")
	mkdirs(t, dir+"/a/one/sub/u", dir+"/a/one/sub/w")
	for _, o := range []Options{
		{LowerDirs: []string{dir + "/a/one", dir + "/a/two"}},
		{LowerDirs: []string{dir + "/a/one", dir + "/a/two"}, Upper: dir + "/a/one/sub/u", Work: dir + "/a/one/sub/w"},
	} {
		mnt, srv := mount(t, o, MountOptions{})
		if got := read(t, mnt+"/f") + read(t, mnt+"/g") + read(t, mnt+"/sub/h"); got != "123" {
			t.Errorf("read %q", got)
		}
		if o.Upper != "" {
			write(t, mnt+"/g", "new")
		}
		must(t, srv.Unmount())
	}
	if got := read(t, dir+"/a/one/sub/u/g"); got != "new" {
		t.Errorf("the upper directory has %q", got)
	}
	tmpfs(t, dir+"/a/up/u/sub") // only the upper directory has something mounted below
	mkdirs(t, dir+"/a/up/w")
	mnt, srv := mount(t, Options{LowerDirs: []string{dir + "/a/two"}, Upper: dir + "/a/up/u", Work: dir + "/a/up/w"}, MountOptions{})
	write(t, mnt+"/g", "again")
	must(t, os.Remove(mnt+"/g"))
	must(t, srv.Unmount())
}
