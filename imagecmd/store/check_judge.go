package store

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// isIO tells that a disk could not give what is on it.
func isIO(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EBADMSG) || errors.Is(err, unix.EUCLEAN)
}

// judgeLayers handles what is wrong with layers: first their tars, from a blob,
// then what is made of those.
func (c *checker) judgeLayers(ctx context.Context) error {
	for _, d := range sortedKeys(c.layers) {
		st := c.layers[d]
		if len(st.tar)+len(st.made) == 0 {
			continue
		}
		f := Fault{Object: "layer " + string(d), Hits: append(st.tar, st.made...)}
		need := c.refs.layers[d]
		if need != nil {
			f.Images = need.images
		}
		var r remedy
		var lost func(context.Context) (string, error)
		blob, have := c.layerBlob(d)
		switch {
		case len(st.tar) == 0:
			r = remedy{func(ctx context.Context) error { return c.remake(ctx, d) }, "made again from its tar"}
		case have:
			r = remedy{func(ctx context.Context) error { return c.repack(ctx, d, blob) }, "made again from its blob"}
		case need == nil:
			r = remedy{func(context.Context) error {
				delete(c.layers, d)
				return c.drop(c.s.layerPath(d))
			}, "removed, as no image needs it"}
		default:
			st.lost = true
			lost = func(ctx context.Context) (string, error) { return c.setAsideLayer(ctx, d) }
		}
		repaired := c.sum.Repaired
		if err := c.fault(ctx, f, r, lost); err != nil {
			return err
		}
		if c.sum.Repaired > repaired {
			st.tar, st.made = nil, nil
		}
	}
	return nil
}

// setAsideLayer moves a layer that is lost to DamagedDir; a blob that is the same
// file goes with it.
func (c *checker) setAsideLayer(ctx context.Context, d digest.Digest) (string, error) {
	advice, err := c.setAside(ctx, c.s.layerPath(d))
	if err != nil || !errors.Is(c.blobs[d], errSameFile) {
		return advice, err
	}
	if _, err := os.Lstat(c.s.layerPath(d)); err == nil {
		return advice, nil // it is in use
	}
	if err := c.drop(c.s.blobPath(d)); err != nil && !errors.Is(err, errInUse) {
		return "", err
	}
	return advice, nil
}

// layerBlob is a whole blob of a layer, in whatever compression.
func (c *checker) layerBlob(d digest.Digest) (ocispec.Descriptor, bool) {
	if need := c.refs.layers[d]; need != nil {
		for _, b := range need.blobs {
			if c.wholeBlob(b.Digest) {
				return b, true
			}
		}
	}
	return ocispec.Descriptor{}, false
}

