package attach

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// A Detached is a mounted filesystem that is attached nowhere: it is there for who has it,
// and gone with the process, unless it is attached.
type Detached struct {
	FD int // opened with O_PATH
}

// Mount mounts a filesystem with options, each a name and its value, empty for a flag, and with
// MOUNT_ATTR_* flags. Close unmounts what is not attached.
func Mount(fstype string, options [][2]string, attr int) (*Detached, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	if err := Set(fs, options); err != nil {
		return nil, err
	}
	fd, err := Made(fs, attr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fstype, err)
	}
	return &Detached{FD: fd}, nil
}

// Set gives the context fs of fsopen(2) options, each a name and its value, empty for a flag.
func Set(fs int, options [][2]string) error {
	for _, o := range options {
		err := sys.Again(func() error {
			if o[1] == "" {
				return unix.FsconfigSetFlag(fs, o[0])
			}
			return unix.FsconfigSetString(fs, o[0], o[1])
		})
		if err != nil {
			return Explain(fs, fmt.Errorf("mount option %s: %w", strings.TrimSuffix(o[0]+"="+o[1], "="), err))
		}
	}
	return nil
}

// Made makes the filesystem that the context fs describes, and mounts it with MOUNT_ATTR_*
// flags, attached nowhere.
func Made(fs, attr int) (int, error) {
	if err := sys.Again(func() error { return unix.FsconfigCreate(fs) }); err != nil {
		return -1, Explain(fs, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, Explain(fs, fmt.Errorf("fsmount: %w", err))
	}
	return fd, nil
}

// Open opens the root directory for reading.
func (d *Detached) Open() (int, error) { return sys.OpenDir(d.FD, ".") }

// Root is a path of the root directory, until Close.
func (d *Detached) Root() string { return sys.ProcPath(d.FD) + "/." } // the dot: a link would not be followed

// Sync has all of it on disk.
func (d *Detached) Sync() error {
	root, err := d.Open()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	return sys.Again(func() error { return unix.Syncfs(root) })
}

// Close unmounts it, unless it is attached.
func (d *Detached) Close() { unix.Close(d.FD) }

// Attach attaches it at target and calls end when it is there no more, or now, if it
// returns an error.
func (d *Detached) Attach(target string, end func()) (*Mounted, error) {
	if err := unix.MoveMount(d.FD, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		end()
		return nil, fmt.Errorf("move_mount: %w", err)
	}
	return watched(target, end)
}

// watched is Watch, which unmounts and ends what can't be watched.
func watched(target string, end func()) (*Mounted, error) {
	m, err := Watch(target, end)
	if err != nil {
		unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		end()
		return nil, err
	}
	return m, nil
}
