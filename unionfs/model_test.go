package unionfs

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "seed of the model test; 0: a few fixed ones")
	modelOps  = flag.Int("model.ops", 600, "operations a run of the model test")
)

// seedTree fills a directory with something of everything.
func seedTree(t testing.TB, root string, r *rand.Rand, n int) {
	t.Helper()
	dirs := []string{"."}
	for i := range n {
		d := dirs[r.IntN(len(dirs))]
		p := filepath.Join(root, d, modelName(r))
		if _, err := os.Lstat(p); err == nil {
			continue
		}
		switch r.IntN(10) {
		case 0, 1, 2:
			must(t, os.Mkdir(p, 0o755))
			rel, _ := filepath.Rel(root, p)
			dirs = append(dirs, rel)
		case 3:
			must(t, os.Symlink(fmt.Sprint("target", i), p))
		case 4:
			must(t, unix.Mkfifo(p, 0o640))
		default:
			must(t, os.WriteFile(p, pattern(r), 0o644))
			must(t, unix.Setxattr(p, "user.seed", []byte{byte(i)}, 0))
			if r.IntN(4) == 0 {
				q := filepath.Join(root, dirs[r.IntN(len(dirs))], modelName(r))
				if _, err := os.Lstat(q); err != nil {
					must(t, os.Link(p, q))
				}
			}
			if r.IntN(4) == 0 {
				must(t, os.Lchown(p, r.IntN(3000), r.IntN(3000)))
			}
		}
	}
}

func pattern(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(20000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func modelName(r *rand.Rand) string { return string(rune('a' + r.IntN(7))) }

func modelPath(r *rand.Rand) string {
	parts := make([]string, 1+r.IntN(4))
	for i := range parts {
		parts[i] = modelName(r)
	}
	return strings.Join(parts, "/")
}

// op is an operation on paths below a root; it returns what a program would see.
type op struct {
	name string
	do   func(root string) error
}

// somePath draws a path, mostly one that exists below root.
func somePath(root string, r *rand.Rand) string {
	if r.IntN(10) < 2 {
		return modelPath(r)
	}
	var all []string
	_ = filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, p); err == nil && rel != "." {
			all = append(all, rel)
		}
		return nil
	})
	if len(all) == 0 {
		return modelPath(r)
	}
	p := all[r.IntN(len(all))]
	if r.IntN(4) == 0 {
		p = filepath.Join(p, modelName(r))
	}
	return p
}

