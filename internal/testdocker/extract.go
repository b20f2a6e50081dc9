package testdocker

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the directory of a layer.
func (s *Store) tree(cacheID string) string {
	place := map[string]string{
		"overlay2": "overlay2/*/diff", "fuse-overlayfs": "fuse-overlayfs/*/diff", "aufs": "aufs/diff/*",
		"overlay": "overlay/*/root", "vfs": "vfs/dir/*", "btrfs": "btrfs/subvolumes/*",
	}[s.Driver]
	return filepath.Join(s.Dir, strings.Replace(place, "*", cacheID, 1))
}

// extract extracts a layer as the driver does; below is the directory of that below it.
func (s *Store) extract(tree, below string, layer []byte) error {
	if err := os.MkdirAll(filepath.Dir(tree), 0o700); err != nil {
		return err
	}
	copied := ""
	switch s.Driver {
	case "overlay":
		copied = "-al" // files are those of the tree below
	case "vfs", "btrfs":
		copied = "-a"
	}
	if copied != "" && below != "" {
		if out, err := exec.Command("cp", copied, below, tree).CombinedOutput(); err != nil {
			return fmt.Errorf("cp: %w: %s", err, out)
		}
	} else if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	if s.Driver == "aufs" { // its bookkeeping
		for _, name := range []string{".wh..wh.plnk", ".wh..wh.orph"} {
			if err := os.Mkdir(filepath.Join(tree, name), 0o700); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(tree, ".wh..wh.aufs"), nil, 0o444); err != nil {
			return err
		}
	}
	type dir struct {
		name string
		time time.Time
	}
	var dirs []dir
	r := tar.NewReader(bytes.NewReader(layer))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := s.entry(tree, h, r); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, dir{filepath.Join(tree, h.Name), h.ModTime})
		}
	}
	for _, d := range dirs {
		if err := os.Chtimes(d.name, d.time, d.time); err != nil {
			return err
		}
	}
	return nil
}

// entry extracts one entry: directories, files, and links of both sorts.
func (s *Store) entry(tree string, h *tar.Header, r io.Reader) error {
	at := filepath.Join(tree, h.Name)
	if name, ok := strings.CutPrefix(filepath.Base(at), ".wh."); ok && s.Driver != "aufs" {
		return s.whiteout(filepath.Dir(at), name)
	}
	if h.Typeflag == tar.TypeDir {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		return errors.Join(os.Lchown(at, h.Uid, h.Gid), os.Chmod(at, h.FileInfo().Mode()))
	}
	if err := os.RemoveAll(at); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, at); err != nil {
			return err
		}
		tv := unix.NsecToTimeval(h.ModTime.UnixNano())
		return errors.Join(os.Lchown(at, h.Uid, h.Gid), unix.Lutimes(at, []unix.Timeval{tv, tv}))
	case tar.TypeLink:
		return os.Link(filepath.Join(tree, h.Linkname), at)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(at, data, 0o600); err != nil {
		return err
	}
	return errors.Join(os.Lchown(at, h.Uid, h.Gid), os.Chmod(at, h.FileInfo().Mode()), os.Chtimes(at, h.ModTime, h.ModTime))
}

// whiteout deletes a name in a directory, which .wh.<name> says.
func (s *Store) whiteout(dir, name string) error {
	whole := s.Driver != "overlay2" && s.Driver != "fuse-overlayfs"
	switch {
	case name == ".wh..opq" && whole:
		all, err := os.ReadDir(dir)
		for _, e := range all {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		return err
	case name == ".wh..opq" && s.Driver == "fuse-overlayfs":
		return unix.Setxattr(dir, "user.fuseoverlayfs.opaque", []byte("y"), 0)
	case name == ".wh..opq":
		return unix.Setxattr(dir, "trusted.overlay.opaque", []byte("y"), 0)
	case whole:
		return os.RemoveAll(filepath.Join(dir, name))
	}
	return unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR, 0)
}
