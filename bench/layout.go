package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LayoutLayers are the files of an image's layers in an OCI layout, bottom first.
func LayoutLayers(layout, tag string) ([]string, error) {
	blob := func(d digest.Digest) string {
		return filepath.Join(layout, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
	}
	var x ocispec.Index
	if err := readJSON(filepath.Join(layout, ocispec.ImageIndexFile), &x); err != nil {
		return nil, err
	}
	for _, d := range x.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] != tag {
			continue
		}
		var m ocispec.Manifest
		if err := readJSON(blob(d.Digest), &m); err != nil {
			return nil, err
		}
		var paths []string
		for _, l := range m.Layers {
			paths = append(paths, blob(l.Digest))
		}
		return paths, nil
	}
	return nil, fmt.Errorf("%s has no image %s", layout, tag)
}

func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
