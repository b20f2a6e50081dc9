package imagecmd

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// A stageBuild is one stage while it is built, and what it has made.
type stageBuild struct {
	b     *builder
	s     *dockerfile.Stage
	scope *dockerfile.Scope
	out   stageReport
	st    *store.Store // for the stage's platform

	base   store.Image // what it stands on; zero for scratch
	image  store.Image // what its steps so far have made
	config imageConfig // of the image, as the next step changes it
	change changer
	hold   *store.Ingest // keeps the image from being removed; nil while it is another stage's
	first  int           // number of its FROM among the steps
	done   chan struct{} // closed when it is built, or has failed
	err    error         // of the stage; read after done
}

// build builds the stages that are needed, those at once that don't need each other.
func (b *builder) build(ctx context.Context) (buildResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.print.begin(b.plan)
	if err := b.prepareStages(); err != nil {
		return buildResult{}, err
	}
	parallel := b.o.Parallel
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	room := make(chan struct{}, parallel)
	stages := slices.Clone(b.plan.Stages)
	for _, s := range stages {
		go func() {
			sb := b.stage(s)
			defer close(sb.done)
			defer sb.out.close()
			if sb.err = sb.wait(ctx, room); sb.err == nil {
				sb.err = sb.build(ctx)
				<-room
			}
			if sb.err != nil {
				cancel(sb.err)
			}
		}()
	}
	var first error
	for _, s := range stages {
		sb := b.stage(s)
		<-sb.done
		b.atEnd(func() error { sb.release(); return nil })
		if sb.err != nil && first == nil {
			first = context.Cause(ctx)
		}
	}
	if first != nil {
		return buildResult{}, first
	}
	target := b.stage(b.plan.Target)
	return buildResult{image: target.image, base: target.rootBase().ID}, nil
}

// prepareStages numbers the steps.
func (b *builder) prepareStages() error {
	first := len(b.plan.Meta) + 1
	for _, s := range b.plan.Stages {
		sb, err := b.newStage(s)
		if err != nil {
			return err
		}
		sb.first, sb.out = first, b.print.stage(s)
		first += 1 + len(s.Commands)
		b.stages[s] = sb
	}
	return nil
}

// stage is what is built, or has been built, of a stage.
func (b *builder) stage(s *dockerfile.Stage) *stageBuild {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stages[s]
}

func (b *builder) newStage(s *dockerfile.Stage) (*stageBuild, error) {
	sb := &stageBuild{b: b, s: s, st: b.st, done: make(chan struct{})}
	if s.Platform != "" {
		p, err := store.ParsePlatform(s.Platform)
		if err != nil {
			return nil, err
		}
		if sb.st, err = store.Open(b.st.Root(), store.Options{Platform: &p, MaxExpansion: b.o.MaxExpansion}); err != nil {
			return nil, err
		}
	}
	return sb, nil
}

