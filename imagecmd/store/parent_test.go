package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// family is a store with a base, a nameless step on it and two images on that.
func family(t *testing.T) (st *Store, base, step, one, two it.Image) {
	t.Helper()
	st = newStore(t)
	base, step = it.New(t, 1, it.Tar(t, it.Entry{Name: "a"})), it.New(t, 2, it.Tar(t, it.Entry{Name: "a"}))
	one, two = it.New(t, 3, it.Tar(t, it.Entry{Name: "a"}), it.Tar(t, it.Entry{Name: "b"})), it.New(t, 4, it.Tar(t, it.Entry{Name: "a"}))
	bring(st, t, base, nil, "base")
	for _, c := range []struct {
		img    it.Image
		parent digest.Digest
		name   string
	}{{step, base.ID(), ""}, {one, step.ID(), "one"}, {two, step.ID(), "two"}} {
		names := []string{}
		if c.name != "" {
			names = append(names, c.name)
		}
		target := bring(st, t, c.img, nil, names...)
		if err := st.locked(context.Background(), func(x *index, write func() error) error {
			for i, l := range x.Manifests {
				if l.Digest == target {
					x.Manifests[i] = line{Descriptor: WithParent(l.Descriptor, c.parent)}
				}
			}
			return write()
		}); err != nil {
			t.Fatal(err)
		}
	}
	return st, base, step, one, two
}

func names(t *testing.T, st *Store) map[digest.Digest]string {
	t.Helper()
	list, err := st.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := map[digest.Digest]string{}
	for _, i := range list {
		out[i.ID] = strings.Join(i.Names, " ")
	}
	return out
}

func TestParents(t *testing.T) {
	ctx := context.Background()
	st, base, step, one, two := family(t)
	remove := func(name string, o RemoveOptions) (string, string) {
		done, err := st.Remove(ctx, name, o)
		var deleted []string
		for _, d := range done.Deleted {
			deleted = append(deleted, string(d))
		}
		said := strings.Join(append(done.Untagged, deleted...), " ")
		if err != nil {
			return said, err.Error()
		}
		return said, ""
	}
	short := func(i it.Image) string { return i.ID().Encoded()[:12] }
	for _, i := range []it.Image{base, step} {
		for _, force := range []bool{false, true} {
			_, err := remove(string(i.ID()), RemoveOptions{Force: force})
			if want := "conflict: unable to delete " + short(i) + " (cannot be forced) - image has dependent child images"; err != want {
				t.Error(err)
			}
		}
	}
	// The name goes, the image stays as a parent; a new name does not make it forget its own.
	if said, err := remove("base", RemoveOptions{}); said != "base:latest" || err != "" {
		t.Error(said, err)
	}
	if err := st.Tag(ctx, "one", ref(t, "uno")); err != nil {
		t.Fatal(err)
	}
	if said, err := remove("one", RemoveOptions{}); said != "one:latest" || err != "" {
		t.Error(said, err)
	}
	if img, err := st.Resolve(ctx, "uno"); err != nil || img.Parent != step.ID() {
		t.Error(img.Parent, err)
	}
	if diff := cmp.Diff(map[digest.Digest]string{base.ID(): "", step.ID(): "", one.ID(): "uno:latest", two.ID(): "two:latest"}, names(t, st)); diff != "" {
		t.Error(diff)
	}
	// The last child takes its parents along, with the layers only they had.
	if said, err := remove("uno", RemoveOptions{}); !strings.HasPrefix(said, "uno:latest "+string(one.ID())+" sha256:") || strings.Contains(said, string(step.ID())) || err != "" {
		t.Error(said, err)
	}
	want := "two:latest " + string(two.ID()) + " " + string(step.ID()) + " " + string(base.ID()) + " " + string(digest.FromBytes(base.Layers[0]))
	if said, err := remove("two", RemoveOptions{}); said != want || err != "" {
		t.Errorf("%s %s, want %s", said, err, want)
	}
	if left := names(t, st); len(left) != 0 {
		t.Error(left)
	}
}

