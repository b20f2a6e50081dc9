package cowtest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

// Bench measures a driver in the calling process: mounting, copying up, and
// walking, each as a sub-benchmark. The caches are warm; what the first use of
// a chain costs is measured by none.
func Bench(b *testing.B, h Harness) {
	for _, layers := range []int{1, 60} {
		b.Run(fmt.Sprintf("Mount/layers=%d", layers), func(b *testing.B) {
			drv, snap := benchSnapshot(b, h, benchLayers(layers, 20)...)
			dir := mountPoint(b)
			for b.Loop() {
				m, err := drv.Mount(b.Context(), snap, dir, cow.MountOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Unmount(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Walk", func(b *testing.B) {
		dir := benchMount(b, h, benchLayers(8, 500)...)
		n := 0
		for b.Loop() {
			n = 0
			err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
				if err == nil {
					_, err = d.Info()
				}
				n++
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
	})
	b.Run("OpenReadClose", func(b *testing.B) {
		dir := benchMount(b, h, benchLayers(1, 1)...)
		buf := make([]byte, 4096)
		for b.Loop() {
			f, err := os.Open(dir + "/layer0/f0")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Read(buf); err != nil && err != io.EOF {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	for _, size := range []int{1 << 10, 64 << 20} {
		b.Run(fmt.Sprintf("CopyUp/size=%d", size), func(b *testing.B) {
			l := Layer{File("f", string(make([]byte, size)))}
			drv, snap := benchSnapshot(b, h, l)
			for b.Loop() {
				b.StopTimer()
				dir := mountPoint(b)
				m, err := drv.Mount(b.Context(), snap, dir, cow.MountOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				f, err := os.OpenFile(dir+"/f", os.O_WRONLY, 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteAt([]byte("x"), 0); err != nil {
					b.Fatal(err)
				}
				f.Close()
				b.StopTimer()
				if err := m.Unmount(); err != nil {
					b.Fatal(err)
				}
				if err := drv.Remove(b.Context(), snap); err != nil {
					b.Fatal(err)
				}
				if err := drv.Create(b.Context(), snap); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func benchLayers(n, files int) []Layer {
	var out []Layer
	for i := range n {
		dir := fmt.Sprintf("layer%d", i)
		l := Layer{Dir(dir)}
		for j := range files {
			l = append(l, File(fmt.Sprintf("%s/f%d", dir, j), "some data"))
		}
		out = append(out, l)
	}
	return out
}

func benchSnapshot(b *testing.B, h Harness, layers ...Layer) (cow.Driver, cow.Snapshot) {
	b.Helper()
	drv := h.New(b)
	snap := cow.Snapshot{Dir: h.scratch(b), Base: h.Chain(b, layers...)}
	if err := drv.Create(b.Context(), snap); err != nil {
		b.Fatal(err)
	}
	return drv, snap
}

func benchMount(b *testing.B, h Harness, layers ...Layer) string {
	b.Helper()
	drv, snap := benchSnapshot(b, h, layers...)
	dir := mountPoint(b)
	m, err := drv.Mount(b.Context(), snap, dir, cow.MountOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			b.Error(err)
		}
	})
	return dir
}
