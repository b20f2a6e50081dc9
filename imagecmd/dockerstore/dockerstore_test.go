package dockerstore

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/archive"
	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/internal/reference"
	"github.com/cfs-project/cfs/internal/testdocker"
)

// layers have all that a layer can do to those below it.
func layers(t testing.TB) [][]byte {
	return [][]byte{
		it.Tar(t, it.Entry{Name: "a/"}, it.Entry{Name: "a/f", Data: strings.Repeat("base", 10_000)}, it.Entry{Name: "a/gone", Data: "g"},
			it.Entry{Name: "o/"}, it.Entry{Name: "o/hidden", Data: "h"}, it.Entry{Name: "l", Link: "a/f"}),
		it.Tar(t, it.Entry{Name: "a/"}, it.Entry{Name: "a/.wh.gone"}, it.Entry{Name: "a/new", Data: "n"},
			it.Entry{Name: "o/"}, it.Entry{Name: "o/.wh..wh..opq"}, it.Entry{Name: "o/shown", Data: "s"}),
		it.Tar(t, it.Entry{Name: "a/"}, it.Entry{Name: "a/f", Data: "other"}, it.Entry{Name: "empty"}),
	}
}

func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to write whiteouts as overlay2 does")
	}
}

func made(t testing.TB, driver string) *testdocker.Store {
	t.Helper()
	return &testdocker.Store{Dir: t.TempDir(), Driver: driver}
}

