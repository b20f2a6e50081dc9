package imagecmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// A cache mount is a directory cache/NAME/N of the builder's, with its content in data/,
// or, over a tree, what was changed of that in a directory of the driver's name. NAME
// is a digest of the mount's ID, which the file "id" tells, and of its owner; N counts what is used by
// one at a time. Each is flocked by who uses it, shared or alone, and removed by
// nobody else meanwhile.
const (
	cacheDirs   = "cache"
	cacheIDFile = "id"
	cacheData   = "data"
)

// cacheDir is the directory of a cache mount, for this step until release.
func (b *builder) cacheDir(ctx context.Context, m *instructions.Mount, over *mountedTree) (dir string, release func() error, err error) {
	id := m.CacheID
	if id == "" {
		id = m.Target
	}
	name := id
	switch {
	case over != nil && over.chain != nil: // changes of one tree are none of another
		name += "\x00" + string(over.chain.ID)
	case m.UID != nil || m.GID != nil || m.Mode != nil: // for BuildKit, another base: a directory with these
		o := ownerOf(m, 0o755)
		name += fmt.Sprintf("\x00%d:%d %o", o.UID, o.GID, o.Mode)
	}
	base := filepath.Join(b.dir, cacheDirs, digest.FromString(name).Encoded()[:32])
	if err := os.MkdirAll(base, 0o711); err != nil {
		return "", nil, err
	}
	if err := os.WriteFile(filepath.Join(base, cacheIDFile), []byte(id+"\n"), 0o600); err != nil {
		return "", nil, err
	}
	for n := 0; ; n++ {
		dir := filepath.Join(base, fmt.Sprint(n))
		lock, err := lockCache(ctx, dir, m.CacheSharing)
		if errors.Is(err, ErrRunning) { // private, and in use: the next one
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("cache mount %s: %w", id, err)
		}
		return dir, func() error {
			now := time.Now()
			return errors.Join(os.Chtimes(dir, now, now), lock.Close())
		}, nil
	}
}

// lockCache locks a cache mount's directory, which is made where it is missing. A
// private one that is in use is ErrRunning; for a locked one it waits.
func lockCache(ctx context.Context, dir string, sharing instructions.ShareMode) (*os.File, error) {
	how := unix.LOCK_EX
	if sharing == "" || sharing == instructions.MountSharingShared {
		how = unix.LOCK_SH
	}
	for {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, err
		}
		f, err := tryLock(dir, how)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // removed by a prune
		case err == nil:
			if at, err := os.Stat(dir); err == nil {
				if have, err := f.Stat(); err == nil && os.SameFile(at, have) {
					return f, nil
				}
			}
			f.Close()
			continue
		case !errors.Is(err, ErrRunning) || sharing == instructions.MountSharingPrivate:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
