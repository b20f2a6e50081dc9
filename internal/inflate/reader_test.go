package inflate

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// samples are data of several kinds: what compresses by literals, by far and by
// near matches, by all of them, and not at all.
func samples() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	skewed := make([]byte, 300<<10) // codes of up to 15 bits
	for i := range skewed {
		for skewed[i] < 255 && rnd.IntN(5) < 3 {
			skewed[i]++
		}
	}
	var text bytes.Buffer
	for i := range 20000 {
		fmt.Fprintf(&text, "line %d of %d, and %x\n", i, rnd.IntN(50), rnd.Uint32())
	}
	far := append(bytes.Clone(noise[:32<<10]), noise[:32<<10]...)
	var mixed []byte
	for range 200 {
		n := rnd.IntN(2000)
		switch rnd.IntN(3) {
		case 0:
			mixed = append(mixed, noise[n:2*n]...)
		case 1:
			mixed = append(mixed, text.Bytes()[n:3*n]...)
		case 2:
			period := 1 + rnd.IntN(12)
			mixed = append(mixed, bytes.Repeat(noise[:period], n)...)
		}
	}
	return map[string][]byte{
		"empty": nil, "one": {7}, "zeros": make([]byte, 1<<20), "noise": noise, "skewed": skewed,
		"text": text.Bytes(), "far": far, "mixed": mixed,
	}
}

func deflate(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReader: what compress/flate wrote comes back, at several levels, however
// the input arrives, and nothing behind its end is taken.
func TestReader(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			t.Run(fmt.Sprintf("%s %d", name, level), func(t *testing.T) {
				packed := deflate(t, data, level)
				for how, wrap := range map[string]func(io.Reader) io.Reader{
					"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "with the end": iotest.DataErrReader,
				} {
					src := bufio.NewReaderSize(wrap(io.MultiReader(bytes.NewReader(packed), strings.NewReader("behind"))), 1<<10)
					got, err := io.ReadAll(NewReader(src))
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%s: %d bytes of %d, %v", how, len(got), len(data), err)
					}
					if rest, err := io.ReadAll(src); err != nil || string(rest) != "behind" {
						t.Fatalf("%s: behind the end are %q, %v", how, rest, err)
					}
				}
			})
		}
	}
}

// TestTruncated: a stream that ends early is an error wherever it ends.
func TestTruncated(t *testing.T) {
	packed := deflate(t, samples()["mixed"][:20000], 6)
	for n := range packed {
		got, err := io.ReadAll(NewReader(bufio.NewReader(bytes.NewReader(packed[:n]))))
		if err != io.ErrUnexpectedEOF {
			t.Fatalf("%d of %d bytes: %d bytes and %v", n, len(packed), len(got), err)
		}
	}
}

// TestInputFails: the input's own error comes out.
func TestInputFails(t *testing.T) {
	packed := deflate(t, samples()["text"], 6)
	for _, n := range []int{0, 1, 100, len(packed) - 1} {
		src := io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(iotest.ErrTimeout))
		if _, err := io.ReadAll(NewReader(bufio.NewReader(src))); err != iotest.ErrTimeout {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestSmallReads: the size of the caller's buffer makes no difference, and the
// end is told again.
func TestSmallReads(t *testing.T) {
	data := samples()["mixed"]
	r := NewReader(bufio.NewReader(bytes.NewReader(deflate(t, data, 6))))
	if err := iotest.TestReader(r, data); err != nil {
		t.Error(err)
	}
}

// TestGunzip reads headers with all they may have, and members with damage.
func TestGunzip(t *testing.T) {
	data := samples()["text"]
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Extra, w.Name, w.Comment = bytes.Repeat([]byte("x"), 3000), "a name", "a comment"
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(packed []byte) ([]byte, error) {
		g, err := NewGunzip(bufio.NewReaderSize(bytes.NewReader(packed), 1<<10))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(g)
	}
	if got, err := read(b.Bytes()); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
	}
	for _, i := range []int{0, 1, 2, 3, b.Len() - 8, b.Len() - 1} {
		damaged := bytes.Clone(b.Bytes())
		damaged[i] ^= 0x80
		if _, err := read(damaged); err == nil {
			t.Errorf("byte %d is damaged, and nothing is wrong", i)
		}
	}
	for _, n := range []int{0, 9, 100, 3015, b.Len() - 9, b.Len() - 1} {
		if _, err := read(b.Bytes()[:n]); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// FuzzReader holds whatever stream against compress/flate: both take it or
// neither does, and what comes out is the same.
func FuzzReader(f *testing.F) {
	for _, data := range samples() {
		data = data[:min(4000, len(data))]
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			f.Add(deflate(f, data, level))
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const most = 8 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), most))
		got, err := io.ReadAll(io.LimitReader(NewReader(bufio.NewReader(bytes.NewReader(packed))), most))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v instead of %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatal("other bytes come out")
		}
	})
}
