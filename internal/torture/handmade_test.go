package torture

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// handmade is a union of one layer that fill makes, and beside it the plain
// directory. Everything in it has an ancient time.
func handmade(t testing.TB, kind, fstype string, seed uint64, fill func(b *builder)) *union {
	t.Helper()
	u := &union{t: t, dir: ground(t, fstype, 2048)}
	u.plain = u.dir + "/plain"
	low := u.dir + "/layer0"
	mkdirs(t, low, u.plain)
	b := &builder{t: t, r: rand.New(rand.NewPCG(seed, 7)), plain: u.plain, layer: low}
	fill(b)
	b.times()
	u.lowers(kind, []string{low})
	return u
}

// everywhere mounts the union, lets load work on it, and calls check with every
// view of the result: as it is, after a remount, and, once it is complete, as
// the kernel's overlayfs shows it. The lowers must not have changed.
func (u *union) everywhere(load, check func(root string)) {
	u.t.Helper()
	srv := start(u.t, u.spec)
	load(srv.mnt)
	check(srv.mnt)
	srv.unmount()
	srv = start(u.t, u.spec)
	check(srv.mnt)
	srv.unmount()
	u.untouched()
	complete(u.t, u.spec)
	u.kernelView(check)
	u.untouched()
}

// both runs fn over the two kinds of lowers, on the two transports.
func both(t *testing.T, fn func(t *testing.T, kind, transport string)) {
	t.Helper()
	for _, c := range [][2]string{{"dirs", "loop"}, {"packed", "gofuse"}} {
		t.Run(fmt.Sprintf("%s-%s", c[0], c[1]), func(t *testing.T) { fn(t, c[0], c[1]) })
	}
}
