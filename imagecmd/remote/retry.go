package remote

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"
)

// longestWait is the longest Retry-After that is waited for without asking.
const longestWait = time.Minute

// retry does fn again until it succeeds, can't, or has failed too often.
func (e *endpoint) retry(ctx context.Context, fn func() error) error {
	var t tries
	for {
		err := fn()
		if err == nil {
			return nil
		}
		if err := e.pause(ctx, &t, err); err != nil {
			return err
		}
	}
}

// tries counts failures in a row.
type tries struct{ failed int }

// pause waits before the next try; it returns err when there should be none.
func (e *endpoint) pause(ctx context.Context, t *tries, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.failed++; t.failed >= e.c.o.Backoff.Tries || !e.temporary(err) {
		return err
	}
	wait := min(e.c.o.Backoff.First<<(t.failed-1), e.c.o.Backoff.Max)
	wait = wait/2 + rand.N(wait/2+1) // so that many clients don't come at once
	var answer *Error
	if errors.As(err, &answer) && answer.RetryAfter > 0 {
		if wait = answer.RetryAfter; wait > longestWait {
			return err
		}
	}
	e.c.o.Log.Info("trying again", "host", e.h.name, "in", wait, "error", err)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(wait):
		return nil
	}
}

// temporary tells whether it may go better the next time.
func (e *endpoint) temporary(err error) bool {
	var answer *Error
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests,
			http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	if isCertError(err) || errors.Is(err, ErrNoCredentials) {
		return false
	}
	for _, broken := range []error{ErrStalled, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	var network net.Error // url.Error is one
	return errors.As(err, &network) && e.h.answered.Load()
}
