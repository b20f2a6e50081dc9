package objects

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
)

// block is the size of the blocks that are hashed, in bytes, and of those that hold hashes.
const block = 4096

// Digest is the digest of what r has as fs-verity counts it (Documentation/filesystems/fsverity.rst,
// "Merkle tree" and "fs-verity descriptor"), in hexadecimal: SHA-256, in blocks of 4096 bytes,
// without a salt.
func Digest(r io.Reader) (string, error) {
	var t merkle
	var size uint64
	buf := make([]byte, block)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			clear(buf[n:])
			t.add(0, sha256.Sum256(buf))
			size += uint64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	// struct fsverity_descriptor (include/uapi/linux/fsverity.h).
	var d [256]byte
	d[0], d[1], d[2] = 1, 1, 12 // version, FS_VERITY_HASH_ALG_SHA256, log2(block)
	binary.LittleEndian.PutUint64(d[8:], size)
	if size > 0 {
		root := t.root()
		copy(d[16:], root[:])
	}
	sum := sha256.Sum256(d[:])
	return hex.EncodeToString(sum[:]), nil
}

// merkle is a tree of hashes that grows from the left: of each level what is not yet a
// whole block.
type merkle struct{ levels [][]byte }

func (t *merkle) add(level int, sum [sha256.Size]byte) {
	if level == len(t.levels) {
		t.levels = append(t.levels, make([]byte, 0, block))
	}
	l := append(t.levels[level], sum[:]...)
	if len(l) == block {
		full := sha256.Sum256(l)
		l = l[:0]
		t.add(level+1, full)
	}
	t.levels[level] = l
}

// root completes the tree, which is not empty.
func (t *merkle) root() (sum [sha256.Size]byte) {
	for level := 0; ; level++ {
		l := t.levels[level]
		if level == len(t.levels)-1 && len(l) == sha256.Size {
			copy(sum[:], l)
			return sum
		}
		if len(l) > 0 {
			t.add(level+1, sha256.Sum256(append(l, make([]byte, block-len(l))...)))
		}
	}
}
