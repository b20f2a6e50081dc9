package runtime

import (
	"errors"
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A deviceConfig is a device node to be made in the container.
type deviceConfig struct {
	Path  string
	Mode  uint32 // type and permissions
	Rdev  uint64
	UID   uint32
	GID   uint32
	Chown bool
	// Listed says that the configuration asks for it: what is in its place is an error.
	Listed bool
}

// defaultDevices are those of the specification (config-linux.md, "Default
// devices"), but for /dev/console and /dev/ptmx.
func defaultDevices() []deviceConfig {
	char := func(path string, minor uint32, major uint32) deviceConfig {
		return deviceConfig{Path: path, Mode: unix.S_IFCHR | 0o666, Rdev: unix.Mkdev(major, minor)}
	}
	return []deviceConfig{
		char("/dev/null", 3, 1), char("/dev/zero", 5, 1), char("/dev/full", 7, 1),
		char("/dev/random", 8, 1), char("/dev/urandom", 9, 1), char("/dev/tty", 0, 5),
	}
}

// deviceLinks are the specification's default symlinks (config-linux.md,
// "Dev symbolic links", and /dev/ptmx).
var deviceLinks = [][2]string{
	{"/proc/self/fd", "dev/fd"},
	{"/proc/self/fd/0", "dev/stdin"},
	{"/proc/self/fd/1", "dev/stdout"},
	{"/proc/self/fd/2", "dev/stderr"},
	{"pts/ptmx", "dev/ptmx"},
}

// Device numbers of the kernel's (linux/kdev_t.h).
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

func planDevices(ds []specs.LinuxDevice) ([]deviceConfig, error) {
	cs := defaultDevices()
	for _, d := range ds {
		c := deviceConfig{Path: path.Clean("/" + d.Path), Mode: 0o666, Rdev: unix.Mkdev(uint32(d.Major), uint32(d.Minor)), Listed: true}
		if c.Path == "/" {
			return nil, invalid("linux.devices: path %q", d.Path)
		}
		if d.Type != "p" && (d.Major < 0 || d.Major > maxMajor || d.Minor < 0 || d.Minor > maxMinor) {
			return nil, invalid("linux.devices %s: %d:%d is no device number", d.Path, d.Major, d.Minor)
		}
		if d.FileMode != nil {
			c.Mode = uint32(*d.FileMode) & 0o7777
		}
		switch d.Type {
		case "c", "u":
			c.Mode |= unix.S_IFCHR
		case "b":
			c.Mode |= unix.S_IFBLK
		case "p":
			c.Mode |= unix.S_IFIFO
			c.Rdev = 0
		default:
			return nil, invalid("linux.devices %s: type %q", d.Path, d.Type)
		}
		if d.UID != nil {
			c.UID, c.Chown = *d.UID, true
		}
		if d.GID != nil {
			c.GID, c.Chown = *d.GID, true
		}
		// An entry for a default device replaces it.
		replaced := false
		for i := range cs {
			if cs[i].Path == c.Path {
				cs[i], replaced = c, true
			}
		}
		if !replaced {
			cs = append(cs, c)
		}
	}
	return cs, nil
}

// makeDevices makes the nodes.
func (r rootDir) makeDevices(ds []deviceConfig) error {
	old := unix.Umask(0)
	defer unix.Umask(old)
	for _, d := range ds {
		if err := r.makeDevice(d); err != nil {
			return fmt.Errorf("make device %s: %w", d.Path, err)
		}
	}
	return nil
}

// linkDevices makes the links below /dev.
func (r rootDir) linkDevices() error {
	for _, l := range deviceLinks {
		dir, err := r.open(path.Dir(l[1]), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fmt.Errorf("make link /%s: %w", l[1], err)
		}
		err = unix.Symlinkat(l[0], dir, path.Base(l[1]))
		unix.Close(dir)
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("make link /%s: %w", l[1], err)
		}
	}
	return nil
}

// makeDevice makes one node: with mknod, or, where that isn't allowed (in a user
// namespace, under a device cgroup), by binding the host's node of the same path.
func (r rootDir) makeDevice(d deviceConfig) error {
	dir, err := r.mkdirAll(path.Dir(d.Path))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	name := path.Base(d.Path)
	err = unix.Mknodat(dir, name, d.Mode, int(d.Rdev))
	switch {
	case err == nil:
		if d.Chown {
			return unix.Fchownat(dir, name, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW)
		}
		return nil
	case errors.Is(err, unix.EEXIST):
		// A node of the image, or one that a mount brought along.
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == d.Mode&unix.S_IFMT && st.Rdev == d.Rdev {
			return nil
		}
		if d.Listed {
			return fmt.Errorf("there is another file: %w", err)
		}
	case !errors.Is(err, unix.EPERM):
		return err
	}
	return bindDevice(d, dir, name)
}

func bindDevice(d deviceConfig, dir int, name string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, d.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("bind the host's node: %w", err)
	}
	defer unix.Close(tree)
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != d.Mode&unix.S_IFMT || st.Rdev != d.Rdev {
		return fmt.Errorf("the host's node %s is another device, and making one isn't permitted", d.Path)
	}
	target, err := devicePlace(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(tree, target)
}

// devicePlace opens what a node is mounted over, which is made if it is missing. A link of
// the image's is covered itself, and what it leads to is left as it is (CVE-2025-52565).
func devicePlace(dir int, name string) (int, error) {
	// O_PATH for what exists: it may be a device of the image, which must not be opened.
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		fd, err = unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
	}
	return fd, err
}
