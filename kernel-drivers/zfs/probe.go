package zfs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Probe implements cow.Driver. It looks for the module, the program, and the dataset to
// keep all others in; nothing is made.
func (d *Driver) Probe(ctx context.Context) error {
	u := d.probe(ctx)
	if u == nil {
		return nil
	}
	u.Driver = Name
	return u
}

func (d *Driver) probe(ctx context.Context) *cow.Unusable {
	if u := sys.ProbeFilesystem("zfs", ""); u != nil {
		if strings.HasPrefix(u.Reason, "the kernel has no") { // nor is it built in anywhere
			u.Hint = "install ZFS for this kernel (on Debian and Ubuntu zfs-dkms), and as root: modprobe zfs"
		}
		return u
	}
	if !sys.Root() {
		return &cow.Unusable{Reason: "only root may mount datasets", Hint: "run as root, outside of user namespaces"}
	}
	if _, err := sys.Program("zfs"); err != nil {
		return &cow.Unusable{Reason: err.Error(), Hint: "install it (on Debian and Ubuntu zfsutils-linux)"}
	}
	if u := d.probeParent(ctx); u != nil {
		return u
	}
	return sys.ProbeWritable(d.Home)
}

// probeParent looks for the dataset that all others are to be in.
func (d *Driver) probeParent(ctx context.Context) *cow.Unusable {
	const set = "cfs driver set " + Name + " " + optParent + "="
	pools, err := run(ctx, "list", "-H", "-o", "name", "-d", "0")
	if err != nil {
		return &cow.Unusable{Reason: err.Error(), Hint: "as root: modprobe zfs"}
	}
	pools = strings.Join(strings.Fields(pools), ", ")
	if pools == "" {
		return &cow.Unusable{Reason: "there is no pool", Hint: "as root: zpool create tank DISK...; and " + set + "tank"}
	}
	parent, err := d.parent()
	if errors.Is(err, errNoParent) {
		return &cow.Unusable{Reason: err.Error(), Hint: set + "DATASET, in one of the pools: " + pools}
	}
	if err != nil {
		return &cow.Unusable{Reason: err.Error(), Hint: set + "DATASET"}
	}
	switch there, err := exists(ctx, parent); {
	case err != nil:
		return &cow.Unusable{Reason: err.Error(), Hint: set + "DATASET"}
	case !there:
		return &cow.Unusable{Reason: "there is no dataset " + parent,
			Hint: "as root: zfs create -o mountpoint=none " + parent + "; or " + set + "ANOTHER"}
	}
	return nil
}

// superMagic is what statfs(2) tells of ZFS (include/sys/fs/zfs.h, ZFS_SUPER_MAGIC).
const superMagic = 0x2fc12fc1

// datasetAt is the dataset that is mounted where dir is, or will be. It fails with
// errNoParent if that is no ZFS.
func datasetAt(dir string) (string, error) {
	dir = sys.Existing(dir)
	var fs unix.Statfs_t
	var st unix.Stat_t
	err := sys.Again(func() error { return unix.Statfs(dir, &fs) })
	if err == nil {
		err = sys.Again(func() error { return unix.Stat(dir, &st) })
	}
	if err != nil {
		return "", fmt.Errorf("stat %s: %w", dir, err)
	}
	if fs.Type != superMagic {
		return "", errNoParent
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		here := m.FSType == "zfs" && m.Major == int(unix.Major(st.Dev)) && m.Minor == int(unix.Minor(st.Dev))
		return !here, here
	})
	if err != nil {
		return "", err
	}
	if len(mounts) == 0 || strings.Contains(mounts[0].Source, "@") {
		return "", errNoParent
	}
	return mounts[0].Source, nil
}
