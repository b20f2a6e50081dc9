package imagecmd

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

// mustSave saves to a new file and returns it.
func mustSave(t testing.TB, st *store.Store, o SaveOptions) string {
	t.Helper()
	o.Output = filepath.Join(t.TempDir(), "saved")
	if err := Save(context.Background(), st, o, io.Discard); err != nil {
		t.Fatalf("save %v: %v", o.Images, err)
	}
	return o.Output
}

// digests is a layout's blobs, which it verifies.
func digests(t testing.TB, path string) map[digest.Digest]bool {
	t.Helper()
	out := map[digest.Digest]bool{}
	for name, raw := range tarFiles(t, path) {
		if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
			out[digest.NewDigestFromEncoded(digest.SHA256, hex)] = true
			if got := digest.FromBytes(raw); got.Encoded() != hex {
				t.Errorf("the blob %s is %s", hex, got)
			}
		}
	}
	return out
}

// tarFiles are the files of a tar, or of a directory.
func tarFiles(t testing.TB, path string) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		raw, err = exec.Command("tar", "c", "-C", path, "--transform=s,^\\./,,", ".").Output()
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if out[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What was loaded is saved with every digest it had, whatever the compression, in
// every format, and what is saved of that again is the same to the byte.
func TestSaveKeepsEveryDigest(t *testing.T) {
	img := threeLayers(t)
	for mediaType, pack := range map[string]func(testing.TB, []byte) []byte{
		ocispec.MediaTypeImageLayer: nil, ocispec.MediaTypeImageLayerGzip: it.Gzip, ocispec.MediaTypeImageLayerZstd: it.Zstd,
	} {
		l := it.Layout{}
		d := l.Add(t, img, mediaType, pack)
		l.Index(t, it.Named(d, refName, "x/y:1"))
		want := map[digest.Digest]bool{}
		for name := range l {
			if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
				want[digest.NewDigestFromEncoded(digest.SHA256, hex)] = true
			}
		}
		st := newStore(t)
		mustLoad(t, st, l.Write(t, t.TempDir()))
		for _, format := range SaveFormats() {
			saved := mustSave(t, st, SaveOptions{Images: []string{"x/y:1"}, Format: format})
			if diff := cmp.Diff(want, digests(t, saved)); diff != "" {
				t.Errorf("%s %s: -want +got:\n%s", mediaType, format, diff)
			}
			again := newStore(t)
			if got := mustLoad(t, again, saved); got != "Loaded image: x/y:1\n" {
				t.Errorf("%s %s: %s", mediaType, format, got)
			}
			if got := mustChain(t, again, "x/y:1"); got.ID != img.ID() || got.Target.Digest != d.Digest {
				t.Errorf("%s %s: image %s, target %s", mediaType, format, got.ID, got.Target.Digest)
			}
			second := mustSave(t, again, SaveOptions{Images: []string{"x/y:1"}, Format: format})
			if diff := cmp.Diff(tarFiles(t, saved), tarFiles(t, second)); diff != "" {
				t.Errorf("%s %s: saved again: %s", mediaType, format, diff)
			}
			if format != OCIDir {
				a, _ := os.ReadFile(saved)
				b, _ := os.ReadFile(second)
				if !bytes.Equal(a, b) {
					t.Errorf("%s %s: saved again it has other bytes", mediaType, format)
				}
			}
		}
	}
}

