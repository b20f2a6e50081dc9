package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/internal/piped"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/layerpack"
)

// copy does a COPY or an ADD. Nothing is mounted: the layer is written straight of
// what is selected.
func (s *stageBuild) copy(ctx context.Context, c instructions.Command) error {
	what, err := s.copyOf(ctx, c)
	if err != nil {
		return copyFailed(strings.ToUpper(c.Name()), err)
	}
	return s.copyFiles(ctx, what)
}

// copyFiles is a step that copies.
func (s *stageBuild) copyFiles(ctx context.Context, what buildcontext.Copy) error {
	verb := "COPY"
	if what.Add {
		verb = "ADD"
	}
	temp, err := s.b.temp(ctx)
	if err != nil {
		return err
	}
	sel, err := what.Select(ctx, buildcontext.SelectOptions{
		Temp: temp, Time: s.b.now, Digests: s.b.digests, Fetch: s.b.fetch(), MaxExpansion: s.b.o.MaxExpansion,
		Note: func(path, what string) { s.out.printf("[Warning] %s: %s\n", path, what) },
	})
	if err != nil {
		return copyFailed(verb, err)
	}
	defer sel.Close()
	content, err := sel.Digest(ctx)
	if err != nil {
		return copyFailed(verb, err)
	}
	// The digest is that of everything the instruction says and takes but for where it goes.
	text := fmt.Sprintf("%s %s:%s in %s ", verb, sel.Kind(), content.Encoded(), what.Dest)
	step := buildStep{createdBy: s.nop(text)}
	if what.Link {
		step.depends = []string{"link"}
	}
	step.layer = func(ctx context.Context, in *store.Ingest) (*store.Layer, error) {
		layer, err := s.layerOn(ctx, in, func(lower cow.Base, w io.Writer) error {
			_, err := layerpack.WriteLayer(ctx, w, sel.Entries(ctx, lower), layerpack.WriteOptions{Epoch: s.b.epoch})
			return err
		})
		if err != nil {
			err = copyFailed(verb, err)
		}
		return layer, err
	}
	return s.do(ctx, step)
}

// copyOf is what an instruction copies.
func (s *stageBuild) copyOf(ctx context.Context, c instructions.Command) (buildcontext.Copy, error) {
	var what buildcontext.Copy
	var err error
	var files instructions.SourcesAndDest
	switch c := c.(type) {
	case *instructions.CopyCommand:
		files = c.SourcesAndDest
		what = buildcontext.Copy{Parents: c.Parents, Link: c.Link, Exclude: c.ExcludePatterns, Chown: c.Chown, Chmod: c.Chmod}
		what.From, err = s.sourceNamed(ctx, c.From)
	case *instructions.AddCommand:
		files = c.SourcesAndDest
		what = buildcontext.Copy{
			Add: true, Link: c.Link, Exclude: c.ExcludePatterns, Chown: c.Chown, Chmod: c.Chmod,
			Checksum: c.Checksum, KeepGit: c.KeepGitDir, Unpack: c.Unpack,
		}
		what.From, err = s.sourceNamed(ctx, "")
	}
	what.Paths, what.Dest, what.WorkDir = files.SourcePaths, files.DestPath, s.config.Config.WorkingDir
	for _, d := range files.SourceContents {
		what.Inline = append(what.Inline, buildcontext.Inline{Name: d.Path, Data: []byte(d.Data)})
	}
	return what, err
}

// sourceNamed is the tree that an instruction names by from; "" is the build context.
func (s *stageBuild) sourceNamed(ctx context.Context, from string) (*buildcontext.Source, error) {
	src, err := s.b.plan.From(s.s, from)
	if err != nil || src.IsZero() {
		return s.b.context.Source, err
	}
	found, err := s.b.source(ctx, s, src)
	if err != nil {
		return nil, err
	}
	return found.source, nil
}

// copyFailed is why a COPY or ADD failed, in Docker's words.
func copyFailed(verb string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return sentencef(err, "%s failed: %v", verb, reason(err))
}

// reason is why there is no layer of files, without that it was the layer that couldn't be written.
func reason(err error) error {
	if i, ok := errors.AsType[*buildcontext.Impossible](err); ok {
		return i
	}
	return err
}

// layerOn makes a layer of what write writes over the files of the stage so far.
func (s *stageBuild) layerOn(ctx context.Context, in *store.Ingest, write func(lower cow.Base, w io.Writer) error) (*store.Layer, error) {
	lower, release, err := s.lower(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	tar := piped.From(func(w io.Writer) error { return write(lower, w) })
	defer tar.Close()
	return newLayerOrNone(ctx, in, tar, layerpack.Plain)
}

// lower is the tree of the stage so far; nil if it is empty.
func (s *stageBuild) lower(ctx context.Context) (cow.Base, func(), error) {
	if len(s.image.Layers) == 0 {
		return nil, func() {}, nil
	}
	chain, release, err := s.st.Chain(ctx, s.image)
	if err != nil {
		return nil, nil, err
	}
	base, err := layerpack.OpenBase(chain, nil)
	if err != nil {
		release()
		return nil, nil, err
	}
	return base, func() { base.Close(); release() }, nil
}
