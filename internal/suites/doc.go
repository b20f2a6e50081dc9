// Package suites runs other projects' suites for layered storage against [cow.Driver]:
// containerd's for snapshotters and containers/storage's for graph drivers. It is a
// module of its own, so that what they need is no dependency of cfs. There is nothing
// in it to call.
//
//	containerd:         snapshotter_test.go ─┐
//	                                         ├─► stack_test.go ─► cow.Driver
//	containers/storage: graphdriver_test.go ─┘
//
// Both name trees that stand on one another and mount them. A tree that others stand
// on has become a layer: the driver's Diff, written and packed as for an image.
package suites
