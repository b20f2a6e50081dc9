package layerpack

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

func verified(t testing.TB, l cow.Layer) (all []Damage) {
	t.Helper()
	if err := Verify(t.Context(), l, func(d Damage) { all = append(all, d) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// copied is a layer of the same bytes that may be damaged.
func copied(t testing.TB, l cow.Layer) cow.Layer {
	t.Helper()
	c := cow.Layer{DiffID: l.DiffID, Dir: t.TempDir()}
	for from, to := range map[string]string{l.Tar(): c.Tar(), l.TOC(): c.TOC()} {
		if err := os.WriteFile(to, must(os.ReadFile(from)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func rewrite(t testing.TB, path string, fn func(b []byte) []byte) {
	t.Helper()
	if err := os.WriteFile(path, fn(must(os.ReadFile(path))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyNamesDamage: one bit, anywhere in a tar, names the entry it is in,
// whether it is of an extended header, a header, data or padding.
func TestVerifyNamesDamage(t *testing.T) {
	layers := packChain(t, cat(
		tarOf(t, dir("d/"), file("d/data", strings.Repeat("data", 500)))[:512+512+2048],
		paxTar(t, 'x', "GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=sparse", "GNU.sparse.size=5000", "GNU.sparse.map=100,4")[:2048],
		paxTar(t, 'g', "uid=5")[:1024], tarOf(t, link("l", "d/data"), hard("h", "d/data")), make([]byte, 2000),
	))
	tar := must(os.ReadFile(layers[0].Tar()))
	diff(t, "damage of a whole layer", []Damage(nil), verified(t, layers[0]))
	for at := 0; at < len(tar); at += 61 {
		l := copied(t, layers[0])
		rewrite(t, l.Tar(), func(b []byte) []byte { b[at] ^= 0x10; return b })
		got := verified(t, l)
		want := Damage{File: l.Tar(), Reason: "damaged"}
		switch {
		case at < 512:
			want.Path, want.Off, want.Len = "d/", 0, 512
		case at < 512+512+2048:
			want.Path, want.Off, want.Len = "d/data", 512, 2560
		case at < 3072+2048:
			want.Path, want.Off, want.Len = "sparse", 3072, 2048
		case at < 5120+1024+512:
			want.Path, want.Off, want.Len = "l", 5120, 1536
		case at < 6656+512:
			want.Path, want.Off, want.Len = "h", 6656, 512
		default:
			want.Off, want.Len, want.Reason = 7168, int64(len(tar)-7168), "damaged behind the last entry"
		}
		if len(got) != 2 || got[0] != want || !strings.Contains(got[1].Reason, "its digest is sha256:") {
			t.Fatalf("byte %d: got %v, want %v and the digest", at, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	layers := everything(t)
	size := must(os.Stat(layers[0].Tar())).Size()
	for _, c := range []struct {
		name   string
		damage func(l cow.Layer)
		want   []string // what each damage says, after its file
	}{
		{"none", func(cow.Layer) {}, nil},
		{"tar missing", func(l cow.Layer) { os.Remove(l.Tar()) }, []string{"layer.tar: it is missing"}},
		{"contents missing", func(l cow.Layer) { os.Remove(l.TOC()) }, []string{"layer.toc: it is missing"}},
		{"both missing", func(l cow.Layer) { os.Remove(l.Tar()); os.Remove(l.TOC()) }, []string{"layer.tar: it is missing", "layer.toc: it is missing"}},
		{"contents damaged", func(l cow.Layer) {
			rewrite(t, l.TOC(), func(b []byte) []byte { b[100] ^= 1; return b })
		}, []string{"layer.toc: corrupt index: the checksum is wrong"}},
		{"contents of another tar", func(l cow.Layer) {
			rewrite(t, l.TOC(), func([]byte) []byte { return must(os.ReadFile(layers[1].TOC())) })
		}, []string{"layer.toc: it isn't that of the tar"}},
		{"contents of another version", func(l cow.Layer) {
			rewrite(t, l.TOC(), func(b []byte) []byte { b[7] = 1; return b })
		}, []string{"layer.toc: corrupt index: version 1 is not understood"}},
		{"cut off", func(l cow.Layer) {
			os.Truncate(l.Tar(), size-1500)
		}, []string{`"many/`, "instead of", "its digest is"}},
		{"longer", func(l cow.Layer) {
			rewrite(t, l.Tar(), func(b []byte) []byte { return append(b, 0) })
		}, []string{"instead of", "its digest is"}},
		{"tar and contents", func(l cow.Layer) {
			rewrite(t, l.Tar(), func(b []byte) []byte { b[5000] ^= 1; return b })
			os.Remove(l.TOC())
		}, []string{"its digest is", "layer.toc: it is missing"}},
		{"everything", func(l cow.Layer) {
			rewrite(t, l.Tar(), func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) })
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := copied(t, layers[0])
			c.damage(l)
			got := verified(t, l)
			if c.name == "everything" {
				if len(got) < 500 {
					t.Errorf("%d damages", len(got))
				}
				return
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %v", got)
			}
			for i, d := range got {
				if !strings.Contains(d.String(), c.want[i]) {
					t.Errorf("got %v, want %q", d, c.want[i])
				}
			}
		})
	}
	if err := Verify(t.Context(), cow.Layer{DiffID: "md5:x"}, nil); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// TestRestore: a table of contents is made again where it can't be used, and
// only from the right tar.
func TestRestore(t *testing.T) {
	layers := everything(t)
	want := must(os.ReadFile(layers[0].TOC()))
	for name, damage := range map[string]func(l cow.Layer){
		"missing": func(l cow.Layer) { os.Remove(l.TOC()) },
		"damaged": func(l cow.Layer) { rewrite(t, l.TOC(), func(b []byte) []byte { return b[:50] }) },
		"stale":   func(l cow.Layer) { rewrite(t, l.TOC(), func(b []byte) []byte { b[7] = 1; return b }) },
	} {
		t.Run(name, func(t *testing.T) {
			l := copied(t, layers[0])
			if err := CheckTOC(l); err != nil {
				t.Fatal(err)
			}
			damage(l)
			if err := CheckTOC(l); !errors.Is(err, ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("check: %v", err)
			}
			rewrite(t, l.Tar(), func(b []byte) []byte { b[3000] ^= 1; return b })
			if err := Restore(t.Context(), l); !errors.Is(err, ErrDigest) {
				t.Errorf("restore from a damaged tar: %v", err)
			}
			if err := CheckTOC(l); err == nil {
				t.Error("restored from a damaged tar")
			}
			rewrite(t, l.Tar(), func(b []byte) []byte { b[3000] ^= 1; return b })
			if err := Restore(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(must(os.ReadFile(l.TOC())), want) || len(names(t, l.Dir)) != 2 {
				t.Error("restored to something else")
			}
		})
	}
}

func TestVerifyIndex(t *testing.T) {
	layers := everything(t)
	_, path := buildOpen(t, layers)
	good := must(os.ReadFile(path))
	check := func(want string) {
		t.Helper()
		var got []Damage
		err := VerifyIndex(t.Context(), cow.Chain{Layers: layers, Index: path}, func(d Damage) { got = append(got, d) })
		if err != nil || want == "" && got != nil || want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), want)) {
			t.Errorf("got %v, %v, want %q", got, err, want)
		}
	}
	check("")
	for at := 0; at < len(good); at += 997 {
		os.Remove(path)
		os.WriteFile(path, patchedRaw(good, func(b []byte) { b[at] ^= 1 }), 0o644)
		check("isn't that of its layers")
	}
	os.WriteFile(path, good[:len(good)-1], 0o644)
	check("isn't that of its layers")
	os.WriteFile(path, append(good, 0), 0o644)
	check("isn't that of its layers")
	os.Remove(path)
	check("is missing")
	if left := names(t, filepath.Dir(path)); left != nil {
		t.Errorf("left behind: %v", left)
	}
	os.WriteFile(path, good, 0o644)
	os.Remove(layers[0].TOC())
	if err := VerifyIndex(t.Context(), cow.Chain{Layers: layers, Index: path}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
