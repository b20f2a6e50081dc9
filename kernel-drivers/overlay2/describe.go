package overlay2

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "file", Shared: "disk, page cache", Backing: "ext4, xfs, btrfs, tmpfs", Dir: upperName, Upper: true,
		CopyUp: "the file, when opened to write",
		Faster: "making and writing many files, as installing packages does",
		Notes:  "the kernel's union: fast reads, one copy of an image's files in memory; costly for large files that change",
	}
}

var _ cow.Describer = (*Driver)(nil)
