package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/format"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// TemplateError is a --format that can't be parsed, which `docker inspect`
// exits with 64 for.
type TemplateError = format.SyntaxError

// InspectOptions says what is inspected, and how it is printed.
type InspectOptions struct {
	Names []string
	// Type is "image", "container" or "volume"; empty is whatever has the name,
	// first a container, then an image.
	Type string
	// Size counts what containers have changed. ImageSize is called, if not nil,
	// when an image is inspected so, whose size is there anyway.
	Size      bool
	ImageSize func()
	// Platform is which image of several; nil is the store's.
	Platform *ocispec.Platform
	Format   string // a Go template, or "json" for one line; empty is indented JSON
}

// Inspect prints objects as a JSON array, or a template's text for each. What
// is not there does not keep the others from being printed; the error then joins
// one of each. A template that can't be parsed is a [*TemplateError].
func Inspect(ctx context.Context, st *store.Store, o InspectOptions, out io.Writer) error {
	if o.Type != "" && o.Type != "image" && o.Type != "container" && o.Type != "volume" {
		return fmt.Errorf("%q is not a valid value for --type", o.Type)
	}
	objects, err := format.NewObjects(o.Format)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range o.Names {
		object, err := inspect(ctx, st, name, o)
		if err == nil {
			err = objects.Add(object)
		}
		errs = append(errs, err)
	}
	if _, err := objects.WriteTo(out); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// Format prints an object by a template, or by "json" on one line. A template that can't be
// parsed is a [*TemplateError].
func Format(v any, spec string, out io.Writer) error {
	if spec == "json" {
		spec = "{{json .}}"
	}
	objects, err := format.NewObjects(spec)
	if err == nil {
		err = objects.Add(v)
	}
	if err == nil {
		_, err = objects.WriteTo(out)
	}
	return err
}

func inspect(ctx context.Context, st *store.Store, name string, o InspectOptions) (any, error) {
	if o.Type == "volume" {
		return inspectVolume(st.Root(), name)
	}
	if o.Type != "image" {
		c, err := inspectContainer(st, name, o.Size)
		switch {
		case err == nil:
			return c, nil
		case !errors.Is(err, ErrNoContainer):
			return nil, err
		case o.Type == "container":
			return nil, sentencef(err, "No such container: %s", name)
		}
	}
	img, err := inspectImage(ctx, st, name, o.Platform)
	switch {
	case err == nil && o.Size && o.ImageSize != nil:
		o.ImageSize()
	case o.Type == "" && (errors.Is(err, store.ErrNotFound) || invalidName(err)):
		v, verr := inspectVolume(st.Root(), name)
		if verr == nil || !errors.Is(verr, ErrNoVolume) {
			return v, verr
		}
		return nil, sentencef(err, "No such object: %s", name)
	}
	return img, err
}

// invalidName tells whether an error is that no image can have such a name.
func invalidName(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "invalid reference format")
}

// GraphDriver is where an object's files are.
type GraphDriver struct {
	Data map[string]string
	Name string
}

// packed is the GraphDriver of what is on no driver: a chain of packed layers.
func packed(chain cow.Chain) GraphDriver {
	var tars []string
	for _, l := range chain.Layers {
		tars = append([]string{l.Tar()}, tars...) // the top first, as in an overlay's lowerdir
	}
	return GraphDriver{Name: "packed", Data: map[string]string{"Index": chain.Index, "Layers": strings.Join(tars, ":")}}
}
