package imagecmd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

const (
	refName  = ocispec.AnnotationRefName
	fullName = "io.containerd.image.name"
)

// threeLayers is an image with a layer that occurs twice.
func threeLayers(t testing.TB) it.Image {
	base := it.Tar(t, it.Entry{Name: "a/"}, it.Entry{Name: "a/f", Data: strings.Repeat("base", 100_000)})
	return it.New(t, 5, base, it.Tar(t, it.Entry{Name: "a/.wh.f"}, it.Entry{Name: "b", Data: "b"}), base)
}

func TestLoadEveryFormat(t *testing.T) {
	img := threeLayers(t)
	id := string(img.ID())
	old := it.Tar(t, it.DockerOld(t, img, "x/y:1", "z")...)
	plain, gz, zst := it.Layout{}, it.Layout{}, it.Layout{}
	plain.Index(t, it.Named(plain.Add(t, img, ocispec.MediaTypeImageLayer, nil), refName, "x/y:1"))
	gz.Index(t, it.Named(gz.Add(t, img, ocispec.MediaTypeImageLayerGzip, it.Gzip), refName, "latest", fullName, "docker.io/x/y:1"))
	zst.Index(t, it.Named(zst.Add(t, img, ocispec.MediaTypeImageLayerZstd, it.Zstd), refName, "Not A Name"))
	both := it.Layout{} // Docker 25 and later
	d := both.Add(t, img, ocispec.MediaTypeImageLayer, nil)
	both.Index(t, it.Named(d, refName, "1", fullName, "docker.io/x/y:1"))
	var layers []string
	for _, l := range img.Layers {
		layers = append(layers, "blobs/sha256/"+digest.FromBytes(l).Encoded())
	}
	both["manifest.json"] = string(it.JSON(t, []map[string]any{{
		"Config": "blobs/sha256/" + img.ID().Encoded(), "RepoTags": []string{"x/y:1", "z:latest"}, "Layers": layers}}))
	dockerOnly := it.Layout{}
	for k, v := range both {
		if k != "index.json" && k != "oci-layout" {
			dockerOnly[k] = v
		}
	}
	bare := it.Layout{}
	bare.Index(t, it.Named(bare.Add(t, img, ocispec.MediaTypeImageLayer, nil), refName, "debian"))

	const xy, z = "Loaded image: x/y:1\n", "Loaded image: z:latest\n"
	for name, tc := range map[string]struct {
		tar  []byte
		want string
	}{
		"docker before 25":            {old, xy + z},
		"docker before 25, no tags":   {it.Tar(t, it.DockerOld(t, img)...), "Loaded image ID: " + id + "\n"},
		"docker since 25":             {it.Tar(t, both.Entries()...), xy + z},
		"docker since 25, no layout":  {it.Tar(t, dockerOnly.Entries()...), xy + z},
		"oci, plain layers":           {it.Tar(t, plain.Entries()...), xy},
		"oci, gzip, containerd name":  {it.Tar(t, gz.Entries()...), xy},
		"oci, zstd, not a name":       {it.Tar(t, zst.Entries()...), "Loaded image ID: " + id + "\n"},
		"oci, a bare word is a name":  {it.Tar(t, bare.Entries()...), "Loaded image: debian:latest\n"},
		"names with a leading ./":     {it.Tar(t, prefixed("./", it.DockerOld(t, img, "x/y:1"))...), xy},
		"blobs before and after, dup": {it.Tar(t, append(it.DockerOld(t, img, "bad"), it.DockerOld(t, img, "x/y:1")...)...), xy},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "unpacked")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			untar := exec.Command("tar", "x", "-C", dir)
			untar.Stdin = bytes.NewReader(tc.tar)
			if b, err := untar.CombinedOutput(); err != nil {
				t.Fatalf("tar: %v: %s", err, b)
			}
			for how, o := range map[string]LoadOptions{
				"file":  {Input: it.File(t, "a.tar", tc.tar)},
				"gzip":  {Input: it.File(t, "a.tar.gz", it.Gzip(t, tc.tar))},
				"zstd":  {Input: it.File(t, "a.tar.zst", it.Zstd(t, tc.tar))},
				"stdin": {Stdin: io.MultiReader(bytes.NewReader(tc.tar))},
				"dir":   {Input: dir},
			} {
				st := newStore(t)
				var out bytes.Buffer
				if err := Load(context.Background(), st, o, &out); err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if diff := cmp.Diff(tc.want, out.String()); diff != "" {
					t.Errorf("%s: -want +got:\n%s", how, diff)
				}
				got := mustChain(t, st, id)
				if got.ID != img.ID() || got.Size != 2*400_000+1 {
					t.Errorf("%s: ID %s, size %d", how, got.ID, got.Size)
				}
				noTemps(t, st)
			}
		})
	}
}

