package overlay2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/attach"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
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

func (d *Driver) mount(ctx context.Context, s cow.Snapshot, target string, o cow.MountOptions) (*attach.Mounted, error) {
	st, err := d.stack(ctx, s.Base)
	if err != nil {
		return nil, err
	}
	p, err := d.plan(st, s, o)
	if err == nil {
		err = p.attach(target)
	}
	if errors.Is(err, unix.ESTALE) {
		err = &cow.Unusable{Driver: Name, Reason: "with index=on it is tied to the image as it was extracted then, and that is gone",
			Hint: "cfs driver set overlay2 index=off"}
	}
	if err != nil {
		st.release()
		return nil, err
	}
	m, err := attach.Watch(target, st.release)
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
	data        []string // data-only lowers, below them
	upper, work string   // empty: read-only
	options     [][2]string
	attr        int // MOUNT_ATTR_*
	// attached is a lower that has to be attached somewhere while the overlay is
	// made, and the target will do: overlayfs takes no others before Linux 6.15
	// (clone_private_mount() in fs/namespace.c). -1: none.
	attached int
}

func (d *Driver) plan(st *stack, s cow.Snapshot, how cow.MountOptions) (*plan, error) {
	p := &plan{source: how.Source, attr: attach.Attr(how), attached: -1}
	if st.packed != nil && !sys.KernelIs(6, 15) {
		p.attached = int(st.packed.Fd())
	}
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
	if len(st.trees) > 0 {
		p.data = st.data.lowers()
	}
	if how.ReadOnly {
		need = 2 - len(p.data) // which count
	}
	for n := 0; len(p.lowers) < need; n++ {
		dir, err := st.empty(n)
		if err != nil {
			return nil, err
		}
		p.lowers = append(p.lowers, dir)
	}
	if st.dialect == whiteout.User {
		p.options = append(p.options, [2]string{"userxattr", ""})
	}
	if how.ReadOnly {
		if len(p.data) > 0 && st.dialect != whiteout.User && st.data.metacopy {
			p.options = append(p.options, [2]string{"redirect_dir", "on"}, [2]string{"metacopy", "on"})
		}
		return p, nil
	}
	p.upper, p.work = filepath.Join(s.Dir, upperName), filepath.Join(s.Dir, workName)
	o, err := d.settings()
	if err != nil {
		return nil, err
	}
	set, ignored, err := o.forUpper(st.dialect)
	if err != nil {
		return nil, err
	}
	if err := refuseForeign(p.upper, st.dialect.Namespace(), ignored...); err != nil {
		return nil, err
	}
	if err := settleVolatile(s.Dir, o.volatile); err != nil {
		return nil, err
	}
	p.options = append(p.options, set...)
	if st.packed != nil && st.dialect != whiteout.User {
		// Two filesystems: a file keeps its number at copy-up if both fit into one.
		p.options = append(p.options, [2]string{"xino", "on"})
	}
	return p, nil
}

// attach makes the mount with fsopen(2), or, on kernels older than 6.7 that
// can't take lowers one by one, with mount(2). Those older than 6.5 would take any
// option, and refuse the whole in the end.
func (p *plan) attach(target string) error {
	if !sys.KernelIs(6, 5) {
		return p.attachOld(target)
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return p.attachOld(target)
	}
	if err != nil {
		return fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	lift, err := p.lay(target)
	if err != nil {
		return err
	}
	defer lift()
	var fds attach.Paths
	defer fds.Close()
	for i, dir := range p.lowers {
		at, err := fds.Short(dir)
		if err != nil {
			return err
		}
		err = sys.Again(func() error { return unix.FsconfigSetString(fs, "lowerdir+", at) })
		if i == 0 && errors.Is(err, unix.EINVAL) {
			return p.attachOld(target)
		}
		if err != nil {
			return attach.Explain(fs, fmt.Errorf("lower directory %s: %w", dir, err))
		}
	}
	for _, dir := range p.data {
		at, err := fds.Short(dir)
		if err != nil {
			return err
		}
		if err := sys.Again(func() error { return unix.FsconfigSetString(fs, "datadir+", at) }); err != nil {
			return attach.Explain(fs, fmt.Errorf("data-only lower directory %s: %w", dir, err))
		}
	}
	set := p.options
	if p.upper != "" {
		upper, err := fds.Short(p.upper)
		if err != nil {
			return err
		}
		work, err := fds.Short(p.work)
		if err != nil {
			return err
		}
		set = append(set, [2]string{"upperdir", upper}, [2]string{"workdir", work})
	}
	set = append(set, [2]string{"source", p.source})
	if err := attach.Set(fs, set); err != nil {
		return err
	}
	mnt, err := attach.Made(fs, p.attr)
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	lift()
	if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// lay attaches what has to be, until lift is called; the overlay keeps it then.
func (p *plan) lay(target string) (lift func(), err error) {
	if p.attached < 0 {
		return func() {}, nil
	}
	if err := unix.MoveMount(p.attached, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return nil, fmt.Errorf("attach the image: %w", err)
	}
	return sync.OnceFunc(func() { unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }), nil
}

// copyRootAttributes gives the directory to the mode, owner, xattrs and times
// of the directory from; without one, those of a root that no layer describes.
func copyRootAttributes(from, to string, dialect whiteout.Dialect) error {
	if from == "" {
		return os.Chmod(to, 0o755)
	}
	var st unix.Stat_t
	if err := sys.Again(func() error { return unix.Stat(from, &st) }); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	if err := sys.Again(func() error { return unix.Lchown(to, int(st.Uid), int(st.Gid)) }); err != nil {
		return fmt.Errorf("chown %s: %w", to, err)
	}
	if err := sys.CopyXattrs(from, to, func(name string) bool {
		_, own := dialect.Namespace().Own(name)
		return own
	}); err != nil {
		return err
	}
	if err := sys.Again(func() error { return unix.Chmod(to, st.Mode&0o7777) }); err != nil {
		return fmt.Errorf("chmod %s: %w", to, err)
	}
	ts := []unix.Timespec{st.Atim, st.Mtim}
	return sys.Again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, to, ts, 0) })
}
