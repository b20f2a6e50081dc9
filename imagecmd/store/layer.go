package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/layerpack"
)

// infoName is the third file of a layer directory: what is asked of a layer
// more often than it is opened.
const infoName = "layer.json"

type layerInfo struct {
	DiffID  digest.Digest `json:"diffID"`
	TarSize int64         `json:"tarSize"` // bytes of layer.tar
	TOCSize int64         `json:"tocSize"` // bytes of layer.toc
	Size    int64         `json:"size"`    // bytes of its files, which is what Docker calls a layer's size
}

func (s *Store) readLayerInfo(diffID digest.Digest) (layerInfo, error) {
	var info layerInfo
	raw, err := readSmall(filepath.Join(s.layerPath(diffID), infoName))
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(raw, &info); err != nil || info.DiffID != diffID {
		return info, fmt.Errorf("%w: damaged %s", layerpack.ErrCorrupt, infoName)
	}
	return info, nil
}

// readSmall is os.ReadFile of a file of a few hundred bytes, of which a deep image has one a
// layer: it asks four things of the kernel, and not ten, as os does to know a pipe.
func readSmall(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 1024)
	for n := 0; n < len(buf); {
		got, err := unix.Pread(fd, buf[n:], int64(n))
		if err == nil && got == 0 {
			return buf[:n], nil
		}
		if err != nil {
			break
		}
		n += got
	}
	return os.ReadFile(path) // it is larger, or something is wrong
}

// trash removes an object that was seized: its name goes at once, with a
// rename, the rest after. It consumes the file.
func (s *Store) trash(f *os.File, path string) error {
	defer f.Close()
	gone := filepath.Join(s.tmp(), randomName("trash"))
	if err := os.Rename(path, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// buildLayer makes the layer directory of a diff ID with fill, unless another
// builder is faster, and returns its lease. fill gets an empty directory and
// leaves layer.tar and layer.toc in it, verified and synced.
func (s *Store) buildLayer(ctx context.Context, diffID digest.Digest, fill func(dir string) (layerpack.Packed, error)) (*os.File, error) {
	for {
		f, err := s.leaseLayer(ctx, diffID, nil)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		t, err := s.claimDir(ctx, "layer-"+diffID.Encoded())
		if err != nil {
			return nil, err
		}
		if _, err := os.Lstat(s.layerPath(diffID)); err == nil {
			t.discard()
			continue
		}
		p, err := fill(t.path)
		if err == nil {
			f, err = s.finishLayer(t, p)
		}
		if err == nil {
			return f, nil
		}
		t.discard()
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// finishLayer completes a filled temp directory and publishes it.
func (s *Store) finishLayer(t *temp, p layerpack.Packed) (*os.File, error) {
	info, err := measureLayer(cow.Layer{DiffID: p.DiffID, Dir: t.path})
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", p.DiffID, err)
	}
	if err := writeInfo(t.path, info); err != nil {
		return nil, err
	}
	if err := t.f.Sync(); err != nil {
		return nil, err
	}
	return t.publish(s.layerPath(p.DiffID))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// packBlob fills dir from src.Blob, which the caller has leased.
// verified says that the blob's bytes were hashed on their way in.
func (s *Store) packBlob(ctx context.Context, dir string, src LayerSource, verified bool) (layerpack.Packed, error) {
	path := s.blobPath(src.Blob)
	f, err := openObject(path)
	if err != nil {
		return layerpack.Packed{}, err
	}
	defer f.Close()
	if src.Blob == src.DiffID {
		// The blob is the tar: one file, two names.
		err := os.Link(path, filepath.Join(dir, cow.TarName))
		if err == nil {
			return s.scanPlain(ctx, f, dir, src, verified)
		}
		if !isNoLink(err) {
			return layerpack.Packed{}, err
		}
	}
	o := s.packOptions()
	o.Blob, o.DiffID, o.Progress = src.Blob, src.DiffID, src.Progress
	return layerpack.Pack(ctx, f, dir, o)
}

func (s *Store) packOptions() layerpack.PackOptions {
	return layerpack.PackOptions{MaxExpansion: s.expand}
}

// scanPlain makes the table of contents of a linked layer.tar.
func (s *Store) scanPlain(ctx context.Context, f *os.File, dir string, src LayerSource, verified bool) (layerpack.Packed, error) {
	diffID := src.DiffID
	fi, err := f.Stat()
	if err != nil {
		return layerpack.Packed{}, err
	}
	if src.Progress != nil {
		src.Progress(fi.Size()) // it was read before, and only its headers are now
	}
	if fi.Size() > layerpack.DefaultMaxSize {
		return layerpack.Packed{}, fmt.Errorf("layer %s: %w: %d bytes", diffID, layerpack.ErrBomb, fi.Size())
	}
	if !verified {
		have, err := hashReader(ctx, diffID.Algorithm(), f)
		if err != nil {
			return layerpack.Packed{}, err
		}
		if have != diffID {
			return layerpack.Packed{}, fmt.Errorf("layer %s: %w: it is %s", diffID, layerpack.ErrDigest, have)
		}
	}
	toc := filepath.Join(dir, cow.TOCName)
	if err := layerpack.Scan(ctx, filepath.Join(dir, cow.TarName), toc); err != nil {
		return layerpack.Packed{}, fmt.Errorf("layer %s: %w", diffID, err)
	}
	return layerpack.Packed{Blob: diffID, DiffID: diffID, BlobSize: fi.Size(), TarSize: fi.Size()}, nil
}

func hashReader(ctx context.Context, a digest.Algorithm, r io.Reader) (digest.Digest, error) {
	h := a.Digester()
	_, err := io.Copy(h.Hash(), &ctxReader{ctx, r})
	return h.Digest(), err
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}
