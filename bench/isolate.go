package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolatedEnv marks the process that has a mount namespace of its own.
const isolatedEnv = "CFS_BENCH_ISOLATED"

// Isolate gives the program a private mount namespace, by running it again in
// one: what it mounts is seen by nobody else and is gone with its last process,
// however that ends. It returns in the inner process only, with a context that
// SIGINT and SIGTERM cancel; the outer one passes signals and status on and exits.
func Isolate() (context.Context, context.CancelFunc, error) {
	if os.Getuid() != 0 {
		return nil, nil, errors.New("needs root: to mount, and to drop the kernel's caches")
	}
	if os.Getenv(isolatedEnv) == "" {
		os.Exit(outer())
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, nil, fmt.Errorf("make mounts private: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	return ctx, stop, nil
}

// HideSecondHierarchy takes cgroups' v2 hierarchy away where there is a v1 one beside
// it, which crun and runc refuse. It is for a process whose mount namespace is its own,
// in which mounts don't reach anybody else.
func HideSecondHierarchy() error {
	err := unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("hide the second cgroup hierarchy: %w", err)
	}
	return nil
}

func outer() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: start in a private mount namespace:", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may be gone already
		}
	}()
	_ = cmd.Wait() // the state says it
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 1 // killed
}
