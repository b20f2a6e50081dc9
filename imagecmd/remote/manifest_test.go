package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

func TestManifest(t *testing.T) {
	ctx := context.Background()
	want := digest.FromString(aManifest)
	for name, tc := range map[string]struct {
		ref  string
		send http.HandlerFunc
		ok   bool
	}{
		"good":      {"1", func(w http.ResponseWriter, _ *http.Request) { sendManifest(w) }, true},
		"by digest": {string(want), func(w http.ResponseWriter, _ *http.Request) { sendManifest(w) }, true},
		"without headers": {"1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, aManifest)
		}, true},
		"of another digest": {"1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(digestHeader, string(digest.FromString("x")))
			fmt.Fprint(w, aManifest)
		}, false},
		"not the one asked for": {string(digest.FromString("x")), func(w http.ResponseWriter, _ *http.Request) { sendManifest(w) }, false},
		"too large": {"1", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(make([]byte, store.MaxDocument+1))
		}, false},
		"truncated": {"1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, aManifest)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, "")
			host := serve(t, tc.send)
			d, raw, err := repository(t, c, host+"/x", false).Manifest(ctx, tc.ref)
			if tc.ok != (err == nil) {
				t.Fatal(err)
			}
			if tc.ok && (string(raw) != aManifest || d.Digest != want || d.Size != int64(len(aManifest))) {
				t.Errorf("%v, %s", d, raw)
			}
		})
	}
}

// What a registry answers is said in its words, without what could steer a terminal.
func TestErrors(t *testing.T) {
	for body, want := range map[string]string{
		`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}`: "manifest unknown: manifest unknown",
		`{"errors":[{"code":"DENIED","message":"no\u001b[2J"}]}`:                                     "denied: no [2J",
		`{"errors":[{"code":"NAME_UNKNOWN"}]}`:                                                       "name unknown: name unknown",
		`<html>`:                                                                                     "404 Not Found",
		``:                                                                                           "404 Not Found",
	} {
		c := newClient(t, "")
		host := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, body)
		})
		_, _, err := repository(t, c, host+"/x", false).Manifest(context.Background(), "1")
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestDocument(t *testing.T) {
	ctx := context.Background()
	c := newClient(t, "")
	config := "{}"
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/x/manifests/" + string(digest.FromString(aManifest)):
			sendManifest(w)
		case "/v2/x/blobs/" + string(digest.FromString(config)):
			fmt.Fprint(w, config)
		case "/v2/x/blobs/" + string(digest.FromString("wrong")):
			fmt.Fprint(w, "other")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	r := repository(t, c, host+"/x", false)
	for _, d := range []ocispec.Descriptor{
		{Digest: digest.FromString(aManifest)},
		{Digest: digest.FromString(aManifest), MediaType: ocispec.MediaTypeImageManifest, Size: int64(len(aManifest))},
		{Digest: digest.FromString(config)},
		{Digest: digest.FromString(config), MediaType: ocispec.MediaTypeImageConfig},
	} {
		if _, err := r.Document(ctx, d); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	for _, d := range []ocispec.Descriptor{
		{Digest: digest.FromString("none")},
		{Digest: digest.FromString("wrong"), MediaType: ocispec.MediaTypeImageConfig},
		{Digest: "sha256:../../etc"},
		{Digest: digest.FromString(config), MediaType: ocispec.MediaTypeImageConfig, Size: store.MaxDocument + 1},
		{Digest: digest.FromString(aManifest), MediaType: ocispec.MediaTypeImageManifest, Size: 1},
	} {
		if _, err := r.Document(ctx, d); err == nil {
			t.Errorf("%v is taken", d)
		}
	}
}

func TestTagsInPages(t *testing.T) {
	c := newClient(t, "")
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/x/tags/list" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		switch r.URL.Query().Get("last") {
		case "":
			w.Header().Set("Link", `</v2/x/tags/list?last=2&n=2>; rel="next"`)
			fmt.Fprint(w, `{"tags":["1","2"]}`)
		case "2":
			w.Header().Set("Link", `<list?last=4>; rel="next"`)
			fmt.Fprint(w, `{"tags":["3","4"]}`)
		default:
			fmt.Fprint(w, `{"tags":["5"]}`)
		}
	})
	tags, err := repository(t, c, host+"/x", false).Tags(context.Background())
	if err != nil || !slices.Equal(tags, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("%v, %v", tags, err)
	}
	if _, err := repository(t, c, host+"/y", false).Tags(context.Background()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}

