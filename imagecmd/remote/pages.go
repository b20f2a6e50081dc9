package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// A page is a part of a list: of a repository's tags, or of a registry's repositories.
type page struct {
	Tags         []string `json:"tags"`
	Repositories []string `json:"repositories"`
}

// pages reads a list to its end, or to fn's first error, page by page.
func (e *endpoint) pages(ctx context.Context, path string, fn func(page) error) error {
	for read := map[string]bool{}; path != ""; {
		if read[path] {
			return fmt.Errorf("%w: a list that comes back to %.200q", ErrInvalid, path)
		}
		read[path] = true
		resp, err := e.do(ctx, request{method: http.MethodGet, path: path, want: []int{http.StatusOK}})
		if err != nil {
			return err
		}
		raw, err := readAll(resp)
		if err != nil {
			return fmt.Errorf("%s: %w", resp.Request.URL.Redacted(), err)
		}
		var p page
		if err := json.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, resp.Request.URL.Redacted(), err)
		}
		if err := fn(p); err != nil {
			return err
		}
		if path, err = nextPage(resp); err != nil {
			return err
		}
	}
	return nil
}

// nextPage is where a list goes on; "" is its end. A Link there is taken for the next
// page (RFC 5988, as the distribution specification uses it), and must be of the same
// registry: it could send us anywhere.
func nextPage(resp *http.Response) (string, error) {
	link := resp.Header.Get("Link")
	if link == "" {
		return "", nil
	}
	invalid := fmt.Errorf("%w: next page %.200q", ErrInvalid, link)
	target, ok := strings.CutPrefix(link, "<")
	target, _, closed := strings.Cut(target, ">")
	if !ok || !closed {
		return "", invalid
	}
	here := resp.Request.URL
	next, err := here.Parse(target)
	if err != nil || !auth.SameOrigin(here, next) {
		return "", invalid
	}
	return next.String(), nil
}
