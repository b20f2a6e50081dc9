package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// A CacheSource is one --cache-from or --cache-to.
type CacheSource struct {
	Type string // registry (an image), local (a directory), inline (the image itself)
	Ref  string // the image, or the directory
}

// An image's history tells what its steps were, and its config which layers they made.
// That is all that a --cache-from needs: a step of another image is this one if all
// before it was the same, layer by layer, and so is what the history says of it. (Docker's
// classic builder goes by the same rule.)
type adoptable struct {
	config ocispec.Image
	layers []ocispec.Descriptor
	open   func(d ocispec.Descriptor) (io.ReadCloser, error) // a layer's blob
}

// openCacheFrom finds the images that steps may be taken from. One that isn't there is
// said, and no failure.
func (b *builder) openCacheFrom(ctx context.Context) error {
	for _, c := range b.o.CacheFrom {
		var found []adoptable
		var err error
		if c.Type == "local" {
			found, err = b.adoptableLayout(ctx, c.Ref)
		} else {
			found, err = b.adoptableImage(ctx, c.Ref)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.warn(fmt.Sprintf("--cache-from %s: %v", c.Ref, err))
			continue
		}
		b.adoptable = append(b.adoptable, found...)
	}
	return nil
}

// adoptableImage is an image of the store, or else of a registry.
func (b *builder) adoptableImage(ctx context.Context, name string) ([]adoptable, error) {
	img, err := b.st.Resolve(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		platform := b.st.Platform()
		err = Pull(ctx, b.st, PullOptions{Name: name, Platform: &platform, Quiet: true, MaxExpansion: b.o.MaxExpansion, Registry: b.o.Registry}, io.Discard)
		if err == nil {
			img, err = b.st.Resolve(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	hold, err := holdImage(ctx, b.st, img)
	if err != nil {
		return nil, err
	}
	b.atEnd(func() error { hold.Close(); return nil })
	return []adoptable{{config: img.Config, layers: img.Layers, open: func(d ocispec.Descriptor) (io.ReadCloser, error) {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist) // it is here
	}}}, nil
}

// adoptableLayout is the images of a directory that --cache-to type=local wrote, or any other layout.
func (b *builder) adoptableLayout(ctx context.Context, dir string) ([]adoptable, error) {
	files, err := archive.Open(ctx, dir, archive.Options{Store: b.st, MaxExpansion: b.o.MaxExpansion})
	if err != nil {
		return nil, err
	}
	b.atEnd(files.Close)
	images, err := archive.Images(ctx, files)
	if err != nil {
		return nil, err
	}
	blobs := archive.Blobs{Files: files}
	var out []adoptable
	for _, img := range images {
		if img.Target.Digest == "" {
			return nil, errors.New("it is no OCI layout")
		}
		m, err := store.ReadTarget(ctx, blobs, img.Target, b.st.Platform())
		if err != nil {
			return nil, err
		}
		out = append(out, adoptable{config: m.Config, layers: m.Manifest.Layers, open: func(d ocispec.Descriptor) (io.ReadCloser, error) {
			f, err := blobs.Blob(d)
			if err != nil {
				return nil, err
			}
			return f.Open()
		}})
	}
	return out, nil
}

// adopt takes the step from another image, if one of those that were named has it.
func (s *stageBuild) adopt(ctx context.Context, x buildStep, key digest.Digest) (bool, error) {
	if len(x.depends) > 0 {
		return false, nil // the history doesn't tell all that the step depends on
	}
	for _, a := range s.b.adoptable {
		if h := a.has(s.config.Image, x.createdBy); h != nil && s.b.fits(h) {
			return true, s.take(ctx, a, *h, key)
		}
	}
	return false, nil
}

// has is the line of the history of the step that made a of what before is; nil if
// there is none.
func (a adoptable) has(before ocispec.Image, createdBy string) *ocispec.History {
	n, layers := len(before.History), before.RootFS.DiffIDs
	if len(a.config.History) <= n || len(a.config.RootFS.DiffIDs) < len(layers) {
		return nil
	}
	same := slices.EqualFunc(before.History, a.config.History[:n], func(x, y ocispec.History) bool {
		return x.CreatedBy == y.CreatedBy && x.EmptyLayer == y.EmptyLayer && x.Author == y.Author
	})
	h := a.config.History[n]
	if !same || !slices.Equal(layers, a.config.RootFS.DiffIDs[:len(layers)]) || h.CreatedBy != createdBy {
		return nil
	}
	if !h.EmptyLayer && len(a.config.RootFS.DiffIDs) == len(layers) {
		return nil // its layer has gone into another one
	}
	return &h
}

// fits tells whether a step of that time may be part of what is built.
func (b *builder) fits(h *ocispec.History) bool {
	return b.epoch == nil || h.Created != nil && h.Created.Equal(*b.epoch)
}

// take makes the step's image of the layer that another image has.
func (s *stageBuild) take(ctx context.Context, a adoptable, h ocispec.History, key digest.Digest) error {
	in, err := s.st.Begin(ctx)
	if err != nil {
		return err
	}
	n := newImage{Config: s.config, Parent: s.parentID(), Step: key}
	n.Config.cloneForChange()
	if n.Layers, err = in.Take(ctx, s.image); err == nil {
		var layer *store.Layer
		if !h.EmptyLayer {
			at := len(n.Layers)
			d := a.layers[at]
			var got store.Layer
			got, err = in.Layer(ctx, store.LayerSource{
				DiffID: a.config.RootFS.DiffIDs[at], Blob: d.Digest, Size: d.Size, MaxExpansion: s.b.o.MaxExpansion,
				Open: func() (io.ReadCloser, error) { return a.open(d) },
			})
			layer = &got
		}
		if err == nil {
			err = s.put(ctx, in, n, layer, h)
		}
	}
	if err != nil {
		in.Close()
		return err
	}
	s.keep(in)
	s.out.cached()
	return nil
}

// ParseCacheFrom reads IMAGE[,IMAGE…], type=registry,ref=IMAGE or type=local,src=DIR.
func ParseCacheFrom(s string) ([]CacheSource, error) {
	if !strings.Contains(s, "=") {
		var out []CacheSource
		for name := range strings.SplitSeq(s, ",") {
			out = append(out, CacheSource{"registry", name})
		}
		return out, nil
	}
	c, err := parseCache(s, "registry", "ref", "src")
	return []CacheSource{c}, err
}

// ParseCacheTo reads type=local,dest=DIR or type=inline.
func ParseCacheTo(s string) (CacheSource, error) { return parseCache(s, "inline", "", "dest") }

func parseCache(s, other, ref, dir string) (c CacheSource, err error) {
	given := map[string]string{}
	for field := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(field, "=")
		if !ok || value == "" {
			return c, fmt.Errorf("cache %q: %q is not KEY=VALUE", s, field)
		}
		given[key] = value
	}
	c.Type = given["type"]
	delete(given, "type")
	where := ref
	switch c.Type {
	case other, "":
	case "local":
		where = dir
	default:
		return c, fmt.Errorf("cache %q: type %q is not supported: there are %s and local", s, c.Type, other)
	}
	c.Ref = given[where]
	delete(given, where)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		return c, fmt.Errorf("cache %q: unexpected key %q", s, key)
	}
	if c.Type == "" || c.Ref == "" && c.Type != "inline" {
		return c, fmt.Errorf("cache %q must say type=… and where", s)
	}
	return c, nil
}
