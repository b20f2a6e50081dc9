package overlay2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// Mount implements cow.Driver. It extracts the layers that nobody has
// extracted yet.
func (d *Driver) Mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (cow.Mount, error) {
	m, err := d.mount(ctx, s, target, o)
	if err != nil {
		return nil, fmt.Errorf("mount overlay at %s: %w", target, err)
	}
	return m, nil
}

func (d *Driver) mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (*mounted, error) {
	st, err := d.stack(ctx, s.Base)
	if err != nil {
		return nil, err
	}
	p, err := d.plan(st, s, o)
	if err == nil {
		err = p.attach(target)
	}
	if err != nil {
		st.release()
		return nil, err
	}
	m, err := watch(target, st)
	if err != nil {
		unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		st.release()
		return nil, err
	}
	return m, nil
}

// A plan is one mount of overlayfs.
type plan struct {
	source      string
	lowers      []string // topmost first
	upper, work string   // empty: read-only
	options     [][2]string
	attr        int // MOUNT_ATTR_*
}

func (d *Driver) plan(st *stack, s cow.Snapshot, o cow.MountOptions) (*plan, error) {
	p := &plan{source: o.Source}
	if p.source == "" {
		p.source = "overlay"
	}
	paths := st.paths()
	for i := len(paths) - 1; i >= 0; i-- {
		p.lowers = append(p.lowers, paths[i])
	}
	// overlayfs wants one lower below an upper and two without any
	// (overlayfs.rst, "Multiple lower layers").
	need := 1
	if o.ReadOnly {
		need = 2
		p.attr |= unix.MOUNT_ATTR_RDONLY
	}
	for n := 0; len(p.lowers) < need; n++ {
		dir, err := st.empty(n)
		if err != nil {
			return nil, err
		}
		p.lowers = append(p.lowers, dir)
	}
	if !o.Suid {
		p.attr |= unix.MOUNT_ATTR_NOSUID
	}
	if !o.Dev {
		p.attr |= unix.MOUNT_ATTR_NODEV
	}
	if st.dialect == whiteout.User {
		p.options = append(p.options, [2]string{"userxattr", ""})
	}
	if o.ReadOnly {
		return p, nil
	}
	p.upper, p.work = filepath.Join(s.Dir, upperName), filepath.Join(s.Dir, workName)
	if st.dialect == whiteout.User {
		return p, refuseForeign(p.upper)
	}
	// An upper that the union wrote may hold both; without metacopy a file
	// that has no data yet would be shown as zeros. Index is off, as it ties an upper to
	// the inodes of its lowers for ever, and a tree may be extracted anew.
	p.options = append(p.options, [2]string{"redirect_dir", "on"}, [2]string{"metacopy", "on"}, [2]string{"index", "off"})
	return p, nil
}

// attach makes the mount with fsopen(2), or, on kernels older than 6.7 that
// can't take lowers one by one, with mount(2).
func (p *plan) attach(target string) error {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return p.attachOld(target)
	}
	if err != nil {
		return fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	var fds pathFDs
	defer fds.close()
	for i, dir := range p.lowers {
		at, err := fds.short(dir)
		if err != nil {
			return err
		}
		err = again(func() error { return unix.FsconfigSetString(fs, "lowerdir+", at) })
		if i == 0 && errors.Is(err, unix.EINVAL) {
			return p.attachOld(target)
		}
		if err != nil {
			return p.explain(fs, fmt.Errorf("lower directory %s: %w", dir, err))
		}
	}
	set := p.options
	if p.upper != "" {
		upper, err := fds.short(p.upper)
		if err != nil {
			return err
		}
		work, err := fds.short(p.work)
		if err != nil {
			return err
		}
		set = append(set, [2]string{"upperdir", upper}, [2]string{"workdir", work})
	}
	set = append(set, [2]string{"source", p.source})
	for _, kv := range set {
		err := again(func() error {
			if kv[1] == "" {
				return unix.FsconfigSetFlag(fs, kv[0])
			}
			return unix.FsconfigSetString(fs, kv[0], kv[1])
		})
		if err != nil {
			return p.explain(fs, fmt.Errorf("option %s=%s: %w", kv[0], kv[1], err))
		}
	}
	if err := again(func() error { return unix.FsconfigCreate(fs) }); err != nil {
		return p.explain(fs, err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, p.attr)
	if err != nil {
		return p.explain(fs, fmt.Errorf("fsmount: %w", err))
	}
	defer unix.Close(mnt)
	if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// explain adds what the kernel has to say; a context's descriptor is read for
// its messages, one a read, each with a letter in front (fsopen(2)).
func (p *plan) explain(fs int, err error) error {
	buf := make([]byte, 1024)
	for {
		n, rerr := unix.Read(fs, buf)
		if rerr != nil || n == 0 {
			return err
		}
		if n > 2 && (buf[0] == 'e' || buf[0] == 'w') {
			err = fmt.Errorf("%w (%s)", err, string(buf[2:n]))
		}
	}
}

// maxString is the longest string that fsconfig(2) takes.
const maxString = 255

// pathFDs holds descriptors of directories whose paths are too long.
type pathFDs struct{ fds []int }

// short is a path of dir that is short enough.
func (f *pathFDs) short(dir string) (string, error) {
	if len(dir) <= maxString {
		return dir, nil
	}
	return f.link(dir)
}

// link is a path of dir of a few characters, valid until close.
func (f *pathFDs) link(dir string) (string, error) {
	fd, err := open(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", dir, err)
	}
	f.fds = append(f.fds, fd)
	return procPath(fd), nil
}

func (f *pathFDs) close() {
	for _, fd := range f.fds {
		unix.Close(fd)
	}
}

// copyRootAttributes gives the directory to the mode, owner, xattrs and times
// of the directory from; without one, those of a root that no layer describes.
func copyRootAttributes(from, to string, dialect whiteout.Dialect) error {
	if from == "" {
		return os.Chmod(to, 0o755)
	}
	var st unix.Stat_t
	if err := again(func() error { return unix.Stat(from, &st) }); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	if err := again(func() error { return unix.Lchown(to, int(st.Uid), int(st.Gid)) }); err != nil {
		return fmt.Errorf("chown %s: %w", to, err)
	}
	if err := copyXattrs(from, to, dialect.Namespace()); err != nil {
		return err
	}
	if err := again(func() error { return unix.Chmod(to, st.Mode&0o7777) }); err != nil {
		return fmt.Errorf("chmod %s: %w", to, err)
	}
	ts := []unix.Timespec{st.Atim, st.Mtim}
	return again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, to, ts, 0) })
}
