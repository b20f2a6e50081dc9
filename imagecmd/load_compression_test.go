package imagecmd

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// TestLoadEveryCompression: layers in every compression, in an archive that
// fixes no descriptors, in one that names blobs, and in a layout, whose blobs
// stay byte for byte. Of bzip2 and xz OCI knows no layers: where no manifest
// names their blobs, the tars are the blobs.
func TestLoadEveryCompression(t *testing.T) {
	big := strings.Repeat("large enough to be spooled ", 20_000)
	img := it.New(t, 0, it.Tar(t, it.Entry{Name: "f", Data: big}), it.Tar(t, it.Entry{Name: "g", Data: "x"}), nil, make([]byte, 1024))
	id := string(img.ID())
	none := func(_ testing.TB, b []byte) []byte { return b }
	program := func(args ...string) func(testing.TB, []byte) []byte {
		return func(t testing.TB, b []byte) []byte { return pipe(t, b, args[0], args[1:]...) }
	}
	for _, c := range []struct {
		name      string
		pack      func(testing.TB, []byte) []byte
		mediaType string // of its blobs where nothing fixes them; "": they are the tars
	}{
		{"plain", none, ""},
		{"gzip", it.Gzip, ocispec.MediaTypeImageLayerGzip},
		{"zstd", it.Zstd, ocispec.MediaTypeImageLayerZstd},
		{"bzip2", program("bzip2", "-c"), ""},
		{"xz", program("xz", "-c"), ""},
	} {
		packed := it.Image{Config: img.Config}
		for _, l := range img.Layers {
			packed.Layers = append(packed.Layers, c.pack(t, l))
		}
		layout := it.Layout{}
		layout.Index(t, layout.Add(t, img, ocispec.MediaTypeImageLayerGzip, c.pack))
		var named []string // a docker-archive that names its blobs
		files := it.Layout{"c": string(img.Config)}
		for _, l := range packed.Layers {
			named = append(named, "blobs/sha256/"+files.Blob("", l).Digest.Encoded())
		}
		files["manifest.json"] = string(it.JSON(t, []map[string]any{{"Config": "c", "Layers": named}}))
		for how, tc := range map[string]struct {
			entries []it.Entry
			fixed   bool
		}{
			"docker-archive":        {it.DockerOld(t, packed), false},
			"docker-archive, blobs": {files.Entries(), false},
			"layout":                {layout.Entries(), true},
		} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				b := it.Tar(t, tc.entries...)
				for how, in := range map[string][]byte{"plain": b, "xz": pipe(t, b, "xz", "-c"), "bzip2": pipe(t, b, "bzip2", "-c")} {
					st := newStore(t)
					// The second time all is here.
					for _, o := range []LoadOptions{{Input: it.File(t, "a.tar", in)}, {Stdin: io.MultiReader(bytes.NewReader(in))}} {
						if err := Load(context.Background(), st, o, new(bytes.Buffer)); err != nil {
							t.Fatalf("%s: %v", how, err)
						}
					}
					got := mustChain(t, st, id)
					for i, l := range got.Layers {
						want := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(img.Layers[i]), Size: int64(len(img.Layers[i]))}
						if tc.fixed || c.mediaType != "" {
							p := packed.Layers[i]
							want = ocispec.Descriptor{MediaType: c.mediaType, Digest: digest.FromBytes(p), Size: int64(len(p))}
						}
						if tc.fixed {
							want.MediaType = ocispec.MediaTypeImageLayerGzip // as the manifest says
						}
						if diff := cmp.Diff(want, l); diff != "" {
							t.Errorf("%s: layer %d: -want +got:\n%s", how, i, diff)
						}
					}
					noTemps(t, st)
				}
			})
		}
	}
}
