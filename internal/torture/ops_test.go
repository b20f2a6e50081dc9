package torture

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// slots is how many descriptors a side keeps open.
const slots = 6

// side is one of the two roots, with its open descriptors.
type side struct {
	root string
	open [slots]*held
}

// held is a descriptor that is kept, and perhaps a mapping of its file.
type held struct {
	fd  int
	ino uint64
	mem []byte
}

func (s *side) at(p string) string { return filepath.Join(s.root, p) }

func (s *side) close(i int) {
	if h := s.open[i]; h != nil {
		if h.mem != nil {
			_ = unix.Munmap(h.mem)
		}
		unix.Close(h.fd)
		s.open[i] = nil
	}
}

func (s *side) closeAll() {
	for i := range slots {
		s.close(i)
	}
}

// op is an operation; do returns what a program would see of it.
type op struct {
	name string
	do   func(s *side) string
}

// result is an error as it is compared: its errno.
func result(err error) string {
	var e unix.Errno
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &e):
		return err.Error()
	case e == unix.ENOTEMPTY || e == unix.EEXIST:
		return "EEXIST or ENOTEMPTY" // rename(2), rmdir(2): either
	}
	return unix.ErrnoName(e)
}

// withFile opens a regular file for one operation.
func withFile(p string, flags int, fn func(fd int) error) string {
	fd, err := unix.Open(p, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return result(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return result(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "not regular"
	}
	return result(fn(fd))
}

// randomOp draws an operation that is the same on every side that looks like
// the plain one.
func randomOp(plain *side, r *rand.Rand) op {
	p, q := somePath(plain.root, r), somePath(plain.root, r)
	if r.IntN(20) < 9 {
		return slotOp(plain, p, r)
	}
	ops := append(nameOps(p, q, r), attrOps(p, r)...)
	return ops[r.IntN(len(ops))]
}

func nameOps(p, q string, r *rand.Rand) []op {
	rename := func(name string, flags uint) op {
		return op{name + " " + p + " " + q, func(s *side) string {
			return result(unix.Renameat2(unix.AT_FDCWD, s.at(p), unix.AT_FDCWD, s.at(q), flags))
		}}
	}
	mknod := func(mode uint32, dev int) op {
		return op{fmt.Sprintf("mknod %s %o", p, mode), func(s *side) string { return result(unix.Mknod(s.at(p), mode, dev)) }}
	}
	data := pattern(r)
	return []op{
		{"create " + p, func(s *side) string {
			return withFile(s.at(p), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, func(fd int) error { _, err := unix.Write(fd, data); return err })
		}},
		{"mkdir " + p, func(s *side) string { return result(unix.Mkdir(s.at(p), 0o755)) }},
		{"rmdir " + p, func(s *side) string { return result(unix.Rmdir(s.at(p))) }},
		{"unlink " + p, func(s *side) string { return result(unix.Unlink(s.at(p))) }},
		{"symlink " + p, func(s *side) string { return result(unix.Symlink(q, s.at(p))) }},
		{"link " + p + " " + q, func(s *side) string {
			return result(unix.Linkat(unix.AT_FDCWD, s.at(p), unix.AT_FDCWD, s.at(q), 0))
		}},
		rename("rename", 0), rename("rename", 0), rename("noreplace", unix.RENAME_NOREPLACE), rename("exchange", unix.RENAME_EXCHANGE),
		mknod(unix.S_IFIFO|0o600, 0), mknod(unix.S_IFSOCK|0o600, 0), mknod(unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
	}
}

func attrOps(p string, r *rand.Rand) []op {
	data, perm, id, tm := pattern(r), uint32(r.IntN(0o10000)), r.IntN(3000), randomTime(r)
	return []op{
		{fmt.Sprintf("chmod %s %o", p, perm), func(s *side) string {
			return result(unix.Fchmodat(unix.AT_FDCWD, s.at(p), perm, unix.AT_SYMLINK_NOFOLLOW))
		}},
		{fmt.Sprintf("chown %s %d", p, id), func(s *side) string { return result(unix.Lchown(s.at(p), id, id+1)) }},
		{"utimes " + p, func(s *side) string {
			return result(unix.UtimesNanoAt(unix.AT_FDCWD, s.at(p), []unix.Timespec{tm, tm}, unix.AT_SYMLINK_NOFOLLOW))
		}},
		{"setxattr " + p, func(s *side) string {
			return result(unix.Lsetxattr(s.at(p), "user.m", data[:min(len(data), 30)], 0))
		}},
		{"removexattr " + p, func(s *side) string { return result(unix.Lremovexattr(s.at(p), "user.seed")) }},
		{"append " + p, func(s *side) string {
			return withFile(s.at(p), unix.O_WRONLY|unix.O_APPEND, func(fd int) error { _, err := unix.Write(fd, data); return err })
		}},
		{"rewrite " + p, func(s *side) string {
			return withFile(s.at(p), unix.O_WRONLY|unix.O_TRUNC|unix.O_CREAT, func(fd int) error { _, err := unix.Write(fd, data); return err })
		}},
		{"stat " + p, func(s *side) string {
			var st unix.Stat_t
			if err := unix.Lstat(s.at(p), &st); err != nil {
				return result(err)
			}
			return statLine(&st)
		}},
		{"read " + p, func(s *side) string {
			var sum [32]byte
			out := withFile(s.at(p), unix.O_RDONLY, func(int) error {
				b, err := os.ReadFile(s.at(p))
				sum = sha256.Sum256(b)
				return err
			})
			return fmt.Sprintf("%s %x", out, sum[:8])
		}},
	}
}

func statLine(st *unix.Stat_t) string {
	line := fmt.Sprintf("%o %d:%d rdev %d", st.Mode, st.Uid, st.Gid, st.Rdev)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		line += fmt.Sprintf(" nlink %d size %d", st.Nlink, st.Size)
	}
	return line
}

// slotOp draws an operation on a descriptor that is kept.
func slotOp(plain *side, p string, r *rand.Rand) op {
	i, j := r.IntN(slots), r.IntN(slots)
	var size int64
	if h := plain.open[i]; h != nil {
		var st unix.Stat_t
		_ = unix.Fstat(h.fd, &st)
		size = st.Size
	} else {
		flags := []int{unix.O_RDONLY, unix.O_RDWR, unix.O_RDWR, unix.O_RDWR | unix.O_APPEND, unix.O_RDWR | unix.O_TRUNC, unix.O_RDWR | unix.O_CREAT, unix.O_RDWR | unix.O_TMPFILE}[r.IntN(7)]
		return op{fmt.Sprintf("%d = open %s %#x", i, p, flags), func(s *side) string { return s.openSlot(i, p, flags) }}
	}
	off := r.Int64N(max(size+10000, 1))
	data := pattern(r)
	on := func(name string, fn func(s *side, h *held) string) op {
		return op{fmt.Sprintf("%s on %d at %d+%d", name, i, off, len(data)), func(s *side) string { return fn(s, s.open[i]) }}
	}
	alloc := func(name string, mode uint32) op {
		return on(name, func(_ *side, h *held) string { return result(unix.Fallocate(h.fd, mode, off, int64(len(data)))) })
	}
	ops := []op{
		on("pwrite", func(_ *side, h *held) string {
			n, err := unix.Pwrite(h.fd, data, off)
			return fmt.Sprint(n, result(err))
		}),
		on("pread", func(_ *side, h *held) string {
			n, err := unix.Pread(h.fd, data, off)
			return fmt.Sprintf("%d %s %x", n, result(err), sha256.Sum256(data[:max(n, 0)]))
		}),
		on("ftruncate", func(_ *side, h *held) string { return result(unix.Ftruncate(h.fd, off)) }),
		on("fchmod", func(_ *side, h *held) string { return result(unix.Fchmod(h.fd, uint32(off)&0o777)) }),
		on("fsync", func(_ *side, h *held) string { return result(unix.Fsync(h.fd)) }),
		on("fstat", func(_ *side, h *held) string {
			var st unix.Stat_t
			if err := unix.Fstat(h.fd, &st); err != nil {
				return result(err)
			}
			if st.Ino != h.ino {
				return fmt.Sprintf("st_ino was %d and is %d", h.ino, st.Ino)
			}
			return statLine(&st)
		}),
		on("linkat "+p, func(s *side, h *held) string {
			return result(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", h.fd), unix.AT_FDCWD, s.at(p), unix.AT_SYMLINK_FOLLOW))
		}),
		on(fmt.Sprint("copy_file_range to ", j), func(s *side, h *held) string {
			if s.open[j] == nil {
				return "closed"
			}
			from, to := off, off/2
			n, err := unix.CopyFileRange(h.fd, &from, s.open[j].fd, &to, len(data), 0)
			return fmt.Sprint(n, result(err))
		}),
		on("holes", func(_ *side, h *held) string { return holes(h.fd) }),
		on("mmap write", func(_ *side, h *held) string { return h.mapWrite(data, off) }),
		alloc("fallocate", 0), alloc("keep", unix.FALLOC_FL_KEEP_SIZE), alloc("zero", unix.FALLOC_FL_ZERO_RANGE),
		alloc("punch", unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE),
		{fmt.Sprint("close ", i), func(s *side) string { s.close(i); return "" }},
	}
	return ops[r.IntN(len(ops))]
}

func (s *side) openSlot(i int, p string, flags int) string {
	fd, err := unix.Open(s.at(p), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return result(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return "not regular"
	}
	s.open[i] = &held{fd: fd, ino: st.Ino}
	return statLine(&st)
}

// mapWrite writes through a shared mapping, made once and kept, and waits until
// it is written back, so that no later time of the file depends on when that is.
// At the end the time is set: not every filesystem changes it here.
func (h *held) mapWrite(data []byte, off int64) string {
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return result(err)
	}
	if h.mem == nil {
		mem, err := unix.Mmap(h.fd, 0, int(min(st.Size, 1<<20)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return result(err)
		}
		h.mem = mem
	}
	if end := min(st.Size, int64(len(h.mem))); off < end {
		copy(h.mem[off:end], data)
	}
	if err := unix.Msync(h.mem, unix.MS_SYNC); err != nil && err != unix.ENOMEM {
		return result(err)
	}
	tm := unix.Timespec{Sec: off, Nsec: 1}
	return result(unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", h.fd), []unix.Timespec{tm, tm}, 0))
}

// holes checks that what SEEK_DATA and SEEK_HOLE call a hole reads as zeros. How
// much of the zeros is called so is the filesystem's own matter.
func holes(fd int) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return result(err)
	}
	for off := int64(0); off < st.Size; {
		data, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			data = st.Size
		} else if err != nil {
			return "SEEK_DATA: " + result(err)
		}
		if bad := nonzero(fd, off, data); bad != "" {
			return bad
		}
		if data == st.Size {
			break
		}
		if off, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil || off < data {
			return fmt.Sprintf("SEEK_HOLE from %d: %d, %s", data, off, result(err))
		}
		if off == data {
			// Allocated and never written: data for as long as the page is cached.
			off = min(data+4096, st.Size)
			if bad := nonzero(fd, data, off); bad != "" {
				return bad
			}
		}
	}
	return "ok"
}

// nonzero says where there is anything but zeros between two places.
func nonzero(fd int, off, end int64) string {
	b := make([]byte, end-off)
	if _, err := unix.Pread(fd, b, off); err != nil {
		return "read of a hole: " + result(err)
	}
	for k, c := range b {
		if c != 0 {
			return fmt.Sprintf("data in a hole, at %d", off+int64(k))
		}
	}
	return ""
}
