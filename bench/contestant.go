package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/busy"
	"github.com/cfs-project/cfs/internal/deathsig"
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
	// Over has what is mounted next show a fixture. Only what is writable gets
	// changed; it is not mounted meanwhile.
	Over(f Fixture, writable bool) error
	// Discard forgets what was changed. It is not mounted meanwhile.
	Discard() error
}

// Overlay is the kernel's overlayfs, with the options it has by default.
type Overlay struct {
	Stack
	UserXattr bool // in a user namespace: its own marks in user.overlay.*
}

// Name implements [Contestant].
func (o *Overlay) Name() string { return "overlay" }

// Mount implements [Contestant]. It uses fsconfig(2), whose lowerdir+ has no
// limit of a page for all layers together.
func (o *Overlay) Mount(context.Context) (string, error) {
	if err := o.prepare(); err != nil {
		return "", err
	}
	lowers := o.Lowers
	if o.Upper == "" && len(lowers) == 1 { // overlayfs wants two directories
		lowers = append([]string{o.Work}, lowers...)
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("mount overlay at %s: %w", o.Target, err) }
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fs)
	for _, l := range lowers {
		err = errors.Join(err, unix.FsconfigSetString(fs, "lowerdir+", l))
	}
	if o.Upper != "" {
		err = errors.Join(err, unix.FsconfigSetString(fs, "upperdir", o.Upper), unix.FsconfigSetString(fs, "workdir", o.Work))
	}
	if o.UserXattr {
		err = errors.Join(err, unix.FsconfigSetFlag(fs, "userxattr"))
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if errors.Is(err, unix.EINVAL) { // as before Linux 6.7
		if err := o.mountOld(lowers); err != nil {
			return fail(err)
		}
		return o.Target, nil
	}
	if err != nil {
		return fail(err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(m)
	if err := unix.MoveMount(m, "", unix.AT_FDCWD, o.Target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fail(err)
	}
	return o.Target, nil
}

// mountOld uses mount(2), whose options have to fit into a page: the layers go by the names of
// descriptors, which are short.
func (o *Overlay) mountOld(lowers []string) error {
	var short []string
	for _, l := range lowers {
		fd, err := unix.Open(l, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		short = append(short, fmt.Sprintf("/proc/self/fd/%d", fd))
	}
	s := o.Stack
	s.Lowers = short
	options := s.options()
	if o.UserXattr {
		options += ",userxattr"
	}
	return unix.Mount("overlay", o.Target, "overlay", 0, options)
}

// Unmount implements [Contestant].
func (o *Overlay) Unmount() error { return busy.Unmount(o.Target) }

// Server implements [Contestant].
func (o *Overlay) Server() int { return 0 }

// MountProgram is a union that a program mounts and serves in the foreground,
// called as fuse-overlayfs is: -f -o lowerdir=…,upperdir=…,workdir=…,allow_other DIR.
type MountProgram struct {
	Label string
	Argv  []string // the program, and what stands before the options
	// Args is how another program is called instead, without its name.
	Args func(s *Stack) []string
	Stack
	cmd  *exec.Cmd
	talk bytes.Buffer // what it says, told when it fails
}

// Name implements [Contestant].
func (m *MountProgram) Name() string { return m.Label }

// Mount implements [Contestant].
func (m *MountProgram) Mount(ctx context.Context) (string, error) {
	if err := m.prepare(); err != nil {
		return "", err
	}
	var before, now unix.Stat_t
	if err := unix.Stat(m.Target, &before); err != nil {
		return "", err
	}
	args := append(slices.Clone(m.Argv[1:]), "-f", "-o", m.options()+",allow_other", m.Target)
	if m.Args != nil {
		args = append(slices.Clone(m.Argv[1:]), m.Args(&m.Stack)...)
	}
	m.cmd = exec.Command(m.Argv[0], args...)
	m.talk.Reset()
	m.cmd.Stderr = &m.talk
	// It would outlive a killed benchmark, and pin its mounts.
	if err := deathsig.Start(m.cmd); err != nil {
		return "", err
	}
	for range 1000 {
		if err := unix.Stat(m.Target, &now); err == nil && now.Dev != before.Dev {
			return m.Target, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
			continue
		}
		break
	}
	err := errors.Join(m.cmd.Process.Kill(), m.cmd.Wait(), ctx.Err())
	return "", fmt.Errorf("%s did not mount %s: %w: %s", m.Argv[0], m.Target, err, m.talk.Bytes())
}

// Unmount implements [Contestant].
func (m *MountProgram) Unmount() error {
	if err := busy.Unmount(m.Target); err != nil {
		return err
	}
	err := m.cmd.Wait()
	// A request that it reads in the very moment of the unmount is the kernel's ECONNABORTED,
	// which libfuse takes for a failure.
	if err != nil && !bytes.Contains(bytes.ToLower(m.talk.Bytes()), []byte("reading device: "+unix.ECONNABORTED.Error())) {
		return fmt.Errorf("%s: %w: %s", m.Argv[0], err, m.talk.Bytes())
	}
	return nil
}

// Server implements [Contestant].
func (m *MountProgram) Server() int { return m.cmd.Process.Pid }
