package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// Files of a stream are kept in memory up to smallFile bytes each, and
// smallFiles together; manifests and configs are no larger.
const (
	smallFile  = 256 << 10
	smallFiles = 32 << 20
)

// stream is a tar that can be read only once.
type stream struct {
	*table
	spools []*store.Spool
}

func (s *stream) File(name string) (File, error) { return s.find(name) }

func (s *stream) Close() error {
	for _, p := range s.spools {
		p.Close()
	}
	return nil
}

// readStream takes a tar from r to its end, large files to spools of st.
func readStream(ctx context.Context, r io.Reader, st *store.Store) (Files, error) {
	s := &stream{table: newTable()}
	inMemory := int64(0)
	err := walkTar(ctx, r, s.table, func(name string, h *tar.Header, r io.Reader) (File, error) {
		if h.Size <= smallFile && inMemory+h.Size <= smallFiles {
			raw, err := io.ReadAll(r)
			if err != nil {
				return File{}, fmt.Errorf("%s: %w", name, err)
			}
			inMemory += h.Size
			return File{Size: h.Size, open: func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(raw)), nil
			}}, nil
		}
		p, err := st.Spool(ctx, r)
		if err != nil {
			return File{}, fmt.Errorf("%s: %w", name, err)
		}
		s.spools = append(s.spools, p)
		return File{Size: p.Size, Spool: p, open: func() (io.ReadCloser, error) {
			return io.NopCloser(p.NewReader()), nil
		}}, nil
	})
	if err == nil {
		// What follows the end of the tar belongs to it; a compressor's checksum does too.
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
