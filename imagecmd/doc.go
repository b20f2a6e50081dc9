// Package imagecmd is the image commands, one file each: an options struct and
// a function that does the work on a store and writes what the command prints.
//
//	cmd/cfs: flags ──► Options ──► Load, Save, Inspect, Remove, … ──► store
//	                                        │                 └──► archive
//	                                        ▼
//	                                  stdout: Docker's words
//
// Errors carry Docker's sentence where Docker has one ("No such image: x:1",
// "conflict: unable to delete …"), without "Error response from daemon: ";
// the program puts its own name before it.
//
// Rows of lists are structs with the names of Docker's fields; internal/format
// makes tables, JSON and templates' text of them.
//
// What a container has changed is read through a reading (reading.go): as a
// stream, which for ordinary users a stage in a user namespace writes, with what
// runs in the container paused. Diff, Commit and Export are its readers.
//
// A build (build*.go) is the stages of a plan of package dockerfile. Each step is an image
// whose line in the store's index has the step's key, so that it is found by it; COPY and ADD
// are layers written of what package buildcontext selects, RUN is a container:
//
//	Dockerfile ─► dockerfile.Plan ─► stageBuild ─► buildStep: key ─► found, or
//	                                                  claimed ─► adopted of another image's history, or
//	                                                             made: selection or container ─► layer ─► image
//
// Everything that is known of archives is in archive, of names, locks and
// removal in store, and of the built-in image's own process in hello.
package imagecmd
