package exact

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/unionfs"
)

func jobs() map[string]job {
	return map[string]job{"library": libraryJob, "walk": walkJob, "cli": cliJob}
}

// walkJob walks args[0] and writes the record.
func walkJob(args []string, out io.Writer) error {
	r, err := treediff.Walk(args[0], treediff.Options{})
	if err != nil {
		return err
	}
	return gob.NewEncoder(out).Encode(r)
}

// libraryJob packs the layer files args[1:], bottom first, below args[0], and
// walks a mount of the chain.
func libraryJob(args []string, out io.Writer) (err error) {
	ctx := context.Background()
	chain, err := packChain(ctx, args[0], args[1:])
	if err != nil {
		return err
	}
	target := filepath.Join(args[0], "mnt")
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	drv := unionfs.NewDriver(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	m, err := drv.Mount(ctx, cow.Snapshot{Base: chain}, target, cow.MountOptions{ReadOnly: true, Suid: os.Getuid() == 0, Dev: os.Getuid() == 0})
	if err != nil {
		return err
	}
	defer func() {
		if e := m.Unmount(); e != nil && err == nil {
			err = e
		}
	}()
	return walkJob([]string{target}, out)
}

// packChain packs and indexes the layers of the files, bottom first, below dir.
func packChain(ctx context.Context, dir string, files []string) (cow.Chain, error) {
	var c cow.Chain
	for i, name := range files {
		d := filepath.Join(dir, fmt.Sprintf("layer%d", i))
		if err := os.Mkdir(d, 0o700); err != nil {
			return c, err
		}
		f, err := os.Open(name)
		if err != nil {
			return c, err
		}
		p, err := layerpack.Pack(ctx, f, d, layerpack.PackOptions{})
		f.Close()
		if err != nil {
			return c, fmt.Errorf("pack layer %d: %w", i, err)
		}
		c.Layers = append(c.Layers, cow.Layer{DiffID: p.DiffID, Dir: d})
	}
	c.Index = filepath.Join(dir, "index.erofs")
	return c, layerpack.BuildIndex(ctx, c.Index, c.Layers)
}

func decode(t *testing.T, b []byte) *treediff.Record {
	t.Helper()
	r := new(treediff.Record)
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(r); err != nil {
		t.Fatal(err)
	}
	return r
}
