package bench

import (
	"io/fs"
	"syscall"
)

// An inode tells files apart.
type inode struct{ dev, ino uint64 }

// blockUnit is what st_blocks counts in, in bytes (stat(2)).
const blockUnit = 512

// inodeOf is which inode a file is, and what it takes on the disk, in bytes.
func inodeOf(i fs.FileInfo) (inode, int64) {
	st := i.Sys().(*syscall.Stat_t) // what os fills in on Linux
	return inode{st.Dev, st.Ino}, st.Blocks * blockUnit
}
