// Package weburl gets what a URL of the web names, for whatever takes a file or a URL: what an
// image is imported of, a build's context, and ADD.
package weburl

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Is tells whether s is to be fetched, by Docker's rule.
func Is(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }

// A StatusError is an answer other than 200.
type StatusError struct {
	URL    string // without a password
	Code   int
	Status string // "404 Not Found"
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("failed to GET %s with status %s", e.URL, e.Status)
}

// Get is the answer to a GET of url, which was 200, or else the error is a *[StatusError]; the caller closes its body. A body that ends early
// ends with an error. Proxies are those of the environment. A nil client is http.DefaultClient. What is sent as
// the header Authorization, if anything, no other host gets by a redirection.
func Get(ctx context.Context, client *http.Client, url, authorization string) (*http.Response, error) {
	if client == nil {
		client = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// What is compressed stays so: it is what the file is, and a checksum is of that.
	req.Header.Set("Accept-Encoding", "identity")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &StatusError{URL: req.URL.Redacted(), Code: resp.StatusCode, Status: resp.Status}
	}
	return resp, nil
}
