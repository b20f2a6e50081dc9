package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/reference"
	"github.com/cfs-project/cfs/layerpack"
)

// A pushList is what a repository must have for a target.
type pushList struct {
	blobs     []*pushedBlob
	manifests []pushedManifest // what is referred to comes before what refers
	there     bool             // the repository has it all
}

type pushedManifest struct {
	desc ocispec.Descriptor
	raw  []byte
}

// A pushedBlob is a layer, or a config, which is not shown.
type pushedBlob struct {
	desc   ocispec.Descriptor
	diffID digest.Digest
	item   *progress.Item // nil: not shown
}

// target is what is pushed for an image: what its name is of, the image for one
// platform of that, or a manifest that was made of it with compressed layers.
func (p *pusher) target(ctx context.Context, in *store.Ingest, img store.Image, ref reference.Named) (ocispec.Descriptor, error) {
	if p.o.Platform == nil && img.Manifest.Digest != img.Target.Digest {
		return img.Target, nil
	}
	want := p.st.Platform()
	if p.o.Platform != nil {
		want = *p.o.Platform
	}
	m, err := store.ReadTarget(ctx, p.st, img.Target, want)
	if err != nil {
		return img.Target, err
	}
	if have := m.Config.Platform; p.o.Platform != nil && (m.Mismatch != nil || have.OS != want.OS || have.Architecture != want.Architecture) {
		return img.Target, fmt.Errorf("%w: image with reference %s has none for %s", store.ErrPlatform, reference.FamiliarString(ref), platformName(want))
	}
	if len(img.Digests) > 0 || !slices.ContainsFunc(m.Manifest.Layers, isPlain) {
		return m.Descriptor, nil
	}
	return p.compress(ctx, in, m)
}

const dockerPlainLayer = "application/vnd.docker.image.rootfs.diff.tar"

func isPlain(d ocispec.Descriptor) bool {
	return d.MediaType == ocispec.MediaTypeImageLayer || d.MediaType == dockerPlainLayer
}

// compress makes a manifest whose layers are all compressed, and its blobs. The
// config, and so the image's ID, stays.
func (p *pusher) compress(ctx context.Context, in *store.Ingest, m store.Manifest) (ocispec.Descriptor, error) {
	if err := p.learn(ctx); err != nil {
		return ocispec.Descriptor{}, err
	}
	group := progress.New(p.out, p.compressStyle())
	defer group.Close()
	made := m.Manifest
	made.Layers = slices.Clone(made.Layers)
	for i, d := range made.Layers {
		if !isPlain(d) {
			continue
		}
		z, err := p.compressed(ctx, in, d, m.Config.RootFS.DiffIDs[i], group)
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("compress layer %s: %w", d.Digest, err)
		}
		z.MediaType, z.Annotations = ocispec.MediaTypeImageLayerGzip, d.Annotations
		if d.MediaType == dockerPlainLayer {
			z.MediaType = dockerPlainLayer + ".gzip"
		}
		made.Layers[i] = z
	}
	made.MediaType = m.Descriptor.MediaType
	raw, err := json.Marshal(made)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if have, err := in.HasBlob(ctx, made.Config); err != nil || !have {
		return ocispec.Descriptor{}, errors.Join(err, fs.ErrNotExist)
	}
	return in.Bytes(ctx, made.MediaType, raw)
}

// compressStyle shows compressing on terminals only: Docker has no word for it.
func (p *pusher) compressStyle() progress.Style {
	if p.style == progress.Lines {
		return progress.Quiet
	}
	return p.style
}

// compressed is a plain layer's blob with gzip: one that an image has already, or
// a new one.
func (p *pusher) compressed(ctx context.Context, in *store.Ingest, d ocispec.Descriptor, diffID digest.Digest, group *progress.Group) (ocispec.Descriptor, error) {
	for _, k := range p.known {
		if k.DiffID != diffID || k.Blob.MediaType != ocispec.MediaTypeImageLayerGzip && k.Blob.MediaType != dockerPlainLayer+".gzip" {
			continue
		}
		if have, err := in.HasBlob(ctx, k.Blob); have || err != nil {
			return ocispec.Descriptor{Digest: k.Blob.Digest, Size: k.Blob.Size}, err
		}
	}
	item := group.Item(diffID.Encoded()[:12])
	content, err := in.Open(ctx, d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(gzipTo(w, io.NewSectionReader(content, 0, d.Size), func(n int64) { item.State("Compressing", n, d.Size) }))
	}()
	defer r.Close()
	spool, err := p.st.Spool(ctx, r)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer spool.Close()
	l, err := in.Layer(ctx, store.LayerSource{DiffID: diffID, Size: -1, Spool: spool})
	item.Done("Compressed")
	return ocispec.Descriptor{Digest: l.Descriptor.Digest, Size: l.Descriptor.Size}, err
}

