package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushEvery is how much is written before the disk is to begin, in bytes.
const flushEvery = 8 << 20

// A Writer writes a file from its beginning, and has the disk work while there is more
// to come, so that the sync at the end has little left to do. It is for one goroutine.
type Writer struct {
	File *os.File

	n, begun int64 // bytes written, bytes that the disk was told of
}

func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.File.Write(b)
	w.n += int64(n)
	if w.n-w.begun >= flushEvery {
		// Where it isn't possible, nothing is lost.
		_ = unix.SyncFileRange(int(w.File.Fd()), w.begun, w.n-w.begun, unix.SYNC_FILE_RANGE_WRITE)
		w.begun = w.n
	}
	return n, err
}
