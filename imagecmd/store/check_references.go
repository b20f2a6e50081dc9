package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// references is what the images of a store need.
type references struct {
	blobs  map[digest.Digest]*blobNeed
	layers map[digest.Digest]*layerNeed // by diff ID
	chains map[string]*chainNeed        // by the name of the merged index
}

// A blobNeed is a blob that images lead to.
type blobNeed struct {
	images []string
	size   int64 // bytes, 0 = not told
	must   bool  // the image for this platform can't do without it
}

// A layerNeed is a layer of an image for this platform.
type layerNeed struct {
	images []string
	blobs  []ocispec.Descriptor // any of which it can be packed from
}

type chainNeed struct {
	images  []string
	diffIDs []digest.Digest
}

func addImage(list *[]string, image string) {
	if !slices.Contains(*list, image) {
		*list = append(*list, image)
	}
}

// checkMarker looks for the file that tells others that this is a layout.
func (c *checker) checkMarker(ctx context.Context) error {
	_, err := os.Lstat(c.s.indexPath())
	_, merr := os.Lstat(filepath.Join(c.s.LayoutDir(), ocispec.ImageLayoutFile))
	if err != nil || !errors.Is(merr, fs.ErrNotExist) {
		return nil
	}
	return c.fault(ctx, Fault{Object: ocispec.ImageLayoutFile, Hits: hits("it is missing")}, remedy{c.s.prepare, "made again"}, nil)
}

// checkNames looks whether index.json can be read.
func (c *checker) checkNames(ctx context.Context) error {
	_, err := c.s.readIndex()
	if !errors.Is(err, ErrInvalid) {
		return err
	}
	return c.fault(ctx, Fault{Object: ocispec.ImageIndexFile, Hits: hits(err.Error())},
		remedy{c.rebuildIndex, "made again from the manifests, without their names; what it was is in " + c.s.DamagedDir()}, nil)
}

// rebuildIndex makes index.json of the manifests and indexes that no other leads
// to. What it was is kept.
func (c *checker) rebuildIndex(ctx context.Context) error {
	if err := os.MkdirAll(c.s.DamagedDir(), 0o700); err != nil {
		return err
	}
	dir, err := openObject(c.s.LayoutDir())
	if err != nil {
		return err
	}
	defer dir.Close()
	if ok, err := flock(dir, unix.LOCK_EX); err != nil || !ok {
		return errors.Join(err, errInUse)
	}
	documents := map[digest.Digest]ocispec.Descriptor{}
	var inner []digest.Digest // that another document leads to
	err = c.s.eachBlob(func(d digest.Digest, path string) error {
		fi, err := os.Stat(path)
		if err != nil || fi.Size() > MaxDocument {
			return ignoreMissing(err)
		}
		raw, err := c.s.Document(ctx, ocispec.Descriptor{Digest: d})
		if err != nil {
			return nil // told where blobs are checked
		}
		doc, err := parseDocument(raw)
		if err != nil {
			return nil
		}
		target := ocispec.Descriptor{MediaType: doc.MediaType, Digest: d, Size: int64(len(raw))}
		if doc.Manifests != nil {
			for _, m := range *doc.Manifests {
				inner = append(inner, m.Digest)
			}
			if target.MediaType == "" {
				target.MediaType = ocispec.MediaTypeImageIndex
			}
		} else if target.MediaType == "" {
			target.MediaType = ocispec.MediaTypeImageManifest
		}
		documents[d] = target
		return nil
	})
	if err != nil {
		return err
	}
	x := &index{SchemaVersion: 2, MediaType: ocispec.MediaTypeImageIndex, Manifests: []line{}}
	for _, d := range sortedKeys(documents) {
		if !slices.Contains(inner, d) {
			x.keep(documents[d])
		}
	}
	raw, err := json.Marshal(x)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(c.s.indexPath())
	if err != nil {
		return err
	}
	kept := filepath.Join(c.s.DamagedDir(), randomName(ocispec.ImageIndexFile))
	if err := writeSynced(kept, old); err != nil {
		return err
	}
	return c.s.replaceFile(ctx, c.s.indexPath(), raw)
}

