package unionfs

// Opcodes of the requests that are counted (linux/fuse.h).
const (
	opLookup        = 1
	opForget        = 2
	opGetattr       = 3
	opSetattr       = 4
	opReadlink      = 5
	opSymlink       = 6
	opMknod         = 8
	opMkdir         = 9
	opUnlink        = 10
	opRmdir         = 11
	opRename        = 12
	opLink          = 13
	opOpen          = 14
	opRead          = 15
	opWrite         = 16
	opStatfs        = 17
	opRelease       = 18
	opFsync         = 20
	opSetxattr      = 21
	opGetxattr      = 22
	opListxattr     = 23
	opRemovexattr   = 24
	opFlush         = 25
	opOpendir       = 27
	opReaddir       = 28
	opReleasedir    = 29
	opFsyncdir      = 30
	opAccess        = 34
	opCreate        = 35
	opFallocate     = 43
	opReaddirplus   = 44
	opLseek         = 46
	opCopyFileRange = 47
	opTmpfile       = 51
	opStatx         = 52
	opcodeCount     = 53
)

var opNames = [opcodeCount]string{
	opLookup: "LOOKUP", opForget: "FORGET", opGetattr: "GETATTR", opSetattr: "SETATTR", opReadlink: "READLINK",
	opSymlink: "SYMLINK", opMknod: "MKNOD", opMkdir: "MKDIR", opUnlink: "UNLINK", opRmdir: "RMDIR",
	opRename: "RENAME", opLink: "LINK", opOpen: "OPEN", opRead: "READ", opWrite: "WRITE", opStatfs: "STATFS",
	opRelease: "RELEASE", opFsync: "FSYNC", opSetxattr: "SETXATTR", opGetxattr: "GETXATTR",
	opListxattr: "LISTXATTR", opRemovexattr: "REMOVEXATTR", opFlush: "FLUSH", opOpendir: "OPENDIR",
	opReaddir: "READDIR", opReleasedir: "RELEASEDIR", opFsyncdir: "FSYNCDIR", opAccess: "ACCESS",
	opCreate: "CREATE", opFallocate: "FALLOCATE", opReaddirplus: "READDIRPLUS", opLseek: "LSEEK",
	opCopyFileRange: "COPY_FILE_RANGE", opTmpfile: "TMPFILE", opStatx: "STATX",
}

func (f *FS) count(op int) { f.counts[op].Add(1) }

// Requests tells how many requests of each opcode the kernel has sent, by the
// names of linux/fuse.h. FORGET counts inodes, not messages: nobody waits for them.
func (f *FS) Requests() map[string]uint64 {
	m := make(map[string]uint64)
	for op := range f.counts {
		if c := f.counts[op].Load(); c != 0 {
			m[opNames[op]] = c
		}
	}
	return m
}
