package btrfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
	"github.com/cfs-project/cfs/kernel-drivers/internal/tree"
)

// unchanged tells of the objects of the snapshot in dir whether they, and all that
// they hold, are as they were when it was made: by the generations of inodes
// where they may be read, else by times.
func unchanged(ctx context.Context, dir string) (func(*unix.Stat_t) bool, error) {
	fd, err := sys.OpenDir(unix.AT_FDCWD, filepath.Join(dir, volumeName))
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer unix.Close(fd)
	var root unix.Stat_t
	if err := sys.Again(func() error { return unix.Fstat(fd, &root) }); err != nil {
		return nil, fmt.Errorf("stat snapshot: %w", err)
	}
	changed, err := changedInodes(ctx, fd)
	if errors.Is(err, unix.EPERM) {
		return tree.Unchanged(filepath.Join(dir, madeName))
	}
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	return func(st *unix.Stat_t) bool { return st.Dev == root.Dev && !changed[st.Ino] }, nil
}

// changedInodes are the inodes of the subvolume that fd is in that changed since
// it was made as a snapshot, and the directories that lead to them. What has not
// changed is not read, but for the rest of the tree blocks that changed inodes are in.
func changedInodes(ctx context.Context, fd int) (map[uint64]bool, error) {
	// Inodes are written to the tree with the next transaction.
	if err := sys.Again(func() error { return unix.Syncfs(fd) }); err != nil {
		return nil, fmt.Errorf("sync: %w", err)
	}
	made, err := madeIn(fd)
	if err != nil {
		return nil, err
	}
	changed := map[uint64]bool{}
	var todo []uint64
	add := func(ino uint64) {
		if !changed[ino] {
			changed[ino] = true
			todo = append(todo, ino)
		}
	}
	s := search{fd: fd, newer: made + 1, to: key{^uint64(0), ^uint8(0), ^uint64(0)}}
	err = s.each(ctx, func(k key, item []byte) {
		// Of a block that is new not all is: the inode says when it changed itself.
		if k.typ == inodeItem && len(item) >= 16 && binary.LittleEndian.Uint64(item[8:]) > made {
			add(k.id)
		}
	})
	if err != nil {
		return nil, err
	}
	for len(todo) > 0 {
		ino := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		s := search{fd: fd, from: key{ino, inodeRef, 0}, to: key{ino, inodeExtref, ^uint64(0)}}
		err := s.each(ctx, func(k key, item []byte) {
			switch {
			case k.typ == inodeRef: // its offset is the directory
				add(k.offset)
			case k.typ == inodeExtref: // struct btrfs_inode_extref, one after the other
				for len(item) >= extrefSize {
					add(binary.LittleEndian.Uint64(item))
					next := extrefSize + int(binary.LittleEndian.Uint16(item[16:]))
					item = item[min(next, len(item)):]
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// Types of items, and sizes, of include/uapi/linux/btrfs_tree.h.
const (
	inodeItem   = 1  // struct btrfs_inode_item: generation, transid (of its last change), …
	inodeRef    = 12 // names of an inode in one directory
	inodeExtref = 13 // the same, for those for which there was no room
	extrefSize  = 18 // of struct btrfs_inode_extref, without the name
)

// key is where an item is in a tree.
type key struct {
	id     uint64
	typ    uint8
	offset uint64
}

// after is the next key; false if there is none.
func (k key) after() (key, bool) {
	switch {
	case k.offset != ^uint64(0):
		k.offset++
	case k.typ != ^uint8(0):
		k.typ, k.offset = k.typ+1, 0
	case k.id != ^uint64(0):
		k.id, k.typ, k.offset = k.id+1, 0, 0
	default:
		return k, false
	}
	return k, true
}

// search goes through the items of the subvolume that fd is in, those between two
// keys, in blocks that are at least as new as a generation.
type search struct {
	fd       int
	newer    uint64
	from, to key
}

// searchBuffer is how much of a tree is read in one call, in bytes. An item has at most a
// block, 64 KiB.
const searchBuffer = 256 << 10

// each calls f with every item. Item is valid during the call.
func (s search) each(ctx context.Context, f func(k key, item []byte)) error {
	buf := make([]byte, searchArgsSize+searchBuffer)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := s.call(buf)
		if err != nil || n == 0 {
			return err
		}
		var last key
		rest := buf[searchArgsSize:]
		for range n { // struct btrfs_ioctl_search_header, and the item
			if len(rest) < 32 {
				return fmt.Errorf("tree search: %d items don't fit into %d bytes", n, searchBuffer)
			}
			last = key{
				id:     binary.NativeEndian.Uint64(rest[8:]),
				typ:    uint8(binary.NativeEndian.Uint32(rest[24:])),
				offset: binary.NativeEndian.Uint64(rest[16:]),
			}
			size := int(binary.NativeEndian.Uint32(rest[28:]))
			if size > len(rest)-32 {
				return fmt.Errorf("tree search: an item of %d bytes is cut", size)
			}
			f(last, rest[32:32+size])
			rest = rest[32+size:]
		}
		var more bool
		if s.from, more = last.after(); !more {
			return nil
		}
	}
}

// call asks for the next items and tells how many there are in buf.
func (s search) call(buf []byte) (uint32, error) {
	clear(buf[:searchArgsSize])
	put := func(at int, v uint64) { binary.NativeEndian.PutUint64(buf[at:], v) }
	// struct btrfs_ioctl_search_key; tree 0 is that of the descriptor.
	put(8, s.from.id)
	put(16, s.to.id)
	put(24, s.from.offset)
	put(32, s.to.offset)
	put(40, s.newer)
	put(48, ^uint64(0))
	binary.NativeEndian.PutUint32(buf[56:], uint32(s.from.typ))
	binary.NativeEndian.PutUint32(buf[60:], uint32(s.to.typ))
	binary.NativeEndian.PutUint32(buf[64:], ^uint32(0))
	put(104, searchBuffer)
	err := ioctl(s.fd, iocTreeSearchV2, buf)
	return binary.NativeEndian.Uint32(buf[64:]), err
}

// madeIn is the generation in which the subvolume that fd is in was made.
func madeIn(fd int) (uint64, error) {
	var info subvolInfo
	err := sys.Ioctl(fd, iocGetSubvolInfo, unsafe.Pointer(&info))
	return info.Otransid, err
}

// subvolInfo is struct btrfs_ioctl_get_subvol_info_args.
type subvolInfo struct {
	Treeid, ParentID, Dirid        uint64
	Name                           [256]byte
	Generation, Flags              uint64
	UUID, ParentUUID, ReceivedUUID [16]byte
	Ctransid, Otransid             uint64
	Stransid, Rtransid             uint64
	Times                          [4][2]uint64
	Reserved                       [8]uint64
}