// A docker-archive tells of itself in Docker's three ways.
func TestSavedManifests(t *testing.T) {
	a, b := it.Simple(t, "a"), it.New(t, 5)
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, a, "x/y:1", "x/y:2", "debian")...)))
	mustLoad(t, st, it.File(t, "b.tar", it.Tar(t, it.DockerOld(t, b, "empty")...)))
	layer := digest.FromBytes(a.Layers[0]).Encoded()
	elementA := `{"Config":"blobs/sha256/` + a.ID().Encoded() + `","RepoTags":TAGS,"Layers":["blobs/sha256/` + layer + `"]}`
	elementB := `{"Config":"blobs/sha256/` + b.ID().Encoded() + `","RepoTags":["empty:latest"],"Layers":[]}`
	for _, tc := range []struct {
		images       []string
		tags         string
		repositories string
		and          string
	}{
		{[]string{"x/y:1"}, `["x/y:1"]`, `{"x/y":{"1":"LAYER"}}`, ""},
		{[]string{"x/y"}, `["x/y:1","x/y:2"]`, `{"x/y":{"1":"LAYER","2":"LAYER"}}`, ""},
		{[]string{"debian", "docker.io/x/y:2", "debian:latest"}, `["debian:latest","x/y:2"]`, `{"debian":{"latest":"LAYER"},"x/y":{"2":"LAYER"}}`, ""},
		{[]string{a.ID().Encoded()[:12]}, "null", "{}", ""},
		{[]string{string(a.ID()), "debian"}, `["debian:latest"]`, `{"debian":{"latest":"LAYER"}}`, ""},
		{[]string{"debian", "empty"}, `["debian:latest"]`, `{"debian":{"latest":"LAYER"}}`, "," + elementB},
	} {
		files := tarFiles(t, mustSave(t, st, SaveOptions{Images: tc.images}))
		if diff := cmp.Diff("["+strings.ReplaceAll(elementA, "TAGS", tc.tags)+tc.and+"]", string(files["manifest.json"])); diff != "" {
			t.Errorf("%v: manifest.json: %s", tc.images, diff)
		}
		if diff := cmp.Diff(strings.ReplaceAll(tc.repositories, "LAYER", layer), string(files["repositories"])); diff != "" {
			t.Errorf("%v: repositories: %s", tc.images, diff)
		}
		var x ocispec.Index
		if err := json.Unmarshal(files["index.json"], &x); err != nil {
			t.Fatal(err)
		}
		if want := max(1, strings.Count(tc.tags, ":")) + strings.Count(tc.and, "RepoTags"); len(x.Manifests) != want {
			t.Errorf("%v: %d lines in index.json", tc.images, len(x.Manifests))
		}
	}
}

