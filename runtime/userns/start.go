package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrForbidden is wrapped by what Start returns where the host doesn't let this
// process make a user namespace.
var ErrForbidden = errors.New("user namespaces can't be made here")

// Start starts cmd, which must be a program that calls [Settle], in a new mount
// namespace, and in a new user namespace with these ids unless the mapping is
// privileged. cmd.SysProcAttr is added to. When it returns nil the maps are written,
// and the child may be told to go on; otherwise the child is gone and reaped.
func (m Mapping) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	sys := cmd.SysProcAttr
	sys.Cloneflags |= unix.CLONE_NEWNS
	switch {
	case m.Privileged():
		return cmd.Start()
	case m.Single():
		sys.Cloneflags |= unix.CLONE_NEWUSER
		sys.UidMappings, sys.GidMappings = sysMap(m.UID), sysMap(m.GID)
		sys.GidMappingsEnableSetgroups = false // the kernel's condition for writing a gid map without privilege
		return m.explain(cmd.Start())
	}
	sys.Cloneflags |= unix.CLONE_NEWUSER
	sys.AmbientCaps = allCaps()
	if err := cmd.Start(); err != nil {
		return m.explain(err)
	}
	if err := m.write(cmd.Process.Pid); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	return nil
}

// write has both helpers write the child's maps, side by side.
func (m Mapping) write(pid int) error {
	done := make(chan error, 1)
	go func() { done <- runHelper(m.UIDHelper, pid, m.UID) }()
	err := runHelper(m.GIDHelper, pid, m.GID)
	return errors.Join(<-done, err)
}

func runHelper(path string, pid int, rs []Range) error {
	args := append([]string{strconv.Itoa(pid)}, strings.Fields(format(rs, " ", " "))...)
	cmd := exec.Command(path, args...)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("map ids: %s %s: %w: %s", path, strings.Join(args, " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// explain adds what is known about the host to the kernel's refusal.
func (m Mapping) explain(err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EUSERS) {
		return fmt.Errorf("start in a user namespace: %w", err)
	}
	for _, p := range forbidden("/") {
		return fmt.Errorf("%w: %s: %w", ErrForbidden, p.What, err)
	}
	return fmt.Errorf("%w: %w", ErrForbidden, err)
}

func sysMap(rs []Range) []syscall.SysProcIDMap {
	var s []syscall.SysProcIDMap
	for _, r := range rs {
		s = append(s, syscall.SysProcIDMap{ContainerID: int(r.Container), HostID: int(r.Host), Size: int(r.Size)})
	}
	return s
}

// allCaps are the capabilities this kernel knows, which a new user namespace
// gives its first process.
func allCaps() []uintptr {
	var cs []uintptr
	for c := uintptr(0); c < 64; c++ {
		if _, _, e := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, c, 0, 0, 0, 0); e != 0 {
			break // EINVAL: past the last one
		}
		cs = append(cs, c)
	}
	return cs
}
