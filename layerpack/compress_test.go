package layerpack

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// compressedOnce is what NewCompressor makes of b, written in pieces of random
// sizes up to piece.
func compressedOnce(t testing.TB, c Compression, b []byte, piece int, seed uint64) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	var out bytes.Buffer
	z, err := NewCompressor(&out, c)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := min(1+r.IntN(piece), len(b))
		if _, err := z.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// golden are the digests of what the compressors make of goldenText. They are
// parts of the digests of images that people have: where an update of a
// library changes one, the same change of a container gives another layer than
// before, and a note of the release has to say so.
var golden = map[Compression]digest.Digest{
	Plain: "sha256:4abfa152d15a2b794dbe09ef83cb7e05eeab683d66a0522fd11578d72c266574",
	Gzip:  "sha256:63792e7bafd2630aa7e218e097f85aa22bca6c03490003ac3ce54443e322c35d",
	Zstd:  "sha256:4f9cbd08d2a3e76992887390ef611d4738ac918ae893023557208da8b61285e8",
}

func goldenText(n int) []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewPCG(21, 22))
	for b.Len() < n {
		fmt.Fprintf(&b, "%d %s\n", r.IntN(1<<(1+r.IntN(30))), strings.Repeat("x", r.IntN(40)))
	}
	return b.Bytes()[:n]
}

func TestCompressorIsStable(t *testing.T) {
	text := goldenText(3<<20 + 12345)
	for c, want := range golden {
		t.Run(c.String(), func(t *testing.T) {
			first := compressedOnce(t, c, text, 1<<20, 0)
			if got := digest.FromBytes(first); got != want {
				t.Errorf("the digest is %s, and was %s", got, want)
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
			for i, cpus := range []int{1, 2, 3, 16} {
				runtime.GOMAXPROCS(cpus)
				if again := compressedOnce(t, c, text, []int{100 << 10, 1, 3 << 20, 4096}[i], uint64(i)); !bytes.Equal(first, again) {
					t.Errorf("on %d CPUs, and in other pieces, it is another", cpus)
				}
			}
			for _, n := range []int{0, 1, 1024, 1<<20 - 1, 1 << 20, 1<<20 + 1} {
				b := compressedOnce(t, c, text[:n], 4096, 1)
				if again := compressedOnce(t, c, text[:n], 1<<20, 2); !bytes.Equal(b, again) {
					t.Errorf("%d bytes in other pieces are another", n)
				}
				if got := decompressed(t, c, b); !bytes.Equal(text[:n], got) {
					t.Errorf("%d bytes are not the same again", n)
				}
			}
		})
	}
}

func decompressed(t testing.TB, c Compression, b []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompressorRefuses(t *testing.T) {
	if _, err := NewCompressor(io.Discard, Compression(200)); err == nil {
		t.Error("a compression that nobody knows was taken")
	}
}
