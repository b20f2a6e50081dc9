package jsonlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ReadOptions says what of a log is read.
type ReadOptions struct {
	Tail         int       // the last so many entries; < 0: all
	Since, Until time.Time // zero: no bound
	// Follow waits for more, until Ended tells that there will be none.
	Follow bool
	Ended  func() bool
}

// poll is how often a log that is followed is looked at.
const poll = 50 * time.Millisecond

// Read hands the entries of the log at path to each, oldest first. A log that isn't
// there has none. It ends with the first error of each, or with ctx.
func Read(ctx context.Context, path string, o ReadOptions, each func(Entry) error) error {
	// The current file is opened first: a rotation meanwhile gives it another name,
	// under which it is then not read again.
	current, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && o.Follow && !o.Ended() {
		current, err = waitFor(ctx, path, o)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r := &reader{path: path, o: o, f: current, in: bufio.NewReader(current), each: each}
	defer func() { r.f.Close() }()
	if err := r.older(); err != nil {
		return err
	}
	return r.current(ctx)
}

func waitFor(ctx context.Context, path string, o ReadOptions) (*os.File, error) {
	for {
		f, err := os.Open(path)
		if !errors.Is(err, fs.ErrNotExist) || o.Ended() {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(poll):
		}
	}
}

type reader struct {
	path string
	o    ReadOptions
	f    *os.File
	in   *bufio.Reader
	part []byte  // of a line that is not whole yet
	last []Entry // while only the last are wanted
	each func(Entry) error
}

// older reads the files that were renamed, oldest first.
func (r *reader) older() error {
	n := 0
	for name(r.path, n) != r.oldest() {
		n++
	}
	own, err := r.f.Stat()
	if err != nil {
		return err
	}
	for ; n > 0; n-- {
		b, err := os.Open(name(r.path, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if fi, err := b.Stat(); err == nil && os.SameFile(fi, own) {
			b.Close()
			continue
		}
		old := reader{o: r.o, in: bufio.NewReader(b), last: r.last, each: r.each}
		err = old.entries()
		r.last = old.last
		b.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// current reads the current file and, if it is followed, those that replace it.
func (r *reader) current(ctx context.Context) error {
	if err := r.entries(); err != nil {
		return err
	}
	if err := r.flush(); err != nil || !r.o.Follow {
		return err
	}
	for {
		// Asked before reading: what was written before the end is still to be read.
		ended := r.o.Ended()
		if err := r.entries(); err != nil {
			return err
		}
		if err := r.replaced(); err != nil {
			return err
		}
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// replaced goes on with the files that were begun after this one, or at the beginning
// of one that was emptied.
func (r *reader) replaced() error {
	for {
		own, err := r.f.Stat()
		if err != nil {
			return err
		}
		n := r.number(own)
		if n == 0 {
			return r.emptied(own)
		}
		// One that was removed for its age: with the oldest that is left.
		next := name(r.path, n-1)
		if n < 0 {
			next = r.oldest()
		}
		f, err := os.Open(next)
		if err != nil {
			return nil // being renamed, or removed with its container
		}
		if n > 0 && r.number(own) != n {
			f.Close()
			continue
		}
		// What came between the last look and the renaming.
		if err := r.entries(); err != nil {
			f.Close()
			return err
		}
		r.f.Close()
		r.f, r.part = f, nil
		r.in.Reset(f)
		if err := r.entries(); err != nil {
			return err
		}
	}
}

// number is that of a file among those of the log, -1 if it is not one any more.
func (r *reader) number(own os.FileInfo) int {
	for n := 0; ; n++ {
		fi, err := os.Stat(name(r.path, n))
		if err != nil && n > 0 {
			return -1
		}
		if err == nil && os.SameFile(fi, own) {
			return n
		}
	}
}

func (r *reader) oldest() string {
	n := 0
	for {
		if _, err := os.Lstat(name(r.path, n+1)); err != nil {
			return name(r.path, n)
		}
		n++
	}
}

// emptied goes back to the beginning of a file that is shorter than what was read.
func (r *reader) emptied(own os.FileInfo) error {
	at, err := r.f.Seek(0, io.SeekCurrent)
	if err != nil || at <= own.Size() {
		return err
	}
	_, err = r.f.Seek(0, io.SeekStart)
	r.in.Reset(r.f)
	r.part = nil
	return err
}

// entries reads to the end of the file.
func (r *reader) entries() error {
	for {
		line, err := r.in.ReadSlice('\n')
		r.part = append(r.part, line...)
		if err == io.EOF {
			return nil
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return err
		}
		var e Entry
		torn := json.Unmarshal(bytes.TrimSpace(r.part), &e) != nil
		r.part = r.part[:0]
		if torn {
			continue
		}
		if err := r.take(e); err != nil {
			return err
		}
	}
}

func (r *reader) take(e Entry) error {
	if !r.o.Since.IsZero() && e.Time.Before(r.o.Since) || !r.o.Until.IsZero() && e.Time.After(r.o.Until) {
		return nil
	}
	if r.o.Tail < 0 {
		return r.each(e)
	}
	r.last = append(r.last, e)
	if len(r.last) > r.o.Tail {
		r.last = r.last[1:]
	}
	return nil
}

// flush hands out the last entries; what comes later is handed out at once.
func (r *reader) flush() error {
	last := r.last
	r.last, r.o.Tail = nil, -1
	for _, e := range last {
		if err := r.each(e); err != nil {
			return err
		}
	}
	return nil
}
