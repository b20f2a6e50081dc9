package devicemapper

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "block", Shared: "disk", Backing: "disks, or any", Dir: volumeName,
		CopyUp: "the blocks written",
		Notes:  "old hosts with spare disks, sizes for each container; on files, as without options, only to try it",
	}
}

var _ cow.Describer = (*Driver)(nil)