func add(t testing.TB, s *testdocker.Store, name string, layers ...[]byte) digest.Digest {
	t.Helper()
	id, err := s.Add(name, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func open(t testing.TB, dir, driver string) *Store {
	t.Helper()
	s, err := Open(dir, driver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func read(t testing.TB, f archive.File) []byte {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every driver's layers are the tars that they were made of.
func TestLayersAreTheirTars(t *testing.T) {
	needsRoot(t)
	for _, driver := range testdocker.Drivers {
		t.Run(driver, func(t *testing.T) {
			d := made(t, driver)
			id := add(t, d, "x/y:1", layers(t)...)
			images, err := open(t, d.Dir, "").Images()
			if err != nil || len(images) != 1 {
				t.Fatal(images, err)
			}
			img := images[0]
			if img.ID != id || digest.FromBytes(img.RawConfig) != id || len(img.Anew) > 0 {
				t.Errorf("image %s is %s, anew: %v", id, img.ID, img.Anew)
			}
			for i, want := range layers(t) {
				if got := read(t, img.Layers[i].File); !bytes.Equal(got, want) {
					t.Errorf("layer %d has other bytes", i)
				}
			}
		})
	}
}

// Without a tar-split all drivers' layers are made anew, as the same tars.
func TestLayersAnew(t *testing.T) {
	needsRoot(t)
	var want [][]byte
	for _, driver := range testdocker.Drivers {
		d := made(t, driver)
		d.NoSplit = true
		add(t, d, "x:1", layers(t)...)
		images, err := open(t, d.Dir, driver).Images()
		if err != nil || len(images) != 1 || len(images[0].Anew) != 3 || images[0].MakeConfig == nil {
			t.Fatal(driver, images, err)
		}
		var got [][]byte
		for _, l := range images[0].Layers {
			got = append(got, read(t, l.File))
		}
		if want == nil {
			want = got
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%s: layer %d is another than %s's", driver, i, testdocker.Drivers[0])
			}
		}
		raw, err := images[0].MakeConfig([]digest.Digest{digest.FromString("a")})
		if err != nil || !strings.Contains(string(raw), string(digest.FromString("a"))) || !strings.Contains(string(raw), `"1.12.6"`) {
			t.Errorf("%s: the config for other layers: %s, %v", driver, raw, err)
		}
	}
}

func TestWhichImages(t *testing.T) {
	d := made(t, "vfs")
	l := layers(t)[:1]
	tar := func(name string) [][]byte { return append(l, it.Tar(t, it.Entry{Name: name})) }
	named, child, nameless := add(t, d, "x:1", tar("a")...), add(t, d, "", tar("b")...), add(t, d, "", tar("c")...)
	step := add(t, d, "", tar("d")...)
	for _, c := range []digest.Digest{child, nameless} {
		if err := d.Child(c, step); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, d.Dir, "")
	ids := func(want ...string) map[digest.Digest]int {
		images, err := s.Images(want...)
		if err != nil {
			t.Fatal(err)
		}
		out := map[digest.Digest]int{}
		for _, img := range images {
			out[img.ID] = len(img.Names)
		}
		return out
	}
	for _, tc := range []struct {
		want []string
		ids  map[digest.Digest]int
	}{
		{nil, map[digest.Digest]int{named: 1, child: 0, nameless: 0}},
		{[]string{"x:1"}, map[digest.Digest]int{named: 1}},
		{[]string{"docker.io/library/x:1", named.Encoded()[:12]}, map[digest.Digest]int{named: 1}},
		{[]string{string(step), child.Encoded()}, map[digest.Digest]int{step: 0, child: 0}},
	} {
		if diff := cmp.Diff(tc.ids, ids(tc.want...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.want, diff)
		}
	}
	for _, none := range []string{"x", "x:2", "", "sha256:"} {
		if _, err := s.Images(none); !errors.Is(err, ErrNoImage) {
			t.Errorf("%q: %v", none, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	two := made(t, "vfs")
	add(t, two, "x:1", layers(t)[0])
	other := &testdocker.Store{Dir: two.Dir, Driver: "aufs"}
	add(t, other, "x:1", layers(t)[0])
	mapper := t.TempDir()
	graph := t.TempDir()
	for _, dir := range []string{mapper + "/image/devicemapper/imagedb", graph + "/graph"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ dir, driver, want string }{
		{two.Dir, "", "several drivers have images there: aufs, vfs (--driver)"},
		{two.Dir, "overlay", "driver overlay has no images there (there are those of: aufs, vfs)"},
		{mapper, "", "docker save"},
		{graph, "", "Docker 1.9 or older"},
		{t.TempDir(), "", "no Docker has kept images there"},
		{filepath.Join(mapper, "nosuch"), "", "no such file"},
	} {
		s, err := Open(tc.dir, tc.driver)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("driver %q: %v, want %q", tc.driver, err, tc.want)
		}
		if s != nil {
			s.Close()
		}
	}
	if s := open(t, two.Dir, "aufs"); s.Driver() != "aufs" {
		t.Error(s.Driver())
	}
}

// What is damaged is told, and nothing is followed out of a layer.
func TestDamaged(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(t *testing.T, dir string)
		want   string
	}{
		"config":   {func(t *testing.T, dir string) { edit(t, dir+"/image/vfs/imagedb/content/sha256/*", "{}") }, "its config has the digest"},
		"cache-id": {func(t *testing.T, dir string) { edit(t, dir+"/image/vfs/layerdb/sha256/*/cache-id", "../../..") }, "cache ID"},
		"no tree":  {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/vfs")) }, "no such file"},
		"content":  {func(t *testing.T, dir string) { edit(t, dir+"/vfs/dir/*/a/gone", "G") }, "checksum"},
		"missing":  {func(t *testing.T, dir string) { must(t, os.Remove(glob(t, dir+"/vfs/dir/*/a/gone"))) }, "no such file"},
		"a link out": {func(t *testing.T, dir string) {
			at := glob(t, dir+"/vfs/dir/*/a/gone")
			must(t, os.Remove(at))
			must(t, os.Symlink("/etc/passwd", at))
		}, "escapes"},
		"a FIFO": {func(t *testing.T, dir string) {
			at := glob(t, dir+"/vfs/dir/*/a/gone")
			must(t, os.Remove(at))
			must(t, unix.Mkfifo(at, 0o600))
		}, "no regular file"},
		"tar-split":    {func(t *testing.T, dir string) { edit(t, dir+"/image/vfs/layerdb/sha256/*/tar-split.json.gz", "{") }, "tar-split"},
		"repositories": {func(t *testing.T, dir string) { edit(t, dir+"/image/vfs/repositories.json", "[]") }, "repositories.json"},
	} {
		t.Run(name, func(t *testing.T) {
			d := made(t, "vfs")
			add(t, d, "x:1", layers(t)[0])
			tc.damage(t, d.Dir)
			images, err := open(t, d.Dir, "").Images()
			for _, img := range images {
				for _, l := range img.Layers {
					r, err2 := l.File.Open()
					if err2 == nil {
						_, err2 = io.Copy(io.Discard, r)
						r.Close()
					}
					err = errors.Join(err, err2)
				}
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func glob(t *testing.T, pattern string) string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) != 1 {
		t.Fatalf("%s: %v, %v", pattern, all, err)
	}
	return all[0]
}

func edit(t *testing.T, pattern, text string) {
	t.Helper()
	must(t, os.WriteFile(glob(t, pattern), []byte(text), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents are files by name.
type contents map[string]string

func (c contents) Get(name string) (io.ReadCloser, error) {
	text, ok := c[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

var _ storage.FileGetter = contents{}

// Whatever a tar-split says, a tar comes of it or an error.
func FuzzAssemble(f *testing.F) {
	for _, tar := range layers(f) {
		split, err := testdocker.Split(tar)
		must(f, err)
		f.Add(split)
	}
	f.Add([]byte(`{"type":2,"payload":"AAAA","position":0}` + "\n" + `{"type":1,"name":"a/f","size":3,"payload":null,"position":1}`))
	f.Fuzz(func(t *testing.T, split []byte) {
		plain, _, err := archive.Decompress(bytes.NewReader(split), 0)
		if err != nil {
			return
		}
		defer plain.Close()
		var out bytes.Buffer
		if err := assemble(plain, contents{"a/f": "f", "a/new": "n", "a/gone": "g"}, &out); err == nil && out.Len() > 1<<26 {
			t.Errorf("%d bytes of %d", out.Len(), len(split))
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add([]byte(`{"Repositories":{"x":{"x:1":"sha256:` + strings.Repeat("a", 64) + `","x@sha256:` + strings.Repeat("b", 64) + `":"sha256:c"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out := map[digest.Digest][]reference.Named{}
		if err := parseNames(raw, out); err != nil && !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	})
}
