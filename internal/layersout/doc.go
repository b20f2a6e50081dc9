// Package layersout holds the tests that what a container changes comes out as
// a layer, exactly: with every driver, as root and as an ordinary user. It has
// no code of its own.
//
//	base layers ──► driver ──► operations on the mount ──► walk ──────────────────┐
//	                  └─ Diff ──► layerpack.WriteLayer ──► on top of the base ─ walk ─┴─► no difference
//
// What a layer doesn't say is left out of the comparison, and nothing else: the
// root's own attributes, the times of directories that hold no change, and
// sockets.
package layersout
