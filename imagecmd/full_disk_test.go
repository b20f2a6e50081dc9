package imagecmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// smallDisk is a tmpfs with options, for the test; root's tests have a mount
// namespace of their own.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: mounting a small tmpfs needs root, so a full disk is not tested")
	}
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, options); err != nil {
		t.Skipf("SKIP: no tmpfs can be mounted here (%v), so a full disk is not tested", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	return root
}

// fillDisk takes what is free but for so many bytes, or files, and returns how to
// give it back.
func fillDisk(t *testing.T, root, what string, left int64) (free func()) {
	t.Helper()
	dir := filepath.Join(root, "fill")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		var fs unix.Statfs_t
		if err := unix.Statfs(root, &fs); err != nil {
			t.Fatal(err)
		}
		size := int64(fs.Bavail)*fs.Bsize - left
		if what == "inodes" {
			size = 0
			if int64(fs.Ffree) <= left {
				break
			}
		} else if size <= 0 {
			break
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// fullInputs are archives of an image of some MiB: read where it lies, spooled
// from a stream, its layers packed, and both.
func fullInputs(t *testing.T) []string {
	img := bigImage(t)
	gz := it.Layout{}
	gz.Index(t, it.Named(gz.Add(t, img, "application/vnd.oci.image.layer.v1.tar+gzip", it.Gzip), refName, "big:1"))
	plainTar, gzTar := it.Tar(t, it.DockerOld(t, img, "big:1")...), it.Tar(t, gz.Entries()...)
	return []string{
		it.File(t, "plain.tar", plainTar), it.File(t, "plain.tar.zst", it.Zstd(t, plainTar)),
		it.File(t, "packed.tar", gzTar), it.File(t, "packed.tar.gz", it.Gzip(t, gzTar)),
	}
}

// On a disk that fills up, with bytes or with files, a load fails and says so, and
// leaves the store as it was: it can be read, is whole, and what it has can be
// used. When there is room again the load succeeds.
func TestLoadOnAFullDisk(t *testing.T) {
	inputs := fullInputs(t)
	for what, disk := range map[string]struct {
		options string
		left    []int64
	}{
		"bytes":  {"size=24m", []int64{0, 4 << 10, 50 << 10, 400 << 10, 2 << 20, 5 << 20, 8 << 20, 11 << 20}},
		"inodes": {"size=64m,nr_inodes=90", []int64{0, 1, 2, 3, 5, 8, 13, 21, 34, 60}},
	} {
		t.Run(what, func(t *testing.T) {
			root := smallDisk(t, disk.options)
			st := openStore(t, root)
			mustLoad(t, st, it.File(t, "s.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "small"), "small")...)))
			failed := 0
			for _, input := range inputs {
				for _, left := range disk.left {
					free := fillDisk(t, root, what, left)
					if loadOnFull(t, st, input) {
						failed++
					}
					free()
				}
				mustLoad(t, st, input)
				mustChain(t, st, "big:1")
				wholeStore(t, st)
				if err := Remove(context.Background(), st, RemoveOptions{Names: []string{"big:1"}}, io.Discard); err != nil {
					t.Fatal(err)
				}
			}
			if all := len(inputs) * len(disk.left); failed < all/2 || failed == all {
				t.Errorf("of %d loads %d found the disk full", all, failed)
			}
		})
	}
}

// loadOnFull loads where there may be no room, and tells whether there was none.
// An image that came all the same is removed again.
func loadOnFull(t *testing.T, st *store.Store, input string) bool {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(st.LayoutDir(), "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	err = Load(context.Background(), st, LoadOptions{Input: input}, io.Discard)
	if err == nil {
		if err := Remove(context.Background(), st, RemoveOptions{Names: []string{"big:1"}}, io.Discard); err != nil {
			t.Fatal(err)
		}
		return false
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%s: %v", filepath.Base(input), err)
	}
	noTemps(t, st)
	if now, err := os.ReadFile(filepath.Join(st.LayoutDir(), "index.json")); err != nil || !bytes.Equal(now, index) {
		t.Errorf("%s: index.json changed", input)
	}
	wholeStore(t, st)
	images, err := st.Images(context.Background())
	if err != nil || len(images) != 1 {
		t.Errorf("%s: %v (%v)", input, images, err)
	}
	mustChain(t, st, "small")
	return true
}

// A disk that is full to the last byte must not keep what fills it.
func TestRemoveOnAFullDisk(t *testing.T) {
	root := smallDisk(t, "size=6m")
	st := openStore(t, root)
	mustLoad(t, st, it.File(t, "s.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "small"), "small")...)))
	fillDisk(t, root, "bytes", 0)
	if err := Remove(context.Background(), st, RemoveOptions{Names: []string{"small"}}, io.Discard); err != nil {
		t.Errorf("rmi on a full disk: %v", err)
	}
}

// A save that finds no room leaves what was there, and nothing else.
func TestSaveOnAFullDisk(t *testing.T) {
	root := smallDisk(t, "size=2m")
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, bigImage(t), "big")...)))
	if err := os.WriteFile(filepath.Join(root, "kept"), []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range SaveFormats() {
		for _, name := range []string{"kept", "new"} {
			if format == OCIDir && name == "kept" {
				continue
			}
			err := Save(context.Background(), st, SaveOptions{Images: []string{"big"}, Format: format, Output: filepath.Join(root, name)}, io.Discard)
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: %v", format, err)
			}
		}
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1 {
		t.Errorf("left %v (%v)", left, err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "kept")); err != nil || string(b) != "older" {
		t.Errorf("what was there is now %q (%v)", b, err)
	}
}
