package imagecmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
	"github.com/cfs-project/cfs/imagecmd/store"
)

// mixedImage is a layout of an image whose layers come compressed with gzip, as
// they are, and compressed with zstd; its data is that of no compression alone.
func mixedImage(t testing.TB, fileSize int) (it.Image, it.Layout) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var layers [][]byte
	for l := range 3 {
		var entries []it.Entry
		for f := range 20 {
			b := make([]byte, fileSize)
			for i := 0; i < len(b); i += 2 {
				b[i] = byte(random.Uint32())
			}
			entries = append(entries, it.Entry{Name: fmt.Sprintf("l%d-f%d", l, f), Data: string(b)})
		}
		layers = append(layers, it.Tar(t, entries...))
	}
	img := it.New(t, 0, layers...)
	l := it.Layout{}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = l.Blob(ocispec.MediaTypeImageConfig, img.Config)
	m.Layers = append(m.Layers,
		l.Blob(ocispec.MediaTypeImageLayerGzip, it.Gzip(t, layers[0])),
		l.Blob(ocispec.MediaTypeImageLayer, layers[1]),
		l.Blob(ocispec.MediaTypeImageLayerZstd, it.Zstd(t, layers[2])))
	l.Index(t, it.Named(l.Blob(ocispec.MediaTypeImageManifest, it.JSON(t, m)), refName, "mixed:1"))
	return img, l
}

// wholeStore holds that fsck finds nothing.
func wholeStore(t testing.TB, st *store.Store) {
	t.Helper()
	var out bytes.Buffer
	whole, err := Fsck(context.Background(), st, FsckOptions{}, &out)
	if err != nil || !whole {
		t.Errorf("fsck: %v\n%s", err, out.String())
	}
}

// kills is how many loads are killed: CFS_TEST_KILLS, or 100.
func kills(t testing.TB) int {
	s := os.Getenv("CFS_TEST_KILLS")
	if s == "" {
		return 100
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("CFS_TEST_KILLS=%s is not a number of kills", s)
	}
	return n
}

// transferred is how many bytes a process has read and written; false when it is
// no more.
func transferred(pid int) (int64, bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, false
	}
	var sum int64
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "rchar" || name == "wchar" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0, false
			}
			sum += n
		}
	}
	return sum, sum > 0
}

