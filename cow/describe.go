package cow

// A Description is what a driver is like, whether or not it works here.
type Description struct {
	Level   string // at which it copies: "file" or "block"
	Shared  string // what containers of one image have in common: "disk" or "nothing"
	Backing string // filesystems that it can keep its things on
	CopyUp  string // what the first write to a file of the image costs
	Notes   string // what it is good for
	Faster  string // at what it is faster than the userspace union; may be empty
	Dir     string // name in Snapshot.Dir of what holds the changes; empty if nothing does
	// Upper tells that changes are in Snapshot.Dir/upper, in overlayfs's format:
	// drivers that do may take them over from each other.
	Upper bool
	// ViewsOnly tells that there are no snapshots, only read-only mounts.
	ViewsOnly bool
}

// A Describer is a driver that tells what it is like. Found by type assertion.
type Describer interface{ Describe() Description }

// Describe is the description of d; empty if it gives none.
func Describe(d Driver) Description {
	if d, ok := d.(Describer); ok {
		return d.Describe()
	}
	return Description{}
}
