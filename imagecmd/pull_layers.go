package imagecmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/remote"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/reference"
	"github.com/cfs-project/cfs/layerpack"
)

// downloads is how many layers are fetched at once, as Docker does; unpackers how
// many of those that are here or coming are unpacked.
const (
	downloads = 3
	unpackers = 2
)

// fetchedDocuments are the store's documents, and those a registry has beside,
// each fetched once. They are not yet in the store.
type fetchedDocuments struct {
	local   *store.Store
	repo    *remote.Repository
	fetched bool // something was
	list    []fetchedDocument
}

type fetchedDocument struct {
	desc ocispec.Descriptor
	raw  []byte
}

// Document implements [store.Source].
func (f *fetchedDocuments) Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	raw, err := f.local.Document(ctx, d)
	if err == nil {
		return raw, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrInvalid) {
		return nil, err
	}
	if raw, err = f.repo.Document(ctx, d); err != nil {
		return nil, err
	}
	f.fetched = true
	f.list = append(f.list, fetchedDocument{d, raw})
	return raw, nil
}

// manifest finds the image for the platform that is wanted.
func (p *puller) manifest(ctx context.Context, src store.Source, target ocispec.Descriptor, ref reference.Named) (store.Manifest, error) {
	want := p.st.Platform()
	m, err := store.ReadTarget(ctx, src, target, want)
	switch {
	case err == nil && m.Mismatch != nil, errors.Is(err, store.ErrPlatform):
		return m, fmt.Errorf("no matching manifest for %s in the manifest list entries", platformName(want))
	case err != nil:
		return m, err
	}
	have := m.Config.Platform
	if p.o.Platform != nil && m.Descriptor.Digest == target.Digest && (have.OS != want.OS || have.Architecture != want.Architecture) {
		return m, fmt.Errorf("image with reference %s was found but does not match the specified platform: wanted %s, actual: %s",
			reference.FamiliarString(ref), platformName(want), platformName(have))
	}
	return m, nil
}

func platformName(p ocispec.Platform) string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// bring brings an image's layers and documents in, so that it can be named. The
// size of a target, which a registry may not have told, is filled in.
func (p *puller) bring(ctx context.Context, in *store.Ingest, repo *remote.Repository, src *fetchedDocuments, m store.Manifest, target *ocispec.Descriptor) error {
	if err := p.layers(ctx, in, repo, src, m); err != nil {
		return err
	}
	for _, d := range src.list {
		d.desc.Size = int64(len(d.raw))
		if err := in.Blob(ctx, d.desc, bytes.NewReader(d.raw)); err != nil {
			return err
		}
	}
	// What was here already is leased, too.
	for _, d := range []*ocispec.Descriptor{target, &m.Descriptor, &m.Manifest.Config} {
		raw, err := p.st.Document(ctx, *d)
		if err != nil {
			return err
		}
		d.Size = int64(len(raw))
		if d.MediaType == "" {
			d.MediaType = mediaTypeOf(raw)
		}
		if _, err := in.HasBlob(ctx, *d); err != nil {
			return err
		}
	}
	_, err := in.Chain(ctx, m.Config, m.Manifest.Layers)
	return err
}

// mediaTypeOf is what a document that was read says it is; OCI's do not have to.
func mediaTypeOf(raw []byte) string {
	if x, err := store.ParseIndex(raw); err == nil {
		return cmp.Or(x.MediaType, ocispec.MediaTypeImageIndex)
	}
	m, _ := store.ParseManifest(raw)
	return cmp.Or(m.MediaType, ocispec.MediaTypeImageManifest)
}

// A pulledLayer is one blob of an image, which may have it several times.
type pulledLayer struct {
	desc   ocispec.Descriptor
	diffID digest.Digest
	have   bool
	item   *progress.Item
}

// layers fetches the layers that are not here. An image that is here whole shows
// none; of others all are shown.
func (p *puller) layers(ctx context.Context, in *store.Ingest, repo *remote.Repository, src *fetchedDocuments, m store.Manifest) error {
	var list []*pulledLayer
	seen := map[digest.Digest]bool{}
	missing := 0
	for i, d := range m.Manifest.Layers {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		have, err := in.HasBlob(ctx, d)
		if err != nil {
			return err
		}
		if !have {
			missing++
		}
		list = append(list, &pulledLayer{desc: d, diffID: m.Config.RootFS.DiffIDs[i], have: have})
	}
	if missing == 0 {
		return nil
	}
	src.fetched = true
	group := progress.New(p.out, p.style)
	defer group.Close()
	for _, l := range list {
		l.item = group.Item(l.desc.Digest.Encoded()[:12])
		if l.have {
			l.item.Done("Already exists")
		} else {
			l.item.State("Pulling fs layer", 0, 0)
		}
	}
	return p.fetchAll(ctx, in, repo, list)
}

