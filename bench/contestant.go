package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Contestant is one way to serve a tree. Its methods are called one at a time.
type Contestant interface {
	Name() string
	// Mount makes the tree available at the path it returns, until Unmount.
	Mount(ctx context.Context) (root string, err error)
	// Unmount ends what Mount began, a server's process included.
	Unmount() error
	// Server is the process that serves, while mounted; 0: the kernel.
	Server() int
}

// Native is the extracted tree itself.
type Native struct{ Tree string }

// Name implements [Contestant].
func (n *Native) Name() string { return "native" }

// Mount implements [Contestant].
func (n *Native) Mount(context.Context) (string, error) { return n.Tree, nil }

// Unmount implements [Contestant].
func (n *Native) Unmount() error { return nil }

// Server implements [Contestant].
func (n *Native) Server() int { return 0 }

// Overlay is the kernel's overlayfs over an extracted tree, with an empty upper
// directory unless ReadOnly.
type Overlay struct {
	Tree     string
	Dir      string // of its own, for the upper and work directories
	Target   string
	ReadOnly bool
}

// Name implements [Contestant].
func (o *Overlay) Name() string { return "overlay" }

// Mount implements [Contestant].
func (o *Overlay) Mount(context.Context) (string, error) {
	opts, err := overlayOptions(o.Tree, o.Dir, o.ReadOnly)
	if err != nil {
		return "", err
	}
	if err := unix.Mount("overlay", o.Target, "overlay", 0, opts); err != nil {
		return "", fmt.Errorf("mount overlay at %s: %w", o.Target, err)
	}
	return o.Target, nil
}

// Unmount implements [Contestant].
func (o *Overlay) Unmount() error { return unmount(o.Target) }

// Server implements [Contestant].
func (o *Overlay) Server() int { return 0 }

// overlayOptions makes the directories below dir and names them. Overlayfs
// wants a second lower where there is no upper.
func overlayOptions(tree, dir string, readOnly bool) (string, error) {
	upper, work, empty := filepath.Join(dir, "upper"), filepath.Join(dir, "work"), filepath.Join(dir, "empty")
	for _, d := range []string{upper, work, empty} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	if readOnly {
		return "lowerdir=" + tree + ":" + empty, nil
	}
	return "lowerdir=" + tree + ",upperdir=" + upper + ",workdir=" + work, nil
}

// FuseOverlay is the fuse-overlayfs program over an extracted tree.
type FuseOverlay struct {
	Program  string
	Tree     string
	Dir      string // of its own, for the upper and work directories
	Target   string
	ReadOnly bool
	cmd      *exec.Cmd
	talk     bytes.Buffer // what it says, told when it fails
}

// Name implements [Contestant].
func (o *FuseOverlay) Name() string { return "fuse-overlayfs" }

// Mount implements [Contestant].
func (o *FuseOverlay) Mount(ctx context.Context) (string, error) {
	opts, err := overlayOptions(o.Tree, o.Dir, o.ReadOnly)
	if err != nil {
		return "", err
	}
	var before, now unix.Stat_t
	if err := unix.Stat(o.Target, &before); err != nil {
		return "", err
	}
	o.cmd = exec.Command(o.Program, "-f", "-o", opts, o.Target)
	o.talk.Reset()
	o.cmd.Stderr = &o.talk
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // it would outlive a killed benchmark, and pin its mounts
	if err := o.cmd.Start(); err != nil {
		return "", err
	}
	for range 500 {
		if err := unix.Stat(o.Target, &now); err == nil && now.Dev != before.Dev {
			return o.Target, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	err = errors.Join(o.cmd.Process.Kill(), o.cmd.Wait(), ctx.Err())
	return "", fmt.Errorf("%s did not mount %s: %w: %s", o.Program, o.Target, err, o.talk.Bytes())
}

// Unmount implements [Contestant].
func (o *FuseOverlay) Unmount() error {
	if err := unmount(o.Target); err != nil {
		return err
	}
	return o.cmd.Wait()
}

// Server implements [Contestant].
func (o *FuseOverlay) Server() int { return o.cmd.Process.Pid }

func unmount(target string) error {
	if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}
