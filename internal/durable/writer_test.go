package durable

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// All that is written is there, whatever the disk was told on the way.
func TestWriter(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]byte, 3*flushEvery+1)
	rand.NewChaCha8([32]byte{1}).Read(want)
	w := Writer{File: f}
	for left := want; len(left) > 0; {
		n := min(len(left), 1+rand.IntN(2*flushEvery))
		if m, err := w.Write(left[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		left = left[n:]
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes became %d others, %v", len(want), len(got), err)
	}
	f.Close()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a closed file was written to")
	}
}