func TestPagesThatLeadAway(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("another host is asked") })
	for name, link := range map[string]string{
		"elsewhere": "<http://" + elsewhere + "/v2/x/tags/list>", "in a ring": "<list?last=1>", "by no link": "list", "without an end": "<list", "nowhere": "<:>",
	} {
		c := newClient(t, "")
		host := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", link)
			fmt.Fprint(w, `{"tags":["1"]}`)
		})
		if _, err := repository(t, c, host+"/x", false).Tags(context.Background()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newClient(t, "")
	host := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tags":1}`) })
	if _, err := repository(t, c, host+"/x", false).Tags(context.Background()); !errors.Is(err, ErrInvalid) {
		t.Errorf("no list: %v", err)
	}
}

// Mirrors are asked first, and what they don't have is the registry's.
func TestMirrors(t *testing.T) {
	ctx := context.Background()
	blob, d := pattern(100)
	var asked []string
	mirror := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, "mirror "+r.URL.Path)
		if strings.Contains(r.URL.Path, "/manifests/") {
			sendManifest(w)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	})
	registry := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, "registry "+r.URL.Path)
		w.Write(blob)
	})
	c := newClient(t, "[[registry]]\nprefix = \"hub.example.com\"\nlocation = \""+registry+"\"\n[[registry.mirror]]\nlocation = \""+mirror+"/hub\"")
	r := repository(t, c, "hub.example.com/x", false)
	if _, err := r.Head(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the one that had it is asked first then
		var got memory
		if err := r.Fetch(ctx, d, &got, nil); err != nil {
			t.Fatal(err)
		}
	}
	b := "/blobs/" + string(d.Digest)
	want := []string{"mirror /v2/", "mirror /v2/hub/x/manifests/1", "mirror /v2/hub/x" + b, "registry /v2/", "registry /v2/x" + b, "registry /v2/x" + b}
	asked = slices.DeleteFunc(asked, func(s string) bool { return strings.HasSuffix(s, "/v2/") })
	want = slices.DeleteFunc(want, func(s string) bool { return strings.HasSuffix(s, "/v2/") })
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	asked = nil
	if _, err := repository(t, c, "hub.example.com/x", true).HasBlob(ctx, d); err != nil || len(asked) != 1 || asked[0] != "registry /v2/x"+b {
		t.Errorf("a push asked %q: %v", asked, err)
	}
}

func TestSearch(t *testing.T) {
	ctx := context.Background()
	c := newClient(t, "")
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/search" || r.URL.RawQuery != "q=a%2Fb&n=2" {
			t.Errorf("%s", r.URL)
		}
		fmt.Fprint(w, `{"num_results":3,"results":[{"name":"a/b","description":"d","star_count":7,"is_official":true},{"name":"a/bc"},{"name":"a/bd"}]}`)
	})
	got, err := c.Search(ctx, hub, "a/b", 2)
	if err != nil || len(got) != 2 || got[0] != (Result{Name: "a/b", Description: "d", Stars: 7, Official: true}) {
		t.Errorf("%+v, %v", got, err)
	}
	private := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v2/_catalog":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Query().Get("last") == "":
			w.Header().Set("Link", `</v2/_catalog?last=b>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["a","team/app"]}`)
		default:
			fmt.Fprint(w, `{"repositories":["app","z"]}`)
		}
	})
	for _, tc := range []struct {
		term  string
		limit int
		want  []string
	}{{"app", 25, []string{"team/app", "app"}}, {"", 25, []string{"a", "team/app", "app", "z"}}, {"a", 2, []string{"a", "team/app"}}, {"none", 25, nil}} {
		got, err := c.Search(ctx, private, tc.term, tc.limit)
		var names []string
		for _, r := range got {
			names = append(names, r.Name)
		}
		if err != nil || !slices.Equal(names, tc.want) {
			t.Errorf("%q: %q, %v", tc.term, names, err)
		}
	}
}
