// Package debianroot gives tests and benchmarks a real root filesystem: Debian's
// minimal one, as mmdebstrap makes it, built once and kept.
//
//	mmdebstrap ──► $CFS_TEST_CACHE/debian-<suite>-<arch>.tar ──► tests, benchmarks
//
// Vocabulary: the cache is the directory named by CFS_TEST_CACHE, else
// cfs-test in the person's own cache directory.
//
// Invariant: a file of the cache is complete and never written again; builders
// exclude each other with a lock that dies with its holder.
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

// CacheEnv names the environment variable that says where the tar is kept.
const CacheEnv = "CFS_TEST_CACHE"

// Suite is the Debian release that is built.
const Suite = "bookworm"

// ErrUnavailable is wrapped when the root is neither in the cache nor can be
// built here; a test skips then, saying why.
var ErrUnavailable = errors.New("no Debian root")

// Tar is the path of an uncompressed tar of the root, which the caller must not
// change. It takes about 15 seconds the first time, and needs root, mmdebstrap
// and a mirror then.
func Tar(ctx context.Context) (string, error) {
	dir := os.Getenv(CacheEnv)
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: %s is not set and %w", ErrUnavailable, CacheEnv, err)
		}
		dir = filepath.Join(base, "cfs-test")
	}
	path := filepath.Join(dir, fmt.Sprintf("debian-%s-%s.tar", Suite, runtime.GOARCH))
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
	return path, build(ctx, path)
}

func build(ctx context.Context, path string) error {
	tool, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return fmt.Errorf("%w: %s is not there and mmdebstrap is not installed", ErrUnavailable, path)
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("%w: %s is not there and only root builds one with all owners", ErrUnavailable, path)
	}
	part := path + ".part"
	defer os.Remove(part)
	cmd := exec.CommandContext(ctx, tool, "--quiet", "--mode=root", "--format=tar", "--variant=minbase", Suite, part)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: mmdebstrap: %w\n%s", ErrUnavailable, err, out)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("keep the Debian root: %w", err)
	}
	return nil
}
