package torture

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// single is an operation that has one effect, so that there is a before and an
// after and, but for data, nothing in between.
type single struct {
	op
	paths []string // where it has an effect
	data  []byte   // of a write, which may end early
	off   int64
}

// writes tells whether the file's data or size changes, in more than one step.
func (o *single) writes() bool {
	return o.data != nil || strings.HasPrefix(o.name, "truncate")
}

// randomSingle draws one that is the same on every side that looks like plain.
func randomSingle(plain *side, r *rand.Rand) single {
	p, q := somePath(plain.root, r), somePath(plain.root, r)
	on := func(name string, fn func(p string) error) single {
		return single{op: op{name + " " + p, func(s *side) string { return result(fn(s.at(p))) }}, paths: []string{p}}
	}
	two := func(name string, fn func(p, q string) error) single {
		return single{op: op{name + " " + p + " " + q, func(s *side) string { return result(fn(s.at(p), s.at(q))) }}, paths: []string{p, q}}
	}
	rename := func(name string, flags uint) single {
		return two(name, func(p, q string) error { return unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, q, flags) })
	}
	perm, id, tm, value := uint32(r.IntN(0o2000)), r.IntN(3000), randomTime(r), pattern(r)
	switch k := r.IntN(34); {
	case k < 7:
		return writeOp(plain, p, r)
	case k < 9:
		size := r.Int64N(1 << 21 >> r.IntN(8))
		return on(fmt.Sprint("truncate to ", size, ":"), func(p string) error {
			// Not of a FIFO, and not by way of a symlink.
			fd, err := unix.Open(p, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Ftruncate(fd, size)
		})
	case k < 11:
		return readOp(p)
	case k < 14:
		if dirs, all := survey(plain.root); all >= 12 && len(dirs) > 0 {
			return removeOp(plain, dirs[r.IntN(len(dirs))], r)
		}
		if p = filepath.Join(filepath.Dir(p), randomName(r)); k == 11 { // the tree is to stay one
			return on("mkdir", func(p string) error { return unix.Mkdir(p, 0o755) })
		}
		return on("create", create)
	}
	sync := func(p string) error {
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsync(fd)
	}
	ops := []single{
		on("create", create),
		on("mkdir", func(p string) error { return unix.Mkdir(p, 0o755) }),
		on("rmdir", unix.Rmdir),
		on("unlink", unix.Unlink),
		on("symlink", func(p string) error { return unix.Symlink(q, p) }),
		on("mkfifo", func(p string) error { return unix.Mkfifo(p, 0o600) }),
		two("link", func(p, q string) error { return unix.Linkat(unix.AT_FDCWD, p, unix.AT_FDCWD, q, 0) }),
		rename("rename", 0), rename("rename", 0), rename("rename", 0), rename("noreplace", unix.RENAME_NOREPLACE), rename("exchange", unix.RENAME_EXCHANGE),
		on(fmt.Sprintf("chmod %o", perm), func(p string) error {
			return unix.Fchmodat(unix.AT_FDCWD, p, perm, unix.AT_SYMLINK_NOFOLLOW)
		}),
		on(fmt.Sprint("chown ", id), func(p string) error { return unix.Lchown(p, id, id+1) }),
		on("utimes", func(p string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{tm, tm}, unix.AT_SYMLINK_NOFOLLOW)
		}),
		on("setxattr", func(p string) error { return unix.Lsetxattr(p, "user.m", value[:min(len(value), 500)], 0) }),
		on("removexattr", func(p string) error { return unix.Lremovexattr(p, "user.seed") }),
		on("fsync", sync),
	}
	return ops[r.IntN(len(ops))]
}

// writeOp writes somewhere in a file or behind its end.
func writeOp(plain *side, p string, r *rand.Rand) single {
	var st unix.Stat_t
	_ = unix.Lstat(plain.at(p), &st)
	data, off := pattern(r), r.Int64N(st.Size+5000)
	if r.IntN(5) == 0 {
		data = append(data, make([]byte, r.IntN(200_000))...)
	}
	return single{paths: []string{p}, data: data, off: off, op: op{fmt.Sprintf("write %s %d+%d", p, off, len(data)), func(s *side) string {
		n := 0
		out := withFile(s.at(p), unix.O_WRONLY, func(fd int) (err error) { n, err = unix.Pwrite(fd, data, off); return err })
		return fmt.Sprintf("%d %s", max(n, 0), out)
	}}}
}

