// Package cow says what copy-on-write means to cfs: one interface, [Driver],
// that every backend implements, and the words it is explained with.
//
// # Vocabulary
//
//   - layer: one packed OCI layer: its uncompressed tar and the table of
//     contents beside it. Immutable, shared by digest.
//   - chain: the ordered layers of an image, bottom first, with the merged
//     index over all of them. Immutable; what a snapshot stands on.
//   - snapshot: a chain plus a directory of its own in which a driver keeps
//     what is changed on top of the chain. It belongs to one container.
//   - mount: a snapshot attached at a directory. Read-write mounts of one
//     snapshot exclude each other; a chain alone can be viewed read-only by any
//     number of mounts.
//   - change: one path of a snapshot that differs from its chain.
//   - entry: a change with all that a layer says of it, contents included;
//     [Upper.Diff] makes them of an upper, [Compare] of two trees.
//   - upper: the directory, in overlayfs's format, in which a driver keeps the
//     changed objects; base: what it lies on. [Upper.Changes] compares them for
//     every driver that has one.
//
// # Life of a snapshot
//
//	chain := store.Chain(image)               // packed and indexed once
//	snap  := cow.Snapshot{Dir: dir, Base: chain}
//	drv.Create(ctx, snap)                     // dir now holds an empty change
//	m, _  := drv.Mount(ctx, snap, target, cow.MountOptions{})
//	...                                       // a process writes below target
//	m.Unmount()                               // nothing below target is open
//	for c, err := range drv.Changes(ctx, snap) { ... }
//	layerpack.WriteLayer(ctx, w, drv.Diff(ctx, snap), ...)
//	drv.Remove(ctx, snap)                     // dir is gone
//
// Looking without changing needs no snapshot directory:
//
//	m, _ := drv.Mount(ctx, cow.Snapshot{Base: chain}, target, cow.MountOptions{ReadOnly: true})
//
// # Who serves a mount
//
// A userspace driver answers the kernel from the process that called Mount,
// until Unmount returns or that process ends. Callers that want a mount to
// outlive them call Mount in a process of its own; drivers never fork.
//
// # Invariants
//
//   - A chain is never written to, by any driver, on any path.
//   - After Create, Mount, Unmount or Remove was killed at any line, Remove
//     still succeeds and leaves nothing behind.
//   - A driver touches only its own home, the snapshot's directory and the
//     target.
//
// Data flows one way: this package imports whiteout and nothing above.
package cow
