package layerpack

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// An Index is a mapped EROFS image as [BuildIndex] writes it. Its methods may
// be called from any number of goroutines, until Close. They check every
// number they read, and answer a damaged image with ErrCorrupt; the file must
// not shrink while it is mapped.
type Index struct {
	// All immutable after OpenIndex.
	m      []byte
	f      *os.File // what is mapped
	path   string
	meta   uint64 // byte offset of nid 0
	root   NID
	inodes uint64
	layers []digest.Digest
	tars   []int64 // size of each layer's tar, bytes

	scratch sync.Pool // of *scratch
}

// scratch is what a call needs for its callbacks without allocating.
type scratch struct {
	dirent Dirent
	name   [maxName + 32]byte
}

var le = binary.LittleEndian

// OpenIndex maps the image at path.
func OpenIndex(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	x, err := mapIndex(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	return x, nil
}

// mapIndex maps f, which it takes over unless it fails.
func mapIndex(f *os.File, path string) (*Index, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() < superOffset+blockSize {
		return nil, fmt.Errorf("open index %s: %w: too short", path, ErrCorrupt)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map index %s: %w", path, err)
	}
	x, err := newIndex(m, path)
	if err != nil {
		unix.Munmap(m)
		return nil, err
	}
	x.f = f
	return x, nil
}

// newIndex reads the superblock and the device table of the image m.
func newIndex(m []byte, path string) (*Index, error) {
	x := &Index{m: m, path: path}
	x.scratch.New = func() any { return new(scratch) }
	if len(m) < superOffset+blockSize {
		return nil, x.corrupt("too short")
	}
	sb := m[superOffset : superOffset+blockSize]
	switch {
	case le.Uint32(sb[sbMagic:]) != superMagic:
		return nil, x.corrupt("not an EROFS image")
	case le.Uint32(sb[sbCompat:])&compatChecksum == 0 || le.Uint32(sb[sbChecksum:]) != superChecksum(sb):
		return nil, x.corrupt("the superblock's checksum is wrong")
	case text(sb[sbVolume:sbVolume+volumeSize]) != volumeName:
		return nil, x.corrupt("its version, %q, is another than %q", text(sb[sbVolume:sbVolume+volumeSize]), volumeName)
	case sb[sbBlockBits] != blockBits:
		return nil, x.corrupt("blocks of %d bits", sb[sbBlockBits])
	case le.Uint32(sb[sbIncompat:])&^(incompatChunks|incompatDevTable) != 0:
		return nil, x.corrupt("unknown features %#x", le.Uint32(sb[sbIncompat:]))
	case uint64(le.Uint32(sb[sbBlocks:]))<<blockBits > uint64(len(m)):
		return nil, x.corrupt("truncated")
	}
	x.meta = uint64(le.Uint32(sb[sbMetaBlock:])) << blockBits
	x.root = NID(le.Uint16(sb[sbRootNID:]))
	x.inodes = le.Uint64(sb[sbInodes:])

	slots := int(le.Uint16(sb[sbDevices:]))
	at := int(le.Uint16(sb[sbSlots:])) * slotSize
	if at+slots*slotSize > len(m) {
		return nil, x.corrupt("the device table lies outside of the file")
	}
	for s := m[at : at+slots*slotSize]; len(s) > 0; s = s[slotSize:] {
		if _, err := hex.DecodeString(string(s[:64])); err != nil {
			return nil, x.corrupt("device %d names no layer", len(x.layers))
		}
		x.layers = append(x.layers, digest.NewDigestFromEncoded(digest.SHA256, string(s[:64])))
		x.tars = append(x.tars, int64(le.Uint32(s[64:]))<<blockBits)
	}
	var root inode
	if err := x.inode(x.root, &root); err != nil {
		return nil, err
	}
	if root.mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, x.corrupt("the root is no directory")
	}
	return x, nil
}

// Close unmaps the image. Nothing that a method returned may be used after it.
func (x *Index) Close() error {
	m := x.m
	x.m = nil
	if m == nil {
		return nil
	}
	return errors.Join(unix.Munmap(m), x.f.Close())
}

// File is the index itself, until Close: some sparse files have their data in it.
func (x *Index) File() *os.File { return x.f }

// Root is the root directory.
func (x *Index) Root() NID { return x.root }

// Inodes counts the inodes of the image.
func (x *Index) Inodes() uint64 { return x.inodes }

// Layers are the diff IDs of the chain, bottom first, as the image records
// them. An [Extent]'s Layer indexes them.
func (x *Index) Layers() []digest.Digest { return x.layers }

func (x *Index) corrupt(format string, a ...any) error {
	return fmt.Errorf("index %s: %w: %s", x.path, ErrCorrupt, fmt.Sprintf(format, a...))
}
