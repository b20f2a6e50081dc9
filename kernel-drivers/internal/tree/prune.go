package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Prune removes the trees of the group whose names needed doesn't have, and
// what processes that were killed left behind. Trees that somebody has locked
// stay.
func (g Group) Prune(ctx context.Context, needed map[digest.Digest]bool) error {
	entries, err := os.ReadDir(g.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name, temp := strings.CutSuffix(e.Name(), TempSuffix)
		id := digest.NewDigestFromEncoded(digest.SHA256, name)
		if id.Validate() != nil || needed[id] && !temp {
			continue
		}
		if err := g.prune(e.Name()); err != nil {
			return fmt.Errorf("prune %s: %w", e.Name(), err)
		}
	}
	return nil
}

// prune removes one tree unless somebody has it locked. It is renamed first,
// so that nobody can take what is half removed for a tree.
func (g Group) prune(name string) error {
	at := filepath.Join(g.Dir, name)
	fd, err := sys.OpenDir(unix.AT_FDCWD, at)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := sys.Again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return nil // in use
	}
	if stillNamed(fd, at) != nil {
		return nil
	}
	if !strings.HasSuffix(name, TempSuffix) {
		err := unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, at+TempSuffix, unix.RENAME_NOREPLACE)
		if err != nil {
			return nil // somebody makes it anew; the next Prune takes this one
		}
		name += TempSuffix
	}
	return g.drop(name)
}