// randomOp draws an operation that is the same on every root that looks like
// this one.
func randomOp(root string, r *rand.Rand) op {
	p, q := somePath(root, r), somePath(root, r)
	if r.IntN(2) == 0 {
		q = modelPath(r)
	}
	data := pattern(r)
	off := int64(r.IntN(30000))
	perm := uint32(r.IntN(0o10000))
	id := r.IntN(3000)
	tm := unix.Timespec{Sec: int64(r.IntN(1 << 30)), Nsec: int64(r.IntN(1e9))}
	at := func(root, p string) string { return filepath.Join(root, p) }
	with := func(root string, flags int, fn func(fd int) error) error {
		fd, err := unix.Open(at(root, p), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return err
		}
		return fn(fd)
	}
	ops := []op{
		{"create " + p, func(root string) error {
			return with(root, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, func(fd int) error { _, err := unix.Write(fd, data); return err })
		}},
		{fmt.Sprintf("write %s at %d+%d", p, off, len(data)), func(root string) error {
			return with(root, unix.O_WRONLY, func(fd int) error { _, err := unix.Pwrite(fd, data, off); return err })
		}},
		{"append " + p, func(root string) error {
			return with(root, unix.O_WRONLY|unix.O_APPEND, func(fd int) error { _, err := unix.Write(fd, data); return err })
		}},
		{"rewrite " + p, func(root string) error {
			return with(root, unix.O_WRONLY|unix.O_TRUNC|unix.O_CREAT, func(fd int) error { _, err := unix.Write(fd, data); return err })
		}},
		{fmt.Sprintf("truncate %s %d", p, off), func(root string) error {
			return with(root, unix.O_WRONLY, func(fd int) error { return unix.Ftruncate(fd, off) })
		}},
		{"mkdir " + p, func(root string) error { return unix.Mkdir(at(root, p), 0o755) }},
		{"rmdir " + p, func(root string) error { return unix.Rmdir(at(root, p)) }},
		{"unlink " + p, func(root string) error { return unix.Unlink(at(root, p)) }},
		{"rm -r " + p, func(root string) error {
			var st unix.Stat_t
			if off > 6000 {
				return nil // not so often
			}
			if err := unix.Lstat(at(root, p), &st); err != nil {
				return err // RemoveAll would open the parent, which may be a fifo
			}
			return os.RemoveAll(at(root, p))
		}},
		{"symlink " + p, func(root string) error { return unix.Symlink(q, at(root, p)) }},
		{"link " + p + " " + q, func(root string) error {
			return unix.Linkat(unix.AT_FDCWD, at(root, p), unix.AT_FDCWD, at(root, q), 0)
		}},
		{"rename " + p + " " + q, func(root string) error { return unix.Rename(at(root, p), at(root, q)) }},
		{"rename-noreplace " + p + " " + q, func(root string) error {
			return unix.Renameat2(unix.AT_FDCWD, at(root, p), unix.AT_FDCWD, at(root, q), unix.RENAME_NOREPLACE)
		}},
		{"exchange " + p + " " + q, func(root string) error {
			return unix.Renameat2(unix.AT_FDCWD, at(root, p), unix.AT_FDCWD, at(root, q), unix.RENAME_EXCHANGE)
		}},
		{fmt.Sprintf("chmod %s %o", p, perm), func(root string) error {
			var st unix.Stat_t
			if err := unix.Lstat(at(root, p), &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
				return err
			}
			return unix.Chmod(at(root, p), perm)
		}},
		{fmt.Sprintf("chown %s %d", p, id), func(root string) error { return unix.Lchown(at(root, p), id, id+1) }},
		{"utimes " + p, func(root string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, at(root, p), []unix.Timespec{tm, tm}, unix.AT_SYMLINK_NOFOLLOW)
		}},
		{"setxattr " + p, func(root string) error { return unix.Lsetxattr(at(root, p), "user.m", data[:min(len(data), 30)], 0) }},
		{"removexattr " + p, func(root string) error { return unix.Lremovexattr(at(root, p), "user.seed") }},
		{"mkfifo " + p, func(root string) error { return unix.Mkfifo(at(root, p), 0o600) }},
		{"mknod " + p, func(root string) error { return unix.Mknod(at(root, p), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }},
		{fmt.Sprintf("punch %s %d", p, off), func(root string) error {
			return with(root, unix.O_RDWR, func(fd int) error {
				return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, 5000)
			})
		}},
		{"copy_file_range " + p + " " + q, func(root string) error {
			return with(root, unix.O_RDONLY, func(src int) error {
				dst, err := unix.Open(at(root, q), unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
				if err != nil {
					return err
				}
				defer unix.Close(dst)
				for {
					n, err := unix.CopyFileRange(src, nil, dst, nil, 7000, 0)
					if n <= 0 {
						return err
					}
				}
			})
		}},
	}
	return ops[r.IntN(len(ops))]
}

// model runs random operations on the union at mnt and on a plain directory.
func model(t *testing.T, mnt, plain string, r *rand.Rand, n int) (log []string) {
	for range n {
		o := randomOp(plain, r)
		want, got := o.do(plain), o.do(mnt)
		log = append(log, fmt.Sprintf("%s: %v", o.name, want))
		if !sameError(want, got) {
			t.Fatalf("%s: plain %v, union %v; before:\n%s", o.name, want, got, strings.Join(tail(log, 40), "\n"))
		}
	}
	return log
}

func tail(s []string, n int) []string { return s[max(0, len(s)-n):] }

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var x, y unix.Errno
	return asErrno(a, &x) && asErrno(b, &y) && (x == y ||
		(x == unix.ENOTEMPTY || x == unix.EEXIST) && (y == unix.ENOTEMPTY || y == unix.EEXIST))
}

