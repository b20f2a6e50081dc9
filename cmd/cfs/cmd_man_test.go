//go:build man

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Man pages say what --help says.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if status := run([]string{"cfs", "man", dir}, &terminal{out: os.Stdout, err: os.Stderr}); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	for page, text := range map[string]string{"cfs.1": "layered images", "cfs-run.1": "network", "cfs-image-rm.1": "Remove images", "cfs-umount.1": "umount"} {
		raw, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil || !bytes.Contains(raw, []byte(text)) {
			t.Errorf("%s: %v, and no %q in it", page, err, text)
		}
	}
}
