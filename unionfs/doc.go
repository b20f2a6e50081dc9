// Package unionfs is the FUSE union: layers that never change below, one
// directory that takes every change above, shown as one tree.
//
//	kernel ──/dev/fuse──► Transport ──► FS (fuse.RawFileSystem) ──┬─► upperDir: a directory
//	                      (Loop, or      nodes, identities,       │   in overlayfs's format
//	                       GoFuse)       directory states         └─► lower: packed (index + tars)
//	                                                                  or dirs (plain directories)
//
// Start with [New], which builds a union from [Options], and [Mount], which
// attaches it and serves it until it is unmounted. [NewDriver] wraps both as a
// [cow.Driver]; [ParseOptions] reads the command line of a mount program.
//
// # Vocabulary
//
//   - lower: everything below, already merged; it never changes. Whiteouts and
//     opaque directories don't show in it.
//   - upper: the writable directory, in the kernel overlayfs's own format, so
//     that the kernel can mount what this package wrote and the other way round.
//   - work: the work directory beside it. What is in work/work is rubbish after
//     a crash and is cleared by the next mount; work/cfs-links,
//     work/cfs-gone-* and work/index keep what hard links need, see below.
//   - node: one inode that the kernel, or a child, refers to. Its id is dense
//     and used again with a new generation once it is forgotten.
//   - identity: what an object is on disk: an inode of the lower, or of the
//     upper. All names of an object lead to one node.
//   - place: a directory node and a name under which a node's object is found.
//     An unlinked object has none; in the upper it is pinned by a descriptor.
//   - marks: the extended attributes of overlayfs on upper objects.
//
// # Why it is fast
//
// This server is the only writer of what it mounts, so nothing in the kernel's
// caches can go stale: entries, negative entries, attributes, symlinks and pages
// are valid for ever. OPEN, OPENDIR, FLUSH, ACCESS and CREATE are answered with
// ENOSYS once, after which the kernel does without them: opening, reading and
// closing a cached file sends no request at all ([FS.Requests] counts them). Hence
// there are no file handles: reads of a lower go to its tar, those of the upper to
// a bounded cache of descriptors, and unlinked files are held until FORGET.
//
// What people see as the root is a second one, for the kernel would ask for the
// ACL of the first again and again (mount_detached.go). The option passthrough
// gives the kernel whole files of the upper to read and write by itself, at the
// price of a request an open (passthrough.go).
//
// # Copying up
//
// The first write, not the open, copies an object to the upper: its directories
// first, then a copy in work/work with owner, mode, extended attributes, data
// (synced) and times, renamed into place. The node stays the node, so that a
// descriptor or mapping opened before sees what is written after, and st_ino
// doesn't change; for the next mount it is kept in the mark "cfs.origin", with the
// identity of the lower, since numbers of another lower mean nothing.
//
// A large file's data is not copied then ("metacopy" and partial copy-up, see
// partial.go). A change of attributes or names copies none of it, a write the
// units of 4 KiB that it touches; where the upper file has a hole, below a bound,
// the lower file's data counts. As long as no data changed the kernel's overlay
// reads such a file too; from then on it refuses it (EIO) until [FS.Complete],
// which [cow.Completer] calls before another driver mounts the snapshot. This
// needs a filesystem that keeps holes and data apart to the page (ext4, XFS,
// btrfs, tmpfs; it is tried at mount). Where blocks can be shared (FICLONE) the
// file is cloned instead. What makes holes in such a file completes it first.
//
// A lower hard-link group is copied up with all its names, found by one walk
// over the lower, so that it is one file also for the kernel's overlayfs and for
// a commit. While the names are being linked the copy has one more in
// work/cfs-links: a mount that finds it completes the group. A name of a group
// that is removed without a copy leaves a record in work/cfs-gone-ID, for st_nlink.
//
// The kernel's overlayfs with index=on copies one name up and keeps the group
// together by work/index, which has one more link to the copy under the lower
// inode's file handle. Of such an upper the other names are linked into the upper
// directory at mount, and the index is emptied (index_setup.go). With the option
// index=on (Options.LinkIndex) it is kept, and written as the kernel does
// (index.go, index_links.go): an object in the index is reached through its entry,
// whichever of its names have a place in the upper directory. A name is given one
// before it is taken away or replaced, so that the count in the mark "nlink" is
// right at every step.
//
// A renamed directory gets the mark "redirect" instead of a copy.
//
// # Who owns what
//
// Where the process can't give an object its owner, or would lock itself out by
// its mode, both are kept in user.containers.override_stat, in the format of
// containers/storage and fuse-overlayfs; from then on that object's owner and mode
// are read from there. Ids that the process's user namespace doesn't know are shown as 0.
//
// POSIX ACLs are the kernel's to check and the upper filesystem's to keep; this
// server derives those of new objects (acl.go). Where one can't be kept, the mode
// is narrowed instead.
//
// Attributes in overlayfs's namespaces that are set inside the mount are somebody
// else's, who nests another overlay in it, and are stored escaped (xattr_names.go).
// Whiteouts can't be made inside (EPERM), as in the kernel's overlay: whoever nests
// layers marks empty files instead, and another union does.
//
// # Invariants
//
//   - Nothing is ever written to a lower.
//   - Every access to an upper or a lower is relative to a directory descriptor
//     and follows no symlink. Extended attributes are reached through
//     /proc/self/fd, whose last step is the object itself, or listed by
//     listxattrat(2).
//   - A node with references is in the table and in identities; a dead node
//     never lives again.
//   - dirState, once loaded, equals the upper directory: every change goes
//     through it.
//   - After Unmount or Done no descriptor of a lower or an upper is open. After
//     umount(2) by somebody else that takes the server some milliseconds; where it
//     may mount, plain directories are opened so that their mounts are not in use
//     even then, nor before (private.go).
//
// # Lock order
//
// A lock may be taken while holding those above it, never one above or beside
// it, except as said.
//
//	FS.copying[i]        one copy-up of a node at a time; the directories' own
//	  │                  copy-ups are finished before it is taken
//	  ├─ dirState.mu     a directory's names; a rename takes two by node id, then
//	  │    │             that of the directory it replaces; a removal takes the
//	  │    │             parent's, then the child's
//	  │    └─ node.mu    place and pin of a node; a rename takes two by node id
//	  │         └─ FS.places   paths of directories: read to open one by its path,
//	  │              │         written around the renameat(2) that moves one
//	  │              └─ partial.mu   held while data is copied, or read from two files
//	  │                   ├─ dirObj.mu   a lower directory is being read; one at a time
//	  │                   │    └─ inodeNumbers.mu, handles' shards
//	  │                   ├─ linkIndex.mu
//	  │                   ├─ table.mu, identities' shards, below linkIndex.mu
//	  │                   └─ upperDir.whiteMu, goneRecords.mu
//
// No lock is held while the kernel is notified; this package never notifies it.
package unionfs
