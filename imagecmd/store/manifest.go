package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxDocument is the largest manifest, index or config that is read, in bytes:
// the 4 MiB that the distribution specification asks registries to take.
const MaxDocument = 4 << 20

// MaxLayers bounds the layers of an image. Docker stops at 127.
const MaxLayers = 1024

// Media types beside those of the OCI image specification.
const (
	dockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList         = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig       = "application/vnd.docker.container.image.v1+json"
	dockerLayer        = "application/vnd.docker.image.rootfs.diff.tar"
	dockerLayerGzip    = dockerLayer + ".gzip"
	dockerLayerZstd    = dockerLayer + ".zstd"
	dockerForeign      = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	dockerForeignGzip  = dockerForeign + ".gzip"
	dockerManifestV1   = "application/vnd.docker.distribution.manifest.v1+json"
	dockerManifestV1JW = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerList
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest
}

// checkDigest refuses what can't be a digest of this store. A valid digest is
// lower-case hexadecimal of a fixed length, and so harmless in a path.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%w: digest %.100q: %w", ErrInvalid, string(d), err)
	}
	if a := d.Algorithm(); a != digest.SHA256 && a != digest.SHA512 {
		return fmt.Errorf("%w: digest algorithm %s is not known", ErrInvalid, a)
	}
	return nil
}

func checkDescriptor(d ocispec.Descriptor) error {
	if err := checkDigest(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 {
		return fmt.Errorf("%w: %s has size %d", ErrInvalid, d.Digest, d.Size)
	}
	return nil
}

// document is an index or a manifest. Which of them, its fields decide: the
// media type of a descriptor may be missing or a lie, and one read as the other
// would hide what it holds.
type document struct {
	SchemaVersion int                   `json:"schemaVersion"`
	MediaType     string                `json:"mediaType"`
	ArtifactType  string                `json:"artifactType"`
	Manifests     *[]ocispec.Descriptor `json:"manifests"`
	Config        *ocispec.Descriptor   `json:"config"`
	Layers        *[]ocispec.Descriptor `json:"layers"`
	FSLayers      json.RawMessage       `json:"fsLayers"`
	Subject       *ocispec.Descriptor   `json:"subject"`
	Annotations   map[string]string     `json:"annotations"`
}

// parseDocument reads an index or a manifest; Manifests is nil for the latter.
func parseDocument(raw []byte) (document, error) {
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return doc, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case doc.SchemaVersion == 1 || doc.FSLayers != nil || doc.MediaType == dockerManifestV1 || doc.MediaType == dockerManifestV1JW:
		return doc, fmt.Errorf("%w: a manifest of Docker schema 1", ErrUnsupported)
	case doc.SchemaVersion != 2:
		return doc, fmt.Errorf("%w: schemaVersion %d", ErrInvalid, doc.SchemaVersion)
	case doc.Manifests != nil && (doc.Config != nil || doc.Layers != nil):
		return doc, fmt.Errorf("%w: both an index and a manifest", ErrInvalid)
	case doc.Manifests != nil && isManifest(doc.MediaType):
		return doc, fmt.Errorf("%w: an index that calls itself %s", ErrInvalid, doc.MediaType)
	case doc.Manifests != nil:
		return doc, nil
	case doc.Config == nil:
		return doc, fmt.Errorf("%w: neither an index nor an image manifest", ErrInvalid)
	case isIndex(doc.MediaType):
		return doc, fmt.Errorf("%w: a manifest that calls itself %s", ErrInvalid, doc.MediaType)
	}
	return doc, nil
}

func (doc document) index() (ocispec.Index, error) {
	x := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: doc.SchemaVersion}, MediaType: doc.MediaType, ArtifactType: doc.ArtifactType,
		Manifests: *doc.Manifests, Subject: doc.Subject, Annotations: doc.Annotations,
	}
	for _, d := range x.Manifests {
		if err := checkDescriptor(d); err != nil {
			return x, err
		}
	}
	return x, nil
}

func (doc document) manifest() (ocispec.Manifest, error) {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: doc.SchemaVersion}, MediaType: doc.MediaType, ArtifactType: doc.ArtifactType,
		Config: *doc.Config, Subject: doc.Subject, Annotations: doc.Annotations,
	}
	if doc.Layers != nil {
		m.Layers = *doc.Layers
	}
	if err := checkDescriptor(m.Config); err != nil {
		return m, err
	}
	if len(m.Layers) > MaxLayers {
		return m, fmt.Errorf("%w: %d layers", ErrInvalid, len(m.Layers))
	}
	for _, d := range m.Layers {
		if err := checkDescriptor(d); err != nil {
			return m, err
		}
	}
	// Some writers leave the config's type out; what is in it decides then.
	if t := m.Config.MediaType; t != "" && t != ocispec.MediaTypeImageConfig && t != dockerConfig {
		return m, fmt.Errorf("%w: config of type %.100q is not an image's", ErrUnsupported, t)
	}
	return m, nil
}

