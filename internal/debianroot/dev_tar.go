package debianroot

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
)

// counts is what went into a layer.
type counts struct{ entries, files int }

func (n *counts) count(h *tar.Header) {
	n.entries++
	if h.Typeflag != tar.TypeDir {
		n.files++
	}
}

// copyTar copies a tar byte for byte, and counts its entries.
func (n *counts) copyTar(w io.Writer, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	both := io.TeeReader(f, w)
	for r := tar.NewReader(both); ; {
		h, err := r.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, both) // what pads the end
			return err
		}
		if err != nil {
			return err
		}
		n.count(h)
	}
}

// mergePackages writes what the packages hold as one tar.
func mergePackages(ctx context.Context, w io.Writer, debs []string) (n counts, err error) {
	out := tar.NewWriter(w)
	dirs := map[string]bool{}
	for _, deb := range debs {
		if err := n.addPackage(ctx, out, deb, dirs); err != nil {
			return n, fmt.Errorf("%s: %w", path.Base(deb), err)
		}
	}
	return n, out.Close()
}

// addPackage adds the files of one package. A directory that another of them
// brought, which dirs tells, is not there again.
func (n *counts) addPackage(ctx context.Context, out *tar.Writer, deb string, dirs map[string]bool) (err error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_, copied := io.Copy(io.Discard, pipe)
		err = errors.Join(err, copied, cmd.Wait())
	}()
	for r := tar.NewReader(pipe); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		h.Name = merged(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = merged(h.Linkname)
		}
		if h.Typeflag == tar.TypeDir {
			if dirs[h.Name] {
				continue
			}
			dirs[h.Name] = true
		}
		n.count(h)
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, r); err != nil {
			return err
		}
	}
}

// merged is where a path of a package goes in a root with a merged /usr, whose
// /bin, /lib, /lib64 and /sbin are symlinks.
func merged(name string) string {
	top, rest, _ := strings.Cut(strings.TrimPrefix(name, "./"), "/")
	switch top {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "./usr/" + top + "/" + rest
	}
	return name
}
