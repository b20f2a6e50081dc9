package layerpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// maxLayers bounds a chain: the format counts devices with 16 bits.
const maxLayers = 1<<16 - 2

// BuildIndex merges the packed layers of a chain, bottom first, into one index
// and puts it at dst, atomically and durably. The same layers give the same
// bytes. It fails with ErrInvalid where a layer asks for what can't be in an
// image, such as a hard link to a file that no layer has.
func BuildIndex(ctx context.Context, dst string, layers []cow.Layer) error {
	err := writeFile(dst, func(w io.Writer) error { return writeIndex(ctx, w, layers) })
	if err != nil {
		return fmt.Errorf("build index: %w", err)
	}
	return nil
}

// writeIndex writes the index of layers, bottom first, to w.
func writeIndex(ctx context.Context, w io.Writer, layers []cow.Layer) error {
	m, refs, err := mergeChain(ctx, layers)
	defer func() {
		for _, r := range refs {
			r.data.(*lazyFile).Close()
		}
	}()
	if err != nil {
		return err
	}
	im, err := layout(m.root, refs, blockBits)
	if err != nil {
		return err
	}
	return im.write(ctx, w)
}

// mergeChain merges layers, bottom first.
func mergeChain(ctx context.Context, layers []cow.Layer) (*merger, []tarRef, error) {
	if len(layers) > maxLayers {
		return nil, nil, fmt.Errorf("%w: %d layers", ErrInvalid, len(layers))
	}
	m := newMerger()
	refs := make([]tarRef, 0, len(layers))
	for i, l := range layers {
		if err := checkDiffID(l); err != nil {
			return nil, nil, fmt.Errorf("layer %d: %w", i, err)
		}
		t, err := openTOC(l)
		if err != nil {
			return nil, nil, fmt.Errorf("layer %d: %w", i, err)
		}
		if err := m.apply(ctx, i, t); err != nil {
			return nil, nil, fmt.Errorf("layer %s: %w", l.DiffID, err)
		}
		refs = append(refs, tarRef{l.DiffID.Encoded(), t.tarSize, &lazyFile{path: l.Tar()}})
	}
	return m, refs, nil
}

// checkDiffID refuses a layer whose tar can't be verified.
func checkDiffID(l cow.Layer) error {
	if err := l.DiffID.Validate(); err != nil || l.DiffID.Algorithm() != digest.SHA256 {
		return fmt.Errorf("%w: the diff ID %q", ErrInvalid, l.DiffID)
	}
	return nil
}

// openTOC reads a layer's table of contents, and compares it with its tar.
func openTOC(l cow.Layer) (toc, error) {
	t, err := readTOC(l.TOC())
	if err != nil {
		return toc{}, err
	}
	st, err := os.Stat(l.Tar())
	if err != nil {
		return toc{}, err
	}
	if st.Size() != t.tarSize {
		return toc{}, fmt.Errorf("%s: %w: %d bytes instead of %d", l.Tar(), ErrCorrupt, st.Size(), t.tarSize)
	}
	return t, nil
}

// writeFile puts what write writes at path: beside it first, then synced and
// renamed. If the process dies, path is as before, or complete.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lazyFile is a file that is opened when it is first read.
type lazyFile struct {
	path string
	f    *os.File
}

func (l *lazyFile) ReadAt(b []byte, off int64) (int, error) {
	if l.f == nil {
		var err error
		if l.f, err = os.Open(l.path); err != nil {
			return 0, err
		}
	}
	return l.f.ReadAt(b, off)
}

func (l *lazyFile) Close() {
	if l.f != nil {
		l.f.Close()
	}
}
