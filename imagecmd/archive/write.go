package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cfs-project/cfs/internal/durable"
)

// A Member is a file of an archive that is being written.
type Member struct {
	Name string // relative, slash-separated, clean
	Size int64  // bytes
	Open func() (io.ReadCloser, error)
}

// Bytes is a member that is in memory.
func Bytes(name string, raw []byte) Member {
	return Member{Name: name, Size: int64(len(raw)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(raw))), nil
	}}
}

// sorted is members by name, and with them the directories they need, which end
// in a slash.
func sorted(members []Member) []Member {
	out := slices.Clone(members)
	seen := map[string]bool{".": true}
	for _, m := range members {
		for d := path.Dir(m.Name); !seen[d]; d = path.Dir(d) {
			seen[d] = true
			out = append(out, Member{Name: d + "/"})
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// WriteTar writes members as a tar. The same members give the same bytes: they
// are sorted, belong to root, and are as old as Unix.
func WriteTar(ctx context.Context, w io.Writer, members []Member) error {
	tw := tar.NewWriter(w)
	for _, m := range sorted(members) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: m.Name, Size: m.Size, Mode: 0o644, ModTime: time.Unix(0, 0)}
		if strings.HasSuffix(m.Name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if err := m.copyTo(ctx, tw); err != nil {
			return err
		}
	}
	return tw.Close()
}

// WriteDir writes members below an empty directory and makes all of it durable.
func WriteDir(ctx context.Context, dir string, members []Member) error {
	dirs := []string{dir}
	for _, m := range sorted(members) {
		p := filepath.Join(dir, filepath.FromSlash(m.Name))
		if strings.HasSuffix(m.Name, "/") {
			if err := os.Mkdir(p, 0o755); err != nil {
				return err
			}
			dirs = append(dirs, p)
			continue
		}
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if err = m.copyTo(ctx, f); err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	for _, p := range slices.Backward(dirs) {
		if err := durable.SyncDir(p); err != nil {
			return err
		}
	}
	return nil
}

func (m Member) copyTo(ctx context.Context, w io.Writer) error {
	rc, err := m.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	buf := make([]byte, 256<<10)
	for left := m.Size; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := rc.Read(buf)
		if left -= int64(n); left < 0 {
			return fmt.Errorf("%s is larger than its %d bytes", m.Name, m.Size)
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			if left > 0 {
				return fmt.Errorf("%s: %d of its %d bytes are missing", m.Name, left, m.Size)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
