package imagecmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// TestMain lets the test binary be the program: with childEnv set it does one
// command on a store and ends.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child(os.Args[1:]))
	}
	os.Exit(m.Run())
}

const childEnv = "CFS_TEST_CHILD"

func child(args []string) int {
	st, err := store.Open(args[0], store.Options{})
	if err == nil {
		switch ctx := context.Background(); args[1] {
		case "load":
			err = Load(ctx, st, LoadOptions{Input: args[2], Stdin: os.Stdin}, os.Stdout)
		case "import":
			err = Import(ctx, st, ImportOptions{Input: args[2], Name: args[3]}, os.Stdout)
		case "rmi":
			err = Remove(ctx, st, RemoveOptions{Names: args[2:]}, os.Stdout)
		case "chain":
			var img store.Image
			if img, err = st.Resolve(ctx, args[2]); err == nil {
				var release func()
				if _, release, err = st.Chain(ctx, img); err == nil {
					release()
				}
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
			return 3 // honest conflicts
		}
		return 1
	}
	return 0
}

func childCommand(args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), childEnv+"=1")
	return c
}

// bigImage has a few layers that take some time to pack.
func bigImage(t testing.TB) it.Image {
	var layers [][]byte
	for l := range 4 {
		var entries []it.Entry
		for f := range 50 {
			entries = append(entries, it.Entry{Name: fmt.Sprintf("l%d-f%d", l, f), Data: strings.Repeat(fmt.Sprint(l, f), 10_000)})
		}
		layers = append(layers, it.Tar(t, entries...))
	}
	return it.New(t, 0, layers...)
}

// Processes load, remove and use one image at the same time: nothing fails but
// for what is honestly not there, and afterwards the store is whole.
func TestProcessesOnOneStore(t *testing.T) {
	root := t.TempDir()
	img := bigImage(t)
	old := it.File(t, "old.tar", it.Tar(t, it.DockerOld(t, img, "big:1")...))
	gz := it.Layout{}
	gz.Index(t, it.Named(gz.Add(t, img, "application/vnd.oci.image.layer.v1.tar+gzip", it.Gzip), refName, "big:1"))
	oci := it.File(t, "oci.tar", it.Tar(t, gz.Entries()...))
	var wg sync.WaitGroup
	for i := range 24 {
		args := [][]string{{root, "load", old}, {root, "load", oci}, {root, "chain", "big:1"}, {root, "rmi", "big:1"}}[i%4]
		wg.Go(func() {
			out, err := childCommand(args...).CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) {
				t.Errorf("%v: %v: %s", args[1:], err, out)
			}
		})
	}
	wg.Wait()
	st := openStore(t, root)
	mustLoad(t, st, old)
	mustChain(t, st, "big:1")
	noTemps(t, st)
}

// A load killed at any moment leaves a store that the next one completes, and
// the sweep leaves nothing of it.
func TestKilledLoad(t *testing.T) {
	img := bigImage(t)
	archive := it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, img, "big:1")...))
	gz := it.Layout{}
	gz.Index(t, it.Named(gz.Add(t, img, "application/vnd.oci.image.layer.v1.tar+gzip", it.Gzip), refName, "big:1"))
	packed := it.File(t, "o.tar", it.Tar(t, gz.Entries()...))
	begin := time.Now()
	if out, err := childCommand(t.TempDir(), "load", archive).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	whole := time.Since(begin)
	root := t.TempDir()
	st := openStore(t, root)
	for i := range 20 {
		input := []string{archive, packed}[i%2]
		c := childCommand(root, "load", input)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(whole) + 1)))
		_ = c.Process.Kill()
		_ = c.Wait()
		if _, err := st.Images(context.Background()); err != nil {
			t.Fatal(err)
		}
		if i%4 == 3 {
			mustLoad(t, st, input)
			mustChain(t, st, "big:1")
			noTemps(t, st)
			if _, err := st.Remove(context.Background(), "big:1", store.RemoveOptions{}); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(root + "/layers/*"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		}
	}
}

// On a full disk a load fails, says so, and leaves the store as it was; an
// image can still be removed.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: mounting a small tmpfs needs root, so a full disk is not tested")
	}
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("SKIP: no tmpfs can be mounted here (%v), so a full disk is not tested", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	st := openStore(t, root)
	mustLoad(t, st, it.File(t, "s.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "small"), "small")...)))
	img := bigImage(t)
	gz := it.Layout{}
	gz.Index(t, it.Named(gz.Add(t, img, "application/vnd.oci.image.layer.v1.tar+gzip", it.Gzip), refName, "big:1"))
	plainTar, gzTar := it.Tar(t, it.DockerOld(t, img, "big:1")...), it.Tar(t, gz.Entries()...)
	index, err := os.ReadFile(filepath.Join(root, "oci/index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]LoadOptions{
		"file":    {Input: it.File(t, "a.tar", plainTar)},
		"stdin":   {Stdin: io.MultiReader(bytes.NewReader(plainTar))},
		"gzipped": {Input: it.File(t, "b.tar", gzTar)},
	} {
		err := Load(context.Background(), st, o, io.Discard)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
		noTemps(t, st)
		if now, err := os.ReadFile(filepath.Join(root, "oci/index.json")); err != nil || !bytes.Equal(now, index) {
			t.Errorf("%s: index.json changed", name)
		}
		mustChain(t, st, "small")
	}
	// To the last byte.
	fill, err := os.Create(filepath.Join(root, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1 << 20; n > 0; {
		if _, err := fill.Write(make([]byte, n)); err != nil {
			n /= 2
		}
	}
	if err := fill.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Remove(context.Background(), st, RemoveOptions{Names: []string{"small"}}, io.Discard); err != nil {
		t.Errorf("rmi on a full disk: %v", err)
	}
}
