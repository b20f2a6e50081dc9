package runtime

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// buildRoot makes the container's file system tree and makes it "/", in init's own
// mount namespace. It returns the root and, with a terminal, the terminal's side
// for the container's process.
func (i *initProc) buildRoot() (rootDir, error) {
	c := &i.config
	root := rootDir{fd: i.fds[c.Root]}
	// Onto "/" itself, which exists in any case: names resolve below the old root
	// as before, and the new one is reached by its descriptor.
	onto := "/"
	if c.RootPath != "" {
		onto = c.RootPath
	} else if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		// Nothing of what follows may reach the namespace that this one is a copy of.
		return root, fmt.Errorf("make mounts slaves: %w", err)
	}
	if err := unix.MoveMount(root.fd, "", unix.AT_FDCWD, onto, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return root, fmt.Errorf("attach root: %w", err)
	}
	null, err := hostNull()
	if err != nil {
		return root, err
	}
	i.null = null
	for _, m := range c.Mounts {
		if err := i.mount(root, m); err != nil {
			return root, fmt.Errorf("mount %s at %s: %w", m.name(), m.Target, err)
		}
	}
	if err := root.makeDevices(c.Devices); err != nil {
		return root, err
	}
	if c.MakeDevices {
		if err := root.linkDevices(); err != nil {
			return root, err
		}
	}
	if c.Terminal {
		if err := i.openConsole(root); err != nil {
			return root, fmt.Errorf("open terminal: %w", err)
		}
	}
	if c.MakeCwd {
		fd, err := root.mkdirAll(c.Cwd)
		if err != nil {
			return root, fmt.Errorf("working directory: %w", err)
		}
		unix.Close(fd)
	}
	for _, p := range c.ReadonlyPaths {
		if err := root.makeReadonly(p); err != nil {
			return root, fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	for _, p := range c.MaskedPaths {
		if err := root.mask(p, null); err != nil {
			return root, fmt.Errorf("mask %s: %w", p, err)
		}
	}
	if err := i.hooksBeforePivot(); err != nil {
		return root, err
	}
	if c.RootPath != "" {
		if err := chroot(root); err != nil {
			return root, err
		}
	} else if err := pivot(root); err != nil {
		return root, err
	}
	attr := unix.MountAttr{}
	if c.ReadonlyRoot {
		attr.Attr_set = unix.MOUNT_ATTR_RDONLY
	}
	if !emptyAttr(attr) {
		if err := unix.MountSetattr(root.fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return root, fmt.Errorf("make root read-only: %w", err)
		}
	}
	if c.Propagation != 0 {
		o := mountOptions{Propagation: c.Propagation, RecPropagation: c.RecPropagation}
		if err := o.setAttrs(root.fd); err != nil {
			return root, fmt.Errorf("set propagation of root: %w", err)
		}
	}
	return root, nil
}

// chroot makes root "/" where the mounts are the caller's, who has to take them away
// ([UnmountRoot]).
func chroot(root rootDir) error {
	if err := unix.Fchdir(root.fd); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return nil
}

func (m mountConfig) name() string {
	if m.Tree >= 0 {
		return m.Source
	}
	return m.Type
}

// pivot makes root "/" for every thread and takes the old root away.
func pivot(root rootDir) error {
	if err := unix.Fchdir(root.fd); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	// "." is now the old root, stacked onto the new one. This namespace is about to be
	// the only one that sees it, so detaching leaves nothing mounted.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return nil
}