func gzipTo(w io.Writer, r io.Reader, told func(n int64)) error {
	z, err := layerpack.NewCompressor(w, layerpack.Gzip)
	if err != nil {
		return err
	}
	var n int64
	for err == nil {
		var part int64
		part, err = io.CopyN(z, r, 4<<20)
		n += part
		told(n)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, z.Close())
}

// learn reads which layers the store knows, once.
func (p *pusher) learn(ctx context.Context) (err error) {
	if p.known == nil {
		p.known, err = p.st.KnownLayers(ctx)
	}
	return err
}

// plan lists what belongs to a target. One of several platforms that are neither
// all here nor all there is left for the image of this platform alone, which is
// the target then. at is what the tag is of in the repository; "" nothing.
func (p *pusher) plan(ctx context.Context, in *store.Ingest, target ocispec.Descriptor, at digest.Digest) (pushList, ocispec.Descriptor, error) {
	list := pushList{there: at == target.Digest}
	raw, err := p.st.Document(ctx, target)
	if err != nil {
		return list, target, err
	}
	target.Size = int64(len(raw))
	x, err := store.ParseIndex(raw)
	if err != nil {
		return list, target, p.addManifest(ctx, in, &list, target)
	}
	for _, c := range x.Manifests {
		err := p.addManifest(ctx, in, &list, c)
		if err == nil || list.there {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return list, target, err
		}
		if _, err := p.repo.Head(ctx, string(c.Digest)); err == nil {
			continue // there already
		} else if !errors.Is(err, fs.ErrNotExist) {
			return list, target, err
		}
		m, err := store.ReadTarget(ctx, p.st, target, p.st.Platform())
		if err == nil {
			err = m.Mismatch
		}
		if err != nil {
			return list, target, err
		}
		p.o.Registry.say("Not all platforms of the image are here: that for %s is pushed alone", platformName(m.Config.Platform))
		return p.plan(ctx, in, m.Descriptor, at)
	}
	list.manifests = append(list.manifests, pushedManifest{target, raw})
	return list, target, nil
}

// addManifest adds an image manifest, or an artifact's, with its blobs; nothing
// when something of it is missing.
func (p *pusher) addManifest(ctx context.Context, in *store.Ingest, list *pushList, d ocispec.Descriptor) error {
	raw, err := p.st.Document(ctx, d)
	if err != nil {
		return err
	}
	m, err := store.ParseManifest(raw)
	if err != nil && !errors.Is(err, store.ErrUnsupported) {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	d.Size = int64(len(raw))
	if d.MediaType == "" {
		d.MediaType = mediaTypeOf(raw)
	}
	var diffIDs []digest.Digest
	if config, err := p.st.Document(ctx, m.Config); err == nil {
		if c, err := store.ParseConfig(config, len(m.Layers)); err == nil {
			diffIDs = c.RootFS.DiffIDs
		}
	}
	var blobs []*pushedBlob
	for i, l := range slices.Backward(m.Layers) { // Docker's order
		b := &pushedBlob{desc: l, diffID: l.Digest}
		if diffIDs != nil {
			b.diffID = diffIDs[i]
		}
		blobs = append(blobs, b)
	}
	blobs = append(blobs, &pushedBlob{desc: m.Config})
	for _, b := range blobs {
		have, err := in.HasBlob(ctx, b.desc)
		if err == nil && !have {
			err = fmt.Errorf("blob %s: %w", b.desc.Digest, fs.ErrNotExist)
		}
		if err != nil {
			return err
		}
	}
	for _, b := range blobs {
		if !slices.ContainsFunc(list.blobs, func(o *pushedBlob) bool { return o.desc.Digest == b.desc.Digest }) {
			list.blobs = append(list.blobs, b)
		}
	}
	list.manifests = append(list.manifests, pushedManifest{d, raw})
	return nil
}
