package layerpack

// NID names an inode of one [Index]. It is stable for the life of the image
// and never 0.
type NID uint64

// Attr is what the index knows of an inode. All names of a hard-linked file
// share one.
type Attr struct {
	NID       NID
	Mode      uint32 // S_IFMT type and permission bits, as in stat(2)
	UID, GID  uint32 // as the image has them
	Nlink     uint32 // names after the merge; a directory has 2 + its subdirectories
	Rdev      uint64 // as unix.Mkdev, for devices
	Size      int64  // bytes
	Chunks    int64  // of a regular file; where there is one it lies in one piece, or is one hole
	Mtime     int64  // seconds since the epoch, may be negative
	MtimeNsec uint32
	Layer     int // index into the chain, bottom = 0, of the layer that brought it; -1: none
}

// A Dirent is one name of a directory.
type Dirent struct {
	Name []byte // aliases the map, valid until Close; not to be written to
	NID  NID
	Type uint8  // DT_* of readdir(3)
	Off  uint64 // ReadDir from here continues after this entry
}

// An Extent is a run of a file's bytes.
type Extent struct {
	Layer    int   // whose tar holds it, bottom = 0; -1: a hole, which reads as zeros; len(Layers()): the index itself
	Off, Len int64 // byte offset in that file, and bytes
}