// wait waits for the stages that this one needs, and then for room.
func (s *stageBuild) wait(ctx context.Context, room chan<- struct{}) error {
	for _, need := range s.s.Needs {
		on := s.b.stage(need)
		select {
		case <-on.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if on.err != nil {
			return on.err
		}
	}
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// build does the steps of the stage, one after the other.
func (s *stageBuild) build(ctx context.Context) error {
	s.out.step(s.first, s.s.Source)
	triggers, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if len(triggers) > 0 {
		s.out.triggers(len(triggers))
		for _, c := range triggers {
			if err := s.step(ctx, c); err != nil {
				return err
			}
		}
	}
	s.out.made(s.image.ID)
	for i, c := range s.s.Commands {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.out.step(s.first+1+i, sourceOf(c))
		if err := s.step(ctx, c); err != nil {
			return err
		}
		s.out.made(s.image.ID)
	}
	return nil
}

// sourceOf is an instruction as it is written.
func sourceOf(c instructions.Command) string {
	if s, ok := c.(fmt.Stringer); ok {
		return s.String()
	}
	return strings.ToUpper(c.Name())
}

// begin makes the stage that of its base, and returns what the base's ONBUILDs want.
func (s *stageBuild) begin(ctx context.Context) ([]instructions.Command, error) {
	var scope *dockerfile.Scope
	var err error
	switch base := s.s.Base; {
	case base.Stage != nil:
		on := s.b.stage(base.Stage)
		s.base, s.config, scope = on.image, on.config, on.scope
	case base.Image == dockerfile.Scratch, !s.b.isImage(base):
		s.config = s.emptyConfig()
	default:
		if s.base, err = s.b.baseImage(ctx, s, base); err == nil {
			s.hold, err = holdImage(ctx, s.st, s.base)
		}
		if err == nil {
			s.config, err = readImageConfig(ctx, s.st, s.base)
		}
	}
	if err != nil {
		return nil, err
	}
	s.image = s.base
	s.scope = s.b.plan.Scope(scope)
	triggers, err := s.triggers(ctx)
	if err != nil {
		return nil, err
	}
	s.config.cloneForChange()
	s.config.Config.OnBuild = nil
	s.change = changer{cfg: &s.config.Config, lex: shell.NewLex(s.b.plan.Escape)}
	if !s.b.isImage(s.s.Base) { // a context to stand on: what it holds is the first layer
		src, err := s.b.source(ctx, s, s.s.Base)
		if err == nil {
			err = s.copyFiles(ctx, buildcontext.Copy{From: src.source, Paths: []string{"/"}, Dest: "/"})
		}
		return triggers, err
	}
	return triggers, nil
}

// triggers are what the base's ONBUILDs want. The stages that only they need are
// built now.
func (s *stageBuild) triggers(ctx context.Context) ([]instructions.Command, error) {
	if len(s.config.Config.OnBuild) == 0 {
		return nil, nil
	}
	b := s.b
	b.late.Lock()
	defer b.late.Unlock()
	triggers, err := b.plan.Triggers(s.s, s.config.Config.OnBuild)
	if err != nil {
		return nil, err
	}
	for _, need := range b.plan.Stages {
		if b.stage(need) != nil {
			continue
		}
		sb, err := b.newStage(need)
		if err != nil {
			return nil, err
		}
		sb.out = &inlineReport{s.out}
		err = sb.build(ctx)
		close(sb.done)
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		b.stages[need] = sb
		b.mu.Unlock()
		b.atEnd(func() error { sb.release(); return nil })
	}
	for _, need := range s.s.Needs {
		if on := b.stage(need); on != s { // one that others are at
			<-on.done
			if on.err != nil {
				return nil, on.err
			}
		}
	}
	return triggers, nil
}

// emptyConfig is that of scratch.
func (s *stageBuild) emptyConfig() imageConfig {
	platform := s.b.platform()
	if s.s.Platform != "" {
		platform = plainPlatform(s.st.Platform())
	}
	return imageConfig{DockerOCIImage: dockerspec.DockerOCIImage{Image: ocispec.Image{
		Platform: platform, RootFS: ocispec.RootFS{Type: "layers"},
	}}}
}

// cloneForChange makes the parts of a configuration its own that steps write into.
func (c *imageConfig) cloneForChange() {
	cfg := &c.Config
	cfg.Env, cfg.OnBuild = slices.Clone(cfg.Env), slices.Clone(cfg.OnBuild)
	cfg.Labels, cfg.Volumes, cfg.ExposedPorts = cloneMap(cfg.Labels), cloneMap(cfg.Volumes), cloneMap(cfg.ExposedPorts)
	c.History, c.RootFS.DiffIDs = slices.Clone(c.History), slices.Clone(c.RootFS.DiffIDs)
}

func cloneMap[V any](m map[string]V) map[string]V {
	var out map[string]V
	for k, v := range m {
		put(&out, k, v)
	}
	return out
}

// rootBase is the image that the stages below this one stand on in the end.
func (s *stageBuild) rootBase() store.Image {
	for s.s.Base.Stage != nil {
		s = s.b.stage(s.s.Base.Stage)
	}
	return s.base
}

// keep has the image kept by hold from now on: the one before is its parent, which a
// child keeps.
func (s *stageBuild) keep(hold *store.Ingest) {
	s.release()
	s.hold = hold
}

// release lets go of the image.
func (s *stageBuild) release() {
	if s.hold != nil {
		s.hold.Close()
		s.hold = nil
	}
}

// step does one instruction.
func (s *stageBuild) step(ctx context.Context, c instructions.Command) error {
	if err := s.scope.Expand(c, s.config.Config.Env); err != nil {
		return err
	}
	switch c := c.(type) {
	case *instructions.RunCommand:
		return s.run(ctx, c)
	case *instructions.CopyCommand, *instructions.AddCommand:
		return s.copy(ctx, c)
	case *instructions.WorkdirCommand:
		return s.workdir(ctx, c)
	}
	return s.configure(ctx, c)
}

// configure does an instruction that changes no file.
func (s *stageBuild) configure(ctx context.Context, c instructions.Command) error {
	s.config.cloneForChange()
	switch c := c.(type) {
	case *instructions.ArgCommand:
	case *instructions.MaintainerCommand:
		s.config.Author = c.Maintainer
	default:
		if err := s.change.set(c, s.scope.Env(s.config.Config.Env)); err != nil {
			return err
		}
	}
	return s.do(ctx, buildStep{createdBy: s.nop(" " + dockerfile.Describe(c, &s.config.Config)), running: true})
}

// nop is what the history says of a step that runs nothing, in Docker's words.
func (s *stageBuild) nop(text string) string {
	return strings.Join(s.shell(), " ") + " #(nop) " + text
}

// shell is what runs commands that are no JSON array.
func (s *stageBuild) shell() []string {
	if sh := s.config.Config.Shell; len(sh) > 0 {
		return sh
	}
	return dockerfile.DefaultShell
}

// parentID is the image that a step stands on; "" for none.
func (s *stageBuild) parentID() digest.Digest { return s.image.ID }
