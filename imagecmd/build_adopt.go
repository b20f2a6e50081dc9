package imagecmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// A CacheSource is one --cache-from or --cache-to.
type CacheSource struct {
	Type string // registry (an image), local (a directory), inline
	Ref  string // the image, or the directory
}

func (s *stageBuild) adopt(ctx context.Context, x buildStep, key digest.Digest) (bool, error) {
	return false, nil
}

func (b *builder) exportCache(ctx context.Context, to CacheSource) error { return nil }

func (b *builder) layoutImage(ctx context.Context, s *stageBuild, rest string) (store.Image, error) {
	return store.Image{}, fmt.Errorf("TODO")
}
func copyTree(ctx context.Context, chain cow.Chain, dir string) error { return fmt.Errorf("TODO") }
func sameName(a, b string) bool                                       { return strings.EqualFold(a, b) }

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
	for field := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(field, "=")
		switch {
		case !ok || value == "":
			return c, fmt.Errorf("cache %q: %q is not KEY=VALUE", s, field)
		case key == "type" && (value == other || value == "local"):
			c.Type = value
		case key == "type":
			return c, fmt.Errorf("cache %q: type %q is not supported: there are %s and local", s, value, other)
		case key == ref && c.Type == other, key == dir && c.Type == "local":
			c.Ref = value
		default:
			return c, fmt.Errorf("cache %q: unexpected key %q", s, key)
		}
	}
	if c.Type == "" || c.Ref == "" && c.Type != "inline" {
		return c, fmt.Errorf("cache %q says not what it is, type=…, or where", s)
	}
	return c, nil
}
