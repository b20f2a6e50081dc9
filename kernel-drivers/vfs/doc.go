// Package vfs is the cow.Driver without any: a snapshot is a full copy of the chain's
// tree. It works on every filesystem and kernel, and is what the others are
// measured against.
//
//	cow.Chain ──layerpack.ExtractAll──► <home>/<group>/<chain id>/   the base: one a chain, shared
//	                                          │ copied, by reflink where the filesystem can
//	Snapshot.Dir/vfs ◄────────────────────────┘
//	      └── bind mount ──► target           (a read-only view binds the base)
//
// # Vocabulary
//
//   - base: the extracted tree of a whole chain, kept by package tree.
//   - copy: the snapshot's own tree, an ordinary directory. A file in it shares its
//     blocks with the base until it is written to, on filesystems with reflinks
//     (btrfs, XFS); elsewhere it takes its full size.
//
// In a user namespace the base has what that can hold: without sub-uids every object
// belongs to the caller, and device nodes are left out.
//
// # Invariants
//
//   - A copy under its final name is complete and on disk.
//   - What differs from the base is found by comparison, so that a snapshot
//     needs no bookkeeping of its own.
//
// Locks: the base's, shared, while something is read from it.
package vfs
