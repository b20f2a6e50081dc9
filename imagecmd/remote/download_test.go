package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// rangesFrom is the first byte a request asks for.
func rangesFrom(t *testing.T, r *http.Request) int {
	s := r.Header.Get("Range")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(s, "bytes="), "-"))
	if err != nil {
		t.Errorf("Range %q", s)
	}
	return n
}

// However a registry, or what is before it, fails to send a blob, it arrives.
func TestFetch(t *testing.T) {
	blob, d := pattern(1 << 20)
	breakOff := func() { panic(http.ErrAbortHandler) }
	for name, send := range map[string]func(w http.ResponseWriter, from, try int){
		"whole": func(w http.ResponseWriter, from, _ int) { w.Write(blob[from:]) },
		"in pieces": func(w http.ResponseWriter, from, _ int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blob)-1, len(blob)))
			w.Header().Set("Content-Length", strconv.Itoa(len(blob)-from))
			if from > 0 {
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Write(blob[from:min(from+100_000, len(blob))])
			if from+100_000 < len(blob) {
				breakOff()
			}
		},
		"no ranges": func(w http.ResponseWriter, _, try int) {
			w.Write(blob[:min(len(blob), (try+1)*300_000)])
			if (try+1)*300_000 < len(blob) {
				breakOff()
			}
		},
		"ranges refused": func(w http.ResponseWriter, from, try int) {
			if from > 0 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			if try == 0 {
				w.Write(blob[:1000])
				w.(http.Flusher).Flush()
				breakOff()
			}
			w.Write(blob)
		},
		"more of the range than asked for": func(w http.ResponseWriter, from, try int) {
			if try == 0 {
				w.Write(blob[:1000])
				w.(http.Flusher).Flush()
				breakOff()
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from-500, len(blob)-1, len(blob)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(blob[from-500:])
		},
		"ends early without a length": func(w http.ResponseWriter, from, try int) {
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blob)-1, len(blob)))
				w.WriteHeader(http.StatusPartialContent)
			}
			w.(http.Flusher).Flush()
			w.Write(blob[from:min(from+500_000, len(blob))])
		},
		"length too large": func(w http.ResponseWriter, from, _ int) {
			w.Header().Set("Content-Length", strconv.Itoa(2*len(blob)))
			w.Write(blob[from:])
		},
		"length too small": func(w http.ResponseWriter, from, _ int) {
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, len(blob)-1))
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Header().Set("Content-Length", strconv.Itoa((len(blob)-from+1)/2))
			w.Write(blob[from : from+(len(blob)-from+1)/2])
		},
		"too busy at first": func(w http.ResponseWriter, from, try int) {
			if try < 3 {
				w.WriteHeader([]int{503, 429, 500}[try])
				return
			}
			w.Write(blob[from:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, "")
			tries := 0
			host := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/x/blobs/"+string(d.Digest) {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				tries++
				send(w, rangesFrom(t, r), tries-1)
			})
			var got memory
			var told int64
			err := repository(t, c, host+"/x", false).Fetch(context.Background(), d, &got, func(n int64) { told = n })
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), blob) || told != d.Size {
				t.Errorf("%d bytes came, %d were told", got.Len(), told)
			}
		})
	}
}

// What is there is not fetched again.
func TestFetchGoesOn(t *testing.T) {
	blob, d := pattern(1000)
	c := newClient(t, "")
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from := rangesFrom(t, r)
		if from != 400 {
			t.Errorf("asked from %d", from)
		}
		w.Header().Set("Content-Range", "bytes 400-999/1000")
		w.WriteHeader(http.StatusPartialContent)
		w.Write(blob[400:])
	})
	var got memory
	got.Write(blob[:400])
	if err := repository(t, c, host+"/x", false).Fetch(context.Background(), d, &got, nil); err != nil || !bytes.Equal(got.Bytes(), blob) {
		t.Errorf("%v", err)
	}
	if err := repository(t, c, host+"/x", false).Fetch(context.Background(), d, &got, nil); err != nil {
		t.Errorf("of a blob that is whole: %v", err)
	}
}

// full is a disk without room.
type full struct{ memory }

var errFull = errors.New("no space left on device")

func (*full) Write([]byte) (int, error) { return 0, errFull }

// What can't get better ends at once; what doesn't, after some tries.
func TestFetchFails(t *testing.T) {
	_, d := pattern(1000)
	for name, tc := range map[string]struct {
		sink  Sink
		tries int
		is    func(error) bool
		send  http.HandlerFunc
	}{
		"not there": {&memory{}, 1, func(err error) bool { var e *Error; return errors.As(err, &e) && e.Status == 404 },
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
		"broken for ever": {&memory{}, 4, func(err error) bool { var e *Error; return errors.As(err, &e) && e.Status == 502 },
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }},
		"nothing comes": {&memory{}, 4, func(err error) bool { return err != nil }, func(http.ResponseWriter, *http.Request) {}},
		"disk full": {&full{}, 1, func(err error) bool { return errors.Is(err, errFull) },
			func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")) }},
		"wait for an hour": {&memory{}, 1, func(err error) bool {
			var e *Error
			return errors.As(err, &e) && e.RetryAfter.Hours() == 1 && e.Limit == "100;w=21600"
		},
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.Header().Set("Ratelimit-Limit", "100;w=21600")
				w.WriteHeader(429)
			}},
		"wrong range": {&memory{}, 1, func(err error) bool { return errors.Is(err, ErrInvalid) },
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Range", "bytes 500-999/1000")
				w.WriteHeader(206)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, "")
			tries := 0
			host := serve(t, func(w http.ResponseWriter, r *http.Request) { tries++; tc.send(w, r) })
			err := repository(t, c, host+"/x", false).Fetch(context.Background(), d, tc.sink, nil)
			if !tc.is(err) || tries != tc.tries {
				t.Errorf("%d tries: %v", tries, err)
			}
		})
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes 0-99/100", "bytes 5-9/*", "0-99", "0-0", "bytes=0-9", "-", "bytes -1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := rangeStart(s); err == nil && n < 0 {
			t.Errorf("rangeStart(%q) = %d", s, n)
		}
		if n, ok := rangeEnd(s); ok && n < 0 {
			t.Errorf("rangeEnd(%q) = %d", s, n)
		}
	})
}
