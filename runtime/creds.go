package runtime

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// become gives all threads of init the container process's identity: bounding set,
// no_new_privs, groups, ids, capabilities. cwd is entered before if root may, after
// if only the user may.
func (i *initProc) become() error {
	c := &i.config
	permitted, err := ownPermitted()
	if err != nil {
		return err
	}
	caps, refused := c.Caps.grantable(permitted)
	for _, n := range refused.names() {
		if err := i.sock.send(msgWarning, []byte(n+" can't be granted"), nil); err != nil {
			return fmt.Errorf("report to supervisor: %w", err)
		}
	}
	if err := caps.limitBounding(); err != nil {
		return err
	}
	early := unix.Chdir(string(c.Cwd))
	if early != nil && !errors.Is(early, unix.EACCES) {
		return fmt.Errorf("working directory %s: %w", c.Cwd, early)
	}
	// The capabilities to keep outlive leaving uid 0.
	if e := allThreadsPrctl(unix.PR_SET_KEEPCAPS, 1); e != 0 {
		return fmt.Errorf("keep capabilities: %w", e)
	}
	if !c.NoSetgroups {
		groups := make([]int, len(c.Groups))
		for n, g := range c.Groups {
			groups[n] = int(g)
		}
		if err := syscall.Setgroups(groups); err != nil {
			return fmt.Errorf("set groups %v: %w", c.Groups, err)
		}
	}
	if err := syscall.Setresgid(int(c.GID), int(c.GID), int(c.GID)); err != nil {
		return fmt.Errorf("become group %d: %w", c.GID, err)
	}
	if err := syscall.Setresuid(int(c.UID), int(c.UID), int(c.UID)); err != nil {
		return fmt.Errorf("become user %d: %w", c.UID, err)
	}
	if err := caps.apply(); err != nil {
		return err
	}
	if e := allThreadsPrctl(unix.PR_SET_KEEPCAPS, 0); e != 0 {
		return fmt.Errorf("keep capabilities: %w", e)
	}
	if c.NoNewPrivs {
		if e := allThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1); e != 0 {
			return fmt.Errorf("set no_new_privs: %w", e)
		}
	}
	if early != nil {
		if err := unix.Chdir(string(c.Cwd)); err != nil {
			return fmt.Errorf("working directory %s: %w", c.Cwd, err)
		}
	}
	// A directory outside the root would show here (CVE-2024-21626).
	if _, err := unix.Getwd(); err != nil {
		return fmt.Errorf("working directory %s is outside the container: %w", c.Cwd, err)
	}
	if c.Umask != nil {
		unix.Umask(int(*c.Umask))
	}
	// Changing ids has cleared both (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent death signal: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set undumpable: %w", err)
	}
	return nil
}

func allThreadsPrctl(option, value uintptr) syscall.Errno {
	_, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, option, value, 0, 0, 0, 0)
	return e
}
