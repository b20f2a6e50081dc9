package layerpack

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zst(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// piped is b as a program compresses it.
func piped(t testing.TB, b []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, append(args, "-c")...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("NOT RUN: needs %s", program)
	}
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}

// zstdChunked is b as containers/storage's zstd:chunked has it: a frame a file,
// its manifest in a skippable frame, and one of 64 bytes as the footer.
func zstdChunked(t testing.TB, b []byte) []byte {
	frame := func(body []byte) []byte {
		return append(le.AppendUint32([]byte("\x50\x2a\x4d\x18"), uint32(len(body))), body...)
	}
	manifest := zst(t, []byte(`{"version":1,"entries":[]}`))
	return cat(zst(t, b[:512]), zst(t, b[512:1024]), zst(t, b[1024:]), frame(manifest), frame(make([]byte, 64)))
}

func cat(bs ...[]byte) []byte { return bytes.Join(bs, nil) }

func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		all = append(all, e.Name())
	}
	return all
}

func TestPack(t *testing.T) {
	noise := make([]byte, 3<<20)
	rand.Read(noise)
	plain := tarOf(t, dir("d/"), file("d/noise", string(noise)), file("d/text", strings.Repeat("text ", 1<<18)))
	half := len(plain) / 2
	skippable := []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc")
	for _, c := range []struct {
		name string
		blob []byte
		is   Compression
	}{
		{"plain", plain, Plain},
		{"gzip", gz(t, plain), Gzip},
		{"gzip in members", cat(gz(t, plain[:half]), gz(t, nil), gz(t, plain[half:])), Gzip},
		{"gzip and zeros", cat(gz(t, plain), make([]byte, 1000)), Gzip},
		{"gzip and garbage", cat(gz(t, plain), []byte("garbage"), noise), Gzip},
		{"zstd", zst(t, plain), Zstd},
		{"zstd in frames", cat(skippable, zst(t, plain[:half]), skippable, zst(t, plain[half:]), skippable), Zstd},
		{"zstd:chunked", zstdChunked(t, plain), Zstd},
		{"bzip2", piped(t, plain, "bzip2"), Bzip2},
		{"bzip2 in streams", cat(piped(t, plain[:half], "bzip2"), piped(t, nil, "bzip2"), piped(t, plain[half:], "bzip2")), Bzip2},
		{"xz", piped(t, plain, "xz"), XZ},
		{"xz with a filter for programs", piped(t, plain, "xz", "--x86", "--lzma2=preset=1"), XZ},
		{"xz in blocks", piped(t, plain, "xz", "--block-size=100000"), XZ},
		{"xz as for a large dictionary", piped(t, plain, "xz", "-9"), XZ},
		{"xz in streams", cat(piped(t, plain[:half], "xz"), make([]byte, 8), piped(t, nil, "xz"), piped(t, plain[half:], "xz", "--check=sha256")), XZ},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := t.TempDir()
			var sink bytes.Buffer
			var last int64
			want := Packed{
				Blob: digest.FromBytes(c.blob), DiffID: digest.FromBytes(plain), BlobSize: int64(len(c.blob)), TarSize: int64(len(plain)),
				Compression: c.is, Entries: 3,
			}
			got, err := Pack(context.Background(), iotest.HalfReader(bytes.NewReader(c.blob)), dst, PackOptions{
				Blob: want.Blob, DiffID: want.DiffID, BlobSink: &sink, Progress: func(n int64) { last = n },
			})
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "packed", want, got)
			diff(t, "files", []string{cow.TarName, cow.TOCName}, names(t, dst))
			if b, _ := os.ReadFile(filepath.Join(dst, cow.TarName)); !bytes.Equal(b, plain) {
				t.Error("the tar differs")
			}
			if !bytes.Equal(sink.Bytes(), c.blob) || last != int64(len(c.blob)) {
				t.Errorf("sink got %d, progress %d of %d bytes", sink.Len(), last, len(c.blob))
			}
		})
	}
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errSink
	}
	return len(p), nil
}

