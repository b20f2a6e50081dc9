package layersout

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/internal/treediff"
	"github.com/cfs-project/cfs/layerpack"
)

// capability is cap_net_bind_service=ep (linux/capability.h, revision 2).
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// big is large enough to be copied up by blocks.
const big = 300 << 10

// acl is u::rw-, u:1000:rwx, g::r--, m::rwx, o::--- (linux/posix_acl_xattr.h).
const acl = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xe8\x03\x00\x00" +
	"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

// base is two layers with something of everything in a small name space.
func base() []cowtest.Layer {
	pattern := strings.Repeat("0123456789abcde\n", big/16)
	return []cowtest.Layer{
		{
			cowtest.Dir("a"), cowtest.File("a/b", "b of a"), cowtest.File("a/big", pattern).Own(1000, 1000).Perm(0o600),
			cowtest.Dir("a/c"), cowtest.File("a/c/a", "deep"), cowtest.File("a/c/caps", "c").Perm(0o755).Xattr("security.capability", capability),
			cowtest.Dir("b"), cowtest.File("b/b", "twin"), cowtest.Hardlink("b/c", "b/b"), cowtest.Hardlink("c", "b/b"),
			cowtest.Symlink("b/a", "../a/b"), cowtest.Device("b/null", 1, 3), cowtest.Fifo("b/fifo"),
			cowtest.Dir("d").Own(7, 8).Perm(0o1777).Xattr("user.dir", "x"), cowtest.File("d/big", pattern).Xattr("user.some", "v\x00"),
			cowtest.Dir("d/d"), cowtest.Dir("d/d/d"), cowtest.File("d/d/d/a", "far below"), cowtest.File("d/d/d/big", pattern[:big/2]),
			cowtest.File("gone", ""), cowtest.File("\xff\xfe", "no UTF-8"),
		},
		{
			cowtest.Whiteout("gone"), cowtest.File("a/top", "second layer").At(time.Unix(1_500_000_000, 123456789)),
			cowtest.Dir("d/d"), cowtest.File("d/d/c", "c"), cowtest.Opaque("a/c"), cowtest.Dir("a/c"), cowtest.File("a/c/b", "new below an opaque one"),
		},
	}
}

// player does random operations; each may fail.
type player struct {
	*rand.Rand
	root string
	did  []string
}

func (p *player) path() string {
	names := []string{"a", "b", "c", "d", "big", "\xff\xfe"}
	s := names[p.IntN(len(names))]
	for p.IntN(3) > 0 && len(s) < 8 {
		s += "/" + names[p.IntN(len(names))]
	}
	return s
}

// existing is a path that is there, most of the time.
func (p *player) existing() string {
	for range 20 {
		s := p.path()
		var st unix.Stat_t
		if unix.Lstat(p.root+"/"+s, &st) == nil {
			return s
		}
	}
	return p.path()
}

func (p *player) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(p.Uint32())
	}
	return b
}

// write opens a regular file and hands it to fn.
func (p *player) write(name string, flags int, fn func(f *os.File) error) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return fmt.Errorf("not regular: %v", err)
	}
	return fn(f)
}

