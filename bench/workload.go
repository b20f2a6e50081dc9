package bench

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readSize is how much one read(2) asks for, in bytes, as cat and cp do.
const readSize = 128 << 10

// A Workload does one thing to a tree, given by a descriptor of its root, and
// counts its operations.
type Workload struct {
	Name string
	Do   func(root int, p Paths) (ops int, err error)
}

// ReadAll reads every file as tar and grep -r do, finding them on the way.
var ReadAll = Workload{"read all", readTree}

// Time runs a workload once on the tree at root.
func (w Workload) Time(root string, p Paths) (time.Duration, int, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	ops, err := w.Do(fd, p)
	d := time.Since(start)
	if err != nil {
		return 0, 0, fmt.Errorf("%s in %s: %w", w.Name, root, err)
	}
	return d, ops, nil
}

// The drivers below call the kernel without the Go scheduler's bookkeeping
// (RawSyscall): this goroutine is alone, and a tenth of a microsecond a call
// would be a tenth of what is measured.

// openReadClose reads every file to its end.
func openReadClose(root int, p Paths) (int, error) {
	buf := make([]byte, readSize)
	for _, name := range p.Files {
		if err := readFile(root, name, buf); err != nil {
			return 0, err
		}
	}
	return len(p.Files), nil
}

// readFile reads the file of a name, which ends with a NUL, to its end.
func readFile(dir int, name, buf []byte) error {
	fd, _, e := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("open %q: %w", name, e)
	}
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		if e != 0 {
			return fmt.Errorf("read %q: %w", name, e)
		}
		if n == 0 {
			break
		}
	}
	if _, _, e := unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0); e != 0 {
		return fmt.Errorf("close %q: %w", name, e)
	}
	return nil
}

// statAll calls lstat on every path.
func statAll(root int, p Paths) (int, error) {
	var st unix.Stat_t
	for _, name := range p.All {
		_, _, e := unix.RawSyscall6(unix.SYS_NEWFSTATAT, uintptr(root), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
		if e != 0 {
			return 0, fmt.Errorf("stat %q: %w", name, e)
		}
	}
	return len(p.All), nil
}

// walkTree lists every directory and calls lstat on every name, as find -ls
// does, with no knowledge of the tree.
func walkTree(root int, p Paths) (int, error) { return walk(root, p, nil) }

// readTree walks the tree and reads every file it meets.
func readTree(root int, p Paths) (int, error) { return walk(root, p, make([]byte, readSize)) }

func walk(root int, p Paths, data []byte) (int, error) {
	w := walkState{buf: make([][]byte, 0, 64), data: data}
	if err := w.dir(root, 0); err != nil {
		return 0, err
	}
	if w.seen != len(p.All) {
		return 0, fmt.Errorf("found %d paths, there are %d", w.seen, len(p.All))
	}
	return w.seen, nil
}

type walkState struct {
	buf  [][]byte // of getdents64, one a depth
	data []byte   // to read files into; nil: they are not read
	st   unix.Stat_t
	seen int
}

func (w *walkState) dir(fd, depth int) error {
	if len(w.buf) == depth {
		w.buf = append(w.buf, make([]byte, 32<<10))
	}
	buf := w.buf[depth]
	for {
		n, _, e := unix.RawSyscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		if e != 0 {
			return fmt.Errorf("getdents: %w", e)
		}
		if n == 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > 0; {
			d := (*unix.Dirent)(unsafe.Pointer(&rest[0]))
			name := rest[unsafe.Offsetof(d.Name):d.Reclen]
			rest = rest[d.Reclen:]
			if name[0] == '.' && (name[1] == 0 || name[1] == '.' && name[2] == 0) {
				continue
			}
			if err := w.name(fd, depth, name); err != nil {
				return err
			}
		}
	}
}

func (w *walkState) name(dir, depth int, name []byte) error {
	_, _, e := unix.RawSyscall6(unix.SYS_NEWFSTATAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&w.st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	if e != 0 {
		return fmt.Errorf("stat %q: %w", name, e)
	}
	w.seen++
	switch w.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
	case unix.S_IFREG:
		if w.data == nil {
			return nil
		}
		return readFile(dir, name, w.data)
	default:
		return nil
	}
	sub, _, e := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("open %q: %w", name, e)
	}
	err := w.dir(int(sub), depth+1)
	if _, _, e := unix.RawSyscall(unix.SYS_CLOSE, sub, 0, 0); e != 0 && err == nil {
		err = e
	}
	return err
}
