package overlay2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// Prune removes the trees that no chain of keep stands on, and what processes
// that were killed left behind. Trees that somebody has mounted, or is
// extracting, stay. Only trees of this process's group are looked at.
func (d *Driver) Prune(ctx context.Context, keep []cow.Chain) error {
	_, name, err := group()
	if err != nil {
		return err
	}
	dir := filepath.Join(d.home, name)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, c := range keep {
		for i := range c.Layers {
			needed[chainID(c.Layers[:i+1]).Encoded()] = true
		}
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		id := strings.TrimSuffix(e.Name(), tempSuffix)
		if digest.NewDigestFromEncoded(digest.SHA256, id).Validate() != nil || needed[e.Name()] {
			continue
		}
		if err := pruneTree(dir, e.Name()); err != nil {
			return fmt.Errorf("prune %s: %w", e.Name(), err)
		}
	}
	return nil
}

// pruneTree removes one tree unless somebody has it locked. It is renamed
// first, so that nobody can take what is half removed for a tree.
func pruneTree(dir, name string) error {
	at := filepath.Join(dir, name)
	fd, err := open(unix.AT_FDCWD, at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return nil // in use
	}
	if stillNamed(fd, at) != nil {
		return nil
	}
	if !strings.HasSuffix(name, tempSuffix) {
		err := unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, at+tempSuffix, unix.RENAME_NOREPLACE)
		if err != nil {
			return nil // somebody extracts it anew; the next Prune takes this one
		}
		name += tempSuffix
	}
	return removeTree(dir, name)
}
