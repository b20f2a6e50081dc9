package layerpack

import (
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/whiteout"
)

// Bounds that hold when [PackOptions] names none.
const (
	// DefaultMaxExpansion is how many times its compressed size a layer may unpack to.
	DefaultMaxExpansion = 200
	// DefaultMaxSize bounds an unpacked layer, in bytes.
	DefaultMaxSize = 128 << 30
	// ExpansionFloor is the unpacked size up to which no expansion is refused,
	// in bytes: small layers of zeros are common and harmless.
	ExpansionFloor = 512 << 20
)

// PackOptions says what [Pack] checks and where else bytes go. The zero value
// verifies no digest and keeps the default bounds.
type PackOptions struct {
	Blob         digest.Digest // digest the compressed bytes must have; "" = not known
	DiffID       digest.Digest // digest the tar must have; "" = not known
	BlobSink     io.Writer     // also receives the compressed bytes as they are read; may be nil
	MaxExpansion int64         // refuse (ErrBomb) past this many times the compressed size, once over ExpansionFloor; 0 = DefaultMaxExpansion, <0 = no bound
	MaxSize      int64         // bound of the tar in bytes; 0 = DefaultMaxSize
	Progress     func(n int64) // told the compressed bytes read so far, from one goroutine at a time; may be nil
}

// Packed is what [Pack] learned of a layer.
type Packed struct {
	Blob, DiffID      digest.Digest // of the compressed bytes, of the tar
	BlobSize, TarSize int64         // bytes
	Compression       Compression
	Entries           int // entries of the table of contents
}

// Compression is how a layer arrived.
type Compression uint8

// The compressions that are understood.
const (
	Plain Compression = iota
	Gzip
	Zstd
	Bzip2
	XZ
)

func (c Compression) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	case Bzip2:
		return "bzip2"
	case XZ:
		return "xz"
	}
	return "plain"
}

// ExtractOptions says how [Extract] writes a tree.
type ExtractOptions struct {
	// Below are the layers beneath the extracted one, bottom first. What a
	// layer means depends on them: its paths may lead through their symlinks,
	// its hard links to their files, and a directory that it only passes
	// through has their attributes. The tree belongs to the whole chain
	// (its ChainID), not to the layer alone.
	Below []cow.Layer
	// Dialect is how whiteouts and opaque directories are written:
	// whiteout.Trusted for a privileged overlay, whiteout.User for one mounted
	// with userxattr. [ExtractAll] and [Apply] write none, and take
	// whiteout.Plain for trees that no overlay looks at. Attributes of the layer that such an overlay would take
	// for its own are written escaped.
	Dialect whiteout.Dialect
	// Rootless carries on where the kernel refuses an owner, a device node or
	// an extended attribute, and counts it in Extracted.
	Rootless bool
}

// Extracted is what [Extract] did.
type Extracted struct {
	Files, Dirs, Whiteouts, Opaques int
	Bytes                           int64 // file data, holes not counted
	SkippedOwners                   int   // inodes that kept the caller's owner
	SkippedDevices                  int   // device nodes left out; a 0:0 one always is, as overlays take it for a whiteout
	SkippedXattrs                   int   // attributes left out
}
