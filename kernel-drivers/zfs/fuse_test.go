package zfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/deathsig"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// fuseVar tells a process that it is in the mount namespace of a zfs-fuse daemon, where /run
// is this test's alone, and where the directories are that stand for datasets.
const fuseVar = "ZFS_FUSE"

// TestFuse is what TestZFS has beside the suite, with the zfs program and the pool of zfs-fuse,
// which has ZFS in a process: what datasets there are, with which properties, and when they go. Their
// contents are not asked of it, as what it mounts forgets fractions of seconds, hangs and ends.
func TestFuse(t *testing.T) {
	drivertest.NeedsRoot(t)
	if os.Getenv(fuseVar) == "" {
		inFuse(t)
		return
	}
	if os.Getenv(poolVar) == "" {
		startFuse(t)
	}
	own(t, mountFuse)
	t.Run("quota", func(t *testing.T) { quotas(t, newDriver(t, os.Getenv(poolVar), mountFuse)) })
}

// inFuse runs the calling test in a mount namespace of its own.
func inFuse(t *testing.T) {
	t.Helper()
	if sys.ProbeFilesystem("zfs", "") == nil {
		t.Skip("SKIPPED: the kernel has zfs, whose program is not that of zfs-fuse")
	}
	for _, name := range []string{"zfs-fuse", "zpool", "zfs"} {
		if _, err := sys.Program(name); err != nil {
			t.Skipf("SKIPPED: %v (package zfs-fuse)", err)
		}
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.timeout=600s", "-test.v"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it is known to hang
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), fuseVar+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if testing.Verbose() || err != nil {
		t.Logf("in a mount namespace:\n%s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

// startFuse starts the daemon, which has its socket and its list of pools in fixed places.
func startFuse(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/run", "/var/lib/zfs", os.Getenv(fuseVar)} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Skipf("SKIPPED: nothing can be mounted at %s: %v", dir, err)
		}
	}
	for _, dir := range []string{"/run/zfs", "/run/lock/zfs"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	daemon, err := sys.Program("zfs-fuse")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--no-daemon", "--no-kstat-mount")
	if err := deathsig.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait() // it tells of the signal in one way or another
	})
	for range 1000 {
		if _, err := os.Stat("/run/zfs/zfs_socket"); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("zfs-fuse does not come up")
}

// mountFuse mounts, in place of a dataset, a directory of its name: a copy of the one that
// stands for what it is a clone of.
func mountFuse(ctx context.Context, dataset string, _ bool, attr int) (*attach.Detached, error) {
	at := standIn(dataset)
	if _, err := os.Lstat(at); err != nil {
		origin, err := get(ctx, "origin", dataset)
		if err != nil {
			return nil, err
		}
		if below, _, cloned := strings.Cut(origin, "@"); cloned {
			out, err := exec.Command("cp", "-a", standIn(below), at).CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("cp: %w: %s", err, out)
			}
		} else if err := os.Mkdir(at, 0o755); err != nil {
			return nil, err
		}
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &attach.Detached{FD: fd}, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: uint64(attr)})
}

func standIn(dataset string) string { return filepath.Join(os.Getenv(fuseVar), path.Base(dataset)) }
