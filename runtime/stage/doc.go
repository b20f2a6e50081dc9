// Package stage starts this program again as another process of itself, and
// keeps the two connected.
//
//	P  the command ──Start──► S  /proc/self/exe, argv[0] = the stage's name,
//	   │                         own mount (and user) namespace, own session
//	   │   payload, once         │
//	   ├────────────────────────►│ fd 3
//	   │   signal numbers        │
//	   ├────────────────────────►│ Link.Signals
//	   │   end of file: P died   │
//	   └────────────────────────►│ Link.Context is cancelled
//	   ◄──── exit status ────────┘
//	   or, where S is to outlive P:
//	   ◄──────── ready ──────────┤ Link.Ready
//	   ├─────── detach ─────────►│ Process.Detach: S goes on
//
// The link is a stream socket whose only other end P holds, so the kernel tells
// S when P is gone, however it went. S is in a session of its own: what a
// terminal sends (Ctrl-C, hang-up) reaches P alone, and P passes it on.
//
// # Invariants
//
//   - A stage gets descriptors 0, 1, 2 and the link; anything else that was
//     inherited is closed at its next exec.
//   - A stage does nothing before its payload has arrived, which is sent only
//     after the id maps of its user namespace were written.
//   - A stage returns when its context is cancelled, after cleaning up. A stage that was
//     detached has a context that is never cancelled.
package stage
