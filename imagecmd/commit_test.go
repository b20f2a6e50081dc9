package imagecmd

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

func TestContainerConfig(t *testing.T) {
	var image imageConfig
	image.Config.Env = []string{"PATH=/bin", "A=a"}
	image.Config.Cmd, image.Config.Entrypoint = []string{"sh"}, []string{"/e"}
	image.Config.User = "7"
	c := Container{Command: []string{"/e", "x"}, Cmd: []string{"x"}, Process: process{Env: []string{"PATH=/bin", "A=a", "A=b", "B=c=d"}, User: "8", Cwd: "/"}}
	got := c.config(image.Config)
	want := image.Config
	want.Env, want.Cmd, want.User = []string{"PATH=/bin", "A=b", "B=c=d"}, []string{"x"}, "8"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	entry := "/own"
	c.Entrypoint, want.Entrypoint = &entry, []string{"/own"}
	if diff := cmp.Diff(want, c.config(image.Config)); diff != "" {
		t.Error(diff)
	}
	if c := (&Container{MountedAt: "/mnt"}); cmp.Diff(image.Config, c.config(image.Config)) != "" {
		t.Error("a mount has another configuration than its image")
	}
}

// An image that no store would read is none.
func TestNewImageDepth(t *testing.T) {
	st := newStore(t)
	in, err := st.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	n := newImage{Layers: make([]ocispec.Descriptor, store.MaxLayers+1)}
	if _, err := n.put(context.Background(), in); err == nil || !strings.Contains(err.Error(), "max depth exceeded") {
		t.Errorf("%v", err)
	}
}
