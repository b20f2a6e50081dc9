package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// CopyOptions is what `cfs cp` was asked for.
type CopyOptions struct {
	From, To   string // CONTAINER:PATH, a path of the host, or "-", a tar
	Archive    bool   // keep owners
	FollowLink bool   // copy what a symlink at the end of From leads to
	Quiet      bool
}

// A cpArg is one of the two, taken apart.
type cpArg struct{ container, path string }

// parseCopyArg is Docker's: what begins like a path is one, though it has a colon.
func parseCopyArg(arg string) cpArg {
	name, rest, ok := strings.Cut(arg, ":")
	if filepath.IsAbs(arg) || !ok || strings.HasPrefix(name, ".") {
		return cpArg{path: arg}
	}
	return cpArg{name, rest}
}

// Copy copies files between a container, which may be running, and the host, by
// Docker's rules. in and out are what "-" stands for, and talk is told how much it was.
func Copy(ctx context.Context, st *store.Store, o CopyOptions, in io.Reader, out, talk io.Writer) error {
	from, to := parseCopyArg(o.From), parseCopyArg(o.To)
	switch {
	case o.From == "":
		return errors.New("source can not be empty")
	case o.To == "":
		return errors.New("destination can not be empty")
	case from.container != "" && to.container != "":
		return errors.New("copying between containers is not supported")
	case from.container == "" && to.container == "":
		return errors.New("must specify at least one container source")
	case from.container != "" && from.path == "":
		return errors.New("source can not be empty")
	case to.container != "" && to.path == "":
		return errors.New("destination can not be empty")
	}
	name, inside := from.container, from.path
	if to.container != "" {
		name, inside = to.container, to.path
	}
	s, err := openCopySide(ctx, st, name)
	if errors.Is(err, ErrNoContainer) {
		return sentencef(err, "No such container:path: %s:%s", name, inside)
	}
	if err != nil {
		return err
	}
	c := &copying{copySide: s, o: o, in: in, out: out}
	if from.container != "" {
		err = c.fetch(from.path, to.path)
		to.path = o.To
	} else {
		err = c.bring(from.path, to.path)
		to.path = name + ":" + to.path
	}
	if err = errors.Join(err, s.close()); err != nil {
		return err
	}
	if !o.Quiet && o.To != "-" {
		fmt.Fprintf(talk, "Successfully copied %s to %s\n", units.HumanSizeWithPrecision(float64(c.size), 3), to.path)
	}
	return nil
}

// copying is one Copy.
type copying struct {
	*copySide
	o    CopyOptions
	in   io.Reader
	out  io.Writer
	size int64 // bytes of the tar
}

// hostRoot is the host's root directory.
func hostRoot() (*os.File, error) { return os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0) }

// hostPath is absolute, with what a person has said by its end.
func hostPath(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	switch {
	case strings.HasSuffix(name, "/.") || name == ".":
		abs += "/."
	case strings.HasSuffix(name, "/"):
		abs += "/"
	}
	return abs, nil
}

// fetch copies from the container.
func (c *copying) fetch(from, to string) error {
	req := copyRequest{Op: copyStat, Path: from, Follow: c.o.FollowLink}
	object, err := c.do(req, nil, nil)
	if err != nil {
		return err
	}
	read := func(r *os.File) error {
		n, err := io.Copy(c.out, r)
		c.size = n
		return err
	}
	if to != "-" {
		u, done, err := c.hostPlace(to, object)
		if err != nil {
			return err
		}
		defer done()
		read = func(r *os.File) error {
			counted := &countingReader{r: r}
			err := u.unpack(counted)
			c.size = counted.n
			return err
		}
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	req.Op = copyPack
	_, err = c.do(req, theirs, func() error {
		defer ours.Close()
		return read(ours)
	})
	return err
}

// hostPlace is where on the host an object of a container goes.
func (c *copying) hostPlace(to string, object cpObject) (u *unpacking, done func(), err error) {
	at, err := hostPath(to)
	if err != nil {
		return nil, nil, err
	}
	root, err := hostRoot()
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	if fi, err := os.Stat(at); err == nil && fi.Mode()&os.ModeDevice != 0 {
		return nil, nil, fmt.Errorf("invalid output path: %q must be a directory or a regular file: got a device", to)
	}
	u = &unpacking{top: object.Name, owner: ownerHere}
	if c.o.Archive {
		u.owner = ownerSource
	}
	u.place, err = place(rootedAt(root.Fd()), at, object)
	if errors.Is(err, errNoPlace) {
		err = fmt.Errorf("invalid output path: directory %q does not exist", filepath.Dir(filepath.Clean(to)))
	}
	return u, func() { u.place.dir.Close() }, err
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// bring copies to the container.
func (c *copying) bring(from, to string) error {
	req := copyRequest{Op: copyUnpack, Path: to, Owner: ownerRoot}
	var write func(w io.Writer) error
	if from == "-" {
		req.Personal, req.Owner = true, ownerSource
		write = func(w io.Writer) error {
			_, err := io.Copy(w, c.in)
			return err
		}
	} else {
		at, err := hostPath(from)
		if err != nil {
			return err
		}
		root, err := hostRoot()
		if err != nil {
			return err
		}
		defer root.Close()
		f, object, err := lookAt(rootedAt(root.Fd()), at, c.o.FollowLink)
		if err != nil {
			return &os.PathError{Op: "lstat", Path: filepath.Clean(at), Err: errors.Unwrap(err)}
		}
		f.Close()
		req.Source = object
		if c.o.Archive {
			req.Owner = ownerSource
		}
		write = func(w io.Writer) error { return pack(w, rootedAt(root.Fd()), at, c.o.FollowLink, false) }
	}
	if c.readOnly(to) {
		return errors.New("container rootfs is marked read-only")
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	_, err = c.do(req, theirs, func() error {
		defer ours.Close()
		counted := &countingWriter{w: ours}
		err := write(counted)
		c.size = counted.n
		return err
	})
	return err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// readOnly tells whether a path lies in a root that can't be written to, and in nothing
// that is mounted there.
func (c *copying) readOnly(name string) bool {
	if !c.c.Options.ReadOnly {
		return false
	}
	name = filepath.Clean("/" + name)
	for _, m := range c.c.Options.Mounts {
		if name == m.Target || strings.HasPrefix(name, m.Target+"/") {
			return false
		}
	}
	return true
}
