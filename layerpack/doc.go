// Package layerpack is layers as bytes: it takes OCI layers in, indexes them
// instead of extracting them, and merges the indexes of a chain into one that
// can be mounted.
//
//	compressed layer ──Pack──► layer.tar   the tar, byte for byte
//	                           layer.toc   its entries, with the offset of each one's data
//
//	layer.toc, bottom first ──BuildIndex──► image.erofs   the merged tree, its data in the tars
//	                                           │
//	                 ┌─────────────────────────┤
//	             OpenIndex                mount -t erofs -o device=<tar of each layer>
//	        (a mapped reader, for          (the kernel reads the very same files)
//	         the userspace union)
//
//	layer.toc of a layer and of those below ──Extract──► a tree for the kernel's overlayfs
//	layer.toc, bottom first ──ExtractAll, or Apply one by one──► the whole tree
//
//	cow.Driver.Diff, cow.Compare ─┐
//	layers ──Squash───────────────┴─WriteLayer──► a layer, compressed or not
//
// # Vocabulary
//
//   - table of contents: the members of one tar, in its order, as they say
//     themselves, with a checksum of each. Nothing is resolved: it depends on
//     the tar alone.
//   - merge: the chain's tables of contents applied to an empty root, bottom
//     first, by the rules of the OCI image spec (layer.md): the tree that
//     unpacking all layers would leave. It happens once, when an image arrives.
//   - index: the merged tree as an EROFS image of 512-byte blocks whose chunks
//     point into the tars, which are its extra devices. The order of the devices
//     is the order of the chain. What no block of a tar holds is in the index
//     itself (image_chunks.go).
//   - entry, node, inode: a member of a tar, of the merge, of an index.
//
// # What comes in
//
// Plain tars, and those in gzip, zstd (zstd:chunked too), bzip2 or xz, in any
// number of members, frames or streams; a layer of no bytes. Of tars: v7,
// ustar, PAX and GNU's formats, with base-256 numbers, extended attributes of
// star and libarchive, and sparse files of all kinds. What eStargz adds to a
// layer is in its tar, and so in its diff ID, and in no index (tar_stargz.go).
//
// # Rules for hostile layers
//
// Nothing in a layer can name a place outside of the image, as none of its paths
// is ever given to the host: they are resolved in the merged tree, in memory.
//
//   - An absolute name is relative to the root. A name that leads through
//     symbolic links of the tree, of this layer or one below, lands where they
//     lead inside the root; ".." in a link stops there.
//   - Refused: names that leave the root by "..", hard links to what is not in
//     the image, whiteouts of "", "." and "..", a file in the place of a
//     directory on the way, more than 40 links on the way.
//   - Whiteouts of a layer come before its entries and concern the layers
//     below only. The last entry of a name wins. A directory over a directory
//     replaces its attributes; all else replaces the whole.
//   - A directory that no layer names is 0755, 0:0, with the time of the
//     entry that needs it. One that a lower layer names stays as it is.
//   - Extended attributes of namespaces that Linux doesn't have (such as
//     com.apple.) are in the table of contents, not in the index.
//
// Decompression is bounded in proportion and in total (ErrBomb), as is the
// memory that a stream may ask for, and all counts and lengths in a tar have
// bounds.
//
// # Damage and repair
//
// The diff ID is what is trusted. [Verify] holds a tar against it and names the
// entries that are damaged by the table of contents' checksums; [VerifyIndex]
// holds an index against the tables of contents. A tar comes from its blob
// again, a table of contents from its tar ([Restore]), an index from those
// ([BuildIndex]). Both have a version; of another they count as damaged.
//
// # Indexes for others
//
// An index is an EROFS image of blocks of 512 bytes, which Linux mounts since
// 6.4, and from files since 6.12. It uses extended inodes, inline data, chunk
// indexes and a device table, one slot a tar, in the chain's order, each with
// the diff ID's digits as its tag; no compression, no shared attributes. Its
// volume name is its version. erofs-utils read blocks smaller than a page since
// 1.6; older ones accept what the same writer writes in blocks of 4096, which
// is how the tests ask them.
//
// # What goes out
//
// [WriteLayer] makes the same bytes of the same change, whatever made it:
//
//   - Members are in the order of their paths. The first name of a file with
//     several has its content, the others are links to it. A file in a layer is never
//     a link to one below, which Docker could not unpack.
//   - A directory that holds a change is a member before it, as Docker has it. One
//     that the base has too keeps the base's time, unless DirTimes asks for
//     its own: that is the clock's.
//   - What is gone is a whiteout of its name. The OCI spec has layers say it
//     so, and accept opaque directories; whether a directory was emptied or
//     made anew makes no difference then.
//   - Holes are whole pages of zeros (layer_holes.go), headers those that
//     archive/tar would write (tar_write.go), levels and block sizes fixed
//     (compress.go).
//   - A file is what its container saw: what lies below is read from there.
//
// What a layer has no place for is left out and noted.
//
// # Invariants
//
//   - A layer's files have their names only once they are complete, verified
//     and on disk; an index likewise. Whatever is read later is checked again:
//     damage gives ErrCorrupt, not a wrong answer or a panic.
//   - The same tars give the same table of contents, the same chain the same
//     index, bit by bit: no clock and no host in them.
//   - Reading an index allocates nothing and takes no lock.
//
// # Reading order
//
// options.go and attr.go for the words; tar_scan.go, tar_header.go for the way
// in; pipeline.go for Pack; merge.go for the rules; image_layout.go for what an
// index looks like; index.go for reading it; extract.go; verify.go. The way out is
// layer_write.go, tar_write.go, squash.go; base.go is a chain as changes see it.
package layerpack
