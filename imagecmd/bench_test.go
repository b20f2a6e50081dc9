package imagecmd

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/imagegen"
)

// BenchmarkManyImages is the commands that look at a store of 200 images of eight layers.
func BenchmarkManyImages(b *testing.B) {
	ctx := context.Background()
	st := newStore(b)
	var images []imagegen.Image
	for n := range 200 {
		var layers []imagegen.Layer
		for i := range 8 {
			layers = append(layers, imagegen.Layer{imagegen.File("f", fmt.Sprint(n*(i/4), i))})
		}
		images = append(images, imagegen.NewImage(fmt.Sprintf("team/image%d:1", n), imagegen.Gzip, layers))
	}
	if err := imagegen.WriteOCILayout(st.LayoutDir(), images...); err != nil {
		b.Fatal(err)
	}
	list, err := st.Images(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, img := range list {
		_, release, err := st.Chain(ctx, img)
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
	const name = "team/image77:1"
	for _, c := range []struct {
		name string
		run  func(*store.Store) error
	}{
		{"images", func(st *store.Store) error { return Images(ctx, st, ImagesOptions{}, io.Discard) }},
		{"inspect", func(st *store.Store) error {
			return Inspect(ctx, st, InspectOptions{Names: []string{name}}, io.Discard)
		}},
		{"history", func(st *store.Store) error { return History(ctx, st, HistoryOptions{Image: name}, io.Discard) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.run(st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
