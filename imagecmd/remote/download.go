package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Sink takes a blob in order, and knows how much it has: store.Partial.
type Sink interface {
	io.Writer
	Len() int64 // bytes it has
}

// copyBuffer is how much is taken off a connection at once, in bytes.
const copyBuffer = 256 << 10

// Fetch adds to w what it lacks of a blob, however often the connection breaks,
// from a mirror or the registry itself. Progress is told the bytes w has; it may
// be nil. Nothing is verified but the length.
func (r *Repository) Fetch(ctx context.Context, d ocispec.Descriptor, w Sink, progress func(n int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	err := r.each(ctx, func(e *endpoint) error { return e.fetch(ctx, d, w, progress) })
	var full *sinkError
	if errors.As(err, &full) {
		err = full.error
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return nil
}

// sinkError is what went wrong with what was received, and not on its way.
type sinkError struct{ error }

func (e *endpoint) fetch(ctx context.Context, d ocispec.Descriptor, w Sink, progress func(n int64)) error {
	var t tries
	ranges := true
	for w.Len() < d.Size {
		before := w.Len()
		err := e.fetchOnce(ctx, d, w, ranges, progress)
		var answer *Error
		if errors.As(err, &answer) && answer.Status == http.StatusRequestedRangeNotSatisfiable && ranges {
			ranges = false
			continue
		}
		if w.Len() > before {
			t = tries{} // it gets on
		}
		if w.Len() == d.Size {
			return nil
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		var full *sinkError
		if errors.As(err, &full) {
			return err
		}
		if err := e.pause(ctx, &t, err); err != nil {
			return err
		}
	}
	return nil
}

// fetchOnce copies what comes with one request. A registry that knows no ranges
// sends what is there already once more.
func (e *endpoint) fetchOnce(ctx context.Context, d ocispec.Descriptor, w Sink, ranges bool, progress func(n int64)) error {
	have := w.Len()
	q := request{method: http.MethodGet, path: "/blobs/" + string(d.Digest), want: []int{http.StatusOK, http.StatusPartialContent}}
	if have > 0 && ranges {
		q.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", have)}}
	}
	resp, err := e.do(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	skip := have
	if resp.StatusCode == http.StatusPartialContent {
		first, err := rangeStart(resp.Header.Get("Content-Range"))
		if err != nil {
			return err
		}
		if skip = have - first; skip < 0 {
			return fmt.Errorf("%w: asked for the bytes from %d, it sent those from %d", ErrInvalid, have, first)
		}
	}
	if _, err := io.CopyN(io.Discard, resp.Body, skip); err != nil {
		return broken(err)
	}
	return copyTo(w, io.LimitReader(resp.Body, d.Size-have), have, progress)
}

func copyTo(w Sink, r io.Reader, have int64, progress func(n int64)) error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return &sinkError{err}
			}
			have += int64(n)
			progress(have)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
	}
}

// rangeStart is the first byte of a Content-Range, "bytes 100-199/200" (RFC 9110, 14.4).
func rangeStart(s string) (int64, error) {
	text, ok := strings.CutPrefix(s, "bytes ")
	first, _, dash := strings.Cut(text, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if !ok || !dash || err != nil || n < 0 {
		return 0, fmt.Errorf("%w: Content-Range %.100q", ErrInvalid, s)
	}
	return n, nil
}
