package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// ErrNoCredential: a registry wants a user and a password, and there is no credential.
var ErrNoCredential = errors.New("no basic auth credentials")

// A Client makes requests that are answered when they are challenged. Its exported fields
// must be set before it is used; its methods may be called by many goroutines.
type Client struct {
	HTTP *http.Client
	// UserAgent is what the program calls itself; "" is what net/http does.
	UserAgent string
	// ID is what the program calls itself to an OAuth 2.0 token server.
	ID string
	// Credential is who one is; it is asked when a challenge comes.
	Credential func(context.Context) (Credential, error)
	// AnyRealm lets token servers be on this machine, as the registry is.
	AnyRealm bool
	// Refused makes the error of a token server's answer that is no token, and closes it.
	Refused func(*http.Response) error

	mu    sync.Mutex             // protects what follows
	kept  map[key]string         // the last Authorization header that was made
	calls map[key]*authorization // those that are being made
}

// A key is what an authorization is for.
type key struct{ host, scopes string }

// Do sends a request, and once more as it is challenged. Scopes are what a token is asked
// for, beside what the challenge says. A body must have a GetBody.
//
// The answer may still be 401, when no challenge is known, it comes from elsewhere, or
// what was shown did not do. That there is no credential is [ErrNoCredential]; what else
// goes wrong on the way to a token is an error, too.
func (c *Client) Do(req *http.Request, scopes ...string) (*http.Response, error) {
	scopes = mergeScopes(scopes...)
	k := key{req.URL.Host, strings.Join(scopes, " ")}
	shown, made := c.last(k), false
	for try := req.Clone(req.Context()); ; {
		if shown != "" {
			try.Header.Set("Authorization", shown)
		}
		resp, err := c.send(try, nil)
		if err != nil || made || resp.StatusCode != http.StatusUnauthorized || !SameOrigin(req.URL, resp.Request.URL) {
			return resp, err
		}
		asked := challengeOf(resp.Header)
		if asked.scheme == "" {
			return resp, nil
		}
		var next string
		next, made, err = c.authorize(req.Context(), k, shown, func(ctx context.Context) (string, error) {
			if asked.scheme == "basic" {
				return c.basic(ctx)
			}
			return c.bearer(ctx, asked, scopes, req.URL)
		})
		if err == nil && next == shown {
			return resp, nil // it has seen that
		}
		resp.Body.Close()
		if err == nil {
			try, err = again(req)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", req.Method, req.URL.Redacted(), err)
		}
		shown = next
	}
}

// again is a request that was sent, to be sent once more.
func again(req *http.Request) (*http.Request, error) {
	try := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return try, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("its body can't be sent again")
	}
	var err error
	try.Body, err = req.GetBody()
	return try, err
}

// basic is the header of who one is (RFC 7617).
func (c *Client) basic(ctx context.Context) (string, error) {
	cred, err := c.Credential(ctx)
	switch {
	case err != nil:
		return "", err
	case cred == Credential{}:
		return "", ErrNoCredential
	case cred.Username == "" || cred.Password == "":
		return "", errors.New("missing username or password for basic auth")
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password)), nil
}

// bearer is the header of a token (RFC 6750).
func (c *Client) bearer(ctx context.Context, asked challenge, scopes []string, registry *url.URL) (string, error) {
	realm, err := url.Parse(asked.params["realm"])
	if err != nil {
		return "", fmt.Errorf("bearer realm: %w", err)
	}
	if err := c.checkRealm(ctx, realm, registry); err != nil {
		return "", err
	}
	cred, err := c.Credential(ctx)
	if err != nil {
		return "", err
	}
	got := cred.AccessToken
	if got == "" {
		scopes = mergeScopes(append(strings.Fields(asked.params["scope"]), scopes...)...)
		got, err = c.fetch(ctx, tokenRequest{realm, registry, asked.params["service"], scopes, cred})
	}
	return "Bearer " + got, err
}
