package imagecmd

import (
	"context"
	"fmt"
	"io"

	"github.com/cfs-project/cfs/imagecmd/dockerstore"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// ImportDriverOptions says what ImportDriver reads.
type ImportDriverOptions struct {
	// Dir is Docker's directory, usually /var/lib/docker.
	Dir string
	// Driver is the graph driver whose images are brought in; "" is the one that
	// has any.
	Driver string
	// Images are names and IDs, or beginnings of IDs, of those that are wanted; none: all.
	Images []string
	// Quiet shows no progress, which people are shown on a terminal only.
	Quiet bool
	// Warn is told of images that are not what they were.
	Warn func(text string)
}

// ImportDriver brings images that a Docker Engine keeps on disk into the store, whatever
// graph driver has them, and prints what Load prints. Layers come byte for byte, and so images
// keep their IDs, but where Docker has not kept the headers of a layer's tar: that is made
// anew of what the layer changes. Nothing is changed below Dir. Images before one that
// fails are in the store.
func ImportDriver(ctx context.Context, st *store.Store, o ImportDriverOptions, out io.Writer) error {
	from, err := dockerstore.Open(o.Dir, o.Driver)
	if err != nil {
		return fmt.Errorf("import from %s: %w", o.Dir, err)
	}
	defer from.Close()
	images, err := from.Images(o.Images...)
	if err != nil {
		return fmt.Errorf("import from %s: %w", o.Dir, err)
	}
	l := newLoader(st, LoadOptions{Quiet: o.Quiet}, out)
	for _, img := range images {
		if n := len(img.Anew); n > 0 {
			o.Warn(fmt.Sprintf("image %s gets another ID: of %d of its %d layers Docker has not kept the tar's headers (tar-split.json.gz), so their tars are made anew, with other digests",
				shortHex(string(img.ID)), n, len(img.Layers)))
		}
		if err := l.image(ctx, img.Image); err != nil {
			return fmt.Errorf("import from %s: image %s: %w", o.Dir, shortHex(string(img.ID)), err)
		}
	}
	return nil
}
