package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/internal/hint"
)

// addContainer writes the config.json of a container of an image.
func addContainer(t testing.TB, st *Store, id string, img Image) {
	t.Helper()
	dir := st.ContainerDir(id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := Container{ID: id, ImageID: img.ID, Layers: img.Config.RootFS.DiffIDs}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), it.JSON(t, c), 0o600); err != nil {
		t.Fatal(err)
	}
}

const container = "0123456789abcdef0123456789abcdef"

func TestRemoveByDockersRules(t *testing.T) {
	type step struct {
		name  string
		force bool
		want  string // Untagged, Deleted and the error, one a line
	}
	img := it.New(t, 0, it.Tar(t, it.Entry{Name: "a", Data: "1"}), it.Tar(t, it.Entry{Name: "b", Data: "2"}))
	id := string(img.ID())
	sid := img.ID().Encoded()[:12]
	d1, d2 := digest.FromBytes(img.Layers[0]), digest.FromBytes(img.Layers[1])
	gone := "Deleted: " + id + "\nDeleted: " + string(identity.ChainID([]digest.Digest{d1, d2})) + "\nDeleted: " + string(d1) + "\n"
	for name, tc := range map[string]struct {
		names   []string
		stopped bool
		running bool
		mounted bool
		steps   []step
	}{
		"the last name": {names: []string{"a"}, steps: []step{{"a", false, "Untagged: a:latest\n" + gone}, {"a", false, "No such image: a"}}},
		"one of two": {names: []string{"a", "b:1"}, steps: []step{
			{"a:latest", false, "Untagged: a:latest\n"}, {"a:latest", false, "No such image: a:latest"}, {"b:1", false, "Untagged: b:1\n" + gone}}},
		"ID with one name": {names: []string{"a"}, steps: []step{{sid, false, "Untagged: a:latest\n" + gone}}},
		"ID of a nameless": {steps: []step{{id, false, gone}}},
		"ID with two names": {names: []string{"a", "b"}, steps: []step{
			{sid, false, "conflict: unable to delete " + sid + " (must be forced) - image is referenced in multiple repositories"},
			{sid, true, "Untagged: a:latest\nUntagged: b:latest\n" + gone}}},
		"name, stopped container": {names: []string{"a"}, stopped: true, steps: []step{
			{"a", false, `conflict: unable to remove repository reference "a" (must force) - container 0123456789ab is using its referenced image ` + sid},
			{sid, false, "conflict: unable to delete " + sid + " (must be forced) - image is being used by stopped container 0123456789ab"},
			// Its layers stay, as the container stands on them.
			{"a", true, "Untagged: a:latest\nDeleted: " + id + "\n"}}},
		"one of two, stopped container": {names: []string{"a", "b"}, stopped: true, steps: []step{{"a", false, "Untagged: a:latest\n"}}},
		"running container": {names: []string{"a"}, running: true, steps: []step{
			{"a", false, `conflict: unable to remove repository reference "a" (must force) - container 0123456789ab is using its referenced image ` + sid},
			{sid, false, "conflict: unable to delete " + sid + " (cannot be forced) - image is being used by running container 0123456789ab"},
			{sid, true, "conflict: unable to delete " + sid + " (cannot be forced) - image is being used by running container 0123456789ab"},
			{"a", true, "Untagged: a:latest\n"},
			{id, true, "conflict: unable to delete " + sid + " (cannot be forced) - image is being used by running container 0123456789ab"}}},
		"mounted": {names: []string{"a", "b"}, mounted: true, steps: []step{
			{"b", false, "Untagged: b:latest\n"},
			{"a", false, "conflict: unable to delete " + sid + " (cannot be forced) - image is mounted"},
			{sid, true, "conflict: unable to delete " + sid + " (cannot be forced) - image is mounted"}}},
		"not a name": {names: []string{"a"}, steps: []step{{"A B", false, "invalid reference format: repository name (library/A B) must be lowercase"}}},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			bring(st, t, img, nil, tc.names...)
			i, release := chain(st, t, id)
			if !tc.mounted {
				release()
			}
			defer release()
			if tc.stopped || tc.running {
				addContainer(t, st, container, i)
			}
			if tc.running {
				end, err := st.HoldContainer(context.Background(), container)
				if err != nil {
					t.Fatal(err)
				}
				defer end()
			}
			for _, s := range tc.steps {
				done, err := st.Remove(context.Background(), s.name, RemoveOptions{Force: s.force})
				var b strings.Builder
				for _, n := range done.Untagged {
					b.WriteString("Untagged: " + n + "\n")
				}
				for _, d := range done.Deleted {
					b.WriteString("Deleted: " + string(d) + "\n")
				}
				if err != nil {
					b.WriteString(err.Error())
				}
				if diff := cmp.Diff(s.want, b.String()); diff != "" {
					t.Errorf("rmi %s, force %v: -want +got:\n%s", s.name, s.force, diff)
				}
				if err != nil && strings.HasPrefix(err.Error(), "conflict") != errors.Is(err, ErrConflict) {
					t.Errorf("%v is not ErrConflict", err)
				}
			}
		})
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	st := newStore(t)
	img := it.Simple(t, "x")
	// Two manifests of one image: plain and compressed.
	bring(st, t, img, nil, "x:plain")
	bring(st, t, img, it.Gzip, "x:gzip")
	_, release := chain(st, t, "x:gzip")
	release()
	if imgs, err := st.Images(context.Background()); len(imgs) != 1 || err != nil {
		t.Fatal(imgs, err)
	}
	for _, n := range []string{"x:plain", "x:gzip"} {
		if _, err := st.Remove(context.Background(), n, RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
		if n == "x:plain" {
			if _, err := os.Stat(st.blobPath(digest.FromBytes(img.Layers[0]))); err == nil {
				t.Error("the plain blob outlived its manifest")
			}
		}
	}
	if diff := cmp.Diff([]string{"oci/index.json", "oci/oci-layout"}, files(t, st)); diff != "" {
		t.Error(diff)
	}
}

