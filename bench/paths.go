package bench

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// Paths are the names of a tree, prepared for system calls: relative to the
// root and ended with a NUL.
type Paths struct {
	All   [][]byte // everything but the root
	Files [][]byte // regular files
	Bytes int64    // in the files
}

// ListPaths records the names of a tree in the order of a walk.
func ListPaths(root string) (Paths, error) {
	r, err := treediff.Walk(root, treediff.Options{NoContent: true})
	if err != nil {
		return Paths{}, err
	}
	var p Paths
	for _, e := range r.Entries {
		if e.Path == treediff.Root {
			continue
		}
		name := append([]byte(e.Path), 0)
		p.All = append(p.All, name)
		if e.Mode&unix.S_IFMT == unix.S_IFREG {
			p.Files = append(p.Files, name)
			p.Bytes += e.Size
		}
	}
	return p, nil
}

func (p Paths) String() string {
	return fmt.Sprintf("%d paths, %d files of %d MiB", len(p.All), len(p.Files), p.Bytes>>20)
}
