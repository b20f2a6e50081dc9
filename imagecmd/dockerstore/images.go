package dockerstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// An Image is one image of a store.
type Image struct {
	archive.Image
	ID digest.Digest // that Docker gave it
	// Anew are the layers without a tar-split: the tars that are made of them have
	// other digests, and the image another ID.
	Anew []digest.Digest
}

// ErrNoImage says that there is no image of a name or ID, or several of an ID's beginning.
var ErrNoImage = errors.New("no such image")

// Images lists the images that are wanted, by their names and IDs, or beginnings of IDs; without
// any, all that have a name, or that no other was built on, those with names first.
func (s *Store) Images(want ...string) ([]Image, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	if len(want) > 0 {
		ids, err = chooseIDs(ids, names, want)
	} else {
		ids, err = s.tips(ids, names)
	}
	if err != nil {
		return nil, err
	}
	var out []Image
	for _, id := range ids {
		img, err := s.read(id)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", id, err)
		}
		img.Names = names[id]
		out = append(out, img)
	}
	return out, nil
}

// names reads repositories.json (reference/store.go): the tags of each ID, sorted.
func (s *Store) names() (map[digest.Digest][]reference.Named, error) {
	out := map[digest.Digest][]reference.Named{}
	name := s.image("repositories.json")
	raw, err := s.document(name)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	return out, parseNames(raw, out)
}

func parseNames(raw []byte, out map[digest.Digest][]reference.Named) error {
	var file struct {
		Repositories map[string]map[string]digest.Digest
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return fmt.Errorf("%w: repositories.json: %w", ErrInvalid, err)
	}
	for _, refs := range file.Repositories {
		for name, id := range refs {
			ref, err := reference.ParseNormalizedNamed(name)
			if err != nil {
				return fmt.Errorf("%w: repositories.json: name %.200q: %w", ErrInvalid, name, err)
			}
			if _, ok := ref.(reference.Canonical); ok {
				continue // a registry's digest, of a manifest that Docker does not keep
			}
			out[id] = append(out[id], reference.TagNameOnly(ref))
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b reference.Named) int { return strings.Compare(a.String(), b.String()) })
	}
	return nil
}

// ids are those of all images.
func (s *Store) ids() ([]digest.Digest, error) {
	all, err := fs.ReadDir(s.root.FS(), s.image("imagedb", "content", "sha256"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []digest.Digest
	for _, e := range all {
		if id := digest.NewDigestFromEncoded(digest.SHA256, e.Name()); id.Validate() == nil {
			out = append(out, id) // others are files that were not finished
		}
	}
	return out, nil
}

// tips leaves out of ids what is only there as others were built on it.
func (s *Store) tips(ids []digest.Digest, names map[digest.Digest][]reference.Named) ([]digest.Digest, error) {
	parents := map[digest.Digest]bool{}
	for _, id := range ids {
		parent, err := s.text(s.image("imagedb", "metadata", "sha256", id.Encoded()), "parent")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		parents[digest.Digest(parent)] = true
	}
	var named, nameless []digest.Digest
	for _, id := range ids {
		if len(names[id]) > 0 {
			named = append(named, id)
		} else if !parents[id] {
			nameless = append(nameless, id)
		}
	}
	return append(named, nameless...), nil
}

// chooseIDs picks those of ids that are called for, each once, in that order.
func chooseIDs(ids []digest.Digest, names map[digest.Digest][]reference.Named, want []string) ([]digest.Digest, error) {
	var out []digest.Digest
	for _, w := range want {
		var found []digest.Digest
		ref, err := reference.ParseNormalizedNamed(w)
		for _, id := range ids {
			if err == nil && slices.ContainsFunc(names[id], func(n reference.Named) bool { return n.String() == reference.TagNameOnly(ref).String() }) {
				found = []digest.Digest{id}
				break
			}
			if w != "" && (strings.HasPrefix(id.Encoded(), w) || strings.HasPrefix(string(id), w) && strings.HasPrefix(w, "sha256:")) {
				found = append(found, id)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("%w: %s", ErrNoImage, w)
		case 1:
			if !slices.Contains(out, found[0]) {
				out = append(out, found[0])
			}
		default:
			return nil, fmt.Errorf("%w: %d IDs begin with %s", ErrNoImage, len(found), w)
		}
	}
	return out, nil
}

// read reads the config of an image, and finds its layers.
func (s *Store) read(id digest.Digest) (Image, error) {
	raw, err := s.document(s.image("imagedb", "content", "sha256", id.Encoded()))
	if err != nil {
		return Image{}, err
	}
	if got := id.Algorithm().FromBytes(raw); got != id {
		return Image{}, fmt.Errorf("%w: its config has the digest %s", ErrInvalid, got)
	}
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return Image{}, fmt.Errorf("%w: config: %w", ErrInvalid, err)
	}
	if n := len(c.RootFS.DiffIDs); n > store.MaxLayers {
		return Image{}, fmt.Errorf("%w: %d layers", ErrInvalid, n)
	}
	if c, err = store.ParseConfig(raw, len(c.RootFS.DiffIDs)); err != nil {
		return Image{}, err
	}
	layers, err := s.layers(c.RootFS.DiffIDs)
	if err != nil {
		return Image{}, err
	}
	img := Image{ID: id, Image: archive.Image{RawConfig: raw, Config: c}}
	for _, l := range layers {
		tar, anew, err := s.tar(l)
		if err != nil {
			return Image{}, fmt.Errorf("layer %s: %w", l.diffID, err)
		}
		it := archive.Layer{File: archive.NewFile(l.size, tar), DiffID: l.diffID}
		if anew {
			img.Anew = append(img.Anew, l.diffID)
			it.DiffID, it.ID = "", l.meta
		}
		img.Layers = append(img.Layers, it)
	}
	if len(img.Anew) > 0 {
		img.RawConfig = nil
		img.MakeConfig = func(diffIDs []digest.Digest) ([]byte, error) { return withLayers(raw, diffIDs) }
	}
	return img, nil
}

// withLayers is a config for other layers.
func withLayers(raw []byte, diffIDs []digest.Digest) ([]byte, error) {
	var c map[string]json.RawMessage
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	rootfs, err := json.Marshal(ocispec.RootFS{Type: "layers", DiffIDs: diffIDs})
	if err != nil {
		return nil, err
	}
	c["rootfs"] = rootfs
	return json.Marshal(c)
}

// document reads a small file of the store whole.
func (s *Store) document(name string) ([]byte, error) {
	f, err := s.regular(s.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, store.MaxDocument+1))
	if err == nil && len(raw) > store.MaxDocument {
		err = fmt.Errorf("%w: %s is larger than %d MiB", ErrInvalid, name, store.MaxDocument>>20)
	}
	return raw, err
}
