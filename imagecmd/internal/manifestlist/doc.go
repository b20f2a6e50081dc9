// Package manifestlist keeps the lists of manifests that `cfs manifest` makes: indexes
// that are put together here, annotated, and pushed, out of images that are in a registry.
//
//	manifests/<sha256 of the list's full name>.json
//
// What is in them is what is pushed: an entry has its manifest byte for byte, with the
// platform that the index will tell of. A list is written beside, synced and renamed,
// under an exclusive lock on the directory, which a reader does not take.
package manifestlist
