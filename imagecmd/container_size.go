package imagecmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// upperDir is where drivers keep what a container changes, below its directory.
const upperDir = "upper"

// sizeStage is argv[0] of the process that counts an ordinary user's container:
// directories in it may belong to sub-uids.
const sizeStage = "cfs-size"

// containerSize is the bytes of the files that a container has changed, as
// Docker's SIZE: every inode once, no directories. A file that was copied up in
// part counts with the part.
func containerSize(root string, c *Container) (int64, error) {
	n, err := ownedSize(filepath.Join(c.dir, upperDir))
	if err != nil {
		err = fmt.Errorf("size of container %s: %w", c.ShortID(), err)
	}
	return n, err
}

// ownedSize is treeSize, of a directory in which others may belong to sub-uids.
func ownedSize(dir string) (int64, error) {
	n, err := treeSize(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return n, err
	}
	mapping, _ := userns.Detect()
	if mapping.Privileged() {
		return 0, err
	}
	payload, err := json.Marshal(dir)
	if err != nil {
		return 0, err
	}
	out, err := runStage(mapping, sizeStage, payload)
	if err == nil {
		err = json.Unmarshal(out, &n)
	}
	return n, err
}

func sizeMain(_ *stage.Link, payload []byte) int {
	var dir string
	var n int64
	err := json.Unmarshal(payload, &dir)
	if err == nil {
		n, err = treeSize(dir)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(n)
	}
	return stageStatus(err)
}

// treeSize counts the files below a directory; one that is not there is empty.
// What vanishes meanwhile does not count.
func treeSize(dir string) (int64, error) {
	root, err := os.OpenRoot(dir) // what is in it is a container's, and hostile
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer root.Close()
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var n int64
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := root.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		id := inode{uint64(st.Dev), st.Ino}
		if st.Nlink > 1 && seen[id] {
			return nil
		}
		seen[id] = true
		n += min(st.Size, st.Blocks*512)
		return nil
	})
	return n, err
}
