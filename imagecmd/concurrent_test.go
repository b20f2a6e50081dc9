package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/internal/testregistry"
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
	testenv.Isolate(unix.CLONE_NEWNET) // the bridge of containers goes with it
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
		case "images":
			err = Images(ctx, st, ImagesOptions{}, os.Stdout)
		case "save":
			err = Save(ctx, st, SaveOptions{Images: args[4:], Format: SaveFormat(args[2]), Output: args[3]}, os.Stdout)
			if err == nil {
				fmt.Println("saved")
			}
		case "fsck":
			var whole bool
			if whole, err = Fsck(ctx, st, FsckOptions{Repair: true, Quiet: true}, os.Stdout); err == nil && !whole {
				err = errors.New("the store is damaged")
			}
		case "commit":
			err = Commit(ctx, st, CommitOptions{Container: args[2], Name: args[3], Pause: true}, os.Stdout)
		case "chain":
			var img store.Image
			if img, err = st.Resolve(ctx, args[2]); err == nil {
				var release func()
				if _, release, err = st.Chain(ctx, img); err == nil {
					release()
				}
			}
		default:
			err = registryChild(ctx, st, args[1:])
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

// Forty processes load, pull, push, commit, remove, list, save, check and use images
// at the same time: nothing fails but for what is honestly not there, what was saved
// is whole, and afterwards the store is, too.
func TestFortyProcessesOnOneStore(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	root, dir := t.TempDir(), t.TempDir()
	img := bigImage(t)
	old := it.File(t, "old.tar", it.Tar(t, it.DockerOld(t, img, "big:1", "big:2")...))
	gz := it.Layout{}
	gz.Index(t, it.Named(gz.Add(t, img, "application/vnd.oci.image.layer.v1.tar+gzip", it.Gzip), refName, "big:1"))
	oci := it.File(t, "oci.tar.gz", it.Gzip(t, it.Tar(t, gz.Entries()...)))
	part := it.New(t, 1, img.Layers[:2]...) // shares layers with the other
	import1 := it.File(t, "import.tar", part.Layers[0])
	small := it.File(t, "part.tar", it.Tar(t, it.DockerOld(t, part, "part")...))
	// One that is in the registry, and that a container keeps.
	kept := it.New(t, 7, img.Layers[0])
	remote := registry.Addr + "/kept:1"
	st := openStore(t, root)
	mustLoad(t, st, it.File(t, "kept.tar", it.Tar(t, it.DockerOld(t, kept, remote)...)))
	if err := Push(t.Context(), st, PushOptions{Name: remote, Quiet: true}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), st, RunOptions{Image: remote, Command: []string{"x"}, Name: "work", ContainerOptions: ContainerOptions{Network: "none"}}, io.Discard); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"pull", remote}, {"push", remote}, {"commit", "work", "made:1"}, {"commit", "work", "made:2"},
		{"load", old}, {"load", oci}, {"load", small}, {"import", import1, "big:2"},
		{"images"}, {"chain", "big:1"}, {"chain", "part"}, {"fsck"},
		{"rmi", "big:1"}, {"rmi", "big:2", "part"},
		{"save", "docker-archive", "FILE", "big:1"}, {"save", "oci-archive", "FILE", "big"},
		{"save", "oci-dir", "FILE", "part"}, {"rmi", string(img.ID())}, {"rmi", "made:1"},
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range 40 {
		args := append([]string{root}, commands[i%len(commands)]...)
		if args[1] == "save" {
			args[3] = fmt.Sprintf("%s/saved-%d", dir, i)
		}
		wg.Go(func() {
			<-begin
			out, err := childCommand(args...).CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) {
				t.Errorf("%v: %v: %s", args[1:], err, out)
			}
		})
	}
	close(begin)
	wg.Wait()
	wholeStore(t, st)
	saved, err := os.ReadDir(dir) // some were removed before they were saved
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range saved {
		other := newStore(t)
		mustLoad(t, other, filepath.Join(dir, f.Name()))
		wholeStore(t, other)
	}
	mustLoad(t, st, old)
	mustChain(t, st, "big:1")
	wholeStore(t, st)
	noTemps(t, st)
}
