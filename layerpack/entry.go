package layerpack

// kind is the kind of a tar entry.
type kind uint8

const (
	kindFile kind = iota
	kindHardLink
	kindSymlink
	kindChar
	kindBlock
	kindDir
	kindFifo
	kinds
)

// An entry is one member of a layer's tar, as it says itself: the name is not
// cleaned, and nothing is resolved.
type entry struct {
	kind         kind
	mode         uint32 // permission bits
	uid, gid     uint32
	nsec         uint32
	mtime        int64
	size         int64 // of a file, bytes, holes included
	off          int64 // of a file's data in the tar
	end          int64 // of the member in the tar, its padding included
	major, minor uint32
	name         string
	target       string // of a link
	xattrs       []xattr
	sparse       []run
	sum          uint32 // CRC-32C of the member: its headers, its data, its padding
	holes        bool   // the file is sparse
	stargz       bool   // it may be one of eStargz's own
}

// Bounds of what an entry may say. The kernel's dev_t has 12 and 20 bits, and
// an id of all ones means "none" to it.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
	maxID    = 1<<32 - 2

	maxEntries = 8 << 20 // of one layer
)
