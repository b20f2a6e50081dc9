package btrfs

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "block", Shared: "disk", Backing: "btrfs", Dir: volumeName,
		CopyUp: "the blocks written",
		Faster: "making and writing many files, and parts of large ones",
		Notes:  "many containers and large files that change; snapshots at once, sizes by quota group",
	}
}

var _ cow.Describer = (*Driver)(nil)
