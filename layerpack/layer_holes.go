package layerpack

import (
	"bytes"
	"context"

	"github.com/cfs-project/cfs/cow"
)

// holeUnit is the unit of holes in the tars that are written, in bytes: the finest that
// filesystems under upper directories have for theirs, so that those are found whatever made the
// file.
const holeUnit = 4096

// widest is the coarsest unit that they have, in bytes: a record of ZFS, which is written as a
// whole if anything in it is. A hole counts where it has one such unit, at a multiple of its size:
// all filesystems have a hole there then. It is also where a hole begins to be worth a member that not all
// can read.
const widest = 128 << 10

var zeroUnit [holeUnit]byte

// holes tells where a file of size bytes has data, in runs of whole units; nil
// if it has no holes that count. The filesystem's are only the reason to look: a
// unit of zeros is one, whether it was written or not.
func (l *layerWriter) holes(data cow.Data, size int64) ([]cow.Extent, error) {
	es, err := data.Extents()
	if err != nil {
		return nil, err
	}
	if !wide(es, size) {
		return nil, nil
	}
	runs := []cow.Extent{}
	buf := make([]byte, 64*holeUnit)
	for at := int64(0); len(es) > 0; {
		from := max(at, es[0].Off&^(holeUnit-1))
		end := min((es[0].Off+es[0].Len+holeUnit-1)&^(holeUnit-1), size)
		if es = es[1:]; from >= end {
			continue
		}
		at = end
		for off := from; off < end; off += int64(len(buf)) {
			if l.ctx.Err() != nil {
				return nil, context.Cause(l.ctx)
			}
			b := buf[:min(int64(len(buf)), end-off)]
			if err := readWhole(data, b, off); err != nil {
				return nil, err
			}
			for i := 0; i < len(b); i += holeUnit {
				unit := b[i:min(len(b), i+holeUnit)]
				if bytes.Equal(unit, zeroUnit[:len(unit)]) {
					continue
				}
				runs = addRun(runs, off+int64(i), int64(len(unit)))
			}
		}
	}
	return fewer(runs), nil
}

// wide tells whether a file of size bytes, which has data in es, has a hole that counts.
func wide(es []cow.Extent, size int64) bool {
	at := int64(0) // where data ended last
	for i := range len(es) + 1 {
		next := size
		if i < len(es) {
			next = min(es[i].Off, size)
		}
		if (at+widest-1)/widest*widest+widest <= next {
			return true
		}
		if i < len(es) {
			at = es[i].Off + es[i].Len
		}
	}
	return false
}

// addRun adds n bytes at off, behind or at the end of the last run.
func addRun(runs []cow.Extent, off, n int64) []cow.Extent {
	if k := len(runs); k > 0 && runs[k-1].Off+runs[k-1].Len == off {
		runs[k-1].Len += n
		return runs
	}
	return append(runs, cow.Extent{Off: off, Len: n})
}

// fewer fills the smallest holes until there are no more runs than a reader
// takes.
func fewer(runs []cow.Extent) []cow.Extent {
	for least := int64(2 * holeUnit); len(runs) > maxRuns-1; least *= 2 {
		kept := runs[:1]
		for _, r := range runs[1:] {
			last := &kept[len(kept)-1]
			if end := last.Off + last.Len; r.Off-end < least {
				last.Len = r.Off + r.Len - last.Off
			} else {
				kept = append(kept, r)
			}
		}
		runs = kept
	}
	return runs
}
