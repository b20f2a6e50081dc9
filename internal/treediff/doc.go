// Package treediff records a file tree exactly and tells how two records
// differ. It is how the tests of cfs say "is the image, exactly".
//
//	tree on disk ──► Walk ──► Record ─────────┐
//	tree on a FUSE mount ──► Walk ──► Record ─┴─► Compare ──► []Difference
//
// # Vocabulary
//
//   - record: every path of a tree with all that stat(2), readlink(2),
//     listxattr(2) and the content say of it.
//   - group: the names one inode has inside the tree, known by the first of
//     them in byte order. A file with one name in the tree has no group.
//   - ignore: a named property that a comparison leaves out. Nothing is left
//     out unless the caller says so; atime, ctime, inode numbers and block
//     counts are no part of a record.
//
// # Invariants
//
//   - The tree is hostile: every access is relative to a directory descriptor
//     and follows no link, so a walk never leaves its root.
//   - Names, link targets and attribute values are bytes; nothing assumes UTF-8.
//   - A walk reads and never changes (but for atime). What cannot be read is an
//     error, never a silently shorter record.
//   - A record is the same whoever made it: it can be written by a process of
//     one user and compared by another.
package treediff
