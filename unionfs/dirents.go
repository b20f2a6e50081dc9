package unionfs

import (
	"bytes"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// rawEntry is one name as getdents64 returns it.
type rawEntry struct {
	name string
	typ  uint8 // DT_*; DT_UNKNOWN on filesystems that don't say
	ino  uint64
}

// readNames lists a directory that is open in any way, without "." and "..".
func readNames(dirfd int) ([]rawEntry, error) {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var out []rawEntry
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return out, nil
		}
		// struct linux_dirent64: d_ino u64, d_off s64, d_reclen u16, d_type u8, d_name
		for b := buf[:n]; len(b) >= 19; {
			reclen := int(binary.NativeEndian.Uint16(b[16:]))
			name := b[19:reclen]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			if s := string(name); s != "." && s != ".." {
				out = append(out, rawEntry{s, b[18], binary.NativeEndian.Uint64(b)})
			}
			b = b[reclen:]
		}
	}
}

// direntBuffers are what directories of lowers are read into.
var direntBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// eachName calls fn for every name of a directory that is open for reading,
// without "." and "..", until it fails. A name is valid during the call.
func eachName(fd int, fn func(name []byte, typ uint8, ino uint64) error) error {
	bp := direntBuffers.Get().(*[]byte)
	defer direntBuffers.Put(bp)
	for {
		n, err := unix.Getdents(fd, *bp)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for b := (*bp)[:n]; len(b) >= 19; {
			reclen := int(binary.NativeEndian.Uint16(b[16:]))
			name := b[19:reclen]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			if s := string(name); s != "." && s != ".." {
				if err := fn(name, b[18], binary.NativeEndian.Uint64(b)); err != nil {
					return err
				}
			}
			b = b[reclen:]
		}
	}
}

// kind is the entry's S_IFMT bits, asked for where the filesystem didn't say.
func (e rawEntry) kind(dirfd int) (uint32, error) {
	if e.typ != unix.DT_UNKNOWN {
		return uint32(e.typ) << 12, nil
	}
	var st unix.Stat_t
	if err := (at{dirfd, e.name}).stat(&st); err != nil {
		return 0, err
	}
	return st.Mode & unix.S_IFMT, nil
}
