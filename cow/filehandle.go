package cow

import (
	"encoding/binary"
	"encoding/hex"

	"golang.org/x/sys/unix"
)

// A FileHandle names an inode of a layer as the kernel's overlayfs writes it down
// (fs/overlayfs/overlayfs.h, struct ovl_fb):
//
//	version magic length flags type  1 byte each; the length is the whole's
//	uuid                             16 bytes, of the filesystem
//	fid                              what name_to_handle_at(2) says
//
// It is the value of the mark "origin" and, in hexadecimal, a name in the index.
type FileHandle []byte

const (
	handleHeader  = 21
	handleVersion = 0
	handleMagic   = 0xfb
	// Flags: whose byte order the fid is in, and whose inode it is.
	handleBigEndian = 1 << 0
	handleAnyEndian = 1 << 1
	handleOfUpper   = 1 << 2
)

// A UUID is a filesystem's; zero where it has none.
type UUID [16]byte

// HandleOf makes the handle of what is called name in directory dirfd, or of what
// dirfd is opened on, without a name; of an inode of the upper layer with ofUpper.
// A symlink is not followed. EOPNOTSUPP: the filesystem, whose UUID is uuid, has no
// handles.
func HandleOf(dirfd int, name string, uuid UUID, ofUpper bool) (FileHandle, error) {
	flags := 0
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	fh, _, err := unix.NameToHandleAt(dirfd, name, flags)
	if err != nil {
		return nil, err
	}
	fid := fh.Bytes()
	if handleHeader+len(fid) > 0xff || fh.Type() < 0 || fh.Type() > 0xff {
		return nil, unix.EOVERFLOW
	}
	f := byte(0)
	if bigEndian {
		f |= handleBigEndian
	}
	if ofUpper {
		f |= handleOfUpper
	}
	h := append(FileHandle{handleVersion, handleMagic, byte(handleHeader + len(fid)), f, byte(fh.Type())}, uuid[:]...)
	return append(h, fid...), nil
}

// ParseHandle reads a name in the index; false if it is none, or of a kind that
// says nothing here (ovl_check_fb_len of fs/overlayfs/namei.c).
func ParseHandle(name string) (FileHandle, bool) {
	b, err := hex.DecodeString(name)
	if err != nil || len(b) <= handleHeader || int(b[2]) != len(b) || b[1] != handleMagic || b[0] > handleVersion {
		return nil, false
	}
	if b[3]&^(handleBigEndian|handleAnyEndian|handleOfUpper) != 0 || b[3]&handleOfUpper != 0 {
		return nil, false
	}
	if b[3]&handleAnyEndian == 0 && b[3]&handleBigEndian != 0 != bigEndian {
		return nil, false
	}
	return b, true
}

// Name is what it is called in the index.
func (h FileHandle) Name() string { return hex.EncodeToString(h) }

// UUID is that of the filesystem; zero where the kernel was told not to note it (uuid=off).
func (h FileHandle) UUID() (u UUID) { copy(u[:], h[5:]); return u }

// Inode is the handle without its filesystem: the type and the fid.
func (h FileHandle) Inode() string { return string(h[4:5]) + string(h[handleHeader:]) }

var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1
