package layerpack

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// However many CPUs decode, the same comes out, and what is wrong is refused.
func TestPackZstd(t *testing.T) {
	noise := make([]byte, 2<<20)
	rand.Read(noise)
	plain := tarOf(t, dir("d/"), file("d/noise", string(noise)), file("d/text", strings.Repeat("text ", 1<<20)))
	blob := cat(zst(t, plain[:1<<20]), zst(t, plain[1<<20:]))
	wrong := bytes.Clone(blob)
	wrong[len(wrong)-1] ^= 1 // the last frame's checksum
	diffID := digest.FromBytes(plain)
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, procs := range []int{1, fewCPUs, fewCPUs + 6} {
		runtime.GOMAXPROCS(procs)
		ctx, cancel := context.WithCancel(context.Background())
		for name, c := range map[string]struct {
			blob []byte
			o    PackOptions
			want error
		}{
			"whole":                     {blob, PackOptions{DiffID: diffID}, nil},
			"nothing known":             {blob, PackOptions{}, nil},
			"checksum, diff ID known":   {wrong, PackOptions{DiffID: diffID}, nil},
			"checksum, nothing known":   {wrong, PackOptions{}, ErrInvalid},
			"checksum, only blob known": {wrong, PackOptions{Blob: digest.FromBytes(wrong)}, ErrInvalid},
			"truncated":                 {blob[:len(blob)-1000], PackOptions{DiffID: diffID}, ErrInvalid},
			"another tar":               {zst(t, plain[:1<<20]), PackOptions{DiffID: diffID}, ErrInvalid},
			"another diff ID":           {blob, PackOptions{DiffID: digest.FromString("x")}, ErrDigest},
			"sink":                      {blob, PackOptions{BlobSink: &failing{1 << 20}}, errSink},
			"bomb":                      {blob, PackOptions{MaxSize: 3 << 20}, ErrBomb},
			"canceled":                  {blob, PackOptions{Progress: func(n int64) { cancelAfter(cancel, n) }}, context.Canceled},
		} {
			dst := t.TempDir()
			run := context.Background()
			if name == "canceled" {
				run = ctx
			}
			_, err := Pack(run, bytes.NewReader(c.blob), dst, c.o)
			if !errors.Is(err, c.want) {
				t.Errorf("%d CPUs, %s: %v, not %v", procs, name, err, c.want)
			}
			if c.want != nil {
				continue
			}
			if got, err := os.ReadFile(filepath.Join(dst, cow.TarName)); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d CPUs, %s: the tar differs: %v", procs, name, err)
			}
		}
		cancel()
	}
}

func cancelAfter(cancel func(), n int64) {
	if n > 1<<20 {
		cancel()
	}
}