func asErrno(err error, e *unix.Errno) bool {
	for {
		if x, ok := err.(unix.Errno); ok {
			*e = x
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
}

func modelSeeds() []uint64 {
	if *modelSeed != 0 {
		return []uint64{*modelSeed}
	}
	return []uint64{1, 2, 3}
}

// TestModel does the same random operations on unions and on a plain directory
// and compares: what every call returns, the trees in full, again after a
// remount, and, for plain lowers, as the kernel's overlayfs sees the upper.
func TestModel(t *testing.T) {
	needMount(t)
	for _, kind := range []string{"packed", "dirs"} {
		for _, seed := range modelSeeds() {
			t.Run(fmt.Sprintf("%s/%d", kind, seed), func(t *testing.T) { runModel(t, kind, seed) })
		}
	}
}

func runModel(t *testing.T, kind string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	dir := scratch(t)
	low, plain, up, work := dir+"/low", dir+"/plain", dir+"/upper", dir+"/work"
	mkdirs(t, low, plain, up, work, dir+"/pk")
	seedTree(t, low, r, 60)
	run(t, "cp", "-a", low+"/.", plain)
	before := snapshot(t, low, snapshotOptions{ino: true, mtime: true})
	open := func() Options { return Options{LowerDirs: []string{low}} }
	if kind == "packed" {
		open = pack(t, dir+"/pk", low)
	}
	cmpOpts := snapshotOptions{}
	for round := range 3 {
		o := open()
		o.Upper, o.Work = up, work
		mnt, srv := mount(t, o, MountOptions{AllowOther: true, Transport: []Transport{Loop{}, GoFuse{}}[round%2]})
		sameTree(t, fmt.Sprintf("at mount %d", round), snapshot(t, plain, cmpOpts), snapshot(t, mnt, cmpOpts))
		log := model(t, mnt, plain, r, *modelOps)
		live := snapshot(t, mnt, snapshotOptions{ino: true})
		sameTree(t, fmt.Sprintf("after round %d", round), snapshot(t, plain, cmpOpts), snapshot(t, mnt, cmpOpts))
		must(t, srv.Unmount())
		if t.Failed() {
			t.Fatal(strings.Join(tail(log, 1000), "\n"))
		}
		o = open()
		o.Upper, o.Work = up, work
		mnt, srv = mount(t, o, MountOptions{AllowOther: true})
		sameTree(t, "inode numbers after a remount", live, snapshot(t, mnt, snapshotOptions{ino: true}))
		must(t, srv.Unmount())
		if t.Failed() {
			t.Fatal(strings.Join(tail(log, 1000), "\n"))
		}
	}
	sameTree(t, "lower", before, snapshot(t, low, snapshotOptions{ino: true, mtime: true}))
	kernelSees(t, low, up, dir+"/kwork", plain)
}

// kernelSees mounts an upper directory with the kernel's overlayfs.
func kernelSees(t *testing.T, low, up, work, plain string) {
	t.Helper()
	merged := work + ".merged"
	mkdirs(t, work, merged)
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on", low, up, work)
	if err := unix.Mount("overlay", merged, "overlay", 0, opts); err != nil {
		t.Skipf("needs the kernel's overlayfs: %v", err)
	}
	o := snapshotOptions{noLinks: true}
	got := snapshot(t, merged, o)
	must(t, unix.Unmount(merged, 0))
	sameTree(t, "as the kernel's overlayfs sees it", snapshot(t, plain, o), got)
}

// TestKernelUpper lets the kernel's overlayfs write an upper directory with
// random operations and mounts the union on it.
func TestKernelUpper(t *testing.T) {
	needMount(t)
	for _, seed := range modelSeeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			dir := scratch(t)
			low, up, work, merged := dir+"/low", dir+"/upper", dir+"/work", dir+"/merged"
			mkdirs(t, low, up, work, merged)
			seedTree(t, low, r, 60)
			opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on", low, up, work)
			if err := unix.Mount("overlay", merged, "overlay", 0, opts); err != nil {
				t.Skipf("needs the kernel's overlayfs: %v", err)
			}
			for range *modelOps {
				o := randomOp(merged, r)
				_ = o.do(merged)
			}
			want := snapshot(t, merged, snapshotOptions{mtime: true})
			must(t, unix.Unmount(merged, 0))
			os.RemoveAll(work)
			mkdirs(t, work)
			mnt, srv := mount(t, Options{LowerDirs: []string{low}, Upper: up, Work: work}, MountOptions{AllowOther: true})
			sameTree(t, "union on a kernel upper", want, snapshot(t, mnt, snapshotOptions{mtime: true}))
			must(t, srv.Unmount())
		})
	}
}
