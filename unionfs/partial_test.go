package unionfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
)

// partialBed is a lower with large files, and a place for an upper.
type partialBed struct {
	low, up, mnt string
	opts         Options
	fs           *FS
	srv          *Server
}

const bigSize = 1<<20 + 777

func newPartialBed(t *testing.T, dir string) *partialBed {
	needMount(t)
	b := &partialBed{low: filepath.Join(dir, "low"), up: filepath.Join(dir, "over"), mnt: t.TempDir()}
	mkdirs(t, filepath.Join(b.low, "d"), filepath.Join(b.up, "up"), filepath.Join(b.up, "work"))
	b.opts = Options{LowerDirs: []string{b.low}, Upper: filepath.Join(b.up, "up"), Work: filepath.Join(b.up, "work")}
	return b
}

// big writes a lower file with a hole in it and returns what it holds.
func (b *partialBed) big(t *testing.T, name string) []byte {
	data := make([]byte, bigSize)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	clear(data[300<<10 : 420<<10])
	f, err := os.Create(filepath.Join(b.low, name))
	must(t, err)
	defer f.Close()
	_, err = f.Write(data[:300<<10])
	must(t, err)
	_, err = f.WriteAt(data[420<<10:], 420<<10)
	must(t, err)
	return data
}

func (b *partialBed) mount(t *testing.T) {
	t.Helper()
	fs, err := New(b.opts)
	must(t, err)
	srv, err := Mount(fs, b.mnt, MountOptions{AllowOther: true})
	must(t, err)
	b.fs, b.srv = fs, srv
	t.Cleanup(func() { b.umount(t) })
}

func (b *partialBed) umount(t *testing.T) {
	t.Helper()
	if b.srv != nil {
		must(t, b.srv.Unmount())
		b.srv = nil
	}
}

func (b *partialBed) upBlocks(t *testing.T, name string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(filepath.Join(b.opts.Upper, name), &st))
	return st.Blocks * 512
}

// kernelSees mounts the kernel's overlay on the same directories and calls fn.
func (b *partialBed) kernelSees(t *testing.T, fn func(root string)) {
	t.Helper()
	b.umount(t)
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on,metacopy=on,index=off", b.low, b.opts.Upper, b.opts.Work)
	must(t, unix.Mount("overlay", b.mnt, "overlay", unix.MS_RDONLY, opts))
	defer func() { must(t, unix.Unmount(b.mnt, 0)) }()
	fn(b.mnt)
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	} else if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s: %d bytes, want %d; they differ at %d", path, len(got), len(want), at)
	}
}

// TestMetacopy: what changes attributes or names copies no data; the kernel's
// overlay shows the same; options turn it off.
func TestMetacopy(t *testing.T) {
	for name, change := range map[string]func(p string) error{
		"chmod":  func(p string) error { return os.Chmod(p, 0o600) },
		"chown":  func(p string) error { return os.Lchown(p, 7, 8) },
		"utimes": func(p string) error { return unix.UtimesNano(p, []unix.Timespec{{Sec: 3}, {Sec: 5}}) },
		"xattr":  func(p string) error { return unix.Setxattr(p, "user.a", []byte("b"), 0) },
		"link":   func(p string) error { return os.Link(p, p+"2") },
		"rename": func(p string) error {
			if err := os.Rename(p, p+"2"); err != nil {
				return err
			}
			return os.Link(p+"2", p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newPartialBed(t, scratch(t))
			want := b.big(t, "d/f")
			b.mount(t)
			must(t, change(filepath.Join(b.mnt, "d/f")))
			same(t, filepath.Join(b.mnt, "d/f"), want)
			if got := b.upBlocks(t, "d/f"); got > 64<<10 {
				t.Errorf("%d bytes of data were copied", got)
			}
			b.umount(t)
			b.mount(t)
			same(t, filepath.Join(b.mnt, "d/f"), want)
			b.kernelSees(t, func(root string) { same(t, filepath.Join(root, "d/f"), want) })
			b.mount(t)
			must(t, b.fs.Complete(context.Background(), true))
			same(t, filepath.Join(b.opts.Upper, "d/f"), want)
			b.umount(t)

			off := newPartialBed(t, scratch(t))
			off.big(t, "d/f")
			off.opts.NoMetacopy = true
			off.mount(t)
			must(t, change(filepath.Join(off.mnt, "d/f")))
			same(t, filepath.Join(off.opts.Upper, "d/f"), want)
		})
	}
}