// readReferences follows every line of index.json.
func (c *checker) readReferences(ctx context.Context) error {
	c.refs = &references{map[digest.Digest]*blobNeed{}, map[digest.Digest]*layerNeed{}, map[string]*chainNeed{}}
	x, err := c.s.readIndex()
	if errors.Is(err, ErrInvalid) {
		return nil // told
	}
	if err != nil {
		return err
	}
	c.broken = map[string]error{}
	labels := map[digest.Digest]string{}
	for _, l := range x.Manifests {
		if labels[l.Digest] == "" || l.name() != nil && labels[l.Digest] == string(l.Digest) {
			labels[l.Digest] = describe(l)
		}
	}
	ids := map[digest.Digest]bool{}
	seen := map[digest.Digest]bool{}
	for _, l := range x.Manifests {
		if seen[l.Digest] {
			continue
		}
		seen[l.Digest] = true
		m, err := ReadTarget(ctx, c.s, l.Descriptor, c.s.platform)
		label := labels[l.Digest]
		if err == nil || m.Manifest.Config.Digest != "" {
			ids[m.Manifest.Config.Digest] = true
			if label == string(l.Digest) {
				label = "<none>"
			}
			label += " (" + shortID(m.Manifest.Config.Digest) + ")"
		}
		c.refs.document(ctx, c.s, l.Descriptor, label, m.Descriptor.Digest, true, 0)
		switch {
		case err == nil:
			c.refs.image(c.s, m, label)
		case !errors.Is(err, ErrUnsupported):
			c.broken[label] = err
		}
	}
	c.sum.Images = len(ids)
	return nil
}

// image adds what an image for this platform, or the one in its place, is made of.
func (r *references) image(s *Store, m Manifest, label string) {
	diffIDs := m.Config.RootFS.DiffIDs
	for i, d := range diffIDs {
		if r.layers[d] == nil {
			r.layers[d] = &layerNeed{}
		}
		n := r.layers[d]
		addImage(&n.images, label)
		n.blobs = append(n.blobs, m.Manifest.Layers[i])
	}
	name := filepath.Base(s.chainPath(chainID(diffIDs)))
	if r.chains[name] == nil {
		r.chains[name] = &chainNeed{diffIDs: diffIDs}
	}
	addImage(&r.chains[name].images, label)
}

// document adds a document of an image, and what it leads to. must says that the
// image for this platform needs it; chosen is that image's manifest, "" when it
// could not be told: then every document that is there counts.
func (r *references) document(ctx context.Context, s *Store, d ocispec.Descriptor, label string, chosen digest.Digest, must bool, depth int) {
	r.blob(d, label, must)
	if depth > maxNesting {
		return
	}
	raw, err := s.Document(ctx, d)
	if err != nil {
		return // missing or damaged, which is told of the blob
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return
	}
	if doc.Manifests != nil {
		x, err := doc.index()
		if err != nil {
			return
		}
		for _, child := range x.Manifests {
			r.document(ctx, s, child, label, chosen, child.Digest == chosen, depth+1)
		}
		return
	}
	m, err := doc.manifest()
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return
	}
	must = must && (d.Digest == chosen || chosen == "")
	for _, b := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		r.blob(b, label, must)
	}
}

func (r *references) blob(d ocispec.Descriptor, label string, must bool) {
	n := r.blobs[d.Digest]
	if n == nil {
		n = &blobNeed{size: d.Size}
		r.blobs[d.Digest] = n
	}
	n.must = n.must || must
	addImage(&n.images, label)
}

// judgeContainers looks whether the layers of containers are there, or can be
// packed again.
func (c *checker) judgeContainers(ctx context.Context) error {
	containers, err := c.s.Containers(ctx)
	if err != nil {
		return err
	}
	for _, k := range containers {
		for _, d := range k.Layers {
			if c.layers[d] != nil {
				continue
			}
			need := c.refs.layers[d]
			if need != nil && slices.ContainsFunc(need.blobs, func(b ocispec.Descriptor) bool { return c.wholeBlob(b.Digest) }) {
				continue
			}
			f := Fault{Object: "container " + shortContainer(k.ID), Images: []string{k.Image}, Hits: hits(fmt.Sprintf("its layer %s is missing", d))}
			if err := c.fault(ctx, f, remedy{}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
