// Package contest compares storage drivers on this host, and says which to use for
// what: it is `cfs bench`.
//
//	Options ─► Run (P) ─┬─► whole commands: cfs run, cfs load (as a person types them)
//	                    └─► worker (S): own mount namespace, own user namespace for ordinary users
//	                            entrants ─► bench.Bench: rows, sharing, space ─► bench.Report
//	                                                                                │
//	                    Run ◄── results of both, judged (verdict.go) ◄──────────────┘
//
// # Vocabulary
//
//   - entrant: a contestant of package bench with what a report tells of it: the limit
//     (a native directory), the reference (the kernel's overlay), cfs's drivers, and
//     peers, which are other people's unions that happen to be installed.
//   - place: the directory that everything is made in, in the store: what is measured
//     are the drivers on the filesystem that they would be used on.
//   - verdict: which driver is best for a use, by the lines that matter for it.
//
// # Invariants
//
//   - Nothing is left behind: mounts are made in the worker's mount namespace and go with
//     it, however it ends. The worker empties the place, P removes it, with what a killed worker
//     leaves. Of a killed P it is removed by one more process, which waits for nothing else
//     (place.go), and what is left when all were killed by the next benchmark of the same store. A
//     place is locked by who uses it.
//   - For root the worker runs the commands too, as a filesystem that it mounts is seen by
//     nobody else.
package contest
