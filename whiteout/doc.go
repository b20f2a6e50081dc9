// Package whiteout is the vocabulary of deletion: every way in which a layer
// or an upper directory says "what was below is gone", and the translation
// between them. It is pure: it looks at names, modes and xattr values that the
// caller read, and never at a filesystem.
//
//	name, mode, rdev, size, xattrs ──Read──► Mark ──Dialect.Encode──► Object
//	     (one object of a layer)           (meaning)               (to be created)
//
// # Vocabulary
//
//   - whiteout: one name of a directory is gone.
//   - opaque: nothing of the lower layers' directory shines through.
//   - dialect: how those two are written down.
//
// # Dialects
//
//	dialect        whiteout of NAME                    opaque directory
//	AUFS           empty file .wh.NAME                 empty file .wh..wh..opq in it
//	Trusted        char device 0:0 called NAME         trusted.overlay.opaque=y
//	User           char device 0:0 called NAME         user.overlay.opaque=y
//	TrustedFiles   empty file NAME with the xattr      trusted.overlay.opaque=y
//	               trusted.overlay.whiteout, in a
//	               directory with
//	               trusted.overlay.opaque=x
//	UserFiles      the same with user.overlay.*        user.overlay.opaque=y
//	FuseOverlay    char device 0:0, or .wh.NAME        user.fuseoverlayfs.opaque=y
//	Plain          none                                none
//
// AUFS is the dialect of layers on the wire (OCI image spec, layer.md,
// "Whiteouts"); Trusted and User are those of the kernel's overlayfs
// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"
// and "User xattr"); the two Files dialects are its alternative for trees in
// which the device node of a whiteout would be taken for one of the outer
// overlay ("Nesting overlayfs mounts"). The kernel never writes those and
// honours them in lower layers only.
//
// # Invariants
//
//   - Read(Encode(m)) is m, in every dialect that can express m.
//   - A name that AUFS can't express (it begins with ".wh.") is refused when
//     encoding, never silently turned into another one.
package whiteout
