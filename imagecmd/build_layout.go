package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// layoutImage is an image of a layout, PATH[:TAG|@DIGEST], brought into the store
// without a name.
func (b *builder) layoutImage(ctx context.Context, s *stageBuild, where string) (store.Image, error) {
	dir, tag, want := where, "", digest.Digest("")
	if at, d, ok := strings.Cut(where, "@"); ok {
		dir, want = at, digest.Digest(d)
	} else if i := strings.LastIndex(where, ":"); i > strings.LastIndex(where, "/") {
		dir, tag = where[:i], where[i+1:]
	}
	files, err := archive.Open(ctx, dir, archive.Options{Store: s.st, MaxExpansion: b.o.MaxExpansion})
	if err != nil {
		return store.Image{}, fmt.Errorf("oci-layout://%s: %w", where, err)
	}
	defer files.Close()
	images, err := archive.Images(ctx, files)
	if err != nil {
		return store.Image{}, fmt.Errorf("oci-layout://%s: %w", where, err)
	}
	images = slices.DeleteFunc(images, func(i archive.Image) bool {
		return want != "" && i.Target.Digest != want || tag != "" && !hasTag(i, tag) || i.Target.Digest == ""
	})
	if len(images) != 1 {
		return store.Image{}, fmt.Errorf("oci-layout://%s: %d images are meant by that", where, len(images))
	}
	platform := s.st.Platform()
	l := loader{st: s.st, o: LoadOptions{Platform: &platform, MaxExpansion: b.o.MaxExpansion}, out: io.Discard, files: files, v1: map[string]digest.Digest{}}
	in, err := s.st.Begin(ctx)
	if err != nil {
		return store.Image{}, err
	}
	defer in.Close()
	target, id, err := l.target(ctx, in, images[0].Target)
	if err == nil {
		_, err = in.Commit(ctx, store.NamedDescriptor(target, nil))
	}
	if err != nil {
		return store.Image{}, fmt.Errorf("oci-layout://%s: %w", where, err)
	}
	return s.st.Resolve(ctx, string(id))
}

// hasTag tells whether a layout calls an image so: by a whole name, or a tag alone.
func hasTag(i archive.Image, tag string) bool {
	if i.Target.Annotations[ocispec.AnnotationRefName] == tag {
		return true
	}
	return slices.ContainsFunc(i.Names, func(n reference.Named) bool { return strings.HasSuffix(n.String(), ":"+tag) })
}

// exportCache leaves the steps for other hosts. What is inline needs nothing more: the
// history of each image tells its steps.
func (b *builder) exportCache(ctx context.Context, to CacheSource) error {
	if to.Type == "inline" {
		return nil
	}
	var ids []string
	for _, s := range b.plan.Stages {
		if img := b.stage(s).image; img.ID != "" && !slices.Contains(ids, string(img.ID)) {
			ids = append(ids, string(img.ID))
		}
	}
	if err := replaceLayout(to.Ref, func(path string) error {
		return Save(ctx, b.st, SaveOptions{Images: ids, Format: OCIDir, Output: path}, nil)
	}); err != nil {
		return fmt.Errorf("--cache-to %s: %w", to.Ref, err)
	}
	return nil
}

// replaceLayout has a layout written in the place of the one at dir, if there is one.
func replaceLayout(dir string, write func(path string) error) error {
	left, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if len(left) == 0 {
		return write(dir)
	}
	if _, err := os.Stat(filepath.Join(dir, ocispec.ImageLayoutFile)); err != nil {
		return fmt.Errorf("%s is neither empty nor an OCI layout", dir)
	}
	dir = filepath.Clean(dir)
	// Who replaced it at the same time would remove what this one has written.
	lock, err := tryLock(dir, unix.LOCK_EX)
	if errors.Is(err, ErrRunning) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is being written by another process", dir)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	fresh := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".new")
	if err := os.RemoveAll(fresh); err != nil { // a killed build's
		return err
	}
	if err := write(fresh); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE); err != nil {
		return errors.Join(&os.LinkError{Op: "exchange", Old: fresh, New: dir, Err: err}, os.RemoveAll(fresh))
	}
	return os.RemoveAll(fresh)
}
