package layerpack

import (
	"bytes"
	"context"

	"github.com/cfs-project/cfs/cow"
)

// holeUnit is the unit of holes in the tars that are written, in bytes: what the
// filesystems under upper directories have for theirs, so that those are found
// whatever made the file.
const holeUnit = 4096

var zeroUnit [holeUnit]byte

// holes tells where a file of size bytes has data, in runs of whole units; nil
// if it has no holes. The filesystem's holes are only the reason to look: a
// unit of zeros is one, whether it was written or not.
func (l *layerWriter) holes(data cow.Data, size int64) ([]cow.Extent, error) {
	es, err := data.Extents()
	if err != nil {
		return nil, err
	}
	if len(es) == 1 && es[0].Off == 0 && es[0].Len >= size {
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
	runs = fewer(runs)
	if len(runs) == 1 && runs[0].Len == size {
		return nil, nil
	}
	return runs, nil
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
