package imagecmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// isURL tells whether an input is to be fetched, by Docker's rule.
func isURL(input string) bool {
	return strings.HasPrefix(input, "http://") || strings.HasPrefix(input, "https://")
}

// open opens what an image is to be made of.
func (o ImportOptions) open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case o.fromStdin():
		return io.NopCloser(o.Stdin), nil
	case isURL(o.Input):
		return fetch(ctx, o.Input)
	}
	return os.Open(o.Input)
}

// fetch is the body that a GET of url answers. Proxies are those of the
// environment. A body that ends early ends with an error.
func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// The tar may be compressed; what compresses it again on its way, Go undoes.
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return resp.Body, nil
}
