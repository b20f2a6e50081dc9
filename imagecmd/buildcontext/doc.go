// Package buildcontext is what the instructions of a Dockerfile take files from,
// and how what COPY and ADD select of it becomes a layer. Nothing is mounted, no
// context is copied as a whole, and no privilege is needed: owners are numbers in
// a tar.
//
//	a directory ──┐
//	tar, URL, git ┼─► Source ──Copy.Select──► Selection ──Digest──► the cache's key
//	stage, image ─┘                               │
//	                                              └─Entries(lower)─► cow.Entry … ─► layerpack.WriteLayer
//
// # Vocabulary
//
//   - source: a tree that files are taken from: the build context, a named
//     context, a stage or an image. What `.dockerignore` leaves out is not in it.
//   - selection: the objects of sources that one instruction takes, and what they are
//     to be called. It knows nothing of the tree that they will lie on.
//   - lower: that tree. It says which directories are there already, where its
//     symbolic links lead, and who the users in --chown are.
//
// # For one instruction
//
//	c := buildcontext.Copy{From: src, Paths: cmd.SourcePaths, Dest: cmd.DestPath, WorkDir: "/srv"}
//	sel, err := c.Select(ctx, o)               // wildcards, directories, downloads
//	defer sel.Close()
//	key, err := sel.Digest(ctx)                // with the parent's: is it cached?
//	layerpack.WriteLayer(ctx, w, sel.Entries(ctx, lower), ...)
//
// For RUN --mount=type=bind the selection of the mount's source onto "/", without a
// lower, is a layer that shows what the mount does, and its digest is what the
// step depends on. [Source.HostDir] tells where a mount of the directory itself
// does as well.
//
// # Rules
//
// They are BuildKit's (solver/llbsolver/file and tonistiigi/fsutil/copy), but that
//
//   - a path out of the context is refused, as by Docker's classic builder;
//   - several sources need no slash at the end of a directory that is there;
//   - a directory takes the place of a file or a symbolic link, and these that of a directory
//     with all in it, as for Docker's classic builder; only what --parents passes through doesn't;
//   - --exclude leaves out files that the instruction names, too, as is documented;
//   - --parents copies everything of ".", and nothing of a file that is the pivot;
//   - --link with --chown takes numbers only, and sockets are left out;
//   - --exclude and --chmod are for what archives hold, too.
//
// In short:
//
//   - What is copied from a context or a URL belongs to 0:0, from a stage or an image to
//     whom it belongs there, unless --chown says otherwise.
//   - A directory is copied as what it holds. What holds it is made if it is
//     missing, 0755 or as --chmod says; if it is there its attributes stay.
//     Directories below it take those of the source's.
//   - Symbolic links on the way to the destination, and the last one, lead where they
//     do inside the lower tree. What lies below the destination is not followed, but replaced.
//   - Times are the source's. Sockets are left out.
//
// # Invariants
//
//   - No path of an instruction, a context or an archive reaches anything outside
//     of its source, whatever symbolic links are in it.
//   - The digest depends on names, types, modes, owners, targets of links, contents and
//     extended attributes, and on no time, host, or order of a directory.
//   - A file that changes between Digest and Entries fails Entries.
package buildcontext
