package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// checkStore is one Check: what it said, a line for each fault.
func checkStore(t testing.TB, st *Store, repair bool) ([]string, Checked) {
	t.Helper()
	var said []string
	sum, err := st.Check(context.Background(), CheckOptions{Repair: repair, Report: func(f Fault) {
		line := []string{f.Object, strings.Join(f.Images, ",")}
		for _, h := range f.Hits {
			line = append(line, strings.TrimPrefix(h.Path+": ", ": ")+h.Reason)
		}
		said = append(said, strings.Join(append(line, fmt.Sprint(f.Outcome), f.Advice), "|"))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != sum.Faults {
		t.Errorf("%d faults, %d counted", len(said), sum.Faults)
	}
	return said, sum
}

// wholeStore holds that nothing is damaged.
func wholeStore(t testing.TB, st *Store) {
	t.Helper()
	if said, _ := checkStore(t, st, false); len(said) > 0 {
		t.Errorf("not whole: %s", strings.Join(said, "\n"))
	}
}

// changed damages a file, which is replaced so that other names keep it as it is,
// unless all is set.
func changed(t testing.TB, path string, all bool, fn func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !all {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, fn(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[(at+len(b))%len(b)] ^= 1
		return b
	}
}

// Whatever is damaged is named, with whose it is, and is repaired or said to be
// lost; then, brought in again, it is whole.
func TestCheckAndRepair(t *testing.T) {
	low := it.Tar(t, it.Entry{Name: "etc/"}, it.Entry{Name: "etc/passwd", Data: strings.Repeat("root", 300)}, it.Entry{Name: "etc/group", Data: "g"})
	top := it.Tar(t, it.Entry{Name: "bin", Data: "b"})
	img := it.New(t, 0, low, top)
	plain, packed := digest.FromBytes(low), digest.FromBytes(it.Gzip(t, low))
	type paths struct{ blob, tar, toc, json, index, config, manifest string }
	const repaired = "|1|it was "
	for _, tc := range []struct {
		name   string
		gz     bool
		damage func(t *testing.T, p paths)
		want   []string // each is in the line of one fault
		mends  bool
	}{
		{"nothing", false, func(*testing.T, paths) {}, nil, true},
		{"nothing, compressed", true, func(*testing.T, paths) {}, nil, true},
		{"table of contents", true, func(t *testing.T, p paths) { changed(t, p.toc, false, flip(40)) },
			[]string{"layer " + string(plain) + "|x:1 (ID)|layer.toc: corrupt index: the checksum is wrong" + repaired + "made again from its tar"}, true},
		{"no table of contents", false, func(t *testing.T, p paths) { os.Remove(p.toc) },
			[]string{"|layer.toc: it is missing" + repaired + "made again from its tar"}, true},
		{"layer.json", false, func(t *testing.T, p paths) {
			changed(t, p.json, false, func(b []byte) []byte { return bytes.Replace(b, []byte(`"size":1201`), []byte(`"size":1202`), 1) })
		}, []string{"|layer.json: it isn't that of the tar" + repaired}, true},
		{"no layer.json", false, func(t *testing.T, p paths) { os.Remove(p.json) }, []string{"|layer.json: it is missing" + repaired}, true},
		{"tar of a compressed layer", true, func(t *testing.T, p paths) { changed(t, p.tar, false, flip(1100)) },
			[]string{"layer " + string(plain) + "|x:1 (ID)|etc/passwd: damaged|layer.tar: its digest is sha256:"}, true},
		{"no tar of a compressed layer", true, func(t *testing.T, p paths) { os.Remove(p.tar) }, []string{"layer.tar: it is missing" + repaired + "made again from its blob"}, true},
		{"tar of a plain layer, which is its blob", false, func(t *testing.T, p paths) { changed(t, p.tar, true, flip(1100)) }, []string{
			"layer " + string(plain) + "|x:1 (ID)|etc/passwd: damaged|layer.tar: its digest is sha256:"}, false},
		{"tar of a plain layer, apart from its blob", false, func(t *testing.T, p paths) { changed(t, p.tar, false, flip(1100)) },
			[]string{"|etc/passwd: damaged|layer.tar: its digest is sha256:"}, true},
		{"blob of a plain layer, apart from its tar", false, func(t *testing.T, p paths) { changed(t, p.blob, false, flip(1100)) },
			[]string{"blob " + string(plain) + "|x:1 (ID)|its digest is sha256:"}, true},
		{"no blob of a plain layer", false, func(t *testing.T, p paths) { os.Remove(p.blob) },
			[]string{"blob " + string(plain) + "|x:1 (ID)|it is missing" + repaired + "made again from the layer's tar"}, true},
		{"blob of a compressed layer", true, func(t *testing.T, p paths) { changed(t, p.blob, false, flip(50)) },
			[]string{"blob " + string(packed) + "|x:1 (ID)|its digest is sha256:"}, false},
		{"no blob of a compressed layer", true, func(t *testing.T, p paths) { os.Remove(p.blob) },
			[]string{"|it is missing|3|it can't be repaired: load or pull the image again"}, false},
		{"blob and tar of a compressed layer", true, func(t *testing.T, p paths) {
			changed(t, p.blob, false, flip(50))
			changed(t, p.tar, false, flip(1100))
		}, []string{"layer " + string(plain), "blob " + string(packed)}, false},
		{"a blob cut off", true, func(t *testing.T, p paths) { changed(t, p.blob, false, func(b []byte) []byte { return b[:10] }) },
			[]string{"blob " + string(packed) + "|x:1 (ID)|its digest is"}, false},
		{"merged index", true, func(t *testing.T, p paths) { changed(t, p.index, false, flip(-100)) },
			[]string{"merged index ", "|x:1 (ID)|"}[:1], true},
		{"merged index of other layers", true, func(t *testing.T, p paths) {
			changed(t, p.index, false, func(b []byte) []byte { return []byte("not an index") })
		}, []string{"merged index "}, true},
		{"config", false, func(t *testing.T, p paths) { changed(t, p.config, false, flip(5)) },
			[]string{"blob " + string(img.ID()) + "|x:1|its digest is sha256:"}, false},
		{"no manifest", false, func(t *testing.T, p paths) { os.Remove(p.manifest) }, []string{"|x:1|it is missing|3|it can't be repaired: load or pull"}, false},
		{"the layout's marker", false, func(t *testing.T, p paths) { os.Remove(filepath.Join(filepath.Dir(p.blob), "../../oci-layout")) },
			[]string{"oci-layout||it is missing" + repaired}, true},
		{"everything that is made", true, func(t *testing.T, p paths) {
			for _, f := range []string{p.tar, p.toc, p.json, p.index} {
				changed(t, f, false, func([]byte) []byte { return nil })
			}
		}, []string{"layer ", "merged index "}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := newStore(t)
			pack := it.Gzip
			p := paths{blob: st.blobPath(packed)}
			if !tc.gz {
				pack, p.blob = nil, st.blobPath(plain)
			}
			manifest := bring(st, t, img, pack, "x:1")
			_, release := chain(st, t, "x:1")
			release()
			l := st.layer(plain)
			p.tar, p.toc, p.json = l.Tar(), l.TOC(), filepath.Join(l.Dir, infoName)
			p.index = st.chainPath(chainID([]digest.Digest{plain, digest.FromBytes(top)}))
			p.config, p.manifest = st.blobPath(img.ID()), st.blobPath(manifest)
			tc.damage(t, p)

			before := files(t, st)
			found, sum := checkStore(t, st, false)
			if !slices.Equal(before, files(t, st)) {
				t.Error("a check without repair wrote")
			}
			if len(found) != len(tc.want) || sum.Repaired != 0 {
				t.Fatalf("found:\n%s", strings.Join(found, "\n"))
			}
			said, sum := checkStore(t, st, true)
			for i, want := range tc.want {
				want = strings.ReplaceAll(want, "(ID)", "("+shortID(img.ID())+")")
				if i >= len(said) || !strings.Contains(said[i], want) {
					t.Errorf("said:\n%s\nwant:\n%s", strings.Join(said, "\n"), want)
				}
			}
			if mends := sum.Repaired == sum.Faults; mends != tc.mends {
				t.Errorf("said:\n%s", strings.Join(said, "\n"))
			}
			if !tc.mends {
				bring(st, t, img, pack, "x:1")
			}
			_, release = chain(st, t, "x:1")
			release()
			wholeStore(t, st)
		})
	}
}

// Of two images one has a layer as it is and one compressed: both the blob that is
// the layer's tar and the tar come back from the other's.
func TestCheckSharedFile(t *testing.T) {
	st := newStore(t)
	img := it.Simple(t, "shared")
	bring(st, t, img, nil, "plain")
	bring(st, t, img, it.Gzip, "packed")
	plain := digest.FromBytes(img.Layers[0])
	changed(t, st.layer(plain).Tar(), true, flip(600))
	if said, sum := checkStore(t, st, false); sum.Faults != 2 {
		t.Errorf("said:\n%s", strings.Join(said, "\n"))
	}
	said, sum := checkStore(t, st, true)
	if sum.Faults != 2 || sum.Repaired != 2 || !strings.Contains(said[1], "it is the same file as the layer's tar|1|it was made again from the layer's tar") {
		t.Errorf("said:\n%s", strings.Join(said, "\n"))
	}
	wholeStore(t, st)
}

// What no image needs is removed when it is damaged.
func TestCheckUnneeded(t *testing.T) {
	st := newStore(t)
	bring(st, t, it.Simple(t, "kept"), nil, "kept")
	img := it.Simple(t, "left")
	in, err := st.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	layer := it.Gzip(t, img.Layers[0])
	if _, err := in.Layer(context.Background(), LayerSource{DiffID: digest.FromBytes(img.Layers[0]), Size: -1, Open: reader(layer)}); err != nil {
		t.Fatal(err)
	}
	tar := st.layer(digest.FromBytes(img.Layers[0])).Tar()
	changed(t, tar, false, flip(600))
	changed(t, st.blobPath(digest.FromBytes(layer)), false, flip(30))
	said, sum := checkStore(t, st, true) // the ingest holds the layer, the blob is another file now
	if sum.Faults != 2 || !strings.Contains(said[0], "|2|it is in use") {
		t.Errorf("said:\n%s", strings.Join(said, "\n"))
	}
	in.Close()
	said, sum = checkStore(t, st, true)
	if sum.Faults != 1 || sum.Repaired != 1 || !strings.Contains(said[0], "no image needs it") {
		t.Errorf("said:\n%s", strings.Join(said, "\n"))
	}
	wholeStore(t, st)
}

// What is in use is told, not taken from under its user.
func TestCheckInUse(t *testing.T) {
	st := newStore(t)
	img := it.Simple(t, "used")
	bring(st, t, img, it.Gzip, "used")
	_, release := chain(st, t, "used")
	l := st.layer(digest.FromBytes(img.Layers[0]))
	fi, err := os.Stat(l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	index := st.chainPath(chainID([]digest.Digest{l.DiffID}))
	inPlace := func(path string) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("x"), 600); err != nil {
			t.Fatal(err)
		}
	}
	inPlace(l.Tar())
	inPlace(index)
	said, sum := checkStore(t, st, true)
	if sum.Faults != 2 || sum.Repaired != 0 || strings.Count(strings.Join(said, "\n"), "|2|it is in use") != 2 {
		t.Errorf("said:\n%s", strings.Join(said, "\n"))
	}
	if now, err := os.Stat(l.Dir); err != nil || !os.SameFile(fi, now) {
		t.Error("the layer was replaced")
	}
	// A table of contents is replaced all the same: who has the old one keeps it.
	if err := os.Remove(l.TOC()); err != nil {
		t.Fatal(err)
	}
	release()
	if said, sum := checkStore(t, st, true); sum.Faults != 2 || sum.Repaired != 2 {
		t.Errorf("said:\n%s", strings.Join(said, "\n"))
	}
	wholeStore(t, st)
}

// An index.json that can't be read is made again, and the images keep all but
// their names.
func TestCheckRebuildsTheIndex(t *testing.T) {
	st := newStore(t)
	one, two := it.Simple(t, "one"), it.Simple(t, "two")
	bring(st, t, one, nil, "x:1")
	bring(st, t, two, it.Gzip, "x:2")
	changed(t, st.indexPath(), false, func(b []byte) []byte { return b[:len(b)/2] })
	if _, sum := checkStore(t, st, false); sum.Faults != 1 {
		t.Errorf("%+v", sum)
	}
	said, sum := checkStore(t, st, true)
	if sum.Faults != 1 || sum.Repaired != 1 || sum.Images != 2 {
		t.Errorf("%+v, said:\n%s", sum, strings.Join(said, "\n"))
	}
	for _, img := range []it.Image{one, two} {
		_, release := chain(st, t, string(img.ID()))
		release()
	}
	wholeStore(t, st)
	if kept, _ := filepath.Glob(st.DamagedDir() + "/index.json-*"); len(kept) != 1 {
		t.Errorf("kept: %v", kept)
	}
}

// A container whose layers are gone is told of, and what killed commands left.
func TestCheckContainersAndLeftovers(t *testing.T) {
	st := newStore(t)
	if _, sum := checkStore(t, st, true); sum != (Checked{}) {
		t.Errorf("an empty store: %+v", sum)
	}
	bring(st, t, it.Simple(t, "x"), nil, "x")
	dir := st.ContainerDir(strings.Repeat("a", 64))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	gone := digest.FromString("gone")
	if err := os.WriteFile(filepath.Join(dir, "config.json"), it.JSON(t, Container{Image: "y:1", Layers: []digest.Digest{gone}}), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := st.tempFile("busy")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.discard()
	if err := os.WriteFile(filepath.Join(st.tmp(), "blob-0"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, repair := range []bool{false, true} {
		said, sum := checkStore(t, st, repair)
		if len(said) != 1 || !strings.HasPrefix(said[0], "container aaaaaaaaaaaa|y:1|its layer "+string(gone)+" is missing") || sum.Leftovers != 1 {
			t.Errorf("%+v, said:\n%s", sum, strings.Join(said, "\n"))
		}
	}
	if _, sum := checkStore(t, st, false); sum.Leftovers != 0 {
		t.Error("what was left was not swept")
	}
}

// Whoever needs an image does not wait for fsck: what is made of a tar is made
// again where it is missing, damaged or another's, and a tar from its blob.
func TestChainMends(t *testing.T) {
	img := it.New(t, 0, it.Tar(t, it.Entry{Name: "a", Data: "a"}), it.Tar(t, it.Entry{Name: "b", Data: "b"}))
	low, top := digest.FromBytes(img.Layers[0]), digest.FromBytes(img.Layers[1])
	for name, damage := range map[string]func(st *Store, l cow.Layer){
		"no table of contents": func(_ *Store, l cow.Layer) { os.Remove(l.TOC()) },
		"damaged table of contents and no index": func(st *Store, l cow.Layer) {
			changed(t, l.TOC(), false, flip(-3))
			os.Remove(st.chainPath(chainID([]digest.Digest{low, top})))
		},
		"empty table of contents": func(st *Store, l cow.Layer) { changed(t, l.TOC(), false, func([]byte) []byte { return nil }) },
		"damaged layer and no index": func(st *Store, l cow.Layer) {
			changed(t, l.TOC(), false, flip(-3))
			changed(t, l.Tar(), false, flip(600))
			os.Remove(st.chainPath(chainID([]digest.Digest{low, top})))
		},
		"no layer.json":      func(_ *Store, l cow.Layer) { os.Remove(filepath.Join(l.Dir, infoName)) },
		"damaged layer.json": func(_ *Store, l cow.Layer) { changed(t, filepath.Join(l.Dir, infoName), false, flip(3)) },
		"no tar":             func(_ *Store, l cow.Layer) { os.Remove(l.Tar()) },
		"a tar cut off":      func(_ *Store, l cow.Layer) { changed(t, l.Tar(), false, func(b []byte) []byte { return b[:700] }) },
		"no layer":           func(_ *Store, l cow.Layer) { os.RemoveAll(l.Dir) },
		"damaged index": func(st *Store, _ cow.Layer) {
			changed(t, st.chainPath(chainID([]digest.Digest{low, top})), false, flip(1030))
		},
		"no index": func(st *Store, _ cow.Layer) { os.Remove(st.chainPath(chainID([]digest.Digest{low, top}))) },
	} {
		for _, pack := range []func(testing.TB, []byte) []byte{nil, it.Gzip} {
			st := newStore(t)
			bring(st, t, img, pack, "x")
			_, release := chain(st, t, "x")
			release()
			damage(st, st.layer(low))
			_, release = chain(st, t, "x")
			if said, _ := checkStore(t, st, false); len(said) > 0 {
				t.Errorf("%s: not whole: %v", name, said)
			}
			release()
			if left, _ := os.ReadDir(st.tmp()); len(left) > 0 {
				t.Errorf("%s: left %v", name, left)
			}
		}
	}
}
