package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/busy"
)

// A Ground is a fresh filesystem that holds what the contestants serve: an ext4
// in a file. In memory, "cold" means the same work for all and no disk's mood;
// on a disk, it means the disk's own latency too, which is what layout on disk
// and read-ahead are about.
type Ground struct {
	Dir    string // where it is mounted
	base   string
	on     string // the filesystem that holds the file
	direct bool   // past the page cache of the one that holds the file
}

// groundSize is that of the sparse file, in bytes.
const groundSize = 8 << 30

// memoryDir is where files are in memory, on any Linux.
const memoryDir = "/dev/shm"

// NewGround makes and mounts one, its file in the directory in, or in memory if
// that is empty. The file's name is removed at once: what the loop device holds
// goes when it is unmounted.
func NewGround(ctx context.Context, in string) (_ *Ground, err error) {
	if in == "" {
		in = memoryDir
	}
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
	f, err := os.CreateTemp(in, "cfs-bench-*.ext4")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if err := f.Truncate(groundSize); err != nil {
		return nil, err
	}
	if g.on, err = output(ctx, "stat", "--file-system", "--format=%T", f.Name()); err != nil {
		return nil, err
	}
	for _, c := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", f.Name()},
		{"mount", "-o", "loop", f.Name(), g.Dir},
	} {
		if _, err := output(ctx, c...); err != nil {
			return nil, err
		}
	}
	device, err := output(ctx, "findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", g.Dir)
	if err != nil {
		return nil, err
	}
	_, notDirect := output(ctx, "losetup", "--direct-io=on", device) // where the filesystem can't, as tmpfs
	g.direct = notDirect == nil && g.on != "tmpfs"
	return g, nil
}

// output runs a program and gives what it wrote, without space around it.
func output(ctx context.Context, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", argv[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Describe is the ground in a report's conditions.
func (g *Ground) Describe() string {
	s := "ext4 on a loop device on " + g.on
	if g.direct {
		s += ", direct"
	}
	return s
}

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
	if err := busy.Unmount(g.Dir); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return err // and remove nothing below it
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

// DropCaches writes out what the filesystems of directories hold, and drops the kernel's
// page, dentry and inode caches of everything.
func DropCaches(dirs ...string) error {
	if err := writeOut(dirs...); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
		return fmt.Errorf("drop caches: %w", err)
	}
	return nil
}

// writeOut writes out what the filesystems of directories hold, and no others: on a
// busy host those may take long.
func writeOut(dirs ...string) error {
	for _, d := range dirs {
		fd, err := unix.Open(d, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Syncfs(fd), unix.Close(fd))
		}
		if err != nil {
			return fmt.Errorf("write out the filesystem of %s: %w", d, err)
		}
	}
	return nil
}