// remake makes what is made of a layer's tar again, under whoever uses it.
func (c *checker) remake(ctx context.Context, d digest.Digest) error {
	f, err := lease(ctx, c.s.layerPath(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return c.s.mendLayer(ctx, d)
}

// repack packs a layer again from its blob.
func (c *checker) repack(ctx context.Context, d digest.Digest, blob ocispec.Descriptor) error {
	if err := c.drop(c.s.layerPath(d)); err != nil {
		return err
	}
	_, err := c.in.Layer(ctx, LayerSource{DiffID: d, Blob: blob.Digest, Size: blob.Size, Open: noBlob(blob.Digest)})
	return err
}

// judgeBlobs handles blobs that are damaged, or missing though an image needs them.
func (c *checker) judgeBlobs(ctx context.Context) error {
	all := map[digest.Digest]string{}
	for d, wrong := range c.blobs {
		same := errors.Is(wrong, errSameFile)
		if st := c.layers[d]; wrong != nil && !(same && st != nil && st.lost) {
			all[d] = wrong.Error()
		}
	}
	for d, need := range c.refs.blobs {
		if _, there := c.blobs[d]; there || !need.must {
			continue
		}
		if _, err := os.Lstat(c.s.blobPath(d)); err == nil || !c.stillNeeded(d) {
			continue // it came, or its image went
		}
		all[d] = "it is missing"
	}
	for _, d := range sortedKeys(all) {
		f := Fault{Object: "blob " + string(d), Hits: hits(all[d])}
		need := c.refs.blobs[d]
		if need != nil {
			f.Images = need.images
		}
		path := c.s.blobPath(d)
		_, there := c.blobs[d]
		layer := c.layers[d]
		var r remedy
		var lost func(context.Context) (string, error)
		switch {
		case need != nil && layer != nil && (len(layer.tar) == 0 || errors.Is(c.blobs[d], errSameFile)):
			r = remedy{func(ctx context.Context) error { return c.relink(ctx, d, there) }, "made again from the layer's tar"}
		case need == nil && there:
			r = remedy{func(context.Context) error { return c.drop(path) }, "removed, as no image needs it"}
		case there:
			lost = func(ctx context.Context) (string, error) { return c.setAside(ctx, path) }
		}
		if err := c.fault(ctx, f, r, lost); err != nil {
			return err
		}
	}
	return nil
}

// judgeImages tells of images that can't be read though every blob of them is whole.
func (c *checker) judgeImages(ctx context.Context) error {
	for _, label := range slices.Sorted(maps.Keys(c.broken)) {
		if c.told[label] {
			continue
		}
		f := Fault{Object: "image " + label, Images: []string{label}, Hits: hits(c.broken[label].Error())}
		if err := c.fault(ctx, f, remedy{}, nil); err != nil {
			return err
		}
	}
	return nil
}

// stillNeeded tells whether index.json, read again, leads to a blob. The images
// that lead to it may have been removed since it was read.
func (c *checker) stillNeeded(d digest.Digest) bool {
	x, err := c.s.readIndex()
	if err != nil {
		return true
	}
	m := newMarks()
	for _, l := range x.Manifests {
		if c.s.mark(context.Background(), l.Digest, m, 0) != nil {
			return true
		}
	}
	return m.blobs[d]
}

// relink makes the blob of a plain layer of its tar, in the place of a damaged
// one.
func (c *checker) relink(ctx context.Context, d digest.Digest, damaged bool) error {
	if len(c.layers[d].tar) > 0 {
		return errInUse // the tar could not be made again
	}
	if damaged {
		if err := c.drop(c.s.blobPath(d)); err != nil {
			return err
		}
	}
	l, err := lease(ctx, c.s.layerPath(d))
	if err != nil {
		return err
	}
	defer l.Close()
	fi, err := os.Stat(c.s.layerTar(d))
	if err != nil {
		return err
	}
	return c.in.keepBlob(ctx, nil, c.s.layerPath(d), layerpack.Packed{Blob: d, DiffID: d, BlobSize: fi.Size(), TarSize: fi.Size()})
}

// judgeIndex handles a damaged merged index.
func (c *checker) judgeIndex(ctx context.Context, name string, wrong []Hit) error {
	path := filepath.Join(c.s.images(), name)
	f := Fault{Object: "merged index " + strings.TrimSuffix(name, indexSuffix), Hits: wrong}
	r := remedy{func(context.Context) error { return c.drop(path) }, "removed, as no image needs it"}
	if need := c.refs.chains[name]; need != nil {
		f.Images = need.images
		r = remedy{func(ctx context.Context) error {
			if err := c.drop(path); err != nil {
				return err
			}
			return c.rebuildChain(ctx, path, need.diffIDs)
		}, "made again from its layers"}
	}
	return c.fault(ctx, f, r, nil)
}

// rebuildChain makes a merged index again, if its layers are there; if not, it is
// made when they are.
func (c *checker) rebuildChain(ctx context.Context, path string, diffIDs []digest.Digest) error {
	chain := cow.Chain{ID: chainID(diffIDs), Index: path}
	for _, d := range diffIDs {
		l, err := lease(ctx, c.s.layerPath(d))
		if err != nil {
			return ignoreMissing(err)
		}
		defer l.Close()
		chain.Layers = append(chain.Layers, c.s.layer(d))
	}
	return c.s.buildIndex(ctx, chain, path)
}
