package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/layerpack"
)

// CommitOptions says what Commit makes an image of.
type CommitOptions struct {
	Container string
	Name      string   // NAME[:TAG]; "" leaves the image nameless
	Message   string   // the comment of its history
	Author    string   // usually "Name <address>"
	Changes   []string // Dockerfile instructions, see change
	Pause     bool     // stop what runs in the container while it is read
	// Compression is how the layer's blob is kept; a plain one shares its bytes with
	// what mounts read, and is compressed when it is pushed.
	Compression layerpack.Compression
	// Note is told what a layer can't hold, such as sockets.
	Note func(path, what string)
}

// Commit makes an image of a container: its image, with what the container has
// changed as one layer more, and with the configuration it ran with. It prints the
// new image's ID. A container that has changed nothing makes an image without a
// layer of its own, as in Docker.
//
// With SOURCE_DATE_EPOCH set the same change makes the same image: that time
// stands for the clock and for later times in the layer, and the image says
// nothing of the container.
func Commit(ctx context.Context, st *store.Store, o CommitOptions, out io.Writer) error {
	names, err := newName(o.Name)
	if err != nil {
		return err
	}
	epoch, err := sourceDateEpoch()
	if err != nil {
		return err
	}
	r, err := openReading(ctx, st, o.Container)
	if err != nil {
		return err
	}
	defer r.close()
	image, err := r.image(ctx, st)
	if err != nil {
		return err
	}
	n := newImage{Names: names, Parent: image.ID}
	if n.Config, err = r.config(ctx, st, image, o, timeOr(epoch)); err != nil {
		return err
	}
	if epoch == nil {
		n.Config.Container = r.c.ID
	}
	id, err := r.commit(ctx, st, image, n, epoch, o)
	if err != nil {
		return fmt.Errorf("commit container %s: %w", r.c.Label(), err)
	}
	_, err = fmt.Fprintln(out, id)
	return err
}

// image is the image that the container stands on.
func (r *reading) image(ctx context.Context, st *store.Store) (store.Image, error) {
	image, err := st.Resolve(ctx, r.c.ImageID.String())
	if errors.Is(err, store.ErrNotFound) {
		err = hint.With(fmt.Errorf("container %s: its image was removed: %w", r.c.Label(), err),
			"cfs export "+r.c.Label()+" | cfs import - NAME keeps its files")
	}
	return image, err
}

// config is the configuration of the image that a commit makes: that of the
// container, with the changes asked for, and a line more of history. The layer is
// still missing in it.
func (r *reading) config(ctx context.Context, st *store.Store, image store.Image, o CommitOptions, created time.Time) (imageConfig, error) {
	c, err := readImageConfig(ctx, st, image)
	if err != nil {
		return c, err
	}
	c.Config = r.c.config(c.Config)
	var ran []string // what Docker's history says that a layer was made by
	if len(r.c.Command) > 0 {
		ran = c.Config.Cmd
	}
	if err := change(&c.Config, o.Changes); err != nil {
		return c, err
	}
	c.Created, c.Author, c.Comment, c.Container = &created, o.Author, o.Message, ""
	c.History = append(slices.Clip(c.History), ocispec.History{
		Created: &created, Author: o.Author, Comment: o.Message, CreatedBy: strings.Join(ran, " "),
	})
	c.RootFS.DiffIDs = slices.Clip(c.RootFS.DiffIDs)
	return c, nil
}

// config is the configuration that the container ran with: its image's, and what
// the person asked for instead.
func (c *Container) config(image dockerspec.DockerOCIImageConfig) dockerspec.DockerOCIImageConfig {
	if len(c.Command) == 0 { // nothing was to run in it
		return image
	}
	if c.Entrypoint != nil {
		image.Entrypoint, image.Cmd = nil, nil
		if *c.Entrypoint != "" {
			image.Entrypoint = []string{*c.Entrypoint}
		}
	}
	if len(c.Cmd) > 0 {
		image.Cmd = c.Cmd
	}
	var env []string
	for _, kv := range c.Process.Env {
		name, value, _ := strings.Cut(kv, "=")
		env = setEnv(env, name, value)
	}
	image.Env, image.User = env, c.Process.User
	if c.Process.Cwd != "/" || image.WorkingDir != "" {
		image.WorkingDir = c.Process.Cwd
	}
	return image
}

// commit reads the change and makes the image.
func (r *reading) commit(
	ctx context.Context, st *store.Store, image store.Image, n newImage, epoch *time.Time, o CommitOptions,
) (digest.Digest, error) {
	in, err := st.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if n.Layers, err = in.Take(ctx, image); err != nil {
		return "", err
	}
	layer, err := r.layer(ctx, in, epoch, o)
	if err != nil {
		return "", err
	}
	if layer == nil {
		n.Config.History[len(n.Config.History)-1].EmptyLayer = true
	} else {
		n.Layers = append(n.Layers, layer.Descriptor)
		n.Config.RootFS.DiffIDs = append(n.Config.RootFS.DiffIDs, layer.DiffID)
	}
	return n.put(ctx, in)
}

// layer makes the layer of what has changed; nil if nothing has.
func (r *reading) layer(ctx context.Context, in *store.Ingest, epoch *time.Time, o CommitOptions) (*store.Layer, error) {
	tar, done, err := r.layerTar(ctx, layerTimes{Epoch: epoch}, o.Pause, o.Note)
	if err != nil {
		return nil, err
	}
	defer done()
	return newLayerOrNone(ctx, in, tar, o.Compression)
}
