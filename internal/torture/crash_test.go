package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	crashTrees   = 2  // of each configuration
	crashKills   = 25 // of each tree
	crashWriters = 3
)

// TestCrash kills the server with SIGKILL again and again while several writers
// work: at the next mount everything that a call had returned for is there (and
// so all that was synced), what was under way has taken place or has not, nothing
// else is to be seen, and no lower has changed. At the end the kernel's overlayfs
// shows the same, and all of it can be removed.
func TestCrash(t *testing.T) {
	needMount(t)
	t.Parallel()
	seed := seed(t)
	for i, c := range []struct{ kind, fstype, transport string }{
		{"dirs", "ext4", "loop"}, {"packed", "tmpfs", "loop"},
		{"dirs", "btrfs", "gofuse"}, {"packed", "xfs", "passthrough"},
	} {
		t.Run(c.kind+"-"+c.fstype+"-"+c.transport, func(t *testing.T) {
			t.Parallel()
			for n := range crashTrees * times(t) {
				runCrash(t, c.kind, c.fstype, c.transport, seed+uint64(1000*n+i))
			}
		})
	}
}

func runCrash(t *testing.T, kind, fstype, transport string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 4))
	u := crashUnion(t, kind, fstype, r)
	u.spec.Transport = transport
	var ws []*writer
	for i := range crashWriters {
		sub := fmt.Sprintf("/w%d", i)
		ws = append(ws, &writer{plain: &side{root: u.plain + sub}, live: &side{root: u.spec.Target + sub}, r: rand.New(rand.NewPCG(seed, uint64(10+i)))})
	}
	total := 0
	srv := start(t, u.spec)
	for kill := range crashKills {
		var wg sync.WaitGroup
		for _, w := range ws {
			wg.Go(w.work)
		}
		time.Sleep(time.Duration(r.IntN(60_000)) * time.Microsecond)
		srv.die()
		wg.Wait()
		srv.kill()
		srv = start(t, u.spec)
		for i, w := range ws {
			what := w.wrong
			if what == "" {
				what = w.pending.settle(t, w.plain, w.live)
			}
			if what != "" {
				t.Errorf("kill %d, writer %d: %s\nthe last of what it did:\n%s", kill, i, what, strings.Join(tail(w.log, 40), "\n"))
			}
			total += w.done
		}
		if left, err := os.ReadDir(u.spec.Work + "/work"); err != nil || len(left) > 0 {
			t.Errorf("kill %d: in the work directory: %v, %v", kill, left, err)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	srv.unmount()
	u.untouched()
	complete(t, u.spec)
	u.kernel()
	u.overlay(fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(u.dirs, ":"), u.spec.Upper, u.spec.Work), 0,
		func(view string) { u.same("as the kernel's overlayfs has it for writing", view, noNlink) })
	u.removable()
	t.Logf("%d operations, %d kills, seed %d", total, crashKills, seed)
}

// removable mounts the union, finds what it should, and removes everything.
func (u *union) removable() {
	u.t.Helper()
	srv := start(u.t, u.spec)
	u.same("after the kernel had it", srv.mnt)
	for _, name := range list(u.t, srv.mnt) {
		must(u.t, os.RemoveAll(filepath.Join(srv.mnt, name)))
	}
	srv.unmount()
	srv = start(u.t, u.spec)
	if names := list(u.t, srv.mnt); len(names) > 0 {
		u.t.Errorf("left after all was removed: %q", names)
	}
	srv.unmount()
	u.untouched()
}

// crashUnion has a directory for each writer, with layers that merge there.
func crashUnion(t *testing.T, kind, fstype string, r *rand.Rand) *union {
	t.Helper()
	u := &union{t: t, dir: ground(t, fstype, 2048)}
	u.plain = u.dir + "/plain"
	var made []string
	for i := range 3 {
		layer := fmt.Sprintf("%s/layer%d", u.dir, i)
		for w := range crashWriters {
			sub := fmt.Sprintf("/w%d", w)
			b := &builder{t: t, r: r, plain: u.plain + sub, packed: kind == "packed"}
			mkdirs(t, layer+sub, b.plain)
			b.build(layer+sub, 14, i > 0)
		}
		made = append(made, layer)
	}
	u.lowers(kind, made)
	return u
}

// writer does one thing after another until the server is gone.
type writer struct {
	plain, live *side
	r           *rand.Rand
	log         []string
	done        int
	pending     single // what was under way
	wrong       string
}

func (w *writer) work() {
	for w.done = 0; ; w.done++ {
		w.pending = randomSingle(w.plain, w.r)
		got := w.pending.do(w.live)
		doubt := w.pending.data != nil || strings.Contains(got, "EIO")
		if dead(got) || doubt && dead(result(unix.Statfs(w.live.root, new(unix.Statfs_t)))) {
			w.log = append(w.log, w.pending.name+": killed, "+got)
			return
		}
		want := w.pending.do(w.plain)
		w.log = append(w.log, w.pending.name+": "+want)
		if got != want {
			w.wrong = fmt.Sprintf("%s: %s, want %s", w.pending.name, got, want)
			return
		}
	}
}

// dead tells whether an operation's result is that the server is gone. It isn't
// always: a write of which some requests were answered returns how much that was,
// and a request that the server was just reading or answering fails with EIO.
func dead(result string) bool {
	return strings.Contains(result, "ENOTCONN") || strings.Contains(result, "ECONNABORTED")
}
