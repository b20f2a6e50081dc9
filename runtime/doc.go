// Package runtime runs a process in a bundle: a root directory and a
// configuration of the OCI runtime specification 1.3. It knows nothing of images.
//
//	P  the command a person started      package stage: signals, exit status
//	│
//	▼  own mount namespace, own user namespace if not privileged
//	S  calls [Run] ─ spawn ─► I  "cfs-init", in the container's namespaces
//	│                         │
//	│ config, root tree,      │ mount, pivot_root, limits, ids, capabilities
//	│ bind sources (fds) ────►│
//	│◄──── pty master (fd) ───│
//	│◄──── failure ───────────│ or: end of file, as execve(2) closed the socket
//	│                         ▼
//	│ signals ───────────────► the container's process, PID 1;
//	│                          with Options.Init the child of I, which stays PID 1
//	▼
//	exit status
//
// A second way drives the same init: [Create] has it set up and leaves it waiting, [Start], in
// another process, has it execute the command (see waitConfig for the picture). Nobody
// supervises it then.
//
// # Vocabulary
//
//   - bundle: root directory and configuration.
//   - supervisor: the process that calls Run. It may be threaded, have user
//     namespace ids and hold files; the container gets nothing of it.
//   - init: the first process of the container's pid namespace, a stage of this same
//     program until it executes the container's command.
//   - tree: a detached copy of a mount (open_tree(2)). Every path of the host is
//     resolved by the supervisor and given to init as a tree, so that init never
//     needs the host's file system.
//
// # Invariants
//
//   - What a configuration asks for is done or refused with [ErrUnsupported];
//     nothing is passed over.
//   - No path inside the root is resolved but by openat2(RESOLVE_IN_ROOT), and what
//     was resolved is used by descriptor.
//   - When Run has returned, or Create failed, no process of the container is left. If the supervisor is
//     killed, the kernel kills init (PR_SET_PDEATHSIG), and with it the pid namespace.
//     (One case is open: a command that is itself PID 1 and setuid loses
//     that tie at execve; with Options.Init none does.)
//   - The container's processes have descriptors 0, 1 and 2, those that the caller asks
//     for (Options.PreserveFDs), and no other.
//   - No process of ours is dumpable while it shares a namespace with the
//     container, and its executable is a read-only mount.
package runtime
