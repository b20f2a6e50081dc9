package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/buildcontext"
	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// BuildOptions says what Build builds, and how.
type BuildOptions struct {
	Context  string // a directory, a URL, or "-", which is Stdin
	Stdin    io.Reader
	File     string   // -f, see [buildcontext.Options]
	Names    []string // NAME[:TAG] each
	Args     map[string]string
	Target   string            // a stage
	Labels   map[string]string // of the image
	Contexts []NamedContext    // --build-context
	Platform *ocispec.Platform // that is built for; nil is the store's

	NoCache   bool
	CacheFrom []CacheSource
	CacheTo   []CacheSource
	Pull      bool // look for newer base images
	Squash    bool // one layer on top of the base

	Run     BuildRunOptions
	Secrets []BuildSecret
	SSH     []BuildSSH

	Outputs      []BuildOutput // none: the store
	IIDFile      string        // gets the image's ID
	MetadataFile string        // gets what is known of the result, as JSON

	Quiet    bool   // print the image's ID alone
	Progress string // auto, plain, tty, quiet
	Parallel int    // stages at once; 0 is as many as there are CPUs
	OnError  string // "shell": a shell in the step that failed
	Check    bool   // look for mistakes in the Dockerfile alone

	MaxExpansion int64 // as in [LoadOptions]
	Registry     RegistryOptions
	Debug        bool
	Log          *slog.Logger
	Err          io.Writer // gets what a quiet build, or one whose result goes to the output, has to say
}

// BuildRunOptions are how RUN steps run.
type BuildRunOptions struct {
	Driver  string
	Network string // of steps that name none, as ParseNetwork has it
	// HostNetwork allows RUN --network=host, as Network being that does.
	HostNetwork bool
	// Insecure allows RUN --security=insecure.
	Insecure bool
	Keep     bool // --rm=false: the containers of steps stay
	ForceRm  bool // the container of a step that failed goes, too
	ShapeOptions
	GroupOptions
}

// check refuses what can't be, before anything is done.
func (o BuildRunOptions) check() error {
	c := Container{Options: ContainerOptions{Network: o.Network, ShapeOptions: o.ShapeOptions, GroupOptions: o.GroupOptions}}
	c.Options.Limits = o.Limits.filled()
	return errors.Join(c.Options.checkNetwork(), c.checkGroup())
}

// A BuildError is a step that failed.
type BuildError struct {
	Text   string // in Docker's words
	Status int    // what the command that is at fault ended with; 0 where there was none
	err    error
}

func (e *BuildError) Error() string { return e.Text }
func (e *BuildError) Unwrap() error { return e.err }