// The entries of a saved tar are sorted, root's, and as old as Unix.
func TestSavedTarIsStable(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, threeLayers(t), "x")...)))
	f, err := os.Open(mustSave(t, st, SaveOptions{Images: []string{"x"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Gid != 0 || h.Format != tar.FormatUSTAR {
			t.Errorf("%+v", h)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("%q", names)
	}
}

// manyPlatforms is a layout of an index: an image for this platform, one for
// another, one that is not here, and an attestation.
func manyPlatforms(t testing.TB) (l it.Layout, host, other ocispec.Descriptor) {
	l = it.Layout{}
	platform := store.HostPlatform()
	platform.Variant = ""
	host = l.Add(t, it.Simple(t, "host"), ocispec.MediaTypeImageLayerGzip, it.Gzip)
	host.Platform = &platform
	foreign := it.Simple(t, "foreign")
	var c ocispec.Image
	if err := json.Unmarshal(foreign.Config, &c); err != nil {
		t.Fatal(err)
	}
	c.Architecture = "s390x"
	foreign.Config = it.JSON(t, c)
	other = l.Add(t, foreign, ocispec.MediaTypeImageLayerGzip, it.Gzip)
	other.Platform = &ocispec.Platform{OS: "linux", Architecture: "s390x"}
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("not here"), Size: 8,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}
	attestation := l.Add(t, it.New(t, 9), "application/vnd.in-toto+json", nil)
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	index := l.Blob(ocispec.MediaTypeImageIndex, it.JSON(t, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{host, other, missing, attestation}}))
	l.Index(t, it.Named(index, refName, "many:1"))
	return l, host, other
}

// An index is saved whole, as far as it is here, or of it one platform.
func TestSavePlatforms(t *testing.T) {
	l, host, other := manyPlatforms(t)
	st := newStore(t)
	mustLoad(t, st, l.Write(t, t.TempDir()))
	want := map[digest.Digest]bool{}
	for name := range l {
		if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
			want[digest.NewDigestFromEncoded(digest.SHA256, hex)] = true
		}
	}
	for _, format := range SaveFormats() {
		saved := mustSave(t, st, SaveOptions{Images: []string{"many:1"}, Format: format})
		if diff := cmp.Diff(want, digests(t, saved)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", format, diff)
		}
	}
	for _, d := range []ocispec.Descriptor{host, other} {
		saved := mustSave(t, st, SaveOptions{Images: []string{"many:1"}, Format: OCIArchive, Platform: d.Platform})
		var x ocispec.Index
		if err := json.Unmarshal(tarFiles(t, saved)["index.json"], &x); err != nil {
			t.Fatal(err)
		}
		if len(x.Manifests) != 1 || x.Manifests[0].Digest != d.Digest || x.Manifests[0].Annotations[refName] != "many:1" || len(digests(t, saved)) != 3 {
			t.Errorf("%v: %+v", d.Platform, x)
		}
	}
	err := Save(context.Background(), st, SaveOptions{Images: []string{"many:1"}, Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}, io.Discard)
	if !errors.Is(err, store.ErrPlatform) {
		t.Errorf("a platform that is not here: %v", err)
	}
	// A layout is loaded the same way.
	one := newStore(t)
	if err := Load(context.Background(), one, LoadOptions{Input: l.Write(t, t.TempDir()), Platform: other.Platform}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if img, err := one.Resolve(context.Background(), "many:1"); err != nil || img.Target.Digest != other.Digest {
		t.Errorf("loaded for s390x: %v %v", img.Target, err)
	}
}

// An archive is there whole or not at all.
func TestSaveLeavesNothingHalf(t *testing.T) {
	st := newStore(t)
	img := threeLayers(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, img, "x")...)))
	// A blob that has other bytes than its name says.
	blob := filepath.Join(st.LayoutDir(), "blobs/sha256", mustDiffID(img).Encoded())
	raw, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	raw[1000]++
	if err := os.WriteFile(blob, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, format := range SaveFormats() {
		dir := t.TempDir()
		kept := filepath.Join(dir, "kept.tar")
		if err := os.WriteFile(kept, []byte("older"), 0o640); err != nil {
			t.Fatal(err)
		}
		outputs := []string{filepath.Join(dir, "new"), kept}
		if format == OCIDir {
			outputs = outputs[:1]
		}
		for _, o := range outputs {
			err := Save(context.Background(), st, SaveOptions{Images: []string{"x"}, Format: format, Output: o}, io.Discard)
			if !errors.Is(err, layerpack.ErrDigest) || !strings.Contains(err.Error(), mustDiffID(img).String()) {
				t.Errorf("%s: a damaged blob: %v", format, err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left %v (%v)", format, left, err)
		}
		if b, err := os.ReadFile(kept); err != nil || string(b) != "older" {
			t.Errorf("%s: what was there is now %q (%v)", format, b, err)
		}
	}
}

func TestSaveErrors(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "x"), "x")...)))
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "of"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x := []string{"x"}
	for _, tc := range []struct {
		o    SaveOptions
		want string
	}{
		{SaveOptions{Images: []string{"nosuch"}}, "No such image: nosuch"},
		{SaveOptions{Images: []string{"x", "x:2"}, Output: filepath.Join(dir, "o")}, "No such image: x:2"},
		{SaveOptions{Images: []string{"Not A Name"}}, "invalid reference format"},
		{SaveOptions{Images: x, Output: dir + "/none/x"}, `failed to save image: invalid output path: directory "` + dir + `/none" does not exist`},
		{SaveOptions{Images: x, Output: "/dev/null"}, "got a device"},
		{SaveOptions{Images: x, Output: full}, "is a directory"},
		{SaveOptions{Images: x, Output: full, Format: OCIDir}, "is not empty"},
		{SaveOptions{Images: x, Output: file, Format: OCIDir}, "is not a directory"},
		{SaveOptions{Images: x, Output: dir + "/none/x", Format: OCIDir}, `directory "` + dir + `/none" does not exist`},
		{SaveOptions{Images: x, Format: OCIDir}, "-o flag"},
		{SaveOptions{Images: x, Format: "cpio"}, "unknown format"},
	} {
		err := Save(context.Background(), st, tc.o, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc.o, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left %v (%v)", left, err)
	}
}

