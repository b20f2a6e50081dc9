package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/internal/reference"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	st, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func ref(t testing.TB, name string) reference.Named {
	t.Helper()
	r, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return reference.TagNameOnly(r)
}

// bring puts an image into the store, its layers packed by pack.
func bring(st *Store, t testing.TB, img it.Image, pack func(testing.TB, []byte) []byte, names ...string) digest.Digest {
	t.Helper()
	ctx := context.Background()
	in, err := st.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, raw := range img.Layers {
		b := raw
		if pack != nil {
			b = pack(t, raw)
		}
		l, err := in.Layer(ctx, LayerSource{
			DiffID: digest.FromBytes(raw), Blob: digest.FromBytes(b), Size: int64(len(b)),
			Open: reader(b),
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Layers = append(m.Layers, l.Descriptor)
	}
	if m.Config, err = in.Bytes(ctx, ocispec.MediaTypeImageConfig, img.Config); err != nil {
		t.Fatal(err)
	}
	target, err := in.Bytes(ctx, ocispec.MediaTypeImageManifest, it.JSON(t, m))
	if err != nil {
		t.Fatal(err)
	}
	var refs []reference.Named
	for _, n := range names {
		refs = append(refs, ref(t, n))
	}
	if _, err := in.Commit(ctx, target, refs...); err != nil {
		t.Fatal(err)
	}
	return target.Digest
}

func chain(st *Store, t testing.TB, name string) (Image, func()) {
	t.Helper()
	img, err := st.Resolve(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	c, release, err := st.Chain(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Layers {
		for _, p := range []string{l.Tar(), l.TOC(), c.Index} {
			if _, err := os.Stat(p); err != nil {
				t.Error(err)
			}
		}
	}
	return img, release
}

// files lists what is below the store, but for its empty directories.
func files(t testing.TB, st *Store) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(st.Root(), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(st.Root(), p)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEmptyStoreIsNotMade(t *testing.T) {
	root := filepath.Join(t.TempDir(), "none")
	st, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if imgs, err := st.Images(context.Background()); len(imgs) != 0 || err != nil {
		t.Error(imgs, err)
	}
	if _, err := st.Resolve(context.Background(), "x"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := st.Remove(context.Background(), "x", RemoveOptions{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Error("made by reading")
	}
}

func TestPlainLayerIsOneFile(t *testing.T) {
	st := newStore(t)
	img := it.Simple(t, "x")
	bring(st, t, img, nil, "plain")
	d := digest.FromBytes(img.Layers[0])
	same := func() bool {
		a, err1 := os.Stat(st.blobPath(d))
		b, err2 := os.Stat(st.layerTar(d))
		return err1 == nil && err2 == nil && os.SameFile(a, b)
	}
	if !same() {
		t.Error("blob and layer.tar are two files")
	}
	// Rebuilt, they are one file again; and so are they when the blob is gone.
	if err := os.RemoveAll(st.layerPath(d)); err != nil {
		t.Fatal(err)
	}
	_, release := chain(st, t, "plain")
	release()
	if !same() {
		t.Error("rebuilt, blob and layer.tar are two files")
	}
	if err := os.Remove(st.blobPath(d)); err != nil {
		t.Fatal(err)
	}
	bring(st, t, img, nil, "plain")
	if !same() {
		t.Error("brought again, blob and layer.tar are two files")
	}
}

func TestCachesAreRebuilt(t *testing.T) {
	img := it.New(t, 0, it.Tar(t, it.Entry{Name: "a", Data: "1"}), it.Tar(t, it.Entry{Name: "b", Data: "2"}))
	for name, pack := range map[string]func(testing.TB, []byte) []byte{"plain": nil, "gzip": it.Gzip, "zstd": it.Zstd} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			bring(st, t, img, pack, "x")
			_, release := chain(st, t, "x")
			release()
			whole := files(t, st)
			d := digest.FromBytes(img.Layers[1])
			for _, lost := range []string{st.layers(), st.images(), st.layerPath(d), st.layerTar(d), filepath.Join(st.layerPath(d), "layer.toc"), filepath.Join(st.layerPath(d), infoName), st.tmp()} {
				if err := os.RemoveAll(lost); err != nil {
					t.Fatal(err)
				}
				_, release := chain(st, t, "x")
				release()
				if diff := cmp.Diff(whole, files(t, st)); diff != "" {
					t.Errorf("after the loss of %s: -want +got:\n%s", lost, diff)
				}
			}
			idx, err := filepath.Glob(st.images() + "/*")
			if err != nil || len(idx) != 1 {
				t.Fatal(idx, err)
			}
			if err := os.WriteFile(idx[0], []byte("damaged"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, release = chain(st, t, "x")
			release()
		})
	}
}

func TestIngestRefusesWrongBytes(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	in, err := st.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	before := files(t, st)
	for name, d := range map[string]ocispec.Descriptor{
		"digest":    {Digest: digest.FromString("other"), Size: 4},
		"too long":  {Digest: digest.FromString("text"), Size: 3},
		"too short": {Digest: digest.FromString("text"), Size: 5},
		"negative":  {Digest: digest.FromString("text"), Size: -4},
		"path":      {Digest: "sha256:../../x", Size: 4},
		"algorithm": {Digest: "sha384:38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b", Size: 4},
	} {
		if err := in.Blob(ctx, d, bytes.NewReader([]byte("text"))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, files(t, st)); diff != "" {
		t.Error(diff)
	}
	sha512 := ocispec.Descriptor{Digest: digest.SHA512.FromString("text"), Size: 4}
	if err := in.Blob(ctx, sha512, bytes.NewReader([]byte("text"))); err != nil {
		t.Error(err)
	}
}

func TestSweepTakesOnlyWhatNobodyHolds(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	if err := st.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	for _, stale := range []string{"layer-dead", "spool-dead"} {
		if err := os.MkdirAll(filepath.Join(st.tmp(), stale, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(st.tmp(), "file-dead"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := st.tempDir("live")
	if err != nil {
		t.Fatal(err)
	}
	claimed, err := st.claimDir(ctx, "claimed")
	if err != nil {
		t.Fatal(err)
	}
	file, err := st.tempFile("f")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.sweep(); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(st.tmp())
	if len(left) != 3 {
		t.Errorf("left: %v", left)
	}
	for _, x := range []*temp{live, claimed, file} {
		x.discard()
	}
	if left, _ := os.ReadDir(st.tmp()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// reader opens b.
func reader(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}
