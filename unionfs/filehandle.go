package unionfs

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A kernelHandle names an inode of a layer as the kernel's overlayfs writes it down
// (fs/overlayfs/overlayfs.h, struct ovl_fb):
//
//	version magic length flags type  1 byte each; the length is the whole's
//	uuid                             16 bytes, of the filesystem
//	fid                              what name_to_handle_at(2) says
//
// It is the value of the mark "origin" and, in hexadecimal, a name in the index.
type kernelHandle []byte

const (
	handleHeader  = 21
	handleVersion = 0
	handleMagic   = 0xfb
	// Flags: whose byte order the fid is in, and whose inode it is.
	handleBigEndian = 1 << 0
	handleAnyEndian = 1 << 1
	handleOfUpper   = 1 << 2
)

// A fsUUID is a filesystem's UUID; zero where it has none.
type fsUUID [16]byte

// handleOf makes the handle of what is at p, on the filesystem with that UUID.
// EOPNOTSUPP: the filesystem has no handles.
func handleOf(p at, uuid fsUUID, ofUpper bool) (kernelHandle, error) {
	flags := 0
	if p.name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	fh, _, err := unix.NameToHandleAt(p.dirfd, p.name, flags)
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
	h := append(kernelHandle{handleVersion, handleMagic, byte(handleHeader + len(fid)), f, byte(fh.Type())}, uuid[:]...)
	return append(h, fid...), nil
}

// parseHandle reads a name in the index; false if it is none, or of a kind that
// says nothing here (ovl_check_fb_len of fs/overlayfs/namei.c).
func parseHandle(name string) (kernelHandle, bool) {
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

func (h kernelHandle) name() string { return hex.EncodeToString(h) }

func (h kernelHandle) uuid() (u fsUUID) { copy(u[:], h[5:]); return u }

// inode is the handle without its filesystem.
func (h kernelHandle) inode() string { return string(h[4]) + string(h[handleHeader:]) }

var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// fsIocGetFSUUID is FS_IOC_GETFSUUID of include/uapi/linux/fs.h, of Linux 6.9.
const fsIocGetFSUUID = 0x80111500

// uuidOf asks for the UUID of the filesystem that directory dirfd is on. ENOTTY:
// the kernel doesn't tell.
func uuidOf(dirfd int) (fsUUID, error) {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fsUUID{}, err
	}
	defer unix.Close(fd)
	var v struct { // struct fsuuid2
		len  uint8
		uuid fsUUID
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocGetFSUUID, uintptr(unsafe.Pointer(&v)))
	switch {
	case errno == unix.ENOTTY && tellsUUID():
		return fsUUID{}, nil
	case errno != 0:
		return fsUUID{}, errno
	case int(v.len) != len(v.uuid): // FAT and its like; overlayfs has zero then, too
		return fsUUID{}, nil
	}
	return v.uuid, nil
}

// tellsUUID tells whether the kernel is one that has FS_IOC_GETFSUUID: what it
// has no answer for then has no UUID.
func tellsUUID() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 6 || major == 6 && minor >= 9)
}
