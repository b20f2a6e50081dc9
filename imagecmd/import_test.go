package imagecmd

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

func TestImportURL(t *testing.T) {
	tar := it.Tar(t, it.Entry{Name: "f", Data: strings.Repeat("x", 100_000)})
	mux := http.NewServeMux()
	mux.HandleFunc("/root.tar", func(w http.ResponseWriter, _ *http.Request) { w.Write(tar) })
	mux.HandleFunc("/moved.tar.gz", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/root.tar.gz", http.StatusFound) })
	mux.HandleFunc("/root.tar.gz", func(w http.ResponseWriter, _ *http.Request) { w.Write(it.Gzip(t, tar)) })
	mux.HandleFunc("/half.tar", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(tar)))
		w.Write(tar[:len(tar)/2])
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	st := newStore(t)
	var out bytes.Buffer
	for _, name := range []string{"/root.tar", "/moved.tar.gz"} {
		if err := Import(context.Background(), st, ImportOptions{Input: srv.URL + name, Name: "fetched"}, &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img := mustChain(t, st, "fetched")
		if got, want := img.Config.History[0].Comment, "Imported from "+srv.URL+name; got != want {
			t.Errorf("history says %q, want %q", got, want)
		}
	}
	for name, want := range map[string]string{"/half.tar": io.ErrUnexpectedEOF.Error(), "/none.tar": "404 Not Found"} {
		err := Import(context.Background(), st, ImportOptions{Input: srv.URL + name, Name: "bad"}, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := st.Resolve(context.Background(), "bad"); err == nil {
		t.Error("what could not be fetched is an image")
	}
	noTemps(t, st)
}
