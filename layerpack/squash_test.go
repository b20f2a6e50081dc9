package layerpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

// squash is the layer that layers on top of below come to, packed.
func squash(t testing.TB, dir string, layers, below []cow.Layer) cow.Layer {
	t.Helper()
	var b bytes.Buffer
	w, err := Squash(context.Background(), &b, layers, WriteOptions{Below: below})
	if err != nil {
		t.Fatal(err)
	}
	l := packLayer(t, dir, b.Bytes())
	if l.DiffID != w.DiffID || w.Blob != w.DiffID || w.TarSize != int64(b.Len()) {
		t.Errorf("written as %+v, packed as %s", w, l.DiffID)
	}
	return l
}

// TestSquashIsTheMerge: of random chains any number of layers at the top
// come to the same as one, and all of them to a root without whiteouts.
func TestSquashIsTheMerge(t *testing.T) {
	for seed := range uint64(40) {
		r := chainMaker{rand.New(rand.NewPCG(seed, 11))}
		tars, _, wrong := r.chain()
		if wrong {
			continue
		}
		ok := t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			var raw [][]byte
			for _, hs := range tars {
				raw = append(raw, tarOf(t, hs...))
			}
			layers := packChain(t, raw...)
			x, _ := buildOpen(t, layers)
			want := without(indexView(t, x, layers), dropLayer)
			for kept := range layers {
				one := squash(t, t.TempDir(), layers[kept:], layers[:kept])
				chain := append(slices.Clone(layers[:kept]), one)
				y, _ := buildOpen(t, chain)
				diff(t, fmt.Sprintf("%d layers kept", kept), want, without(indexView(t, y, chain), dropLayer))
				if kept == 0 && strings.Contains(must(readTOC(one.TOC())).body, ".wh.") {
					t.Error("a root with whiteouts")
				}
				again := squash(t, t.TempDir(), []cow.Layer{one}, layers[:kept])
				if again.DiffID != one.DiffID {
					t.Errorf("%d layers kept: squashed again it is another", kept)
				}
			}
		})
		if !ok {
			for i, hs := range tars {
				for _, h := range hs {
					t.Logf("layer %d: %c %q -> %q", i, h.Typeflag, h.Name, h.Linkname)
				}
			}
			return
		}
	}
}

func TestSquashLinks(t *testing.T) {
	for _, c := range []struct {
		name        string
		below, tops []byte
		want        string // members
	}{
		{"another name of a file below", tarOf(t, file("f", "data"), file("g", "")), tarOf(t, hard("a", "f")), "0 a, 1 f"},
		{"two empty files become one", tarOf(t, file("f", ""), file("g", "")), tarOf(t, hard("g", "f")), "0 f, 1 g"},
		{"one name goes", tarOf(t, file("f", "x"), hard("g", "f"), hard("h", "f")), tarOf(t, file(".wh.g", "")), "0 .wh.g"},
		{"one name is another file", tarOf(t, file("f", "x"), hard("g", "f"), hard("h", "f")), tarOf(t, file("g", "y")), "0 g"},
		{"a directory on the way", tarOf(t, dir("d/"), dir("d/e/"), file("d/e/f", "x"), dir("u/")), tarOf(t, file("d/e/g", "y")), "5 d/, 5 d/e/, 0 d/e/g"},
		{"the root", tarOf(t, dir("./"), file("f", "")), tarOf(t, dir("./")), "5 ./"},
	} {
		t.Run(c.name, func(t *testing.T) {
			layers := packChain(t, c.below, c.tops)
			one := squash(t, t.TempDir(), layers[1:], layers[:1])
			var got []string
			must(readTOC(one.TOC())).each(func(e *entry) error {
				got = append(got, fmt.Sprintf("%c %s", "012345"[[...]int{kindFile: 0, kindHardLink: 1, kindDir: 5, kindSymlink: 2}[e.kind]], e.name))
				return nil
			})
			diff(t, "members", c.want, strings.Join(got, ", "))
		})
	}
}

func TestSquashFails(t *testing.T) {
	layers := packChain(t, tarOf(t, file("f", strings.Repeat("x", 5000))))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Squash(ctx, new(bytes.Buffer), layers, WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Squash(context.Background(), brokenWriter{}, layers, WriteOptions{Compression: Gzip}); !errors.Is(err, errBroken) {
		t.Errorf("a writer that fails: %v", err)
	}
	if _, err := Squash(context.Background(), new(bytes.Buffer), []cow.Layer{{DiffID: "x"}}, WriteOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no layer: %v", err)
	}
	if w, err := Squash(context.Background(), new(bytes.Buffer), nil, WriteOptions{}); err != nil || w.Entries != 1 {
		t.Errorf("an empty root: %+v, %v", w, err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write(b []byte) (int, error) { return 0, errBroken }
