package drivers

import (
	"log/slog"
	"path/filepath"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/btrfs"
	"github.com/cfs-project/cfs/kernel-drivers/devicemapper"
	"github.com/cfs-project/cfs/kernel-drivers/erofs"
	"github.com/cfs-project/cfs/kernel-drivers/overlay2"
	"github.com/cfs-project/cfs/kernel-drivers/vfs"
	"github.com/cfs-project/cfs/kernel-drivers/zfs"
)

// List makes every kernel driver, in the order in which they are to be probed.
// Each keeps what it materialises in a directory of its name below home, usually
// $CFS_ROOT/drivers, and makes it when first needed. Log may be nil.
func List(home string, log *slog.Logger) []cow.Driver {
	return []cow.Driver{
		overlay2.New(filepath.Join(home, overlay2.Name), log),
		btrfs.New(filepath.Join(home, btrfs.Name), log),
		zfs.New(filepath.Join(home, zfs.Name), log),
		devicemapper.New(filepath.Join(home, devicemapper.Name), log),
		vfs.New(filepath.Join(home, vfs.Name), log),
		erofs.New(home),
	}
}
