package imagecmd

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/hint"
)

// Docker Hub's answers are shown as Docker shows them.
func TestSearchTable(t *testing.T) {
	asNobody(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/search" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, `{"results":[
			{"name":"a/few","description":"one\nand two","star_count":3,"is_automated":true},
			{"name":"busybox","description":"Busybox base image, of which there is much more to say than fits","star_count":3000,"is_official":true}]}`)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, tc := range []struct {
		o    SearchOptions
		want string
	}{
		{SearchOptions{}, "NAME DESCRIPTION STARS OFFICIAL busybox Busybox base image, of which there is much m… 3000 [OK] a/few one and two 3"},
		{SearchOptions{NoTrunc: true, Format: "{{.Description}}"}, "Busybox base image, of which there is much more to say than fits\none and two\n"},
		{SearchOptions{Filters: filtersOf(t, "stars=10"), Format: "{{.Name}}"}, "busybox\n"},
		{SearchOptions{Filters: filtersOf(t, "is-official=false"), Format: "{{.Name}}"}, "a/few\n"},
		{SearchOptions{Filters: filtersOf(t, "is-automated=true"), Format: "{{.Name}}{{.IsAutomated}}"}, "a/few[OK]\n"},
	} {
		tc.o.Term, tc.o.Limit = host+"/box", 25
		var out bytes.Buffer
		if err := Search(context.Background(), tc.o, &out); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(out.String(), host+"/", "")
		if tc.o.Format == "" { // columns are as wide as the host's name makes them
			got = strings.Join(strings.Fields(got), " ")
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%+v: %s", tc.o, d)
		}
	}
}

func filtersOf(t *testing.T, list ...string) (f Filters) {
	t.Helper()
	for _, s := range list {
		if err := f.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// A rate limit is explained.
func TestRateLimit(t *testing.T) {
	asNobody(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.Header().Set("Ratelimit-Limit", "100;w=21600")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}`)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	err := Pull(context.Background(), newStore(t), PullOptions{Name: host + "/x"}, &bytes.Buffer{})
	if err == nil || err.Error() != "toomanyrequests: You have reached your pull rate limit." {
		t.Errorf("%v", err)
	}
	if text := hint.Of(err); !strings.Contains(text, "100;w=21600") || !strings.Contains(text, "2h0m0s") || !strings.Contains(text, "cfs login") {
		t.Errorf("hint: %s", text)
	}
}
