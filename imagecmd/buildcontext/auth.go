package buildcontext

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/cfs-project/cfs/imagecmd/internal/weburl"
	"github.com/cfs-project/cfs/internal/hint"
)

// Fetch says how URLs and repositories are fetched. The zero value does for what everybody may have.
type Fetch struct {
	Client *http.Client // for URLs; nil is http.DefaultClient
	GitEnv []string     // the environment of the git program; nil is that of this process
	// Secret, when not nil, is the secret of an ID, and false if there is none. Asked for are those that
	// BuildKit has for this (docs.docker.com/build/building/secrets): HTTP_AUTH_HEADER_HOST and
	// HTTP_AUTH_TOKEN_HOST for URLs, GIT_AUTH_HEADER and GIT_AUTH_TOKEN for repositories, with .HOST for one host.
	Secret func(id string) (value []byte, ok bool, err error)
}

// An authSecret is the ID of a secret that is, or has in it, the value of the header Authorization.
type authSecret struct {
	id     string
	header func(secret string) string
}

func asIs(header string) string  { return header }
func bearer(token string) string { return "Bearer " + token }
func gitBasic(token string) string {
	return "basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+token))
}

// authorization is what the first secret that there is makes of the header; "" if there is none.
// Space around a secret, as of a file's last line, is not part of it.
func (f *Fetch) authorization(ids ...authSecret) (string, error) {
	if f.Secret == nil {
		return "", nil
	}
	for _, s := range ids {
		secret, ok, err := f.Secret(s.id)
		if err != nil {
			return "", err
		}
		if !ok {
			continue
		}
		header := s.header(strings.TrimSpace(string(secret)))
		if strings.ContainsAny(header, "\r\n\x00") {
			return "", fmt.Errorf("secret %s: a header has one line", s.id)
		}
		return header, nil
	}
	return "", nil
}

// get is the answer to a GET of a URL. (buildkit/source/http.newHTTPRequest)
func (f *Fetch) get(ctx context.Context, from string) (*http.Response, error) {
	host := ""
	if u, err := url.Parse(from); err == nil {
		host = u.Hostname()
	}
	auth, err := f.authorization(authSecret{"HTTP_AUTH_TOKEN_" + host, bearer}, authSecret{"HTTP_AUTH_HEADER_" + host, asIs})
	if err != nil {
		return nil, err
	}
	resp, err := weburl.Get(ctx, f.Client, from, auth)
	if refused, ok := errors.AsType[*weburl.StatusError](err); ok && refused.Code == http.StatusUnauthorized {
		err = hint.With(err, "credentials are given by --secret id=HTTP_AUTH_TOKEN_"+host+", see 'cfs build --help'")
	}
	return resp, err
}

// gitEnv is the environment in which git asks nothing, takes only what Docker does as a repository, and has what a
// secret says that remote wants. Of its arguments everybody on the host could see that.
// (buildkit/source/git.authSecretNames)
func (f *Fetch) gitEnv(remote string) ([]string, error) {
	env := f.GitEnv
	if env == nil {
		env = os.Environ()
	}
	env = plainGitEnv(env)
	u, err := url.Parse(remote)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return env, nil // of ssh an agent has what is secret
	}
	auth, err := f.authorization(
		authSecret{"GIT_AUTH_HEADER." + u.Host, asIs}, authSecret{"GIT_AUTH_TOKEN." + u.Host, gitBasic},
		authSecret{"GIT_AUTH_HEADER", asIs}, authSecret{"GIT_AUTH_TOKEN", gitBasic})
	if err != nil || auth == "" {
		return env, err
	}
	return addGitConfig(env, "http."+authScope(remote)+".extraheader", "Authorization: "+auth)
}

// authScope is where a secret for remote may be sent: to it alone, but on GitHub to all, so that
// submodules are fetched, too. (buildkit/source/git.tokenScope)
func authScope(remote string) string {
	for _, all := range []string{"https://github.com/", "https://www.github.com/"} {
		if strings.HasPrefix(remote, all) {
			return all
		}
	}
	return remote
}

// addGitConfig adds a line of configuration to those that an environment has (git-config(1), GIT_CONFIG_COUNT).
func addGitConfig(env []string, key, value string) ([]string, error) {
	n := 0
	for _, e := range env {
		if count, ok := strings.CutPrefix(e, "GIT_CONFIG_COUNT="); ok {
			var err error
			if n, err = strconv.Atoi(count); err != nil || n < 0 {
				return nil, errors.New("GIT_CONFIG_COUNT is not a number")
			}
		}
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n+1),
		fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value)), nil
}
