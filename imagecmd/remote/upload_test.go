package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// uploads is a registry that takes uploads as the distribution specification
// says, with what goes wrong in between.
type uploads struct {
	t     *testing.T
	got   []byte
	id    int
	done  []byte
	began int
	fail  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u.fail != nil && u.fail(w, r) {
		return
	}
	at := fmt.Sprintf("/v2/x/blobs/uploads/%d", u.id)
	switch {
	case r.URL.Path == "/v2/":
	case r.Method == http.MethodPost:
		u.id++
		u.began++
		u.got = nil
		w.Header().Set("Location", fmt.Sprintf("/v2/x/blobs/uploads/%d?state=a", u.id))
		w.WriteHeader(http.StatusAccepted)
	case r.URL.Path != at:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`)
	case r.URL.Query().Get("state") != "a":
		u.t.Errorf("the state of the upload is lost: %s", r.URL)
	case r.Method == http.MethodGet:
		u.accepted(w, at, http.StatusNoContent)
	case r.Method == http.MethodPatch || r.Method == http.MethodPut:
		if s := r.Header.Get("Content-Range"); s != "" && !strings.HasPrefix(s, fmt.Sprintf("%d-", len(u.got))) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		b, _ := io.ReadAll(r.Body)
		u.got = append(u.got, b...)
		if r.Method == http.MethodPatch {
			u.accepted(w, at, http.StatusAccepted)
			return
		}
		if digest.FromBytes(u.got) != digest.Digest(r.URL.Query().Get("digest")) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"errors":[{"code":"DIGEST_INVALID"}]}`)
			return
		}
		u.done = u.got
		w.WriteHeader(http.StatusCreated)
	}
}

func (u *uploads) accepted(w http.ResponseWriter, at string, status int) {
	w.Header().Set("Location", at+"?state=a")
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(u.got)-1, 0)))
	w.WriteHeader(status)
}

// However the connection breaks, the registry gets the blob, and what it has is
// not sent again.
func TestUpload(t *testing.T) {
	const chunk = 100_000
	blob, d := pattern(2*chunk + 1000)
	for name, tc := range map[string]struct {
		began int
		fail  func(u *uploads, n int, w http.ResponseWriter, r *http.Request) bool
	}{
		"at once": {1, nil},
		"broken in the middle of a chunk": {1, func(u *uploads, n int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch || n > 3 {
				return false
			}
			b := make([]byte, chunk/2)
			io.ReadFull(r.Body, b)
			u.got = append(u.got, b...)
			panic(http.ErrAbortHandler)
		}},
		"answer lost": {1, func(u *uploads, n int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch || n > 2 {
				return false
			}
			b, _ := io.ReadAll(r.Body)
			u.got = append(u.got, b...)
			panic(http.ErrAbortHandler)
		}},
		"forgotten": {2, func(u *uploads, n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 3 {
				u.id++ // the upload is another now
			}
			return false
		}},
		"wrong bytes arrived": {2, func(u *uploads, n int, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch && u.began == 1 && len(u.got) > chunk {
				u.got[0] ^= 1
			}
			if r.Method == http.MethodPut && u.began == 1 {
				u.got[0] ^= 1
			}
			return false
		}},
		"too busy": {1, func(_ *uploads, n int, w http.ResponseWriter, r *http.Request) bool {
			if n%3 != 1 {
				return false
			}
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, "")
			c.chunk = chunk
			u := &uploads{t: t}
			n := 0
			if tc.fail != nil {
				u.fail = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/v2/" {
						return false
					}
					n++
					return tc.fail(u, n-1, w, r)
				}
			}
			host := serve(t, u.ServeHTTP)
			mounted, up, err := repository(t, c, host+"/x", true).Mount(context.Background(), d, "")
			if mounted || err != nil {
				t.Fatal(mounted, err)
			}
			var told int64
			if err := up.Send(context.Background(), bytes.NewReader(blob), func(n int64) { told = n }); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(u.done, blob) || told != d.Size {
				t.Errorf("%d bytes arrived, %d were told", len(u.done), told)
			}
			if u.began != tc.began {
				t.Errorf("began %d times", u.began)
			}
		})
	}
}

func TestUploadFails(t *testing.T) {
	blob, d := pattern(1000)
	for name, status := range map[string]int{"denied": 403, "too large": 413, "broken for ever": 500} {
		c := newClient(t, "")
		u := &uploads{t: t, fail: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				w.WriteHeader(status)
			}
			return r.Method == http.MethodPut
		}}
		_, up, err := repository(t, c, serve(t, u.ServeHTTP)+"/x", true).Mount(context.Background(), d, "")
		if err != nil {
			t.Fatal(err)
		}
		var answer *Error
		if err := up.Send(context.Background(), bytes.NewReader(blob), nil); !errors.As(err, &answer) || answer.Status != status {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A registry that forgets an upload whose chunk was cut, as Debian's does, behind what cuts
// each connection at the same place gets the same chunks again and again; that ends.
func TestUploadForgotten(t *testing.T) {
	const chunk = 1000
	blob, d := pattern(3 * chunk)
	c := newClient(t, "")
	c.chunk = chunk
	u := &uploads{t: t}
	u.fail = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && len(u.got) == chunk {
			u.id++
			panic(http.ErrAbortHandler)
		}
		return false
	}
	_, up, err := repository(t, c, serve(t, u.ServeHTTP)+"/x", true).Mount(context.Background(), d, "")
	if err == nil {
		err = up.Send(context.Background(), bytes.NewReader(blob), nil)
	}
	if err == nil || u.began < 2 || u.began > 20 {
		t.Errorf("began %d times: %v", u.began, err)
	}
}

func TestMountAndHasBlob(t *testing.T) {
	ctx := context.Background()
	_, d := pattern(10)
	c := newClient(t, "")
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case r.Method == http.MethodHead && r.URL.Path == "/v2/has/blobs/"+string(d.Digest):
		case r.Method == http.MethodPost && q.Get("mount") == string(d.Digest) && q.Get("from") == "has":
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "/u")
			w.WriteHeader(http.StatusAccepted)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	for name, want := range map[string]bool{"has": true, "hasnt": false} {
		r := repository(t, c, host+"/"+name, true)
		if have, err := r.HasBlob(ctx, d); have != want || err != nil {
			t.Errorf("%s: %t, %v", name, have, err)
		}
		mounted, up, err := r.Mount(ctx, d, name)
		if mounted != want || err != nil || !mounted && up.at.Path != "/u" {
			t.Errorf("mount from %s: %t, %v", name, mounted, err)
		}
	}
}

func TestPut(t *testing.T) {
	c := newClient(t, "")
	var got string
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(b)
		w.Header().Set(digestHeader, string(digest.FromString("m")))
		w.WriteHeader(http.StatusCreated)
	})
	r := repository(t, c, host+"/x", true)
	d := ocispec.Descriptor{MediaType: "a/b", Digest: digest.FromString("m")}
	if err := r.Put(context.Background(), "1", d, []byte("m")); err != nil || got != "PUT /v2/x/manifests/1 a/b m" {
		t.Errorf("%q: %v", got, err)
	}
	d.Digest = digest.FromString("other")
	if err := r.Put(context.Background(), "1", d, []byte("m")); !errors.Is(err, ErrInvalid) {
		t.Errorf("stored as another: %v", err)
	}
}
