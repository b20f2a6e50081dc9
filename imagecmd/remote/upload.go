package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// defaultChunk is how much of a blob is sent with one request, in bytes: what registries
// behind proxies take, and what is lost at most where only whole chunks count.
const defaultChunk = 32 << 20

// HasBlob asks whether the repository has a blob.
func (r *Repository) HasBlob(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	e := r.endpoints[0]
	err := e.retry(ctx, func() error {
		resp, err := e.do(ctx, request{method: http.MethodHead, path: "/blobs/" + string(d.Digest), want: []int{http.StatusOK}})
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// An Upload is a blob on its way to a repository.
type Upload struct {
	e        *endpoint
	desc     ocispec.Descriptor
	content  io.ReaderAt
	progress func(n int64)

	at   *url.URL // where the registry takes the rest; nil: nowhere yet
	sent int64    // bytes that it has
}

// Mount begins to bring a blob in by asking for it out of another repository of
// the registry; from "" is none. It has it then, or takes an upload.
func (r *Repository) Mount(ctx context.Context, d ocispec.Descriptor, from string) (mounted bool, u *Upload, err error) {
	u = &Upload{e: r.endpoints[0], desc: d}
	err = u.e.retry(ctx, func() error {
		mounted, err = u.begin(ctx, from)
		return err
	})
	return mounted, u, err
}

func (u *Upload) begin(ctx context.Context, from string) (mounted bool, err error) {
	q := request{method: http.MethodPost, path: "/blobs/uploads/", want: []int{http.StatusAccepted}}
	if from != "" {
		q.query = url.Values{"mount": {string(u.desc.Digest)}, "from": {from}}
		q.scopes = []string{auth.ScopeRepository(from, auth.ActionPull)}
		q.want = append(q.want, http.StatusCreated)
	}
	resp, err := u.e.do(ctx, q)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return true, nil
	}
	u.at, u.sent = nil, 0
	return false, u.moved(resp)
}

// moved takes over where the next request is to go. A registry behind a proxy
// may not know that it is spoken to with TLS.
func (u *Upload) moved(resp *http.Response) error {
	to, err := resp.Location()
	if errors.Is(err, http.ErrNoLocation) && u.at != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: upload of %s: %w", ErrInvalid, u.desc.Digest, err)
	}
	if base := resp.Request.URL; base.Scheme == "https" && to.Scheme == "http" && to.Hostname() == base.Hostname() {
		to.Scheme, to.Host = base.Scheme, base.Host
	}
	u.at = to
	return nil
}

// Send sends the blob, however often the connection breaks. Progress is told the
// bytes sent; it may be nil.
func (u *Upload) Send(ctx context.Context, content io.ReaderAt, progress func(n int64)) error {
	u.content, u.progress = content, progress
	if progress == nil {
		u.progress = func(int64) {}
	}
	var t tries
	var most int64
	for {
		done, err := u.send(ctx)
		if done {
			return nil
		}
		if u.sent > most { // it gets on: what is sent again after a loss doesn't
			most, t = u.sent, tries{}
		}
		if err == nil {
			continue
		}
		if !u.lost(err) {
			if err := u.e.pause(ctx, &t, err); err != nil {
				return fmt.Errorf("blob %s: %w", u.desc.Digest, err)
			}
		} else if t.failed++; t.failed >= u.e.c.o.Backoff.Tries {
			return fmt.Errorf("blob %s: %w", u.desc.Digest, err)
		}
		if err := u.resume(ctx, err); err != nil {
			return fmt.Errorf("blob %s: %w", u.desc.Digest, err)
		}
	}
}

// lost tells that a registry knows the upload no more, or not as we do: it may
// have been started again, or have got only a part of a chunk.
func (u *Upload) lost(err error) bool {
	var answer *Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code {
	case "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID", "DIGEST_INVALID":
		return true
	}
	return answer.Status == http.StatusNotFound || answer.Status == http.StatusRequestedRangeNotSatisfiable
}

// send sends one chunk; the last with the request that ends the upload.
func (u *Upload) send(ctx context.Context) (done bool, err error) {
	if u.at == nil {
		if _, err := u.begin(ctx, ""); err != nil {
			return false, err
		}
	}
	first, n := u.sent, min(u.desc.Size-u.sent, u.e.c.chunk)
	q := request{
		method: http.MethodPatch, path: u.at.String(), length: n,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body: func() io.Reader {
			return &counted{r: io.NewSectionReader(u.content, first, n), n: first, told: u.progress}
		},
		want: []int{http.StatusAccepted, http.StatusCreated, http.StatusNoContent},
	}
	if last := first + n; last == u.desc.Size {
		to := *u.at
		query := to.Query()
		query.Set("digest", string(u.desc.Digest))
		to.RawQuery = query.Encode()
		q.method, q.path, done = http.MethodPut, to.String(), true
	}
	if first > 0 || !done {
		q.header.Set("Content-Range", fmt.Sprintf("%d-%d", first, first+n-1))
	}
	resp, err := u.e.do(ctx, q)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	if done {
		return true, nil
	}
	u.sent = first + n
	if end, ok := rangeEnd(resp.Header.Get("Range")); ok && end <= u.desc.Size {
		u.sent = end
	}
	return false, u.moved(resp)
}

// resume asks where to go on after err. What can't be gone on with begins anew.
func (u *Upload) resume(ctx context.Context, err error) error {
	var answer *Error
	if errors.As(err, &answer) && answer.Code == "DIGEST_INVALID" {
		u.at, u.sent = nil, 0 // it has the wrong bytes, however many
	}
	if u.at == nil {
		return nil
	}
	resp, err := u.e.do(ctx, request{method: http.MethodGet, path: u.at.String(), want: []int{http.StatusNoContent, http.StatusOK, http.StatusAccepted}})
	if err == nil {
		resp.Body.Close()
		if end, ok := rangeEnd(resp.Header.Get("Range")); ok && end <= u.desc.Size {
			u.sent = end
			return u.moved(resp)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	u.at, u.sent = nil, 0
	return nil
}

// rangeEnd is how many bytes a registry has of an upload: "0-99" are 100. Of
// none, some say "0-0".
func rangeEnd(s string) (int64, bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	if !ok || first != "0" {
		return 0, false
	}
	n, err := strconv.ParseInt(last, 10, 63) // so that one more is a number, too
	if err != nil || n < 0 {
		return 0, false
	}
	if n == 0 {
		return 0, true
	}
	return n + 1, true
}

// counted tells how far a blob has been read.
type counted struct {
	r    io.Reader
	n    int64
	told func(n int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.told(c.n)
	return n, err
}
