package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "./a": "a", "a/b/": "a/b", "a//b": "a/b", "a/./b": "a/b", ".": ".", "a..b/..c": "a..b/..c",
		"": "", "/a": "", "..": "", "a/..": "", "a/../b": "", "../a": "", "a\x00b": "",
	} {
		got, err := cleanName(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestSymlinkTarget(t *testing.T) {
	for _, tc := range [][3]string{
		{"a/layer.tar", "../b/layer.tar", "b/layer.tar"},
		{"a/layer.tar", "../../b", ""},
		{"a", "/etc/passwd", ""},
		{"a/b/c", "d", "a/b/d"},
		{"a", "..", ""},
	} {
		got, err := symlinkTarget(tc[0], tc[1])
		if got != tc[2] || (err != nil) != (tc[2] == "") {
			t.Errorf("%v: %q, %v", tc, got, err)
		}
	}
}

// memory is an archive of the names of a map.
type memory map[string]string

func (m memory) Close() error { return nil }

func (m memory) Top() ([]string, error) {
	t := newTable()
	for name := range m {
		t.files[name] = File{}
	}
	return t.Top()
}

func (m memory) File(name string) (File, error) {
	key, err := cleanName(name)
	if err != nil {
		return File{}, err
	}
	s, ok := m[key]
	if !ok {
		return File{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return File{Size: int64(len(s)), open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}, nil
}

// Whatever manifest.json and index.json hold, what is accepted of them names
// files within, and images that agree with themselves.
func FuzzManifests(f *testing.F) {
	img := it.Simple(f, "x")
	entries := it.DockerOld(f, img, "x:1")
	f.Add(entries[len(entries)-1].Data, "")
	l := it.Layout{}
	l.Index(f, it.Named(l.Add(f, img, "application/vnd.oci.image.layer.v1.tar", nil), "org.opencontainers.image.ref.name", "a"))
	f.Add("", l["index.json"])
	f.Add(`[{"Config":"../x","Layers":["/a"],"RepoTags":["a:b"]}]`, `{"schemaVersion":2,"manifests":null}`)
	files := memory{}
	for _, e := range append(entries, l.Entries()...) {
		if !strings.HasSuffix(e.Name, "/") {
			files[path.Clean(e.Name)] = e.Data
		}
	}
	f.Fuzz(func(t *testing.T, docker, index string) {
		list, err := parseDocker([]byte(docker))
		if err == nil {
			for _, d := range list {
				for _, n := range append(d.Layers, d.Config) {
					if path.IsAbs(n) || n == ".." || strings.HasPrefix(n, "../") {
						t.Fatalf("accepted the name %q", n)
					}
				}
			}
		} else if !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		m := memory{}
		for k, v := range files {
			m[k] = v
		}
		delete(m, "index.json")
		m["manifest.json"] = docker
		if index != "" {
			m["index.json"] = index
		}
		images, err := Images(context.Background(), m)
		if err != nil {
			return
		}
		for _, i := range images {
			if i.Target.Digest == "" && len(i.Layers) != len(i.Config.RootFS.DiffIDs) {
				t.Fatal("layers and diff_ids differ")
			}
			if i.Target.Digest != "" {
				_, _ = store.ReadTarget(context.Background(), Blobs{m}, i.Target, store.HostPlatform())
			}
		}
	})
}

// Whatever a file holds, it is read without harm.
func FuzzOpen(f *testing.F) {
	good := it.Tar(f, it.DockerOld(f, it.Simple(f, "x"), "x:1")...)
	f.Add(good)
	f.Add(it.Gzip(f, good))
	f.Add(it.Zstd(f, good))
	f.Add([]byte("BZh9"))
	f.Add([]byte("\xfd7zXZ\x00"))
	st, err := store.Open(f.TempDir(), store.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := Read(context.Background(), bytes.NewReader(b), Options{Store: st})
		if err != nil {
			return
		}
		defer files.Close()
		_, _ = Images(context.Background(), files)
	})
}

// Whatever an archive of Docker before 1.10 holds, its images are chains that end,
// of as many layers as they have names for, and their configs are ones.
func FuzzV1(f *testing.F) {
	v := &it.V1{}
	base := v.Add(f, "", it.Tar(f))
	top := v.Add(f, base, it.Tar(f))
	v.Tag(top, "x/y", "1")
	repositories, first, second := "", "", ""
	for _, e := range v.Entries(f) {
		switch e.Name {
		case "repositories":
			repositories = e.Data
		case base + "/json":
			first = e.Data
		case top + "/json":
			second = e.Data
		}
	}
	f.Add(repositories, first, second)
	f.Add("", first, second)
	f.Add(`{"x":{"1":"`+top+`"}}`, `{"parent":"`+top+`"}`, second)
	f.Add(`{"x":null,"Y":{}}`, `{}`, `{"created":"2015-01-01T00:00:00Z","container_config":{"Cmd":[""]}}`)
	f.Fuzz(func(t *testing.T, repositories, first, second string) {
		m := memory{base + "/json": first, base + "/layer.tar": "", top + "/json": second, top + "/layer.tar": ""}
		if repositories != "" {
			m["repositories"] = repositories
		}
		images, err := Images(context.Background(), m)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, i := range images {
			if len(i.Layers) < 1 || len(i.Layers) > 2 {
				t.Fatalf("%d layers", len(i.Layers))
			}
			diffIDs := make([]digest.Digest, len(i.Layers))
			for n := range diffIDs {
				diffIDs[n] = digest.FromString("layer")
			}
			raw, err := i.MakeConfig(diffIDs)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.ParseConfig(raw, len(diffIDs)); err != nil && !errors.Is(err, store.ErrInvalid) {
				t.Fatal(err)
			}
		}
	})
}
