// Package oci is the operations of the OCI runtime specification (runtime.md,
// "Operations") and those that engines call besides, on containers whose state is on disk: a
// container is made by one process and started, stopped and removed by others.
//
//	create ─► ROOT/ID/: state.json, config.json, start.sock, waiting ◄─ start, kill, exec, …
//	   │                                     │                                    │
//	   └─ runtime.Create ─► first process ───┘ listens, holds the lock ◄──────────┘
//
// # A container's directory
//
//   - state.json: what create noted down; config.json: a copy of the configuration.
//   - start.sock: the first process listens there until it is started.
//   - waiting: locked (flock(2)) by the first process until it executes the command.
//   - lock: held by who creates, starts or deletes.
//
// # Rules
//
//   - The status is never written down but found out: whether the process lives (its time of
//     start tells it from a later one of the same id), holds the lock, is frozen.
//   - A creation that is killed leaves a container that is stopped, to be deleted.
package oci
