// Package debianroot gives tests and benchmarks real images: Debian's minimal
// root filesystem, as mmdebstrap makes it, and an image for developers on top
// of it, both built once and kept.
//
//	mmdebstrap ──► $CFS_TEST_CACHE/debian-<suite>-<arch>.tar ─────────────┐
//	mmdebstrap ──► packages ──► a layer a set ──► $CFS_TEST_CACHE/debian-<suite>-<arch>-dev/{gzip,zstd}
//
// Vocabulary: the cache is the directory named by CFS_TEST_CACHE, else
// cfs-test in the person's own cache directory.
//
// Invariant: what has its name in the cache is complete and never written
// again; builders exclude each other with a lock that dies with its holder.
package debianroot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// CacheEnv names the environment variable that says where things are kept.
const CacheEnv = "CFS_TEST_CACHE"

// Suite is the Debian release that is built.
const Suite = "bookworm"

// ErrUnavailable is wrapped when what is asked for is neither in the cache nor
// can be built here; a test skips then, saying why.
var ErrUnavailable = errors.New("no Debian root")

// Tar is the path of an uncompressed tar of the root, which the caller must not
// change. It takes about 15 seconds the first time, and needs root, mmdebstrap
// and a mirror then.
func Tar(ctx context.Context) (string, error) {
	return cached(ctx, fmt.Sprintf("debian-%s-%s.tar", Suite, runtime.GOARCH), func(path string) error {
		return mmdebstrap(ctx, "--format=tar", "--variant=minbase", Suite, path)
	})
}

// cached is the path of what has that name in the cache. If it isn't there,
// build makes it at the path it is given.
func cached(ctx context.Context, name string, build func(path string) error) (string, error) {
	dir := os.Getenv(CacheEnv)
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: %s is not set and %w", ErrUnavailable, CacheEnv, err)
		}
		dir = filepath.Join(base, "cfs-test")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache of the Debian root: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", fmt.Errorf("cache of the Debian root: %w", err)
	}
	defer lock.Close()
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return "", fmt.Errorf("lock the cache of the Debian root: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil // another one built it while we waited
	}
	part := path + ".part"
	if err := os.RemoveAll(part); err != nil { // a killed builder's
		return "", err
	}
	defer os.RemoveAll(part)
	if err := build(part); err != nil {
		return "", fmt.Errorf("%w: %s is not there: %w", ErrUnavailable, path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return "", fmt.Errorf("keep the Debian root: %w", err)
	}
	return path, nil
}

func mmdebstrap(ctx context.Context, args ...string) error {
	if os.Getuid() != 0 {
		return errors.New("only root builds one with all owners")
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append([]string{"--quiet", "--mode=root"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, out)
	}
	return nil
}
