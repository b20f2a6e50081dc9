package unionfs

import "github.com/cfs-project/cfs/cow"

// Describe implements [cow.Describer].
func (d *Driver) Describe() cow.Description {
	return cow.Description{
		Level: "file", Shared: "disk", Backing: "any with extended attributes", Dir: upperSub, Upper: true,
		CopyUp: "the blocks written",
		Notes:  "the default: needs neither root nor extraction; renames directories and keeps hard links as a disk would",
	}
}

var _ cow.Describer = (*Driver)(nil)
