package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/testenv"
)

// TestMain lets the test binary be the program: with childEnv set it does one
// command on a store and ends.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		status := child(os.Args[1:])
		if os.Getenv(lingerEnv) != "" {
			_, _ = io.Copy(io.Discard, os.Stdin)
		}
		os.Exit(status)
	}
	testenv.Isolate()
	os.Exit(m.Run())
}

const (
	childEnv  = "CFS_TEST_CHILD"
	lingerEnv = "CFS_TEST_LINGER" // and waits for the end of its input before it ends
)

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