// readOp has no effect; it sees what others had.
func readOp(p string) single {
	return single{op: op{"read " + p, func(s *side) string {
		var sum [32]byte
		out := withFile(s.at(p), unix.O_RDONLY, func(int) error {
			b, err := os.ReadFile(s.at(p))
			sum = sha256.Sum256(b)
			return err
		})
		return fmt.Sprintf("%s %x", out, sum[:8])
	}}}
}

func create(p string) error {
	fd, err := unix.Open(p, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o640)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// survey returns the directories of a tree and how many names it has.
func survey(root string) (dirs []string, all int) {
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, p); err == nil && rel != "." {
			if all++; d.IsDir() {
				dirs = append(dirs, rel)
			}
		}
		return nil
	})
	return dirs, all
}

// removeOp takes the directory p away, or if it isn't empty something in it, so
// that directories of the lower come to be removed too.
func removeOp(plain *side, p string, r *rand.Rand) single {
	for {
		es, _ := os.ReadDir(plain.at(p))
		if len(es) == 0 {
			break
		}
		e := es[r.IntN(len(es))]
		p = filepath.Join(p, e.Name())
		if !e.IsDir() {
			return single{op: op{"unlink " + p, func(s *side) string { return result(unix.Unlink(s.at(p))) }}, paths: []string{p}}
		}
	}
	return single{op: op{"rmdir " + p, func(s *side) string { return result(unix.Rmdir(s.at(p))) }}, paths: []string{p}}
}

// halfDone gives the plain side that part of a write that the union has, which
// must be a beginning of it.
func (o *single) halfDone(plain, live *side) {
	if o.data == nil {
		return
	}
	var b []byte
	withFile(live.at(o.paths[0]), unix.O_RDONLY, func(int) (err error) { b, err = os.ReadFile(live.at(o.paths[0])); return err })
	if int64(len(b)) < o.off {
		return
	}
	n := 0
	for b = b[o.off:]; n < min(len(b), len(o.data)) && b[n] == o.data[n]; {
		n++
	}
	if n == 0 {
		return
	}
	withFile(plain.at(o.paths[0]), unix.O_RDWR, func(fd int) error {
		was := make([]byte, n)
		if m, err := unix.Pread(fd, was, o.off); err == nil && bytes.Equal(was[:m], o.data[:n]) {
			return nil // the bytes are the same by chance: nothing was written
		}
		_, err := unix.Pwrite(fd, o.data[:n], o.off)
		return err
	})
}

// concerned are the names whose times an operation may change when it is begun and
// not finished: of the directories above the names it is about, into which copies
// are put, of a file that is to be written to, and (on XFS) of what is renamed.
func (o *single) concerned(want *treediff.Record) (all []string) {
	for _, p := range o.paths {
		names := []string{p}
		if e, ok := want.Lookup(p); ok && e.Group != "" {
			for _, x := range want.Entries {
				if x.Group == e.Group {
					names = append(names, x.Path)
				}
			}
		}
		for _, name := range names {
			if renamed := strings.HasPrefix(o.name, "rename") || strings.HasPrefix(o.name, "noreplace"); !renamed && !o.writes() {
				name = filepath.Dir(name)
			}
			for ; name != "."; name = filepath.Dir(name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// forgive makes the times of those names new on the plain side that are new in
// the union. The kernel, who doesn't know it of a failed operation, is made to ask.
func (o *single) forgive(t testing.TB, plain, live *side) {
	t.Helper()
	want, err := treediff.Walk(plain.root, treediff.Options{NoContent: true})
	must(t, err)
	for _, name := range o.concerned(want) {
		w, ok := want.Lookup(name)
		var st unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, live.at(name), unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st)
		if ok && err == nil && w.Sec < ancient && st.Mtime.Sec >= ancient {
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, plain.at(name), nil, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
}

// settle finds out whether an operation that was begun on the live side took
// place there, does it on the plain side if so, and returns how they differ.
func (o *single) settle(t testing.TB, plain, live *side) string {
	t.Helper()
	look := func() string {
		o.forgive(t, plain, live)
		return differences(record(t, plain.root), record(t, live.root))
	}
	o.halfDone(plain, live)
	without := look()
	if without == "" {
		return ""
	}
	o.do(plain)
	with := look()
	if with == "" {
		return ""
	}
	return fmt.Sprintf("neither as before nor as after: %s\nif it had not taken place:\n%s\nif it had:\n%s", o.name, without, with)
}
