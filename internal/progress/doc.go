// Package progress shows people what is being done to several things at once,
// as Docker does: a line for each, "ID: STATE", with a bar where there is much to
// come.
//
//	pull, push, load, fsck ─► Item.State, Item.Done ─► Group ─► Bars:  lines drawn over and over
//	                                                        ├─► Lines: a line a new state, no bars
//	                                                        └─► Quiet: nothing
//
// # Vocabulary
//
//   - group: what is shown together. Between its first item and Close nobody else
//     writes to the terminal.
//   - item: one thing, in the order of their making.
//   - state: a word or two of Docker's: "Downloading", "Pull complete".
//
// # Invariants
//
//   - Nothing here fails or waits for longer than a write to the terminal: a
//     screen that can't be drawn is no reason to stop.
//   - Whatever the size of the terminal, no line wraps and no more lines are moved
//     over than it has.
package progress
