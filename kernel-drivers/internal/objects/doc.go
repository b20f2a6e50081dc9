// Package objects keeps contents of files apart from all else that is said of them, by
// digest, each once for all trees: what overlayfs calls a data-only lower (overlayfs.rst,
// "Data-only lower layers").
//
//	a tree ──Share──► the tree: sizes, modes, names; metacopy, redirect=/ab/cdef…
//	                  <dir>/ab/cdef…: the content of that digest
//
// # Vocabulary
//
//   - object: a file that has the content of others, and the name of its digest: that of
//     fs-verity (Digest), the first two characters being a directory. So composefs and
//     ostree name theirs, and a directory of them can be used.
//   - reference: a file of a tree that has no content but the marks that lead overlayfs to an
//     object.
//
// # Invariants
//
//   - An object is taken only if it has the content, byte by byte: its name is not relied on.
//   - Objects are made and references written under the shared lock of the directory, objects
//     removed under the exclusive one. Whatever is referred to by a tree is there, also
//     if that tree is being made.
//   - Nothing is written to, or removed from, directories that others keep.
package objects
