package imagecmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/internal/testregistry"
)

// An image goes to a registry and comes back as it was, by its tag and its
// digest; and where nothing is to be done, that takes one question.
func TestPushAndPull(t *testing.T) {
	proxy := startProxy(t, startRegistry(t, testregistry.Options{}))
	img := noisyImage(t, 3, 200_000)
	name := proxy.Addr + "/team/app:1"
	here := loaded(t, img, name)
	mustPush(t, here, name)
	pushed, err := here.Resolve(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(pushed.Digests) != 1 || pushed.Digests[0] != proxy.Addr+"/team/app@"+string(pushed.Target.Digest) {
		t.Errorf("it is known as %q", pushed.Digests)
	}
	there := newStore(t)
	mustPull(t, there, name)
	isWhole(t, there, name, img)
	pulled, err := there.Resolve(context.Background(), name)
	if err != nil || pulled.Target.Digest != pushed.Target.Digest || !slices.Equal(pulled.Digests, pushed.Digests) {
		t.Errorf("pulled %s as %q, %v", pulled.Target.Digest, pulled.Digests, err)
	}
	byDigest := newStore(t)
	mustPull(t, byDigest, pushed.Digests[0])
	isWhole(t, byDigest, pushed.Digests[0], img)
	if left := leftovers(t, there); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for what, again := range map[string]func() string{
		"pull": func() string { return mustPull(t, there, name) },
		"push": func() string { return mustPush(t, here, name) },
	} {
		proxy.Forget()
		out := again()
		// The other asks whether it is TLS that is spoken, and is none.
		if n := proxy.Requests(""); n != 1 || proxy.Requests("HEAD") != 1 {
			t.Errorf("a %s of what is there already makes %d requests:\n%s", what, n, out)
		}
	}
}

// A blob that the registry has wrong is refused, and leaves nothing.
func TestDamagedRegistry(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	img := noisyImage(t, 1, 100_000)
	here := loaded(t, img, registry.Addr+"/app")
	mustPush(t, here, registry.Addr+"/app")
	pushed, err := here.Resolve(context.Background(), registry.Addr+"/app")
	if err != nil {
		t.Fatal(err)
	}
	d := pushed.Layers[0].Digest
	blob := filepath.Join(registry.Data(), "docker/registry/v2/blobs/sha256", d.Encoded()[:2], d.Encoded(), "data")
	raw, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(blob, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	st := newStore(t)
	err = Pull(context.Background(), st, PullOptions{Name: registry.Addr + "/app"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), string(d)) {
		t.Errorf("%v", err)
	}
	if images, err := st.Images(context.Background()); len(images) > 0 || err != nil {
		t.Errorf("it is an image: %v, %v", images, err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(blob, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	mustPull(t, st, registry.Addr+"/app")
	isWhole(t, st, registry.Addr+"/app", img)
}

// What one writes into a registry, the other reads.
func TestSkopeoAndTheRegistry(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	img := threeLayers(t)
	st := loaded(t, img, registry.Addr+"/cfs:1")
	mustPush(t, st, registry.Addr+"/cfs:1")
	dir := t.TempDir()
	tool(t, "skopeo", "copy", "-q", "--src-tls-verify=false", "docker://"+registry.Addr+"/cfs:1", "docker-archive:"+dir+"/a.tar:back:1")
	back := newStore(t)
	mustLoad(t, back, dir+"/a.tar")
	isWhole(t, back, "back:1", img)
	for _, format := range []string{"oci", "v2s2"} {
		name := registry.Addr + "/skopeo:" + format
		tool(t, "skopeo", "copy", "-q", "--dest-tls-verify=false", "-f", format, "oci:"+st.LayoutDir()+":"+registry.Addr+"/cfs:1", "docker://"+name)
		got := newStore(t)
		mustPull(t, got, name)
		for _, l := range mustChain(t, got, name).Layers {
			if !strings.Contains(l.MediaType, "gzip") {
				t.Errorf("%s: a layer is %s", format, l.MediaType)
			}
		}
		// And back without a change.
		before, err := got.Resolve(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		alsoNamed(t, got, name, registry.Addr+"/again-"+format)
		out := mustPush(t, got, registry.Addr+"/again-"+format)
		if !strings.Contains(out, "digest: "+string(before.Target.Digest)) || !strings.Contains(out, ": Mounted from skopeo\n") {
			t.Errorf("%s goes back as\n%s", format, out)
		}
	}
}

// An index stays what the tag is of. Of its platforms one is fetched, another
// time another, and both are kept.
func TestPlatforms(t *testing.T) {
	registry := startRegistry(t, testregistry.Options{})
	name := registry.Addr + "/multi:1"
	amd, arm := it.Simple(t, "amd64"), it.Simple(t, "arm64")
	arm.Config = bytes.Replace(arm.Config, []byte(`"amd64"`), []byte(`"arm64"`), 1)
	l := it.Layout{}
	a := l.Add(t, amd, ocispec.MediaTypeImageLayerGzip, it.Gzip)
	b := l.Add(t, arm, ocispec.MediaTypeImageLayerGzip, it.Gzip)
	a.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	b.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	index := l.Blob(ocispec.MediaTypeImageIndex, it.JSON(t, ocispec.Index{
		Versioned: versioned(), MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{a, b}}))
	l.Index(t, it.Named(index, ocispec.AnnotationRefName, name))
	whole := newStore(t)
	mustLoad(t, whole, l.Write(t, filepath.Join(t.TempDir(), "layout")))
	if out := mustPush(t, whole, name); !strings.Contains(out, "digest: "+string(index.Digest)) {
		t.Errorf("the index is pushed as\n%s", out)
	}
	st := openFor(t, t.TempDir(), "amd64")
	mustPull(t, st, name)
	got, err := st.Resolve(context.Background(), name)
	if err != nil || got.Target.Digest != index.Digest || got.ID != amd.ID() {
		t.Fatalf("pulled %s of %s: %v", got.ID, got.Target.Digest, err)
	}
	if _, err := st.Document(context.Background(), b); err == nil {
		t.Error("the other platform was fetched")
	}
	p := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	var out bytes.Buffer
	if err := Pull(context.Background(), st, PullOptions{Name: name, Platform: &p}, &out); err != nil || !strings.Contains(out.String(), "Downloaded newer") {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if img, err := openFor(t, st.Root(), "arm64").Resolve(context.Background(), name); err != nil || img.ID != arm.ID() {
		t.Errorf("%v", err)
	}
	if img, err := st.Resolve(context.Background(), name); err != nil || img.ID != amd.ID() {
		t.Errorf("%v", err)
	}
	p.Architecture = "s390x"
	err = Pull(context.Background(), st, PullOptions{Name: name, Platform: &p}, io.Discard)
	if want := "no matching manifest for linux/s390x in the manifest list entries"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v", err)
	}
	one := registry.Addr + "/one:1"
	mustPush(t, loaded(t, amd, one), one)
	p.Architecture = "arm64"
	if err := Pull(context.Background(), st, PullOptions{Name: one, Platform: &p}, io.Discard); err == nil || !strings.Contains(err.Error(), "does not match the specified platform: wanted linux/arm64/v8, actual: linux/amd64") {
		t.Errorf("%v", err)
	}

	// A store with one platform pushes the index where the rest is, and the
	// image alone elsewhere.
	part := openFor(t, t.TempDir(), "amd64")
	mustPull(t, part, name)
	for repo, want := range map[string]digest.Digest{"multi:2": index.Digest, "elsewhere:1": a.Digest} {
		to := registry.Addr + "/" + repo
		alsoNamed(t, part, name, to)
		var out, said bytes.Buffer
		if err := Push(context.Background(), part, PushOptions{Name: to, Registry: RegistryOptions{Talk: &said}}, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "digest: "+string(want)) || (said.Len() > 0) != (want == a.Digest) {
			t.Errorf("%s:\n%s%s", repo, out.Bytes(), said.Bytes())
		}
	}
}
