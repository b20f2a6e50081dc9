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

// maxTar is the largest tar whose blocks have an address, in bytes.
const maxTar = (nullBlock - 1) << blockBits

// Pack reads a layer as it arrives and leaves it packed in the directory dst,
// which must exist and be empty: the tar, and its table of contents. The
// compression is told by the first bytes. r is read once and to its end; Pack
// doesn't return while r.Read blocks.
//
// The files have their final names only after both digests were verified and
// all was synced, dst included; after an error dst holds neither of them.
// ErrDigest, ErrBomb and ErrInvalid say what is wrong with the layer; other
// errors come from r, BlobSink or the host.
func Pack(ctx context.Context, r io.Reader, dst string, o PackOptions) (Packed, error) {
	for _, d := range []digest.Digest{o.Blob, o.DiffID} {
		if d == "" {
			continue
		}
		if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
			return Packed{}, fmt.Errorf("pack layer: the digest %q can't be verified", d)
		}
	}
	f, err := createFiles(dst)
	if err != nil {
		return Packed{}, fmt.Errorf("pack layer: %w", err)
	}
	p, err := newPipeline(ctx, o, f).run(r)
	if err == nil {
		err = errors.Join(verify("layer", o.Blob, p.Blob), verify("uncompressed layer", o.DiffID, p.DiffID))
	}
	if err == nil {
		err = f.commit()
	}
	if err != nil {
		f.abandon()
		return Packed{}, fmt.Errorf("pack layer: %w", err)
	}
	return p, nil
}

func verify(what string, want, got digest.Digest) error {
	if want == "" || want == got {
		return nil
	}
	return fmt.Errorf("%w: the %s should be %s, and is %s", ErrDigest, what, want, got)
}

// files are the two files of a layer under their temporary names.
type files struct {
	dir      string
	tar, toc *os.File
}

const partSuffix = ".part"

func createFiles(dir string) (*files, error) {
	f := &files{dir: dir}
	var err error
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	if f.tar, err = os.OpenFile(filepath.Join(dir, cow.TarName+partSuffix), flags, 0o644); err != nil {
		return nil, err
	}
	if f.toc, err = os.OpenFile(filepath.Join(dir, cow.TOCName+partSuffix), flags, 0o644); err != nil {
		f.tar.Close()
		os.Remove(f.tar.Name())
		return nil, err
	}
	return f, nil
}

// commit makes the files durable and gives them their names.
func (f *files) commit() error {
	for _, file := range []*os.File{f.tar, f.toc} {
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	for _, name := range []string{cow.TarName, cow.TOCName} {
		path := filepath.Join(f.dir, name)
		if err := os.Rename(path+partSuffix, path); err != nil {
			return err
		}
	}
	return syncDir(f.dir)
}

// abandon removes the files under whatever name.
func (f *files) abandon() {
	f.tar.Close()
	f.toc.Close()
	for _, name := range []string{cow.TOCName, cow.TarName} {
		path := filepath.Join(f.dir, name)
		os.Remove(path)
		os.Remove(path + partSuffix)
	}
}
