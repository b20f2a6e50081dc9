package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What is read of an index for one name finds the same lines as what is read of all.
func TestLinesAboutAName(t *testing.T) {
	names := []string{
		"", "debian", "debian:latest", "docker.io/library/debian", "docker.io/debian:latest", "index.docker.io/library/debian:latest",
		"debian:12", "quay.io/x/debian", "x/debian", "debian2", "ubuntu", "localhost:5000/ubuntu:latest", "not a NAME",
		"debian@sha256:" + strings.Repeat("a", 64), "debian:12@sha256:" + strings.Repeat("a", 64),
	}
	r := rand.New(rand.NewPCG(1, 2))
	s := newStore(t)
	found := 0
	for round := range 1000 {
		x := index{SchemaVersion: 2, Manifests: []line{}}
		for range r.IntN(8) {
			d := digest.FromString(fmt.Sprint(r.IntN(4)))
			a := map[string]string{"note": []string{`"}],`, "}],"}[r.IntN(2)]} // with an escape or without
			if n := names[r.IntN(len(names))]; n != "" {
				a[ocispec.AnnotationRefName] = n
			}
			x.Manifests = append(x.Manifests, line{Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1, Annotations: a}})
		}
		raw, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 { // as others may write it
			raw = bytes.ReplaceAll(raw, []byte("debian"), []byte(`deb\u0069an`))
			var b bytes.Buffer
			if err := json.Indent(&b, raw, " ", "\t"); err != nil {
				t.Fatal(err)
			}
			raw = b.Bytes()
		}
		all, err := s.parseIndex(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names[1:] {
			near, ok := linesAbout(raw, name)
			if !ok {
				if name == "not a NAME" {
					continue
				}
				t.Fatalf("%s can't be read for %s", raw, name)
			}
			want := all.withName(name)
			if want != nil {
				found++
			}
			if diff := cmp.Diff(describeAll(want), describeAll(near.withName(name))); diff != "" {
				t.Fatalf("%s: in %s: %s", name, raw, diff)
			}
		}
	}
	if found == 0 {
		t.Error("no name was ever found")
	}
}

func describeAll(x *index) []string {
	if x == nil {
		return nil
	}
	out := []string{}
	for _, l := range x.Manifests {
		out = append(out, string(l.Digest)+" "+l.Annotations[ocispec.AnnotationRefName])
	}
	return out
}

// What splitIndex splits, encoding/json splits the same way, if it is JSON at all.
func FuzzSplitIndex(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"manifests":[]}`,
		` { "manifests" : [ {"digest":"a"} , {"b":[{"c":"}]\"\\"}]} ] , "schemaVersion" : 2 } `,
		`{"schemaVersion":2,"manifests":[1,true,"x"],"annotations":{"a":"b"}}`,
		`{"schemaVersion":2,"Manifests":[1],"manifests":[2]}`,
		`{"schemaVersion":2,"manifests":[{}`,
		`{"schemaVersion":2,"manifests":[]}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		lines, ok := splitIndex(raw)
		if !ok || !json.Valid(raw) {
			return
		}
		var want struct {
			SchemaVersion int               `json:"schemaVersion"`
			Manifests     []json.RawMessage `json:"manifests"`
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if want.SchemaVersion != 2 || len(want.Manifests) != len(lines) {
			t.Fatalf("%q: %d lines, not %d", raw, len(lines), len(want.Manifests))
		}
		for i, l := range lines {
			if !bytes.Equal(l, want.Manifests[i]) {
				t.Errorf("%q: line %d is %q, not %q", raw, i, l, want.Manifests[i])
			}
		}
	})
}

// Whether a target has gone from an index is what a decoding of all of it says.
func TestGone(t *testing.T) {
	s := newStore(t)
	here, other := digest.FromString("here"), digest.FromString("other")
	if err := os.MkdirAll(s.LayoutDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	hidden := strings.Replace(string(here), "s", `\u0073`, 1)
	for _, c := range []struct {
		index string
		gone  bool
	}{
		{`{"schemaVersion":2,"manifests":[{"mediaType":"m","size":1,"digest":"` + string(here) + `"}]}`, false},
		{`{"schemaVersion":2,"manifests":[{"mediaType":"m","size":1,"digest":"` + hidden + `"}]}`, false},
		{`{"schemaVersion":2,"Manifests":[{"mediaType":"m","size":1,"digest":"` + string(here) + `"}]}`, false},
		{`{"schemaVersion":2,"manifests":[{"mediaType":"m","size":1,"digest":"` + string(other) + `","annotations":{"of":"` + string(here) + `"}}]}`, true},
		{`{"schemaVersion":2,"manifests":[]}`, true},
		{`{"schemaVersion":2,"manifests":[`, false}, // nobody knows
	} {
		if err := os.WriteFile(s.indexPath(), []byte(c.index), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := s.gone(line{Descriptor: ocispec.Descriptor{Digest: here}}); got != c.gone {
			t.Errorf("%s: gone: %v", c.index, got)
		}
	}
}
