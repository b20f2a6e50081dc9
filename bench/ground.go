package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Ground is a fresh filesystem that holds what the contestants serve: an ext4
// in a file in memory, so that "cold" means the same work for all and no disk's
// mood.
type Ground struct {
	Dir  string // where it is mounted
	base string
}

// groundSize is that of the sparse file, in bytes.
const groundSize = 8 << 30

// NewGround makes and mounts one. The file's name is removed at once: what the
// loop device holds goes when it is unmounted.
func NewGround(ctx context.Context) (_ *Ground, err error) {
	base, err := os.MkdirTemp("", "cfs-bench-")
	if err != nil {
		return nil, err
	}
	g := &Ground{Dir: filepath.Join(base, "ground"), base: base}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make the ground: %w", err), g.Close())
		}
	}()
	if err := os.Mkdir(g.Dir, 0o755); err != nil {
		return nil, err
	}
	in := base
	if _, err := os.Stat("/dev/shm"); err == nil {
		in = "/dev/shm"
	}
	f, err := os.CreateTemp(in, "cfs-bench-*.ext4")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if err := f.Truncate(groundSize); err != nil {
		return nil, err
	}
	for _, c := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", f.Name()},
		{"mount", "-o", "loop", f.Name(), g.Dir},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", c[0], err, out)
		}
	}
	return g, nil
}

// Describe is the ground in a report's conditions.
func (g *Ground) Describe() string { return "ext4 on a loop device on tmpfs" }

// Sub makes a directory on the ground.
func (g *Ground) Sub(name string) (string, error) {
	d := filepath.Join(g.Dir, name)
	return d, os.MkdirAll(d, 0o755)
}

// Point makes a directory to mount on, outside the ground.
func (g *Ground) Point(name string) (string, error) {
	d := filepath.Join(g.base, "mnt-"+name)
	return d, os.MkdirAll(d, 0o755)
}

// Close unmounts and removes the ground. What is mounted over it must be gone.
func (g *Ground) Close() error {
	var errs []error
	if err := unix.Unmount(g.Dir, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", g.Dir, err) // and remove nothing below it
	}
	left, err := os.ReadDir(g.base)
	if err != nil {
		return err
	}
	for _, e := range left { // mount points: empty, or os.Remove says so
		errs = append(errs, os.Remove(filepath.Join(g.base, e.Name())))
	}
	return errors.Join(append(errs, os.Remove(g.base))...)
}

// DropCaches writes everything out and drops the kernel's page, dentry and
// inode caches.
func DropCaches() error {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
		return fmt.Errorf("drop caches: %w", err)
	}
	return nil
}
