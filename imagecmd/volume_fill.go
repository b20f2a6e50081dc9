package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/durable"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
	"github.com/cfs-project/cfs/whiteout"
)

// fillStage is argv[0] of the process that fills volumes: who serves a container's root
// must not read it, as it would wait for its own answer when it is killed.
const fillStage = "cfs-fill"

type fillRequest struct {
	Root     string // of the store
	Rootfs   string // where the container's root is mounted
	Volumes  []fillVolume
	Rootless bool
}

// fillVolume is a volume, and what of the image it is filled with when it is empty;
// without, what somebody else began is brought to its end.
type fillVolume struct{ Name, From string }

// fillVolumes fills the volumes of a container whose root is mounted at rootfs. Those
// that are empty get what the image has in their place, once in a container's life.
func (c *Container) fillVolumes(root, rootfs string, first bool) error {
	req := fillRequest{Root: root, Rootfs: rootfs}
	vs := OpenVolumes(root)
	for _, m := range c.Options.Mounts {
		if m.Type != mountVolume {
			continue
		}
		v, err := vs.Find(m.Source)
		if err != nil {
			return err
		}
		f := fillVolume{Name: v.Name}
		if first && !m.NoCopy && m.Subpath == "" && v.Options["device"] == "" && v.empty() {
			f.From = m.Target
		}
		if f.From != "" || v.begun() {
			req.Volumes = append(req.Volumes, f)
		}
	}
	if len(req.Volumes) == 0 {
		return nil
	}
	mapping, err := userns.Current()
	if err != nil {
		return err
	}
	req.Rootless = !mapping.Privileged()
	payload, err := json.Marshal(req)
	if err != nil {
		return err
	}
	_, err = runStage(userns.Mapping{}, fillStage, payload)
	return err
}

// empty tells whether nothing is in the volume.
func (v *Volume) empty() bool {
	f, err := os.Open(v.Mountpoint())
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return err != nil
}

// begun tells whether a process that filled the volume was killed before it was done.
func (v *Volume) begun() bool {
	_, err := os.Lstat(filepath.Join(v.dir, volumeFilled))
	return err == nil
}

func fillMain(l *stage.Link, payload []byte) int {
	var req fillRequest
	err := json.Unmarshal(payload, &req)
	if err == nil {
		err = req.fill(l.Context())
	}
	return stageStatus(err)
}

func (r fillRequest) fill(ctx context.Context) error {
	for _, f := range r.Volumes {
		v, err := OpenVolumes(r.Root).Find(f.Name)
		if err == nil {
			err = v.fill(ctx, r.Rootfs, f.From, r.Rootless)
		}
		if err != nil {
			return fmt.Errorf("filling volume %s: %w", f.Name, err)
		}
	}
	return nil
}

// fill fills the volume, if it is still empty, with the directory from of the root at
// rootfs, if there is one. It is copied beside the data and then moved there: killed
// at any line, the volume is empty, or what is left to move is moved by whoever has the
// volume next.
func (v *Volume) fill(ctx context.Context, rootfs, from string, rootless bool) error {
	lock, err := os.OpenFile(v.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	if lock, err = flock(lock, unix.LOCK_EX); err != nil {
		return err
	}
	defer lock.Close()
	if v.begun() {
		return v.settle(ctx, rootless)
	}
	if from == "" || !v.empty() {
		return nil
	}
	src, err := openInRoot(rootfs, from)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close()
	filling := filepath.Join(v.dir, volumeFilling)
	if err := os.RemoveAll(filling); err != nil { // a killed process's
		return err
	}
	if err := copyInto(ctx, v.dir, volumeFilling, procPath(src)+"/.", rootless); err != nil {
		return errors.Join(err, os.RemoveAll(filling))
	}
	if err := syncfs(filling); err != nil {
		return err
	}
	if err := os.Rename(filling, filepath.Join(v.dir, volumeFilled)); err != nil {
		return err
	}
	if err := durable.SyncDir(v.dir); err != nil {
		return err
	}
	return v.settle(ctx, rootless)
}

// openInRoot opens a directory of the tree at root, whose links lead nowhere else.
func openInRoot(root, name string) (*os.File, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return rootedAt(fd).open(name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// copyInto copies the tree at from to the new directory dir/name, with all that is
// carried: owners, modes, times, extended attributes, links and holes.
func copyInto(ctx context.Context, dir, name, from string, rootless bool) error {
	root, err := cow.Root(from)
	if err != nil {
		return err
	}
	base, err := cow.OpenDirBase(nil, whiteout.Plain)
	if err != nil {
		return err
	}
	defer base.Close()
	return cow.Apply(ctx, dir, beneath("/"+name, root, cow.Compare(base, from)), rootless)
}

// beneath are the entries of a tree, its root first, in the directory at.
func beneath(at string, root cow.Entry, entries iter.Seq2[cow.Entry, error]) iter.Seq2[cow.Entry, error] {
	return func(yield func(cow.Entry, error) bool) {
		root.Path = at
		if !yield(root, nil) {
			return
		}
		for e, err := range entries {
			if e.Path == "/" && err == nil {
				continue
			}
			e.Path = at + e.Path
			if !yield(e, err) {
				return
			}
		}
	}
}

// settle moves what was copied to the data. What somebody has put there meanwhile
// under the same name stays.
func (v *Volume) settle(ctx context.Context, rootless bool) error {
	filled := filepath.Join(v.dir, volumeFilled)
	root, err := cow.Root(filled) // before the moves change its time
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filled)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(filled, e.Name()), unix.AT_FDCWD, filepath.Join(v.Mountpoint(), e.Name()), unix.RENAME_NOREPLACE)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	nothing := func(func(cow.Entry, error) bool) {}
	if err := cow.Apply(ctx, v.dir, beneath("/"+volumeData, root, nothing), rootless); err != nil {
		return err
	}
	if err := syncfs(v.dir); err != nil {
		return err
	}
	return os.RemoveAll(filled)
}