func TestRemoveKeepsWhatOthersNeed(t *testing.T) {
	base := it.Tar(t, it.Entry{Name: "base", Data: "1"})
	one := it.New(t, 1, base, it.Tar(t, it.Entry{Name: "one", Data: "1"}))
	two := it.New(t, 2, base)
	st := newStore(t)
	bring(st, t, one, nil, "one")
	bring(st, t, two, it.Gzip, "two")
	_, release := chain(st, t, "one")
	release()
	_, release = chain(st, t, "two")
	release()
	done, err := st.Remove(context.Background(), "one", RemoveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []digest.Digest{one.ID(), identity.ChainID([]digest.Digest{digest.FromBytes(base), digest.FromBytes(one.Layers[1])})}
	if diff := cmp.Diff(want, done.Deleted); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	_, release = chain(st, t, "two")
	release()
}

// A container keeps its layers when its image is gone, and a removal later
// takes them.
func TestRemoveKeepsAContainersLayers(t *testing.T) {
	st := newStore(t)
	img := it.Simple(t, "x")
	bring(st, t, img, nil, "x")
	bring(st, t, it.Simple(t, "y"), nil, "y")
	i, release := chain(st, t, "x")
	release()
	addContainer(t, st, container, i)
	if _, err := st.Remove(context.Background(), "x", RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{st.layerPath(i.Config.RootFS.DiffIDs[0]), st.chainPath(identity.ChainID(i.Config.RootFS.DiffIDs))} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(st.ContainerDir(container)); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Remove(context.Background(), "y", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"oci/index.json", "oci/oci-layout"}, files(t, st)); diff != "" {
		t.Error(diff)
	}
}

// Blobs that another program has put there before its line of index.json are
// its own for OrphanAge.
func TestOrphansAreKeptForAWhile(t *testing.T) {
	st := newStore(t)
	bring(st, t, it.Simple(t, "x"), nil, "x")
	young, aged := st.blobPath(digest.FromString("young")), st.blobPath(digest.FromString("aged"))
	for _, p := range []string{young, aged} {
		if err := os.WriteFile(p, []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-OrphanAge - time.Hour)
	if err := os.Chtimes(aged, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Remove(context.Background(), "x", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(aged); err == nil {
		t.Error("kept for ever")
	}
}

// An ingest in progress keeps what it found from being removed.
func TestRemoveDuringIngest(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	img := it.Simple(t, "x")
	bring(st, t, img, it.Gzip, "x")
	i, release := chain(st, t, "x")
	release()
	in, err := st.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	raw, err := os.ReadFile(st.blobPath(i.Target.Digest))
	if err != nil {
		t.Fatal(err)
	}
	for n, l := range i.Layers {
		if _, err := in.Layer(ctx, LayerSource{DiffID: i.Config.RootFS.DiffIDs[n], Blob: l.Digest, Size: l.Size, Open: noBlob(l.Digest)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Bytes(ctx, "", img.Config); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Bytes(ctx, "", raw); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Remove(ctx, "x", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Commit(ctx, i.Target, ref(t, "again")); err != nil {
		t.Fatal(err)
	}
	in.Close()
	_, release = chain(st, t, "again")
	release()
}

// What can't be read can be removed, by its name or, without one, by its digest.
func TestRemoveUnreadable(t *testing.T) {
	st := newStore(t)
	ctx := context.Background()
	for _, names := range [][]string{{"x:1", "x:2"}, nil} {
		bring(st, t, it.Simple(t, "kept"), nil, "kept")
		img := it.Simple(t, "damaged")
		target := bring(st, t, img, it.Gzip, names...)
		if err := os.Remove(st.blobPath(img.ID())); err != nil {
			t.Fatal(err)
		}
		if images, err := st.Images(ctx); err == nil || len(images) != 1 || hint.Of(err) == "" {
			t.Fatal(images, err)
		}
		asked := names
		if names == nil {
			asked = []string{string(target)}
		}
		for _, name := range asked {
			done, err := st.Remove(ctx, name, RemoveOptions{})
			if diff := cmp.Diff(Removed{Untagged: []string{name}}, done); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		}
		if _, err := os.Stat(st.blobPath(target)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the manifest: %v", err)
		}
		if images, err := st.Images(ctx); err != nil || len(images) != 1 {
			t.Error(images, err)
		}
		if _, err := st.Remove(ctx, asked[0], RemoveOptions{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("again: %v", err)
		}
		wholeStore(t, st)
	}
}

// Of two images with one chain the one that is used stays, and the other may go.
func TestRemoveOneOfTwoWithOneChain(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	layer := it.Tar(t, it.Entry{Name: "a", Data: "1"})
	bring(st, t, it.New(t, 1, layer), nil, "used")
	bring(st, t, it.New(t, 2, layer), nil, "other")
	_, release := chain(st, t, "used")
	defer release()
	if _, err := st.Remove(ctx, "used", RemoveOptions{}); !errors.Is(err, ErrConflict) {
		t.Errorf("removing what is used: %v", err)
	}
	if _, err := st.Remove(ctx, "other", RemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// An image whose removal was faster is gone for who uses it, though everything that
// would be mounted is here still.
func TestUseOfWhatIsBeingRemoved(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	layer := it.Tar(t, it.Entry{Name: "a", Data: "1"})
	bring(st, t, it.New(t, 1, layer), nil, "a")
	bring(st, t, it.New(t, 2, layer), nil, "b")
	img, release := chain(st, t, "a")
	release()
	hold := st.Hold() // as a push has it, whose blobs a removal leaves
	defer hold.Close()
	if _, err := hold.Tree(ctx, img.Target, st.Platform()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Remove(ctx, "a", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, release, err := st.Chain(ctx, img); !errors.Is(err, ErrNotFound) {
		if err == nil {
			release()
		}
		t.Errorf("chain of an image that is gone: %v", err)
	}
}