// fetchAll fetches some layers at a time, in their order, and unpacks each while
// it comes; a download that is done does not keep the next waiting.
func (p *puller) fetchAll(ctx context.Context, in *store.Ingest, repo *remote.Repository, list []*pulledLayer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, downloads)
	var wg sync.WaitGroup
	for _, l := range list {
		if l.have {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := p.layer(ctx, in, repo, l, sync.OnceFunc(func() { <-slots })); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// layer brings one layer in. Bytes that turn out to be wrong are fetched once
// more, as those of an interrupted pull may have been on the way to the disk when
// the machine stopped.
func (p *puller) layer(ctx context.Context, in *store.Ingest, repo *remote.Repository, l *pulledLayer, fetched func()) error {
	defer fetched()
	part, err := in.Partial(ctx, l.desc)
	if err != nil {
		return err
	}
	if part == nil { // another pull was faster
		_, err := in.Layer(ctx, store.LayerSource{DiffID: l.diffID, Blob: l.desc.Digest, Size: l.desc.Size, MaxExpansion: p.o.MaxExpansion,
			Open: func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }})
		l.item.Done("Already exists")
		return err
	}
	defer part.Close()
	err = p.attempt(ctx, in, repo, l, part, fetched)
	if errors.Is(err, errWrongBytes) {
		if err := part.Reset(); err != nil {
			return err
		}
		err = p.attempt(ctx, in, repo, l, part, fetched)
	}
	switch {
	case err == nil:
		l.item.Done("Pull complete")
	case errors.Is(err, errWrongBytes): // not to be gone on with
		err = errors.Join(err, part.Reset())
	}
	return err
}

// errWrongBytes says that a blob came whole, and is not the one of its digest. Its
// text is Docker's.
var errWrongBytes = errors.New("filesystem layer verification failed for digest")

// attempt fetches what is missing of a layer and unpacks it meanwhile.
func (p *puller) attempt(ctx context.Context, in *store.Ingest, repo *remote.Repository, l *pulledLayer, part *store.Partial, fetched func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var complete atomic.Bool
	fetch := make(chan error, 1)
	go func() {
		err := repo.Fetch(ctx, l.desc, part, func(n int64) { l.item.State("Downloading", n, l.desc.Size) })
		if err != nil {
			part.Fail(err)
		} else {
			l.item.State("Download complete", 0, 0)
			complete.Store(true)
		}
		fetched()
		fetch <- err
	}()
	_, err := p.unpack(ctx, in, part, store.LayerSource{DiffID: l.diffID, MaxExpansion: p.o.MaxExpansion, Progress: func(n int64) {
		if complete.Load() {
			l.item.State("Extracting", n, l.desc.Size)
		}
	}})
	bad := errors.Is(err, layerpack.ErrDigest) || errors.Is(err, layerpack.ErrInvalid)
	if err != nil && !bad {
		cancel()
	}
	fetchErr := <-fetch
	switch {
	case fetchErr != nil && (err == nil || bad || errors.Is(err, fetchErr)):
		return fetchErr
	case bad:
		// Is it the layer that is bad, or its way here?
		if verifyErr := part.Verify(ctx); errors.Is(verifyErr, layerpack.ErrDigest) {
			return fmt.Errorf("%w %s: %w", errWrongBytes, l.desc.Digest, verifyErr)
		}
	}
	return err
}

// unpack waits for its turn, which comes: whoever unpacks is being fetched.
func (p *puller) unpack(ctx context.Context, in *store.Ingest, part *store.Partial, src store.LayerSource) (store.Layer, error) {
	select {
	case p.packing <- struct{}{}:
		defer func() { <-p.packing }()
		return in.PartialLayer(ctx, src, part)
	case <-ctx.Done():
		return store.Layer{}, context.Cause(ctx)
	}
}
