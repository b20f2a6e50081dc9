package store

import (
	"errors"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseManifest(t *testing.T) {
	const config = `"config":{"digest":"` + someDigest + `","size":2}`
	for doc, want := range map[string]error{
		`{"schemaVersion":2,` + config + `,"layers":[]}`:                          nil,
		`{"schemaVersion":2,"mediaType":"` + dockerManifest + `",` + config + `}`: nil,
		`{"schemaVersion":1,"fsLayers":[]}`:                                       ErrUnsupported,
		`{"schemaVersion":2,"manifests":[]}`:                                      ErrInvalid,
		`{"schemaVersion":2,"manifests":[],` + config + `}`:                       ErrInvalid,
		`{"schemaVersion":2,"mediaType":"` + dockerList + `",` + config + `}`:     ErrInvalid,
		`{"schemaVersion":2,"mediaType":"` + dockerManifest + `","manifests":[]}`: ErrInvalid,
		`{"schemaVersion":2}`:                ErrInvalid,
		`{"schemaVersion":3,` + config + `}`: ErrInvalid,
		`{`:                                  ErrInvalid,
		`[]`:                                 ErrInvalid,
		`{"schemaVersion":2,"config":{"digest":"sha256:abc","size":2}}`:                                                                                  ErrInvalid,
		`{"schemaVersion":2,"config":{"digest":"` + someDigest + `","size":-2}}`:                                                                         ErrInvalid,
		`{"schemaVersion":2,"config":{"mediaType":"x/y","digest":"` + someDigest + `","size":2}}`:                                                        ErrUnsupported,
		`{"schemaVersion":2,` + config + `,"layers":[{"digest":"sha256:/../../etc/passwd","size":1}]}`:                                                   ErrInvalid,
		`{"schemaVersion":2,` + config + `,"layers":[` + strings.Repeat(`{"digest":"`+someDigest+`"},`, MaxLayers) + `{"digest":"` + someDigest + `"}]}`: ErrInvalid,
	} {
		_, err := ParseManifest([]byte(doc))
		if want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%.200s: %v, want %v", doc, err, want)
		}
	}
}

// Whatever a document is, what is accepted of it is harmless in a path and
// consistent with itself.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"`+someDigest+`","size":2},"layers":[{"digest":"`+someDigest+`"}]}`), []byte(`{"rootfs":{"diff_ids":["`+someDigest+`"]}}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"`+someDigest+`","platform":{"os":"linux"}}]}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		check := func(d ocispec.Descriptor) {
			if strings.ContainsAny(d.Digest.Encoded(), "/.\x00") || d.Digest.Validate() != nil || d.Size < 0 {
				t.Fatalf("accepted %q", d.Digest)
			}
		}
		if x, err := ParseIndex(manifest); err == nil {
			for _, d := range x.Manifests {
				check(d)
			}
			pickPlatform(HostPlatform(), x.Manifests)
		}
		m, err := ParseManifest(manifest)
		if err != nil {
			return
		}
		check(m.Config)
		for _, l := range m.Layers {
			check(l)
			_ = checkLayer(l)
		}
		if c, err := ParseConfig(config, len(m.Layers)); err == nil && len(c.RootFS.DiffIDs) != len(m.Layers) {
			t.Fatal("diff_ids and layers differ")
		}
	})
}

func FuzzIndexFile(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"` + someDigest + `","size":1,"annotations":{"org.opencontainers.image.ref.name":"a:b"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l line
		if l.UnmarshalJSON(raw) == nil {
			_ = l.name()
			if b, err := l.MarshalJSON(); err != nil || string(b) != string(raw) {
				t.Fatalf("%q became %q, %v", raw, b, err)
			}
		}
	})
}
