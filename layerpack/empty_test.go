package layerpack

import (
	"bytes"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
)

// TestEmptyLayers: no bytes at all are a layer that changes nothing, as are the
// two zero blocks that POSIX has end an archive, in any compression.
func TestEmptyLayers(t *testing.T) {
	canonical := make([]byte, 1024)
	var layers []cow.Layer
	for name, b := range map[string]struct{ blob, tar []byte }{
		"nothing":          {nil, nil},
		"nothing, gzip":    {gz(t, nil), nil},
		"nothing, xz":      {piped(t, nil, "xz"), nil},
		"nothing, bzip2":   {piped(t, nil, "bzip2"), nil},
		"canonical":        {canonical, canonical},
		"canonical, gzip":  {gz(t, canonical), canonical},
		"canonical, zstd":  {zst(t, canonical), canonical},
		"one zero block":   {canonical[:512], canonical[:512]},
		"20 blocks, bzip2": {piped(t, make([]byte, 10240), "bzip2"), make([]byte, 10240)},
	} {
		dir := t.TempDir()
		p, err := Pack(t.Context(), bytes.NewReader(b.blob), dir, PackOptions{DiffID: digest.FromBytes(b.tar)})
		if err != nil || p.Entries != 0 || p.TarSize != int64(len(b.tar)) {
			t.Fatalf("%s: %+v, %v", name, p, err)
		}
		l := cow.Layer{DiffID: p.DiffID, Dir: dir}
		diff(t, name+": damage", []Damage(nil), verified(t, l))
		layers = append(layers, l)
	}
	layers = append(layers, packChain(t, tarOf(t, file("f", "data")))...)
	x, index := buildOpen(t, layers)
	diff(t, "tree", []string{"f"}, listing(t, x))
	diff(t, "the kernel's erofs against the index", without(indexView(t, x, layers), dropLayer), hostView(t, mountEROFS(t, index, layers)))
	only := layers[:1]
	x, index = buildOpen(t, only)
	diff(t, "the kernel's erofs against the index", without(indexView(t, x, only), dropLayer), hostView(t, mountEROFS(t, index, only)))
}