func TestNoPruneKeepsParents(t *testing.T) {
	st, base, step, _, _ := family(t)
	for _, n := range []string{"base", "one", "two"} {
		if _, err := st.Remove(context.Background(), n, RemoveOptions{NoPrune: true}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[digest.Digest]string{base.ID(): "", step.ID(): ""}, names(t, st)); diff != "" {
		t.Error(diff)
	}
}

func TestTag(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	a, b := it.Simple(t, "a"), it.Simple(t, "b")
	bring(st, t, a, nil, "a")
	bring(st, t, b, nil, "b")
	for _, step := range []struct{ source, target, err string }{
		{"a", "x/y:1", ""},
		{a.ID().Encoded()[:10], "b", ""},
		{"nosuch", "x", "No such image: nosuch"},
		{"", "x", "No such image: "},
		{"a", "sha256:1", "refusing to create an ambiguous tag using digest algorithm as name"},
		{"a", "a@" + string(a.ID()), "refusing to create a tag with a digest reference"},
	} {
		got := ""
		if err := st.Tag(ctx, step.source, ref(t, step.target)); err != nil {
			got = err.Error()
		}
		if got != step.err {
			t.Errorf("tag %s %s: %q, want %q", step.source, step.target, got, step.err)
		}
	}
	if diff := cmp.Diff(map[digest.Digest]string{a.ID(): "a:latest b:latest x/y:1", b.ID(): ""}, names(t, st)); diff != "" {
		t.Error(diff)
	}
}

// The file that lists are read from says what the images do, is no matter when
// it is missing or broken, and is not written where something is not packed yet.
func TestListIsWhatImagesAre(t *testing.T) {
	ctx := context.Background()
	st, _, _, _, _ := family(t)
	same := func(when string) {
		t.Helper()
		images, err := st.Images(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list, err := st.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var want []Summary
		for _, i := range images {
			want = append(want, i.Summary)
		}
		if diff := cmp.Diff(want, list, cmpopts.IgnoreUnexported(Summary{})); diff != "" {
			t.Errorf("%s: -images +list:\n%s", when, diff)
		}
	}
	path := filepath.Join(st.images(), cardsName)
	same("as brought in")
	for _, n := range []string{"base", "one", "two"} {
		_, release := chain(st, t, n)
		release()
	}
	same("packed")
	same("from the file")
	good, err := os.ReadFile(path)
	if err != nil || strings.Count(string(good), "\n") != 5 {
		t.Fatalf("%s, %v", good, err)
	}
	for name, bad := range map[string]string{
		"empty": "", "another version": "cfs list 0\n", "half": string(good[:len(good)/2]), "zeros": strings.Repeat("\x00", 300),
		"no digest": strings.Replace(string(good), "sha256:", "sha256:..", 1),
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		same(name)
		if again, err := os.ReadFile(path); err != nil || string(again) != string(good) {
			t.Errorf("%s: was not written again: %v", name, err)
		}
	}
	if _, err := st.Remove(ctx, "two", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	same("one less")
}

func FuzzParseCard(f *testing.F) {
	d := digest.FromString("x")
	c := card{manifest: d, id: d, size: 7, labels: map[string]string{"a\tb": "c\n"}}
	l, err := c.line(d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(strings.TrimSuffix(l, "\n"))
	f.Fuzz(func(t *testing.T, line string) {
		target, c, err := parseCard(line)
		if err != nil {
			return
		}
		out, err := c.line(target)
		if err != nil {
			return // a year that JSON or RFC 3339 can't have
		}
		again, c2, err := parseCard(strings.TrimSuffix(out, "\n"))
		if err != nil || again != target || !c2.created.Equal(c.created) || c2.size != c.size || len(c2.labels) != len(c.labels) {
			t.Errorf("%q: %v", out, err)
		}
	})
}
