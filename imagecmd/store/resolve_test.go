package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

func TestResolve(t *testing.T) {
	st := newStore(t)
	a, b := it.Simple(t, "a"), it.Simple(t, "b")
	man := bring(st, t, a, nil, "debian", "debian:12", "localhost:5000/x/y:1")
	bring(st, t, b, nil)
	if a.ID().Encoded()[0] == b.ID().Encoded()[0] {
		t.Fatal("the test needs IDs that begin differently")
	}
	for name, want := range map[string]string{
		"debian":                            string(a.ID()),
		"debian:latest":                     string(a.ID()),
		"docker.io/library/debian":          string(a.ID()),
		"docker.io/debian:12":               string(a.ID()),
		"localhost:5000/x/y:1":              string(a.ID()),
		"debian@" + string(man):             string(a.ID()),
		"debian:13@" + string(man):          string(a.ID()),
		string(a.ID()):                      string(a.ID()),
		a.ID().Encoded():                    string(a.ID()),
		a.ID().Encoded()[:12]:               string(a.ID()),
		a.ID().Encoded()[:1]:                string(a.ID()),
		string(b.ID())[:12]:                 string(b.ID()),
		"debian:13":                         "No such image: debian:13",
		"ubuntu":                            "No such image: ubuntu",
		"ubuntu@" + string(man):             "No such image: ubuntu@" + string(man),
		strings.Repeat("0", 64):             "No such image: " + strings.Repeat("0", 64),
		"sha256:" + strings.Repeat("0", 64): "No such image: sha256:" + strings.Repeat("0", 64),
		"BAD":                               "invalid reference format: repository name (library/BAD) must be lowercase",
	} {
		img, err := st.Resolve(context.Background(), name)
		got := string(img.ID)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestResolveAmbiguous(t *testing.T) {
	st := newStore(t)
	seen := map[byte]bool{}
	for i := 0; ; i++ {
		img := it.Simple(t, strings.Repeat("x", i))
		bring(st, t, img, nil)
		c := img.ID().Encoded()[0]
		if seen[c] {
			if _, err := st.Resolve(context.Background(), string(c)); !errors.Is(err, ErrAmbiguous) {
				t.Error(err)
			}
			return
		}
		seen[c] = true
	}
}

// What other programs wrote into index.json is read by the rules of names, and
// kept as it is.
func TestNamesOfOthers(t *testing.T) {
	st := newStore(t)
	one, two, three := it.Simple(t, "1"), it.Simple(t, "2"), it.Simple(t, "3")
	bring(st, t, one, nil, "debian")
	l := it.Layout{}
	d2, d3 := l.Add(t, two, ocispec.MediaTypeImageLayerGzip, it.Gzip), l.Add(t, three, ocispec.MediaTypeImageLayer, nil)
	l.Write(t, st.LayoutDir())
	raw, err := os.ReadFile(st.indexPath())
	if err != nil {
		t.Fatal(err)
	}
	foreign := `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","digest":"` + string(d3.Digest) + `","size":` + itoa(d3.Size) + `,"annotations":{"org.opencontainers.image.ref.name":"Not_A__Name"},"future":{"field":1}}`
	x := strings.Replace(string(raw), `"manifests":[`, `"manifests":[`+foreign+`,`, 1)
	x = strings.Replace(x, `]`, `,`+string(it.JSON(t, it.Named(d2, ocispec.AnnotationRefName, "docker.io/library/debian:latest")))+`]`, 1)
	if err := os.WriteFile(st.indexPath(), []byte(x), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(want map[string][]string) {
		t.Helper()
		imgs, err := st.Images(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, i := range imgs {
			got[string(i.ID)] = i.Names
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	check(map[string][]string{string(one.ID()): nil, string(two.ID()): {"debian:latest"}, string(three.ID()): nil})
	_, release := chain(st, t, "debian")
	release()
	// A new name takes the place of every line of it, and touches no other.
	bring(st, t, one, nil, "debian")
	check(map[string][]string{string(one.ID()): {"debian:latest"}, string(two.ID()): nil, string(three.ID()): nil})
	raw, err = os.ReadFile(st.indexPath())
	if err != nil || !strings.Contains(string(raw), foreign) {
		t.Errorf("a foreign line was changed: %s %v", raw, err)
	}
	if _, err := os.Stat(filepath.Join(st.LayoutDir(), "oci-layout")); err != nil {
		t.Error(err)
	}
}

func itoa(n int64) string { return string(it.JSON(nopT{}, n)) }

// nopT satisfies imagetest where nothing can fail.
type nopT struct{ testing.TB }

func (nopT) Helper() {}

// A name that is removed, or moved to another image, while it is looked for is found
// as it was before or as it is after, or it is not there.
func TestResolveWhileRemoved(t *testing.T) {
	st := newStore(t)
	first, second := it.Simple(t, "first"), it.Simple(t, "second")
	bring(st, t, first, nil, "x")
	old, err := st.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Resolve(t.Context(), "x"); err != nil { // and its card is written
		t.Fatal(err)
	}
	bring(st, t, second, nil, "x")
	if _, err := st.Remove(t.Context(), string(first.ID()), RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.find(t.Context(), old, "x"); !errors.Is(err, errRemoved) {
		t.Errorf("in the index of before: %v", err)
	}
	if img, err := st.Resolve(t.Context(), "x"); err != nil || img.ID != second.ID() {
		t.Errorf("x is %v, %v", img.ID, err)
	}
}