// Build builds an image of a Dockerfile and prints what Docker's classic builder
// does. Every step is an image, the parent of the next one, and found again by the
// next build. COPY and ADD mount nothing; a RUN is a container of the image before it.
//
// Killed at any moment it leaves finished steps, which the next build goes on with.
func Build(ctx context.Context, st *store.Store, o BuildOptions, out io.Writer) (err error) {
	ctx, stop := interrupted(ctx)
	defer stop()
	if err := o.prepareResults(); err != nil {
		return err
	}
	b, err := newBuilder(ctx, st, o, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(ctx); err != nil {
		return err
	}
	if o.Check {
		return b.check(ctx, out)
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	result, err := b.build(ctx)
	b.print.end(err)
	if err != nil {
		return err
	}
	return b.finish(ctx, result)
}

// interrupted is a context that ends with the signals that end programs.
func interrupted(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		select {
		case s := <-signals:
			cancel(fmt.Errorf("interrupted: %v", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// A builder is one Build.
type builder struct {
	st    *store.Store // for the platform that is built for
	o     BuildOptions
	names []reference.Named
	epoch *time.Time // of SOURCE_DATE_EPOCH
	now   time.Time  // of what has no time of its own
	print buildReport
	out   io.Writer // what was asked for, whatever else is shown
	dir   string    // below the store's: digests of files, cache mounts

	context *buildcontext.Context
	plan    *dockerfile.Plan
	digests *buildcontext.Digests
	cache   *stepCache
	secrets *secretStore

	adoptable []adoptable // images that steps are taken from

	mu     sync.Mutex
	named  map[string]*namedSource       // by the names of --build-context, and of images that are copied from
	shown  map[digest.Digest]*packedTree // parts of contexts, by what they hold
	stages map[*dockerfile.Stage]*stageBuild
	undo   []func() error
	told   bool       // that steps have no network, or whatever there is to say of it
	late   sync.Mutex // of the plan, while ONBUILDs change it
}

func newBuilder(ctx context.Context, st *store.Store, o BuildOptions, out io.Writer) (*builder, error) {
	if err := o.Run.check(); err != nil {
		return nil, err
	}
	b := &builder{
		st: st, o: o, dir: filepath.Join(st.Root(), "build"),
		named: map[string]*namedSource{}, shown: map[digest.Digest]*packedTree{}, stages: map[*dockerfile.Stage]*stageBuild{},
	}
	for _, n := range o.Names {
		names, err := newName(n)
		if n == "" {
			err = reference.ErrInvalidFormat
		}
		if err != nil {
			return nil, fmt.Errorf("invalid argument %q for \"-t, --tag\" flag: %w", n, err)
		}
		b.names = append(b.names, names...)
	}
	var err error
	if b.epoch, err = epochOf(o.Args); err != nil {
		return nil, err
	}
	b.now = timeOr(b.epoch)
	if o.Platform != nil {
		if b.st, err = store.Open(st.Root(), store.Options{Platform: o.Platform, MaxExpansion: o.MaxExpansion}); err != nil {
			return nil, err
		}
	}
	if b.secrets, err = newSecrets(o.Secrets, o.SSH); err != nil {
		return nil, err
	}
	b.out = out
	for _, to := range o.Outputs {
		if to.toStdout() { // which is for nothing else then
			out = o.Err
		}
	}
	b.print, err = o.report(out)
	return b, err
}

// epochOf is the time of SOURCE_DATE_EPOCH, as a build argument or of the environment.
func epochOf(args map[string]string) (*time.Time, error) {
	if given, ok := args[dockerfile.EpochArg]; ok {
		return parseEpoch(given)
	}
	return sourceDateEpoch()
}

// atEnd has something done when the build ends, in reverse order.
func (b *builder) atEnd(fn func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.undo = append(b.undo, fn)
}

func (b *builder) close() error {
	var errs []error
	for i := len(b.undo) - 1; i >= 0; i-- {
		errs = append(errs, b.undo[i]())
	}
	return errors.Join(errs...)
}

// open opens the context, and reads the Dockerfile.
func (b *builder) open(ctx context.Context) error {
	temp, err := b.temp(ctx)
	if err != nil {
		return err
	}
	keepGit := false
	if s := b.o.Args[dockerfile.KeepGitArg]; s != "" {
		if keepGit, err = strconv.ParseBool(s); err != nil {
			return fmt.Errorf("--build-arg %s=%s: it is 0 or 1", dockerfile.KeepGitArg, s)
		}
	}
	b.context, err = buildcontext.Open(ctx, b.o.Context, buildcontext.Options{
		Dockerfile: b.o.File, Stdin: b.o.Stdin, Temp: temp, Fetch: b.fetch(), KeepGit: keepGit, MaxExpansion: b.o.MaxExpansion,
	})
	if err != nil {
		return err
	}
	b.atEnd(b.context.Close)
	return nil
}

// prepare makes a plan of the Dockerfile, and opens what it is done with.
func (b *builder) prepare(ctx context.Context) error {
	file, err := dockerfile.Parse(b.context.Dockerfile)
	if err != nil {
		if len(b.context.Dockerfile) == 0 {
			return fmt.Errorf("the Dockerfile (%s) cannot be empty", b.context.DockerfileName)
		}
		return err
	}
	for _, w := range file.Warnings {
		b.warn(w)
	}
	b.plan, err = file.Plan(dockerfile.PlanOptions{
		Target: b.o.Target, Args: b.o.Args, Contexts: contextNames(b.o.Contexts), Build: hostPlatform(), For: b.platform(),
	})
	if err != nil {
		return err
	}
	if err := b.refuseBroken(ctx); err != nil {
		return err
	}
	b.plan.AddLabels(b.o.Labels)
	if b.digests, err = buildcontext.OpenDigests(digestsDir(b.st.Root())); err != nil {
		return err
	}
	b.atEnd(b.digests.Close)
	if b.cache, err = openStepCache(ctx, b); err != nil {
		return err
	}
	return b.openCacheFrom(ctx)
}

// digestsDir is where digests of files are remembered.
func digestsDir(root string) string { return filepath.Join(root, "build", "digests") }

// warn says what is no error.
func (b *builder) warn(text string) { b.print.printf("[Warning] %s\n", text) }

// temp is a directory of the store for what is fetched and unpacked, which goes
// with this process.
func (b *builder) temp(ctx context.Context) (string, error) {
	dir, discard, err := b.st.TempDir(ctx, "build")
	if err == nil {
		b.atEnd(func() error { discard(); return nil })
	}
	return dir, err
}

// platform is what is built for, as Docker names it.
func (b *builder) platform() ocispec.Platform {
	if b.o.Platform == nil {
		return hostPlatform()
	}
	return plainPlatform(b.st.Platform())
}

// hostPlatform is this machine's as Docker names it: what its CPU could do beyond an architecture's
// first level is no part of what is built on it.
func hostPlatform() ocispec.Platform {
	p := store.HostPlatform()
	if p.Architecture == "amd64" {
		p.Variant = ""
	}
	return plainPlatform(p)
}

// plainPlatform is a platform as Docker names it: the first of amd64's variants and arm64's have no name.
func plainPlatform(p ocispec.Platform) ocispec.Platform {
	if p.Architecture == "amd64" && p.Variant == "v1" || p.Architecture == "arm64" && p.Variant == "v8" {
		p.Variant = ""
	}
	return p
}

// A buildResult is what a build has made.
type buildResult struct {
	image store.Image // zero: nothing but an empty Dockerfile on scratch
	base  digest.Digest
}
