package layersout

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/kernel-drivers/btrfs"
	"github.com/cfs-project/cfs/kernel-drivers/devicemapper"
	"github.com/cfs-project/cfs/kernel-drivers/overlay2"
	"github.com/cfs-project/cfs/kernel-drivers/vfs"
	"github.com/cfs-project/cfs/kernel-drivers/zfs"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/unionfs"
)

func TestMain(m *testing.M) {
	testenv.Main()
	testenv.Isolate()
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root to mount, for owners and devices")
	}
}

// drivers are those that are compared; dir is for what they keep. Btrfs, zfs
// and devicemapper are among them where they can be.
func drivers(dir string) map[string]cow.Driver {
	all := map[string]cow.Driver{
		"union": unionfs.NewDriver(nil), "overlay2": overlay2.New(filepath.Join(dir, "overlay2"), nil), "vfs": vfs.New(filepath.Join(dir, "vfs"), nil),
	}
	for _, d := range []cow.Driver{btrfs.New(filepath.Join(dir, "btrfs"), nil), zfs.New(filepath.Join(dir, "zfs"), nil), devicemapper.New(filepath.Join(dir, "devicemapper"), nil)} {
		if d.Probe(context.Background()) == nil {
			all[d.Name()] = d
		}
	}
	return all
}

// pack packs a tar below dir.
func pack(t testing.TB, dir string, tar []byte) cow.Layer {
	t.Helper()
	at, err := os.MkdirTemp(dir, "layer")
	must(t, err)
	p, err := layerpack.Pack(t.Context(), bytes.NewReader(tar), at, layerpack.PackOptions{})
	must(t, err)
	return cow.Layer{DiffID: p.DiffID, Dir: at}
}

// chain makes a chain of packed layers.
func chain(t testing.TB, dir string, layers ...cow.Layer) cow.Chain {
	t.Helper()
	c := cow.Chain{Layers: layers}
	for _, l := range layers {
		if c.ID == "" {
			c.ID = l.DiffID
		} else {
			c.ID = digest.FromString(c.ID.String() + " " + l.DiffID.String())
		}
	}
	f, err := os.CreateTemp(dir, "index")
	must(t, err)
	f.Close()
	c.Index = f.Name()
	must(t, layerpack.BuildIndex(t.Context(), c.Index, layers))
	return c
}

// chainOf packs what cowtest's layers say.
func chainOf(t testing.TB, dir string, layers ...cowtest.Layer) cow.Chain {
	t.Helper()
	var packed []cow.Layer
	for _, l := range layers {
		var b bytes.Buffer
		must(t, l.WriteTar(&b))
		packed = append(packed, pack(t, dir, b.Bytes()))
	}
	return chain(t, dir, packed...)
}

// container is a snapshot that is mounted.
type container struct {
	drv  cow.Driver
	snap cow.Snapshot
	root string
	m    cow.Mount
}

func start(t testing.TB, drv cow.Driver, dir string, base cow.Chain) *container {
	t.Helper()
	snap, err := os.MkdirTemp(dir, "snap")
	must(t, err)
	c := &container{drv: drv, snap: cow.Snapshot{Dir: snap, Base: base}, root: filepath.Join(snap, "mnt")}
	must(t, os.Mkdir(c.root, 0o755))
	must(t, drv.Create(t.Context(), c.snap))
	c.mount(t)
	return c
}

func (c *container) mount(t testing.TB) {
	t.Helper()
	var err error
	c.m, err = c.drv.Mount(t.Context(), c.snap, c.root, cow.MountOptions{Suid: true, Dev: true})
	must(t, err)
	t.Cleanup(func() {
		if err := c.m.Unmount(); err != nil {
			t.Error(err)
		}
	})
}

func (c *container) remount(t testing.TB) {
	t.Helper()
	must(t, c.m.Unmount())
	c.mount(t)
}

// layer writes changes as a plain layer.
func layer(t testing.TB, changes iter.Seq2[cow.Entry, error], o layerpack.WriteOptions) (tar []byte, w layerpack.Written, listed []string) {
	t.Helper()
	var b bytes.Buffer
	seen := func(yield func(cow.Entry, error) bool) {
		for e, err := range changes {
			if err == nil {
				listed = append(listed, e.Kind.String()+" "+e.Path)
			}
			if !yield(e, err) {
				return
			}
		}
	}
	w, err := layerpack.WriteLayer(t.Context(), &b, seen, o)
	must(t, err)
	return b.Bytes(), w, listed
}

// shown mounts a chain by the union, for as long as fn looks at it.
func shown(t testing.TB, dir string, c cow.Chain, fn func(root string)) {
	t.Helper()
	at, err := os.MkdirTemp(dir, "view")
	must(t, err)
	m, err := unionfs.NewDriver(nil).Mount(t.Context(), cow.Snapshot{Base: c}, at, cow.MountOptions{ReadOnly: true, Suid: true, Dev: true})
	must(t, err)
	defer func() { must(t, m.Unmount()) }()
	fn(at)
}

// view records what a chain shows.
func view(t testing.TB, dir string, c cow.Chain) (r *treediff.Record) {
	t.Helper()
	shown(t, dir, c, func(root string) { r = walk(t, root) })
	return r
}

func walk(t testing.TB, dir string) *treediff.Record {
	t.Helper()
	r, err := treediff.Walk(dir, treediff.Options{})
	must(t, err)
	return r
}

// without leaves out paths that no layer has.
func without(r *treediff.Record, drop func(e *treediff.Entry) bool) *treediff.Record {
	return &treediff.Record{Entries: slices.DeleteFunc(slices.Clone(r.Entries), func(e treediff.Entry) bool { return drop(&e) })}
}

func isSocket(e *treediff.Entry) bool { return e.Mode&unix.S_IFMT == unix.S_IFSOCK }

// same compares a container with what its layer made of it. The times of
// directories are compared where the layer has them, and the root is left out.
func same(t testing.TB, want, got *treediff.Record, listed []string, ign treediff.Ignore) {
	t.Helper()
	ign.DirSize, ign.DirNlink = true, true
	ign.XattrPrefixes = append(ign.XattrPrefixes, "trusted.overlay.", "user.overlay.")
	var ds []treediff.Difference
	for _, d := range treediff.Compare(without(want, isSocket), got, ign) {
		e, _ := want.Lookup(d.Path)
		dir := e.Mode&unix.S_IFMT == unix.S_IFDIR
		if d.Path == treediff.Root || d.Field == "mtime" && dir && !slices.Contains(listed, "C /"+d.Path) && !slices.Contains(listed, "A /"+d.Path) {
			continue
		}
		ds = append(ds, d)
	}
	if len(ds) > 0 {
		t.Errorf("%d differences in %d paths:\n%s\nlisted:\n%s", len(ds), len(want.Entries), treediff.Format(ds, 20), strings.Join(listed, "\n"))
	}
}

func readAll(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	must(t, err)
	return b
}

// tarList is a line for each member of a tar.
func tarList(t testing.TB, b []byte) []string {
	t.Helper()
	var out []string
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		must(t, err)
		sum := digest.FromBytes(readAll(t, r)).Encoded()[:8]
		out = append(out, fmt.Sprintf("%c %o %d:%d %d %s %q -> %q %s %q", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Size, h.ModTime.UTC().Format(time.RFC3339Nano),
			h.Name, h.Linkname, sum, h.PAXRecords))
	}
}
