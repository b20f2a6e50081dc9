package zfs

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "block", Shared: "disk", Backing: "zfs", Dir: volumeName,
		CopyUp: "the blocks written",
		Notes:  "hosts with a pool: checksums, compression, a size for each container; ZFS wants memory",
	}
}

var _ cow.Describer = (*Driver)(nil)
