package devicemapper

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/dm"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Probe implements cow.Driver. It looks whether the kernel has what a pool is made of;
// no device is made.
func (d *Driver) Probe(context.Context) error {
	for _, check := range []func() *cow.Unusable{probeRoot, probeKernel, d.probeStore} {
		if u := check(); u != nil {
			u.Driver = Name
			return u
		}
	}
	return nil
}

func probeRoot() *cow.Unusable {
	if sys.Root() {
		return nil
	}
	return &cow.Unusable{Reason: "only root may use the device mapper", Hint: "run as root, outside of user namespaces"}
}

func probeKernel() *cow.Unusable {
	control, err := dm.Open()
	if err != nil {
		return &cow.Unusable{Reason: fmt.Sprintf("the kernel has no device mapper here: %v", err),
			Hint: "as root: modprobe dm-thin-pool; or boot a kernel with CONFIG_BLK_DEV_DM and CONFIG_DM_THIN_PROVISIONING"}
	}
	defer control.Close()
	for _, target := range []string{"thin-pool", "thin"} {
		if has, err := control.HasTarget(target); err != nil || !has {
			return &cow.Unusable{Reason: "the device mapper has no thin provisioning",
				Hint: "as root: modprobe dm-thin-pool; or boot a kernel with CONFIG_DM_THIN_PROVISIONING"}
		}
	}
	return nil
}

// probeStore looks at what this store's pool is on and is to hold.
func (d *Driver) probeStore() *cow.Unusable {
	o, err := d.options()
	if err != nil {
		return &cow.Unusable{Reason: err.Error(), Hint: "cfs driver set devicemapper NAME=VALUE"}
	}
	if u := sys.ProbeFilesystem(o.Filesystem, "CONFIG_"+map[string]string{"ext4": "EXT4_FS", "xfs": "XFS_FS"}[o.Filesystem]); u != nil {
		return u
	}
	if _, err := sys.Program("mkfs." + o.Filesystem); err != nil {
		pkg := map[string]string{"ext4": "e2fsprogs", "xfs": "xfsprogs"}[o.Filesystem]
		return &cow.Unusable{Reason: err.Error(), Hint: "install " + pkg}
	}
	for _, disk := range []string{o.DataDevice, o.MetadataDevice} {
		needs := disk
		if disk == "" {
			needs = "/dev/loop-control"
		}
		if err := unix.Access(needs, unix.W_OK); err != nil {
			u := &cow.Unusable{Reason: fmt.Sprintf("%s can't be used: %v", needs, err), Hint: "as root: modprobe loop"}
			if disk != "" {
				u.Hint = "cfs driver set devicemapper " + optDataDevice + "=DISK " + optMetadataDevice + "=DISK"
			}
			return u
		}
	}
	return sys.ProbeWritable(d.Home)
}
