// Package exact holds the tests that a mounted image is the image, exactly, and
// that a hostile layer touches nothing outside the store. It has no code of its
// own.
//
//	tar ──► tar x as root ──► walk ─────────────────────────────────────┐
//	tar ──► layerpack ──► unionfs ──► mounted by an ordinary user ─ walk ─┴─► no difference
//	60 layers ──► model ──► record ──────────────────────────────────────┘
//
// Vocabulary: the plain user is nobody, without sub-uids, in a private mount
// namespace whose /dev/fuse everyone may open, as on an ordinary host.
//
// Invariant: everything that is compared was packed, indexed, mounted and
// walked by that user; only the oracle is root's.
package exact
