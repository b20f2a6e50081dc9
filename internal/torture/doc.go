// Package torture shows that the union keeps its word under load: it does at
// random what programs do, on a union and on a plain directory beside it, and
// wants the same answers and the same tree from both. It has nothing but tests.
//
//	layers ─┬─► union, served by a child process ─┐
//	        └─► plain directory, layers merged ───┴─► same calls ─► same errors, same trees
//	                                                     │
//	          lowers' records before and after ◄─────────┘
//
// # The tests
//
//   - TestModel: every operation from a seed, on plain and packed lowers and both
//     transports, with descriptors and mappings that outlive copy-up, unlink and
//     rename, and with remounts. At its end the kernel's overlayfs looks at the
//     upper directory.
//
// # Vocabulary
//
//   - side: one of the two roots that get the same operations, with its open
//     descriptors and mappings.
//   - ground: the directory, on a filesystem of a given type, that a test has for
//     its layers, its upper and its plain directory.
//   - ancient: a time before 2004, so one that was set; no clock gives it.
//
// # Knobs
//
// CFS_TORTURE_SEED repeats a run of which a failure has printed the seed;
// CFS_TORTURE_TIME (a Go duration) is how long each configuration of TestModel
// runs.
//
// # Invariants
//
//   - The server is never the process that uses the mount: a thread that waits for
//     a page of a mapping can't be stopped, so Go's runtime might wait for itself.
//   - Every test compares complete records of the lowers, before and after.
package torture
