package cow

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func listed(all ...Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestApplyStaysInside(t *testing.T) {
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	own := Attr{Mode: unix.S_IFDIR | 0o755, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	for _, e := range []Entry{
		{Change: Change{"/link/kept", Deleted}},
		{Change: Change{"/link/made", Added}, Attr: own},
		{Change: Change{"/../made", Added}, Attr: own},
		{Change: Change{"/..", Deleted}},
		{Change: Change{"/", Deleted}},
		{Change: Change{"made", Added}, Attr: own},
	} {
		if err := Apply(t.Context(), dir, listed(e), false); err == nil {
			t.Errorf("%v %s is applied", e.Kind, e.Path)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside: %v, %v", left, err)
	}
	// What is in the way of a directory is replaced, and not what it points to.
	if err := Apply(t.Context(), dir, listed(Entry{Change: Change{"/link", Changed}, Attr: own}), false); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(filepath.Join(dir, "link")); err != nil || !fi.IsDir() {
		t.Errorf("link is %v, %v", fi, err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

func TestApplyStops(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	err := Apply(t.Context(), dir, func(yield func(Entry, error) bool) { yield(Entry{}, broken) }, false)
	if !errors.Is(err, broken) {
		t.Errorf("a diff that fails: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if err := Apply(ctx, dir, listed(Entry{Change: Change{"/f", Deleted}}), false); !errors.Is(err, broken) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Apply(t.Context(), filepath.Join(dir, "none"), listed(), false); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no such directory: %v", err)
	}
}
