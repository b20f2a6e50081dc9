package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/dockerlint"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// ErrChecked is returned when a check has found something, which was printed.
var ErrChecked = errors.New("the Dockerfile breaks rules")

// lint checks the Dockerfile by BuildKit's rules.
func (b *builder) lint(ctx context.Context) (*dockerlint.Result, error) {
	return dockerlint.Check(ctx, b.context.Dockerfile, dockerlint.Options{
		Name: b.context.DockerfileName, BuildArgs: b.o.Args, Target: b.o.Target, Ignore: b.context.Ignore, Contexts: contextNames(b.o.Contexts),
		Build: hostPlatform(), Platform: b.platform(), Image: b.knownImage,
	})
}

// knownImage is the config of an image that is here.
func (b *builder) knownImage(ctx context.Context, name string, p ocispec.Platform) (*dockerspec.DockerOCIImage, error) {
	st, err := store.Open(b.st.Root(), store.Options{Platform: &p})
	if err != nil {
		return nil, err
	}
	img, err := st.Resolve(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := st.Document(ctx, ocispec.Descriptor{Digest: img.ID})
	if err != nil {
		return nil, err
	}
	c := &dockerspec.DockerOCIImage{}
	return c, json.Unmarshal(raw, c)
}

// check is `build --check`: it prints what is wrong with the Dockerfile, and builds nothing.
func (b *builder) check(ctx context.Context, out io.Writer) error {
	r, err := b.lint(ctx)
	if err != nil {
		return err
	}
	if err := r.Print(out); err != nil {
		return err
	}
	if r.Failure != nil {
		return r.Err()
	}
	if r.Broken() {
		return ErrChecked
	}
	return nil
}

// refuseBroken refuses a Dockerfile that says itself that it is not to be built if it
// breaks rules: "# check=error=true".
func (b *builder) refuseBroken(ctx context.Context) error {
	said, _, _, _ := parser.ParseDirective("check", b.context.Dockerfile)
	if given, ok := b.o.Args["BUILDKIT_DOCKERFILE_CHECK"]; ok {
		said = given
	}
	if !strings.Contains(said, "error") {
		return nil
	}
	r, err := b.lint(ctx)
	if err != nil {
		return err
	}
	return r.Err()
}
