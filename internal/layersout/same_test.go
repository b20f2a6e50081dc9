package layersout

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/layerpack"
)

// stamp is the time that the change gives its files.
var stamp = []unix.Timespec{{Sec: 1_600_000_001, Nsec: 5}, {Sec: 1_600_000_001, Nsec: 5}}

// jobs are parts of one change that can be done in any order. They give files
// and new directories a time; the directories of the image have the clock's.
// Where there are two ways to do a part, other is the second.
var jobs = []func(root string, other bool) error{
	func(root string, _ bool) error { return put(root+"/a/new", "new", 0o640) },
	func(root string, _ bool) error { return put(root+"/a/b", "rewritten", 0o644) },
	func(root string, _ bool) error { return os.Remove(root + "/a/top") },
	func(root string, _ bool) error {
		if err := os.Mkdir(root+"/made", 0o711); err != nil {
			return err
		}
		for _, name := range []string{"z", "y", "x"} {
			if err := put(root+"/made/"+name, name, 0o600); err != nil {
				return err
			}
		}
		return touch(root + "/made")
	},
	func(root string, other bool) error { // everything in a directory goes
		if other {
			for _, name := range []string{"b", "c", "null", "fifo", "a"} {
				if err := os.Remove(root + "/b/" + name); err != nil {
					return err
				}
			}
			return nil
		}
		if err := os.RemoveAll(root + "/b"); err != nil {
			return err
		}
		return os.Mkdir(root+"/b", 0o755)
	},
	func(root string, _ bool) error { // one block of a large file
		f, err := os.OpenFile(root+"/a/big", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("block"), 100000); err != nil {
			return err
		}
		return touch(root + "/a/big")
	},
	func(root string, _ bool) error { return os.Chmod(root+"/d/big", 0o400) },
	func(root string, _ bool) error {
		if err := os.Rename(root+"/d/d", root+"/moved"); err != nil {
			return err
		}
		if err := put(root+"/moved/d/added", "added", 0o644); err != nil {
			return err
		}
		if err := touch(root + "/moved/d"); err != nil {
			return err
		}
		return touch(root + "/moved")
	},
	func(root string, _ bool) error {
		if err := put(root+"/l1", "linked", 0o644); err != nil {
			return err
		}
		return os.Link(root+"/l1", root+"/a/c/l2")
	},
	func(root string, _ bool) error {
		f, err := os.Create(root + "/sparse")
		if err != nil {
			return err
		}
		defer f.Close()
		for _, off := range []int64{1 << 20, 5000} {
			if _, err := f.WriteAt(bytes.Repeat([]byte("s"), 9000), off); err != nil {
				return err
			}
		}
		if err := f.Truncate(3 << 20); err != nil {
			return err
		}
		return touch(root + "/sparse")
	},
	func(root string, _ bool) error { return unix.Lsetxattr(root+"/a/c", "user.z", []byte("1"), 0) },
	func(root string, _ bool) error { return unix.Lsetxattr(root+"/a/c", "user.y", []byte("2"), 0) },
	func(root string, _ bool) error {
		if err := os.Symlink("target", root+"/sl"); err != nil {
			return err
		}
		return touch(root + "/sl")
	},
}

func put(path, data string, mode os.FileMode) error {
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return touch(path)
}

func touch(path string) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, stamp, unix.AT_SYMLINK_NOFOLLOW)
}

// TestSameChangeSameDigest: the same change gives the same layer, whatever the
// driver, the filesystem under it, the order of its parts, the clock, and the
// inode numbers.
func TestSameChangeSameDigest(t *testing.T) {
	needRoot(t)
	var first layerpack.Written
	var tar []byte
	seed := uint64(0)
	for _, fs := range []string{"tmp", "ext4", "xfs", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			dir := t.TempDir()
			if fs != "tmp" {
				dir = testenv.LoopFS(t, fs, 512<<20)
			}
			c := chainOf(t, dir, base()...)
			for name, drv := range drivers(dir) {
				for range 2 {
					seed++
					box := start(t, drv, dir, c)
					order := rand.New(rand.NewPCG(seed, 9)).Perm(len(jobs))
					for _, i := range order {
						must(t, jobs[i](box.root, seed%2 == 0))
					}
					for _, z := range []layerpack.Compression{layerpack.Plain, layerpack.Gzip} {
						var b bytes.Buffer
						w, err := layerpack.WriteLayer(t.Context(), &b, drv.Diff(t.Context(), box.snap), layerpack.WriteOptions{Compression: z})
						must(t, err)
						if z == layerpack.Plain {
							if first.Entries == 0 {
								first, tar = w, b.Bytes()
							}
							if w != first {
								t.Errorf("%s, order %v: %+v is not %+v:\n%s", name, order, w, first, unlike(t, tar, b.Bytes()))
							}
						} else if w.DiffID != first.DiffID || w.Blob == w.DiffID {
							t.Errorf("%s: compressed it is %+v", name, w)
						}
					}
					must(t, box.m.Unmount())
				}
			}
		})
	}
}

// unlike says in which members two tars differ.
func unlike(t testing.TB, want, got []byte) string {
	t.Helper()
	a, b := tarList(t, want), tarList(t, got)
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

// TestEpochIsTheClock: with SOURCE_DATE_EPOCH nothing has to be touched.
func TestEpochIsTheClock(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	c := chainOf(t, dir, base()...)
	epoch := time.Unix(1_700_000_000, 0)
	var first layerpack.Written
	for name, drv := range drivers(dir) {
		box := start(t, drv, dir, c)
		must(t, os.MkdirAll(box.root+"/new/er", 0o755))
		must(t, os.WriteFile(box.root+"/new/er/file", []byte("x"), 0o644))
		must(t, os.WriteFile(box.root+"/a/c/file", []byte("x"), 0o644))
		_, w, _ := layer(t, drv.Diff(t.Context(), box.snap), layerpack.WriteOptions{Epoch: &epoch, DirTimes: true})
		if first.Entries == 0 {
			first = w
		}
		if w != first {
			t.Errorf("%s: %+v is not %+v", name, w, first)
		}
		time.Sleep(10 * time.Millisecond) // the clock goes on
	}
}
