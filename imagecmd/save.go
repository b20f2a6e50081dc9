package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/archive"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// A SaveFormat is how images are saved.
type SaveFormat string

// The formats. In each, every blob keeps its bytes, and so its digest.
const (
	DockerArchive SaveFormat = "docker-archive" // a tar as Docker writes it since 25: an OCI layout, manifest.json and repositories
	OCIArchive    SaveFormat = "oci-archive"    // a tar of an OCI image layout
	OCIDir        SaveFormat = "oci-dir"        // an OCI image layout
)

// SaveFormats are the formats, the default first.
func SaveFormats() []SaveFormat { return []SaveFormat{DockerArchive, OCIArchive, OCIDir} }

// SaveOptions says what Save writes, and where.
type SaveOptions struct {
	// Images are names, IDs or beginnings of IDs. A repository without a tag is
	// all of its tags.
	Images []string
	Format SaveFormat // "" is DockerArchive
	// Output is a file, for OCIDir a directory; "" is the writer. It is written
	// beside and renamed: nothing of it is there before all of it is.
	Output string
	// Platform saves the image for it out of those of several platforms; nil
	// saves all that are in the store.
	Platform *ocispec.Platform
}

// Save writes images as an archive or a layout, which Load reads, and so do
// Docker, skopeo, podman and umoci. The same images give the same bytes.
func Save(ctx context.Context, st *store.Store, o SaveOptions, out io.Writer) error {
	switch o.Format {
	case "":
		o.Format = DockerArchive
	case DockerArchive, OCIArchive, OCIDir:
	default:
		return fmt.Errorf("unknown format %q: it is %s, %s or %s", o.Format, DockerArchive, OCIArchive, OCIDir)
	}
	if o.Output == "" {
		if o.Format == OCIDir {
			return fmt.Errorf("format %s needs a directory to write: use the -o flag", OCIDir)
		}
		if err := refuseTerminal(out); err != nil {
			return err
		}
	}
	hold := st.Hold()
	defer hold.Close()
	members, err := savedMembers(ctx, st, hold, o)
	if err != nil {
		return err
	}
	switch {
	case o.Output == "":
		err = archive.WriteTar(ctx, out, members)
	case o.Format == OCIDir:
		err = saveDir(ctx, o.Output, members)
	default:
		err = saveFile(ctx, o.Output, members)
	}
	if err != nil {
		return fmt.Errorf("failed to save image: %w", err)
	}
	return nil
}

func saveFile(ctx context.Context, path string, members []archive.Member) error {
	f, err := createOutput(path)
	if err != nil {
		return err
	}
	if err := archive.WriteTar(ctx, f, members); err != nil {
		f.abandon()
		return err
	}
	return f.commit()
}

func saveDir(ctx context.Context, path string, members []archive.Member) error {
	d, err := createOutputDir(path)
	if err != nil {
		return err
	}
	if err := archive.WriteDir(ctx, d.hidden, members); err != nil {
		d.abandon()
		return err
	}
	return d.commit()
}

// savedMembers are the files of an archive of images, whose blobs are held.
func savedMembers(ctx context.Context, st *store.Store, hold *store.Hold, o SaveOptions) ([]archive.Member, error) {
	chosen, err := chooseSaved(ctx, st, o.Images)
	if err != nil {
		return nil, err
	}
	var members []archive.Member
	var images []archive.Saved
	have := map[string]bool{}
	for _, c := range chosen {
		tree, err := heldTree(ctx, st, hold, c, o.Platform)
		if err != nil {
			return nil, err
		}
		images = append(images, archive.Saved{Target: c.target, Names: c.names, Manifest: tree.Manifest.Manifest})
		if o.Platform != nil {
			images[len(images)-1].Target = tree.Blobs[0]
		}
		for _, b := range tree.Blobs {
			if name := archive.BlobName(b.Digest); !have[name] {
				have[name] = true
				members = append(members, archive.Member{Name: name, Size: b.Size, Open: func() (io.ReadCloser, error) { return hold.Open(b.Digest) }})
			}
		}
	}
	files, err := archive.LayoutFiles(images)
	if err != nil {
		return nil, err
	}
	members = append(members, files...)
	if o.Format == DockerArchive {
		if files, err = archive.DockerFiles(images); err != nil {
			return nil, err
		}
		members = append(members, files...)
	}
	return members, nil
}

// heldTree holds what is saved of an image: all of its target, or the manifest
// for a platform.
func heldTree(ctx context.Context, st *store.Store, hold *store.Hold, c savedImage, p *ocispec.Platform) (store.Tree, error) {
	want, target := st.Platform(), c.target
	if p != nil {
		want = *p
		m, err := store.ReadTarget(ctx, hold, target, want)
		if err == nil {
			err = m.For(want)
		}
		if err != nil {
			return store.Tree{}, fmt.Errorf("image %s: %w", c.asked, err)
		}
		target = m.Descriptor
	}
	tree, err := hold.Tree(ctx, target, want)
	if errors.Is(err, fs.ErrNotExist) {
		// Something is missing: perhaps the image was removed since it was chosen.
		if _, gone := st.Resolve(ctx, c.asked); errors.Is(gone, store.ErrNotFound) {
			return tree, gone
		}
	}
	if err != nil {
		return tree, fmt.Errorf("image %s: %w", c.asked, err)
	}
	return tree, nil
}
