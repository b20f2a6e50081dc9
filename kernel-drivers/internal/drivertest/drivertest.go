// Package drivertest is what the tests of kernel drivers share: packed chains, and
// filesystems of their own to put a driver's home on. Only tests import it.
package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
	"github.com/cfs-project/cfs/layerpack"
)

// Chain packs and indexes layers the way the store does.
func Chain[L interface{ WriteTar(io.Writer) error }](t testing.TB, layers ...L) cow.Chain {
	t.Helper()
	dir := t.TempDir()
	var c cow.Chain
	for _, l := range layers {
		var buf bytes.Buffer
		if err := l.WriteTar(&buf); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, digest.FromBytes(buf.Bytes()).Encoded())
		if err := os.Mkdir(at, 0o755); err == nil {
			if _, err := layerpack.Pack(context.Background(), &buf, at, layerpack.PackOptions{}); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, os.ErrExist) { // the same layer twice is one
			t.Fatal(err)
		}
		c.Layers = append(c.Layers, cow.Layer{DiffID: digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(at)), Dir: at})
	}
	c.ID = tree.ChainID(c.Layers)
	c.Index = filepath.Join(dir, "index.erofs")
	if err := layerpack.BuildIndex(context.Background(), c.Index, c.Layers); err != nil {
		t.Fatal(err)
	}
	return c
}

// NeedsRoot skips t, unless it runs as root in the initial user namespace.
func NeedsRoot(t testing.TB) {
	t.Helper()
	if !sys.Root() {
		t.Skip("SKIPPED: needs root in the initial user namespace, to mount")
	}
}

// Filesystem makes a filesystem of a type in a file and mounts it; "tmpfs" is one in
// memory. mkfs.<type> is called with args. It is gone when t ends. It skips t where
// the program or the kernel lacks it. A process that the test starts of its own
// binary, as cowtest does, gets the same one.
func Filesystem(t testing.TB, fstype, options string, args ...string) string {
	t.Helper()
	key := "DRIVERTEST_" + fstype
	if dir := os.Getenv(key); dir != "" {
		return dir
	}
	NeedsRoot(t)
	if u := sys.ProbeFilesystem(fstype, ""); u != nil {
		t.Skipf("SKIPPED: %s", u.Reason)
	}
	dir, err := os.MkdirTemp("", "cfs-"+fstype+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for tests as an ordinary user
		t.Fatal(err)
	}
	at, source := filepath.Join(dir, "mnt"), "tmpfs"
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	how := "rw"
	if fstype != "tmpfs" {
		source, how = filepath.Join(dir, "image"), "loop"
		format(t, source, fstype, args)
	}
	mount := func(options string) ([]byte, error) {
		return exec.Command("mount", "-t", fstype, "-o", options, source, at).CombinedOutput()
	}
	if out, err := mount(how + "," + options); err != nil {
		t.Fatalf("mounting %s: %v: %s", fstype, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("unmounting %s: %v", fstype, err)
			unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	os.Setenv(key, at)
	t.Cleanup(func() { os.Unsetenv(key) })
	return at
}

// size of the files that filesystems are made in, in bytes; they are sparse.
const size = 512 << 20

// format makes a filesystem in a new file.
func format(t testing.TB, file, fstype string, args []string) {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + fstype)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, append(args, file)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", mkfs, err, out)
	}
}

// Fill makes a file of size bytes, and has it on disk.
func Fill(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// TempDir is a directory below dir that is gone when t ends, with all that was
// made in it.
func TempDir(t testing.TB, dir string) string {
	t.Helper()
	at, err := os.MkdirTemp(dir, "t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(filepath.Dir(at), filepath.Base(at)); err != nil {
			t.Error(err)
		}
	})
	return at
}