// An output is replaced through a symlink, keeps its mode, and is the owner's
// alone where it is new; a pipe is written as it is.
func TestOutputFiles(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "x"), "x")...)))
	want, err := os.ReadFile(mustSave(t, st, SaveOptions{Images: []string{"x"}}))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("old", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"link": 0o640, "new": 0o600} {
		path := filepath.Join(dir, name)
		if err := Save(context.Background(), st, SaveOptions{Images: []string{"x"}, Output: path}, io.Discard); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v %v", name, fi.Mode(), err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes (%v)", name, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "old" {
		t.Errorf("the link leads to %s (%v)", to, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if b, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v %s", err, b)
	}
	got := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(fifo)
		got <- b
	}()
	if err := Save(context.Background(), st, SaveOptions{Images: []string{"x"}, Output: fifo}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want) {
		t.Error("other bytes through a pipe")
	}
}

// A directory that a killed save left half is taken over by the next one, and of
// two saves at once into one place the second is refused.
func TestOutputDirIsTakenOver(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "x"), "x")...)))
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(dir), ".layout.part", "blobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := createOutputDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := SaveOptions{Images: []string{"x"}, Format: OCIDir, Output: dir}
	if err := Save(context.Background(), st, o, io.Discard); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two at once: %v", err)
	}
	first.lock.Close()                           // killed
	if err := os.Mkdir(dir, 0o755); err != nil { // an empty one is no obstacle
		t.Fatal(err)
	}
	if err := Save(context.Background(), st, o, io.Discard); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("left %v (%v)", left, err)
	}
	mustLoad(t, newStore(t), dir)
}

// skopeo, podman and umoci read what is saved.
func TestOthersReadWhatIsSaved(t *testing.T) {
	img := threeLayers(t)
	l := it.Layout{}
	l.Index(t, it.Named(l.Add(t, img, ocispec.MediaTypeImageLayerGzip, it.Gzip), refName, "x/y:1"))
	st := newStore(t)
	mustLoad(t, st, l.Write(t, t.TempDir()))
	saved := map[SaveFormat]string{}
	for _, f := range SaveFormats() {
		saved[f] = mustSave(t, st, SaveOptions{Images: []string{"x/y:1"}, Format: f})
	}
	for _, source := range []string{"docker-archive:" + saved[DockerArchive] + ":x/y:1", "docker-archive:" + saved[DockerArchive],
		"oci-archive:" + saved[OCIArchive] + ":x/y:1", "oci-archive:" + saved[DockerArchive] + ":x/y:1", "oci:" + saved[OCIDir] + ":x/y:1"} {
		dir := filepath.Join(t.TempDir(), "copy")
		tool(t, "skopeo", "copy", "-q", source, "oci:"+dir+":copied:1")
		other := newStore(t)
		mustLoad(t, other, dir)
		if got := mustChain(t, other, "copied:1"); got.ID != img.ID() {
			t.Errorf("%s: %s instead of %s", source, got.ID, img.ID())
		}
	}
	if got := tool(t, "umoci", "ls", "--layout", saved[OCIDir]); got != "x/y:1\n" {
		t.Errorf("umoci ls: %q", got)
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	tool(t, "umoci", "unpack", "--rootless", "--image", saved[OCIDir]+":x/y:1", bundle)
	if b, err := os.ReadFile(filepath.Join(bundle, "rootfs/b")); err != nil || string(b) != "b" {
		t.Errorf("unpacked by umoci: %q (%v)", b, err)
	}
	if os.Getuid() != 0 {
		t.Log("SKIP: podman as an ordinary user needs sub-uids, so it is not asked")
		return
	}
	for _, f := range []SaveFormat{DockerArchive, OCIArchive} {
		root := t.TempDir()
		podman := func(args ...string) string {
			return tool(t, "podman", append([]string{"--root", root + "/root", "--runroot", root + "/run", "--storage-driver", "vfs"}, args...)...)
		}
		podman("load", "-q", "-i", saved[f])
		if got := podman("images", "-q", "--no-trunc"); strings.TrimSpace(got) != string(img.ID()) {
			t.Errorf("podman has of the %s: %s", f, got)
		}
	}
}
