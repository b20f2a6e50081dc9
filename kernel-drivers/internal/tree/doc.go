// Package tree keeps extracted layers and chains: directories that are made once,
// named for what they hold, and shared by all snapshots of a driver.
//
//	digest ──Group.Open──► <home>/<group>/<digest>/, locked shared until Release
//	              └─ not there: Recipe.Make, Recipe.Fill under <digest>.tmp, then renamed
//
// # Vocabulary
//
//   - group: the trees that one kind of process can use: those of one xattr
//     namespace and one id mapping. Root's is called "trusted".
//   - recipe: how a tree is made that is not there.
//
// # Invariants
//
//   - A tree under its final name is complete and on disk, and is never
//     written to again.
//   - Who makes a tree holds an exclusive flock on its directory, who uses it a
//     shared one; Prune removes only what it can lock exclusively. The kernel drops locks with
//     the process, so a crashed holder blocks nobody.
//
// Locks: a process that takes several takes them in the order in which their
// trees stand on each other, the bottom one first.
package tree
