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
//   - TestData: what changes or reads bytes, on lower files of many sizes, with
//     holes and without, on four filesystems, against a model in memory.
//   - TestConcurrent: several processes of several goroutines work on the same
//     files and directories, and what must come of it is known exactly.
//   - TestCrash: the server is killed 200 times under load.
//   - TestFull: the upper's filesystem has no space, or no inodes, and then has.
//   - TestApplications: sqlite, git, tar, rsync, go and dpkg.
//   - TestUnlinkedLower: the smallest case of what the model found.
//
// # Vocabulary
//
//   - side: one of the two roots that get the same operations, with its open
//     descriptors and mappings.
//   - ground: the directory, on a filesystem of a given type, that a test has for
//     its layers, its upper and its plain directory.
//   - ancient: a time before 2004, so one that was set; no clock gives it.
//   - single: an operation with one effect, of which a killed server or a full
//     disk leaves all or nothing, but for data and times: of a write a beginning.
//   - job: what each of several processes does at once.
//
// # Knobs
//
// CFS_TORTURE_SEED repeats a run of which a failure has printed the seed (how
// processes and kills interleave it can't repeat); CFS_TORTURE_TIME (a Go
// duration) is how long each configuration of TestModel runs; CFS_TORTURE_TIMES
// (a number) is how often each other test but TestApplications is done, one after
// another. A long night's run:
//
//	CFS_TORTURE_TIME=1h CFS_TORTURE_TIMES=200 go test -timeout 12h ./internal/torture
//
// # Invariants
//
//   - The server is never the process that uses the mount: a thread that waits for
//     a page of a mapping can't be stopped, so Go's runtime might wait for itself.
//   - Every test compares complete records of the lowers, before and after.
//   - The tests of root have a mount namespace of their own, so that nobody else's
//     keeps a copy of a mount that is to go.
package torture