// TestPartialWrite: a write copies the units it touches; the kernel's overlay
// refuses the file until it is complete, and then shows it; its times stay.
func TestPartialWrite(t *testing.T) {
	b := newPartialBed(t, scratch(t))
	want := b.big(t, "d/f")
	b.mount(t)
	f, err := os.OpenFile(filepath.Join(b.mnt, "d/f"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("hello"), 500_000)
	must(t, err)
	copy(want[500_000:], "hello")
	same(t, f.Name(), want)
	if got := b.upBlocks(t, "d/f"); got > 64<<10 {
		t.Errorf("%d bytes of data were copied", got)
	}
	before, err := f.Stat()
	must(t, err)
	must(t, f.Close())
	b.kernelSees(t, func(root string) {
		if _, err := os.ReadFile(filepath.Join(root, "d/f")); !errors.Is(err, unix.EIO) {
			t.Errorf("the kernel's overlay reads a file that lacks data: %v; want EIO", err)
		}
	})
	b.mount(t)
	same(t, filepath.Join(b.mnt, "d/f"), want)
	must(t, b.fs.Complete(context.Background(), false))
	same(t, filepath.Join(b.mnt, "d/f"), want)
	after, err := os.Stat(filepath.Join(b.mnt, "d/f"))
	must(t, err)
	if !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("completing changed the time from %v to %v", before.ModTime(), after.ModTime())
	}
	b.kernelSees(t, func(root string) { same(t, filepath.Join(root, "d/f"), want) })
	b.opts.NoPartial = true
	os.Remove(filepath.Join(b.opts.Upper, "d/f"))
	b.mount(t)
	must(t, os.Chmod(filepath.Join(b.mnt, "d/f"), 0o600))
	f, err = os.OpenFile(filepath.Join(b.mnt, "d/f"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("hello"), 500_000)
	must(t, err)
	must(t, f.Close())
	same(t, filepath.Join(b.opts.Upper, "d/f"), want)
}

// TestPartialGround compares a file that lacks data with a plain buffer under
// random operations and remounts, on the filesystems that an upper may lie on.
func TestPartialGround(t *testing.T) {
	needMount(t)
	grounds := map[string]func(t *testing.T) string{"memory": func(t *testing.T) string { return scratch(t) }}
	for _, g := range []string{"ext4", "xfs", "btrfs"} {
		grounds[g] = func(t *testing.T) string { return testenv.LoopFS(t, g, 1<<30) }
	}
	for name, ground := range grounds {
		t.Run(name, func(t *testing.T) {
			b := newPartialBed(t, scratch(t))
			g := ground(t)
			b.opts.Upper, b.opts.Work = filepath.Join(g, "up"), filepath.Join(g, "work")
			mkdirs(t, b.opts.Upper, b.opts.Work)
			var files [][]byte
			for i := range 4 {
				files = append(files, b.big(t, fmt.Sprint("f", i)))
			}
			b.mount(t)
			if !b.fs.upper.partial {
				t.Fatal("partial copy-up is off")
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			for i := range files {
				for step := range 120 {
					p := filepath.Join(b.mnt, fmt.Sprint("f", i))
					did := partialStep(t, rnd, p, &files[i])
					if rnd.IntN(15) == 0 {
						b.umount(t)
						b.mount(t)
						did += ", remount"
					}
					if same(t, p, files[i]); t.Failed() {
						t.Fatalf("file %d step %d: %s", i, step, did)
					}
				}
			}
			must(t, b.fs.Complete(context.Background(), true))
			for i := range files {
				same(t, filepath.Join(b.opts.Upper, fmt.Sprint("f", i)), files[i])
			}
			b.umount(t)
		})
	}
}

// partialStep does one random operation to the file and to the buffer. Mappings
// are left to internal/torture: a process that serves must not fault on its own mount.
func partialStep(t *testing.T, rnd *rand.Rand, p string, buf *[]byte) string {
	t.Helper()
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	size := int64(len(*buf))
	off := rnd.Int64N(size + 20_000)
	n := 1 + rnd.Int64N(int64(1)<<rnd.IntN(18))
	if rnd.IntN(3) == 0 {
		off, n = off&^4095, (n+4095)&^4095
	}
	grow := func(to int64) {
		if to > int64(len(*buf)) {
			*buf = append(*buf, make([]byte, to-int64(len(*buf)))...)
		}
	}
	switch op := rnd.IntN(13); op {
	default:
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		_, err := f.WriteAt(data, off)
		must(t, err)
		grow(off + n)
		copy((*buf)[off:], data)
		return fmt.Sprintf("write %d at %d", n, off)
	case 0:
		to := off
		if rnd.IntN(4) > 0 {
			to = max(1, size-rnd.Int64N(5000))
		}
		must(t, f.Truncate(to))
		grow(to)
		*buf = (*buf)[:to]
		return fmt.Sprintf("truncate to %d", to)
	case 1:
		must(t, unix.Fallocate(fd, 0, off, n))
		grow(off + n)
		return fmt.Sprintf("allocate %d at %d", n, off)
	case 2:
		if rnd.IntN(6) > 0 {
			return "nothing"
		}
		must(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n))
		if off < size {
			clear((*buf)[off:min(size, off+n)])
		}
		return fmt.Sprintf("punch %d at %d", n, off)
	case 3:
		src := rnd.Int64N(max(1, size/2))
		n = min(n, size/4)
		off = min(off, size)
		if src < off+n && off < src+n || n == 0 {
			return "nothing"
		}
		so, do := src, off
		done, err := unix.CopyFileRange(fd, &so, fd, &do, int(n), 0)
		must(t, err)
		grow(off + int64(done))
		copy((*buf)[off:off+int64(done)], (*buf)[src:])
		return fmt.Sprintf("copy %d from %d to %d", done, src, off)
	case 4:
		for at := int64(0); ; {
			data, err := unix.Seek(fd, at, unix.SEEK_DATA)
			if err == unix.ENXIO {
				data = size
			} else {
				must(t, err)
			}
			if i := bytes.IndexFunc((*buf)[at:data], func(r rune) bool { return r != 0 }); i >= 0 {
				t.Fatalf("seek: a hole from %d to %d has data at %d", at, data, at+int64(i))
			}
			if data == size {
				return "seek"
			}
			if at, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil {
				t.Fatal(err)
			}
			if at == size {
				return "seek"
			}
		}
	}
}

// TestPartialUnlinked: a file without a name that is then written to keeps what
// it has below.
func TestPartialUnlinked(t *testing.T) {
	b := newPartialBed(t, scratch(t))
	want := b.big(t, "f")
	b.mount(t)
	f, err := os.OpenFile(filepath.Join(b.mnt, "f"), os.O_RDWR, 0)
	must(t, err)
	must(t, os.Remove(f.Name()))
	_, err = f.WriteAt([]byte("late"), 9000)
	must(t, err)
	copy(want[9000:], "late")
	got, err := io.ReadAll(io.NewSectionReader(f, 0, bigSize*2))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("an unlinked file lost what is below")
	}
	must(t, f.Close())
}
