package vfs

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "file", Shared: "nothing", Backing: "any", Dir: copyName,
		CopyUp: "all files, at the start",
		Notes:  "for tests, and where nothing else works; with reflinks (xfs, btrfs) copies share the disk",
	}
}

var _ cow.Describer = (*Driver)(nil)
