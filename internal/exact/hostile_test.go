package exact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/imagegen"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// newCanary makes the directory that hostile layers aim at.
func newCanary(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "canary")
	for _, d := range []string{dir, filepath.Join(dir, "sub")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"sentinel", "sub/sentinel"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("must stay"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// guard records the canary and everything beside the store; the returned check
// finds what was touched.
func guard(t *testing.T, dirs ...string) (check func()) {
	t.Helper()
	record := func() []*treediff.Record {
		var rs []*treediff.Record
		for _, d := range dirs {
			r, err := treediff.Walk(d, treediff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		return rs
	}
	before := record()
	return func() {
		t.Helper()
		for i, after := range record() {
			if ds := treediff.Compare(before[i], after, treediff.Ignore{}); len(ds) > 0 {
				t.Errorf("%s was touched:\n%s", dirs[i], treediff.Format(ds, 10))
			}
		}
	}
}

// outcome is what became of a layer, from the error it gave.
func outcome(err error) (imagegen.Outcome, bool) {
	switch {
	case err == nil:
		return imagegen.Lands, true
	case errors.Is(err, layerpack.ErrDigest):
		return imagegen.WrongBytes, true
	case errors.Is(err, layerpack.ErrBomb):
		return imagegen.TooBig, true
	case errors.Is(err, layerpack.ErrInvalid):
		return imagegen.Refused, true
	}
	return 0, false
}

func TestHostileLayers(t *testing.T) {
	canary := newCanary(t)
	for _, h := range imagegen.Hostiles(canary) {
		t.Run(h.Name, func(t *testing.T) {
			check := guard(t, canary)
			store := t.TempDir()
			c, err := packHostile(t, store, h)
			got, known := outcome(err)
			switch {
			case !known:
				t.Errorf("an error of no known kind: %v", err)
			case got != h.Outcome:
				t.Errorf("%v (%v), want %v", got, err, h.Outcome)
			case err != nil:
				readableError(t, err)
			case h.Layer != nil:
				want, implied, err := imagegen.Expect(h.Chain())
				if err != nil {
					t.Fatal(err)
				}
				expectSame(t, want, indexRecord(t, c), treediff.Ignore{DirSize: true, MtimeOf: implied})
				extractHostile(t, store, c)
			}
			check()
		})
	}
}

// packHostile packs the layers below, then the hostile one, then the index.
func packHostile(t *testing.T, store string, h imagegen.Hostile) (cow.Chain, error) {
	t.Helper()
	ctx := context.Background()
	in := filepath.Join(store, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	var tars [][]byte
	for _, l := range h.Below {
		tars = append(tars, l.Tar())
	}
	c, err := packChain(ctx, store, readable(t, in, tars))
	if err != nil {
		t.Fatal("the harmless layers below: ", err)
	}
	dir := filepath.Join(store, "hostile")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := layerpack.Pack(ctx, h.Blob(), dir, layerpack.PackOptions{Blob: h.Digest, DiffID: h.DiffID})
	if err != nil {
		return c, err
	}
	c.Layers = append(c.Layers, cow.Layer{DiffID: p.DiffID, Dir: dir})
	return c, layerpack.BuildIndex(ctx, c.Index, c.Layers)
}

// extractHostile writes every layer as a tree, as the kernel's drivers need
// them: this is where a path could lead out.
func extractHostile(t *testing.T, store string, c cow.Chain) {
	t.Helper()
	for i, l := range c.Layers {
		dir := filepath.Join(store, fmt.Sprintf("tree%d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := layerpack.Extract(context.Background(), l, dir, layerpack.ExtractOptions{Below: c.Layers[:i], Rootless: os.Getuid() != 0})
		if err != nil {
			t.Errorf("extract layer %d: %v", i, err)
		}
	}
}

// readableError is a poor man's judge of an error message: one line, lowercase,
// not endless, no garbage of the layer in it.
func readableError(t *testing.T, err error) {
	t.Helper()
	s := err.Error()
	if len(s) > 700 || strings.ContainsAny(s, "\n\x00\x1b") || s[:1] != strings.ToLower(s[:1]) {
		t.Errorf("not a clear error: %.800q", s)
	}
	t.Log(s)
}
