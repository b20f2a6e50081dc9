package buildcontext

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/hint"
)

// given are secrets by their IDs.
func given(list ...string) func(string) ([]byte, bool, error) {
	return func(id string) ([]byte, bool, error) {
		for _, kv := range list {
			if k, v, _ := strings.Cut(kv, "="); k == id {
				return []byte(v), true, nil
			}
		}
		return nil, false, nil
	}
}

// guarded serves what handler does, to who has the header Authorization.
func guarded(t *testing.T, want string, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

var textHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("FROM text\n")) })

func TestURLSecret(t *testing.T) {
	for _, tc := range []struct {
		want    string // Authorization
		secrets []string
		err     string
	}{
		{"Bearer abc", []string{"HTTP_AUTH_TOKEN_127.0.0.1=abc"}, ""},
		{"Bearer abc", []string{"HTTP_AUTH_TOKEN_127.0.0.1=abc\n"}, ""},
		{"Token x", []string{"HTTP_AUTH_HEADER_127.0.0.1=Token x"}, ""},
		{"Bearer abc", []string{"HTTP_AUTH_HEADER_127.0.0.1=Token x", "HTTP_AUTH_TOKEN_127.0.0.1=abc"}, ""},
		{"Bearer abc", []string{"HTTP_AUTH_TOKEN_example.org=abc", "HTTP_AUTH_TOKEN=abc"}, "with status 401 Unauthorized"},
		{"Bearer abc", []string{"HTTP_AUTH_TOKEN_127.0.0.1=abc\nX-More: 1"}, "secret HTTP_AUTH_TOKEN_127.0.0.1: a header has one line"},
	} {
		at := guarded(t, tc.want, textHandler)
		fetch := Fetch{Secret: given(tc.secrets...)}
		got, err := run(t, Copy{Add: true, Paths: []string{at + "/f"}, Dest: "/n"}, SelectOptions{Fetch: fetch}, "")
		expect(t, got, err, []string{"A /n f600 =FROM text\n"}, tc.err)

		c, err := Open(context.Background(), at, Options{Temp: t.TempDir(), Fetch: fetch})
		if tc.err != "" {
			expect(t, nil, err, nil, tc.err)
			continue
		}
		must(t, err)
		if string(c.Dockerfile) != "FROM text\n" {
			t.Errorf("the context is %q", c.Dockerfile)
		}
		must(t, c.Close())
	}
}

// A secret stays where it was given for, wherever that sends to.
func TestURLSecretRedirected(t *testing.T) {
	sent := "nothing"
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.Header.Get("Authorization") }))
	defer other.Close()
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	at := guarded(t, "Bearer abc", http.RedirectHandler(elsewhere, http.StatusFound))
	fetch := Fetch{Secret: given("HTTP_AUTH_TOKEN_127.0.0.1=abc")}
	if _, err := run(t, Copy{Add: true, Paths: []string{at + "/f"}, Dest: "/n"}, SelectOptions{Fetch: fetch}, ""); err != nil || sent != "" {
		t.Errorf("another host was sent %q, error %v", sent, err)
	}
}

func TestGitSecret(t *testing.T) {
	repo, _ := repository(t)
	behind, err := url.Parse(repo)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind.Host})
	const basic = "basic eC1hY2Nlc3MtdG9rZW46YWJj" // x-access-token:abc
	for _, tc := range []struct {
		want    string // Authorization
		secrets []string
		err     string
	}{
		{basic, []string{"GIT_AUTH_TOKEN=abc"}, ""},
		{basic, []string{"GIT_AUTH_TOKEN=abc\n"}, ""},
		{basic, []string{"GIT_AUTH_TOKEN.HOST=abc", "GIT_AUTH_HEADER=other"}, ""},
		{"Token x", []string{"GIT_AUTH_HEADER=Token x", "GIT_AUTH_TOKEN=abc"}, ""},
		{"Token x", []string{"GIT_AUTH_HEADER.HOST=Token x", "GIT_AUTH_TOKEN.HOST=abc", "GIT_AUTH_HEADER=other"}, ""},
		{basic, []string{"GIT_AUTH_TOKEN.example.org=abc"}, "could not read Username"},
		{basic, []string{"GIT_AUTH_HEADER=" + basic + "\nX-More: 1"}, "secret GIT_AUTH_HEADER: a header has one line"},
	} {
		at := guarded(t, tc.want, proxy)
		host := strings.TrimPrefix(at, "http://")
		for i := range tc.secrets {
			tc.secrets[i] = strings.Replace(tc.secrets[i], "HOST", host, 1)
		}
		fetch := Fetch{Secret: given(tc.secrets...), GitEnv: append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")}
		got, err := run(t, Copy{Add: true, Paths: []string{at + "/r.git#:sub"}, Dest: "/n"}, SelectOptions{Fetch: fetch}, "")
		expect(t, got, err, []string{"A /n d755", "A /n/Dockerfile f644 =sub", "A /n/s f644 =s"}, tc.err)
		temp := t.TempDir()
		c, err := Open(context.Background(), at+"/r.git#:sub", Options{Temp: temp, Fetch: fetch})
		expectContext(t, c, err, "sub", []string{"Dockerfile f644 =sub", "s f644 =s"}, tc.err, temp)
		if strings.HasPrefix(tc.err, "could not read") && !strings.Contains(hint.Of(err), "--secret id=GIT_AUTH_TOKEN") {
			t.Errorf("the hint is %q", hint.Of(err))
		}
		if err != nil && strings.Contains(err.Error(), "abc") {
			t.Errorf("the secret is in %v", err)
		}
	}
}

func TestGitSecretEnv(t *testing.T) {
	for _, tc := range []struct {
		remote  string
		env     []string
		secret  string
		want    []string
		problem bool
	}{
		{"https://example.org/a.git", nil, "GIT_AUTH_HEADER=h",
			[]string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.https://example.org/a.git.extraheader", "GIT_CONFIG_VALUE_0=Authorization: h"}, false},
		{"https://github.com/a/b.git", []string{"GIT_CONFIG_COUNT=2"}, "GIT_AUTH_HEADER.github.com=h",
			[]string{"GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_2=http.https://github.com/.extraheader", "GIT_CONFIG_VALUE_2=Authorization: h"}, false},
		{"https://github.com.example.org/a.git", nil, "GIT_AUTH_HEADER.github.com=h", nil, false},
		{"git@example.org:a.git", nil, "GIT_AUTH_HEADER=h", nil, false},
		{"ssh://git@example.org/a.git", nil, "GIT_AUTH_HEADER=h", nil, false},
		{"https://example.org/a.git", []string{"GIT_CONFIG_COUNT=x"}, "GIT_AUTH_HEADER=h", nil, true},
	} {
		f := Fetch{GitEnv: append([]string{}, tc.env...), Secret: given(tc.secret)}
		env, err := f.gitEnv(tc.remote)
		if (err != nil) != tc.problem {
			t.Errorf("%s: error %v", tc.remote, err)
		}
		var got []string
		for _, e := range env {
			if strings.HasPrefix(e, "GIT_CONFIG_") && !(len(tc.env) > 0 && e == tc.env[0]) {
				got = append(got, e)
			}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", tc.remote, d)
		}
	}
	broken := errors.New("broken")
	f := Fetch{Secret: func(string) ([]byte, bool, error) { return nil, false, broken }}
	if _, err := f.gitEnv("https://example.org/a.git"); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
