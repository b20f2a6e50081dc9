// Package zfs is the cow.Driver on top of ZFS's own copy-on-write, by the zfs program:
// layers are datasets, each a clone of the one below it, and so are the snapshots of
// containers.
//
//	parent (zfs.fsname)
//	  ├─ cfs-<random>: an empty filesystem ──► @base                    zfs create, zfs snapshot
//	  │                                          │ zfs clone
//	  ├─ cfs-<random> ◄──layerpack.Apply── layer 1 ──► @base     <home>/<group>/<chain id 1>/dataset.json
//	  │                                          │ zfs clone
//	  ├─ cfs-<random> ◄──layerpack.Apply── layer 2 ──► @base     <home>/<group>/<chain id 2>/dataset.json
//	  │                                          │ zfs clone
//	  └─ cfs-<random>                                            Snapshot.Dir/zfs/dataset.json
//	         └──mount──► target
//
// Nothing is copied, neither when a clone is made nor when a file in it is written to, but
// for the blocks that are written.
//
// # Vocabulary
//
//   - dataset: a filesystem of a pool. Those here are found by a record alone: they have
//     random names and no mount point (mountpoint=legacy).
//   - parent: the dataset in which all of a store's are. It is an option, or the one that the
//     store is on. The store itself may be anywhere.
//   - record: the file that says which dataset is whose.
//   - base: the dataset of a chain, its snapshot "base", which clones are made of, and the
//     directory, kept by package tree, that has its record.
//   - doomed: what nobody's record names any more, and ZFS can't destroy yet: a base of which
//     there are clones, or what somebody has mounted. A property of the dataset says so.
//
// # Invariants
//
//   - A record is on disk before ZFS is told to make the dataset that it names. Killed in between,
//     whoever removes it finds that there is none, and whoever needs it makes it.
//   - A base's dataset is written to until its snapshot is taken, and mounted read-only
//     ever after.
//   - A doomed dataset goes with the last clone of it: who destroys one destroys what it
//     was cloned of, too, if that is doomed. It is marked before that is tried, so that of two
//     who destroy at once the later sees it. What a killed process leaves of that, Prune destroys.
//
// Only root of the initial user namespace may mount ZFS.
//
// Locks: the base's, shared, while a clone of it is made or it is read; the bases
// below it in turn, from the top one down. ZFS has its own for all else.
package zfs
