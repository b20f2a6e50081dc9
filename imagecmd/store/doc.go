// Package store keeps images on disk: an OCI image layout that other tools read
// and write, and beside it what cfs makes of the layers in it.
//
//	archive, registry, builder
//	      │ blobs, layers                 Ingest: leases what it brings or finds
//	      ▼
//	oci/blobs/<algorithm>/<hex>           manifests, configs, layers as they came
//	oci/index.json                        the names; Commit is the moment an image exists
//	      │ Resolve, Images
//	      ▼
//	layers/<diff id hex>/                 layer.tar, layer.toc, layer.json   (a cache)
//	images/<chain id hex>.erofs           the merged index of a chain        (a cache)
//	images/list                           what lists show of each image      (a cache)
//	      │ Chain
//	      ▼
//	cow.Chain, leased until released
//
// Below the same root live containers/<id>/ (see [Container]), drivers/<name>/
// (see [Store.DriverHome]), tmp/, where everything is written before it gets
// its name, and damaged/, where [Store.Check] puts what is lost.
//
// # Vocabulary
//
//   - target: what a line of index.json points to, an image manifest or an
//     index of several.
//   - image: the manifest that a target holds for this platform. Its ID is the
//     digest of its config; several names, and even several targets, can be one image.
//   - dangling: an image whose last name went to another; it stays, nameless.
//   - parent: the image that another was built on, as [AnnotationParent] tells.
//     A nameless one is intermediate: no list shows it, it can't be removed while
//     it has a child, and goes with the last.
//   - step: what a build did to make an image of its parent. Its key, a digest of all
//     that it depends on, is in the image's line, see [AnnotationStep].
//   - object: a blob, a layer directory or a merged index.
//   - lease: a shared flock(2) on an object, held by whoever relies on it.
//
// # Names
//
// A name is the annotation org.opencontainers.image.ref.name of a line of
// index.json. cfs writes it as people type it and `cfs images` prints it
// ("debian:latest", "quay.io/x/y:1"), so that `skopeo inspect oci:DIR:debian:latest`
// and `umoci ls` speak the same words, and puts the full name
// ("docker.io/library/debian:latest") beside it into io.containerd.image.name,
// where containerd and Docker look for it. What others wrote is read by the
// rules of the command line: "debian", "debian:latest" and
// "docker.io/library/debian:latest" are one name. Where several lines claim one
// name the last counts, as the newest is appended. A ref.name that is no valid
// reference makes its image nameless.
//
// # Damage
//
// What is read of a document is verified every time; of blobs and layers the size
// is, and their bytes when they come in, when they are saved, and by
// [Store.Check]. What is made of a tar, its table of contents, layer.json and the
// merged indexes (of these the head), is checked where it is needed, and made again
// where it is missing, of another version or damaged:
//
//	merged index ◄── tables of contents ◄── layer.tar ◄── a compressed blob
//	                                             ▲│
//	                                             │▼
//	                                        a plain blob
//
// # Invariants
//
//   - Every change is: write in tmp/, fsync, rename, fsync the directory. An
//     object under its final name is complete. A process killed at any line
//     leaves leftovers in tmp/ and objects that nothing names; the first are
//     swept by the next writer, the second by the next Remove.
//   - A plain layer is one file with two names: its blob and its layer.tar.
//   - An object is removed only under the index lock, only when nothing names
//     it, and only if an exclusive flock on it is had at once: a lease keeps it.
//     A merged index under lease is how a mounted chain, in any process, keeps
//     its image from being removed; of several images with that chain it is the
//     one whose config is leased too.
//   - Whatever is in tmp/ is locked exclusively by its maker; what can be
//     locked by another is stale. The lock moves along with the rename: it is on
//     the inode, and becomes the first lease.
//   - Blobs that no image names stay for [OrphanAge], because another program
//     that writes into the layout puts its blobs there before its line.
//
// # Lock order
//
//	tmp/layer-<hex>, tmp/index-<hex>    exclusive: one builder per object
//	  leases of objects                 shared, in any order
//	    oci/                            exclusive: index.json is read, changed, written;
//	                                    shared: whoever removes has seen the leases
//	      objects                       exclusive, never waited for
//
// All locks are flock(2): they end with the process, and a crashed holder
// blocks nobody. They are on directories and on files opened for reading, so a
// store needs a filesystem whose flock is local (NFS emulates it with locks
// that want the file opened for writing).
//
// Imports cow and layerpack; nothing of a runtime, a registry or a command line.
package store