func prefixed(p string, in []it.Entry) []it.Entry {
	for i := range in {
		in[i].Name = p + in[i].Name
	}
	return in
}

// noTemps holds that nothing is left of the work.
func noTemps(t testing.TB, st *store.Store) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(st.Root(), "tmp"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left in tmp: %s", e.Name())
	}
}

func TestLoadRefusesHostileArchives(t *testing.T) {
	img := it.Simple(t, "x")
	good := it.DockerOld(t, img, "x:1")
	manifest := func(m ...map[string]any) it.Entry {
		return it.Entry{Name: "manifest.json", Data: string(it.JSON(t, m))}
	}
	cfg := img.ID().Encoded() + ".json"
	layer := strings.Repeat("0", 63) + "1/layer.tar"
	layout := func(edit func(l it.Layout, m *ocispec.Manifest)) []byte {
		l := it.Layout{}
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
		m.SchemaVersion = 2
		m.Config = l.Blob(ocispec.MediaTypeImageConfig, img.Config)
		m.Layers = []ocispec.Descriptor{l.Blob(ocispec.MediaTypeImageLayerGzip, it.Gzip(t, img.Layers[0]))}
		edit(l, &m)
		l.Index(t, it.Named(l.Blob(ocispec.MediaTypeImageManifest, it.JSON(t, m)), refName, "x:1"))
		return it.Tar(t, l.Entries()...)
	}
	other := it.Tar(t, it.Entry{Name: "evil", Data: "evil"})

	for name, tc := range map[string]struct {
		tar  []byte
		want error
	}{
		"a root filesystem":     {img.Layers[0], archive.ErrInvalid},
		"not a tar":             {bytes.Repeat([]byte("passwd"), 400), archive.ErrInvalid},
		"truncated":             {it.Tar(t, good...)[:3000], archive.ErrInvalid},
		"truncated gzip":        {it.Gzip(t, it.Tar(t, good...))[:200], io.ErrUnexpectedEOF},
		"no images":             {it.Tar(t, manifest()), archive.ErrInvalid},
		"config out of it":      {it.Tar(t, append(good[:4:4], manifest(map[string]any{"Config": "../../etc/passwd", "Layers": []string{layer}}))...), archive.ErrInvalid},
		"absolute layer":        {it.Tar(t, append(good[:4:4], manifest(map[string]any{"Config": cfg, "Layers": []string{"/etc/passwd"}}))...), archive.ErrInvalid},
		"entry out of it":       {it.Tar(t, append(good, it.Entry{Name: "a/../../b", Data: "x"})...), archive.ErrInvalid},
		"symlink out of it":     {it.Tar(t, append(good, it.Entry{Name: "l", Link: "../../etc/passwd"})...), archive.ErrInvalid},
		"absolute symlink":      {it.Tar(t, append(good, it.Entry{Name: "l", Link: "/etc/passwd"})...), archive.ErrInvalid},
		"symlinks in a ring":    {it.Tar(t, good[0], it.Entry{Name: "a", Link: "b"}, it.Entry{Name: "b", Link: "a"}, manifest(map[string]any{"Config": cfg, "Layers": []string{"a"}})), archive.ErrInvalid},
		"missing layer":         {it.Tar(t, good[0], good[len(good)-1]), fs.ErrNotExist},
		"diff_ids too few":      {it.Tar(t, append(good[:4:4], manifest(map[string]any{"Config": cfg, "Layers": []string{layer, layer}}))...), store.ErrInvalid},
		"another layer":         {it.Tar(t, append(good, it.Entry{Name: layer, Data: string(other)})...), layerpack.ErrDigest},
		"another config":        {it.Tar(t, append(good, it.Entry{Name: cfg, Data: string(img.Config) + " "})...), archive.ErrInvalid},
		"bad tag":               {it.Tar(t, append(good[:4:4], manifest(map[string]any{"Config": cfg, "Layers": []string{layer}, "RepoTags": []string{"A B"}}))...), archive.ErrInvalid},
		"config of 5 MiB":       {it.Tar(t, it.Entry{Name: "c", Data: strings.Repeat(" ", 5<<20)}, manifest(map[string]any{"Config": "c"})), archive.ErrInvalid},
		"manifest.json of 5 MB": {it.Tar(t, it.Entry{Name: "manifest.json", Data: "[" + strings.Repeat(" ", 5<<20)}), archive.ErrInvalid},
		"blob with other bytes": {layout(func(l it.Layout, m *ocispec.Manifest) {
			l["blobs/sha256/"+m.Layers[0].Digest.Encoded()] = string(it.Gzip(t, other))
		}), layerpack.ErrDigest},
		"blob of another size": {layout(func(l it.Layout, m *ocispec.Manifest) { m.Layers[0].Size++ }), nil},
		"layer of another diff ID": {layout(func(l it.Layout, m *ocispec.Manifest) {
			m.Layers[0] = l.Blob(ocispec.MediaTypeImageLayerGzip, it.Gzip(t, other))
		}), layerpack.ErrDigest},
		"one layer too many": {layout(func(l it.Layout, m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }), store.ErrInvalid},
		"unknown algorithm": {layout(func(l it.Layout, m *ocispec.Manifest) {
			m.Layers[0].Digest = "md5:d41d8cd98f00b204e9800998ecf8427e"
		}), store.ErrInvalid},
		"digest as a path": {layout(func(l it.Layout, m *ocispec.Manifest) { m.Layers[0].Digest = "sha256:../../../../etc/passwd" }), store.ErrInvalid},
		"foreign layer": {layout(func(l it.Layout, m *ocispec.Manifest) {
			m.Layers[0].MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
			m.Layers[0].URLs = []string{"https://example.com/x"}
		}), store.ErrUnsupported},
		"not an image": {layout(func(l it.Layout, m *ocispec.Manifest) {
			m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
		}), store.ErrUnsupported},
		"a bomb": {it.Tar(t, it.DockerOld(t, it.Image{Config: it.New(t, 0, it.Tar(t, it.Entry{Name: "a/.wh..."})).Config, Layers: [][]byte{it.Tar(t, it.Entry{Name: "a/.wh..."})}}, "x:1")...), layerpack.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			for how, o := range map[string]LoadOptions{
				"file":  {Input: it.File(t, "a.tar", tc.tar)},
				"stdin": {Stdin: io.MultiReader(bytes.NewReader(tc.tar))},
			} {
				st := newStore(t)
				var out bytes.Buffer
				err := Load(context.Background(), st, o, &out)
				if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("%s: error %v, want %v", how, err, tc.want)
				}
				if out.Len() > 0 {
					t.Errorf("%s: printed %q", how, out.String())
				}
				if imgs, err := st.Images(context.Background()); len(imgs) > 0 || err != nil {
					t.Errorf("%s: images %v, error %v", how, imgs, err)
				}
				noTemps(t, st)
			}
		})
	}
}

