package imagecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// skopeo reads what cfs wrote, and cfs what skopeo made of it, in every form.
func TestSkopeoReadsTheStore(t *testing.T) {
	img := threeLayers(t)
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, img, "x/y:1", "debian")...)))
	for _, name := range []string{"x/y:1", "debian:latest"} {
		var got struct{ Layers []string }
		if err := json.Unmarshal([]byte(tool(t, "skopeo", "inspect", "oci:"+st.LayoutDir()+":"+name)), &got); err != nil || len(got.Layers) != 3 {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for dest, want := range map[string]string{
		"docker-archive:d.tar:x/y:2":                     "Loaded image: x/y:2\n",
		"oci-archive:o.tar:debian:3":                     "Loaded image: debian:3\n",
		"oci-archive:o.tar:docker.io/library/debian:4":   "Loaded image: debian:4\n",
		"oci-archive:o.tar:word":                         "Loaded image: word:latest\n",
		"oci-archive:o.tar":                              "Loaded image ID: " + string(img.ID()) + "\n",
		"oci:layout:quay.io/a/b:5":                       "Loaded image: quay.io/a/b:5\n",
		"docker-archive:d.tar:localhost:5000/x/y:latest": "Loaded image: localhost:5000/x/y:latest\n",
	} {
		dir := t.TempDir()
		kind, rest, _ := bytes.Cut([]byte(dest), []byte(":"))
		file, _, _ := bytes.Cut(rest, []byte(":"))
		tool(t, "skopeo", "copy", "-q", "oci:"+st.LayoutDir()+":x/y:1", string(kind)+":"+dir+"/"+string(rest))
		other := newStore(t)
		if diff := cmp.Diff(want, mustLoad(t, other, filepath.Join(dir, string(file)))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", dest, diff)
		}
		got := mustChain(t, other, string(img.ID()))
		if got.Size != 800_001 {
			t.Errorf("%s: size %d", dest, got.Size)
		}
	}
}

// What skopeo copies into the store directory is an image of the store, and a
// name it gives again moves.
func TestSkopeoWritesTheStore(t *testing.T) {
	one, two := it.Simple(t, "one"), it.Simple(t, "two")
	st := newStore(t)
	for n, img := range []it.Image{one, two} {
		from := it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, img, "x:1")...))
		for _, name := range []string{"name", "quay.io/a/b:tag"} {
			tool(t, "skopeo", "copy", "-q", "docker-archive:"+from, "oci:"+st.LayoutDir()+":"+name)
			if got := mustChain(t, st, name); got.ID != img.ID() {
				t.Errorf("%s, copy %d: %s instead of %s", name, n, got.ID, img.ID())
			}
		}
	}
	if err := Remove(context.Background(), st, RemoveOptions{Names: []string{"name:latest", "quay.io/a/b:tag"}}, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	// skopeo keeps what lost its name as a nameless line, as cfs does.
	imgs, err := st.Images(context.Background())
	if err != nil || len(imgs) != 1 || imgs[0].ID != one.ID() || len(imgs[0].Names) != 0 {
		t.Error(imgs, err)
	}
}

func TestUmoci(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, threeLayers(t), "x/y:1")...)))
	if got := tool(t, "umoci", "ls", "--layout", st.LayoutDir()); got != "x/y:1\n" {
		t.Errorf("umoci ls: %q", got)
	}
	// A layout that umoci makes: a new image, with a layer of its own.
	dir := filepath.Join(t.TempDir(), "layout")
	tool(t, "umoci", "init", "--layout", dir)
	tool(t, "umoci", "new", "--image", dir+":fresh")
	bundle := filepath.Join(t.TempDir(), "bundle")
	tool(t, "umoci", "unpack", "--rootless", "--image", dir+":fresh", bundle)
	if err := os.WriteFile(filepath.Join(bundle, "rootfs/hostname"), []byte("umoci\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, "umoci", "repack", "--image", dir+":fresh", bundle)
	tool(t, "umoci", "config", "--image", dir+":fresh", "--config.cmd", "sh")
	if got := mustLoad(t, st, dir); got != "Loaded image: fresh:latest\n" {
		t.Error(got)
	}
	img := mustChain(t, st, "fresh")
	if diff := cmp.Diff([]string{"sh"}, img.Config.Config.Cmd); diff != "" || len(img.Layers) != 1 {
		t.Error(diff, img.Layers)
	}
	// umoci works on the store in place.
	tool(t, "umoci", "tag", "--image", st.LayoutDir()+":x/y:1", "tagged")
	tool(t, "umoci", "rm", "--image", st.LayoutDir()+":fresh:latest")
	imgs, err := st.Images(context.Background())
	if err != nil || len(imgs) != 1 {
		t.Fatal(imgs, err)
	}
	if diff := cmp.Diff([]string{"tagged:latest", "x/y:1"}, imgs[0].Names); diff != "" {
		t.Error(diff)
	}
	tool(t, "umoci", "gc", "--layout", st.LayoutDir())
	mustChain(t, st, "tagged")
}

// An image of no layers is one, too.
func TestImageWithoutLayers(t *testing.T) {
	img := it.New(t, 0)
	l := it.Layout{}
	l.Index(t, it.Named(l.Add(t, img, ocispec.MediaTypeImageLayer, nil), refName, "scratchy"))
	st := newStore(t)
	mustLoad(t, st, l.Write(t, t.TempDir()))
	if got := mustChain(t, st, "scratchy"); got.Size != 0 {
		t.Error(got.Size)
	}
	if _, err := st.Remove(context.Background(), "scratchy", store.RemoveOptions{}); err != nil {
		t.Error(err)
	}
}
