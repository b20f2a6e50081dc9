package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/background"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime/stage"
)

// holdStage is argv[0] of the process that has the root of a container mounted which
// doesn't run, in a mount namespace of its own.
const holdStage = "cfs-hold"

type holdRequest struct {
	Root  string // of the store
	ID    string // of the container
	Chain cow.Chain
}

// holdBusy is what it says when somebody else has the container.
var holdBusy = ErrRunning.Error()

// holdMain serves copies on its standard input until that ends. The first answer says
// that it can, or why not; the last, how it ended.
func holdMain(l *stage.Link, payload []byte) int {
	background.Lean()
	conn, err := controlFile(os.Stdin)
	if err != nil {
		return stageStatus(err)
	}
	defer conn.Close()
	var req holdRequest
	if err = json.Unmarshal(payload, &req); err == nil {
		c := &Container{dir: filepath.Join(OpenContainers(req.Root).dir(), req.ID)}
		if err = readJSON(c.path(containerConfig), c); err == nil {
			err = c.holdRoot(l.Context(), req, conn)
		}
	}
	var r controlReply
	switch {
	case errors.Is(err, ErrRunning):
		r.Error = holdBusy
	case err != nil:
		r.Error, r.Hint = err.Error(), hint.Of(err)
	}
	_ = conn.send(r)
	return 0
}

// holdRoot mounts the container's root, and what else it has but tmpfs, which is empty,
// and serves.
func (c *Container) holdRoot(ctx context.Context, req holdRequest, conn *controlConn) (err error) {
	if err := c.hold(); err != nil {
		return err
	}
	defer c.close()
	if err := c.reread(); err != nil {
		return err
	}
	before, err := c.State()
	if err != nil {
		return err
	}
	all := Drivers(req.Root, slog.New(slog.DiscardHandler))
	d, err := pickDriver(ctx, all, c.Driver)
	if err != nil {
		return err
	}
	// What is done below must be done although the command is gone.
	ctx = context.WithoutCancel(ctx)
	snap := c.snapshot(req.Chain)
	if err := c.prepareRoot(ctx, all, d, before, snap); err != nil {
		return err
	}
	state := before
	state.Driver = d.Name()
	if err := c.setState(state); err != nil {
		return err
	}
	rootfs, unmount, err := c.mountRoot(ctx, d, snap)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if err := c.fillVolumes(req.Root, rootfs, !before.Filled); err != nil {
		return err
	}
	state.Filled = true
	if err := c.setState(state); err != nil {
		return err
	}
	root, err := os.OpenFile(rootfs, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	undo, err := c.bindVolumes(root)
	defer func() { err = errors.Join(err, undo()) }()
	if err != nil {
		return err
	}
	if err := conn.send(controlReply{Running: true}); err != nil {
		return nil // nobody is there any more
	}
	for {
		var req controlRequest
		files, err := conn.receive(&req)
		if err != nil {
			return nil
		}
		r := answerCopy(root, req, files)
		if err := conn.send(r); err != nil {
			return nil
		}
	}
}

// answerCopy does what a control request asks for, and closes its files.
func answerCopy(root *os.File, req controlRequest, files []*os.File) controlReply {
	defer closeFiles(files)
	if req.Copy == nil {
		return controlReply{Error: "nothing is to be copied"}
	}
	var file *os.File
	if len(files) > 0 {
		file = files[0]
	}
	a, err := serveCopy(root, *req.Copy, file)
	if err != nil {
		return controlReply{Error: err.Error(), Hint: hint.Of(err)}
	}
	return controlReply{Copied: &a}
}

// prepareRoot makes the container's snapshot, or hands it over to the driver that it is
// to have now. Its state is to say so then.
func (c *Container) prepareRoot(ctx context.Context, all []cow.Driver, d cow.Driver, before State, snap cow.Snapshot) error {
	if before.Driver == "" {
		return d.Create(ctx, snap)
	}
	return c.handOver(ctx, all, d, before, snap)
}

// mountRoot mounts the container's root.
func (c *Container) mountRoot(ctx context.Context, d cow.Driver, snap cow.Snapshot) (rootfs string, unmount func() error, err error) {
	if err := c.limit(ctx, d, snap); err != nil {
		return "", nil, err
	}
	rootfs = filepath.Join(c.dir, containerRootfs)
	mount, err := d.Mount(ctx, snap, rootfs, cow.MountOptions{AllowOther: true, Suid: true, Source: c.Image})
	if err != nil {
		return "", nil, err
	}
	return rootfs, mount.Unmount, nil
}

// bindVolumes mounts volumes and directories of the host in the root, where they are
// when the container runs.
func (c *Container) bindVolumes(root *os.File) (undo func() error, err error) {
	var mounted []string
	undo = func() error {
		var errs []error
		for _, at := range slices.Backward(mounted) {
			errs = append(errs, unix.Unmount(at, unix.MNT_DETACH))
		}
		return errors.Join(errs...)
	}
	o, err := c.withVolumes(c.Options.ShapeOptions)
	if err != nil {
		return undo, err
	}
	for _, m := range outermostFirst(o.Mounts) {
		if m.Type == mountTmpfs {
			continue
		}
		at, err := m.bindIn(root)
		if err != nil {
			return undo, fmt.Errorf("mounting %s at %s: %w", m.Source, m.Target, err)
		}
		mounted = append(mounted, at)
	}
	return undo, nil
}

// bindIn mounts a directory or file in a root, and returns where.
func (m MountOption) bindIn(root *os.File) (string, error) {
	source, err := os.OpenFile(m.Source, unix.O_PATH, 0)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	defer source.Close()
	if m.Subpath != "" {
		part, err := rootedAt(source.Fd()).open(m.Subpath, unix.O_PATH)
		if err != nil {
			return "", err
		}
		defer part.Close()
		source = part
	}
	fi, err := source.Stat()
	if err != nil {
		return "", err
	}
	target, err := rootedAt(root.Fd()).mountPoint(m.Target, fi.IsDir())
	if err != nil {
		return "", err
	}
	defer target.Close()
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if slices.Contains(m.Options, "rbind") {
		flags |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(int(source.Fd()), "", flags)
	if err != nil {
		return "", os.NewSyscallError("open_tree", err)
	}
	defer unix.Close(tree)
	if !m.writable() {
		ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		how := uint(unix.AT_EMPTY_PATH)
		if slices.Contains(m.Options, "rro") {
			how |= unix.AT_RECURSIVE
		}
		if err := unix.MountSetattr(tree, "", how, &ro); err != nil {
			return "", os.NewSyscallError("mount_setattr", err)
		}
	}
	at, err := os.Readlink(procPath(target))
	if err != nil {
		return "", err
	}
	return at, os.NewSyscallError("move_mount", unix.MoveMount(tree, "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// mountPoint opens what something is to be mounted on, made if it is missing, as when
// the container starts.
func (r rootedAt) mountPoint(name string, dir bool) (*os.File, error) {
	if dir {
		return r.mkdirs(name)
	}
	f, err := r.open(name, unix.O_PATH)
	if !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	parent, err := r.mkdirs(filepath.Dir(strings.TrimRight(name, "/")))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	fd, err := unix.Openat(int(parent.Fd()), filepath.Base(name), unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	unix.Close(fd)
	return r.open(name, unix.O_PATH)
}
