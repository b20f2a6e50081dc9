package runtime

import (
	"fmt"
	"os"
	goruntime "runtime"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mapIDs makes a detached mount an id-mapped one, if that is asked for: by mappings of its
// own, or by the option idmap alone, by the container's (config.md, "Mounts").
func mapIDs(tree int, m specs.Mount, o mountOptions, l *specs.Linux) error {
	if (len(m.UIDMappings) > 0) != (len(m.GIDMappings) > 0) {
		return invalid("uidMappings and gidMappings go together")
	}
	uids, gids := m.UIDMappings, m.GIDMappings
	if len(uids) == 0 {
		if !o.IDMap {
			return nil
		}
		if uids, gids = l.UIDMappings, l.GIDMappings; len(uids) == 0 || len(gids) == 0 {
			return invalid("the option idmap needs mappings, of the mount or the container")
		}
	}
	ns, err := mappedNamespace(idMaps(uids), idMaps(gids))
	if err != nil {
		return err
	}
	defer ns.Close()
	flags := uint(unix.AT_EMPTY_PATH)
	if o.RecIDMap {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	return unix.MountSetattr(tree, "", flags, &attr)
}

// mappedNamespace makes a user namespace with these maps, which only the file holds.
func mappedNamespace(uids, gids []syscall.SysProcIDMap) (*os.File, error) {
	// A traced child stops before it does anything; its tracer is the thread that made it.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	p, err := os.StartProcess("/proc/self/exe", []string{initStage}, &os.ProcAttr{
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids,
			Ptrace: true, Pdeathsig: unix.SIGKILL,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	defer func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	return f, nil
}
