package buildcontext

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/layerpack"
)

// manyFiles is a context of 20,000 files in 1,000 directories.
func manyFiles(b *testing.B) string {
	dir := testenv.TempDir(b)
	for d := range 1000 {
		sub := filepath.Join(dir, fmt.Sprint(d%10), fmt.Sprint(d))
		must(b, os.MkdirAll(sub, 0o755))
		for f := range 20 {
			must(b, os.WriteFile(filepath.Join(sub, fmt.Sprintf("file-%d.go", f)), fmt.Appendf(nil, "%d/%d", d, f), 0o644))
		}
	}
	return dir
}

// What an unchanged context takes before its layer is found in the cache.
func BenchmarkDigest(b *testing.B) {
	dir, memory := manyFiles(b), b.TempDir()
	ctx := context.Background()
	key := func(remember bool, ignore string) {
		var o SelectOptions
		if remember {
			d, err := OpenDigests(memory)
			must(b, err)
			defer d.Close()
			o.Digests = d
		}
		c := Copy{From: dirSource(b, dir, ignore), Paths: []string{"."}, Dest: "/"}
		sel, err := c.Select(ctx, o)
		must(b, err)
		defer sel.Close()
		_, err = sel.Digest(ctx)
		must(b, err)
	}
	time.Sleep(200 * time.Millisecond) // what was just written is not remembered
	key(true, "")
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			key(false, "")
		}
	})
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			key(true, "")
		}
	})
	b.Run("ignoring", func(b *testing.B) {
		for b.Loop() {
			key(true, "*.o\n**/*.tmp\n.git\nnode_modules\n**/.cache\ndocs/**/*.md\n!docs/keep.md\n")
		}
	})
	b.Run("layer", func(b *testing.B) {
		for b.Loop() {
			d, err := OpenDigests(memory)
			must(b, err)
			c := Copy{From: dirSource(b, dir, ""), Paths: []string{"."}, Dest: "/"}
			sel, err := c.Select(ctx, SelectOptions{Digests: d})
			must(b, err)
			_, err = sel.Digest(ctx)
			must(b, err)
			_, err = layerpack.WriteLayer(ctx, io.Discard, sel.Entries(ctx, nil), layerpack.WriteOptions{})
			must(b, err)
			must(b, sel.Close())
			must(b, d.Close())
		}
	})
}
