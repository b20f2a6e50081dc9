package imagecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/archive"
	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// oldArchive has two images that share their base, one of them with two tags and
// one that only its ID names.
func oldArchive(t testing.TB) (*it.V1, [][]byte) {
	layers := [][]byte{
		it.Tar(t, it.Entry{Name: "a/"}, it.Entry{Name: "a/f", Data: strings.Repeat("base", 100_000)}),
		it.Tar(t, it.Entry{Name: "a/.wh.f"}, it.Entry{Name: "b", Data: "b"}),
		it.Tar(t, it.Entry{Name: "c", Data: "c"}),
	}
	v := &it.V1{}
	base := v.Add(t, "", layers[0])
	top := v.Add(t, base, layers[1])
	v.Add(t, base, layers[2])
	v.Tag(top, "x/y", "1")
	v.Tag(top, "debian", "latest")
	return v, layers
}

// Images that Docker wrote before 1.10 get their digests on the way in, the ones
// that Docker gives them, and the same ones again.
func TestLoadBeforeDocker110(t *testing.T) {
	v, layers := oldArchive(t)
	tar := it.Tar(t, v.Entries(t)...)
	dir := t.TempDir()
	untar := exec.Command("tar", "x", "-C", dir)
	untar.Stdin = bytes.NewReader(tar)
	if b, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, b)
	}
	ids := map[string]bool{}
	for how, o := range map[string]LoadOptions{
		"file":  {Input: it.File(t, "a.tar", tar)},
		"stdin": {Stdin: io.MultiReader(bytes.NewReader(tar))},
		"dir":   {Input: dir},
	} {
		st := newStore(t)
		var out bytes.Buffer
		if err := Load(context.Background(), st, o, &out); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 4 || lines[0] != "Loaded image: debian:latest" || lines[1] != "Loaded image: x/y:1" || !strings.HasPrefix(lines[2], "Loaded image ID: sha256:") {
			t.Fatalf("%s: said\n%s", how, out.String())
		}
		img := mustChain(t, st, "x/y:1")
		ids[string(img.ID)] = true
		want := []digest.Digest{digest.FromBytes(layers[0]), digest.FromBytes(layers[1])}
		if diff := cmp.Diff(want, img.Config.RootFS.DiffIDs); diff != "" || img.Size != 400_001 {
			t.Errorf("%s: size %d, diff IDs -want +got:\n%s", how, img.Size, diff)
		}
		if diff := cmp.Diff([]string{"sh"}, img.Config.Config.Cmd); diff != "" {
			t.Errorf("%s: %s", how, diff)
		}
		other := mustChain(t, st, strings.TrimPrefix(lines[2], "Loaded image ID: "))
		if len(other.Names) != 0 || other.Config.RootFS.DiffIDs[0] != want[0] || other.Config.RootFS.DiffIDs[1] != digest.FromBytes(layers[2]) {
			t.Errorf("%s: the nameless one is %+v", how, other)
		}
		noTemps(t, st)
	}
	if len(ids) != 1 {
		t.Errorf("one image has the IDs %v", ids)
	}
}

// The config is what moby's image/v1.MakeConfigFromV1Config makes, to the byte,
// as the image ID is its digest.
func TestConfigBeforeDocker110(t *testing.T) {
	v, layers := oldArchive(t)
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, v.Entries(t)...)))
	img := mustChain(t, st, "debian")
	raw, err := os.ReadFile(st.LayoutDir() + "/blobs/sha256/" + img.ID.Encoded())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"architecture":"amd64","author":"somebody","config":{"Cmd":["sh"],"Env":["PATH=/bin"]},` +
		`"container_config":{"Cmd":["/bin/sh","-c","make 2"]},"created":"2015-06-07T08:09:02Z","docker_version":"1.9.1",` +
		`"history":[{"created":"2015-06-07T08:09:01Z","author":"somebody","created_by":"/bin/sh -c make 1"},` +
		`{"created":"2015-06-07T08:09:02Z","author":"somebody","created_by":"/bin/sh -c make 2"}],"os":"linux",` +
		`"rootfs":{"type":"layers","diff_ids":["` + digest.FromBytes(layers[0]).String() + `","` + digest.FromBytes(layers[1]).String() + `"]}}`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadRefusesBadV1Archives(t *testing.T) {
	good, _ := oldArchive(t)
	entries := good.Entries(t)
	hex := strings.Repeat("ab", 32)
	image := func(parent string) []it.Entry {
		raw, _ := json.Marshal(map[string]any{"parent": parent})
		return []it.Entry{{Name: hex + "/json", Data: string(raw)}, {Name: hex + "/layer.tar", Data: string(it.Tar(t))}}
	}
	repositories := func(text string) []it.Entry { return []it.Entry{{Name: "repositories", Data: text}} }
	for name, tc := range map[string]struct {
		entries []it.Entry
		want    string
	}{
		"no image":           {repositories(`{}`), "neither manifest.json"},
		"a tag of nothing":   {append(repositories(`{"x":{"1":"`+hex+`"}}`), entries[:4]...), "is not in it"},
		"no such parent":     {image(strings.Repeat("cd", 32)), "is not in it"},
		"its own parent":     {append(repositories(`{"x":{"1":"`+hex+`"}}`), image(hex)...), "ancestors"},
		"repositories: junk": {append(repositories(`[]`), image("")...), "repositories"},
		"repositories: name": {append(repositories(`{"X":{"1":"`+hex+`"}}`), image("")...), "invalid name"},
		"repositories: ID":   {append(repositories(`{"x":{"1":"../../etc"}}`), image("")...), "invalid ID"},
		"json: junk":         {[]it.Entry{{Name: hex + "/json", Data: "{"}, {Name: hex + "/layer.tar"}}, "json"},
	} {
		st := newStore(t)
		err := Load(context.Background(), st, LoadOptions{Input: it.File(t, "a.tar", it.Tar(t, tc.entries...))}, io.Discard)
		if !errors.Is(err, archive.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		noTemps(t, st)
	}
}
