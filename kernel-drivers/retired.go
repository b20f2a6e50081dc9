package drivers

import "github.com/cfs-project/cfs/cow"

// Retired tells of the name of a driver that Docker has or had, and cfs has not, what
// to use instead; nil for any other name.
func Retired(name string) *cow.Unusable {
	for _, r := range retired {
		if r.Driver == name {
			return &r
		}
	}
	return nil
}

var retired = []cow.Unusable{
	{Driver: "overlay", Reason: "it stacks no more than two directories, and Docker has dropped it",
		Hint: "use overlay2, or union; cfs driver import brings in what an old Docker has of it"},
	{Driver: "aufs", Reason: "it was never in Linux, and Docker has dropped it",
		Hint: "use overlay2 or union; cfs driver import brings in what an old Docker has of it, and cfs union -o lowerdir=… mounts its branches"},
	{Driver: "fuse-overlayfs", Reason: "it is a program of its own, which cfs does without",
		Hint: "use union, which does the same in less time"},
	{Driver: "zfs", Reason: "cfs has no driver for it", Hint: "use union, or overlay2 on ZFS 2.2 or newer"},
}
