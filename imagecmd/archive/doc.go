// Package archive reads image archives: what `docker save`, skopeo, podman and
// umoci write, as a tar, compressed or not, or as a directory; and writes them.
//
//	file ──► plain tar: read where it lies          ┐
//	file ──► compressed ┐                           │
//	stdin ─► pipe ──────┴► read once; small files   ├─► Files ─► Images ─► []Image
//	                       in memory, large ones    │
//	                       spooled in the store     │
//	directory ─► opened below its root only         ┘
//
//	[]Saved ─► LayoutFiles, DockerFiles ┐
//	blobs of the store ─────────────────┴► []Member ─► WriteTar, WriteDir
//
// # Vocabulary
//
//   - docker-archive: manifest.json names configs and layers, each a file, in
//     the layout of Docker before 25 (<id>/layer.tar, some of them symlinks) or
//     after (blobs/sha256/…).
//   - layout: an OCI image layout, index.json and blobs/<algorithm>/<hex>. An
//     archive that is both, as Docker writes since 25, is read as a layout, as
//     that has the digests of the manifests; its manifest.json then adds names.
//     That is what is written as a docker-archive.
//   - v1: the archives of Docker before 1.10, which have neither: an image for
//     every layer, <id>/json and <id>/layer.tar, and the names in repositories.
//     Their IDs are no digests; their images get the ones that Docker gives them.
//
// # Names
//
// The name of an image in a layout is its annotation io.containerd.image.name;
// without it, org.opencontainers.image.ref.name, read as a name whatever it
// looks like. So a bare word is a repository ("debian" is debian:latest, as
// skopeo writes it for oci-archive:FILE:debian, and "latest" is latest:latest),
// which is how podman reads it too, but for its localhost/. What is no valid
// name leaves the image nameless.
//
// # Invariants
//
//   - Nothing is extracted. A name in an archive is a key that is looked up,
//     never a path of the host; names with "..", absolute names, and links that
//     lead out are refused.
//   - Documents are bounded (store.MaxDocument), entries are (MaxEntries), and
//     what decompression yields is.
//   - A large file of a stream is written once: its spool becomes the blob.
//   - The same members are written as the same bytes: sorted, root's, of one time.
//
// Imports the store for its spools and its readers of documents.
package archive
