package remote

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/internal/reference"
)

// newClient is a client of a user who has no files but a registries.conf with
// that text, and who does not wait long.
func newClient(t *testing.T, conf string) *Client {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("DOCKER_CONFIG", filepath.Join(home, "docker"))
	path := filepath.Join(home, "registries.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_REGISTRIES_CONF", path)
	c, err := New(Options{UserAgent: "cfs/test", Backoff: Backoff{First: time.Millisecond, Max: 10 * time.Millisecond, Tries: 4}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// login gives the client's user credentials.
func login(t *testing.T, host, user, password string) {
	t.Helper()
	dir := os.Getenv("DOCKER_CONFIG")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"auths":{"` + host + `":{"username":"` + user + `","password":"` + password + `"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve starts a registry that fn is, but for the request by which clients find
// out whether it speaks TLS.
func serve(t *testing.T, fn http.HandlerFunc) (host string) {
	t.Helper()
	s := httptest.NewServer(fn)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return strings.TrimPrefix(s.URL, "http://")
}

func repository(t *testing.T, c *Client, name string, push bool) *Repository {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Pull(ref, false)
	if push {
		r, err = c.Push(ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pattern is a blob without repetitions, of so many bytes.
func pattern(n int) ([]byte, ocispec.Descriptor) {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b, ocispec.Descriptor{Digest: digest.FromBytes(b), Size: int64(n)}
}

// memory is a Sink.
type memory struct{ bytes.Buffer }

func (m *memory) Len() int64 { return int64(m.Buffer.Len()) }
