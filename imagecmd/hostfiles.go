package imagecmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostFiles are the files of the host's network that a container sees instead
// of the image's: /etc/hostname, /etc/hosts and /etc/resolv.conf. They lie in the
// container's directory and are bound over the root, so that they are part of no
// image.
type hostFiles struct {
	mounts []specs.Mount
	stubs  []string // targets the root lacks; made to be mounted on
}

// writeHostFiles writes the files into dir and looks which targets root lacks. Who is in
// another container's network has links to that one's files, the same for both.
func writeHostFiles(dir string, root *os.Root, n *connection, hostname string) (hostFiles, error) {
	var h hostFiles
	_, err := root.Lstat("etc")
	bare := errors.Is(err, fs.ErrNotExist)
	for _, f := range []struct{ name, content string }{
		{"hostname", hostname + "\n"}, {"hosts", n.hosts(hostname)}, {"resolv.conf", n.resolvConf()},
	} {
		path := filepath.Join(dir, f.name)
		if n.joined != nil {
			err = errors.Join(removeIfThere(path), os.Link(n.joined.path(f.name), path))
		} else {
			err = os.WriteFile(path, []byte(f.content), 0o644)
		}
		if err != nil {
			return h, err
		}
		target := "/etc/" + f.name
		h.mounts = append(h.mounts, specs.Mount{
			Destination: target, Type: "bind", Source: path, Options: []string{"bind", "rprivate"},
		})
		if _, err := root.Lstat(target[1:]); errors.Is(err, fs.ErrNotExist) {
			h.stubs = append(h.stubs, target[1:])
		}
	}
	if bare {
		h.stubs = append(h.stubs, "etc")
	}
	return h, nil
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

// removeStubs takes back what was made in the root to mount on, unless the
// container put something there.
func (h hostFiles) removeStubs(root *os.Root) {
	for _, name := range h.stubs {
		if info, err := root.Lstat(name); err == nil && (info.IsDir() || info.Mode().IsRegular() && info.Size() == 0) {
			_ = root.Remove(name) // a directory only if it is empty
		}
	}
}
