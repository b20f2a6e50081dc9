package jsonlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// maxLine is how much of a line is kept back for its end, in bytes.
const maxLine = 16 << 10

// Options bounds a log.
type Options struct {
	MaxSize  int64 // bytes of a file; 0: no bound, one file
	MaxFiles int   // files that are kept, the current one among them; 0 is 1
}

// An Entry is one line of a log.
type Entry struct {
	Log    string    `json:"log"` // with its line's end, if it had one
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

// A Writer writes a log. Its streams may be used at once.
type Writer struct {
	path string
	o    Options
	mu   sync.Mutex
	f    *os.File
	size int64
}

// Create opens the log at path, to be appended to.
func Create(path string, o Options) (*Writer, error) {
	w := &Writer{path: path, o: o}
	return w, w.open()
}

func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.f, w.size = f, fi.Size()
	return nil
}

// Close closes the file. Streams are closed before.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.f.Close()
}

// write appends one line.
func (w *Writer) write(e Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.o.MaxSize > 0 && w.size > 0 && w.size+int64(len(b)) > w.o.MaxSize {
		if err := w.rotate(); err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	n, err := w.f.Write(b)
	w.size += int64(n)
	return err
}

// rotate begins a new file.
func (w *Writer) rotate() error {
	keep := max(w.o.MaxFiles, 1)
	if keep == 1 {
		w.size = 0
		return w.f.Truncate(0)
	}
	for n := keep - 2; n >= 0; n-- {
		err := os.Rename(name(w.path, n), name(w.path, n+1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w.f.Close()
	return w.open()
}

// name is the nth file of a log, 0 being the current one.
func name(path string, n int) string {
	if n == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, n)
}

// Stream is one of the two streams of a log, called stdout or stderr. It is closed to log what
// has no line's end.
func (w *Writer) Stream(called string) io.WriteCloser { return &stream{w: w, name: called} }

type stream struct {
	w    *Writer
	name string
	rest []byte
}

// Write logs the whole lines of what came so far. It takes all of b, even if it
// fails.
func (s *stream) Write(b []byte) (int, error) {
	now := time.Now().UTC()
	var failed error
	log := func(line []byte) {
		if err := s.w.write(Entry{Log: string(line), Stream: s.name, Time: now}); err != nil {
			failed = err
		}
	}
	for rest := b; len(rest) > 0; {
		nl := bytes.IndexByte(rest, '\n')
		n := nl + 1
		if nl < 0 {
			n = len(rest)
		}
		n = min(n, maxLine-len(s.rest))
		s.rest = append(s.rest, rest[:n]...)
		rest = rest[n:]
		if len(s.rest) == maxLine || s.rest[len(s.rest)-1] == '\n' {
			log(s.rest)
			s.rest = s.rest[:0]
		}
	}
	return len(b), failed
}

// Close logs what is left.
func (s *stream) Close() error {
	if len(s.rest) == 0 {
		return nil
	}
	defer func() { s.rest = nil }()
	return s.w.write(Entry{Log: string(s.rest), Stream: s.name, Time: time.Now().UTC()})
}
