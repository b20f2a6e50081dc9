// Package btrfs is the cow.Driver on top of btrfs's own copy-on-write: layers are
// subvolumes, each a snapshot of the one below it, and so are the snapshots of
// containers.
//
//	layer 1 ──layerpack.Apply──► <home>/<group>/<chain id 1>/   a subvolume
//	                                   │ snapshot
//	layer 2 ──layerpack.Apply──► <home>/<group>/<chain id 2>/   shares what layer 2 doesn't change
//	                                   │ snapshot
//	                             Snapshot.Dir/btrfs ──bind mount──► target
//
// Nothing is copied, neither when a snapshot is made nor when a file in it is
// written to, but for the blocks that are written.
//
// # Vocabulary
//
//   - base: the subvolume of a chain, kept by package tree, shared by chain ID.
//   - generation: the number of the filesystem's transaction in which an inode last
//     changed. What is older than a snapshot is as it was in the base.
//
// # Privileged and rootless
//
// All it takes to make subvolumes and snapshots is the right to write to the
// directory; to remove one at once, privilege or the mount option
// user_subvol_rm_allowed. Without either it is emptied first. Only root may read
// generations, and bound the size of snapshots (quota groups); others compare
// every file with the base's.
//
// # Invariants
//
//   - The snapshot's directory and home are on one filesystem.
//
// Locks: the base's, shared, while something is read from it or a snapshot is made;
// the bases below it in turn, from the top one down.
package btrfs
