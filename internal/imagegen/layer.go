package imagegen

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// xattrRecord is what PAX puts before the name of an extended attribute.
const xattrRecord = "SCHILY.xattr."

// An Entry is one tar entry. Header.Size is set from Content when written.
type Entry struct {
	tar.Header
	Content []byte
}

// A Layer is the entries of one changeset, in tar order.
type Layer []Entry

// WriteTo writes the layer as a PAX tar.
func (l Layer) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	t := tar.NewWriter(c)
	for _, e := range l {
		h := e.Header
		h.Format = tar.FormatPAX
		h.Size = int64(len(e.Content))
		if err := t.WriteHeader(&h); err != nil {
			return c.n, fmt.Errorf("write entry %q: %w", h.Name, err)
		}
		if _, err := t.Write(e.Content); err != nil {
			return c.n, fmt.Errorf("write entry %q: %w", h.Name, err)
		}
	}
	err := t.Close()
	return c.n, err
}

// Tar is the layer's bytes. It panics on an entry that no tar can hold: layers
// are made by programs, and that is a fault of the program.
func (l Layer) Tar() []byte {
	var b bytes.Buffer
	if _, err := l.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// epoch is the time of entries that don't choose one.
var epoch = time.Unix(1700000000, 0)

// An Option changes an entry that one of the constructors makes.
type Option func(*Entry)

// Owner sets uid and gid.
func Owner(uid, gid int) Option { return func(e *Entry) { e.Uid, e.Gid = uid, gid } }

// Mode sets the permission bits, with setuid, setgid and sticky.
func Mode(m int64) Option { return func(e *Entry) { e.Header.Mode = m } }

// Time sets the modification time; nsec as it is to be read back.
func Time(sec, nsec int64) Option { return func(e *Entry) { e.ModTime = time.Unix(sec, nsec) } }

// Xattr adds an extended attribute.
func Xattr(name, value string) Option {
	return func(e *Entry) {
		if e.PAXRecords == nil {
			e.PAXRecords = map[string]string{}
		}
		e.PAXRecords[xattrRecord+name] = value
	}
}

func entry(typ byte, name string, mode int64, opts []Option) Entry {
	e := Entry{Header: tar.Header{Typeflag: typ, Name: name, Mode: mode, ModTime: epoch}}
	for _, o := range opts {
		o(&e)
	}
	return e
}

// File is a regular file.
func File(name, content string, opts ...Option) Entry {
	e := entry(tar.TypeReg, name, 0o644, opts)
	e.Content = []byte(content)
	return e
}

// Dir is a directory.
func Dir(name string, opts ...Option) Entry {
	return entry(tar.TypeDir, name+"/", 0o755, opts)
}

// Symlink is a symbolic link to target.
func Symlink(name, target string, opts ...Option) Entry {
	e := entry(tar.TypeSymlink, name, 0o777, opts)
	e.Linkname = target
	return e
}

// Link is one more name of the file at target, a path of the image.
func Link(name, target string, opts ...Option) Entry {
	e := entry(tar.TypeLink, name, 0o644, opts)
	e.Linkname = target
	return e
}

// Fifo is a named pipe.
func Fifo(name string, opts ...Option) Entry { return entry(tar.TypeFifo, name, 0o600, opts) }

// Device is a character or block device: typ is tar.TypeChar or tar.TypeBlock.
func Device(name string, typ byte, major, minor int64, opts ...Option) Entry {
	e := entry(typ, name, 0o600, opts)
	e.Devmajor, e.Devminor = major, minor
	return e
}

// Whiteout deletes what the layers below have at dir/name.
func Whiteout(dir, name string) Entry { return File(join(dir, ".wh."+name), "") }

// Opaque deletes all that the layers below have inside dir.
func Opaque(dir string) Entry { return File(join(dir, ".wh..wh..opq"), "") }

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// noise is n bytes that don't compress, the same for the same seed, with a run
// of zeros in every other 8 KiB so that holes would be noticed.
func noise(seed uint64, n int) string {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), 1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	for at := 8 << 10; at+8<<10 <= n; at += 16 << 10 {
		clear(b[at : at+8<<10])
	}
	return string(b)
}
