package imagecmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/internal/durable"
)

// errTerminal is Docker's refusal to write an archive to a terminal.
var errTerminal = errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")

// refuseTerminal answers errTerminal where w is a terminal.
func refuseTerminal(w io.Writer) error {
	if isTerminal(w) {
		return errTerminal
	}
	return nil
}

// isTerminal tells whether a reader or writer is a terminal.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// An outputFile is a file that a command was told to write. It has its name only
// once it is whole: until then it has none, or, where the filesystem wants one, a
// hidden one beside. Whoever made it calls commit, or else abandon.
type outputFile struct {
	*os.File
	path   string
	direct bool   // written where it is, see inPlace
	hidden string // the name beside; "" while it has none
}

// checkOutput tells whether createOutput could begin path, and what is there already; nil is nothing.
func checkOutput(path string) (os.FileInfo, error) {
	dir := filepath.Dir(filepath.Clean(path))
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("invalid output path: directory %q does not exist", dir)
	}
	switch fi, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case fi.Mode()&os.ModeDevice != 0:
		return nil, fmt.Errorf("invalid output path: %q must be a directory or a regular file: got a device", path)
	case fi.IsDir():
		return nil, fmt.Errorf("invalid output path: %q is a directory", path)
	default:
		return fi, nil
	}
}

// createOutput begins the file at path, for its owner only, as Docker does: an
// image may hold secrets. What is at path already keeps its mode when it is
// replaced. The errors are Docker's.
func createOutput(path string) (*outputFile, error) {
	fi, err := checkOutput(path)
	if err != nil {
		return nil, err
	}
	mode := os.FileMode(0o600)
	switch {
	case fi == nil:
	case inPlace(path, fi):
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &outputFile{File: f, path: path, direct: true}, err
	default:
		mode = fi.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, err
		}
	}
	dir := filepath.Dir(path)
	o := &outputFile{path: path}
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, mode)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // a filesystem without such files
		f, err = os.CreateTemp(dir, "."+filepath.Base(path)+".part-")
		if err == nil {
			o.hidden = f.Name()
		}
	}
	if err != nil {
		return nil, err
	}
	o.File = f
	if err := f.Chmod(mode); err != nil {
		o.abandon()
		return nil, err
	}
	return o, nil
}

// commit makes the file durable and gives it its name.
func (o *outputFile) commit() error {
	if o.direct {
		return o.Close()
	}
	err := o.Sync()
	if err == nil && o.hidden == "" {
		err = o.link(o.path)
		if errors.Is(err, os.ErrExist) {
			err = o.linkBeside() // a link can't replace, a rename can
		}
	}
	if err == nil && o.hidden != "" {
		err = os.Rename(o.hidden, o.path)
	}
	if err != nil {
		o.abandon()
		return err
	}
	return errors.Join(o.Close(), durable.SyncDir(filepath.Dir(o.path)))
}

// link gives the file, which has no name, one.
func (o *outputFile) link(name string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", o.Fd()), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

// linkBeside gives it the hidden name.
func (o *outputFile) linkBeside() error {
	name := fmt.Sprintf("%s/.%s.part-%d", filepath.Dir(o.path), filepath.Base(o.path), os.Getpid())
	err := o.link(name)
	if errors.Is(err, os.ErrExist) { // of a killed process with this ID
		if err = os.Remove(name); err == nil {
			err = o.link(name)
		}
	}
	if err == nil {
		o.hidden = name
	}
	return err
}

// abandon leaves nothing of the file.
func (o *outputFile) abandon() {
	if o.hidden != "" {
		os.Remove(o.hidden)
	}
	o.Close()
}
