package layerpack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

const stargzJSON = "{\n\t\"version\": 1,\n\t\"entries\": [\n\t\t{\n\t\t\t\"name\": \"f\"\n\t\t}\n\t]\n}"

// TestStargz: what eStargz adds to a layer is in its tar and in no image, and an
// ordinary file that has such a name is.
func TestStargz(t *testing.T) {
	toc := file("stargz.index.json", stargzJSON)
	mark, noMark := file(".prefetch.landmark", "\x0f"), file(".no.prefetch.landmark", "\x0f")
	for _, c := range []struct {
		name    string
		entries []tar.Header
		want    []string
	}{
		{"with a landmark", []tar.Header{mark, file("f", "x"), toc}, []string{"f"}},
		{"to be fetched in no order", []tar.Header{dir("d/"), noMark, file("f", "x"), toc}, []string{"d/", "f"}},
		{"without a landmark", []tar.Header{file("f", "x"), toc}, []string{"f"}},
		{"without files", []tar.Header{noMark, file("stargz.index.json", `{"version":1,"entries":null}`)}, []string{}},
		{"as a path", []tar.Header{file("./f", "x"), file("./stargz.index.json", stargzJSON)}, []string{"f"}},
		{"another's contents last", []tar.Header{mark, file("stargz.index.json", "[]")}, []string{".prefetch.landmark", "stargz.index.json"}},
		{"empty contents", []tar.Header{mark, file("stargz.index.json", "")}, []string{".prefetch.landmark", "stargz.index.json"}},
		{"contents not last", []tar.Header{mark, toc, file("f", "x")}, []string{".prefetch.landmark", "f", "stargz.index.json"}},
		{"a landmark alone", []tar.Header{mark, noMark}, []string{".no.prefetch.landmark", ".prefetch.landmark"}},
		{"no landmark's data", []tar.Header{file(".prefetch.landmark", "x"), file(".no.prefetch.landmark", "\x0f\x0f"), toc}, []string{".no.prefetch.landmark", ".prefetch.landmark"}},
		{"elsewhere", []tar.Header{file("d/stargz.index.json", stargzJSON)}, []string{"d/", "d/stargz.index.json"}},
		{"a directory", []tar.Header{dir("stargz.index.json/")}, []string{"stargz.index.json/"}},
		{"a link", []tar.Header{link("stargz.index.json", "x")}, []string{"stargz.index.json -> x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := tarOf(t, c.entries...)
			layers := packChain(t, stargzOf(t, b))
			x, _ := buildOpen(t, layers)
			diff(t, "tree", c.want, listing(t, x))
			diff(t, "diff ID", digest.FromBytes(b), layers[0].DiffID)
			diff(t, "damage", []Damage(nil), verified(t, layers[0]))
			whole, err1 := scanAll(b, len(b))
			pieces, err2 := scanAll(b, 1)
			if err1 != nil || err2 != nil || fmt.Sprint(whole) != fmt.Sprint(pieces) {
				t.Errorf("in one piece and in many: %v, %v", err1, err2)
			}
		})
	}
}

// stargzOf is a layer as stargz-snapshotter writes it: a gzip member an entry,
// and an empty one as the footer, that names the offset of the contents.
func stargzOf(t testing.TB, b []byte) []byte {
	footer := func() []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Extra = append([]byte("SG\x16\x00"), "0000000000000200STARGZ"...)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	return cat(gz(t, b[:512]), gz(t, b[512:]), footer())
}
