// Package userns answers one question and does one thing: which user
// namespaces may this process make, and start a program in one.
//
//	/etc/subuid, /etc/subgid ─┐
//	newuidmap, newgidmap ─────┼─► Detect ─► Mapping ─► Start(cmd) ─► the stage: uid 0,
//	/proc/sys, capabilities ──┘   problems, hints                    own mount namespace
//
// # Vocabulary
//
//   - privileged: the process has CAP_SYS_ADMIN; it needs no user namespace and
//     gets none, only a mount namespace.
//   - ranged: uid 0 inside is the user, 1 and up are the user's sub-ids. The maps
//     are written by the setuid helpers newuidmap(1) and newgidmap(1).
//   - single: uid 0 inside is the user, and there is no other id. setgroups(2) is
//     denied, chown to another id fails with EINVAL.
//
// # How a ranged namespace costs only one exec
//
// A new user namespace has no ids until its maps are written, and execve(2)
// then drops every capability, as the caller isn't uid 0 yet. The usual way
// around is to exec twice. Start instead raises the capabilities into the ambient
// set between clone and exec, so that they survive; the maps are written while the
// program's runtime starts up, which makes it uid 0; and [Settle], called by the
// program once it was told that the maps are there, clears the ambient set.
//
// # Invariants
//
//   - Start returns after the maps are written, or with the child gone.
//   - The child must not touch anything before it was told that Start returned, and
//     has then to call [Settle] first. Package stage does both.
//   - Nothing in the child's mount namespace propagates back to the host.
package userns
