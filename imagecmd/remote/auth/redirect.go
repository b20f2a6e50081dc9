package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects is that of net/http, whose own check another replaces.
const maxRedirects = 10

// send sends a request, whose password or token stays with its origin: net/http takes them
// out for another host, but not for another port or scheme of it. check is asked about
// every redirect; it may be nil.
func (c *Client) send(req *http.Request, check func(next *http.Request, left bool) error) (*http.Response, error) {
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	client := *c.HTTP
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		// The headers of each are made of the first request's, and origins are compared with
		// it: what has been elsewhere and returns is not trusted again.
		left := !SameOrigin(via[0].URL, next.URL)
		for _, r := range via[1:] {
			left = left || !SameOrigin(via[0].URL, r.URL)
		}
		if left {
			next.Header.Del("Authorization")
		}
		if check != nil {
			if err := check(next, left); err != nil {
				return err
			}
		}
		if c.HTTP.CheckRedirect != nil {
			return c.HTTP.CheckRedirect(next, via)
		}
		if len(via) >= maxRedirects {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return client.Do(req)
}

// sendToken sends a request to a token server of a registry, with a password in it. Where
// that redirects to must be such a server, too, and is not sent the body.
func (c *Client) sendToken(req *http.Request, registry *url.URL) (*http.Response, error) {
	return c.send(req, func(next *http.Request, left bool) error {
		if left && next.Body != nil && next.Body != http.NoBody {
			return fmt.Errorf("%s %q: refusing to resend a token request body to another origin", next.Method, next.URL.Redacted())
		}
		if err := c.checkRealm(next.Context(), next.URL, registry); err != nil {
			return fmt.Errorf("redirect of token request rejected: %w", err)
		}
		return nil
	})
}

// SameOrigin tells whether URLs have scheme, host and port in common (RFC 6454, 5).
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}
