package imagecmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/internal/apart"
	"github.com/cfs-project/cfs/runtime"
)

// hostFiles are the files of the host's network that a container sees instead
// of the image's. They lie in the container's directory and are bound over the root, so
// that they are part of no image.
var hostFiles = []string{"hostname", "hosts", "resolv.conf"}

// writeHostFiles writes the files into dir, and returns how they are mounted. Who is in
// another container's network has links to that one's files, the same for both.
func writeHostFiles(dir string, n *connection, hostname string) (mounts []specs.Mount, err error) {
	contents := []string{hostname + "\n", "", n.resolvConf()}
	if contents[1], err = n.hosts(hostname); err != nil {
		return nil, err
	}
	for i, name := range hostFiles {
		path := filepath.Join(dir, name)
		if n.joined != nil {
			err = errors.Join(removeIfThere(path), os.Link(n.joined.path(name), path))
		} else {
			err = os.WriteFile(path, []byte(contents[i]), 0o644)
		}
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: path, Options: []string{"bind", "rprivate"}})
	}
	return mounts, nil
}

// A rootView is what has to be known of a mounted root before the container is there.
type rootView struct {
	user  runtime.User // who its user is
	stubs stubs        // which targets of mounts it lacks
	apt   bool         // it has apt, and one user alone
}

func (c *Container) lookInto(rootfs string) (v rootView, err error) {
	err = apart.Do(func() error {
		if v.user, err = runtime.LookupUser(rootfs, c.Process.User); err != nil {
			return err
		}
		more, err := runtime.LookupGroups(rootfs, c.Options.GroupAdd)
		if err != nil {
			return err
		}
		v.user.Groups = append(v.user.Groups, more...)
		root, err := os.OpenRoot(rootfs)
		if err != nil {
			return err
		}
		defer root.Close()
		v.stubs = missingTargets(root)
		v.apt, err = hasApt(root)
		return err
	})
	return v, err
}

// stubs are paths that a root lacks, and that are made to be mounted on.
type stubs []string

func missingTargets(root *os.Root) (s stubs) {
	_, err := root.Lstat("etc")
	bare := errors.Is(err, fs.ErrNotExist)
	for _, name := range hostFiles {
		if _, err := root.Lstat("etc/" + name); errors.Is(err, fs.ErrNotExist) {
			s = append(s, "etc/"+name)
		}
	}
	if bare {
		s = append(s, "etc")
	}
	return s
}

func removeIfThere(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// covered tells whether something a person asked for is mounted at a path, or above it.
func covered(mounts []specs.Mount, at string) bool {
	return slices.ContainsFunc(mounts, func(m specs.Mount) bool {
		return m.Destination == at || strings.HasPrefix(at, m.Destination+"/")
	})
}

// remove takes back what was made in the root to mount on, unless the container put
// something there.
func (s stubs) remove(rootfs string) {
	if len(s) == 0 {
		return
	}
	_ = apart.Do(func() error {
		root, err := os.OpenRoot(rootfs)
		if err != nil {
			return err
		}
		defer root.Close()
		for _, name := range s {
			if info, err := root.Lstat(name); err == nil && (info.IsDir() || info.Mode().IsRegular() && info.Size() == 0) {
				_ = root.Remove(name) // a directory only if it is empty
			}
		}
		return nil
	})
}
