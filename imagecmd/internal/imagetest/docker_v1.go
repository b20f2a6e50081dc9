package imagetest

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A V1 is an archive as Docker wrote it before 1.10: images of one layer each,
// with IDs drawn by lot and no digests.
type V1 struct {
	entries []Entry
	repos   map[string]map[string]string
	n       int
}

// Add adds an image on top of parent, which may be "", and returns its ID.
func (v *V1) Add(t testing.TB, parent string, layer []byte) string {
	t.Helper()
	v.n++
	id := digest.FromString(fmt.Sprint("drawn by lot ", v.n)).Encoded()
	c := map[string]any{
		"id": id, "created": fmt.Sprintf("2015-06-07T08:09:%02dZ", v.n), "author": "somebody", "docker_version": "1.9.1",
		"container_config": map[string]any{"Cmd": []string{"/bin/sh", "-c", fmt.Sprint("make ", v.n)}},
		"config":           map[string]any{"Cmd": []string{"sh"}, "Env": []string{"PATH=/bin"}},
		"architecture":     "amd64", "os": "linux", "Size": len(layer),
	}
	if parent != "" {
		c["parent"] = parent
	}
	v.entries = append(v.entries,
		Entry{Name: id + "/"}, Entry{Name: id + "/VERSION", Data: "1.0"},
		Entry{Name: id + "/json", Data: string(JSON(t, c))}, Entry{Name: id + "/layer.tar", Data: string(layer)})
	return id
}

// Tag names an image.
func (v *V1) Tag(id, repo, tag string) {
	if v.repos == nil {
		v.repos = map[string]map[string]string{}
	}
	if v.repos[repo] == nil {
		v.repos[repo] = map[string]string{}
	}
	v.repos[repo][tag] = id
}

// Entries is the archive; without tags it has no repositories.
func (v *V1) Entries(t testing.TB) []Entry {
	t.Helper()
	if v.repos == nil {
		return v.entries
	}
	return append(v.entries, Entry{Name: "repositories", Data: string(JSON(t, v.repos))})
}
