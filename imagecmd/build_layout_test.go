package imagecmd

import (
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Of two builds that replace one layout at the same time the later one says so, and what the
// first has written stays.
func TestReplaceLayoutByTwo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	layout := func(name string, then func()) func(string) error {
		return func(path string) error {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			for _, f := range []string{ocispec.ImageLayoutFile, name} {
				if err := os.WriteFile(filepath.Join(path, f), nil, 0o644); err != nil {
					return err
				}
			}
			then()
			return nil
		}
	}
	if err := replaceLayout(dir, layout("first", func() {})); err != nil {
		t.Fatal(err)
	}
	err := replaceLayout(dir, layout("second", func() {
		if err := replaceLayout(dir, layout("third", func() {})); err == nil {
			t.Error("two replaced it at once")
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "second")); err != nil {
		t.Error(err)
	}
	if err := replaceLayout(dir, layout("fourth", func() {})); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
}
