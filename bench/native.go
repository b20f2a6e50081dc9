package bench

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Native is the extracted tree itself, without a union: the limit of what can be had.
type Native struct {
	Tree string
	// Copy is where a copy of the tree is made to be changed.
	Copy     string
	writable bool
}

// Name implements [Contestant].
func (n *Native) Name() string { return "native" }

// Over implements [Contestant].
func (n *Native) Over(f Fixture, writable bool) error {
	n.Tree, n.writable = f.Merged, writable
	return nil
}

// Mount implements [Contestant].
func (n *Native) Mount(ctx context.Context) (string, error) {
	if !n.writable {
		return n.Tree, nil
	}
	if err := os.MkdirAll(filepath.Dir(n.Copy), 0o755); err != nil {
		return "", err
	}
	return n.Copy, execute(exec.CommandContext(ctx, "cp", "-a", n.Tree, n.Copy))
}

// Unmount implements [Contestant].
func (n *Native) Unmount() error { return nil }

// Discard implements [Contestant].
func (n *Native) Discard() error {
	if n.Copy == "" {
		return nil
	}
	return os.RemoveAll(n.Copy)
}

// Server implements [Contestant].
func (n *Native) Server() int { return 0 }

// Used implements [Spacer]: what all copies take that lie beside this one.
func (n *Native) Used() (int64, error) { return DiskUsage(filepath.Dir(n.Copy)) }

// DiskUsage is what the files below directories take on the disk, in bytes, each inode
// once. A directory that is not there takes nothing.
func DiskUsage(dirs ...string) (int64, error) {
	seen := map[inode]bool{}
	var sum int64
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			i, err := e.Info()
			if err != nil {
				return err
			}
			if id, size := inodeOf(i); !seen[id] {
				seen[id] = true
				sum += size
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return sum, nil
}
