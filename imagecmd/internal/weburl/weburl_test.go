package weburl

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestIs(t *testing.T) {
	for s, want := range map[string]bool{"http://a/b": true, "https://a": true, "ftp://a": false, "HTTP://a": false, "a.tar": false, "-": false} {
		if Is(s) != want {
			t.Errorf("Is(%q) is not %v", s, want)
		}
	}
}

func TestGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			io.WriteString(w, r.Header.Get("Accept-Encoding"))
		case "/cut":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "half")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	read := func(path string) (string, error) {
		resp, err := Get(context.Background(), nil, server.URL+path, "")
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	if got, err := read("/file"); err != nil || got != "identity" {
		t.Errorf("%q, error %v", got, err)
	}
	if _, err := read("/cut"); err == nil {
		t.Error("half a body is whole")
	}
	if _, err := Get(context.Background(), nil, strings.Replace(server.URL, "//", "//name:secret@", 1)+"/none", ""); err == nil ||
		!strings.HasSuffix(err.Error(), "/none with status 404 Not Found") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}
