package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// The sentinels of the package.
var (
	// ErrNoCredentials: the registry wants a user and a password, and none are
	// known for it. Its text is Docker's.
	ErrNoCredentials = auth.ErrNoCredential
	// ErrStalled: nothing came for stallLimit.
	ErrStalled = errors.New("nothing came for too long")
	// ErrInvalid: an answer is not what the distribution specification says.
	ErrInvalid = errors.New("invalid answer of the registry")
)

// An Error is what a registry answered instead of what it was asked for. Status
// 404 is fs.ErrNotExist.
type Error struct {
	Method string
	URL    *url.URL
	Status int
	// Code and Message are those of the first error in the answer, the code in
	// the specification's capitals; both may be empty.
	Code, Message string
	// RetryAfter is how long the registry asks to wait; 0: it does not say.
	RetryAfter time.Duration
	// Limit is Docker Hub's "ratelimit-limit", e.g. "100;w=21600".
	Limit string
}

// Error is Docker's text: "manifest unknown: manifest unknown".
func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s %q: received unexpected HTTP status: %d %s", e.Method, e.URL.Redacted(), e.Status, http.StatusText(e.Status))
	}
	return strings.ToLower(strings.ReplaceAll(e.Code, "_", " ")) + ": " + e.Message
}

// Is makes what is not there fs.ErrNotExist.
func (e *Error) Is(target error) bool {
	return target == fs.ErrNotExist && e.Status == http.StatusNotFound
}

// maxErrorBody bounds what is read of an answer that is an error, in bytes.
const maxErrorBody = 64 << 10

// errorOf reads an answer that is an error, and closes it.
func errorOf(resp *http.Response) *Error {
	defer resp.Body.Close()
	e := &Error{Method: resp.Request.Method, URL: resp.Request.URL, Status: resp.StatusCode, Limit: resp.Header.Get("Ratelimit-Limit")}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	} else if t, err := http.ParseTime(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = max(time.Until(t), 0)
	}
	var body struct {
		Errors  []errorItem `json:"errors"`
		Details string      `json:"details"` // of token servers
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err == nil && json.Unmarshal(raw, &body) == nil {
		e.first(body.Errors)
		if e.Code == "" && body.Details != "" {
			e.Code, e.Message = "unauthorized", body.Details
		}
	}
	return e
}

// errorItem is one of an answer's errors (distribution specification, "Error Codes").
type errorItem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// first takes the first error over, without what could steer a terminal.
func (e *Error) first(list []errorItem) {
	if len(list) == 0 {
		return
	}
	clean := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, s)
		return s[:min(len(s), 1000)]
	}
	e.Code, e.Message = clean(list[0].Code), clean(list[0].Message)
	if e.Message == "" {
		e.Message = strings.ToLower(strings.ReplaceAll(e.Code, "_", " "))
	}
}

// noToken is errorOf for the answer of a token server.
func noToken(resp *http.Response) error {
	e := errorOf(resp)
	if e.Code == "" && e.Status == http.StatusUnauthorized {
		e.Code, e.Message = "unauthorized", "incorrect username or password"
	}
	return e
}

// requestError puts an error of a request's authorization as Docker does.
func requestError(req *http.Request, err error) error {
	var answer *Error
	if errors.As(err, &answer) {
		return answer
	}
	if errors.Is(err, ErrNoCredentials) {
		return &url.Error{Op: op(req.Method), URL: req.URL.Redacted(), Err: ErrNoCredentials}
	}
	return err
}

// op is net/http's spelling of a method in errors: "Get".
func op(method string) string {
	return method[:1] + strings.ToLower(method[1:])
}
