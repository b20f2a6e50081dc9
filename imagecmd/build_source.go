package imagecmd

import (
	"context"
	"fmt"
	"sync"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

// A NamedContext is one --build-context NAME=VALUE.
type NamedContext struct{ Name, Value string }

func contextNames(list []NamedContext) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

// A namedSource is a tree that instructions take files from: a stage, an image or a
// named context. It is opened once.
type namedSource struct {
	once   sync.Once
	source *buildcontext.Source
	chain  *cow.Chain // of a stage or an image; nil of a context
	err    error
}

// source opens the tree that an instruction of s takes files from.
func (b *builder) source(ctx context.Context, s *stageBuild, src dockerfile.Source) (*namedSource, error) {
	key := "image " + src.Image + " " + store.FormatPlatform(s.st.Platform())
	switch {
	case src.Stage != nil:
		key = "stage " + src.Stage.Label()
	case src.Context != "":
		key = "context " + src.Context
	}
	b.mu.Lock()
	n := b.named[key]
	if n == nil {
		n = &namedSource{}
		b.named[key] = n
	}
	b.mu.Unlock()
	n.once.Do(func() { n.err = b.openSource(ctx, s, src, n) })
	return n, n.err
}

func (b *builder) openSource(ctx context.Context, s *stageBuild, src dockerfile.Source, n *namedSource) error {
	if src.Stage != nil {
		on := b.stage(src.Stage)
		return b.openTree(ctx, on.st, on.image, src.Stage.Label(), n)
	}
	if src.Context != "" {
		value := b.contextValue(src.Context)
		if !b.isImage(src) {
			temp, err := b.temp(ctx)
			if err != nil {
				return err
			}
			n.source, err = buildcontext.OpenNamed(ctx, src.Context, value, buildcontext.Options{Temp: temp, Fetch: b.fetch(), MaxExpansion: b.o.MaxExpansion})
			if err == nil {
				b.atEnd(n.source.Close)
			}
			return err
		}
	}
	img, err := b.baseImage(ctx, s, src)
	if err != nil {
		return err
	}
	return b.openTree(ctx, s.st, img, src.Context+src.Image, n)
}

// openTree opens the files of an image.
func (b *builder) openTree(ctx context.Context, st *store.Store, img store.Image, name string, n *namedSource) error {
	if img.ID == "" {
		return fmt.Errorf("there is nothing in %s", name)
	}
	chain, release, err := st.Chain(ctx, img)
	if err != nil {
		return err
	}
	b.atEnd(func() error { release(); return nil })
	base, err := layerpack.OpenBase(chain, nil)
	if err != nil {
		return err
	}
	b.atEnd(base.Close)
	n.chain, n.source = &chain, buildcontext.FromTree(name, base, string(chain.ID))
	b.atEnd(n.source.Close)
	return nil
}

func (b *builder) contextValue(name string) string {
	for _, c := range b.o.Contexts {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}
