package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// RegistryOf is the registry that a person means by a server's address, with a
// scheme and a path or without; "" is Docker Hub.
func RegistryOf(server string) string {
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	server, _, _ = strings.Cut(server, "/")
	if server == "" || server == "index.docker.io" || server == hubHost {
		return "docker.io"
	}
	return server
}

// Login asks a registry whether it knows a user. Its answer "no" is an *Error with
// status 401, in Docker's words.
func (c *Client) Login(ctx context.Context, registry string, cred auth.Credential) error {
	place, err := c.conf.Host(registry)
	if err != nil {
		return err
	}
	e, err := c.endpoint(place, "")
	if err != nil {
		return err
	}
	e.auth = e.newAuth(func(context.Context) (auth.Credential, error) { return cred, nil })
	err = e.retry(ctx, func() error {
		resp, err := e.do(ctx, request{method: http.MethodGet, want: []int{http.StatusOK}})
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	var answer *Error
	if errors.As(err, &answer) && answer.Status == http.StatusUnauthorized {
		base, err := e.h.base(ctx)
		if err != nil {
			return err
		}
		return &loginError{answer, fmt.Sprintf("login attempt to %s/v2/ failed with status: 401 Unauthorized", base)}
	}
	return err
}

// loginError is an answer in Docker's words.
type loginError struct {
	answer *Error
	text   string
}

func (e *loginError) Error() string { return e.text }
func (e *loginError) Unwrap() error { return e.answer }
