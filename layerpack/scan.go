package layerpack

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// Scan makes the table of contents at tocPath from the tar at tarPath,
// atomically and durably. The tar's digest isn't verified; [Restore] does that.
func Scan(ctx context.Context, tarPath, tocPath string) error {
	if err := scanFile(ctx, tarPath, tocPath, io.Discard, func() error { return nil }); err != nil {
		return fmt.Errorf("scan layer %s: %w", tarPath, err)
	}
	return nil
}

// CheckTOC tells whether the table of contents of l can be used: it is whole,
// of this version and of a tar as large as the layer's. ErrCorrupt and
// fs.ErrNotExist mean that [Restore] makes it again, if the tar is there. It
// reads the table of contents and not the tar; [Verify] reads both.
func CheckTOC(l cow.Layer) error {
	_, err := openTOC(l)
	return err
}

// Restore makes the table of contents of l again from its tar, atomically and
// durably: where it is missing, damaged or of another version. ErrDigest: the
// tar isn't the layer's; then nothing is changed.
func Restore(ctx context.Context, l cow.Layer) error {
	sum := sha256.New()
	err := scanFile(ctx, l.Tar(), l.TOC(), sum, func() error {
		return verify("uncompressed layer", l.DiffID, digest.NewDigest(digest.SHA256, sum))
	})
	if err != nil {
		return fmt.Errorf("restore layer %s: %w", l.DiffID, err)
	}
	return nil
}

// scanFile scans a tar, all of which goes to also. Then good must agree.
func scanFile(ctx context.Context, tarPath, tocPath string, also io.Writer, good func() error) error {
	f, err := os.Open(tarPath)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(tocPath, func(w io.Writer) error {
		refused, err := scanTar(ctx, f, w, also)
		if err == nil {
			err = good()
		}
		if err != nil {
			return err
		}
		return refused
	})
}

// scanTar reads a tar to its end, also past what no tar can have; refused says
// what that was. Its table of contents goes to w, all of its bytes to also.
func scanTar(ctx context.Context, tar io.Reader, w, also io.Writer) (refused, err error) {
	s, t := newTOCScanner(w)
	buf := make([]byte, tarSize)
	for err == nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var n int
		n, err = tar.Read(buf)
		if _, err := also.Write(buf[:n]); err != nil {
			return nil, err
		}
		if refused == nil {
			_, refused = s.Write(buf[:n])
		}
	}
	if err != io.EOF {
		return nil, err
	}
	if refused == nil {
		refused = s.finish()
	}
	if refused == nil {
		refused = t.finish(s)
	}
	return refused, nil
}
