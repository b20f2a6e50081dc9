package layerpack

import "github.com/cfs-project/cfs/cow"

// ContentSize is what the files of a packed layer hold together, in bytes:
// Docker's size of a layer, which it measures on the extracted tree. Names that
// occur twice count once; symlinks count their targets' length, as they do there.
func ContentSize(l cow.Layer) (int64, error) {
	t, err := readTOC(l.TOC())
	if err != nil {
		return 0, err
	}
	sizes := map[string]int64{}
	err = t.each(func(e *entry) error {
		n := int64(0)
		switch e.kind {
		case kindFile:
			n = e.size
		case kindSymlink:
			n = int64(len(e.target))
		}
		if n != 0 || sizes[e.name] != 0 {
			sizes[e.name] = n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, n := range sizes {
		sum += n
	}
	return sum, nil
}
