package overlay2

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "file", Shared: "disk", Backing: "ext4, xfs, btrfs, tmpfs", Dir: upperName, Upper: true,
		CopyUp: "the file, when opened to write",
		Faster: "making and writing many files, as installing packages does",
		Notes:  "the kernel's union: what images hold is read as fast as on a disk; costly for large files that change",
	}
}

var _ cow.Describer = (*Driver)(nil)
