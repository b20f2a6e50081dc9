package erofs

import "github.com/cfs-project/cfs/cow"

// Describe implements cow.Describer.
func (Driver) Describe() cow.Description {
	return cow.Description{
		Level: "file", Shared: "disk", Backing: "any", ViewsOnly: true,
		CopyUp: "none: read-only",
		Faster: "reading images (cfs mount)",
		Notes:  "looking into images at the kernel's speed: cfs mount without --rw",
	}
}

var _ cow.Describer = Driver{}
