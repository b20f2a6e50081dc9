package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// A view is what a container sees beside its root because a step of a build asks for
// it: a tree of layers, such as another stage, or something of the host's. It is
// mounted by the container's monitor, who alone may give things to all of the
// container's users.
type view struct {
	Target   string `json:"target"` // within the container
	Writable bool   `json:"writable,omitempty"`

	Chain  *cow.Chain `json:"chain,omitempty"`  // the tree; nil: Host
	Source string     `json:"source,omitempty"` // within the tree
	// Keep is a directory for what is written to the tree, which stays there; "" loses
	// it with the container.
	Keep string `json:"keep,omitempty"`

	Host  string     `json:"host,omitempty"`  // a path of the host; a directory is made if it is missing
	Owner *fileOwner `json:"owner,omitempty"` // that the host's path gets when it is made, or when it is no directory
}

// A fileOwner is whose a file is, by the container's numbers.
type fileOwner struct {
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Mode uint32 `json:"mode"` // permissions
}

// give makes a file the owner's. Where a user namespace has but one user, all is that user's.
func (o *fileOwner) give(path string) error {
	if err := os.Lchown(path, o.UID, o.GID); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return os.Chmod(path, os.FileMode(o.Mode&0o777)|sticky(o.Mode))
}

func sticky(mode uint32) os.FileMode {
	if mode&unix.S_ISVTX != 0 {
		return os.ModeSticky
	}
	return 0
}

// A shownFile is a file that a container sees and that is never on a disk.
type shownFile struct {
	Target string
	Data   []byte
	fileOwner
}

// views are those of a container while they are mounted.
type views struct {
	mounts []specs.Mount
	undo   []func() error
}

// mountViews mounts the container's views, and files, below its directory, in this
// process's mount namespace.
func (c *Container) mountViews(ctx context.Context, all []cow.Driver, files []shownFile) (v views, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, v.unmount())
		}
	}()
	for i, w := range c.Views {
		dir := c.path(fmt.Sprintf("view-%d", i))
		if w.Chain == nil {
			err = v.host(w)
		} else {
			var d cow.Driver
			if d, err = pickDriver(ctx, all, ""); err == nil {
				err = v.tree(ctx, d, w, dir)
			}
		}
		if err != nil {
			return v, fmt.Errorf("mounting what %s is to show: %w", w.Target, err)
		}
	}
	if len(files) > 0 {
		if err := v.files(files, c.path("files")); err != nil {
			return v, fmt.Errorf("secrets and scripts: %w", err)
		}
	}
	// What lies in another one comes after it.
	slices.SortStableFunc(v.mounts, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return v, nil
}

// tree mounts a tree of layers, whose root, and changes, lie in dir.
func (v *views) tree(ctx context.Context, d cow.Driver, w view, dir string) error {
	root := filepath.Join(dir, containerRootfs)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	snap := cow.Snapshot{Base: *w.Chain}
	o := cow.MountOptions{AllowOther: true, Suid: true, ReadOnly: !w.Writable, Source: "cfs"}
	if w.Writable {
		if err := v.changes(ctx, d, w, &snap, dir); err != nil {
			return err
		}
	}
	m, err := d.Mount(ctx, snap, root, o)
	if err != nil {
		return err
	}
	v.undo = append(v.undo, m.Unmount)
	// Links in the tree lead to places in the tree.
	source, err := securejoin.SecureJoin(root, w.Source)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(source); err != nil {
		return fmt.Errorf("%s: %w", w.Source, os.ErrNotExist)
	}
	v.bind(source, w)
	return nil
}

// changes is where a writable tree's go: to dir, and away, or to a directory that stays.
func (v *views) changes(ctx context.Context, d cow.Driver, w view, snap *cow.Snapshot, dir string) error {
	if snap.Dir = dir; w.Keep == "" {
		v.undo = append(v.undo, func() error { return d.Remove(context.Background(), *snap) })
		return d.Create(ctx, *snap)
	}
	snap.Dir = filepath.Join(w.Keep, d.Name())
	if _, err := os.Lstat(snap.Dir); err == nil {
		return nil
	}
	// It appears whole or not at all.
	made := cow.Snapshot{Dir: snap.Dir + ".new", Base: snap.Base}
	err := os.RemoveAll(made.Dir)
	if err == nil {
		err = os.MkdirAll(made.Dir, 0o700)
	}
	if err == nil {
		err = d.Create(ctx, made)
	}
	if err == nil {
		err = os.Rename(made.Dir, snap.Dir)
	}
	return err
}

// host shows something of the host's.
func (v *views) host(w view) error {
	fi, err := os.Lstat(w.Host)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err = os.MkdirAll(w.Host, 0o755); err == nil && w.Owner != nil {
			err = w.Owner.give(w.Host)
		}
	case err == nil && !fi.IsDir() && w.Owner != nil:
		err = w.Owner.give(w.Host)
	}
	if err == nil {
		v.bind(w.Host, w)
	}
	return err
}

func (v *views) bind(source string, w view) {
	read := "ro"
	if w.Writable {
		read = "rw"
	}
	v.mounts = append(v.mounts, specs.Mount{Destination: w.Target, Type: "bind", Source: source, Options: []string{"rbind", read, "rprivate"}})
}

// files puts files into memory at dir.
func (v *views) files(files []shownFile, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=0700"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	v.undo = append(v.undo, func() error { return unix.Unmount(dir, 0) })
	for i, f := range files {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return err
		}
		if err := f.give(path); err != nil {
			return err
		}
		v.bind(path, view{Target: f.Target})
	}
	return nil
}

// unmount takes all down again.
func (v *views) unmount() error {
	var errs []error
	for i := len(v.undo) - 1; i >= 0; i-- {
		errs = append(errs, v.undo[i]())
	}
	return errors.Join(errs...)
}
