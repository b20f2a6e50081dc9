// Package bench compares ways of serving one and the same tree, or of doing one
// and the same job, so that the figures mean something.
//
//	Ground (fresh ext4 in memory) ──► Contestants: native, overlay, cfs, fuse-overlayfs
//	                                        │ each mounted there, servers in processes of their own
//	Paths (prepared once) ──► Workload ──► Compare: alternating rounds ──► Result ──► Report (table, JSON)
//
// Contestants are measured by rows:
//
//	Fixtures (made when asked for: plain directories, and packed) ──► Row (state, preparation, steps) ──► Bench ──► Report
//	                       Contestant.Over (shows a fixture) ──┘        rows*.go: the union; driver_rows*.go: drivers
//
// `cfs bench` compares drivers (package contest) and makes a page of it (package page).
// bench-union compares the real program, over plain directories, with the kernel's
// overlay; bench-packed the union over packed layers, on a Debian root, by the workloads
// of workload.go. What is done by whole commands is compared by [Rounds] of jobs.
//
// # Vocabulary
//
//   - contestant: one way to serve the tree. A server in userspace is a process
//     of its own, as in reality.
//   - workload: what is done to a tree and timed; done by this process, the
//     same machine code for every contestant, with prepared system calls, so
//     that what differs is the filesystem.
//   - round: every contestant once, in an order that rotates; the medians of
//     rounds are compared, and their spread is shown.
//   - warm: the workload ran once untimed before. Cold: the contestant was
//     unmounted, its server ended, everything written out and the kernel's
//     caches dropped, and it was mounted again; mounting is not timed.
//   - interval: where the median lies with 95 % confidence, whatever the distribution;
//     two sets of samples differ if the Mann–Whitney test says so (stats.go).
//   - noise: what else went on, by a fixed computation that is done again and again.
//   - row: steps that follow each other on one mount, each a line of the report;
//     warm, cold, or fresh: a new mount with an empty upper for every sample.
//   - requests an operation: what the kernel sent to the server in one more,
//     untimed run, counted by the kernel's own tracepoint (tracing.go).
//   - target: a ratio of medians that must not be exceeded.
//
// # Invariants
//
//   - Contestants share one filesystem, fresh for the run, for everything they
//     read and write.
//   - Whatever ends the program, nothing is left mounted: a program that mounts
//     runs in a mount namespace of its own ([Isolate], and contest's worker), and
//     the ground's file has no name.
//   - A report's JSON form is that of schema.json; [Schema] changes with it.
package bench
