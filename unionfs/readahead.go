package unionfs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// aheadWindow is how far beyond a read a tar is asked for, in bytes. A walk
// over an image meets its files roughly in the order of the tar, so the next
// file's bytes are on their way while this one's are being looked at.
const aheadWindow = 2 << 20

// readAhead asks the kernel for the stretch of a tar that will be read next.
// It is a hint and therefore needs no lock: two readers that race ask twice.
type readAhead struct{ from, until atomic.Int64 }

// want tells that [off, off+n) is about to be read.
func (r *readAhead) want(fd int, off int64, n int) {
	from, until := r.from.Load(), r.until.Load()
	end := off + int64(n)
	if off >= from && end+aheadWindow/2 <= until {
		return
	}
	start := off
	if off >= from && off <= until {
		start = until
	}
	r.from.Store(off)
	r.until.Store(end + aheadWindow)
	_ = unix.Fadvise(fd, start, end+aheadWindow-start, unix.FADV_WILLNEED)
}