func TestLoadBoundsExpansion(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: unpacks 520 MiB")
	}
	// A tar whose first entry is 520 MiB of zeros, packed to some KB.
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	const size = 520 << 20
	if err := w.WriteHeader(&tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg, Size: size}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	st := newStore(t)
	err = Load(context.Background(), st, LoadOptions{Stdin: &packed}, io.Discard)
	if !errors.Is(err, layerpack.ErrBomb) {
		t.Errorf("an archive that unpacks to 520 MiB: %v", err)
	}
	noTemps(t, st)
}

func TestLoadReplacesNames(t *testing.T) {
	st := newStore(t)
	one, two := it.Simple(t, "one"), it.Simple(t, "two")
	mustLoad(t, st, it.File(t, "1.tar", it.Tar(t, it.DockerOld(t, one, "x:1")...)))
	got := mustLoad(t, st, it.File(t, "2.tar", it.Tar(t, it.DockerOld(t, two, "x:1")...)))
	want := fmt.Sprintf("The image x:1 already exists, renaming the old one with ID %s to empty string\nLoaded image: x:1\n", one.ID())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := mustLoad(t, st, it.File(t, "2.tar", it.Tar(t, it.DockerOld(t, two, "x:1")...))); got != "Loaded image: x:1\n" {
		t.Errorf("loading it again: %q", got)
	}
	img, err := st.Resolve(context.Background(), string(one.ID()))
	if err != nil || len(img.Names) != 0 {
		t.Errorf("the old image: %v, %v", img.Names, err)
	}
}

