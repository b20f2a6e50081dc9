// Package devicemapper is the cow.Driver on top of the device mapper's thin
// provisioning: layers are block devices with a filesystem, each a thin snapshot of the
// one below it, and so are the snapshots of containers.
//
//	files or disks ──► thin pool
//	                     ├─ device 1: an empty filesystem                    mkfs
//	layer 1 ──layerpack.Apply──► device 2, a snapshot of 1       <home>/<group>/<chain id 1>/device.json
//	layer 2 ──layerpack.Apply──► device 3, a snapshot of 2       <home>/<group>/<chain id 2>/device.json
//	                     └─ device 4, a snapshot of 3            Snapshot.Dir/devicemapper/device.json
//	                              └──mount──► target
//
// What is copied when a file is written to are the pool's blocks that it lies in,
// whatever the filesystem is.
//
// # Vocabulary
//
//   - pool: the device of the device mapper that all others get their blocks from. It keeps
//     data on one device and its own metadata on another, which are disks, or files
//     in <home>/pool (by a loop device each).
//   - device: a thin device, known to the pool by a number. It has a name only while it
//     is active: while somebody has it mounted, or is about to.
//   - record: the file that says which device is whose. A device without one is deleted.
//   - base: the device of a chain, and the directory, kept by package tree, that has its
//     record.
//
// # Nothing is left
//
// Whatever is activated is at once marked to go when nobody has it open (deferred
// removal): a device when its last mount is gone, the pool when its last device is, the
// loop devices when the pool is. So nothing stays behind of a process that is killed
// between two lines, and after the last umount none of it exists in the kernel.
//
// # Invariants
//
//   - Numbers of devices are given and taken under the pool's lock, and the number is in
//     <home>/pool/state.json before the pool has the device. Killed in between, the next
//     who takes the lock finds it there, and deletes the device if no record names it.
//   - A base is never written to after its record has its final name: it is
//     activated read-only.
//   - The pool's metadata are the kernel's, which commits them before a message returns.
//
// Only root of the initial user namespace may use the device mapper.
//
// Locks: the base's, shared, while a snapshot of it is made or it is read; the
// bases below it in turn, from the top one down; then the pool's, exclusive, for as
// long as devices are made, activated or deleted, and never while one is mounted or
// filled.
package devicemapper
