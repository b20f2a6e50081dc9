package imagecmd

import (
	"context"
	"io"
	"os"

	"github.com/cfs-project/cfs/imagecmd/internal/weburl"
)

// open opens what an image is to be made of.
func (o ImportOptions) open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case o.fromStdin():
		return io.NopCloser(o.Stdin), nil
	case weburl.Is(o.Input):
		resp, err := weburl.Get(ctx, nil, o.Input, "")
		if err != nil {
			return nil, err
		}
		return resp.Body, nil
	}
	return os.Open(o.Input)
}
