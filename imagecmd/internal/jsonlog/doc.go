// Package jsonlog is the log of a container's output in the form of Docker's
// json-file driver: a JSON object a line.
//
//	{"log":"out\n","stream":"stdout","time":"2026-11-23T02:38:31.274731148Z"}
//
//	stdout ─┐ lines                      ┌─ Read: the last n, since, until, follow
//	stderr ─┴──────► path ─ rename ─► path.1, path.2 …
//
// # Invariants
//
//   - A line of the file is written by one write(2), so that a killed writer leaves at
//     most its last line torn, which readers pass over.
//   - Output without a line's end is logged in pieces of at most 16 KiB, as Docker does.
//   - With a bound, the file is renamed before it would exceed it, and the oldest of
//     more than so many files removed.
package jsonlog
