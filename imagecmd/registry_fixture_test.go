package imagecmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
	"github.com/cfs-project/cfs/internal/testregistry"
)

// registryChild is what a child process does beside the commands of archives.
func registryChild(ctx context.Context, st *store.Store, args []string) error {
	switch args[0] {
	case "pull":
		return Pull(ctx, st, PullOptions{Name: args[1]}, os.Stdout)
	case "push":
		return Push(ctx, st, PushOptions{Name: args[1]}, os.Stdout)
	}
	return fmt.Errorf("no command %q", args[0])
}

// asNobody makes the test one of a user without files.
func asNobody(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	for key, value := range map[string]string{
		"HOME": home, "DOCKER_CONFIG": filepath.Join(home, "docker"), "XDG_CONFIG_HOME": filepath.Join(home, "config"),
		"XDG_RUNTIME_DIR": "", "REGISTRY_AUTH_FILE": "", "CONTAINERS_REGISTRIES_CONF": "/dev/null",
	} {
		t.Setenv(key, value)
	}
}

// startRegistry starts a registry, and skips loudly where there is none.
func startRegistry(t *testing.T, o testregistry.Options) *testregistry.Registry {
	t.Helper()
	asNobody(t)
	r, err := testregistry.Start(t.TempDir(), o)
	if errors.Is(err, testregistry.ErrMissing) {
		t.Skip("SKIP: ", err, ", so no registry is spoken with")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

func startProxy(t *testing.T, r *testregistry.Registry) *testregistry.Proxy {
	t.Helper()
	p := testregistry.NewProxy(r.Addr)
	t.Cleanup(p.Close)
	return p
}

// noise is a layer that can't be compressed, of so many bytes and some more.
func noise(t *testing.T, seed byte, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return it.Tar(t, it.Entry{Name: fmt.Sprintf("noise-%d", seed), Data: string(b)})
}

// noisyImage is an image of layers of noise.
func noisyImage(t *testing.T, layers, size int) it.Image {
	t.Helper()
	var list [][]byte
	for i := range layers {
		list = append(list, noise(t, byte(i+1), size))
	}
	return it.New(t, 0, list...)
}

// loaded is a store with an image, as name.
func loaded(t *testing.T, img it.Image, name string) *store.Store {
	t.Helper()
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, img, name)...)))
	return st
}

func mustPush(t *testing.T, st *store.Store, name string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Push(context.Background(), st, PushOptions{Name: name}, &out); err != nil {
		t.Fatalf("push %s: %v\n%s", name, err, out.Bytes())
	}
	return out.String()
}

func mustPull(t *testing.T, st *store.Store, name string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Pull(context.Background(), st, PullOptions{Name: name}, &out); err != nil {
		t.Fatalf("pull %s: %v\n%s", name, err, out.Bytes())
	}
	return out.String()
}

// isWhole holds an image of the store against what it was made of.
func isWhole(t *testing.T, st *store.Store, name string, want it.Image) {
	t.Helper()
	img := mustChain(t, st, name)
	if img.ID != want.ID() {
		t.Errorf("%s is %s instead of %s", name, img.ID, want.ID())
	}
	in, err := st.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for i, l := range img.Layers {
		if have, err := in.HasBlob(context.Background(), l); !have || err != nil {
			t.Errorf("blob %s is not here: %v", l.Digest, err)
		}
		tar, err := os.ReadFile(filepath.Join(st.Root(), "layers", img.Config.RootFS.DiffIDs[i].Encoded(), "layer.tar"))
		if err != nil || !bytes.Equal(tar, want.Layers[i]) {
			t.Errorf("layer %d differs: %v", i, err)
		}
	}
}

// leftovers are the files of tmp/ and partial/.
func leftovers(t *testing.T, st *store.Store) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{"tmp", "partial"} {
		list, err := filepath.Glob(filepath.Join(st.Root(), dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, list...)
	}
	return out
}

// alsoNamed gives an image of the store one more name.
func alsoNamed(t *testing.T, st *store.Store, name, other string) {
	t.Helper()
	ctx := context.Background()
	img, err := st.Resolve(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.ParseNormalizedNamed(other)
	if err != nil {
		t.Fatal(err)
	}
	in, err := st.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Commit(ctx, img.Target, ref); err != nil {
		t.Fatal(err)
	}
}

// openFor is a store on a machine of that architecture.
func openFor(t *testing.T, root, arch string) *store.Store {
	t.Helper()
	st, err := store.Open(root, store.Options{Platform: &ocispec.Platform{OS: "linux", Architecture: arch}})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func versioned() specs.Versioned { return specs.Versioned{SchemaVersion: 2} }
