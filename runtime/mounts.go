package runtime

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A mountConfig is one mount as init gets it: either a tree that the supervisor
// made of a path of the host, or a file system for init to make.
type mountConfig struct {
	Target  string
	Tree    int  // index among the descriptors sent along; -1: make a file system
	File    bool // the tree's root is no directory
	Type    string
	Source  string
	Options mountOptions
	Cgroups []cgroupTree // of type cgroup and cgroup2
}

// planMounts translates the specification's mounts, opening the sources of bind
// mounts. The trees are the supervisor's to close.
func (s *setup) planMounts(dir string, spec *specs.Spec) error {
	for i, m := range spec.Mounts {
		if err := s.planMount(dir, m, spec.Linux); err != nil {
			return fmt.Errorf("mounts[%d] (%s): %w", i, m.Destination, err)
		}
	}
	return nil
}

func (s *setup) planMount(dir string, m specs.Mount, l *specs.Linux) error {
	// The specification asks for an absolute destination; a relative one is taken
	// from "/", as runc does for old configurations.
	o, err := parseMountOptions(m.Options)
	if err != nil {
		return err
	}
	c := mountConfig{Target: path.Clean("/" + m.Destination), Tree: -1, Type: m.Type, Source: m.Source, Options: o}
	if c.Target == "/" {
		return invalid("a mount can't replace the root")
	}
	if o.Remount {
		if o.CopyUp || o.IDMap || len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0 {
			return unsupported("mounts.options remount with tmpcopyup or mapped ids")
		}
		s.config.Mounts = append(s.config.Mounts, c)
		return nil
	}
	if !o.Bind && m.Type != "bind" {
		switch m.Type {
		case "":
			return invalid("a mount needs a type")
		case "cgroup", "cgroup2":
			if len(o.Data) > 0 || len(o.Flags) > 0 {
				return invalid("option %q has no meaning for a container's cgroups", append(o.Data, o.Flags...)[0])
			}
		}
		if len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0 || o.IDMap {
			return unsupported("mounts.uidMappings of a new file system")
		}
		s.config.Mounts = append(s.config.Mounts, c)
		return nil
	}
	for _, option := range append(o.Data, o.Flags...) {
		// mount(2) passes over them, and there are configurations with such.
		s.warnings = append(s.warnings, fmt.Sprintf("option %q of the mount at %s has no meaning for a bind mount", option, c.Target))
	}
	src := m.Source
	if src == "" {
		return invalid("a bind mount needs a source")
	}
	if !filepath.IsAbs(src) {
		src = filepath.Join(dir, src)
	}
	fd, isDir, err := cloneTree(src, o.Recursive)
	if err != nil {
		return fmt.Errorf("bind %s: %w", src, err)
	}
	c.File, c.Tree = !isDir, s.sendFD(fd)
	if o.Propagation == 0 {
		o.Propagation, o.RecPropagation = unix.MS_PRIVATE, true
		c.Options = o
	}
	if err := mapIDs(fd, m, o, l); err != nil {
		return fmt.Errorf("bind %s with mapped ids: %w", src, err)
	}
	if s.inTurn {
		o.Propagation, o.RecPropagation = 0, false // see tree
	}
	if err := o.setAttrs(fd); err != nil {
		return fmt.Errorf("bind %s with options %s: %w", src, strings.Join(m.Options, ","), err)
	}
	s.config.Mounts = append(s.config.Mounts, c)
	return nil
}

// cloneTree makes a detached copy of the mount at a path of the host, and tells
// whether its root is a directory.
func cloneTree(path string, recursive bool) (fd int, isDir bool, err error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err = unix.OpenTree(unix.AT_FDCWD, path, flags)
	if err != nil {
		return -1, false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, false, err
	}
	return fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// mount does one mount below the root, in init.
func (i *initProc) mount(r rootDir, m mountConfig) error {
	if m.Options.Remount {
		return r.remount(m)
	}
	target, err := r.target(m)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if m.Tree >= 0 {
		tree, err := i.tree(m)
		if err != nil {
			return err
		}
		return attach(tree, target)
	}
	if isCgroup(m.Type) {
		return m.mountCgroups(target, i.fds)
	}
	mnt, err := makeMount(m.Type, m.Source, m.Options)
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	if m.Options.CopyUp {
		if err := copyTree(target, mnt); err != nil {
			return fmt.Errorf("copy up: %w", err)
		}
	}
	if err := attach(mnt, target); err != nil {
		return err
	}
	if m.Options.Propagation != 0 {
		return mountOptions{Propagation: m.Options.Propagation, RecPropagation: m.Options.RecPropagation}.setAttrs(mnt)
	}
	return nil
}

// target opens the mount point, made if it is missing. /proc and /sys must be
// plain directories: through a symlink another directory of the container would
// take their place in what is read and masked later (CVE-2023-27561).
func (r rootDir) target(m mountConfig) (int, error) {
	if m.Type == "proc" || m.Type == "sysfs" {
		fd, err := r.openPlain(m.Target, unix.O_PATH|unix.O_DIRECTORY)
		if err != unix.ENOENT {
			if err == unix.ELOOP || err == unix.ENOTDIR {
				err = fmt.Errorf("%s must be mounted on a plain directory: %w", m.Type, err)
			}
			return fd, err
		}
	}
	if m.File {
		return r.mkfile(m.Target)
	}
	return r.mkdirAll(m.Target)
}

// makeMount makes a new file system and a detached mount of it.
func makeMount(typ, source string, o mountOptions) (int, error) {
	fs, err := unix.Fsopen(typ, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("file system %s: %w", typ, err)
	}
	defer unix.Close(fs)
	if source == "" {
		source = typ
	}
	if err := unix.FsconfigSetString(fs, "source", source); err != nil {
		return -1, fsError(fs, "option source", err)
	}
	if err := o.configure(fs); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fsError(fs, "create", err)
	}
	// Unlike mount(2), fsmount(2) takes access-time modes only without others.
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(o.Set|o.RecSet))
	if err != nil {
		return -1, fsError(fs, "mount", err)
	}
	return mnt, nil
}

// configure gives a file system that is being made or changed its options.
func (m mountOptions) configure(fs int) (err error) {
	for _, f := range m.Flags {
		err := unix.FsconfigSetFlag(fs, f)
		if f == "iversion" && err == unix.EINVAL {
			continue // mount(2) takes it for all, and those that don't know it count anyway or never
		}
		if err != nil {
			return fsError(fs, "option "+f, err)
		}
	}
	for _, d := range m.Data {
		if k, v, ok := strings.Cut(d, "="); ok {
			err = unix.FsconfigSetString(fs, k, v)
		} else {
			err = unix.FsconfigSetFlag(fs, k)
		}
		if err != nil {
			return fsError(fs, "option "+d, err)
		}
	}
	return nil
}

// fsError adds what the file system said about it in its log.
func fsError(fs int, what string, err error) error {
	var b [256]byte
	if n, e := unix.Read(fs, b[:]); e == nil && n > 2 {
		return fmt.Errorf("%s: %w (%s)", what, err, strings.TrimSpace(string(b[2:n])))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// attach puts a detached mount onto what target is open on.
func attach(mnt, target int) error {
	return unix.MoveMount(mnt, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}
