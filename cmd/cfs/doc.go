// Command cfs looks into, changes and runs layered images, without a daemon and
// without root.
//
// This package is the command line and nothing else. Each command is one file,
// cmd_NAME.go, and a skin: flags, one options struct, one call into a library,
// and what is printed. What a person reads goes through the four methods of
// [terminal] and nowhere else.
//
//	argv ─► main.go (stages, mount-program names) ─► root.go ─► cmd_*.go ─► imagecmd, unionfs
//	                                                              │
//	                                              stdout: data, stderr: talk
//
// # Exit status
//
//	0        done
//	1        the command failed; the reason is on standard error
//	64       `inspect`: the template can't be understood
//	125      wrong usage; for `run`: cfs itself failed, nothing was started
//	126, 127 `run`: the command can't be executed, or wasn't found
//	other    `run`: the status of the container's process, 128+N after signal N
package main
