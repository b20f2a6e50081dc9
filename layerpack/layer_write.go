package layerpack

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// WriteOptions says how [WriteLayer] and [Squash] write. The zero value writes
// a plain tar.
type WriteOptions struct {
	Compression Compression
	// Epoch, when not nil, is written in place of every time later than it
	// (reproducible-builds.org, "SOURCE_DATE_EPOCH").
	Epoch *time.Time
	// DirTimes writes the times that directories have now. Without it one that
	// the base has too keeps the base's: its time says when a name in it was made
	// or removed last, and nothing else would depend on when, and in what order, a
	// change was made.
	DirTimes bool
	// Below are the layers, bottom first, that the result of [Squash] will lie
	// on; it then says how to come from them to all of the layers. WriteLayer has
	// no use for it.
	Below []cow.Layer
	// Note is told what is left out, and why; may be nil.
	Note func(path, what string)
}

// Written is what was written.
type Written struct {
	Blob, DiffID      digest.Digest // of the compressed bytes, of the tar
	BlobSize, TarSize int64         // bytes
	Entries           int           // members of the tar
}

// WriteLayer writes changes as an OCI layer (OCI image spec, layer.md). They
// come in the order of [cow.Driver.Diff]; the path "/" is the root.
//
// What is there is written in full, what is gone as a whiteout of its name, as
// the spec says layers should be generated: no opaque directories. Whatever a
// layer can't hold is left out, and noted: sockets, and names that would read
// as whiteouts. What the base has at the place of a socket is gone.
//
// The same entries give the same bytes, on any host. Of a file that has a hole of
// 128 KiB, at a multiple of that, those pages of 4096 bytes are holes in the tar that
// hold nothing but zeros, wherever the filesystem has its own; one without is
// written in full.
//
// Nothing is read twice, but for files with holes, and nothing is kept: w gets
// the layer in one pass. An error means that what it got is worthless.
func WriteLayer(ctx context.Context, w io.Writer, changes iter.Seq2[cow.Entry, error], o WriteOptions) (Written, error) {
	s, err := newSink(w, o.Compression)
	if err != nil {
		return Written{}, fmt.Errorf("write layer: %w", err)
	}
	l := layerWriter{ctx: ctx, o: o, s: s, first: map[uint64]string{}}
	for e, err2 := range changes {
		if err = err2; err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			if err = l.entry(&e); err != nil {
				err = fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = s.write(make([]byte, 2*blockSize))
	}
	written, err := s.finish(err)
	if err != nil {
		return Written{}, fmt.Errorf("write layer: %w", err)
	}
	written.Entries = l.entries
	return written, nil
}

type layerWriter struct {
	ctx     context.Context
	o       WriteOptions
	s       *sink
	first   map[uint64]string // the name under which a file with several was written
	entries int
	head    []byte
}

func (l *layerWriter) note(path, what string) {
	if l.o.Note != nil {
		l.o.Note(path, what)
	}
}

// entry writes one change.
func (l *layerWriter) entry(e *cow.Entry) error {
	if strings.Contains(e.Path, "/"+whiteout.Prefix) {
		l.note(e.Path, "its name means a deletion in a layer: left out")
		return nil
	}
	if e.Kind == cow.Deleted {
		return l.gone(e.Path)
	}
	typ := tarType(e.Attr.Mode)
	if typ == 0 {
		what := "of a type that layers don't have: left out"
		if e.Attr.Mode&unix.S_IFMT == unix.S_IFSOCK {
			what = "a socket: left out"
		}
		l.note(e.Path, what)
		if e.Kind == cow.Changed {
			return l.gone(e.Path)
		}
		return nil
	}
	m := member{
		typ: typ, name: strings.TrimPrefix(e.Path, "/"), target: e.Target, mode: e.Attr.Mode & 07777, uid: e.Attr.UID, gid: e.Attr.GID,
		xattrs: e.Xattrs,
	}
	m.mtime, m.nsec = l.time(e)
	switch typ {
	case '5':
		m.name += "/"
		if e.Path == "/" {
			m.name = "./"
		}
	case '2':
		m.mode = 0o777 // symlink(7)
	case '3', '4':
		m.major, m.minor = unix.Major(e.Attr.Rdev), unix.Minor(e.Attr.Rdev)
	}
	if e.Inode != 0 {
		if first, ok := l.first[e.Inode]; ok {
			m.typ, m.target, m.xattrs, m.major, m.minor = '1', first, nil, 0, 0
			return l.member(&m, nil)
		}
		l.first[e.Inode] = m.name
	}
	if typ != '0' {
		return l.member(&m, nil)
	}
	if m.size = e.Attr.Size; m.size == 0 {
		return l.member(&m, nil)
	}
	data, err := e.Open()
	if err != nil {
		return err
	}
	defer data.Close()
	return l.member(&m, data)
}

// time is the time that is written for e.
func (l *layerWriter) time(e *cow.Entry) (sec int64, nsec uint32) {
	a := &e.Attr
	if e.Attr.IsDir() && e.Kind == cow.Changed && e.Before.IsDir() && !l.o.DirTimes {
		a = &e.Before
	}
	sec, nsec = a.Mtime, a.MtimeNsec
	if t := l.o.Epoch; t != nil && (sec > t.Unix() || sec == t.Unix() && int(nsec) > t.Nanosecond()) {
		sec, nsec = t.Unix(), uint32(t.Nanosecond())
	}
	return sec, nsec
}

// gone writes the whiteout of p, a member without any attributes.
func (l *layerWriter) gone(p string) error {
	name, err := whiteout.Name(path.Base(p))
	if err != nil {
		return err
	}
	return l.member(&member{typ: '0', name: path.Join(strings.TrimPrefix(path.Dir(p), "/"), name)}, nil)
}

// member writes m, with data, whose holes it looks for.
func (l *layerWriter) member(m *member, data cow.Data) error {
	l.entries++
	runs := []cow.Extent{{Off: 0, Len: m.size}}
	if data == nil {
		runs = nil
	} else if m.size >= widest {
		found, err := l.holes(data, m.size)
		if err != nil {
			return err
		}
		if found != nil {
			runs, m.sparse, m.holes = found, found, true
		}
	}
	head, stored, err := m.append(l.head[:0])
	l.head = head
	if err == nil {
		err = l.s.write(head)
	}
	if err != nil {
		return err
	}
	for _, r := range runs {
		if err := l.copy(data, r); err != nil {
			return err
		}
	}
	return l.s.write(padding[:padded(stored)-stored])
}

var padding [blockSize]byte

// copy writes a run of a file's bytes.
func (l *layerWriter) copy(data cow.Data, r cow.Extent) error {
	for off, end := r.Off, r.Off+r.Len; off < end; {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		room, err := l.s.room()
		if err != nil {
			return err
		}
		room = room[:min(int64(len(room)), end-off)]
		if err := readWhole(data, room, off); err != nil {
			return err
		}
		l.s.filled(len(room))
		off += int64(len(room))
	}
	return nil
}

// readWhole reads all of b.
func readWhole(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return fmt.Errorf("it became shorter while it was read: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read at %d: %w", off, err)
}
