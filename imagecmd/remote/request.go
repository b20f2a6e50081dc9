package remote

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// stallLimit is how long nothing may come or go on a connection; finishLimit how
// long a registry may think about what it was sent, as it hashes all of it.
const (
	stallLimit  = time.Minute
	finishLimit = 15 * time.Minute
)

// A request is one to an endpoint.
type request struct {
	method string
	path   string // after the repository; an absolute URL is taken as it is
	query  url.Values
	header http.Header
	body   func() io.Reader // opens it, as often as it takes; nil: none
	length int64            // bytes of body
	scopes []string         // beside the endpoint's own
	want   []int            // statuses that are no error
}

// do makes a request once. Its answer has one of the statuses it wants; its body
// must be closed, and ends with ErrStalled when nothing comes. Others are *Error.
func (e *endpoint) do(ctx context.Context, r request) (*http.Response, error) {
	target, err := e.url(ctx, r)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(r.method, target, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, r.header)
	limit := stallLimit
	if r.method == http.MethodPut {
		limit = finishLimit
	}
	w, ctx := watch(ctx, limit)
	if r.body != nil && r.length > 0 {
		req.ContentLength = r.length
		req.GetBody = func() (io.ReadCloser, error) { return &watched{w, io.NopCloser(r.body())}, nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := e.send(w, req.WithContext(ctx), append(r.scopes, e.scopes...))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(r.want, resp.StatusCode) {
		return nil, errorOf(resp)
	}
	return resp, nil
}

// send sends a request and puts its answer under watch.
func (e *endpoint) send(w *watcher, req *http.Request, scopes []string) (*http.Response, error) {
	resp, err := e.auth.Do(req, scopes...)
	if err != nil {
		err = w.cause(requestError(req, err))
		w.end()
		return nil, unreachable(err)
	}
	e.h.answered.Store(true)
	w.limit = stallLimit
	w.touch()
	resp.Body = &ending{watched{w, resp.Body}}
	return resp, nil
}

func (e *endpoint) url(ctx context.Context, r request) (string, error) {
	if strings.Contains(r.path, "://") {
		return r.path, nil
	}
	base, err := e.h.base(ctx)
	if err != nil {
		return "", err
	}
	target := base + "/v2/" + e.repository + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	return target, nil
}

// unreachable shortens the URL of a request that never reached its host: which
// document was asked for doesn't matter then. It is Docker's sentence.
func unreachable(err error) error {
	var u *url.Error
	var dial *net.OpError
	if !errors.As(err, &u) || !errors.As(err, &dial) || dial.Op != "dial" {
		return err
	}
	target, parseErr := url.Parse(u.URL)
	if parseErr != nil || !strings.HasPrefix(target.Path, "/v2/") {
		return err
	}
	target.Path, target.RawPath, target.RawQuery = "/v2/", "", ""
	return &url.Error{Op: "Get", URL: target.Redacted(), Err: u.Err}
}

// A watcher ends a request on which nothing happens.
type watcher struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

func watch(ctx context.Context, limit time.Duration) (*watcher, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watcher{ctx: ctx, cancel: cancel, limit: limit}
	w.timer = time.AfterFunc(limit, func() { cancel(ErrStalled) })
	return w, ctx
}

func (w *watcher) touch() { w.timer.Reset(w.limit) }

func (w *watcher) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// cause is why the request was ended, if it was.
func (w *watcher) cause(err error) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// watched is a body whose every read is a sign of life.
type watched struct {
	w *watcher
	io.ReadCloser
}

func (b *watched) Read(p []byte) (int, error) {
	b.w.touch()
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.w.cause(err)
	}
	return n, err
}

// ending is the body of an answer, with whose end the request ends.
type ending struct{ watched }

func (b *ending) Close() error {
	err := b.ReadCloser.Close()
	b.w.end()
	return err
}
