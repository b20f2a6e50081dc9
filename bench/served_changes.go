package bench

import (
	"context"
	"io"

	"github.com/cfs-project/cfs/layerpack"
)

// changes lists what was changed, and counts that.
func (s *Served) changes() (n int, err error) {
	d, err := s.CowDriver()
	if err != nil {
		return 0, err
	}
	for _, err := range d.Changes(context.Background(), s.Snapshot()) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// layer writes what was changed as a layer, and counts its entries.
func (s *Served) layer(w io.Writer, how layerpack.Compression) (int, error) {
	d, err := s.CowDriver()
	if err != nil {
		return 0, err
	}
	wrote, err := layerpack.WriteLayer(context.Background(), w, d.Diff(context.Background(), s.Snapshot()), layerpack.WriteOptions{Compression: how})
	return wrote.Entries, err
}
