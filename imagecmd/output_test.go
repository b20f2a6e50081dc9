package imagecmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	it "github.com/cfs-project/cfs/imagecmd/internal/imagetest"
)

// An output is replaced through a symlink, keeps its mode, and is the owner's
// alone where it is new; a pipe is written as it is.
func TestOutputFiles(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "x"), "x")...)))
	want, err := os.ReadFile(mustSave(t, st, SaveOptions{Images: []string{"x"}}))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("old", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"link": 0o640, "new": 0o600} {
		path := filepath.Join(dir, name)
		if err := Save(context.Background(), st, SaveOptions{Images: []string{"x"}, Output: path}, io.Discard); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v %v", name, fi.Mode(), err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes (%v)", name, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "old" {
		t.Errorf("the link leads to %s (%v)", to, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if b, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v %s", err, b)
	}
	got := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(fifo)
		got <- b
	}()
	if err := Save(context.Background(), st, SaveOptions{Images: []string{"x"}, Output: fifo}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want) {
		t.Error("other bytes through a pipe")
	}
}

// A directory that a killed save left half is taken over by the next one, and of
// two saves at once into one place the second is refused.
func TestOutputDirIsTakenOver(t *testing.T) {
	st := newStore(t)
	mustLoad(t, st, it.File(t, "a.tar", it.Tar(t, it.DockerOld(t, it.Simple(t, "x"), "x")...)))
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(dir), ".layout.part", "blobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := createOutputDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := SaveOptions{Images: []string{"x"}, Format: OCIDir, Output: dir}
	if err := Save(context.Background(), st, o, io.Discard); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two at once: %v", err)
	}
	first.lock.Close()                           // killed
	if err := os.Mkdir(dir, 0o755); err != nil { // an empty one is no obstacle
		t.Fatal(err)
	}
	if err := Save(context.Background(), st, o, io.Discard); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("left %v (%v)", left, err)
	}
	mustLoad(t, newStore(t), dir)
}
