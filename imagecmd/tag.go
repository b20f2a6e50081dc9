package imagecmd

import (
	"context"
	"errors"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/reference"
)

// Tag gives the image source, a name or ID, the name target, which another
// image loses.
func Tag(ctx context.Context, st *store.Store, source, target string) error {
	if _, err := reference.ParseAnyReference(source); err != nil {
		return badTag(source, err)
	}
	ref, err := reference.ParseNormalizedNamed(target)
	if err != nil {
		return badTag(target, err)
	}
	err = st.Tag(ctx, source, ref)
	if errors.Is(err, store.ErrNotFound) {
		err = tagMissing(source, err)
	}
	return err
}

func badTag(name string, err error) error {
	return sentencef(err, "Error parsing reference: %q is not a valid repository/tag: %v", name, err)
}