// ParseIndex reads an OCI index or Docker manifest list.
func ParseIndex(raw []byte) (ocispec.Index, error) {
	doc, err := parseDocument(raw)
	if err != nil {
		return ocispec.Index{}, err
	}
	if doc.Manifests == nil {
		return ocispec.Index{}, fmt.Errorf("%w: not an index", ErrInvalid)
	}
	return doc.index()
}

// ParseManifest reads an OCI or Docker schema 2 image manifest. ErrUnsupported
// is an artifact that is no image; its manifest is returned with it.
func ParseManifest(raw []byte) (ocispec.Manifest, error) {
	doc, err := parseDocument(raw)
	if err != nil {
		return ocispec.Manifest{}, err
	}
	if doc.Manifests != nil {
		return ocispec.Manifest{}, fmt.Errorf("%w: an index, not a manifest", ErrInvalid)
	}
	return doc.manifest()
}

// checkLayer refuses layers that this store can't hold.
func checkLayer(d ocispec.Descriptor) error {
	switch d.MediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		dockerLayer, dockerLayerGzip, dockerLayerZstd:
		return nil
	case dockerForeign, dockerForeignGzip,
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd":
		return fmt.Errorf("%w: layer %s is foreign: its publisher does not let it be distributed with the image", ErrUnsupported, d.Digest)
	}
	return fmt.Errorf("%w: layer %s is of type %.100q", ErrUnsupported, d.Digest, d.MediaType)
}

// ParseConfig reads an image config and holds it against its manifest's layers.
func ParseConfig(raw []byte, layers int) (ocispec.Image, error) {
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%w: config: %w", ErrInvalid, err)
	}
	if t := c.RootFS.Type; t != "" && t != "layers" {
		return c, fmt.Errorf("%w: config: rootfs of type %.100q", ErrInvalid, t)
	}
	if n := len(c.RootFS.DiffIDs); n != layers {
		return c, fmt.Errorf("%w: the config names %d diff_ids, the manifest %d layers", ErrInvalid, n, layers)
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := checkDigest(d); err != nil {
			return c, err
		}
	}
	return c, nil
}

// A Source is where blobs are read from: this store, an archive, a registry.
type Source interface {
	// Document returns a small blob whole. It verifies size and digest, refuses
	// what is larger than MaxDocument, and answers fs.ErrNotExist, wrapped, when
	// there is no such blob.
	Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error)
}

// A Manifest is one image as a target holds it for a platform.
type Manifest struct {
	Descriptor ocispec.Descriptor
	Manifest   ocispec.Manifest
	Config     ocispec.Image
	RawConfig  []byte
	// Mismatch is ErrPlatform, wrapped, when the target is an index without an
	// image for the platform and this is its first one instead.
	Mismatch error
}

// maxNesting is how deep indexes may lie in indexes.
const maxNesting = 4

// ReadTarget follows a target to the image for a platform. An index in which
// none suits yields the first image in it, with Mismatch set, as it must still
// be listed and removed.
func ReadTarget(ctx context.Context, src Source, target ocispec.Descriptor, p ocispec.Platform) (Manifest, error) {
	return readTarget(ctx, src, target, normalPlatform(p), 0)
}

func readTarget(ctx context.Context, src Source, target ocispec.Descriptor, p ocispec.Platform, depth int) (Manifest, error) {
	raw, err := src.Document(ctx, target)
	if err != nil {
		return Manifest{}, err
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", target.Digest, err)
	}
	if doc.Manifests == nil {
		m, err := doc.manifest()
		if err != nil {
			return Manifest{}, fmt.Errorf("manifest %s: %w", target.Digest, err)
		}
		return readManifest(ctx, src, target, m)
	}
	if depth == maxNesting {
		return Manifest{}, fmt.Errorf("%s: %w: indexes nested too deep", target.Digest, ErrInvalid)
	}
	x, err := doc.index()
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", target.Digest, err)
	}
	mismatch := fmt.Errorf("%w: %s has none for %s", ErrPlatform, target.Digest, FormatPlatform(p))
	if at := pickPlatform(p, x.Manifests); at >= 0 {
		m, err := readTarget(ctx, src, x.Manifests[at], p, depth+1)
		if !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}
		mismatch = fmt.Errorf("%w: of %s that for %s is not here: %w", ErrPlatform, target.Digest, FormatPlatform(p), err)
	}
	for _, d := range x.Manifests {
		if isAttestation(d) || !isManifest(d.MediaType) {
			continue
		}
		m, err := readTarget(ctx, src, d, p, depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			continue // only some of the platforms are here
		}
		m.Mismatch = mismatch
		return m, err
	}
	return Manifest{}, mismatch
}

func readManifest(ctx context.Context, src Source, d ocispec.Descriptor, m ocispec.Manifest) (Manifest, error) {
	rawConfig, err := src.Document(ctx, m.Config)
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest %s: config: %w", d.Digest, err)
	}
	c, err := ParseConfig(rawConfig, len(m.Layers))
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, l := range m.Layers {
		if err := checkLayer(l); err != nil {
			return Manifest{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
	}
	return Manifest{Descriptor: d, Manifest: m, Config: c, RawConfig: rawConfig}, nil
}
