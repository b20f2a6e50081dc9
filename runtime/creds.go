package runtime

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// become gives init the container process's identity: bounding set, groups, ids,
// capabilities, no_new_privs; to all its threads if it stays (Options.Init). cwd is entered before if root may, after
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
	early := unix.Chdir(c.Cwd)
	if early != nil && !errors.Is(early, unix.EACCES) {
		return fmt.Errorf("working directory %s: %w", c.Cwd, early)
	}
	if early == nil {
		if err := insideRoot(c.Cwd); err != nil {
			return err
		}
	}
	if err := c.Priorities.set(); err != nil {
		return err
	}
	// Without no_new_privs it takes a capability that the command may not have.
	if !c.NoNewPrivs {
		if c.Seccomp != nil {
			// The profile need not allow what waiting takes.
			if err := i.awaitUnprepared(); err != nil {
				return err
			}
		}
		if err := i.confine(); err != nil {
			return err
		}
	}
	if err := i.setIDs(caps.Permitted != 0); err != nil {
		return err
	}
	if err := i.applyCaps(caps); err != nil {
		return err
	}
	if c.NoNewPrivs {
		if e := i.prctl(unix.PR_SET_NO_NEW_PRIVS, 1); e != 0 {
			return fmt.Errorf("set no_new_privs: %w", e)
		}
	}
	if early != nil {
		if err := unix.Chdir(c.Cwd); err != nil {
			return fmt.Errorf("working directory %s: %w", c.Cwd, err)
		}
		if err := insideRoot(c.Cwd); err != nil {
			return err
		}
	}
	if c.Umask != nil {
		unix.Umask(int(*c.Umask))
	}
	// Changing ids has cleared both (prctl(2)).
	if !c.Outlives {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return fmt.Errorf("set parent death signal: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set undumpable: %w", err)
	}
	return nil
}

// insideRoot refuses a current directory outside the root: the kernel finds no path to
// it (CVE-2024-21626).
func insideRoot(cwd string) error {
	if _, err := unix.Getwd(); err != nil {
		return fmt.Errorf("working directory %s is outside the container: %w", cwd, err)
	}
	return nil
}

// setIDs sets groups, gid and uid, each only if it isn't what is wanted already: Go
// stops all threads for it.
func (i *initProc) setIDs(keepCaps bool) error {
	c := &i.config
	groups := make([]int, len(c.Groups))
	for n, g := range c.Groups {
		groups[n] = int(g)
	}
	have, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("get groups: %w", err)
	}
	if !c.NoSetgroups && !slices.Equal(have, groups) {
		if err := syscall.Setgroups(groups); err != nil {
			return fmt.Errorf("set groups %v: %w", c.Groups, err)
		}
	}
	gid, uid := int(c.GID), int(c.UID)
	if r, e, s := unix.Getresgid(); r != gid || e != gid || s != gid {
		if err := syscall.Setresgid(gid, gid, gid); err != nil {
			return fmt.Errorf("become group %d: %w", gid, err)
		}
	}
	if r, e, s := unix.Getresuid(); r != uid || e != uid || s != uid {
		if keepCaps { // over the change from uid 0; cleared by execve
			if e := i.prctl(unix.PR_SET_KEEPCAPS, 1); e != 0 {
				return fmt.Errorf("keep capabilities: %w", e)
			}
		}
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			return fmt.Errorf("become user %d: %w", uid, err)
		}
	}
	return nil
}

// prctl sets an attribute of the calling thread, which executes the command, and of all
// threads if the process stays.
func (i *initProc) prctl(option, value uintptr) syscall.Errno {
	if !i.config.Init {
		_, _, e := unix.RawSyscall6(unix.SYS_PRCTL, option, value, 0, 0, 0, 0)
		return e
	}
	_, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, option, value, 0, 0, 0, 0)
	return e
}
