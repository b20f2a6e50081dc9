package layerpack

import (
	"context"
	"fmt"
	"io"
	"math/bits"
)

// A file is chunks of one size, each of which lies in its layer's tar, or is a
// hole. A file in one piece is one chunk. Some chunks can be neither: those of
// a sparse file in which data and hole meet within a block of 512 bytes, or
// whose data doesn't begin at such a block of the tar, and the end of a tar that
// is no whole block, which the kernel doesn't read. Programs that look for holes
// by blocks of the filesystem, and pad their archives, write none, but the
// formats allow it. Such chunks are composed: copied, holes and all, into the
// index itself, its device 0, so that whoever has the index and the tars has all
// of every file.

const (
	// maxChunkIndexes bounds the chunk indexes of an image: only sparse files
	// need more than one a TiB, and a hostile one could ask for billions.
	maxChunkIndexes = 1 << 24
	// fileChunks is how many a sparse file gets at most; beyond them its chunks
	// are larger than its pieces, which are composed.
	fileChunks = 1 << 22
	// Composed chunks together may be so many bytes, and so many times the
	// bytes that their files have in their tars.
	composedFloor = 64 << 20
	maxComposed   = 8
	// tailChunks is log2 of how many chunks there are of a file whose last one
	// must be composed.
	tailChunks = 16
)

// chunk chooses the size of a file's chunks: the largest that every change
// between data and hole is a multiple of, if it is one of a block.
func (im *image) chunk(p *place) {
	p.chunkBits = max(im.bits, bits.Len64(uint64(p.size-1)))
	sparse := p.ext != nil && p.ext.holes
	if sparse {
		for at := range breaks(p.ext.sparse, p.size) {
			p.chunkBits = min(p.chunkBits, bits.TrailingZeros64(uint64(at)))
		}
	}
	even := p.chunkBits >= im.bits && im.bits == blockBits
	if runs := p.dataRuns(); len(runs) > 0 {
		if last := runs[len(runs)-1]; !im.whole(p, last.tar, last.len) {
			p.chunkBits = min(p.chunkBits, bits.Len64(uint64(p.size-1))-tailChunks)
			even = false
		}
	}
	most := im.bits + chunkBitsMask
	p.chunkBits = max(im.bits, min(p.chunkBits, most))
	for sparse && (p.size-1)>>p.chunkBits >= fileChunks && p.chunkBits < most {
		p.chunkBits++
		even = false
	}
	p.chunks = (p.size-1)>>p.chunkBits + 1
	if even {
		return
	}
	for c := range im.eachChunk(p) {
		if c.tar == composed {
			p.composed += im.blocksOf(c)
		}
	}
}

// whole tells whether the blocks of n bytes at off lie in p's tar to their end.
func (im *image) whole(p *place, off, n int64) bool {
	return im.count(uint64(off+n))<<im.bits <= uint64(im.layers[p.layer].size)
}

func (im *image) blocksOf(c fileChunk) int64 { return int64(im.count(uint64(c.till - c.from))) }

// breaks are the offsets within a sparse file at which data begins or ends.
func breaks(runs []run, size int64) func(func(int64) bool) {
	return func(yield func(int64) bool) {
		for i, r := range runs {
			if r.off > 0 && (i == 0 || runs[i-1].off+runs[i-1].len != r.off) && !yield(r.off) {
				return
			}
			end := r.off + r.len
			if end < size && (i+1 == len(runs) || runs[i+1].off != end) && !yield(end) {
				return
			}
		}
	}
}

// A fileChunk is one of a file.
type fileChunk struct {
	from, till int64 // in the file
	tar        int64 // where it lies in the tar; or hole, or composed
	runs       []run // the data in it, which may reach beyond
}

const (
	hole     = -1
	composed = -2
)

// eachChunk goes through the chunks of a file.
func (im *image) eachChunk(p *place) func(func(fileChunk) bool) {
	runs := p.dataRuns()
	return func(yield func(fileChunk) bool) {
		first := 0
		for k := range p.chunks {
			c := fileChunk{from: k << p.chunkBits, tar: hole}
			if c.till = c.from + 1<<p.chunkBits; c.till < 0 || c.till > p.size {
				c.till = p.size
			}
			for first < len(runs) && runs[first].off+runs[first].len <= c.from {
				first++
			}
			last := first
			full := c.from // data without a hole up to here
			for ; last < len(runs) && runs[last].off < c.till; last++ {
				if runs[last].off <= full {
					full = runs[last].off + runs[last].len
				}
			}
			if c.runs = runs[first:last]; last > first {
				// Neighbours in the file are neighbours in the tar.
				c.tar = c.runs[0].tar + c.from - c.runs[0].off
				if full < c.till || c.tar%int64(im.block()) != 0 || !im.whole(p, c.tar, c.till-c.from) {
					c.tar = composed
				}
			}
			if !yield(c) {
				return
			}
		}
	}
}

// compose notes that p has chunks to compose.
func (im *image) compose(p *place) error {
	for _, r := range p.dataRuns() {
		im.storedBytes += r.len
	}
	im.composedBlocks += p.composed
	if im.composedBlocks > (composedFloor+maxComposed*im.storedBytes)>>im.bits {
		return fmt.Errorf("%w: sparse files in too many pieces that lie on no block", ErrBomb)
	}
	im.composed = append(im.composed, int32(len(im.places)))
	return nil
}

// appendChunks appends the chunk indexes of a file to b.
func (im *image) appendChunks(p *place, b []byte) []byte {
	next := p.block
	for c := range im.eachChunk(p) {
		var index [chunkIndexSize]byte
		le.PutUint32(index[4:], nullBlock)
		switch c.tar {
		case hole:
		case composed:
			le.PutUint32(index[4:], next)
			next += uint32(im.blocksOf(c))
		default:
			le.PutUint16(index[2:], uint16(p.layer+1))
			le.PutUint32(index[4:], uint32(c.tar>>im.bits))
		}
		b = append(b, index[:]...)
	}
	return b
}

// composed writes the composed chunks of a file.
func (w *imageWriter) composed(ctx context.Context, p *place, tar io.ReaderAt) {
	for c := range w.im.eachChunk(p) {
		if c.tar != composed {
			continue
		}
		base := w.at - uint64(c.from)
		for _, r := range c.runs {
			from, till := max(r.off, c.from), min(r.off+r.len, c.till)
			w.pad(base + uint64(from))
			w.copy(ctx, io.NewSectionReader(tar, r.tar+from-r.off, till-from))
		}
		w.pad(align(base+uint64(c.till), w.im.block()))
	}
}

// copy writes all of r.
func (w *imageWriter) copy(ctx context.Context, r *io.SectionReader) {
	if w.data == nil {
		w.data = make([]byte, 256<<10)
	}
	for left := r.Size(); left > 0 && w.err == nil; {
		if ctx.Err() != nil {
			w.err = context.Cause(ctx)
			return
		}
		n, err := r.Read(w.data)
		if n == 0 {
			w.err = fmt.Errorf("%w: a tar is too short: %w", ErrCorrupt, err)
			return
		}
		w.bytes(w.data[:n])
		left -= int64(n)
	}
}
