package layerpack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// Damage is one thing that is wrong with a packed layer or an index.
type Damage struct {
	File     string // the file that is damaged
	Path     string // the layer's entry that is hit, by the name that it has there; "" = none in particular
	Off, Len int64  // where in File, bytes: the entry's headers, data and padding; Len 0 = not known
	Reason   string
}

func (d Damage) String() string {
	s := d.File + ": "
	if d.Path != "" {
		s += fmt.Sprintf("%q: ", d.Path)
	}
	if d.Len > 0 {
		s += fmt.Sprintf("bytes %d to %d: ", d.Off, d.Off+d.Len)
	}
	return s + d.Reason
}

// maxNamed bounds the entries that Verify names of one layer.
const maxNamed = 1000

// Verify holds a packed layer against its diff ID, in one pass over the tar,
// and tells report of each damage: the tar's digest is what is trusted, the
// checksums of the table of contents name the entries that are hit, and a
// table of contents that isn't the tar's is damage too. Without damage report
// isn't called. The tar must come from its blob again, the table of contents
// is mended by [Restore].
//
// An error says that the layer could not be looked at, not that it is damaged.
func Verify(ctx context.Context, l cow.Layer, report func(Damage)) error {
	if err := checkDiffID(l); err != nil {
		return fmt.Errorf("verify layer: %w", err)
	}
	if err := verifyLayer(ctx, l, report); err != nil {
		return fmt.Errorf("verify layer %s: %w", l.DiffID, err)
	}
	return nil
}

func verifyLayer(ctx context.Context, l cow.Layer, report func(Damage)) error {
	raw, err := os.ReadFile(l.TOC())
	var bad error // what is wrong with the table of contents
	switch {
	case errors.Is(err, fs.ErrNotExist):
		bad = errors.New("it is missing")
	case err != nil:
		return err
	}
	t := toc{}
	if bad == nil {
		t, bad = parseTOC(raw)
	}
	if bad == nil {
		bad = t.each(func(*entry) error { return nil })
	}
	if bad != nil {
		raw = nil
	}
	f, err := os.Open(l.Tar())
	if errors.Is(err, fs.ErrNotExist) {
		report(Damage{File: l.Tar(), Reason: "it is missing"})
		reportTOC(l, bad, report)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sum, members, same := sha256.New(), newMemberSums(t), &comparer{want: bytes.NewReader(raw)}
	refused, err := scanTar(ctx, f, same, io.MultiWriter(sum, members))
	if err != nil {
		return err
	}
	if is := digest.NewDigest(digest.SHA256, sum); is != l.DiffID {
		size := members.pos
		if bad == nil {
			members.report(l.Tar(), report)
		}
		report(Damage{File: l.Tar(), Len: size, Reason: fmt.Sprintf("its digest is %s", is)})
	} else if refused != nil {
		report(Damage{File: l.Tar(), Reason: refused.Error()})
	} else if bad == nil && !same.equal() {
		bad = errors.New("it isn't that of the tar")
	}
	reportTOC(l, bad, report)
	return nil
}

func reportTOC(l cow.Layer, bad error, report func(Damage)) {
	if bad != nil {
		report(Damage{File: l.TOC(), Reason: bad.Error()})
	}
}

// memberSums holds a tar that is written to it against the checksums of a whole
// table of contents.
type memberSums struct {
	c      *tocCursor
	e      *entry // at hand; nil: what is behind the last
	pos    int64
	start  int64 // of the member at hand
	sum    uint32
	damage []Damage
	more   int // that were not kept
}

func newMemberSums(t toc) *memberSums {
	m := &memberSums{c: t.cursor()}
	m.e, _ = m.c.next()
	return m
}

func (m *memberSums) Write(p []byte) (int, error) {
	n := len(p)
	for m.e != nil && int64(len(p)) >= m.e.end-m.pos {
		k := m.e.end - m.pos
		m.took(p[:k])
		p = p[k:]
		m.next()
	}
	m.took(p)
	return n, nil
}

func (m *memberSums) took(p []byte) {
	m.sum = crc32.Update(m.sum, castagnoli, p)
	m.pos += int64(len(p))
}

// next compares the member that ended, and goes on.
func (m *memberSums) next() {
	if m.sum != m.e.sum {
		m.hit(m.e.name, min(m.e.end, m.c.tarSize), "damaged")
	}
	m.start, m.sum = m.e.end, 0
	m.e, _ = m.c.next()
}

func (m *memberSums) hit(path string, end int64, reason string) {
	if len(m.damage) == maxNamed {
		m.more++
		return
	}
	m.damage = append(m.damage, Damage{Path: path, Off: m.start, Len: end - m.start, Reason: reason})
}

// report tells of what is damaged in the tar, which has ended.
func (m *memberSums) report(file string, report func(Damage)) {
	for m.e != nil {
		if m.pos < m.c.tarSize {
			m.hit(m.e.name, min(m.e.end, m.c.tarSize), "cut off")
		} else if m.sum != m.e.sum { // its padding is missing
			m.hit(m.e.name, m.c.tarSize, "damaged")
		}
		m.start, m.sum = m.e.end, 0
		m.e, _ = m.c.next()
	}
	if m.pos == m.c.tarSize && m.start < m.pos && m.sum != m.c.endSum {
		m.hit("", m.pos, "damaged behind the last entry")
	}
	for _, d := range m.damage {
		d.File = file
		report(d)
	}
	if m.more > 0 {
		report(Damage{File: file, Reason: fmt.Sprintf("%d more entries are damaged", m.more)})
	}
	if m.pos != m.c.tarSize {
		report(Damage{File: file, Reason: fmt.Sprintf("it has %d bytes instead of %d", m.pos, m.c.tarSize)})
	}
}

// comparer tells whether what is written to it is what want reads.
type comparer struct {
	want   io.Reader
	differ bool
	buf    []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if c.buf == nil {
		c.buf = make([]byte, 256<<10)
	}
	for rest := p; len(rest) > 0 && !c.differ; {
		n, err := io.ReadFull(c.want, c.buf[:min(len(rest), len(c.buf))])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		c.differ = err != nil || !bytes.Equal(c.buf[:n], rest[:n])
		rest = rest[n:]
	}
	return len(p), nil
}

// equal tells, at the end, whether all was the same.
func (c *comparer) equal() bool {
	if c.differ {
		return false
	}
	n, err := io.ReadFull(c.want, make([]byte, 1))
	return n == 0 && err == io.EOF
}

// VerifyIndex holds the merged index of a chain against what its layers'
// tables of contents give now, and tells report of damage: it must be what
// [BuildIndex] makes of them, byte for byte, which it is mended by. The layers
// themselves are [Verify]'s.
//
// An error says that the index could not be compared; ErrCorrupt or
// fs.ErrNotExist, that a table of contents is not usable.
func VerifyIndex(ctx context.Context, c cow.Chain, report func(Damage)) error {
	f, err := os.Open(c.Index)
	if errors.Is(err, fs.ErrNotExist) {
		report(Damage{File: c.Index, Reason: "it is missing"})
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify index: %w", err)
	}
	defer f.Close()
	same := &comparer{want: f}
	if err := writeIndex(ctx, same, c.Layers); err != nil {
		return fmt.Errorf("verify index: %w", err)
	}
	if !same.equal() {
		report(Damage{File: c.Index, Reason: "it isn't that of its layers"})
	}
	return nil
}
