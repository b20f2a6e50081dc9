// Package imagegen makes images for tests: an adversarial chain with what it
// must look like in the end, hostile layers with what must happen to them, and
// the files that carry images from place to place.
//
//	Chain(seed, n) ──► []Layer ──► Model.Apply … ──► Model.Record ──► *treediff.Record (the oracle)
//	                      │
//	                      └──► Layer.Tar ──► Compress ──► Image ──► WriteDockerArchive, WriteOCIArchive, WriteOCILayout
//	Hostiles() ──► []Hostile: a name, the layers below, a stream of bytes, an outcome
//
// # Vocabulary
//
//   - layer: tar entries in order, nothing decided about compression.
//   - model: a naive tree in memory that a layer is applied to by the letter of
//     the OCI image spec ("Applying Changesets"). It knows nothing of how cfs
//     does it, and is as slow and as plain as it can be.
//   - hostile: a layer that some program, somewhere, was fooled by.
//
// # Invariants
//
//   - Everything is a function of its arguments: the same seed gives the same
//     bytes on every machine, so a failure can be repeated and digests compared.
//   - Big things are streamed, never held.
package imagegen