var (
	errSink   = errors.New("sink is full")
	errSource = errors.New("connection lost")
)

func TestPackFails(t *testing.T) {
	big := strings.Repeat("0123456789", 1<<17)
	plain := tarOf(t, file("f", big))
	other := digest.FromString("other")
	zeros600 := gzZeros(t, 600<<20)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		r    io.Reader
		o    PackOptions
		is   error
		says string
	}{
		{"text", strings.NewReader("hello"), PackOptions{}, ErrInvalid, "neither a tar"},
		{"lzma", strings.NewReader("\x5d\x00\x00\x80\x00"), PackOptions{}, ErrInvalid, "lzma layers are not supported"},
		{"truncated bzip2", bytes.NewReader(piped(t, plain, "bzip2")[:40]), PackOptions{}, ErrInvalid, "bzip2 stream is truncated"},
		{"damaged bzip2", bytes.NewReader(patchedRaw(piped(t, plain, "bzip2"), func(b []byte) { b[200] ^= 1 })), PackOptions{}, ErrInvalid, "bzip2 data invalid"},
		{"truncated xz", bytes.NewReader(piped(t, plain, "xz")[:300]), PackOptions{}, ErrInvalid, "xz stream is truncated"},
		{"truncated xz header", bytes.NewReader(piped(t, plain, "xz")[:9]), PackOptions{}, ErrInvalid, "xz stream is truncated"},
		{"damaged xz", bytes.NewReader(patchedRaw(piped(t, plain, "xz"), func(b []byte) { b[200] ^= 1 })), PackOptions{}, ErrInvalid, "xz: data is corrupt"},
		{"xz with a huge dictionary", bytes.NewReader(piped(t, plain, "xz", "--lzma2=dict=65MiB")), PackOptions{}, ErrInvalid, "dictionary of more than 64 MiB"},
		{"second xz stream with a huge dictionary", bytes.NewReader(cat(piped(t, plain[:600], "xz"), piped(t, plain[600:], "xz", "--lzma2=dict=1GiB"))), PackOptions{}, ErrInvalid, "dictionary of more than 64 MiB"},
		{"blob digest", bytes.NewReader(plain), PackOptions{Blob: other}, ErrDigest, digest.FromBytes(plain).String()},
		{"diff ID", bytes.NewReader(gz(t, plain)), PackOptions{DiffID: other}, ErrDigest, "should be " + other.String() + ", and is " + digest.FromBytes(plain).String()},
		{"unknown algorithm", bytes.NewReader(plain), PackOptions{Blob: "md5:d41d8cd98f00b204e9800998ecf8427e"}, nil, "can't be verified"},
		{"truncated tar", bytes.NewReader(plain[:5000]), PackOptions{}, ErrInvalid, "the tar is truncated at byte 5000"},
		{"truncated gzip", bytes.NewReader(gz(t, plain)[:2000]), PackOptions{Blob: other}, ErrInvalid, "gzip stream is truncated"},
		{"truncated gzip trailer", bytes.NewReader(gz(t, plain)[:len(gz(t, plain))-1]), PackOptions{}, ErrInvalid, "gzip stream is truncated"},
		{"truncated gzip header", bytes.NewReader(gz(t, plain)[:5]), PackOptions{}, ErrInvalid, "gzip stream is truncated"},
		{"truncated second member", bytes.NewReader(cat(gz(t, plain[:600]), gz(t, plain[600:])[:50])), PackOptions{}, ErrInvalid, "gzip stream is truncated"},
		{"damaged gzip", bytes.NewReader(patchedRaw(gz(t, plain), func(b []byte) { b[len(b)-6] ^= 1 })), PackOptions{}, ErrInvalid, "checksum"},
		{"truncated zstd", bytes.NewReader(zst(t, plain)[:200]), PackOptions{}, ErrInvalid, "zstd stream is truncated"},
		{"damaged zstd", bytes.NewReader(patchedRaw(zst(t, plain), func(b []byte) { b[len(b)-1] ^= 1 })), PackOptions{}, ErrInvalid, "zstd"},
		{"not a tar inside", bytes.NewReader(gz(t, []byte(big))), PackOptions{}, ErrInvalid, "no tar header at byte 0"},
		{"tar in tar in gzip twice", bytes.NewReader(gz(t, gz(t, plain))), PackOptions{}, ErrInvalid, "truncated|no tar header"},
		{"bomb by proportion", bytes.NewReader(zeros600), PackOptions{}, ErrBomb, "more than 200 times"},
		{"bomb by size", bytes.NewReader(plain), PackOptions{MaxSize: 1 << 20}, ErrBomb, "more than 1048576 bytes"},
		{"bomb by global headers", bytes.NewReader(gz(t, globalBomb(t))), PackOptions{}, ErrBomb, "global extended headers"},
		{"source fails", io.MultiReader(bytes.NewReader(gz(t, plain)[:3000]), iotest.ErrReader(errSource)), PackOptions{}, errSource, "read layer"},
		{"source ends early", io.MultiReader(bytes.NewReader(zst(t, plain)[:300]), iotest.ErrReader(io.ErrUnexpectedEOF)), PackOptions{}, io.ErrUnexpectedEOF, "read layer"},
		{"sink fails", bytes.NewReader(plain), PackOptions{BlobSink: &failing{300 << 10}}, errSink, "keep layer"},
		{"canceled", bytes.NewReader(plain), PackOptions{}, context.Canceled, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := context.Background()
			if c.name == "canceled" {
				ctx = canceled
			}
			dst := t.TempDir()
			before := runtime.NumGoroutine()
			_, err := Pack(ctx, c.r, dst, c.o)
			ok := false
			for _, s := range strings.Split(c.says, "|") {
				ok = ok || err != nil && strings.Contains(err.Error(), s)
			}
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !ok {
				t.Errorf("got %v, want %v that says %q", err, c.is, c.says)
			}
			for _, s := range []error{ErrInvalid, ErrDigest, ErrBomb, ErrCorrupt} {
				if s != c.is && errors.Is(err, s) {
					t.Errorf("%v is also %v", err, s)
				}
			}
			if left := names(t, dst); left != nil {
				t.Errorf("left behind: %v", left)
			}
			for i := 0; runtime.NumGoroutine() > before; i++ {
				if i == 100 {
					t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// globalBomb is a tar that repeats 60 KB of attributes in each empty file.
func globalBomb(t testing.TB) []byte {
	b := paxTar(t, 'g', "SCHILY.xattr.user.x="+strings.Repeat("x", 60000))
	one := tarOf(t, file("f", ""))[:512]
	return append(b[:len(b)-1024], bytes.Repeat(one, 300)...)
}

// gzZeros is a gzip stream of a tar with one file of n zeros.
func gzZeros(t testing.TB, n int64) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	h := tarOf(t, file("zeros", ""))[:512]
	copy(h[124:136], fmt.Sprintf("%011o\x00", n))
	resum(h)
	w.Write(h)
	io.CopyN(w, zeros{}, n+1024)
	w.Close()
	return out.Bytes()
}

func TestBoundsCanBeRaised(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: writes 600 MB")
	}
	dst, err := os.MkdirTemp("", "bound")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dst)
	p, err := Pack(context.Background(), bytes.NewReader(gzZeros(t, 600<<20)), dst, PackOptions{MaxExpansion: -1})
	if err != nil || p.TarSize != 600<<20+1536 {
		t.Fatal(p, err)
	}
}

func TestPackWantsAnEmptyDirectory(t *testing.T) {
	dst := t.TempDir()
	part := filepath.Join(dst, cow.TOCName+partSuffix)
	os.WriteFile(part, []byte("x"), 0o644)
	if _, err := Pack(context.Background(), bytes.NewReader(nil), dst, PackOptions{}); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	diff(t, "files", []string{filepath.Base(part)}, names(t, dst))
}
