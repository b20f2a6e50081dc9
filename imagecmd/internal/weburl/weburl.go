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

// Get is the answer to a GET of url, which was 200; the caller closes its body. A body that ends early
// ends with an error. Proxies are those of the environment. A nil client is http.DefaultClient.
func Get(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	if client == nil {
		client = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// What is compressed stays so: it is what the file is, and a checksum is of that.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("failed to GET %s with status %s", req.URL.Redacted(), resp.Status)
	}
	return resp, nil
}
