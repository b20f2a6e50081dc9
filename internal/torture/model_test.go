package torture

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/busy"
	"github.com/cfs-project/cfs/internal/treediff"
)

// TestModel does the same random operations on unions and on a plain directory
// and compares: what every call returns, the trees in full, inode numbers over
// remounts, and the upper as the kernel's overlayfs sees it.
func TestModel(t *testing.T) {
	needMount(t)
	t.Parallel()
	seed, each := knobs(t)
	for i, c := range []struct{ kind, fstype, transport string }{
		{"dirs", "ext4", "loop"}, {"packed", "tmpfs", "loop"},
		{"dirs", "tmpfs", "gofuse"}, {"packed", "ext4", "gofuse"},
	} {
		t.Run(c.kind+"-"+c.fstype+"-"+c.transport, func(t *testing.T) {
			t.Parallel()
			runModel(t, c.kind, c.fstype, c.transport, seed+uint64(i), time.Now().Add(each))
		})
	}
}

// knobs are the seed and how long a configuration of the model runs.
func knobs(t *testing.T) (uint64, time.Duration) {
	t.Helper()
	each := 30 * time.Second
	if s := os.Getenv("CFS_TORTURE_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		must(t, err)
		each = d
	}
	return seed(t), each
}

// seed is the run's seed; a failure prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CFS_TORTURE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		must(t, err)
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with CFS_TORTURE_SEED=%d", seed)
		}
	})
	return seed
}

// times is by how much the other tests do more than they do in `make test`.
func times(t *testing.T) int {
	t.Helper()
	s := os.Getenv("CFS_TORTURE_TIMES")
	if s == "" {
		return 1
	}
	n, err := strconv.Atoi(s)
	must(t, err)
	return max(n, 1)
}

func runModel(t *testing.T, kind, fstype, transport string, seed uint64, until time.Time) {
	r := rand.New(rand.NewPCG(seed, 1))
	total := 0
	for tree := 0; tree == 0 || time.Now().Before(until); tree++ {
		t.Run(fmt.Sprint(tree), func(t *testing.T) {
			u := newUnion(t, kind, fstype, r, 3+r.IntN(3), 25)
			u.spec.Transport = transport
			plain, live := &side{root: u.plain}, &side{root: u.spec.Target}
			for round := range 4 {
				srv := start(t, u.spec)
				u.same("at mount "+fmt.Sprint(round), live.root)
				total += 500
				log := steps(t, plain, live, r, 500)
				plain.closeAll()
				live.closeAll()
				u.same("after round "+fmt.Sprint(round), live.root)
				before := inodes(t, live.root)
				srv.unmount()
				srv = start(t, u.spec)
				for p, ino := range inodes(t, live.root) {
					if ino != before[p] {
						t.Errorf("%s: inode %d is %d after a remount", p, before[p], ino)
					}
				}
				srv.unmount()
				if t.Failed() {
					t.Fatalf("the last of what was done:\n%s", strings.Join(tail(log, 60), "\n"))
				}
			}
			u.untouched()
			complete(t, u.spec)
			u.kernel()
		})
		if t.Failed() {
			t.Fatalf("tree %d of seed %d", tree, seed)
		}
	}
	t.Logf("%d operations, seed %d", total, seed)
}

// steps does n operations on both sides.
func steps(t *testing.T, plain, live *side, r *rand.Rand, n int) (log []string) {
	t.Helper()
	for range n {
		o := randomOp(plain, r)
		want, got := o.do(plain), o.do(live)
		log = append(log, o.name+": "+want)
		if want != got {
			plain.closeAll()
			live.closeAll()
			t.Fatalf("%s:\nplain %s\nunion %s\nbefore:\n%s", o.name, want, got, strings.Join(tail(log, 60), "\n"))
		}
	}
	return log
}

func tail(s []string, n int) []string { return s[max(0, len(s)-n):] }

// same compares the plain directory with a view of the union; times where they
// were set.
func (u *union) same(what, view string, more ...func(*treediff.Ignore)) {
	u.t.Helper()
	if ds := differences(record(u.t, u.plain), record(u.t, view), more...); ds != "" {
		u.t.Errorf("%s:\n%s", what, ds)
	}
}

// differences is how a record of the union differs from that of the plain
// directory; times where they were set.
func differences(want, got *treediff.Record, more ...func(*treediff.Ignore)) string {
	ign := treediff.Ignore{DirSize: true, DirNlink: true}
	for _, m := range more {
		m(&ign)
	}
	var out strings.Builder
	for _, e := range want.Entries {
		if e.Sec >= ancient || e.Path == treediff.Root {
			ign.MtimeOf = append(ign.MtimeOf, e.Path)
			if g, ok := got.Lookup(e.Path); ok && g.Sec < ancient && e.Path != treediff.Root && !ign.Mtime {
				fmt.Fprintf(&out, "%s was changed just now and has an old time\n", e.Path)
			}
		}
	}
	out.WriteString(treediff.Format(treediff.Compare(want, got, ign), 20))
	return out.String()
}

// kernel has the kernel's overlayfs look at the upper and the lowers.
func (u *union) kernel() {
	u.t.Helper()
	u.kernelView(func(view string) {
		// It counts names that were removed above.
		u.same("as the kernel's overlayfs sees it", view, noNlink)
	})
}

func noNlink(i *treediff.Ignore) { i.Nlink = true }

// kernelView has the kernel's overlayfs mount the upper and the lowers, read-only.
func (u *union) kernelView(fn func(view string)) {
	u.t.Helper()
	u.overlay("lowerdir="+strings.Join(append([]string{u.spec.Upper}, u.dirs...), ":"), unix.MS_RDONLY, fn)
}

// overlay mounts the kernel's overlayfs for as long as fn looks at it.
func (u *union) overlay(options string, flags uintptr, fn func(view string)) {
	u.t.Helper()
	view := u.dir + "/kernel"
	mkdirs(u.t, view)
	if err := unix.Mount("overlay", view, "overlay", flags, "redirect_dir=on,metacopy=on,"+options); err != nil {
		u.t.Skipf("SKIPPED: needs the kernel's overlayfs: %v", err)
	}
	fn(view)
	must(u.t, busy.Unmount(view))
}

// inodes are the inode numbers of a tree's paths.
func inodes(t testing.TB, root string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		out[p] = 0
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		out[p] = st.Ino
		return nil
	}))
	return out
}