// A load killed at any point leaves a store that can be read, in which nothing is
// half: no image before all of it is there, and nothing under a digest that it
// has not. The next load completes it, and nothing of the first is left.
//
// The points are told by the bytes that the load has read and written, so that
// they spread over all of it on a machine of any speed, and each is then put off
// by up to two milliseconds, for what is done without bytes.
func TestLoadKilledAnywhere(t *testing.T) {
	img, l := mixedImage(t, 32<<10)
	tar := it.Tar(t, l.Entries()...)
	inputs := []string{
		it.File(t, "a.tar", tar),                // read where it lies
		it.File(t, "a.tar.gz", it.Gzip(t, tar)), // spooled first
		l.Write(t, t.TempDir()),
	}
	var whole [3]int64
	for n, input := range inputs {
		whole[n] = bytesOfLoad(t, input)
	}
	killed, after := 0, map[string]int{}
	count := kills(t)
	for i := range count {
		root := t.TempDir()
		n := i % len(inputs)
		at := int64((float64(i) + rand.Float64()) / float64(count) * float64(whole[n]))
		if killAt(t, at, root, "load", inputs[n]) {
			killed++
		}
		st := openStore(t, root)
		images, err := st.Images(context.Background())
		if err != nil || len(images) > 1 || len(images) == 1 && images[0].ID != img.ID() {
			t.Fatalf("killed after %d of %d bytes: %v (%v)", at, whole[n], images, err)
		}
		done, _ := filepath.Glob(root + "/layers/*")
		after[fmt.Sprintf("%d layers, %d images", len(done), len(images))]++
		wholeStore(t, st)
		if got := mustLoad(t, st, inputs[n]); got != "Loaded image: mixed:1\n" {
			t.Fatalf("the next load said %q", got)
		}
		mustChain(t, st, "mixed:1")
		wholeStore(t, st)
		noTemps(t, st)
		if _, err := st.Remove(context.Background(), "mixed:1", store.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"layers", "images", "oci/blobs/sha256", "tmp"} {
			if left, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(left) > 0 {
				t.Errorf("killed after %d of %d bytes: left in %s: %v (%v)", at, whole[n], dir, left, err)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d were killed before they had ended; they left %v", killed, count, after)
	if count >= 100 && (killed < count/2 || len(after) < 3) {
		t.Errorf("the kills don't spread over the load: %d of %d, %v", killed, count, after)
	}
}

// bytesOfLoad is what a whole load reads and writes.
func bytesOfLoad(t testing.TB, input string) int64 {
	t.Helper()
	return bytesOf(t, "Loaded image: mixed:1\n", t.TempDir(), "load", input)
}

// bytesOf is what a command reads and writes until it has said something.
func bytesOf(t testing.TB, says string, args ...string) int64 {
	t.Helper()
	c := childCommand(args...)
	// It waits for its input to end before it ends itself.
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Env = append(c.Env, lingerEnv+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len(says))
	if _, err := io.ReadFull(out, said); err != nil || string(said) != says {
		t.Fatalf("%v: %v, said %q", args, err, said)
	}
	n, ok := transferred(c.Process.Pid)
	if !ok {
		t.Fatal("/proc/PID/io tells nothing here")
	}
	in.Close()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	return n
}

// killAt kills a command when it has read and written so many bytes, or a little
// later. It tells whether the command had not ended.
func killAt(t testing.TB, at int64, args ...string) bool {
	t.Helper()
	c := childCommand(args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		n, ok := transferred(c.Process.Pid)
		if !ok || n >= at {
			break
		}
		time.Sleep(50 * time.Microsecond)
	}
	time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Millisecond))))
	_ = c.Process.Kill()
	return c.Wait() != nil
}

// A save killed at any point leaves what was there before, or all of the new; of
// a directory a hidden part, which the next save takes over.
func TestSaveKilledAnywhere(t *testing.T) {
	img, l := mixedImage(t, 32<<10)
	root := t.TempDir()
	st := openStore(t, root)
	mustLoad(t, st, l.Write(t, t.TempDir()))
	for _, format := range SaveFormats() {
		want := tarFiles(t, mustSave(t, st, SaveOptions{Images: []string{"mixed:1"}, Format: format}))
		whole := bytesOf(t, "saved\n", root, "save", string(format), filepath.Join(t.TempDir(), "x"), "mixed:1")
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		killed, count := 0, max(kills(t)/10, 1)
		for i := range count {
			at := int64((float64(i) + rand.Float64()) / float64(count) * float64(whole))
			if killAt(t, at, root, "save", string(format), out, "mixed:1") {
				killed++
			}
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if format == OCIDir && e.Name() == ".out.part" {
					continue
				}
				if e.Name() != "out" {
					t.Errorf("%s, killed after %d of %d bytes: left %s", format, at, whole, e.Name())
					continue
				}
				if diff := cmp.Diff(want, tarFiles(t, out)); diff != "" {
					t.Errorf("%s, killed after %d of %d bytes: half of it", format, at, whole)
				}
				if err := os.RemoveAll(out); err != nil {
					t.Fatal(err)
				}
			}
		}
		if count >= 10 && killed < count/2 {
			t.Errorf("%s: %d of %d were killed before they had ended", format, killed, count)
		}
		if err := Save(context.Background(), st, SaveOptions{Images: []string{"mixed:1"}, Format: format, Output: out}, io.Discard); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left %v (%v)", format, left, err)
		}
		other := newStore(t)
		mustLoad(t, other, out)
		if got := mustChain(t, other, "mixed:1"); got.ID != img.ID() {
			t.Errorf("%s: image %s", format, got.ID)
		}
	}
}
