package layerpack

import (
	"hash/crc32"
	"strings"

	"golang.org/x/sys/unix"
)

// The part of the EROFS on-disk format that an index uses: uncompressed,
// 512-byte blocks, extended inodes, chunks that point into extra devices.
// Source: Linux fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst.
// All numbers are little-endian.
const (
	blockBits = 9
	blockSize = 1 << blockBits

	superOffset = 1024
	superMagic  = 0xE0F5E1E2
	superSize   = 128
	slotSize    = 128 // one extra device
	slotsOffset = superOffset + superSize

	compatChecksum   = 0x1
	compatMtime      = 0x2
	incompatChunks   = 0x4
	incompatDevTable = 0x8

	nidShift  = 5 // an inode lies at metaOffset + nid<<nidShift
	nidSize   = 1 << nidShift
	inodeSize = 64

	layoutPlain  = 0 // data in blocks of its own
	layoutInline = 2 // the last, partial block follows the inode
	layoutChunks = 4 // an array of chunk indexes follows the inode

	chunkIndexSize = 8
	chunkIndexed   = 0x20 // i_u: entries are chunk indexes, not block numbers
	chunkBitsMask  = 0x1f
	nullBlock      = 0xFFFFFFFF // a hole

	// volumeName names the version of what an index holds, which is made again
	// where it is another: 2 leaves out what is eStargz's own, and may hold data.
	volumeName = "cfs index 2"
	volumeSize = 16

	direntSize      = 12
	xattrHeaderSize = 12
	xattrEntrySize  = 4

	// layerField is where, in the 16 reserved bytes that end an extended
	// inode, the index keeps 1 + the layer that brought the inode (u32). The
	// kernel reads none of them.
	layerField = 48
)

// Offsets in the superblock, from superOffset.
const (
	sbMagic     = 0
	sbChecksum  = 4
	sbCompat    = 8
	sbBlockBits = 12
	sbRootNID   = 14
	sbInodes    = 16
	sbBlocks    = 36
	sbMetaBlock = 40
	sbUUID      = 48
	sbVolume    = 64
	sbIncompat  = 80
	sbDevices   = 86
	sbSlots     = 88
)

// Limits of what an index holds. The first two are the kernel's.
const (
	maxName   = 255
	maxTarget = 4095
	maxDepth  = 2048 // directories on the way to a name
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// superChecksum is the checksum of the superblock's block, sb, whose checksum
// field is skipped as if it were 0.
func superChecksum(sb []byte) uint32 {
	var zero [4]byte
	c := crc32.Update(0, castagnoli, sb[:sbChecksum])
	c = crc32.Update(c, castagnoli, zero[:])
	return ^crc32.Update(c, castagnoli, sb[sbCompat:])
}

// xattrPrefixes are the names the format abbreviates, by index; "" is unused.
// The two ACL names are whole names.
var xattrPrefixes = [...]string{
	1: "user.",
	2: "system.posix_acl_access",
	3: "system.posix_acl_default",
	4: "trusted.",
	6: "security.",
}

// splitXattr gives the prefix index and the rest of name; 0 for a namespace
// that the kernel has no place for.
func splitXattr(name string) (index uint8, rest string) {
	for i, p := range xattrPrefixes {
		if p == "" {
			continue
		}
		if whole := p[len(p)-1] != '.'; whole {
			if name == p {
				return uint8(i), ""
			}
		} else if len(name) > len(p) && strings.HasPrefix(name, p) {
			return uint8(i), name[len(p):]
		}
	}
	return 0, ""
}

// direntTypes are the DT_* values of the format's own directory entry types.
var direntTypes = [...]uint8{
	0: unix.DT_UNKNOWN,
	1: unix.DT_REG,
	2: unix.DT_DIR,
	3: unix.DT_CHR,
	4: unix.DT_BLK,
	5: unix.DT_FIFO,
	6: unix.DT_SOCK,
	7: unix.DT_LNK,
}

// fileType is the directory entry type of mode.
func fileType(mode uint32) uint8 {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return 1
	case unix.S_IFDIR:
		return 2
	case unix.S_IFCHR:
		return 3
	case unix.S_IFBLK:
		return 4
	case unix.S_IFIFO:
		return 5
	case unix.S_IFSOCK:
		return 6
	case unix.S_IFLNK:
		return 7
	}
	return 0
}

// encodeDev and decodeDev translate a device number to the 32 bits that the
// kernel's new_encode_dev makes: major 12 bits, minor 20.
func encodeDev(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func decodeDev(d uint32) uint64 {
	return unix.Mkdev(d&0xfff00>>8, d&0xff|d>>12&0xfff00)
}

func align(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
