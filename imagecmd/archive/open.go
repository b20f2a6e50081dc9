package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// ErrEmpty: there was nothing to read.
var ErrEmpty = errors.New("empty input")

// Options says how an archive is read.
type Options struct {
	Store        *store.Store // takes the spools of streams
	MaxExpansion int64        // of a compressed archive, see [Decompress]
	// Progress is told the bytes read of a stream so far; may be nil.
	Progress func(n int64)
}

// Open reads the archive at path, a file or a directory. The caller closes it.
func Open(ctx context.Context, path string, o Options) (Files, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if fi.IsDir() {
		f.Close()
		return openDir(path)
	}
	return openFile(ctx, f, o)
}

// Read reads an archive from a stream. A stream that is a file on disk is read
// where it lies; r itself is not closed. The caller closes what it returns.
func Read(ctx context.Context, r io.Reader, o Options) (Files, error) {
	f, ok := r.(*os.File)
	if !ok {
		return read(ctx, r, o)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate %s: %w", f.Name(), err)
	}
	return openFile(ctx, os.NewFile(uintptr(fd), f.Name()), o)
}

// openFile owns f, and closes it unless the archive is read where it lies.
func openFile(ctx context.Context, f *os.File, o Options) (Files, error) {
	files, err := openFileAt(ctx, f, o)
	if t, ok := files.(*tarFile); !ok || t.f != f {
		f.Close()
	}
	return files, err
}

func openFileAt(ctx context.Context, f *os.File, o Options) (Files, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	at, serr := f.Seek(0, io.SeekCurrent)
	if !fi.Mode().IsRegular() || serr != nil || at != 0 {
		return read(ctx, f, o)
	}
	probe, plain, err := Decompress(io.NewSectionReader(f, 0, fi.Size()), o.MaxExpansion)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	probe.Close()
	switch {
	case fi.Size() == 0:
		return nil, fmt.Errorf("%w: %w", ErrInvalid, ErrEmpty)
	case plain:
		return openTarFile(ctx, f)
	}
	return read(ctx, f, o)
}

func read(ctx context.Context, r io.Reader, o Options) (Files, error) {
	in := &counter{r: r, told: o.Progress}
	rc, _, err := Decompress(in, o.MaxExpansion)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer rc.Close()
	if in.n.Load() == 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, ErrEmpty)
	}
	return readStream(ctx, rc, o.Store)
}
