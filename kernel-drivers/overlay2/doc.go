// Package overlay2 is the cow.Driver on top of the kernel's overlayfs.
//
// What is below is the packed image itself, where the kernel can mount that: by
// root, since Linux 6.12, from a disk. Elsewhere each layer is extracted once, into a
// tree that all snapshots share:
//
//	cow.Chain ──package packed──► an EROFS mount, attached nowhere ─┐ one lower
//	cow.Layer ──layerpack.Extract──► <home>/<group>/<chain id>/ ────┤ or one a layer, topmost first
//	                                                                ▼
//	Snapshot.Dir/upper, work ──────────────────────────► fsopen("overlay") ──► target
//
// A packed image needs no room and no time before the first mount, and keeps hard
// links across layers; trees have their pages in memory once for all mounts, and
// are used where they are there already.
//
// # Vocabulary
//
//   - tree: what one layer changes, as a directory in the format of overlayfs.
//     What a layer comes to depends on the layers below it (a path may lead
//     through their symlinks, a hard link to their files), so a tree has
//     the ChainID of the chain that ends with its layer, not the DiffID.
//     The trees are kept by package tree.
//   - merged tree: the whole of a chain's first layers, as one lower, for chains of more
//     layers than the kernel stacks (500, OVL_MAX_STACK).
//   - data tree: the whole of a chain with files that have no content but refer to it, by digest,
//     in data-only lowers (option datadir): one that all images share, or directories that
//     others keep. See package objects. It takes the place of the packed image.
//   - empty: two directories without content, for chains of less than the two
//     layers that a mount without upper must have.
//
// # Privileged and rootless
//
// In the initial user namespace the overlay's own xattrs are trusted.*, renaming a lower directory works
// (redirect_dir=on), and chmod copies no data (metacopy=on). In any
// other the kernel allows user.* only (option userxattr, Linux 5.11), and neither of those
// two; the caller has to be in a user and mount namespace in which it may
// mount. What the mapping of such a namespace has no room for can't be
// written into a tree: without sub-uids every object belongs to the caller, and
// device nodes are left out.
//
// # Invariants
//
//   - An upper is in the format the union writes too, under the same name, so
//     that a snapshot can change hands; what this mount could not read in one is
//     refused, not shown wrongly.
//
// Locks: those of the trees, bottom first.
package overlay2
