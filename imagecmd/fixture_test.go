package imagecmd

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

func newStore(t testing.TB) *store.Store {
	t.Helper()
	return openStore(t, t.TempDir())
}

func openStore(t testing.TB, root string) *store.Store {
	t.Helper()
	st, err := store.Open(root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// mustLoad loads a file or directory and returns what was printed.
func mustLoad(t testing.TB, st *store.Store, input string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Load(context.Background(), st, LoadOptions{Input: input}, &out); err != nil {
		t.Fatalf("load: %v", err)
	}
	return out.String()
}

// mustChain makes the chain of an image, which packs and indexes everything.
func mustChain(t testing.TB, st *store.Store, name string) store.Image {
	t.Helper()
	img, err := st.Resolve(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	_, release, err := st.Chain(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	release()
	return img
}

// tool runs a program of the host, and skips loudly where there is none.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIP: %s is not installed, so the exchange with it is not tested", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// pipe sends b through a program.
func pipe(t testing.TB, b []byte, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(b)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func mustDiffID(img it.Image) digest.Digest { return digest.FromBytes(img.Layers[0]) }
