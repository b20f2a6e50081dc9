package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// The archives of Docker before 1.10: every layer is an image with an ID that
// was drawn by lot, <id>/json and <id>/layer.tar, which names the one below it;
// repositories gives tags to some. Source: Docker image specification v1.0.0
// and v1.1.0.

var v1ID = onceCompiled(`^[0-9a-f]{64}$`)

// A v1Image is what is read of <id>/json; the rest of raw goes into the config
// as it is.
type v1Image struct {
	raw     []byte
	layer   Layer
	Parent  string     `json:"parent"`
	Created *time.Time `json:"created"`
	Author  string     `json:"author"`
	Comment string     `json:"comment"`
	Config  struct {
		Cmd []string `json:"Cmd"`
	} `json:"container_config"`
}

// v1Images lists the images of an archive that has no manifest.json: those with
// tags by their first, then those that no other has for its parent.
func v1Images(fsys Files) ([]Image, error) {
	names, err := v1Names(fsys)
	if err != nil {
		return nil, err
	}
	all := map[string]*v1Image{}
	top, err := fsys.Top()
	if err != nil {
		return nil, err
	}
	for _, id := range top {
		if !v1ID().MatchString(id) {
			continue
		}
		// Other files than images' may have such names.
		if all[id], err = readV1(fsys, id); errors.Is(err, fs.ErrNotExist) {
			delete(all, id)
		} else if err != nil {
			return nil, err
		}
	}
	ids := v1Tips(all, names)
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: it has neither %s, %s nor images of Docker before 1.10 (a root filesystem is made an image with import)",
			ErrInvalid, dockerManifestName, ocispec.ImageIndexFile)
	}
	var out []Image
	for _, id := range ids {
		chain, err := v1Chain(all, id)
		if err != nil {
			return nil, err
		}
		img := Image{Names: names[id], MakeConfig: func(diffIDs []digest.Digest) ([]byte, error) { return v1Config(chain, diffIDs) }}
		for _, c := range chain {
			img.Layers = append(img.Layers, c.layer)
		}
		out = append(out, img)
	}
	return out, nil
}

// v1Names reads repositories: the tags of each ID, sorted.
func v1Names(fsys Files) (map[string][]reference.Named, error) {
	names := map[string][]reference.Named{}
	raw, err := document(fsys, repositoriesName)
	if errors.Is(err, fs.ErrNotExist) {
		return names, nil // saved by their IDs
	}
	if err != nil {
		return nil, err
	}
	var repos map[string]map[string]string
	if err := json.Unmarshal(raw, &repos); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, repositoriesName, err)
	}
	for repo, tags := range repos {
		for tag, id := range tags {
			named, err := reference.ParseNormalizedNamed(repo)
			if err == nil {
				named, err = reference.WithTag(reference.TrimNamed(named), tag)
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %s: invalid name %.200q: %w", ErrInvalid, repositoriesName, repo+":"+tag, err)
			}
			if !v1ID().MatchString(id) {
				return nil, fmt.Errorf("%w: %s: invalid ID %.100q", ErrInvalid, repositoriesName, id)
			}
			names[id] = append(names[id], named)
		}
	}
	for _, list := range names {
		slices.SortFunc(list, func(a, b reference.Named) int { return strings.Compare(a.String(), b.String()) })
	}
	return names, nil
}

func readV1(fsys Files, id string) (*v1Image, error) {
	raw, err := document(fsys, path.Join(id, "json"))
	if err != nil {
		return nil, err
	}
	img := &v1Image{raw: raw}
	if err := json.Unmarshal(raw, img); err != nil {
		return nil, fmt.Errorf("%w: %s/json: %w", ErrInvalid, id, err)
	}
	img.layer.File, err = fsys.File(path.Join(id, "layer.tar"))
	img.layer.ID = id
	return img, err
}

// v1Tips are the IDs that are loaded as images.
func v1Tips(all map[string]*v1Image, names map[string][]reference.Named) []string {
	parents := map[string]bool{}
	for _, img := range all {
		parents[img.Parent] = true
	}
	var named, nameless []string
	for id := range names {
		named = append(named, id)
	}
	for id := range all {
		if names[id] == nil && !parents[id] {
			nameless = append(nameless, id)
		}
	}
	slices.SortFunc(named, func(a, b string) int { return strings.Compare(names[a][0].String(), names[b][0].String()) })
	slices.Sort(nameless)
	return append(named, nameless...)
}

// v1Chain is an image with its ancestors, bottom first.
func v1Chain(all map[string]*v1Image, id string) ([]*v1Image, error) {
	var chain []*v1Image
	for next := id; next != ""; {
		img := all[next]
		if img == nil {
			return nil, fmt.Errorf("%w: the image %.100q is not in it", ErrInvalid, next)
		}
		chain = append(chain, img)
		if len(chain) > store.MaxLayers {
			return nil, fmt.Errorf("%w: %s has more than %d ancestors", ErrInvalid, id, store.MaxLayers)
		}
		next = img.Parent
	}
	slices.Reverse(chain)
	return chain, nil
}

// A v1History is an entry of a config's history, in the order that Docker gives
// its fields, as that decides the ID.
type v1History struct {
	Created   *time.Time `json:"created,omitempty"`
	Author    string     `json:"author,omitempty"`
	CreatedBy string     `json:"created_by,omitempty"`
	Comment   string     `json:"comment,omitempty"`
}

// v1Config makes the config of an image as Docker does when it loads such an
// archive, so that the image gets the ID it has there: the top image's JSON
// without what was its own machine's, with layers and history.
func v1Config(chain []*v1Image, diffIDs []digest.Digest) ([]byte, error) {
	var c map[string]json.RawMessage
	if err := json.Unmarshal(chain[len(chain)-1].raw, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, k := range []string{"id", "parent", "Size", "parent_id", "layer_id", "throwaway"} {
		delete(c, k)
	}
	var history []v1History
	for _, img := range chain {
		history = append(history, v1History{img.Created, img.Author, strings.Join(img.Config.Cmd, " "), img.Comment})
	}
	for k, v := range map[string]any{"rootfs": ocispec.RootFS{Type: "layers", DiffIDs: diffIDs}, "history": history} {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		c[k] = raw
	}
	return json.Marshal(c)
}
