package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
)

// LoadOptions says what Load reads.
type LoadOptions struct {
	// Input is an archive or a directory; "" or "-" is Stdin.
	Input string
	Stdin io.Reader
	// MaxExpansion is how many times its compressed size the archive, and any
	// layer, may unpack to; 0 = layerpack.DefaultMaxExpansion, < 0 = no bound.
	MaxExpansion int64
	// Platform loads the image for it out of those of several platforms; nil
	// loads all that the archive has.
	Platform *ocispec.Platform
	// Quiet shows no progress, which people are shown on a terminal only.
	Quiet bool
}

// errEmptyStdin is Docker's, also where a person would have to type the archive.
var errEmptyStdin = errors.New("requested load from stdin, but stdin is empty")

func (o LoadOptions) fromStdin() bool { return o.Input == "" || o.Input == "-" }

// Load brings the images of an archive into the store: a docker-archive of
// whatever age, an oci-archive or an OCI layout, as a file, compressed or not, or
// a directory. It prints "Loaded image: NAME:TAG" for every name and "Loaded image ID: ID" for an
// image without one. Images before one that fails are in the store.
func Load(ctx context.Context, st *store.Store, o LoadOptions, out io.Writer) error {
	if o.fromStdin() && isTerminal(o.Stdin) {
		return errEmptyStdin
	}
	l := newLoader(st, o, out)
	files, err := l.open(ctx)
	if errors.Is(err, archive.ErrEmpty) && o.fromStdin() {
		return errEmptyStdin
	}
	if err != nil {
		return loadError(o, err)
	}
	defer files.Close()
	l.files = files
	images, err := archive.Images(ctx, files)
	if err != nil {
		return loadError(o, err)
	}
	for _, img := range images {
		if err := l.image(ctx, img); err != nil {
			return loadError(o, err)
		}
	}
	return nil
}

// loadError says which input, but for a missing one, which says so itself.
func loadError(o LoadOptions, err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Path == o.Input {
		return err
	}
	if o.fromStdin() {
		return fmt.Errorf("load from stdin: %w", err)
	}
	return fmt.Errorf("load %s: %w", o.Input, err)
}

// A loader is one Load.
type loader struct {
	st    *store.Store
	o     LoadOptions
	out   io.Writer
	style progress.Style
	files archive.Files
	v1    map[string]digest.Digest // diff IDs of layers that had another ID, as far as they are in
}

func newLoader(st *store.Store, o LoadOptions, out io.Writer) *loader {
	l := &loader{st: st, o: o, out: out, style: progress.StyleFor(out, o.Quiet), v1: map[string]digest.Digest{}}
	if l.style == progress.Lines {
		l.style = progress.Quiet // as Docker is where nobody watches
	}
	return l
}

// open reads the archive, which is all of the work where it is a stream: its
// files are then on disk already.
func (l *loader) open(ctx context.Context) (archive.Files, error) {
	group := progress.New(l.out, l.style)
	defer group.Close()
	item := group.Item("archive")
	ao := archive.Options{Store: l.st, MaxExpansion: l.o.MaxExpansion}
	if l.o.fromStdin() {
		ao.Progress = func(n int64) { item.State("Reading", n, 0) }
		return archive.Read(ctx, l.o.Stdin, ao)
	}
	if fi, err := os.Stat(l.o.Input); err == nil && fi.Mode().IsRegular() {
		ao.Progress = func(n int64) { item.State("Reading", n, fi.Size()) }
	}
	return archive.Open(ctx, l.o.Input, ao)
}
