// Package drivers lists the drivers that hand the work to the kernel, one
// sub-package each. There is no registry: [List] is a literal slice.
//
//	cmd/cfs ──List──► Probe, in this order ──► the first that works, or the one asked for by name
//	          └─Retired, of names that Docker had: what to use instead
//
//	driver         a snapshot is                          what its chain becomes
//	overlay2       an upper directory                     a tree a layer, stacked
//	btrfs          a snapshot of the chain's subvolume    a subvolume a layer, each a snapshot of the last
//	zfs            a clone of the chain's dataset         a dataset a layer, each a clone of the last
//	devicemapper   a thin snapshot of the chain's device  a thin device a layer, each a snapshot of the last
//	vfs            a copy of the chain's tree             one tree
//	erofs          none: chains are mounted read-only     nothing
//
// The userspace union is no part of the list; it is the default that these
// stand beside.
package drivers
