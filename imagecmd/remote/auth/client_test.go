package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// client is one of a user who is cred to everybody.
func client(cred Credential) *Client {
	return &Client{
		HTTP: http.DefaultClient, UserAgent: "cfs/test", ID: "cfs", AnyRealm: true,
		Credential: func(context.Context) (Credential, error) { return cred, nil },
		Refused: func(resp *http.Response) error {
			resp.Body.Close()
			return fmt.Errorf("refused with %d", resp.StatusCode)
		},
	}
}

func serve(t *testing.T, fn http.HandlerFunc) string {
	s := httptest.NewServer(fn)
	t.Cleanup(s.Close)
	return s.URL
}

// registry is one that takes tokens of realm.
func registry(t *testing.T, realm string, takes func(token string) bool) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && takes(token) {
			io.Copy(w, r.Body)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="s",scope="repository:x:pull"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// do makes a request with a body, and gives its status and what came back.
func do(c *Client, url string, scopes ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPut, url, strings.NewReader("body"))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req, scopes...)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

func TestToken(t *testing.T) {
	for name, tc := range map[string]struct {
		cred Credential
		want string // the request for a token; "" is none
	}{
		"nobody":        {Credential{}, "GET :: s repository:a:pull repository:x:pull,push"},
		"password":      {Credential{Username: "u", Password: "p"}, "GET u:p s repository:a:pull repository:x:pull,push"},
		"refresh token": {Credential{RefreshToken: "R"}, "POST refresh_token R cfs s repository:a:pull repository:x:pull,push"},
		"access token":  {Credential{AccessToken: "T1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			realm := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("User-Agent") != "cfs/test" {
					t.Errorf("from %q", r.Header.Get("User-Agent"))
				}
				if r.Method == http.MethodPost {
					f := func(k string) string { return r.PostFormValue(k) }
					asked = append(asked, strings.Join([]string{"POST", f("grant_type"), f("refresh_token"), f("client_id"), f("service"), f("scope")}, " "))
				} else {
					user, password, ok := r.BasicAuth()
					if !ok {
						user = ":"
					}
					asked = append(asked, fmt.Sprintf("GET %s:%s %s %s", user, password, r.FormValue("service"), strings.Join(r.Form["scope"], " ")))
				}
				fmt.Fprintf(w, `{"access_token":"T%d"}`, len(asked))
			})
			c := client(tc.cred)
			valid := "T1"
			url := registry(t, realm, func(token string) bool { return token == valid })
			for range 3 {
				if status, got, err := do(c, url, "repository:x:push", "repository:a:pull"); status != http.StatusOK || got != "body" || err != nil {
					t.Fatalf("%d %q %v", status, got, err)
				}
			}
			if got := strings.Join(asked, "\n"); got != tc.want {
				t.Errorf("asked %q instead of %q", got, tc.want)
			}
			valid = "T2" // the first has expired
			status, _, err := do(c, url, "repository:x:push", "repository:a:pull")
			if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[tc.want != ""]; status != want || err != nil {
				t.Errorf("when it has expired: %d %v", status, err)
			}
		})
	}
}

func TestNoToken(t *testing.T) {
	for text, answer := range map[string]http.HandlerFunc{
		"refused with 403":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"empty token returned": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"invalid character":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) },
	} {
		_, _, err := do(client(Credential{}), registry(t, serve(t, answer), func(string) bool { return false }))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %q is expected", err, text)
		}
	}
	no := errors.New("the file is damaged")
	c := client(Credential{})
	c.Credential = func(context.Context) (Credential, error) { return Credential{}, no }
	if _, _, err := do(c, registry(t, serve(t, nil), func(string) bool { return false })); !errors.Is(err, no) {
		t.Error(err)
	}
	c = client(Credential{})
	c.AnyRealm = false
	if _, _, err := do(c, registry(t, "https://169.254.169.254/", func(string) bool { return false })); err == nil || !strings.Contains(err.Error(), "not for others to name") {
		t.Error(err)
	}
}

