package store

import (
	"context"
	"fmt"
	"testing"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// A store of 200 images that share 10 of their 12 layers.
func BenchmarkImages(b *testing.B) {
	st := newStore(b)
	var base [][]byte
	for i := range 10 {
		base = append(base, it.Tar(b, it.Entry{Name: fmt.Sprint("base", i), Data: "x"}))
	}
	for i := range 200 {
		layers := append(base[:10:10], it.Tar(b, it.Entry{Name: "own", Data: fmt.Sprint(i)}), it.Tar(b, it.Entry{Name: "top", Data: fmt.Sprint(i)}))
		bring(st, b, it.New(b, int64(i), layers...), nil, fmt.Sprintf("img%d:1", i))
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if imgs, err := st.Images(context.Background()); err != nil || len(imgs) != 200 {
				b.Fatal(len(imgs), err)
			}
		}
	})
	b.Run("resolve", func(b *testing.B) {
		for b.Loop() {
			if _, err := st.Resolve(context.Background(), "img100:1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("chain", func(b *testing.B) {
		img, err := st.Resolve(context.Background(), "img100:1")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			_, release, err := st.Chain(context.Background(), img)
			if err != nil {
				b.Fatal(err)
			}
			release()
		}
	})
}
