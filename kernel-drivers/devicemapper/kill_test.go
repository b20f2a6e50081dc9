package devicemapper

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/cow/cowtest"
	"github.com/cfs-project/cfs/kernel-drivers/internal/drivertest"
)

// killedVar tells a process what to do until it is killed: a life, as JSON.
const killedVar = "DEVICEMAPPER_KILLED"

// A life is what happens to one snapshot.
type life struct {
	Home     string
	Snapshot cow.Snapshot
	Target   string
	At       string // "verb/step" at which the process is killed; empty: none
}

// verbs are what a driver does in the life of a snapshot.
var verbs = []string{"create", "limit", "mount", "changes", "remove", "prune"}

// live does them one after the other, and tells seen of each step.
func (l life) live(ctx context.Context, seen func(step string)) error {
	d := New(l.Home, nil)
	for _, verb := range verbs {
		d.at = func(step string) { seen(verb + "/" + step) }
		if err := l.do(ctx, d, verb); err != nil {
			return err
		}
	}
	return nil
}

func (l life) do(ctx context.Context, d *Driver, verb string) error {
	switch verb {
	case "create":
		return d.Create(ctx, l.Snapshot)
	case "limit":
		return d.Limit(ctx, l.Snapshot, 1<<30) // more than it has: it grows
	case "mount":
		m, err := d.Mount(ctx, l.Snapshot, l.Target, cow.MountOptions{})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(l.Target, "new"), []byte("n"), 0o644); err != nil {
			return err
		}
		return m.Unmount()
	case "changes":
		for _, err := range d.Changes(ctx, l.Snapshot) {
			if err != nil {
				return err
			}
		}
		return nil
	case "remove":
		return d.Remove(ctx, l.Snapshot)
	default:
		return d.Prune(ctx, nil)
	}
}

// liveUntilKilled is the process that is killed.
func liveUntilKilled(t *testing.T, spec string) {
	var l life
	if err := json.Unmarshal([]byte(spec), &l); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	err := l.live(t.Context(), func(step string) {
		if step == l.At {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	})
	t.Fatalf("it was not killed at %s: %v", l.At, err)
}

// kills kills a process at every step, and in every verb. Whoever comes next has a
// snapshot that works, and removes it without leaving anything in the pool.
func kills(t *testing.T) {
	home := newHome(t, small("256M"))
	chain := drivertest.Chain(t, cowtest.Layer{cowtest.File("a", "a")}, cowtest.Layer{cowtest.File("b", "b")})
	next := func() life {
		return life{Home: home, Snapshot: cow.Snapshot{Dir: t.TempDir(), Base: chain}, Target: t.TempDir()}
	}
	var steps []string
	seen := map[string]bool{}
	err := next().live(t.Context(), func(step string) {
		verb, what, _ := strings.Cut(step, "/")
		if !seen[what] || !seen[verb] {
			steps = append(steps, step)
		}
		seen[what], seen[verb] = true, true
	})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// What was made for the image stays, unless that is what is being made.
	d := New(home, nil)
	bases, err := d.base(t.Context(), chain.Layers)
	if err != nil {
		t.Fatal(err)
	}
	bases.Release()
	kept := used(t, d)
	for _, step := range steps {
		verb, what, _ := strings.Cut(step, "/")
		alone := verb == "prune" || what == "formatted" || what == "filled" || what == "recorded"
		if alone {
			if err := d.Prune(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("killed at %s", step)
		l := next()
		l.At = step
		spec, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestDevicemapper$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), killedVar+"="+string(spec), "TMPDIR="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if out, _ := cmd.CombinedOutput(); !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			t.Errorf("at %s: %s", step, out)
			continue
		}
		for _, next := range verbs[:4] {
			if verb == "remove" || verb == "prune" {
				break
			}
			if err := l.do(t.Context(), d, next); err != nil {
				t.Errorf("killed at %s, then %s: %v", step, next, err)
			}
		}
		if alone {
			emptied(t, d, l.Snapshot)
			continue
		}
		if err := d.Remove(t.Context(), l.Snapshot); err != nil {
			t.Errorf("killed at %s, then remove: %v", step, err)
		}
		if n := used(t, d); n != kept && n != 0 { // killed after the bases were pruned, none
			t.Errorf("killed at %s: %d blocks are used, %d before", step, n, kept)
		}
	}
	if err := d.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := used(t, d); n != 0 {
		t.Errorf("%d blocks are used when all was removed", n)
	}
}
