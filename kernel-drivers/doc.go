// Package drivers lists the drivers that hand the work to the kernel, one
// sub-package each. There is no registry: [List] is a literal slice.
//
//	cmd/cfs ──List──► Probe, in this order ──► the first that works, or the one asked for by name
//
// The userspace union is no part of the list; it is the default that these
// stand beside.
package drivers
