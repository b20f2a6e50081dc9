package layerpack

import (
	"context"
	"errors"

	"github.com/cfs-project/cfs/cow"
)

func Extract(ctx context.Context, l cow.Layer, dst string, o ExtractOptions) (Extracted, error) {
	return Extracted{}, errors.New("layerpack: not there yet")
}