func TestLoadEmptyStdin(t *testing.T) {
	err := Load(context.Background(), newStore(t), LoadOptions{Stdin: strings.NewReader("")}, io.Discard)
	if err == nil || err.Error() != "requested load from stdin, but stdin is empty" {
		t.Error(err)
	}
	err = Load(context.Background(), newStore(t), LoadOptions{Input: "/nonexistent.tar"}, io.Discard)
	if err == nil || err.Error() != "open /nonexistent.tar: no such file or directory" {
		t.Error(err)
	}
}

// A directory's links must not lead out of it, and nothing in it may block.
func TestLoadDirectoryStaysInside(t *testing.T) {
	img := it.Simple(t, "x")
	outside := it.File(t, "config", img.Config)
	for name, make := range map[string]func(path string) error{
		"symlink": func(p string) error { return os.Symlink(outside, p) },
		"fifo":    func(p string) error { return exec.Command("mkfifo", p).Run() },
	} {
		l := it.Layout{}
		l.Index(t, it.Named(l.Add(t, img, ocispec.MediaTypeImageLayer, nil), refName, "x"))
		dir := l.Write(t, t.TempDir())
		p := filepath.Join(dir, "blobs/sha256", img.ID().Encoded())
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
		if err := make(p); err != nil {
			t.Fatal(err)
		}
		if err := Load(context.Background(), newStore(t), LoadOptions{Input: dir}, io.Discard); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

func TestLoadPicksPlatformAndKeepsTheOthers(t *testing.T) {
	amd, arm := it.Simple(t, "amd"), it.Simple(t, "arm")
	arm.Config = bytes.Replace(arm.Config, []byte("amd64"), []byte("arm64"), 1)
	l := it.Layout{}
	a := l.Add(t, amd, ocispec.MediaTypeImageLayerGzip, it.Gzip)
	b := l.Add(t, arm, ocispec.MediaTypeImageLayerGzip, it.Gzip)
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("s390x"), Size: 5, Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}
	a.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	b.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{b, missing, a}}
	x.SchemaVersion = 2
	l.Index(t, it.Named(l.Blob(ocispec.MediaTypeImageIndex, it.JSON(t, x)), refName, "multi"))
	file := it.File(t, "a.tar", it.Tar(t, l.Entries()...))

	root := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		st, err := store.Open(root, store.Options{Platform: &ocispec.Platform{OS: "linux", Architecture: arch}})
		if err != nil {
			t.Fatal(err)
		}
		mustLoad(t, st, file)
		if img := mustChain(t, st, "multi"); img.Config.Architecture != arch {
			t.Errorf("%s: got %s", arch, img.Config.Architecture)
		}
	}
	st, err := store.Open(root, store.Options{Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}})
	if err != nil {
		t.Fatal(err)
	}
	img, err := st.Resolve(context.Background(), "multi")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Chain(context.Background(), img); !errors.Is(err, store.ErrPlatform) {
		t.Errorf("chain for a platform it has not: %v", err)
	}
	if _, err := st.Remove(context.Background(), "multi", store.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(root + "/oci/blobs/sha256/*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
