package buildcontext

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/layerpack"
)

// An unpacked is an archive of ADD.
type unpacked struct {
	root *node
	// named are the directories that the archive has itself, by their relative path. The
	// others are only needed for what they hold.
	named map[string]bool
}

// archive is the file n if that is an archive, packed: its content decides, and not its name. It is
// nil if it is none.
func (s *Selection) archive(ctx context.Context, n *node) (*unpacked, error) {
	d, err := n.open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if !isArchive(io.NewSectionReader(d, 0, n.attr.Size)) {
		return nil, nil
	}
	p, err := packTar(ctx, io.NewSectionReader(d, 0, n.attr.Size), s.o.Temp, s.o.MaxExpansion)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", n.path[1:], err)
	}
	s.closing(p.close)
	if err := n.unchanged(); err != nil {
		return nil, err
	}
	exclude, err := newPatterns(s.c.Exclude)
	if err != nil {
		return nil, err
	}
	u := &unpacked{}
	if u.root, err = s.whole(ctx, FromTree(n.src.name, p.base, ""), exclude); err != nil {
		return nil, err
	}
	if u.named, err = namedDirs(p.tar()); err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", n.path[1:], err)
	}
	return u, nil
}

// isArchive tells whether r begins as a tar with something in it does, plain or compressed.
func isArchive(r io.Reader) bool {
	rc, _, err := archive.Decompress(r, 0)
	if err != nil {
		return false
	}
	defer rc.Close()
	_, err = tar.NewReader(rc).Next()
	return err == nil
}

// namedDirs are the directories that a tar, which is known to be one, has as members.
func namedDirs(file string) (map[string]bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	named := map[string]bool{}
	t := tar.NewReader(f)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return named, nil
		}
		if err != nil {
			return nil, errors.Join(layerpack.ErrInvalid, err)
		}
		if h.Typeflag == tar.TypeDir {
			named[path.Join("/", h.Name)[1:]] = true
		}
	}
}
