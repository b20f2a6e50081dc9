package objects

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// tempPrefix begins the names of objects that are being made.
const tempPrefix = "new-"

// A Store is where objects are looked for.
type Store struct {
	Own  string   // the directory that objects are added to; empty: none are
	Dirs []string // directories that others keep
}

// lock keeps those who remove objects away until unlock is called.
func (s Store) lock(ctx context.Context) (unlock func(), err error) {
	if s.Own == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(s.Own, 0o755); err != nil {
		return nil, err
	}
	return tree.Group{Dir: s.Own}.Share(ctx)
}

// object is the path of the object with the content of the open file in, below one of the
// directories; empty if there is none, and none is to be made.
func (s Store) object(ctx context.Context, c *sys.Copier, in int, size int64) (string, error) {
	digest, err := Digest(content(in, size))
	if err != nil {
		return "", err
	}
	name := filepath.Join(digest[:2], digest[2:])
	dirs := s.Dirs
	if s.Own != "" {
		dirs = append([]string{s.Own}, dirs...)
	}
	for _, dir := range dirs {
		there, same, err := has(filepath.Join(dir, name), in, size)
		if same || err != nil {
			return "/" + name, err
		}
		if there { // the kernel would take that: it takes the first
			break
		}
	}
	if s.Own == "" {
		return "", nil
	}
	return "/" + name, s.add(ctx, c, name, in, size)
}

// add makes an object, or replaces one whose content a crash has damaged.
func (s Store) add(ctx context.Context, c *sys.Copier, name string, in int, size int64) error {
	at := filepath.Join(s.Own, name)
	if err := os.Mkdir(filepath.Dir(at), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var random [8]byte
	rand.Read(random[:])
	temp := filepath.Join(s.Own, tempPrefix+hex.EncodeToString(random[:]))
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = c.Copy(ctx, in, int(out.Fd()), size)
	if err == nil {
		err = sys.Again(func() error { return unix.Fchmod(int(out.Fd()), 0o644) }) // whatever the umask is
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(temp, at)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("object %s: %w", name, err), os.Remove(temp))
	}
	return nil
}

// has tells whether something is called name, and whether that is a regular file with the same
// content as the open file in.
func has(name string, in int, size int64) (there, same bool, err error) {
	fd, err := sys.Open(unix.AT_FDCWD, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) {
		return false, false, nil
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EACCES) {
		return true, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("open object %s: %w", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := sys.Again(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return false, false, fmt.Errorf("stat object %s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != size {
		return true, false, nil
	}
	same, err = equal(content(fd, size), content(in, size))
	return true, same, err
}

// equal tells whether two readers of as many bytes have the same.
func equal(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		for _, err := range []error{err, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if err != nil {
			return true, nil
		}
	}
}

// content reads an open file from its beginning.
func content(fd int, size int64) io.Reader { return io.NewSectionReader(reader(fd), 0, size) }

type reader int

func (r reader) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		var k int
		err := sys.Again(func() (err error) {
			k, err = unix.Pread(int(r), b[n:], off+int64(n))
			return err
		})
		if err != nil {
			return n, err
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}
