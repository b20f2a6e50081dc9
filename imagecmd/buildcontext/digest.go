package buildcontext

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
)

type sum = [sha256.Size]byte

// digestVersion begins what is hashed. Another one makes all keys of caches others.
const digestVersion = "cfs copy 1"

// Digest is that of what is selected, and of how it is to be called, owned and
// allowed, as far as the instruction says so itself: of --chown's names, not of the
// numbers that they get of the lower tree. Dest is not in it.
func (s *Selection) Digest(ctx context.Context) (digest.Digest, error) {
	if err := s.sums(ctx); err != nil {
		return "", err
	}
	r := recorder{h: sha256.New(), links: map[linkOf]uint64{}, chmod: s.chmod, chown: s.c.Chown != ""}
	r.text(digestVersion, s.c.Chown, s.c.Chmod)
	for _, i := range s.items {
		switch {
		case i.root == nil:
			r.text("fetched", i.name, i.known)
		case i.root.isDir():
			// Of the directory itself nothing is copied.
			r.text("directory")
			r.kids(i.root)
		case i.unpack:
			r.text(append([]string{"unpacked"}, s.c.Exclude...)...)
			r.node(i.root, i.name)
		default:
			r.text("file")
			r.node(i.root, i.name)
		}
	}
	return digest.NewDigest(digest.SHA256, r.h), nil
}

// recorder writes to a hash what is to be copied. Every field says its length, so that no
// two selections are written the same.
type recorder struct {
	h     hash.Hash
	links map[linkOf]uint64
	chmod chmod
	chown bool
	buf   []byte
}

// linkOf names a hard-linked file of a source.
type linkOf struct {
	src *Source
	key fileKey
}

func (r *recorder) text(fields ...string) {
	r.buf = binary.AppendUvarint(r.buf[:0], uint64(len(fields)))
	for _, f := range fields {
		r.buf = binary.AppendUvarint(r.buf, uint64(len(f)))
		r.buf = append(r.buf, f...)
	}
	r.h.Write(r.buf)
}

func (r *recorder) node(n *node, name string) {
	var link uint64
	if n.link != (fileKey{}) {
		k := linkOf{n.src, n.link}
		if link = r.links[k]; link == 0 {
			link = uint64(len(r.links) + 1)
			r.links[k] = link
		}
	}
	uid, gid := n.attr.UID, n.attr.GID
	if r.chown {
		uid, gid = 0, 0
	}
	b := binary.AppendUvarint(r.buf[:0], uint64(len(name)))
	b = append(b, name...)
	pass := uint32(0)
	if n.pass {
		pass = 1
	}
	for _, v := range []uint32{pass, r.chmod.apply(n.attr.Mode), uid, gid} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, v := range []uint64{n.attr.Rdev, link, uint64(len(n.kids))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	r.buf = append(b, n.sum[:]...)
	r.h.Write(r.buf)
	for _, k := range n.kids {
		r.node(k, k.name)
	}
}

func (r *recorder) kids(n *node) {
	r.buf = binary.LittleEndian.AppendUint64(r.buf[:0], uint64(len(n.kids)))
	r.h.Write(r.buf)
	for _, k := range n.kids {
		r.node(k, k.name)
	}
}

// sums makes the sum of every node known: what is not remembered is read, several
// files at once.
func (s *Selection) sums(ctx context.Context) error {
	var unknown []*node
	var visit func(n *node)
	visit = func(n *node) {
		if !n.summed && !s.recall(n) {
			unknown = append(unknown, n)
		}
		for _, k := range n.kids {
			visit(k)
		}
	}
	for _, i := range s.items {
		if i.root != nil {
			visit(i.root)
		}
	}
	workers := runtime.GOMAXPROCS(0)
	order := parallel.LargestFirst(len(unknown), func(i int) int64 { return unknown[i].attr.Size })
	buffers := sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}
	return parallel.Do(ctx, workers, len(order), func(ctx context.Context, i int) error {
		n := unknown[order[i]]
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		if err := s.sum(ctx, n, *buf); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimPrefix(n.path, "/"), err)
		}
		return nil
	})
}

// recall takes what is remembered of n.
func (s *Selection) recall(n *node) bool {
	if s.o.Digests == nil {
		return false
	}
	n.sum, n.plain, n.summed = s.o.Digests.recall(n.src.id, &n.object)
	return n.summed
}

// sum reads n and remembers what its sum is.
func (s *Selection) sum(ctx context.Context, n *node, buf []byte) error {
	const tries = 3
	for try := 1; ; try++ {
		began := time.Now()
		err := n.read(ctx, buf)
		if err != nil {
			return err
		}
		now, ok, err := n.src.tree.stat(n.path)
		if err != nil {
			return err
		}
		now = n.src.owned(now)
		if ok && now.same(&n.object) {
			n.summed = true
			if s.o.Digests != nil {
				s.o.Digests.remember(n.src.id, &n.object, n.sum, n.plain, began)
			}
			return nil
		}
		if !ok || now.attr.Mode != n.attr.Mode || try == tries {
			return errChanged
		}
		n.object = now
	}
}

var errChanged = errors.New("it was changed while it was read")

// read makes n's sum. Of a file without extended attributes it is that of its content.
func (n *node) read(ctx context.Context, buf []byte) error {
	h := sha256.New()
	switch {
	case n.isFile():
		if err := n.hash(ctx, h, buf); err != nil {
			return err
		}
	case n.isLink():
		target, err := n.src.tree.readlink(n.path)
		if err != nil {
			return err
		}
		io.WriteString(h, target)
	}
	xattrs, err := n.src.tree.xattrs(n.path)
	if err != nil {
		return err
	}
	n.plain = len(xattrs) == 0
	if !n.plain {
		content := h.Sum(nil)
		h.Reset()
		r := recorder{h: h}
		r.text("xattrs", string(content))
		for _, name := range slices.Sorted(maps.Keys(xattrs)) {
			r.text(name, xattrs[name])
		}
	}
	h.Sum(n.sum[:0])
	return nil
}

// hash writes the content of the file to h.
func (n *node) hash(ctx context.Context, h hash.Hash, buf []byte) error {
	d, err := n.open()
	if err != nil {
		return err
	}
	defer d.Close()
	for off := int64(0); off < n.attr.Size; off += int64(len(buf)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := buf[:min(int64(len(buf)), n.attr.Size-off)]
		if err := readFull(d, b, off); err != nil {
			return err
		}
		h.Write(b)
	}
	return nil
}

// readFull reads all of b.
func readFull(d cow.Data, b []byte, off int64) error {
	n, err := d.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return errChanged
	}
	return err
}
