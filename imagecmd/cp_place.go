package imagecmd

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Sentences of Docker's about places.
var (
	errCopyDir    = errors.New("cannot copy directory")
	errNoDir      = errors.New("no such directory")
	errNotDir     = errors.New("not a directory")
	errNoPlace    = errors.New("there is no such place") // whoever asked has a sentence for it
	errMustBeADir = errors.New("must be a directory")
)

// A cpPlace is where an object goes: into the directory, under the name; "." is the
// directory itself.
type cpPlace struct {
	dir  *os.File // O_PATH
	name string
}

// place finds where an object goes that is copied to a path of the tree at root, by
// Docker's rules (docs.docker.com/reference/cli/docker/container/cp): into a directory that
// is there, under its own name, or what it holds if that is what was asked for; in the
// place of a file, if it is none itself; else it gets the path's last name, in a directory that
// must be there.
func place(root rootedAt, to string, o cpObject) (cpPlace, error) {
	asDir := strings.HasSuffix(to, "/") || strings.HasSuffix(to, "/.") || to == "."
	f, err := root.open(to, unix.O_PATH)
	switch {
	case err == nil:
		fi, err := f.Stat()
		if err == nil && fi.IsDir() {
			return cpPlace{f, o.Name}, nil
		}
		f.Close()
		if err != nil {
			return cpPlace{}, err
		}
		if o.Dir {
			return cpPlace{}, errCopyDir
		}
	case errors.Is(err, unix.ENOTDIR) && asDir:
		return cpPlace{}, errNotDir
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		if asDir && !o.Dir {
			return cpPlace{}, errNoDir
		}
	default:
		return cpPlace{}, err
	}
	dir, base, err := root.settle(strings.TrimSuffix(to, "/."))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return cpPlace{}, errNoPlace
	case err == nil && (base == "" || base == "." || base == ".."):
		dir.Close()
		return cpPlace{}, errNoPlace
	}
	return cpPlace{dir, base}, err
}
