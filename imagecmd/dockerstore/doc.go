// Package dockerstore reads the images that a Docker Engine keeps on disk, with whatever
// graph driver: of the drivers that Docker has dropped, too, whose stores nothing else
// reads any more.
//
//	DIR/image/<driver>/repositories.json            names ──────────┐
//	DIR/image/<driver>/imagedb/content/sha256/<id>  configs ────────┼──► []archive.Image
//	DIR/image/<driver>/layerdb/sha256/<chain id>/   diff, parent,   │
//	                                                cache-id        │
//	    tar-split.json.gz ─┐                                        │
//	DIR/<driver>/…/<cache-id> ─┴─► the layer's tar, byte for byte ──┘
//	                       └─ without it: changes ──layerpack.WriteLayer──► another tar
//
// # Vocabulary
//
//   - cache ID: the name of a layer's directory, drawn by lot.
//   - tar-split: what a tar has beside the contents of its files, which the layer's
//     directory has: headers and padding (github.com/vbatts/tar-split).
//   - stacked: a driver in whose directories a layer is what it changes, in a dialect of
//     [whiteout.Dialect]; of the others each directory is the whole tree down to the bottom.
//
// # Invariants
//
//   - Nothing is written, and nothing locked: Docker never changes a layer that has a diff ID.
//   - The directories of layers are hostile: their files are opened below them only.
//
// Sources: moby, layer/filestore.go, image/fs.go, reference/store.go, and
// daemon/graphdriver/*.
package dockerstore