func (p *player) step() {
	s := p.existing()
	at := p.root + "/" + s
	var name string
	var err error
	switch p.IntN(22) {
	case 0, 1:
		s = p.path()
		at = p.root + "/" + s
		name, err = "create "+s, p.write(at, os.O_CREATE|os.O_EXCL, func(f *os.File) error { _, err := f.Write(p.bytes(p.IntN(3000))); return err })
	case 2:
		off := int64(p.IntN(big + big/2))
		name = fmt.Sprintf("write %s at %d", s, off)
		err = p.write(at, 0, func(f *os.File) error { _, err := f.WriteAt(p.bytes(1+p.IntN(9000)), off); return err })
	case 3:
		size := int64(p.IntN(2 * big))
		name = fmt.Sprintf("truncate %s to %d", s, size)
		err = p.write(at, 0, func(f *os.File) error { return f.Truncate(size) })
	case 4:
		off, n := int64(p.IntN(big)), int64(1+p.IntN(big/2))
		name = fmt.Sprintf("punch %s at %d, %d", s, off, n)
		err = p.write(at, 0, func(f *os.File) error {
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		})
	case 5:
		name = "replace " + s
		err = p.write(at, os.O_TRUNC, func(f *os.File) error { _, err := f.Write(p.bytes(p.IntN(100))); return err })
	case 6:
		mode := uint32(0o600 | p.IntN(0o200) | p.IntN(8)<<9)
		name = fmt.Sprintf("chmod %o %s", mode, s)
		err = unix.Fchmodat(unix.AT_FDCWD, at, mode, unix.AT_SYMLINK_NOFOLLOW)
	case 7:
		name, err = "chown "+s, unix.Lchown(at, p.IntN(3)*1000, 3000000*p.IntN(2))
	case 8:
		name, err = "setxattr "+s, unix.Lsetxattr(at, "user.k"+string('a'+byte(p.IntN(3))), p.bytes(p.IntN(20)), 0)
	case 9:
		name, err = "removexattr "+s, unix.Lremovexattr(at, []string{"user.some", "user.dir", "user.ka", "security.capability"}[p.IntN(4)])
	case 10:
		name, err = "setcap "+s, unix.Lsetxattr(at, "security.capability", []byte(capability), 0)
	case 11:
		name, err = "setfacl "+s, unix.Lsetxattr(at, "system.posix_acl_access", []byte(acl), 0)
	case 12, 13:
		to := p.path()
		name, err = "rename "+s+" "+to, unix.Rename(at, p.root+"/"+to)
	case 14:
		to := p.existing()
		name, err = "exchange "+s+" "+to, unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, p.root+"/"+to, unix.RENAME_EXCHANGE)
	case 15:
		to := p.path()
		name, err = "link "+s+" "+to, unix.Link(at, p.root+"/"+to)
	case 16:
		s = p.path()
		name, err = "symlink "+s, unix.Symlink(strings.Repeat("t/", 1+p.IntN(70)), p.root+"/"+s)
	case 17:
		s = p.path()
		name, err = "mkdir "+s, unix.Mkdir(p.root+"/"+s, 0o750)
	case 18:
		s = p.path()
		switch p.IntN(3) {
		case 0:
			name, err = "mkfifo "+s, unix.Mkfifo(p.root+"/"+s, 0o640)
		case 1:
			name, err = "mknod "+s, unix.Mknod(p.root+"/"+s, unix.S_IFBLK|0o660, int(unix.Mkdev(uint32(p.IntN(4096)), uint32(1+p.IntN(1<<20-1)))))
		default:
			name, err = "mknod socket "+s, unix.Mknod(p.root+"/"+s, unix.S_IFSOCK|0o755, 0)
		}
	case 19:
		name, err = "unlink "+s, unix.Unlink(at)
	case 20:
		if p.IntN(2) == 0 {
			name, err = "rm -r "+s, os.RemoveAll(at)
		} else {
			name, err = "rmdir "+s, unix.Rmdir(at)
		}
	case 21:
		ts := []unix.Timespec{{Sec: 1}, {Sec: p.Int64N(1<<34) - 1<<33, Nsec: p.Int64N(1e9)}}
		if p.IntN(2) == 0 {
			ts[1].Nsec = 0
		}
		name, err = "touch "+s, unix.UtimesNanoAt(unix.AT_FDCWD, at, ts, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		p.did = append(p.did, name)
	}
}

// TestRandomChanges: after random operations on a mount the container and the
// image with its layer on top are the same tree, whatever the driver.
func TestRandomChanges(t *testing.T) {
	needRoot(t)
	for seed := range uint64(16) {
		dir := t.TempDir()
		c := chainOf(t, dir, base()...)
		for name, drv := range drivers(dir) {
			if !t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { randomChanges(t, name, drv, dir, c, seed, treediff.Ignore{}) }) {
				return
			}
		}
	}
}

func randomChanges(t *testing.T, name string, drv cow.Driver, dir string, c cow.Chain, seed uint64, ign treediff.Ignore) {
	box := start(t, drv, dir, c)
	p := &player{Rand: rand.New(rand.NewPCG(seed, 3)), root: box.root}
	steps := 10 + int(seed)*10
	for i := range steps {
		p.step()
		if i == steps/2 {
			box.remount(t)
		}
	}
	want := walk(t, box.root)
	if seed%2 == 0 {
		must(t, box.m.Unmount())
	}
	tar, _, listed := layer(t, drv.Diff(t.Context(), box.snap), layerpack.WriteOptions{DirTimes: true})
	got := view(t, dir, chain(t, dir, append(c.Layers[:len(c.Layers):len(c.Layers)], pack(t, dir, tar))...))
	if name == "overlay2" {
		ign.Nlink = true // counts names that are gone
	}
	same(t, linksAsKept(name, want, got), got, listed, ign)
	if t.Failed() {
		t.Logf("%d operations:\n%q", len(p.did), p.did)
	}
	lists(t, drv.Changes(t.Context(), box.snap), listed)
}

// linksAsKept is want with the hard links that the kernel's overlay has parted:
// copied up and unchanged, a file is not listed, and stays linked below.
func linksAsKept(driver string, want, got *treediff.Record) *treediff.Record {
	if driver != "overlay2" {
		return want
	}
	out := &treediff.Record{}
	for _, e := range want.Entries {
		if g, ok := got.Lookup(e.Path); ok && e.Group == "" {
			e.Group = g.Group
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

// lists checks that what came out is what was to be listed, and names of files
// that have several.
func lists(t testing.TB, changes func(func(cow.Change, error) bool), listed []string) {
	t.Helper()
	in := map[string]bool{}
	for _, l := range listed {
		in[l] = true
	}
	n := 0
	for c, err := range changes {
		must(t, err)
		n++
		if !in[c.Kind.String()+" "+c.Path] {
			t.Errorf("%v %s is missing in the diff", c.Kind, c.Path)
		}
	}
	if n > len(listed) {
		t.Errorf("%d entries for %d changes", len(listed), n)
	}
}
