// Package erofs is the cow.Driver for looking: the kernel mounts the packed image
// itself, read-only, at the kernel's speed and without a server.
//
//	cow.Chain ──package packed──► erofs mount ──► target
//
// It has no writable snapshots; asking for one says what to use instead.
package erofs
