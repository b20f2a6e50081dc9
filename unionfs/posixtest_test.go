package unionfs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/whiteout"
)

// notPosix are tests of posixtest that fail on every local filesystem, and are
// passed over by its own run on one; each has a test in its place.
var notPosix = map[string]func(*testing.T, string){
	// Wants two POSIX locks of one process to be in each other's way, as they
	// are where a server makes open-file-description locks of them.
	"FcntlFlockLocksFile": descriptionLocks,
}

// TestPosix runs go-fuse's exported posixtest on a union. Each test has a
// directory that three lowers have, and a fourth one has not; it looks empty,
// because what the lowest put there is deleted above.
func TestPosix(t *testing.T) {
	needMount(t)
	names := slices.Sorted(maps.Keys(posixtest.All))
	for _, kind := range []string{"packed", "dirs"} {
		t.Run(kind, func(t *testing.T) {
			dir := scratch(t)
			var lowers []string // bottom first
			for i := range 4 {
				low := filepath.Join(dir, fmt.Sprint("low", i))
				mkdirs(t, low)
				lowers = append(lowers, low)
				for _, name := range names {
					at := filepath.Join(low, name)
					switch i {
					case 0:
						write(t, filepath.Join(at, "gone"), "deleted above")
					case 1:
						mkdirs(t, at)
						hide(t, at, "gone", kind == "packed")
					case 3:
						mkdirs(t, at)
					}
				}
			}
			c := childSpec{Upper: dir + "/upper", Work: dir + "/work", AllowOther: true}
			mkdirs(t, c.Upper, c.Work)
			if kind == "packed" {
				chain := packChain(t, dir+"/pk", lowers...)
				c.Chain = &chain
			} else {
				slices.Reverse(lowers)
				c.LowerDirs = lowers
			}
			// A child serves: posixtest is free to map what it likes.
			mnt := startChild(t, c).mnt
			for _, name := range names {
				test, as := posixtest.All[name], name
				if other := notPosix[name]; other != nil {
					test, as = other, "in-place-of-"+name
				}
				t.Run(as, func(t *testing.T) { test(t, filepath.Join(mnt, name)) })
			}
		})
	}
}

// hide deletes name, which lower layers have, in a layer's directory.
func hide(t *testing.T, dir, name string, packed bool) {
	t.Helper()
	if packed {
		write(t, filepath.Join(dir, whiteout.Prefix+name), "")
		return
	}
	must(t, unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR, 0))
}

// descriptionLocks wants a lock of one open file to be in the way of another.
func descriptionLocks(t *testing.T, dir string) {
	name := filepath.Join(dir, "file")
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		must(t, err)
		defer f.Close()
		files[i] = f
	}
	must(t, unix.FcntlFlock(files[0].Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	for _, want := range []error{unix.EAGAIN, nil} {
		err := unix.FcntlFlock(files[1].Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK})
		if want != nil && err != want || want == nil && err != nil {
			t.Errorf("second lock: %v, want %v", err, want)
		}
		must(t, unix.FcntlFlock(files[0].Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}))
	}
}
