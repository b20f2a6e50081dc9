package imagecmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/testregistry"
)

// A pull that is killed goes on where it was: together, both fetch every byte
// once, but for what was on its way.
func TestPullAfterKill(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	proxy := startProxy(t, registry)
	const size, layers = 4 << 20, 3
	img := noisyImage(t, layers, size)
	mustPush(t, loaded(t, img, registry.Addr+"/app"), registry.Addr+"/app")
	st := newStore(t)
	reached := proxy.HoldAt(size * layers / 2)
	c := childCommand(st.Root(), "pull", proxy.Addr+"/app")
	out, err := startOutput(c)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	select {
	case <-reached:
	case <-ended:
		t.Fatalf("the pull ended by itself:\n%s", out)
	}
	waitFor(t, "the bytes to be in the store", func() bool { return partialBytes(st) > size })
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
	proxy.Release()
	had := partialBytes(st)
	proxy.Forget()
	mustPull(t, st, proxy.Addr+"/app")
	isWhole(t, st, proxy.Addr+"/app", img)
	var total int64
	pulled, _ := st.Resolve(context.Background(), proxy.Addr+"/app")
	for _, l := range pulled.Layers {
		total += l.Size
	}
	// The config; and what the proxy's connections read of the registry before they
	// see that who asked is dead.
	const slack = (16 + layers*32) << 10
	if served := proxy.Served(); had < size || served > total-had+slack {
		t.Errorf("of %d bytes the killed pull had %d, and the next was served %d", total, had, served)
	}
	if left := leftovers(t, st); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// partialBytes is what a store has of layers: whole blobs and partial ones.
func partialBytes(st *store.Store) (n int64) {
	for _, dir := range []string{"partial", "oci/blobs/sha256"} {
		_ = filepath.WalkDir(filepath.Join(st.Root(), dir), func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
				n += fi.Size()
			}
			return nil
		})
	}
	return n
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// Over a slow network that breaks every connection, images come and go whole, and
// what has come is not fetched again.
func TestBadNetwork(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	proxy := startProxy(t, registry)
	img := noisyImage(t, 2, 1<<20)
	mustPush(t, loaded(t, img, registry.Addr+"/app"), registry.Addr+"/app")
	proxy.Cut(300_000)
	proxy.Slow(time.Millisecond)
	st := newStore(t)
	mustPull(t, st, proxy.Addr+"/app")
	isWhole(t, st, proxy.Addr+"/app", img)
	if served, max := proxy.Served(), int64(2<<20+400_000); served > max {
		t.Errorf("%d bytes were served", served)
	}
	// docker-registry forgets an upload of which a part of a chunk is missing, so
	// connections must live for one layer at least.
	proxy.Forget()
	proxy.Cut(1_500_000)
	mustPush(t, loaded(t, img, proxy.Addr+"/other"), proxy.Addr+"/other")
	if proxy.Received() < 2<<20 {
		t.Errorf("%d bytes were sent", proxy.Received())
	}
	again := newStore(t)
	mustPull(t, again, registry.Addr+"/other")
	isWhole(t, again, registry.Addr+"/other", img)
}

// A registry that is killed and comes back is waited for.
func TestRegistryRestarts(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	proxy := startProxy(t, registry)
	img := noisyImage(t, 2, 1<<20)
	mustPush(t, loaded(t, img, registry.Addr+"/app"), registry.Addr+"/app")
	restart := func() {
		registry.Kill()
		proxy.Release()
		if err := registry.Restart(); err != nil {
			t.Error(err)
		}
	}
	reached := proxy.HoldAt(700_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-reached
		restart()
	}()
	st := newStore(t)
	mustPull(t, st, proxy.Addr+"/app")
	isWhole(t, st, proxy.Addr+"/app", img)
	<-done

	c := childCommand(loaded(t, img, proxy.Addr+"/new").Root(), "push", proxy.Addr+"/new")
	proxy.Slow(5 * time.Millisecond)
	proxy.Forget()
	out, err := startOutput(c)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the push to begin", func() bool { return proxy.Received() > 500_000 })
	registry.Kill()
	proxy.Slow(0)
	if err := registry.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	again := newStore(t)
	mustPull(t, again, registry.Addr+"/new")
	isWhole(t, again, registry.Addr+"/new", img)
}

func startOutput(c *exec.Cmd) (*bytes.Buffer, error) {
	var b bytes.Buffer
	c.Stdout, c.Stderr = &b, &b
	return &b, c.Start()
}

// A registry that is gone for good is a clear error, and the store is as it was.
func TestRegistryGone(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	img := noisyImage(t, 1, 1000)
	st := loaded(t, img, registry.Addr+"/app")
	registry.Kill()
	want := fmt.Sprintf("Get \"http://%s/v2/\": dial tcp %s: connect: connection refused", registry.Addr, registry.Addr)
	if err := Push(context.Background(), st, PushOptions{Name: registry.Addr + "/app"}, io.Discard); err == nil || err.Error() != want {
		t.Errorf("push: %v", err)
	}
	if err := Pull(context.Background(), st, PullOptions{Name: registry.Addr + "/app"}, io.Discard); err == nil || err.Error() != want {
		t.Errorf("pull: %v", err)
	}
	isWhole(t, st, registry.Addr+"/app", img)
}

// Pulls and pushes at once, of many processes, do each their work once.
func TestManyPulls(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	proxy := startProxy(t, registry)
	img := noisyImage(t, 3, 500_000)
	mustPush(t, loaded(t, img, registry.Addr+"/app"), registry.Addr+"/app")
	proxy.Slow(time.Millisecond)
	st := newStore(t)
	var children []*exec.Cmd
	var outs []*bytes.Buffer
	for range 6 {
		c := childCommand(st.Root(), "pull", proxy.Addr+"/app")
		out, err := startOutput(c)
		if err != nil {
			t.Fatal(err)
		}
		children, outs = append(children, c), append(outs, out)
	}
	for i, c := range children {
		if err := c.Wait(); err != nil {
			t.Errorf("%v\n%s", err, outs[i])
		}
	}
	isWhole(t, st, proxy.Addr+"/app", img)
	if served := proxy.Served(); served > 3*500_000*11/10 {
		t.Errorf("six pulls were served %d bytes", served)
	}
}