func TestBasic(t *testing.T) {
	requests := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if _, password, _ := r.BasicAuth(); password != "p" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	for _, tc := range []struct {
		cred             Credential
		status, requests int // of two of them
		err              error
	}{
		{Credential{Username: "u", Password: "p"}, http.StatusOK, 3, nil},
		{Credential{Username: "u", Password: "wrong"}, http.StatusUnauthorized, 3, nil},
		{Credential{}, 0, 2, ErrNoCredential},
	} {
		c := client(tc.cred)
		requests = 0
		for range 2 {
			if status, _, err := do(c, url); status != tc.status || !errors.Is(err, tc.err) {
				t.Errorf("%v: %d %v", tc.cred, status, err)
			}
		}
		if requests != tc.requests {
			t.Errorf("%v: %d requests", tc.cred, requests)
		}
	}
	if _, _, err := do(client(Credential{Username: "u"}), url); err == nil {
		t.Error("without a password")
	}
}

// What needs the same token waits for one; that who fetches it is told to stop is no error
// of the others.
func TestOneForAll(t *testing.T) {
	var fetched atomic.Int32
	first, stopped := make(chan struct{}), make(chan struct{})
	realm := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if fetched.Add(1) == 1 {
			close(first)
			<-stopped
		}
		fmt.Fprint(w, `{"token":"T"}`)
	})
	url := registry(t, realm, func(token string) bool { return token == "T" })
	c := client(Credential{})
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if _, err := c.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("who was told to stop: %v", err)
		}
	})
	<-first
	for range 8 {
		all.Go(func() {
			if status, _, err := do(c, url); status != http.StatusOK || err != nil {
				t.Errorf("another: %d %v", status, err)
			}
		})
	}
	stop()
	close(stopped)
	all.Wait()
	if n := fetched.Load(); n != 2 {
		t.Errorf("%d tokens for those that went on and the one that did not", n)
	}
}

// A password stays with the origin it is for, whatever ways a registry sends it.
func TestRedirects(t *testing.T) {
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("another origin was told the password")
		}
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "secret") {
			t.Error("another origin was told the refresh token")
		}
		if r.URL.Path == "/challenge" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"token":"T"}`)
	})
	to := ""
	here := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok && r.URL.Path != "/token" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	})
	password := Credential{Username: "u", Password: "secret"}
	to = elsewhere + "/blob"
	if status, _, err := do(client(password), here); status != http.StatusOK || err != nil {
		t.Errorf("%d %v", status, err)
	}
	to = elsewhere + "/challenge"
	if status, _, err := do(client(password), here); status != http.StatusUnauthorized || err != nil {
		t.Errorf("a challenge from elsewhere: %d %v", status, err)
	}
	to = here + "/x"
	if _, _, err := do(client(password), here); err == nil || !strings.Contains(err.Error(), "10 redirects") {
		t.Errorf("in a ring: %v", err)
	}
	takes := func(token string) bool { return token == "T" }
	to = elsewhere + "/token"
	if status, _, err := do(client(password), registry(t, here+"/token", takes)); status != http.StatusOK || err != nil {
		t.Errorf("a token server that is elsewhere: %d %v", status, err)
	}
	if _, _, err := do(client(Credential{RefreshToken: "secret"}), registry(t, here+"/token", takes)); err == nil || !strings.Contains(err.Error(), "refusing to resend") {
		t.Errorf("a token server that sends the refresh token elsewhere: %v", err)
	}
	to = "https://169.254.169.254/"
	c := client(password)
	c.AnyRealm = false // its own host may be named, though
	if _, _, err := do(c, registry(t, here+"/token", takes)); err == nil || !strings.Contains(err.Error(), "redirect of token request rejected") {
		t.Errorf("a token server that sends us to the cloud's secrets: %v", err)
	}
}
